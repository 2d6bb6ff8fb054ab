"""Pooling of one, two and three spatial dims (PyTorch's ``torch.nn.functional`` page).

The dims differ only in number, so each family is one function that is made three times.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dovetail import ops
from dovetail.nn.functional.arguments import ntuple
from dovetail.nn.functional.planned import finder

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
]


_max_pool, _max_values = finder("max_pool"), finder("max_pool", first=True)
_avg_pool = finder("avg_pool")


def _spread(name: str, label: str, value: Any, n: int) -> tuple[int, ...]:
    spread = ntuple(value, n)
    if len(spread) == 1:
        spread *= n
    if len(spread) != n:
        raise RuntimeError(f"{name}: {label} must be one number or {n} of them, got {spread}")
    return spread


def _batched(name: str, n: int, input: Tensor) -> tuple[Tensor, bool]:
    """The input with a batch dim, and whether it had one."""
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(
            f"{name}: input must be {n + 2}-D (batch, channels, …) or {n + 1}-D (channels, …), "
            f"got shape {tuple(input.shape)}"
        )
    is_batch = input.dim() == n + 2
    return (input if is_batch else input.unsqueeze(0)), is_batch


def _windows(
    name: str, n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel, stride, padding and dilation, one number per spatial dim, checked."""
    kernel = _spread(name, "kernel_size", kernel_size, n)
    has_stride = stride is not None and stride != () and stride != []
    steps = _spread(name, "stride", stride, n) if has_stride else kernel
    sides = _spread(name, "padding", padding, n)
    gaps = _spread(name, "dilation", dilation, n)
    for label, values in (("kernel_size", kernel), ("stride", steps), ("dilation", gaps)):
        if any(value <= 0 for value in values):
            raise RuntimeError(f"{name}: {label} must be greater than 0, got {values}")
    for side, size, gap in zip(sides, kernel, gaps, strict=True):
        if side < 0:
            raise RuntimeError(f"{name}: padding must not be negative, got {sides}")
        if side > ((size - 1) * gap + 1) // 2:
            raise RuntimeError(
                "pad should be at most half of effective kernel size, but got "
                f"pad={side}, kernel_size={size} and dilation={gap} ({name})"
            )
    return kernel, steps, sides, gaps


def _check_output(
    name: str,
    input: Tensor,
    windows: tuple[tuple[int, ...], ...],
    ceil_mode: bool,
) -> None:
    kernel, stride, padding, dilation = windows
    n = len(kernel)
    slack = [step - 1 if ceil_mode else 0 for step in stride]
    for i, size in enumerate(input.shape[-n:]):
        room = size + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1 + slack[i]
        if room < 0:
            raise RuntimeError(
                f"{name}: the window must fit in the padded input, got kernel_size={kernel}, "
                f"padding={padding}, dilation={dilation} and input of shape {tuple(input.shape)}"
            )


def _check_volume(input: Tensor, kernel: tuple[int, ...]) -> None:
    """What PyTorch asks of means in three dims alone: padding makes no room for a window."""
    volume = tuple(input.shape[-3:])
    if any(size < window for size, window in zip(volume, kernel, strict=True)):
        (t, h, w), (kt, kh, kw) = volume, kernel
        raise RuntimeError(
            f"input image (T: {t} H: {h} W: {w}) smaller than kernel size "
            f"(kT: {kt} kH: {kh} kW: {kw})"
        )


