"""Sliding blocks of images as columns, and back (``torch.nn.functional``)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dovetail.nn.functional.arguments import ntuple
from dovetail.ops.calling import told
from dovetail.ops.layout.columns import col2im, im2col
from dovetail.ops.layout.windows import places_of

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["fold", "unfold"]

Pair = tuple[int, ...]


def _pairs(**given: Any) -> list[Pair]:
    made: list[Pair] = []
    for name, value in given.items():
        pair = ntuple(value, 2)
        if len(pair) != 2:
            raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(pair)}")
        made.append(pair)
    return made


def _check(kernel: Pair, dilation: Pair, padding: Pair, stride: Pair) -> None:
    checked = {"kernel size": ("kernel", kernel), "dilation": ("dilation", dilation)}
    checked |= {"padding": ("pad", padding), "stride": ("stride", stride)}
    for label, (short, (height, width)) in checked.items():
        least, wanted = (0, "non-negative") if short == "pad" else (1, "greater than zero")
        if height < least or width < least:
            raise RuntimeError(
                f"{label} should be {wanted}, but got {short}_height: {height} "
                f"{short}_width: {width}"
            )


def _remembering(make: Callable[..., Any]) -> Callable[..., Any]:
    """``make`` of shapes and options, looked at when they first come; lists are each time."""
    known = functools.lru_cache(maxsize=1024, typed=True)(make)

    def find(*given: Any) -> Any:
        try:
            return known(*given)
        except TypeError:
            return make(*given)

    return find


@told
def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Sliding blocks of a batch of images, as columns.

    Args:
        input: (N, C, H, W) or (C, H, W).
        kernel_size: size of the blocks, one number or two.
        dilation: distance between the elements of a block.
        padding: zeros on all sides.
        stride: step of the block.

    Returns:
        (N, C x kH x kW, blocks), or without N.

    Raises:
        RuntimeError: shapes or options that do not fit.
    """
    kernel, gaps, sides, steps = _unfolded(
        tuple(input.shape), kernel_size, dilation, padding, stride
    )
    batched = input if input._spec.ndim == 4 else input.unsqueeze(0)
    made = im2col(batched, kernel_size=kernel, stride=steps, padding=sides, dilation=gaps)
    return made if input._spec.ndim == 4 else made.squeeze(0)  # type: ignore[no-any-return]


@_remembering
def _unfolded(
    shape: tuple[int, ...], kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[Pair, ...]:
    kernel, gaps, sides, steps = _pairs(
        kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
    )
    _check(kernel, gaps, sides, steps)
    if len(shape) not in (3, 4) or 0 in shape[-3:]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {list(shape)}"
        )
    size = shape[-2:]
    places = places_of(size, kernel, steps, sides, gaps)
    if min(places) < 1:
        raise RuntimeError(
            f"Given input with spatial size {size}, kernel_size={kernel}, dilation={gaps}, "
            f"padding={sides}, calculated shape of the array of sliding blocks as {places}, but "
            "its components must be at least one."
        )
    return kernel, gaps, sides, steps


@told
def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Columns added up to images: blocks that overlap add.

    Args:
        input: (N, C x kH x kW, blocks), or without N.
        output_size: (H, W) of the images.
        kernel_size: size of the blocks, one number or two.
        dilation: distance between the elements of a block.
        padding: zeros on all sides.
        stride: step of the block.

    Returns:
        (N, C, H, W), or without N.

    Raises:
        RuntimeError: shapes or options that do not fit.
    """
    channels, size, kernel, gaps, sides, steps = _folded(
        tuple(input.shape), output_size, kernel_size, dilation, padding, stride
    )
    batched = input if input._spec.ndim == 3 else input.unsqueeze(0)
    made = col2im(
        batched,
        input_shape=(batched._spec.shape[0], channels, *size),
        kernel_size=kernel,
        stride=steps,
        padding=sides,
        dilation=gaps,
    )
    return made if input._spec.ndim == 3 else made.squeeze(0)  # type: ignore[no-any-return]


@_remembering
def _folded(
    shape: tuple[int, ...], output_size: Any, kernel_size: Any, dilation: Any, padding: Any,
    stride: Any,
) -> tuple[Any, ...]:  # fmt: skip
    size, kernel, gaps, sides, steps = _pairs(
        output_size=output_size,
        kernel_size=kernel_size,
        dilation=dilation,
        padding=padding,
        stride=stride,
    )
    _check(kernel, gaps, sides, steps)
    if len(shape) not in (2, 3) or 0 in shape[-2:]:
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {list(shape)}"
        )
    rows, columns = shape[-2:]
    if rows % (kernel[0] * kernel[1]):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
            f"but got input.size(1)={rows} and kernel_size={kernel}."
        )
    places = tuple(max(n, 0) for n in places_of(size, kernel, steps, sides, gaps))
    if places[0] * places[1] != columns or min(places) < 1:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={gaps}, padding={sides}, "
            f"stride={steps}, expected size of input's dimension 2 to match the calculated number "
            f"of sliding blocks {places[0]} * {places[1]} = {places[0] * places[1]}, but got "
            f"input.size(2)={columns}."
        )
    return rows // (kernel[0] * kernel[1]), size, kernel, gaps, sides, steps
