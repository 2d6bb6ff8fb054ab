"""Shapes as users give them: sizes as ints, -1 worked out, and the strides that show memory so."""

from __future__ import annotations

from typing import Any

from dovetail.spec import Spec, contiguous_strides

__all__ = ["as_ints", "fill_in", "viewed_strides"]


def as_ints(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence, as ints.

    Raises:
        TypeError: something is not an integer.
    """
    try:
        if len(sizes) == 1 and not hasattr(sizes[0], "__index__"):
            sizes = tuple(sizes[0])
        return tuple(n.__index__() for n in sizes)
    except (AttributeError, TypeError):
        raise TypeError(f"sizes must be integers or one sequence of them, got {sizes}") from None


def fill_in(shape: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """A target shape with its -1 worked out.

    Raises:
        RuntimeError: two -1, or the sizes do not fit.
    """
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    known = 1
    for n in shape:
        if n < -1:
            raise RuntimeError(f"invalid shape dimension {n}")
        known *= n if n != -1 else 1
    if -1 in shape:
        if known == 0:
            if numel == 0:
                raise RuntimeError(
                    f"cannot reshape tensor of 0 elements into shape {list(shape)} because the "
                    "unspecified dimension size -1 can be any value and is ambiguous"
                )
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
        if numel % known == 0:
            return tuple(numel // known if n == -1 else n for n in shape)
    elif known == numel:
        return shape
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")


def viewed_strides(spec: Spec, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides of ``spec`` seen as ``shape``, or None where memory would have to move.

    Source: the same question is answered by PyTorch's ``computeStride``.
    """
    if spec.numel == 0 or spec.is_contiguous:
        if spec.is_contiguous and spec.numel:
            return contiguous_strides(shape)
        return spec.strides if tuple(spec.shape) == shape else contiguous_strides(shape)
    out: list[int] = []
    at = len(shape) - 1
    chunk, step, numel = 1, spec.strides[-1], 1
    for i in range(spec.ndim - 1, -1, -1):
        numel *= spec.shape[i]
        joins = i > 0 and (spec.shape[i - 1] == 1 or spec.strides[i - 1] == numel * step)
        if joins:
            continue
        chunk = 1
        while at >= 0 and (chunk < numel or shape[at] == 1):
            out.append(chunk * step)
            chunk *= shape[at]
            at -= 1
        if chunk != numel:
            return None
        if i > 0:
            step, numel = spec.strides[i - 1], 1
    return tuple(reversed(out)) if at == -1 else None
