"""Images read at the places of a grid, and the gradients for both: ``grid_sample``.

Shapes: input (N, C, *S), grid (N, *P, len(S)) with coordinates from -1 to 1, x (the last of S)
first, out and its gradient (N, C, *P). Arguments are checked in ``nn.functional.sampling``.

Along each dim an output is the sum of one, two or four elements (taps), each padded and weighed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.factories import zeros_like
from dovetail.ops.families import composite, draw
from dovetail.ops.layers.grid_reference import reference, reference_grid, reference_input
from dovetail.ops.layers.reading import read_at
from dovetail.ops.schema import Inferred, Sample, Tolerance
from dovetail.spec import Spec

__all__: list[str] = []

Sizes = tuple[int, ...]
Tap = tuple[Any, Any]
"""Where it is, (N, P) of whole numbers that may be outside; and its weight, or None for 1."""


def _pixels(x: Any, size: int, align: bool) -> Any:
    """Coordinates from -1 to 1 as places among ``size`` elements."""
    return (x + 1) / 2 * (size - 1) if align else ((x + 1) * size - 1) / 2


def _per_coordinate(size: int, align: bool) -> float:
    return (size - 1) / 2 if align else size / 2


def _is_within(x: Any, size: int) -> Any:
    return (x > 0) & (x < size - 1)


def _clipped(x: Any, size: int) -> Any:
    """Within [0, size - 1], NaN as 0; at both ends and beyond there is no gradient, as in
    PyTorch."""
    edge = ops.where(x >= size - 1, float(size - 1), 0.0).to(x.dtype)
    return ops.where(_is_within(x, size), x, edge)


def _mirror(x: Any, size: int, align: bool) -> tuple[Any, Any, Any, float, float]:
    """(how far from the low end, how far since the last of the ends, whether that was the low one,
    low end, span)."""
    low, span = (0.0, size - 1.0) if align else (-0.5, float(size))
    away = ops.where(x < low, low - x, x - low)
    flips = (away / span).detach().floor()
    return away, away - flips * span, flips.remainder(2) == 0, low, span


def _reflected(x: Any, size: int, align: bool) -> Any:
    """Mirrored at both ends as often as needed."""
    if align and size == 1:
        return x * 0
    _, extra, is_even, low, span = _mirror(x, size, align)
    return ops.where(is_even, extra + low, span - extra + low)


def _padded(x: Any, size: int, padding: str, align: bool) -> Any:
    """Places outside brought inside, by the mode of padding; with zeros they stay outside."""
    if padding == "zeros":
        return x
    if padding == "reflection":
        x = _reflected(x, size, align)
    return _clipped(x, size)


def _turn(x: Any, size: int, padding: str, align: bool) -> Any:
    """The derivative of :func:`_padded`: 1, -1 or, where it is clipped, 0."""
    if padding == "zeros":
        return 1.0
    if padding == "border":
        return _is_within(x, size).to(x.dtype)
    if align and size == 1:
        return 0.0
    low = 0.0 if align else -0.5
    is_even = _mirror(x, size, align)[2]
    inside = _is_within(_reflected(x, size, align), size)
    rises = (x < low) != is_even
    return ops.where(rises, 1.0, -1.0).to(x.dtype) * inside


def _near(x: Any) -> Any:
    """Keys' cubic convolution (1981) with a = -0.75, of what is within 1."""
    return (1.25 * x - 2.25) * x * x + 1


def _far(x: Any) -> Any:
    """The same, of what is from 1 to 2 away."""
    return ((-0.75 * x + 3.75) * x - 6) * x + 3


def _near_slope(x: Any) -> Any:
    return (3.75 * x - 4.5) * x


def _far_slope(x: Any) -> Any:
    return (-2.25 * x + 7.5) * x - 6


def _cubic_ends(x: Any, size: int, padding: str, align: bool) -> tuple[list[Any], Any]:
    """Where the four neighbours are, and how far the place is behind the second."""
    low = x.detach().floor()
    at = [_padded(low + step, size, padding, align).round() for step in range(-1, 3)]
    return at, x - low


