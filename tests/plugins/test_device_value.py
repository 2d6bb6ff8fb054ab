"""``dt.device`` against ``torch.device``, and the default device of a thread."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable, Iterator

import pytest

import dovetail as dt
from dovetail.backend import registry
from dovetail.device import resolve

torch = pytest.importorskip("torch", reason="parity needs PyTorch (the `parity` extra)")

Loopback = Callable[..., str]


@pytest.fixture
def cuda(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A device with a name that PyTorch knows, so that both parse the same strings."""
    if "cuda" in registry:
        yield
        return
    backend = registry.get(loopback(devices=2)).backend
    registry.register("cuda", backend)
    yield
    registry.unregister("cuda")


GIVEN = [
    *[("cuda",), ("cuda:1",), ("cuda", 1), ("cuda", 0), ("cpu",), ("cpu:0",), ("cpu", 0)],
    *[("cuda", None), ("meta",), ("meta:1",)],
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_value_is_pytorchs(cuda: None, given: tuple[object, ...]) -> None:
    ours, theirs = dt.device(*given), torch.device(*given)
    assert (ours.type, ours.index) == (theirs.type, theirs.index)
    assert (str(ours), repr(ours)) == (str(theirs), repr(theirs))
    for other in GIVEN:
        assert (ours == dt.device(*other)) == (theirs == torch.device(*other))
    same = dt.device(*given)
    assert same == ours
    assert hash(same) == hash(ours)
    assert ours != str(ours)


WRONG = [
    *[("cuda:x",), ("cuda:",), ("",), ("cuda:-1",), ("cuda:01",), ("cuda:1:2",), ("cuda: 1",)],
    *[("cuda", -1), (-1,), ("cuda:1", 1), ("cuda", "x"), ("cuda", 1.0), ("cuda", True), ("cpu ",)],
]


@pytest.mark.parametrize("given", WRONG, ids=str)
def test_error_is_pytorchs(cuda: None, given: tuple[object, ...]) -> None:
    with pytest.raises((RuntimeError, TypeError)) as theirs:
        torch.device(*given)
    with pytest.raises(theirs.type) as ours:
        dt.device(*given)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("given", [(None,), (1.5,), (True,), ([],), ()], ids=str)
def test_other_types_are_refused_as_in_pytorch(given: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        torch.device(*given)
    with pytest.raises(TypeError, match=r"^device\(\): expected a name such as"):
        dt.device(*given)


@pytest.mark.parametrize("given", ["xyz", "xyz:1", "CPU"])
def test_unknown_name(given: str) -> None:
    name = given.partition(":")[0]
    with pytest.raises(RuntimeError) as theirs:
        torch.device(given)
    with pytest.raises(RuntimeError) as ours:
        dt.device(given)
    for error in (theirs, ours):
        assert str(error.value).startswith("Expected one of cpu, ")
        assert str(error.value).endswith(f" device type at start of device string: {name}")


def test_attributes_cannot_be_written() -> None:
    device = dt.device("cpu")
    with pytest.raises(AttributeError, match="attribute 'index' of 'device' objects is not writ"):
        device.index = 3  # type: ignore[misc]
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        device.colour = "red"  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["cpu", "cpu:2", "meta"])
def test_copies_are_the_same_object(text: str) -> None:
    device = dt.device(text)
    assert copy.copy(device) is copy.deepcopy(device) is device
    assert pickle.loads(pickle.dumps(device)) is device
    assert dt.device(device) is device


def test_index_of_the_accelerator(loopback: Loopback) -> None:
    name = loopback(devices=3)
    with dt.device(name):
        assert dt.device(2) == dt.device(name, 2)
        assert resolve(1) == dt.device(name, 1)


def test_tensors_have_the_index_filled_in(loopback: Loopback) -> None:
    name = loopback(devices=2)
    assert repr(dt.zeros(2, device=name).device) == f"device(type='{name}', index=0)"
    assert repr(dt.zeros(2, device=f"{name}:1").device) == f"device(type='{name}', index=1)"


@pytest.mark.parametrize("given", ["cpu", "cpu:0", "cpu:3", "meta", "meta:2"])
def test_host_like_tensors_have_no_index(given: str) -> None:
    ours, theirs = dt.zeros(2, device=given).device, torch.zeros(2, device=given).device
    assert (ours.type, ours.index) == (theirs.type, None)


def test_index_out_of_range(loopback: Loopback) -> None:
    name = loopback(devices=2)
    with pytest.raises(RuntimeError, match=rf"^{name}:2: device index must be below 2"):
        dt.zeros(2, device=f"{name}:2")


def test_default_device(loopback: Loopback) -> None:
    name = loopback(devices=2)
    assert dt.get_default_device() == dt.device("cpu") == dt.zeros(1).device
    with dt.device(name) as entered:
        assert entered == dt.device(name)
        assert dt.zeros(1).device == dt.get_default_device() == dt.device(name, 0)
        with dt.device("meta"):
            assert dt.ones(1).device == dt.device("meta")
            dt.set_default_device(f"{name}:1")  # waits for the blocks to end, as in PyTorch
            assert dt.ones(1).device == dt.device("meta")
        assert dt.zeros(1).device == dt.device(name, 0)
    assert dt.zeros(1).device == dt.device(name, 1)
    dt.set_default_device(None)
    assert dt.zeros(1).device == dt.device("cpu")


def test_default_device_ends_with_an_exception(loopback: Loopback) -> None:
    with pytest.raises(KeyError), dt.device(loopback()):
        raise KeyError
    assert dt.get_default_device() == dt.device("cpu")


def test_default_device_is_of_the_thread(loopback: Loopback) -> None:
    seen = []
    with dt.device(loopback()):
        thread = threading.Thread(target=lambda: seen.append(dt.zeros(1).device))
        thread.start()
        thread.join()
    assert seen == [dt.device("cpu")]


def test_an_explicit_device_goes_before_the_default(loopback: Loopback) -> None:
    with dt.device(loopback()):
        assert dt.zeros(1, device="cpu").device == dt.device("cpu")
