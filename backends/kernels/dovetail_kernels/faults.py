"""What kernels find wrong with the values they are given, and what the host raises for it.

A kernel that is given indices has the device's buffer ``faults`` as its last one and, as its last
number, :func:`fault_of` its operator (``src/fault.cl``). It reads and writes nothing outside, and
puts down the first index that is out of range. An elementwise kernel whose expression refuses
operands (``Expression.refuses``) has the same buffer and :func:`refusals_of` its operator; it puts
down that there was one. Who queues either sets the device's ``suspect``, and where values come to
the host next, the device looks at the buffer and raises :func:`found`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend.sentences import ENDS
from dovetail.errors import LinAlgError, OutOfRangeError

__all__ = [
    "WORDS",
    "bounds_fault_of",
    "ends_fault_of",
    "failure_of",
    "fault_of",
    "found",
    "refusals_of",
    "reporting",
    "rows_fault_of",
    "values_fault_of",
]

WORDS = 8
"""32-bit words of the buffer."""

_THERE = 2

_LATE = "found when values were asked for"

_known: list[Callable[[int, int], Exception]] = []
"""By the number that is reported, what makes the error of an index and a size."""
_lock = threading.Lock()


def _numbered(*errors: Callable[[int, int], Exception]) -> Any:
    """The first of the numbers that stand for these errors, in their order."""
    with _lock:
        _known.extend(errors)
        return np.uint32(len(_known) - len(errors))


def fault_of(op: Any, sentence: str, dim: int = 0) -> Any:
    """The number that kernels of an operator report an index by.

    Args:
        op: the operator, whose own sentence comes first.
        sentence: what the core says of such an index (see ``dovetail.backend.sentences``).
    """
    return _fault_of(op.title, op.sentence or sentence, dim)


@functools.cache
def _fault_of(name: str, sentence: str, dim: int) -> Any:

    def error(index: int, size: int) -> Exception:
        text = sentence.format(index=index, size=size, dim=dim)
        return OutOfRangeError(f"{text} ({name}, {_LATE})")

    return _numbered(error)


@functools.cache
def bounds_fault_of() -> Any:
    """The first of three numbers: offsets of bags do not begin with 0, pass the end, or fall."""
    sentences = (
        "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
        "position 0. However, got {index}",
        "offsets[-1] can not be greater than input's length {size} but got offsets[-1] of {index}",
        "embedding_bag: offsets must not fall, got {index}",
    )

    def error_of(sentence: str) -> Callable[[int, int], Exception]:
        return lambda index, size: RuntimeError(
            f"{sentence.format(index=index, size=size)} (embedding_bag, {_LATE})"
        )

    return _numbered(*map(error_of, sentences))


@functools.cache
def ends_fault_of(name: str) -> Any:
    """The number that ends of a histogram are reported by that are not finite: in the place of an
    index and a size, the bits of float32."""

    def error(low: int, high: int) -> Exception:
        ends = np.array([low, high], np.uint32).view(np.float32)
        text = ENDS.format(name=f"torch.{name}: range of", low=ends[0], high=ends[1])
        return RuntimeError(f"{text} ({name}, {_LATE})")

    return _numbered(error)


@functools.cache
def refusals_of(name: str, refusals: tuple[Any, ...]) -> Any:
    """The first of the numbers that kernels of an operator report refused operands by.

    Args:
        name: what errors call the operator.
        refusals: what its expression refuses (see ``dovetail.backend.expressions``), in order.
    """

    def error_of(refusal: Any) -> Callable[[int, int], Exception]:
        about = f"{refusal.about};" if refusal.about else f"{name},"
        return lambda index, size: refusal.error(f"{refusal.sentence} ({about} {_LATE})")

    return _numbered(*map(error_of, refusals))


@functools.cache
def values_fault_of(name: str, *sentences: str) -> Any:
    """The first of the numbers that kernels of an operator report values by that have no result.

    Args:
        name: what errors call the operator.
        sentences: PyTorch's, in the kernel's order.
    """

    def error_of(sentence: str) -> Callable[[int, int], Exception]:
        return lambda index, size: RuntimeError(f"{sentence} ({name}, {_LATE})")

    return _numbered(*map(error_of, sentences))


@functools.cache
def rows_fault_of(name: str, sentence: str, given: tuple[int, ...], rest: tuple[int, ...]) -> Any:
    """The number that a wrong number of rows is reported by, with how many there are places for.

    Args:
        given: the shape of the rows.
        rest: that of one of them.
    """

    def error(count: int, size: int) -> Exception:
        text = sentence.format(given=list(given), wanted=[count, *rest])
        return RuntimeError(f"{text} ({name}, {_LATE})")

    return _numbered(error)


@functools.cache
def failure_of(sentence: str) -> Any:
    """The number that kernels report a matrix by which has no factorization."""

    def error(index: int, size: int) -> Exception:
        return LinAlgError(sentence)

    return _numbered(error)


def found(words: np.ndarray) -> Exception | None:
    """What the buffer (uint32) says; None: nothing, or not yet."""
    if words[0] != _THERE:
        return None
    index, size = words[2:6].view(np.int64).tolist()
    return _known[int(words[1])](index, size)


def reporting(device: Any, launch: Any, place: Callable[..., Any]) -> Callable[..., None]:
    """``run(*inputs, out)``: queues a kernel that is given the output first, then the inputs, and
    the device's buffer behind them.

    Args:
        place: what :func:`~dovetail_kernels.arrays.placing` made for so many arrays.
    """
    queue = launch.with_numbers

    def run(*arrays: Any) -> None:
        buffers, begins = place(arrays[-1], *arrays[:-1])
        queue((*buffers, device.faults), begins)
        device.suspect = True

    return run
