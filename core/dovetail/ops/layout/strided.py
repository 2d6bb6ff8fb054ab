"""Views by strides, ``as_strided`` and ``unfold``, which may show an element more than once.

So their gradient is a sum: zeros, with each element of the incoming gradient added where it is
shown. It is an operator too (:func:`strided_backward`), whose gradient is the view again.
"""

from __future__ import annotations

from typing import Any

from dovetail.device import device as Device
from dovetail.dtypes import float32
from dovetail.factories import arange, zeros
from dovetail.memory_formats import contiguous_format
from dovetail.ops import expose
from dovetail.ops.families import composite
from dovetail.ops.layout.views import apply_view, view_operator, view_record
from dovetail.ops.schema import Inferred
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, check_dim, storage_of

__all__ = ["as_strided", "strided_backward", "strided_rule", "unfold"]


def _unfold_prepare(spec: Spec, dimension: int, size: int, step: int) -> tuple[Any, ...]:
    dim = check_dim(dimension, spec.ndim)
    n = spec.shape[dim] if spec.ndim else 1
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if size > n:
        raise RuntimeError(
            f"maximum size for tensor at dimension {dimension} is {n} but size is {size}"
        )
    return dim, size, step


def _unfold_back(g: Tensor, spec: Spec, dim: int, size: int, step: int) -> Tensor:
    return strided_backward(
        g,
        shape=tuple(spec.shape),
        rule=("unfold", (dim, size, step)),
    )


@view_operator("unfold", prepare=_unfold_prepare, gradient=_unfold_back)
def unfold(spec: Spec, dim: int, size: int, step: int) -> Any:
    """Windows of ``size`` every ``step`` along one dim; the window is a new last dim."""
    if not spec.ndim:
        return (size,), (1,), 0
    count = (spec.shape[dim] - size) // step + 1
    shape = (*spec.shape[:dim], count, *spec.shape[dim + 1 :], size)
    strides = (*spec.strides[:dim], spec.strides[dim] * step, *spec.strides[dim + 1 :])
    return shape, (*strides, spec.strides[dim]), 0


def _strided_prepare(spec: Spec, size: Any, stride: Any, storage_offset: Any = None) -> Any:
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError(
            f"mismatch in length of strides and shape: {len(size)} sizes, {len(stride)} strides"
        )
    if any(s < 0 for s in stride):
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(stride)}"
        )
    return size, stride, storage_offset


def _strided_back(
    g: Tensor, spec: Spec, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> Tensor:
    return strided_backward(
        g,
        shape=tuple(spec.shape),
        rule=("strided", (size, stride, offset, spec.strides)),
    )


@view_operator("strided", gradient=_strided_back, public=False)
def _strided(
    spec: Spec, size: tuple[int, ...], stride: tuple[int, ...], offset: int, *_: Any
) -> Any:
    return size, stride, offset


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """Any shape and strides over the input's storage; ``storage_offset`` counts from its start.

    Raises:
        RuntimeError: negative strides, or the view reaches past the storage.
    """
    size, stride, at = _strided_prepare(input._spec, size, stride, storage_offset)
    storage = storage_of(input)
    at = input._offset if at is None else at
    reach = at + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1
    item = input._spec.dtype.itemsize
    if 0 not in size and storage.buffer is not None and reach * item > max(storage.nbytes, item):
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {at}, and "
            f"itemsize {item} requiring a storage size of {reach * item} are out of bounds for "
            f"storage of size {storage.nbytes}"
        )
    return apply_view(view_record("strided"), input, (size, stride, at - input._offset))


def strided_rule(shape: tuple[int, ...], rule: Any) -> tuple[int, tuple[Any, ...]]:
    """(elements of the buffer, (size, stride, offset)) of a strided view over it."""
    kind, arguments = rule
    if kind == "strided":
        size, stride, offset, base = arguments
    else:
        spec = spec_of(shape, float32, Device("meta"))
        size, stride, offset = view_record(kind).rule(spec, *arguments)  # type: ignore[attr-defined]
        base = spec.strides
    reach = [
        sum((n - 1) * s for n, s in zip(*pair, strict=True) if n)
        for pair in ((shape, base), (size, stride))
    ]
    span = max(reach[0], reach[1] + offset) + 1
    return span, (size, stride, offset, base)


@composite(
    "strided_backward",
    method=False,
    public=False,
    infer=lambda spec, shape, rule: Inferred((None,), ((shape, spec.dtype),)),
    gradient={"input": lambda g, shape, rule: _strided_of(g, shape, rule)},
)
def strided_backward(input: Any, *, shape: Any, rule: Any) -> Any:
    """Zeros of ``shape``, with ``input`` added at the places that a strided view shows."""
    span, (size, stride, offset, base) = strided_rule(shape, rule)
    low = min(offset, 0)
    buffer = zeros((span - low,), dtype=input.dtype, device=input.device)
    place = arange(span - low, device=input.device).as_strided(size, stride, offset - low)
    buffer = buffer.scatter_add(0, place.reshape(-1), input.reshape(-1))
    return buffer.as_strided(shape, base, -low).clone(memory_format=contiguous_format)


def _strided_of(g: Tensor, shape: Any, rule: Any) -> Tensor:
    _, (size, stride, offset, base) = strided_rule(shape, rule)
    spec = spec_of(tuple(shape), g._spec.dtype, g._spec.device, tuple(base))
    return apply_view(view_record("strided"), g._laid_out_as(spec), (size, stride, offset))  # type: ignore[attr-defined]


def _embed(self: Tensor, base: tuple[Spec, int], part: tuple[Spec, int]) -> Tensor:
    """Zeros shaped as ``base`` whose strided part ``part`` is this tensor."""
    spec, offset = base
    rule = ("strided", (tuple(part[0].shape), part[0].strides, part[1] - offset, spec.strides))
    result: Tensor = strided_backward(self, shape=tuple(spec.shape), rule=rule)
    return result


expose.FUNCTIONS["as_strided"] = as_strided
Tensor.as_strided = as_strided  # type: ignore[attr-defined]
Tensor._embed = _embed  # type: ignore[attr-defined]
