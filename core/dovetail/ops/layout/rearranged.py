"""Dims taken apart, put in another order and joined again, as one operator: pixel_shuffle and its
like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.ops.families import composite, draw
from dovetail.ops.schema import Inferred, Sample
from dovetail.spec import Spec

__all__ = ["rearranged"]

Sizes = tuple[int, ...]


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases: Sequence[tuple[Sizes, Sizes, Sizes, Sizes]] = (
        ((2, 8, 3, 2), (2, 2, 2, 2, 3, 2), (0, 1, 4, 2, 5, 3), (2, 2, 6, 4)),
        ((2, 6, 5), (2, 3, 2, 5), (0, 2, 1, 3), (2, 6, 5)),
        ((4, 0, 6), (4, 0, 2, 3), (3, 1, 0, 2), (3, 0, 8)),
        ((20, 30), (20, 30), (1, 0), (600,)),
    )
    return [
        Sample((draw(rng, shape, dtype, -5, 5), split, order, made, "view"))
        for shape, split, order, made in cases
    ]


def _back(g: Any, specs: Any, split: Sizes, order: Sizes, label: str) -> Any:
    turned = tuple(split[i] for i in order)
    inverse = tuple(order.index(i) for i in range(len(order)))
    return rearranged(g, turned, inverse, tuple(specs[0].shape), label)


def _infer(input: Spec, split: Sizes, order: Sizes, shape: Sizes, label: str) -> Inferred:
    assert math.prod(split) == math.prod(shape) == input.numel
    return Inferred((None,), ((shape, input.dtype),))


@composite(
    "rearranged",
    infer=_infer,
    gradient={"input": _back},
    reference=lambda x, split, order, shape, label: (
        x.reshape(split).transpose(order).reshape(shape)
    ),
    samples=_samples,
    method=False,
    public=False,
    node_name=lambda *_, label, **__: label,
)
def rearranged(input: Any, split: Sizes, order: Sizes, shape: Sizes, label: str) -> Any:
    """``input`` seen in the shape ``split``, its dims in another order, in ``shape``: a copy.

    Args:
        label: what its node is called.
    """
    made = input.reshape(split).permute(order).reshape(shape)
    base = made._base
    is_new = base is None or (base is not input and base is not input._base)
    return made if is_new else made.clone()