def _taps(x: Any, size: int, mode: str, padding: str, align: bool) -> list[Tap]:
    """The taps along a dim, of coordinates (N, P)."""
    place = _pixels(x, size, align)
    if mode == "bicubic":
        at, t = _cubic_ends(place, size, padding, align)
        return list(zip(at, (_far(t + 1), _near(t), _near(1 - t), _far(2 - t)), strict=True))
    place = _padded(place, size, padding, align)
    if mode == "nearest":
        return [(place.detach().round(), None)]
    low = place.detach().floor()
    share = place - low
    return [(low, 1 - share), (low + 1, share)]


def _slopes(x: Any, size: int, mode: str, padding: str, align: bool) -> list[Any]:
    """The derivatives of the taps' weights by the coordinates."""
    place, scale = _pixels(x, size, align), _per_coordinate(size, align)
    if mode == "bicubic":
        t = place - place.detach().floor()
        slopes = (_far_slope(t + 1), _near_slope(t), -_near_slope(1 - t), -_far_slope(2 - t))
        return [slope * scale for slope in slopes]
    one = zeros_like(x) + _turn(place.detach(), size, padding, align) * scale
    return [-one, one]


def _coordinates(grid: Any) -> list[Any]:
    """(N, P) for each dim of S, in their order."""
    return list(reversed(grid.flatten(1, -2).unbind(-1)))


def _product(weights: Sequence[Any]) -> Any:
    made: Any = None
    for weight in weights:
        if weight is not None:
            made = weight if made is None else made * weight
    return made


def _corners(grid: Any, sizes: Sizes, options: tuple[str, str, bool]) -> Any:
    """Every choice of one tap per dim: ((places), (weights))."""
    lines = [_taps(x, size, *options) for x, size in zip(_coordinates(grid), sizes, strict=True)]
    for corner in itertools.product(*lines):
        yield tuple(zip(*corner, strict=True))


_SHAPES: tuple[tuple[Sizes, Sizes], ...] = (
    ((2, 3, 5, 4), (3, 4)),
    ((1, 2, 3, 6), (2, 20)),
    ((2, 1, 1, 1), (2, 1)),
    ((1, 2, 3, 4, 2), (2, 1, 3)),
    ((0, 2, 3, 4), (2, 2)),
)


def _cases(rng: np.random.Generator, dtype: d.dtype, modes: Sequence[str]) -> Any:
    """(image, grid, gradient of the output, options)."""
    paddings = list(itertools.product(("zeros", "border", "reflection"), (False, True)))
    for i, (image, places) in enumerate(_SHAPES):
        for k, (mode, (padding, align)) in enumerate(itertools.product(modes, paddings)):
            if (mode == "bicubic" and len(image) == 5) or (i and (i + k) % 7):
                continue
            yield (
                draw(rng, image, dtype, -3, 3),
                draw(rng, (image[0], *places, len(places)), dtype, -1.7, 1.7),
                draw(rng, (*image[:2], *places), dtype, -2, 2),
                {"mode": mode, "padding": padding, "align": align},
            )


_MODES = ("bilinear", "nearest", "bicubic")


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [Sample((x, grid), options) for x, grid, _, options in _cases(rng, dtype, _MODES)]


def _input_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((g, grid), {"size": x.shape[2:], **options})
        for x, grid, g, options in _cases(rng, dtype, _MODES)
    ]


def _grid_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    modes = ("bilinear", "bicubic")
    return [Sample((g, x, grid), options) for x, grid, g, options in _cases(rng, dtype, modes)]


_TOLERANCE = Tolerance(256, against="inputs")  # places are computed in float32
_OPTIONS: dict[str, Any] = {
    "accepts": d.FLOATING, "compute": d.float32, "method": False, "public": False,
    "tolerance": _TOLERANCE,
}  # fmt: skip


def _infer(input: Spec, grid: Spec, **_: Any) -> Inferred:
    return Inferred((None, None), (((*input.shape[:2], *grid.shape[1:-1]), input.dtype),))


def _input_gradient(g: Any, grid: Any, specs: Any, mode: str, padding: str, align: bool) -> Any:
    return ops.grid_sample_backward_input(
        g, grid, size=tuple(specs[0].shape[2:]), mode=mode, padding=padding, align=align
    )


def _grid_gradient(g: Any, input: Any, grid: Any, mode: str, padding: str, align: bool) -> Any:
    if mode == "nearest":
        return zeros_like(grid)
    return ops.grid_sample_backward_grid(g, input, grid, mode=mode, padding=padding, align=align)


