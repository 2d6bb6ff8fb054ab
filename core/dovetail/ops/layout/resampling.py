"""Images at other sizes, and the gradient for what they are made of: sums along one dim after
another.

Shapes: (N, C, *S). Arguments are read and checked in ``nn.functional.interpolation``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import dovetail
import dovetail.dtypes as d
from dovetail import ops
from dovetail.backend.taps import Taps, is_same, taps_of
from dovetail.ops.families import composite, draw
from dovetail.ops.schema import Inferred, Sample, Tolerance

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["apply_taps", "ordered_taps"]

Sizes = tuple[int, ...]
Factors = tuple[float | None, ...]


def _times(taps: Taps, size: int) -> int:
    """How often each input is repeated, one after another; 0: it is not so simple."""
    index, weights = taps
    times, rest = divmod(index.shape[1], size)
    is_plain = weights is None and not rest
    return times * int(is_plain and np.array_equal(index[0], np.arange(index.shape[1]) // times))


def _on(like: Tensor, dim: int, taps: Taps) -> Any:
    """Places (K, out) and weights of a shape that goes with ``like``, or None, on its device."""
    index, weights = taps
    places = dovetail.tensor(np.ascontiguousarray(index), device=like.device)
    if weights is None:
        return places, None
    shape = (len(weights), -1, *[1] * (like.dim() - dim - 1))
    made: Any = dovetail.tensor(np.ascontiguousarray(weights), dtype=like.dtype, device=like.device)
    return places, made.reshape(shape)


def apply_taps(x: Tensor, dim: int, taps: Taps) -> Tensor:
    """Each output along ``dim`` as the sum of its inputs."""
    times = _times(taps, x.shape[dim])
    if times:
        each = (*x.shape[: dim + 1], times, *x.shape[dim + 1 :])
        return x.unsqueeze(dim + 1).expand(each).flatten(dim, dim + 1)
    places, factors = _on(x, dim, taps)
    if factors is None:
        return x.index_select(dim, places[0])
    made: Any = None
    for place, factor in zip(places, factors, strict=True):
        part = x.index_select(dim, place) * factor
        made = part if made is None else made + part
    return made  # type: ignore[no-any-return]


def _spread(g: Tensor, dim: int, taps: Taps, size: int) -> Tensor:
    """What :func:`apply_taps` of ``size`` elements takes on its way back."""
    times = _times(taps, size)
    if times:
        return g.unflatten(dim, (size, times)).sum(dim + 1)
    places, factors = _on(g, dim, taps)
    made = g.new_zeros((*g.shape[:dim], size, *g.shape[dim + 1 :]))
    for i, place in enumerate(places):
        made = made.index_add(dim, place, g if factors is None else g * factors[i])
    return made


def ordered_taps(
    sizes: Sizes, out: Sizes, kind: d.dtype, mode: str, factors: Factors, align: bool,
    antialias: bool,
) -> list[tuple[int, Taps]]:  # fmt: skip
    """(spatial dim, its taps) of all that change, those that shrink most first."""
    real = np.float64 if kind is d.float64 else np.float32
    return [
        (i, taps_of(mode, real, sizes[i], out[i], factors[i], align, antialias))
        for i in sorted(range(len(sizes)), key=lambda i: out[i] / sizes[i])
        if not is_same(mode, sizes[i], out[i], factors[i], antialias)
    ]


def _matrix(size: int, out: int, mode: str, factor: float | None, align: bool) -> np.ndarray:
    step = np.arange(out)
    ratio = 1 / factor if factor else size / out
    if mode == "nearest":
        return np.eye(size)[np.minimum(np.floor(step * ratio).astype(int), size - 1)]
    if align:
        centre = step * ((size - 1) / max(out - 1, 1))
    else:
        centre = (step + 0.5) * ratio - 0.5
    centre = np.clip(centre, 0, size - 1)
    hat: np.ndarray = np.maximum(1 - np.abs(centre[:, None] - np.arange(size)), 0)
    return hat


def _reference(
    x: Any, *, size: Sizes, mode: str, factors: Factors, align: bool, antialias: bool
) -> Any:
    for i, (n, factor) in enumerate(zip(size, factors, strict=True)):
        matrix = _matrix(x.shape[2 + i], n, mode, factor, align)
        x = np.moveaxis(np.tensordot(matrix, x, (1, 2 + i)), 0, 2 + i)
    return x


def _reference_backward(
    g: Any, *, input_shape: Sizes, mode: str, factors: Factors, align: bool, antialias: bool
) -> Any:
    for i, n in enumerate(input_shape[2:]):
        matrix = _matrix(n, g.shape[2 + i], mode, factors[i], align)
        g = np.moveaxis(np.tensordot(matrix, g, (0, 2 + i)), 0, 2 + i)
    return g


_TRIED: tuple[tuple[Sizes, Sizes, str, Factors, bool], ...] = (
    ((2, 3, 5, 7), (10, 14), "bilinear", (2.0, 2.0), False),
    ((1, 2, 6, 5), (9, 20), "bilinear", (None, None), True),
    ((2, 1, 9, 40), (4, 17), "bilinear", (None, None), False),
    ((2, 2, 7), (18,), "linear", (None,), False),
    ((1, 2, 3, 4, 5), (6, 8, 7), "trilinear", (None, None, None), False),
    ((2, 3, 4, 6), (8, 12), "nearest", (None, None), False),
    ((2, 3, 6, 8), (4, 11), "nearest", (None, None), False),
    ((0, 2, 4, 4), (8, 8), "bilinear", (None, None), False),
)


def _options(mode: str, factors: Factors, align: bool) -> dict[str, Any]:
    return {"mode": mode, "factors": factors, "align": align, "antialias": False}


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((draw(rng, shape, dtype, -3, 3),), {"size": size, **_options(*rest)})
        for shape, size, *rest in _TRIED
    ]


def _samples_backward(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample(
            (draw(rng, (*shape[:2], *size), dtype, -3, 3),),
            {"input_shape": shape, **_options(*rest)},
        )
        for shape, size, *rest in _TRIED
    ]


def _gradient(g: Any, specs: Any, mode: str, factors: Factors, align: bool, antialias: bool) -> Any:
    return ops.resample_backward(
        g, input_shape=tuple(specs[0].shape), mode=mode, factors=factors, align=align,
        antialias=antialias,
    )  # fmt: skip


@composite(
    "resample",
    infer=lambda input, size, **_: Inferred((None,), (((*input.shape[:2], *size), input.dtype),)),
    gradient={"input": _gradient},
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=_reference,
    samples=_samples,
    tolerance=Tolerance(40),  # places are computed in float32
)
def resample(
    input: Any, *, size: Sizes, mode: str, factors: Factors, align: bool, antialias: bool
) -> Any:
    """Images of another size: see :func:`dovetail.nn.functional.interpolate`."""
    sizes = tuple(input.shape[2:])
    made = input
    for i, taps in ordered_taps(sizes, size, input.dtype, mode, factors, align, antialias):
        made = apply_taps(made, 2 + i, taps)
    return made.clone() if made is input else made.contiguous()


def _second(
    g: Any, specs: Any, input_shape: Sizes, mode: str, factors: Factors, align: bool,
    antialias: bool,
) -> Any:  # fmt: skip
    return ops.resample(
        g, size=tuple(specs[0].shape[2:]), mode=mode, factors=factors, align=align,
        antialias=antialias,
    )  # fmt: skip


@composite(
    "resample_backward",
    inputs=("g",),
    infer=lambda g, input_shape, **_: Inferred((None,), ((input_shape, g.dtype),)),
    gradient={"g": _second},
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=_reference_backward,
    samples=_samples_backward,
    tolerance=Tolerance(40),
)
def resample_backward(
    g: Any, *, input_shape: Sizes, mode: str, factors: Factors, align: bool, antialias: bool
) -> Any:
    """The gradient of images of ``input_shape``, given that of what ``resample`` made of them."""
    sizes, out = input_shape[2:], tuple(g.shape[2:])
    made = g
    all_taps = ordered_taps(sizes, out, g.dtype, mode, factors, align, antialias)
    for i, taps in reversed(all_taps):
        made = _spread(made, 2 + i, taps, sizes[i])
    return made.clone() if made is g else made.contiguous()
