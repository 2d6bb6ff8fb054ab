"""The inverse of max pooling, as far as there is one (``torch.nn.functional``)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.dispatch import call
from dovetail.nn.functional.arguments import ntuple
from dovetail.ops.indexed.index import SCATTER
from dovetail.ops.indexed.index_checks import check_bounds

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["max_unpool1d", "max_unpool2d", "max_unpool3d"]

Sizes = tuple[int, ...]


def _output_size(input: Tensor, kernel: Sizes, stride: Sizes, padding: Sizes, given: Any) -> Sizes:
    n = len(kernel)
    parts = zip(input.shape[-n:], kernel, stride, padding, strict=True)
    default = [(m - 1) * s + k - 2 * p for m, k, s, p in parts]
    if given is None:
        size = default
    else:
        size = list(given)
        if len(size) == n + 2:
            size = size[2:]
        if len(size) != n:
            raise ValueError(
                f"output_size should be a sequence containing {n} or {n + 2} elements, but it has "
                f"a length of '{len(size)}'"
            )
        for dim, (m, middle, step) in enumerate(zip(size, default, stride, strict=True)):
            if not middle - step < m < middle + step:
                shown = type(given)(given) if len(given) == n else given[2:]
                raise ValueError(
                    f'invalid output_size "{shown}" (dim {dim} must be between '
                    f"{middle - step} and {middle + step})"
                )
    for dim, m in enumerate(size):
        if m < 0:
            raise ValueError(
                "max_unpooling: output_size must contain non-negative spatial dimensions, but got "
                f"output_size[{dim}]={m}"
            )
    return tuple(size)


def _check(name: str, n: int, input: Tensor, indices: Tensor) -> None:
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(
            f"Input to {name} should be a {n + 1}d or {n + 2}d Tensor, but got a tensor with "
            f"{input.dim()} dimensions."
        )
    if indices.dtype is not dovetail.int64:
        raise RuntimeError(
            f"elements in indices should be type int64 but got: {indices.dtype} ({name})"
        )
    if indices.shape != input.shape:
        raise RuntimeError(
            "Expected shape of indices to be same as that of the input tensor "
            f"({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}"
        )
    for dim, size in enumerate(input.shape[input.dim() - n - 1 :], input.dim() - n - 1):
        if not size:
            raise RuntimeError(
                f"{name}: Expected input to have non-zero size for non-batch dimensions, but got "
                f"{list(input.shape)} with dimension {dim} being empty."
            )
    if not input.is_floating_point():
        raise NotImplementedError(f"{name} is not implemented for {input.dtype}")


def _unpooling(n: int) -> Callable[..., Tensor]:
    name = f"max_unpool{n}d"

    def max_unpool(
        input: Tensor,
        indices: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        output_size: Any = None,
    ) -> Tensor:
        kernel = ntuple(kernel_size, n)
        steps = kernel if stride is None else ntuple(stride, n)
        size = _output_size(input, kernel, steps, ntuple(padding, n), output_size)
        _check(name, n, input, indices)
        if min(steps) <= 0:
            raise RuntimeError(f"{name}: stride must be greater than zero, got {steps}")
        shown = "x".join(map(str, size))
        sentence = f"Found an invalid max index: {{index}} (output volumes are of size {shown})"
        check_bounds(indices, math.prod(size), sentence)
        lead = input.shape[:-n]
        nothing = input.new_zeros((*lead, math.prod(size)))
        write = SCATTER.part_of(name, sentence)
        inputs = (nothing, indices.flatten(-n), input.flatten(-n))
        filled = call(write, inputs, (nothing.dim() - 1,))
        return filled.reshape(*lead, *size)

    max_unpool.__name__ = max_unpool.__qualname__ = name
    max_unpool.__doc__ = f"""Zeros with the elements of a max pooling back in their places.

    Args:
        input: what ``max_pool{n}d`` gave, (N, C, *) or (C, *).
        indices: the indices that it gave, int64.
        kernel_size: size of its window, one number or {n}.
        stride: step of its window; the window's size if None.
        padding: of its input.
        output_size: the size of its input, with or without N and C, where several have the same
            pooled size.

    Raises:
        ValueError: an output size that cannot be.
        RuntimeError: an index outside of it, or other shapes and dtypes.
    """
    return max_unpool


max_unpool1d, max_unpool2d, max_unpool3d = (_unpooling(n) for n in (1, 2, 3))
