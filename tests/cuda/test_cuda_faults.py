"""What the host makes of indices that kernels reported; a stand-in computes nothing, so the words
that a kernel would write are written here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.backend.sentences import ALONG
from dovetail.ops.schema import REGISTRY
from dovetail_kernels.faults import WORDS, fault_of

THERE, BEING_WRITTEN = 2, 1


def _report(device: Any, index: int, flag: int = THERE) -> None:
    words = device._found
    assert words.tolist() == [0] * WORDS
    words[1] = fault_of(REGISTRY["gather"], ALONG, 0)
    words[2:6] = np.array([index, 3], np.int64).view(np.uint32)
    words[0] = flag


WAYS: dict[str, Callable[[Any], Any]] = {
    "values": lambda y: y.tolist(),
    "synchronize": lambda y: dt.standin.synchronize(),
    "stream": lambda y: dt.standin.current_stream().synchronize(),
    "event": lambda y: dt.standin.current_stream().record_event().synchronize(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("index", [9, -4, 1 << 40])
def test_a_report_is_raised_where_the_host_waits(stand: Any, way: str, index: int) -> None:
    _, device = stand()
    x = dt.ones(3, device="standin")
    y = x.gather(0, dt.tensor([1], device="standin"))
    WAYS[way](y)
    _report(device, index)
    sentence = f"index {index} is out of bounds for dimension 0 with size 3"
    with pytest.raises(IndexError, match=rf"^{sentence} \(gather, found when"):
        WAYS[way](y)
    WAYS[way](y)  # the device works on


def test_one_that_is_being_written_is_left_alone(stand: Any) -> None:
    """By a kernel of another stream."""
    _, device = stand()
    y = dt.ones(3, device="standin").gather(0, dt.tensor([1], device="standin"))
    _report(device, 9, BEING_WRITTEN)
    y.tolist()
    device._found[0] = THERE
    with pytest.raises(IndexError, match="index 9"):
        y.tolist()


def test_kernels_are_given_the_words(stand: Any) -> None:
    driver, device = stand()
    x = dt.ones(3, device="standin")
    driver.launched.clear()
    x.gather(0, dt.tensor([1], device="standin"))
    (launched,) = [k for k in driver.launched if k.name == "gather"]
    assert launched.words[3] == device.faults.ptr % (1 << 32)
    assert launched.words[-1] == fault_of(REGISTRY["gather"], ALONG, 0)
    assert device.faults.ptr == device._found.ctypes.data


def test_graphs_report(stand: Any) -> None:
    _, device = stand()
    x, at = dt.ones(3, device="standin"), dt.tensor([1], device="standin")
    graph = dt.standin.CUDAGraph()
    with dt.standin.graph(graph):
        y = x.gather(0, at)
    graph.replay()
    _report(device, 9)
    with pytest.raises(IndexError, match="index 9"):
        y.tolist()
    graph.replay()
    y.tolist()


def test_nothing_is_taken_without_indices(stand: Any) -> None:
    _, device = stand()
    (dt.ones(3, device="standin") + 1).tolist()
    assert device._found is None


def test_a_divisor_that_is_zero_is_reported(stand: Any) -> None:
    driver, device = stand()
    x = dt.ones(3, device="standin").int()
    driver.launched.clear()
    y = x // x
    (launched,) = [k for k in driver.launched if k.name.startswith("floor_divide")]
    assert launched.words[3] == device.faults.ptr % (1 << 32)
    number = launched.words[-1]
    device._found[1], device._found[0] = number, THERE
    with pytest.raises(RuntimeError, match=r"^ZeroDivisionError \(floor_divide, found when"):
        y.tolist()
    y.tolist()
    with pytest.raises(RuntimeError, match=r"^ZeroDivisionError$"):
        x // 0


def test_what_is_no_probability_is_reported(stand: Any) -> None:
    driver, device = stand()
    x = dt.ones(3, device="standin")
    driver.launched.clear()
    loss = dt.nn.functional.binary_cross_entropy(x, x)
    (launched,) = [k for k in driver.launched if k.name == "element_loss"]
    for which, word in enumerate(("input", "target")):
        device._found[1], device._found[0] = launched.words[-1] + which, THERE
        with pytest.raises(RuntimeError, match=f"^all elements of {word} should be between 0 and"):
            loss.tolist()
