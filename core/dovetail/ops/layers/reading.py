"""Images read at places between their elements: what ``grid_sample`` is made of.

An image is (N, C, prod(S)), places are (N, P) for each dim of S, in elements from the first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.dispatch import call
from dovetail.ops.expose import operator
from dovetail.ops.families import draw
from dovetail.ops.schema import Inferred, OpDef, Sample, Tolerance
from dovetail.tensor import Tensor

__all__ = ["read_at", "read_linear"]

Sizes = tuple[int, ...]


def read_at(image: Any, places: Sequence[Any], sizes: Sizes) -> Any:
    """(N, C, P) of (N, C, prod(S)) at whole places (N, P) per dim; 0 outside."""
    flat: Any = 0
    inside: Any = None
    for place, size in zip(places, sizes, strict=True):
        fits = (place >= 0) & (place <= size - 1)
        inside = fits if inside is None else inside & fits
        flat = flat * size + place.clamp(0, size - 1).to(d.int64)
    index = flat.clamp(0, math.prod(sizes) - 1).unsqueeze(1).expand(-1, image.shape[1], -1)
    return ops.where(inside.unsqueeze(1), image.gather(2, index), 0.0)


def _linear(image: Any, *places: Any, sizes: Sizes) -> Any:
    first = [place.detach().floor() for place in places]
    shares = [place - low for place, low in zip(places, first, strict=True)]
    total: Any = None
    for corner in itertools.product((0, 1), repeat=len(sizes)):
        weight: Any = None
        for step, share in zip(corner, shares, strict=True):
            part = share if step else 1 - share
            weight = part if weight is None else weight * part
        at = [low + step for low, step in zip(first, corner, strict=True)]
        read = read_at(image, at, sizes) * weight.unsqueeze(1)
        total = read if total is None else total + read
    return total


def _reference(tensors: Sequence[Any], sizes: Sizes) -> Any:
    """Every element of the image, weighed by how near it is to the place."""
    image, *places = tensors
    near: Any = np.ones((*places[0].shape, 1))
    for place, size in zip(places, sizes, strict=True):
        line = np.maximum(0, 1 - np.abs(place[..., None] - np.arange(size)))
        near = (near[..., :, None] * line[..., None, :]).reshape(*place.shape, -1)
    return np.einsum("ncs,nps->ncp", image, near)


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for n, c, sizes, p in ((2, 3, (4, 5), 7), (1, 1, (1, 1), 3), (2, 2, (2, 3, 2), 5)):
        image = draw(rng, (n, c, math.prod(sizes)), dtype, -3, 3)
        places = [draw(rng, (n, p), dtype, -1.5, size + 0.5) for size in sizes]
        made.append(Sample(([image, *places], sizes)))
    return made


READ_LINEAR = OpDef(
    "read_linear",
    kind="index",
    inputs=("tensors",),
    attributes=("sizes",),
    variadic=True,
    infer=lambda image, *places, sizes: Inferred(
        (None,) * (1 + len(places)),
        (((*image.shape[:2], places[0].shape[1]), image.dtype),),
    ),
    decompose=_linear,
    accepts=(d.float32, d.float64),
    reference=_reference,
    samples=_samples,
    tolerance=Tolerance(32, against="inputs"),
    method=False,
    public=False,
)


@operator(READ_LINEAR)
def read_linear(tensors: Sequence[Tensor], sizes: Sizes) -> Tensor:
    """An image (N, C, prod(S)), read between the two neighbours along each dim; 0 outside.

    Args:
        tensors: the image, and places (N, P) for each dim, of its dtype.
        sizes: S.

    Returns:
        (N, C, P).
    """
    made: Tensor = call(READ_LINEAR, tuple(tensors), (tuple(sizes),))
    return made
