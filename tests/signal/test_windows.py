"""Window functions against PyTorch: values, dtypes, arguments, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

TOP: dict[str, list[tuple[Any, ...]]] = {
    "hann_window": [()],
    "hamming_window": [(), (0.6,), (0.6, 0.3)],
    "blackman_window": [()],
    "bartlett_window": [()],
    "kaiser_window": [(), (3.5,), (0.0,)],
}
SIGNAL: dict[str, list[dict[str, Any]]] = {
    "bartlett": [{}],
    "blackman": [{}],
    "cosine": [{}],
    "exponential": [{}, {"tau": 3.0}, {"center": 1.5, "sym": False}, {"center": 0, "sym": False}],
    "gaussian": [{}, {"std": 2.5}],
    "general_cosine": [{"a": [0.5, 0.3, 0.2]}, {"a": (1.0,)}],
    "general_hamming": [{}, {"alpha": 0.7}],
    "hamming": [{}],
    "hann": [{}],
    "kaiser": [{}, {"beta": 0.0}, {"beta": 4.5}],
    "nuttall": [{}],
}
LENGTHS = (0, 1, 2, 3, 8, 9)


def near(mine: Any, theirs: Any, what: Any) -> None:
    name = str(theirs.dtype).removeprefix("torch.")
    assert (mine.dtype.name, tuple(mine.shape)) == (name, tuple(theirs.shape)), what
    rtol = {"float64": 1e-12, "float32": 1e-5, "float16": 4e-3}[name]
    np.testing.assert_allclose(
        mine.detach().cpu().numpy(), theirs.detach().numpy(), rtol, rtol / 10, err_msg=str(what)
    )


@pytest.mark.parametrize("name", TOP)
def test_top_level(name: str, device: Any) -> None:
    for length in LENGTHS:
        for periodic in (True, False):
            for rest in TOP[name]:
                for kind in ("float64", "float32", "float16"):
                    mine = getattr(dt, name)(
                        length, periodic, *rest, dtype=getattr(dt, kind), device=device
                    )
                    theirs = getattr(torch, name)(
                        length, periodic, *rest, dtype=getattr(torch, kind)
                    )
                    if kind == "float16":  # computed in float16 there
                        np.testing.assert_allclose(mine.cpu(), theirs, atol=8e-3)
                        continue
                    near(mine, theirs, (length, periodic, rest))
    made = getattr(dt, name)(4, device=device, requires_grad=True)
    assert made.requires_grad
    assert made.device == dt.zeros(1, device=device).device
    assert getattr(dt, name)(4, device="meta").shape == (4,)


@pytest.mark.parametrize("sym", [True, False])
@pytest.mark.parametrize("name", SIGNAL)
def test_signal_windows(name: str, sym: bool, device: Any) -> None:
    for length in LENGTHS:
        for options in SIGNAL[name]:
            call = {"sym": sym, **options}
            for kind in ("float64", "float32"):
                mine = getattr(dt.signal.windows, name)(
                    length, **call, dtype=getattr(dt, kind), device=device
                )
                theirs = getattr(torch.signal.windows, name)(
                    length, **call, dtype=getattr(torch, kind)
                )
                near(mine, theirs, (length, call))


def test_all_of_pytorch_is_there() -> None:
    assert set(dt.signal.windows.__all__) == set(torch.signal.windows.__all__)


WRONG: dict[str, Any] = {
    "length": lambda lib: lib.hann_window(-1),
    "a float": lambda lib: lib.hann_window(4.5),
    "a bool": lambda lib: lib.kaiser_window(True),
    "periodic": lambda lib: lib.hamming_window(4, 0.5),
    "integers": lambda lib: lib.bartlett_window(4, dtype=lib.int32),
    "complex": lambda lib: lib.blackman_window(4, dtype=lib.complex64),
    "M": lambda lib: lib.signal.windows.hann(-1),
    "half": lambda lib: lib.signal.windows.kaiser(4, dtype=lib.float16),
    "tau": lambda lib: lib.signal.windows.exponential(4, tau=0),
    "center": lambda lib: lib.signal.windows.exponential(4, center=1),
    "std": lambda lib: lib.signal.windows.gaussian(4, std=-1),
    "beta": lambda lib: lib.signal.windows.kaiser(4, beta=-1),
    "no weights": lambda lib: lib.signal.windows.general_cosine(4, a=[]),
    "weights": lambda lib: lib.signal.windows.general_cosine(4, a=1),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name: str) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011 (the class is what is compared)
        WRONG[name](torch)
    with pytest.raises(type(theirs.value)) as mine:
        WRONG[name](dt)
    if type(theirs.value) is ValueError:
        # PyTorch names the function that hann calls.
        assert str(mine.value).split(" ", 1)[1] == str(theirs.value).split(" ", 1)[1]
