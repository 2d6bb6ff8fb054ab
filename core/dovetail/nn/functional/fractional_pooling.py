"""Max pooling over windows at random places (``torch.nn.functional``).

Source: Graham, "Fractional max-pooling", 2014.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn.functional.arguments import ntuple

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
]


def _spread(name: str, label: str, value: Any, n: int) -> tuple[int, ...]:
    spread = ntuple(value, n)
    if len(spread) != n:
        raise RuntimeError(f"{name}: {label} must either be a single Int or tuple of Ints")
    return spread


def _starts(sample: Tensor, size: int, places: int, window: int) -> Tensor:
    """(N, C, places): where each window begins; steps differ by one at most."""
    last = sample.new_full((*sample.shape, 1), size - window)
    if places == 1:
        return last.to(dovetail.int64)
    alpha = (size - window) / (places - 1)
    steps = dovetail.arange(places - 1, device=sample.device, dtype=sample.dtype)
    moved = ((steps + sample.unsqueeze(-1)) * alpha).to(dovetail.int64)
    first = (sample * alpha).to(dovetail.int64).unsqueeze(-1)
    return dovetail.cat([moved - first, last.to(dovetail.int64)], -1)


def _windows(
    samples: Tensor, sizes: tuple[int, ...], places: tuple[int, ...], kernel: tuple[int, ...]
) -> Tensor:
    """(N, C, prod(places), prod(kernel)): the elements of every window in a flattened image."""
    n = len(sizes)
    parts = samples.unbind(-1)
    if n == 2:  # the first number is the width's
        parts = parts[::-1]
    flat: Any = 0
    for i, (size, m, k) in enumerate(zip(sizes, places, kernel, strict=True)):
        start = _starts(parts[i], size, m, k)
        offset = dovetail.arange(k, device=samples.device)
        along = start.reshape(*start.shape[:2], *[1] * i, m, *[1] * (2 * n - 1 - i))
        along = along + offset.reshape(k, *[1] * (n - 1 - i))
        flat = flat * size + along
    whole = (*samples.shape[:2], *places, *kernel)
    return flat.expand(whole).reshape(*samples.shape[:2], math.prod(places), math.prod(kernel))  # type: ignore[no-any-return]


def _check(
    name: str, input: Tensor, kernel: tuple[int, ...], places: tuple[int, ...], samples: Tensor
) -> None:
    n = len(kernel)
    labels = ("time", "height", "width")[-n:]
    for label, size, m, k in zip(labels, input.shape[-n:], places, kernel, strict=True):
        if m + k - 1 > size:
            raise RuntimeError(
                f"{name}(): pool {label} {k} too large relative to input {label} {size}"
            )
    if samples.dtype is not input.dtype:
        raise RuntimeError(f"{name}: Expect _random_samples to have the same dtype as input")
    if samples.dim() != 3 or samples.size(2) != n or samples.size(0) < input.shape[0]:
        raise RuntimeError(
            f"{name}: Expect _random_samples to be (batch, channels, {n}), got "
            f"{list(samples.shape)}"
        )


def _pooling(n: int, label: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    name = f"fractional_max_pool{n}d"

    def with_indices(
        input: Tensor,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        if input.dim() not in (n + 1, n + 2):
            raise IndexError(
                f"{name}: input must be {n + 2}-D (batch, channels, …) or {n + 1}-D, got shape "
                f"{tuple(input.shape)}"
            )
        kernel = _spread(name, "kernel_size", kernel_size, n)
        if output_size is None:
            ratios = _spread(name, "output_ratio", output_ratio, n)
            pairs = zip(input.shape[-n:], ratios, strict=True)
            places = tuple(int(size * ratio) for size, ratio in pairs)
        else:
            places = _spread(name, "output_size", output_size, n)
        if min(kernel) <= 0:
            raise RuntimeError(f"{name}: kernel_size must be greater than 0, got {kernel}")
        batched = input if input.dim() == n + 2 else input.unsqueeze(0)
        lead = tuple(batched.shape[:2])
        samples = _random_samples
        if samples is None:
            samples = dovetail.rand(*lead, n, dtype=input.dtype, device=input.device)
        _check(name, batched, kernel, places, samples)
        index = _windows(samples[: lead[0]], tuple(batched.shape[2:]), places, kernel)
        flat = batched.flatten(2)
        seen = flat.gather(2, index.flatten(2)).reshape(index.shape)
        best = seen.detach().argmax(-1, keepdim=True)
        values = seen.gather(-1, best).reshape(*lead, *places)
        indices = index.gather(-1, best).reshape(*lead, *places)
        if batched is input:
            return values, indices
        return values.squeeze(0), indices.squeeze(0)

    def pool(
        input: Tensor,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> Any:
        made = with_indices(
            input, kernel_size, output_size, output_ratio, _random_samples=_random_samples
        )
        return made if return_indices else made[0]

    doc = f"""The largest element of each window, of windows at random places.

    Args:
        input: (N, C, {label}) or (C, {label}).
        kernel_size: size of the windows, one number or {n}.
        output_size: how many windows, one number or {n}.
        output_ratio: instead of that, a share of the input's size.
        return_indices: give the places of the largest elements (in the flattened input) too.
        _random_samples: (N, C, {n}) numbers of [0, 1) that the places follow from; drawn if None.

    Raises:
        ValueError: neither a size nor a ratio.
        RuntimeError: windows that do not fit into the input.
    """
    for function, called in ((with_indices, f"{name}_with_indices"), (pool, name)):
        function.__name__ = function.__qualname__ = called
        function.__doc__ = doc
    return with_indices, pool


fractional_max_pool2d_with_indices, fractional_max_pool2d = _pooling(2, "H, W")
fractional_max_pool3d_with_indices, fractional_max_pool3d = _pooling(3, "D, H, W")