@composite(
    "grid_sample",
    inputs=("input", "grid"),
    infer=_infer,
    gradient={"input": _input_gradient, "grid": _grid_gradient},
    reference=reference,
    samples=_samples,
    node_name=lambda *facts, **_: f"grid_sampler_{len(facts[0].shape) - 2}_d",
    **_OPTIONS,
)
def grid_sample(input: Any, grid: Any, *, mode: str, padding: str, align: bool) -> Any:
    """Images read at the places of a grid: see :func:`dovetail.nn.functional.grid_sample`."""
    sizes, image = tuple(input.shape[2:]), input.flatten(2)
    made: Any = None
    if mode == "bilinear":
        places = [
            _padded(_pixels(x, size, align), size, padding, align)
            for x, size in zip(_coordinates(grid), sizes, strict=True)
        ]
        made = ops.read_linear([image, *places], sizes)
    else:
        for places, weights in _corners(grid, sizes, (mode, padding, align)):
            read, weight = read_at(image, places, sizes), _product(weights)
            read = read if weight is None else read * weight.unsqueeze(1)
            made = read if made is None else made + read
    return made.reshape(*input.shape[:2], *grid.shape[1:-1])


def _infer_input(g: Spec, grid: Spec, size: Sizes, **_: Any) -> Inferred:
    return Inferred((None, None), (((*g.shape[:2], *size), g.dtype),))


@composite(
    "grid_sample_backward_input",
    inputs=("g", "grid"),
    infer=_infer_input,
    reference=reference_input,
    samples=_input_samples,
    **_OPTIONS,
)
def grid_sample_backward_input(
    g: Any, grid: Any, *, size: Sizes, mode: str, padding: str, align: bool
) -> Any:
    """The gradient for images of ``size``: what was read there is added up where it came from."""
    flat, total = g.flatten(2), math.prod(size)
    shares, indices = [], []
    for places, weights in _corners(grid, size, (mode, padding, align)):
        at: Any = 0
        inside: Any = None
        for place, n in zip(places, size, strict=True):
            fits = (place >= 0) & (place <= n - 1)
            inside = fits if inside is None else inside & fits
            at = at * n + place.clamp(0, n - 1).to(d.int64)
        weight = _product(weights)
        share = flat if weight is None else flat * weight.unsqueeze(1)
        shares.append(ops.where(inside.unsqueeze(1), share, 0.0))
        indices.append(at.clamp(0, total - 1).unsqueeze(1).expand(-1, flat.shape[1], -1))
    made = g.new_zeros((*g.shape[:2], total))
    made = made.scatter_add(2, ops.cat(indices, 2), ops.cat(shares, 2))
    return made.reshape(*g.shape[:2], *size)


def _infer_grid(g: Spec, input: Spec, grid: Spec, **_: Any) -> Inferred:
    return Inferred((None,) * 3, ((tuple(grid.shape), grid.dtype),))


@composite(
    "grid_sample_backward_grid",
    inputs=("g", "input", "grid"),
    infer=_infer_grid,
    reference=reference_grid,
    samples=_grid_samples,
    **_OPTIONS,
)
def grid_sample_backward_grid(
    g: Any, input: Any, grid: Any, *, mode: str, padding: str, align: bool
) -> Any:
    """The gradient for the grid, of linear and cubic weights: how what is read changes with it."""
    sizes, image, flat = tuple(input.shape[2:]), input.flatten(2), g.flatten(2)
    options = (mode, padding, align)
    pairs = list(zip(_coordinates(grid), sizes, strict=True))
    slopes = [_slopes(x, size, *options) for x, size in pairs]
    totals: list[Any] = [None] * len(sizes)
    steps = itertools.product(*(range(len(slope)) for slope in slopes))
    for step, (places, weights) in zip(steps, _corners(grid, sizes, options), strict=True):
        read = (read_at(image, places, sizes) * flat).sum(1)
        for i, slope in enumerate(slopes):
            part = read * slope[step[i]] * _product((*weights[:i], *weights[i + 1 :]))
            totals[i] = part if totals[i] is None else totals[i] + part
    return ops.stack(totals[::-1], -1).reshape(grid.shape)
