"""A copy of a tensor with one of its views written over.

select_scatter, slice_scatter, diagonal_scatter, as_strided_scatter: what writing through the view
would give, out of place. The result has the strides of the input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.dispatch import call
from dovetail.ops.by_specs import function_by_specs
from dovetail.ops.expose import attach, publish
from dovetail.ops.families import draw
from dovetail.ops.indexed.index_checks import need_tensor
from dovetail.ops.layout.convert import writable_copy
from dovetail.ops.layout.strided import _strided_prepare
from dovetail.ops.layout.view_parts import _diagonal_prepare, _select_prepare, _slice_prepare
from dovetail.ops.layout.views import apply_view, view_record
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["as_strided_scatter"]

Shape = tuple[int, ...]


def _window(spec: Spec, view: str, arguments: tuple[Any, ...]) -> tuple[Shape, Shape, int]:
    """(shape, strides, start) of a view of ``spec``."""
    shape, strides, start = view_record(view).rule(spec, *arguments)  # type: ignore[attr-defined]
    return tuple(shape), tuple(strides), start


def _kept(spec: Spec) -> Spec:
    """The spec of a copy: as PyTorch's, it has the input's gaps, where no two elements overlap."""
    pairs = zip(spec.strides, spec.shape, strict=True)
    span = 1
    for step, n in sorted(pair for pair in pairs if pair[1] > 1):
        if step < span:
            return spec.dense()
        span += step * (n - 1)
    return spec


def _rule(view: str) -> Callable[..., Inferred]:
    def infer(input: Spec, src: Spec, arguments: tuple[Any, ...]) -> Inferred:
        shape = _window(_kept(input), view, arguments)[0]
        if tuple(src.shape) != shape:
            raise RuntimeError(
                "expected src to have a size equal to the slice of self. src size = "
                f"{list(src.shape)}, slice size = {list(shape)}"
            )
        strides = _kept(input).strides
        return Inferred((None, input.dtype), ((tuple(input.shape), input.dtype, strides),))

    return infer


def _written(view: str) -> Callable[..., Any]:
    def decompose(input: Any, src: Any, arguments: tuple[Any, ...]) -> Any:
        made = writable_copy(input, src)
        apply_view(view_record(view), made, arguments).copy_(src)
        return made

    return decompose


def _reference(places: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """From which elements a view of numbered ones shows to what is written."""

    def reference(x: np.ndarray, src: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
        out = np.array(x)
        numbers = np.arange(x.size).reshape(x.shape)
        out.reshape(-1)[places(numbers, *args, **kwargs)] = src
        return out

    return reference


def _view_scatter(
    name: str,
    view: str,
    places: Callable[..., np.ndarray],
    cases: tuple[Any, ...],
    errors: Any,
    public: bool = True,
) -> OpDef:
    """A record; ``cases`` are (shape of input, arguments)."""

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        found = []
        for shape, arguments in cases:
            part = places(np.zeros(shape), *arguments).shape
            x, src = draw(rng, shape, dtype, -5, 5), draw(rng, part, dtype, -5, 5)
            found.append(Sample((x, src, *arguments)))
        return found

    # Strides count through rows, whatever a gradient's own are.
    in_order = Tensor.contiguous if view == "strided" else lambda g: g
    op = OpDef(
        name,
        kind="index",
        inputs=("input", "src"),
        attributes=("arguments",),
        infer=_rule(view),
        decompose=_written(view),
        gradient={
            "input": lambda g, specs, arguments: call(
                op, (in_order(g), g.new_zeros(tuple(specs[1].shape))), (arguments,)
            ),
            "src": lambda g, arguments: apply_view(view_record(view), in_order(g), arguments),
        },
        reference=_reference(places),
        samples=samples,
        errors=errors,
        method=public,
        public=public,
    )
    return op


def _both(name: str, input: Any, src: Any) -> Spec:
    need_tensor(name, "src", 2, src)
    return need_tensor(name, "input", 1, input)._spec


_X, _ROW = np.zeros((2, 3), np.float32), np.zeros(3, np.float32)

# ---------------------------------------------------------- select_scatter

SELECT = _view_scatter(
    "select_scatter",
    "select",
    lambda x, dim, index: x.take(index, dim),
    (((3, 4), (0, 1)), ((3, 4), (-1, -2)), ((2, 3, 4), (1, 2)), ((5,), (0, 4)), ((2, 0), (0, 1))),
    lambda: [
        ErrorInput((_X, _ROW, 1, 0), {}, RuntimeError, "src to have a size equal to the slice"),
        ErrorInput((_X, _ROW, 0, 2), {}, IndexError, "index 2"),
        ErrorInput((_X, _ROW, 2, 0), {}, IndexError, "Dimension out of range"),
    ],
)  # fmt: skip


def _select_inputs(
    input: Tensor, src: Tensor, dim: int, index: int
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    arguments = _select_prepare(_both("select_scatter", input, src), dim, index)
    return (input, src), (arguments,)


@function_by_specs(SELECT, _select_inputs)
def _select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """``input`` with ``src`` at one index of ``dim``.

    Args:
        src: the input's shape without ``dim``.

    Raises:
        RuntimeError: ``src`` has another shape.
        IndexError: the dim or the index is out of range.
    """
    made: Tensor = call(SELECT, *_select_inputs(input, src, dim, index))
    return made


# ----------------------------------------------------------- slice_scatter


def _sliced(x: np.ndarray, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]


SLICE = _view_scatter(
    "slice_scatter",
    "slice",
    _sliced,
    (
        ((5, 2), (0, 1, 4)), ((3, 7), (-1, 1, None, 2)), ((4,), ()), ((2, 5), (1, -3, -1)),
        ((5,), (0, 3, 100)), ((5,), (0, 4, 2)), ((2, 0), (0, 1)),
    ),
    lambda: [
        ErrorInput((_X, _ROW, 0, 1), {}, RuntimeError, "src to have a size equal to the slice"),
        ErrorInput((_X, _X, 0, 0, 2, 0), {}, RuntimeError, "slice step must be positive"),
        ErrorInput((_X, _X, 2), {}, IndexError, "Dimension out of range"),
    ],
)  # fmt: skip


def _slice_inputs(
    input: Tensor, src: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    spec = _both("slice_scatter", input, src)
    if not spec.ndim:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    arguments = _slice_prepare(spec, dim, start, end, step)
    return (input, src), (arguments,)


@function_by_specs(SLICE, _slice_inputs)
def _slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Tensor:
    """``input`` with ``src`` in a slice of ``dim``.

    Args:
        src: the slice's shape.

    Raises:
        RuntimeError: ``src`` has another shape, or the step is not positive.
        IndexError: the dim is out of range.
    """
    made: Tensor = call(SLICE, *_slice_inputs(input, src, dim, start, end, step))
    return made


# -------------------------------------------------------- diagonal_scatter

DIAGONAL = _view_scatter(
    "diagonal_scatter",
    "diagonal",
    lambda x, offset=0, a=0, b=1: np.diagonal(x, offset, a, b),
    (
        ((4, 4), ()), ((3, 5), (1,)), ((3, 5), (-2,)), ((2, 3, 4), (0, 1, 2)), ((3, 3), (5,)),
        ((2, 3, 3), (1, -1, 0)),
    ),
    lambda: [
        ErrorInput((_X, _ROW), {}, RuntimeError, "src to have a size equal to the slice"),
        ErrorInput((_X, _ROW, 0, 1, 1), {}, RuntimeError, "dimensions cannot be identical"),
    ],
)  # fmt: skip


def _diagonal_inputs(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    spec = _both("diagonal_scatter", input, src)
    arguments = _diagonal_prepare(spec, offset, dim1, dim2)
    return (input, src), (arguments,)


@function_by_specs(DIAGONAL, _diagonal_inputs)
def _diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """``input`` with ``src`` on a diagonal.

    Args:
        src: the shape of ``input.diagonal(offset, dim1, dim2)``.

    Raises:
        RuntimeError: ``src`` has another shape, or both dims are the same.
        IndexError: a dim is out of range.
    """
    made: Tensor = call(DIAGONAL, *_diagonal_inputs(input, src, offset, dim1, dim2))
    return made


# ------------------------------------------------------ as_strided_scatter


def _strided(x: np.ndarray, size: Any, stride: Any, offset: int) -> np.ndarray:
    steps = [n * x.itemsize for n in stride]
    return np.lib.stride_tricks.as_strided(x.reshape(-1)[offset:], size, steps)


STRIDED = _view_scatter(
    "strided_scatter",
    "strided",
    _strided,
    (
        ((3, 4), ((2, 2), (1, 2), 0)), ((3, 4), ((3,), (5,), 1)), ((6,), ((2, 3), (3, 1), 0)),
        ((4, 2), ((), (), 3)), ((2, 2), ((0, 2), (1, 1), 1)),
    ),
    None,
    public=False,
)  # fmt: skip
"""``input`` in row-major order with ``src`` in places that strides count through it."""


def _strided_scatter(input: Tensor, src: Tensor, size: Any, stride: Any, offset: int) -> Tensor:
    """``input`` with ``src`` in places that strides count through it, in row-major order."""
    return call(STRIDED, (input.contiguous(), src), ((tuple(size), tuple(stride), offset),))


@publish()
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """``input`` with ``src`` in ``input.as_strided(size, stride, storage_offset)``.

    Args:
        src: of shape ``size``.

    Raises:
        RuntimeError: ``src`` has another shape, negative strides, or places out of bounds.
    """
    spec = _both("as_strided_scatter", input, src)
    size, stride, at = _strided_prepare(spec, size, stride, storage_offset)
    at = input._offset if at is None else at
    reach = at + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1
    length = input._offset + spec.span
    if 0 not in size and reach > length:
        item = spec.dtype.itemsize
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {at}, and "
            f"itemsize {item} requiring a storage size of {reach * item} are out of bounds for "
            f"storage of size {length * item}"
        )
    if spec.is_contiguous and at >= input._offset:
        return _strided_scatter(input, src, size, stride, at - input._offset)
    # Strides count through the memory, gaps and what comes before the input included.
    memory = input.as_strided((length,), (1,), 0)
    made = _strided_scatter(memory, src, size, stride, at)
    result: Tensor = made.as_strided(tuple(spec.shape), spec.strides, input._offset)
    return result


for _op, _function in (
    (SELECT, _select_scatter), (SLICE, _slice_scatter), (DIAGONAL, _diagonal_scatter),
):  # fmt: skip
    attach(_op, _function, out=_op is SLICE)  # the only one of which PyTorch has it
attach(STRIDED, _strided_scatter)


# ---------------------------------------------------------- fill_diagonal_


def _fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Write a number on the main diagonal, in place.

    The tensor is 2-D, or has equal sizes in more dims.

    Args:
        wrap: begin again, one row below the end, where a matrix is higher than it is wide.

    Raises:
        RuntimeError: fewer than 2 dims, or more of different sizes.
    """
    spec = self._spec
    if spec.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    if spec.ndim > 2 and len(set(spec.shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    height, width = spec.shape[:2]
    starts = range(0, height, width + 1) if wrap and spec.ndim == 2 else (0,)
    for start in starts:
        line: Any = self.narrow(0, start, height - start)
        while line.ndim > 1:
            line = line.diagonal()
        line.fill_(fill_value)
    return self


_fill_diagonal_.__name__, _fill_diagonal_.__qualname__ = "fill_diagonal_", "Tensor.fill_diagonal_"
Tensor.fill_diagonal_ = _fill_diagonal_  # type: ignore[attr-defined]