def _max_pooling(n: int) -> Callable[..., Any]:
    name = f"max_pool{n}d"

    def max_pool(
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        given = (kernel_size, kernel_size if stride is None else stride, padding, dilation)
        spread = [x if x.__class__ is tuple else (x,) * n for x in given]
        find = _max_pool if return_indices else _max_values
        run = find(input, (*spread, ceil_mode))
        if run is not None:
            return run(input)
        windows = _windows(name, n, kernel_size, stride, padding, dilation)
        batched, is_batch = _batched(name, n, input)
        _check_output(name, input, windows, ceil_mode)
        kernel, steps, sides, gaps = windows
        values, indices = ops.max_pool(
            batched,
            kernel_size=kernel,
            stride=steps,
            padding=sides,
            dilation=gaps,
            ceil_mode=bool(ceil_mode),
        )
        if not is_batch:
            values, indices = values.squeeze(0), indices.squeeze(0)
        return (values, indices) if return_indices else values

    max_pool.__name__ = max_pool.__qualname__ = name
    max_pool.__doc__ = f"""The largest element of each window, over {n} spatial dim{"s" * (n > 1)}.

    Args:
        input: (N, C, *) or (C, *).
        kernel_size: size of the window, one number or {n}.
        stride: step of the window; the window's size if None.
        padding: minus infinity on both sides, at most half the window.
        dilation: distance between the window's elements.
        ceil_mode: a window may hang over the end.
        return_indices: give the places of the largest elements (in the flattened input) too.

    Raises:
        RuntimeError: shapes or options that do not fit together.
    """
    return max_pool


def _average_pooling(n: int) -> Callable[..., Tensor]:
    name = f"avg_pool{n}d"

    def avg_pool(
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        given = (kernel_size, kernel_size if stride is None else stride, padding)
        spread = [x if x.__class__ is tuple else (x,) * n for x in given]
        options = (ceil_mode, count_include_pad, divisor_override)
        run = _avg_pool(input, (*spread, *options))
        if run is not None:
            return run(input)  # type: ignore[no-any-return]
        windows = _windows(name, n, kernel_size, stride, padding, 1)
        batched, is_batch = _batched(name, n, input)
        if n == 3:
            _check_volume(input, windows[0])
        _check_output(name, input, windows, ceil_mode)
        if divisor_override == 0:
            raise RuntimeError(f"{name}: divisor_override must not be zero")
        kernel, steps, sides, _ = windows
        result = ops.avg_pool(
            batched,
            kernel_size=kernel,
            stride=steps,
            padding=sides,
            ceil_mode=bool(ceil_mode),
            count_include_pad=bool(count_include_pad),
            divisor_override=divisor_override,
        )
        return result if is_batch else result.squeeze(0)

    avg_pool.__name__ = avg_pool.__qualname__ = name
    avg_pool.__doc__ = f"""The mean of each window, over {n} spatial dim{"s" * (n > 1)}.

    Args:
        input: (N, C, *) or (C, *).
        kernel_size: size of the window, one number or {n}.
        stride: step of the window; the window's size if None.
        padding: zeros on both sides, at most half the window.
        ceil_mode: a window may hang over the end.
        count_include_pad: the padding counts in the mean.
        divisor_override: divide by this instead of the number of elements.

    Raises:
        RuntimeError: shapes or options that do not fit together.
    """
    return avg_pool


def _sizes(name: str, n: int, input: Tensor, output_size: Any) -> tuple[int, ...]:
    wanted = _spread(name, "output_size", output_size, n)
    sizes = tuple(
        input.shape[i - n] if size is None else int(size) for i, size in enumerate(wanted)
    )
    if any(size < 0 for size in sizes):
        raise RuntimeError(f"{name}: output_size must not be negative, got {sizes}")
    return sizes


def _adaptive_average(n: int) -> Callable[..., Tensor]:
    name = f"adaptive_avg_pool{n}d"

    def adaptive_avg_pool(input: Tensor, output_size: Any) -> Tensor:
        batched, is_batch = _batched(name, n, input)
        sizes = _sizes(name, n, input, output_size)
        result = ops.adaptive_avg_pool(batched, output_size=sizes)
        return result if is_batch else result.squeeze(0)

    adaptive_avg_pool.__name__ = adaptive_avg_pool.__qualname__ = name
    adaptive_avg_pool.__doc__ = """The means of windows chosen so that the output has this size.

    Args:
        input: (N, C, *) or (C, *).
        output_size: one number or one per spatial dim; None keeps the input's.
    """
    return adaptive_avg_pool


def _adaptive_max(n: int) -> Callable[..., Any]:
    name = f"adaptive_max_pool{n}d"

    def adaptive_max_pool(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        batched, is_batch = _batched(name, n, input)
        sizes = _sizes(name, n, input, output_size)
        values, indices = ops.adaptive_max_pool(batched, output_size=sizes)
        if not is_batch:
            values, indices = values.squeeze(0), indices.squeeze(0)
        return (values, indices) if return_indices else values

    adaptive_max_pool.__name__ = adaptive_max_pool.__qualname__ = name
    adaptive_max_pool.__doc__ = """The largest elements of windows chosen for this output size.

    Args:
        input: (N, C, *) or (C, *).
        output_size: one number or one per spatial dim; None keeps the input's.
        return_indices: give the places of the largest elements (in the flattened input) too.
    """
    return adaptive_max_pool


max_pool1d, max_pool2d, max_pool3d = (_max_pooling(n) for n in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (_average_pooling(n) for n in (1, 2, 3))
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (
    _adaptive_average(n) for n in (1, 2, 3)
)
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (
    _adaptive_max(n) for n in (1, 2, 3)
)


def _with_indices(pool: Callable[..., Any]) -> Callable[..., tuple[Tensor, Tensor]]:
    """A max pooling that always gives indices."""

    def pool_with_indices(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        given = inspect.signature(pool).bind(*args, **kwargs).arguments
        return pool(**{**given, "return_indices": True})  # type: ignore[no-any-return]

    pool_with_indices.__name__ = pool_with_indices.__qualname__ = f"{pool.__name__}_with_indices"
    pool_with_indices.__doc__ = f""":func:`{pool.__name__}` with ``return_indices=True``."""
    pool_with_indices.__signature__ = inspect.signature(pool)  # type: ignore[attr-defined]
    return pool_with_indices


max_pool1d_with_indices, max_pool2d_with_indices, max_pool3d_with_indices = (
    _with_indices(pool) for pool in (max_pool1d, max_pool2d, max_pool3d)
)
(
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d_with_indices,
) = (
    _with_indices(pool) for pool in (adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d)
)
