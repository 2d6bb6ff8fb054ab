"""Strided views of raw buffers reach the elements that NumPy's views reach."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.backend import StridedView, broadcast, collapse, needs_64_bit
from dovetail.dtypes import float32, int16

BUFFER = np.arange(20_000, dtype=np.int16)


def view_of(array: np.ndarray) -> StridedView:
    """The view that reaches what ``array``, which lies in BUFFER, reaches."""
    start = array.__array_interface__["data"][0] - BUFFER.__array_interface__["data"][0]
    return StridedView(BUFFER, start, array.shape, array.strides, int16)


def array_of(view: StridedView) -> np.ndarray:
    return np.ndarray(view.shape, view.dtype.numpy, BUFFER, view.offset, view.strides)


@st.composite
def arrays(draw: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A view of BUFFER: permuted, stepped, shifted, with expanded dims and dims of size 1."""
    if shape is None:
        shape = tuple(draw(st.lists(st.sampled_from((1, 2, 3, 5)), max_size=4)))
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from((1, 1, 1, 2))) for _ in shape]
    repeated = [draw(st.sampled_from((False, False, True))) for _ in shape]
    sizes = [1 if r else n * s for n, s, r in zip(shape, steps, repeated, strict=True)]
    count = int(np.prod([sizes[i] for i in order], dtype=int))
    start = draw(st.integers(0, 7))
    dense = BUFFER[start : start + count].reshape([sizes[i] for i in order])
    laid = dense.transpose(np.argsort(order).astype(int)) if shape else dense
    slices = [slice(None, None, 1 if r else s) for s, r in zip(steps, repeated, strict=True)]
    stepped = laid[(..., *slices)]  # the dots keep an array of no dims an array
    return np.broadcast_to(stepped, shape)


@settings(deadline=None, max_examples=200)
@given(arrays())
def test_facts_are_numpys(array: np.ndarray) -> None:
    view = view_of(array)
    assert array_of(view).tolist() == array.tolist()
    assert (view.numel, view.itemsize, view.ndim) == (array.size, 2, array.ndim)
    assert view.is_contiguous == array.flags.c_contiguous
    low, high = np.lib.array_utils.byte_bounds(array)
    assert view.span == high - low
    assert view.element_strides == tuple(s // 2 for s in array.strides)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_collapsed_loops_pair_the_same_elements(data: Any) -> None:
    first = data.draw(arrays())
    second = data.draw(arrays(first.shape))
    views = view_of(first), view_of(second)
    for keep_order in (False, True):
        loops = collapse(*views, keep_order=keep_order)
        assert loops.numel == first.size
        assert 1 not in loops.shape
        pairs = []
        for index in itertools.product(*map(range, loops.shape)):
            at = [
                v.element_offset + sum(i * s for i, s in zip(index, steps, strict=True))
                for v, steps in zip(views, loops.strides, strict=True)
            ]
            pairs.append((int(BUFFER[at[0]]), int(BUFFER[at[1]])))
        expected = list(zip(first.flatten().tolist(), second.flatten().tolist(), strict=True))
        assert sorted(pairs) == sorted(expected)
        assert not keep_order or pairs == expected


@pytest.mark.parametrize(
    ("arrays", "loops"),
    [
        ([BUFFER[:24].reshape(2, 3, 4)] * 3, 1),
        ([BUFFER[:24].reshape(2, 3, 4).T] * 2, 1),  # the same order everywhere: one run
        ([BUFFER[:24].reshape(4, 1, 6).swapaxes(0, 2)] * 2, 1),
        ([BUFFER[:24].reshape(4, 6), np.broadcast_to(BUFFER[:6], (4, 6))], 2),
        ([BUFFER[:24].reshape(2, 3, 4), np.broadcast_to(BUFFER[:1], (2, 3, 4))], 1),
        ([BUFFER[:24].reshape(2, 3, 4), BUFFER[:24].reshape(4, 3, 2).T], 3),
        ([BUFFER[:48].reshape(2, 3, 8)[..., ::2]], 1),  # evenly spaced throughout
        ([BUFFER[:48].reshape(2, 3, 8)[..., :4]], 2),
        ([BUFFER[:1].reshape(1, 1)], 0),
    ],
)
def test_loops_are_few(arrays: list[np.ndarray], loops: int) -> None:
    assert len(collapse(*map(view_of, arrays)).shape) == loops


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_broadcasting_is_numpys(data: Any) -> None:
    shape = data.draw(st.lists(st.sampled_from((1, 2, 3)), max_size=3))
    cut = data.draw(st.integers(0, len(shape)))
    other = [data.draw(st.sampled_from((1, n))) for n in shape[cut:]]
    pair = data.draw(arrays(tuple(shape))), data.draw(arrays(tuple(other)))
    made = broadcast(*map(view_of, pair))
    expected = np.broadcast_arrays(*pair)
    assert [array_of(v).tolist() for v in made] == [e.tolist() for e in expected]


def test_nothing_to_reach() -> None:
    empty = StridedView("b", 0, (3, 0), (0, 4), float32)
    assert (empty.span, empty.is_contiguous, empty.numel) == (0, True, 0)
    assert collapse(empty, empty).numel == 0
    assert not needs_64_bit(empty)


def test_indices_that_need_64_bits() -> None:
    make = lambda offset, shape, strides: StridedView("b", offset, shape, strides, float32)
    assert not needs_64_bit(make(0, (1 << 15, 1 << 15), (1 << 17, 4)))
    assert needs_64_bit(make(0, (2, 3), ((1 << 31) * 4, 4)))
    assert needs_64_bit(make((1 << 31) * 4, (1,), (4,)))  # the offset counts
    assert needs_64_bit(make(0, (1 << 16, 1 << 15), (0, 0)))  # so does how many there are


def test_mistakes() -> None:
    with pytest.raises(ValueError, match=r"one number per dim, got \(2,\) and \(\)"):
        StridedView("b", 0, (2,), (), float32)
    for offset, stride in ((2, 4), (0, 6), (0, -4), (-4, 4)):
        with pytest.raises(ValueError, match="multiples of 4 bytes"):
            StridedView("b", offset, (2,), (stride,), float32)
    two, three = (StridedView("b", 0, (n,), (4,), float32) for n in (2, 3))
    with pytest.raises(ValueError, match=r"got shapes \(2,\) and \(3,\)"):
        broadcast(two, three)
    with pytest.raises(ValueError, match="must have one shape"):
        collapse(two, three)
    with pytest.raises(ValueError, match=r"got \(2,\) for \(3,\)"):
        two.expand((3,))
