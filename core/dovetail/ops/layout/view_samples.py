"""References and samples of the view operators: what each shows, as NumPy shows it.

They stand apart from the rules, whose files are long enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail.ops.families import draw
from dovetail.ops.schema import REGISTRY, Sample

__all__: list[str] = []

Reference = Callable[..., Any]


def _expand(x: np.ndarray, *sizes: int) -> np.ndarray:
    lead = len(sizes) - x.ndim
    shape = [x.shape[i - lead] if n == -1 else n for i, n in enumerate(sizes)]
    return np.broadcast_to(x, shape)


def _squeeze(x: np.ndarray, dim: Any = None) -> np.ndarray:
    dims = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return np.squeeze(x, tuple(n for n in dims if x.ndim and x.shape[n] == 1))


def _narrow(x: np.ndarray, dim: int, start: int, length: int) -> np.ndarray:
    start += x.shape[dim] if start < 0 else 0
    return np.take(x, range(start, start + length), dim)


def _unfold(x: np.ndarray, dim: int, size: int, step: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=dim)
    return np.take(windows, range(0, windows.shape[dim], step), dim)


# name -> (reference, [(shape, arguments), …])
_TABLE: dict[str, tuple[Reference, list[tuple[tuple[int, ...], tuple[Any, ...]]]]] = {
    "permute": (
        lambda x, dims: np.transpose(x, dims),
        [((2, 3, 4), ((2, 0, 1),)), ((3, 4), ((-1, 0),)), ((), ((),)), ((0, 3), ((1, 0),))],
    ),
    "transpose": (
        lambda x, a, b: np.swapaxes(x, a, b),
        [((2, 3, 4), (0, 2)), ((3, 4), (-1, 0)), ((3, 4), (1, 1))],
    ),
    "t": (lambda x: x.T, [((3, 4), ()), ((5,), ()), ((), ())]),
    "squeeze": (
        _squeeze,
        [
            ((3, 1, 2, 1, 5), ()),
            ((3, 1, 2, 1, 5), (0,)),
            ((3, 1, 2, 1, 5), (1,)),
            ((1, 4), (-2,)),
            ((3, 1, 2, 1), ((0, -1),)),
            ((), (0,)),
        ],
    ),
    "unsqueeze": (
        lambda x, dim: np.expand_dims(x, dim),
        [((3, 4), (0,)), ((3, 4), (-1,)), ((3, 4), (1,)), ((), (0,))],
    ),
    "select": (
        lambda x, dim, index: np.take(x, index, dim),
        [((2, 3, 4), (1, 2)), ((3, 4), (-1, -1)), ((5,), (0, 3))],
    ),
    "narrow": (
        _narrow,
        [((5, 4), (0, 1, 3)), ((5, 4), (-1, -2, 2)), ((5,), (0, 5, 0))],
    ),
    "diagonal": (
        lambda x, offset=0, a=0, b=1: np.diagonal(x, offset, a, b),
        [((4, 4), ()), ((3, 5), (1,)), ((3, 5), (-2,)), ((2, 3, 4), (0, 1, 2)), ((3, 3), (5,))],
    ),
    "unfold": (_unfold, [((7,), (0, 3, 2)), ((3, 8), (1, 2, 1)), ((4, 5), (-1, 5, 1))]),
}


def _samples(
    cases: list[tuple[tuple[int, ...], tuple[Any, ...]]],
) -> Callable[[np.random.Generator, DType], list[Sample]]:
    def samples(rng: np.random.Generator, dtype: DType) -> list[Sample]:
        return [Sample((draw(rng, shape, dtype, -5, 5), *rest)) for shape, rest in cases]

    return samples


for _name, (_reference, _cases) in _TABLE.items():
    REGISTRY[_name].reference = _reference
    REGISTRY[_name].samples = _samples(_cases)

# PyTorch has ``expand`` as a method only, and takes sizes one by one.
REGISTRY["expand"].reference = _expand
REGISTRY["expand"].samples = _samples(
    [((3, 1), (3, 4)), ((1, 3), (2, -1)), ((3,), (2, 3)), ((), (2, 2)), ((1, 0), (4, 0))]
)
