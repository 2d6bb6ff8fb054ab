"""The index primitives gather, scatter, scatter_add and nonzero."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import raw
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.fitting import check_fits, held
from dovetail.ops.by_specs import function_by_specs
from dovetail.ops.direct import in_place
from dovetail.ops.expose import operator
from dovetail.ops.families import draw
from dovetail.ops.indexed.counted import NONZERO_COUNTED, counted
from dovetail.ops.indexed.index_checks import checked_dim, need_tensor, no_larger
from dovetail.ops.out import finish
from dovetail.ops.schema import Facts, Inferred, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = [
    "GATHER", "GATHER_CASES", "SCATTER", "SCATTER_ADD", "gather", "nonzero", "random_index",
    "scatter", "scatter_add", "scatter_infer",
]  # fmt: skip


# ------------------------------------------------------------------- gather


def _gather_infer(input: Spec, index: Spec, dim: int) -> Inferred:
    if index.numel:
        if max(index.ndim, 1) != max(input.ndim, 1):
            raise RuntimeError(
                "Index tensor must have the same number of dimensions as input tensor"
            )
        if not no_larger(index, input, dim):
            pairs = enumerate(zip(index.shape, input.shape, strict=True))
            wrong = next(i for i, (n, m) in pairs if n > m and i != dim)
            raise RuntimeError(
                f"Size does not match at dimension {wrong} expected index {list(index.shape)} to "
                f"be no larger than self {list(input.shape)} apart from dimension {dim}"
            )
    return Inferred((None, d.int64), ((tuple(index.shape), input.dtype),))


def _places(array: np.ndarray, dim: int) -> tuple[np.ndarray, ...]:
    """Full NumPy indices of an index along one dim."""
    grid = np.indices(array.shape, sparse=True)
    return (*grid[:dim], array, *grid[dim + 1 :])


def _gather_reference(x: np.ndarray, dim: int, index: np.ndarray) -> np.ndarray:
    if not index.ndim or not x.ndim:
        return np.asarray(x.reshape(-1)[index])
    return np.asarray(x[_places(index, dim % x.ndim)])


GATHER_CASES: tuple[tuple[tuple[int, ...], int, tuple[int, ...]], ...] = (
    ((5,), 0, (3,)),
    ((3, 4), 0, (5, 4)),
    ((3, 4), 1, (2, 3)),
    ((3, 5), 1, (3, 3)),
    ((2, 3, 4), -1, (2, 2, 6)),
    ((2, 3, 4), 1, (1, 7, 3)),
    ((3, 4), 0, (0, 4)),
    ((), 0, ()),
)


def random_index(rng: np.random.Generator, shape: Any, dim: int, where: Any) -> np.ndarray:
    """An index of shape ``where`` along a dim of ``shape``."""
    size = shape[dim] if shape else 1
    return np.asarray(rng.integers(0, size, where))


def _gather_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((draw(rng, shape, dtype, -5, 5), dim, random_index(rng, shape, dim, where)))
        for shape, dim, where in GATHER_CASES
    ]


GATHER = OpDef(
    "gather",
    kind="index",
    inputs=("input", "index"),
    attributes=("dim",),
    infer=_gather_infer,
    gradient={
        "input": lambda g, index, specs, dim: call(
            GATHER_BACKWARD, (g, index), (dim, tuple(specs[0].shape))
        )
    },
    reference=_gather_reference,
    samples=_gather_samples,
    required=True,
)
"""``gather(input, index, out, *, dim)``: out[i][j][k] = input[index[i][j][k]][j][k] for dim 0.

``index`` is int64, in range, of out's shape; along other dims than ``dim`` it may be smaller than
``input``.
"""


@operator(GATHER, out=True)
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """The elements that ``index`` names along ``dim``: ``out[i][j] = input[index[i][j]][j]`` for 0.

    Args:
        index: int64 or int32, as many dims as ``input``, no larger but along ``dim``.

    Raises:
        RuntimeError: an index out of bounds, of another dtype, or too large.
    """
    need_tensor("gather", "input", 1, input)
    return call(GATHER, (input, index), (checked_dim("gather", input, dim, index),))


GATHER_BACKWARD: OpDef = OpDef(
    "gather_backward",
    kind="index",
    inputs=("g", "index"),
    attributes=("dim", "shape"),
    infer=lambda g, index, dim, shape: Inferred((None, d.int64), ((shape, g.dtype),)),
    decompose=lambda g, index, dim, shape: call(
        SCATTER_ADD, (g.new_zeros(shape), index, g), (dim,)
    ),
    gradient=lambda g, index, dim: (call(GATHER, (g, index), (dim,)), None),
    method=False,
    public=False,
)
"""Zeros of ``shape`` with ``g`` added where ``gather`` read."""


# --------------------------------------------------------- scatter, scatter_add


def scatter_infer(input: Spec, index: Spec, src: Facts, dim: int) -> Inferred:
    """The rule of all that scatters."""
    if isinstance(src, Spec) and src.dtype is not input.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    if index.numel:
        many = max(index.ndim, 1)
        if many != max(input.ndim, 1):
            raise RuntimeError(
                "Index tensor must have the same number of dimensions as self tensor"
            )
        if isinstance(src, Spec) and many != max(src.ndim, 1):
            raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
        fits = no_larger(index, input, dim)
        if isinstance(src, Spec):
            if not fits or not no_larger(index, src, None):
                raise RuntimeError(
                    f"Expected index {list(index.shape)} to be no larger than self "
                    f"{list(input.shape)} apart from dimension {dim} and to be no larger size "
                    f"than src {list(src.shape)}"
                )
        elif not fits:
            raise RuntimeError(
                f"Expected index {list(index.shape)} to be no larger than self "
                f"{list(input.shape)} apart from dimension {dim}"
            )
    return Inferred((None, d.int64, input.dtype), ((tuple(input.shape), input.dtype),))


def _scatter_reference(
    x: np.ndarray, dim: int, index: np.ndarray, src: Any, add: bool = False
) -> np.ndarray:
    out = np.array(x)
    flat, at = np.atleast_1d(out), np.atleast_1d(index)
    places = _places(at, dim % flat.ndim)
    if np.ndim(src):
        src = src[tuple(slice(0, n) for n in at.shape)]
    if add:
        np.add.at(flat, places, src)
    else:
        flat[places] = src
    return out


def _scatter_samples(add: bool) -> Callable[[np.random.Generator, d.dtype], list[Sample]]:
    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        found = []
        for shape, dim, where in GATHER_CASES:
            index = random_index(rng, shape, dim, where)
            n = shape[dim] if shape else 1
            if not add and where and where[dim] <= n:
                # Which of two values written to one place stays is not defined.
                order = np.argsort(
                    rng.random((*where[:dim], n, *where[dim % len(where) + 1 :])), dim
                )
                index = np.take(order, np.arange(where[dim]), dim)
            elif not add and where:
                continue
            values = draw(rng, where, dtype, -5, 5)
            found.append(Sample((draw(rng, shape, dtype, -5, 5), dim, index, values)))
        x, one = draw(rng, (4,), dtype, -5, 5), draw(rng, (), dtype, -5, 5)
        found.insert(1, Sample((x, 0, np.array([2]), one), name="0-d src"))
        return found

    return samples


def _zeroed(g: Any, index: Any, dim: int) -> Any:
    return call(SCATTER, (g, index, 0), (dim,))


def _source_gradient(g: Any, index: Any, dim: int) -> Any:
    """What ``scatter`` and ``scatter_add`` read of ``src``, which is as large as ``index``."""
    return call(GATHER, (g, index), (dim,))


SCATTER: OpDef = OpDef(
    "scatter",
    kind="index",
    inputs=("input", "index", "src"),
    attributes=("dim",),
    infer=scatter_infer,
    gradient={"input": _zeroed, "src": _source_gradient},
    reference=_scatter_reference,
    samples=_scatter_samples(add=False),
    required=True,
)
"""``scatter(input, index, src, out, *, dim)``: ``input`` with
out[index[i][j]][j] = src[i][j] (for dim 0).

``index`` is int64, in range; along each dim it may be smaller than ``src`` and, but for ``dim``,
than ``input``. ``src`` may be 0-d. ``input`` and ``out`` may be one array. An index named twice
keeps any of its values.
"""

SCATTER_ADD: OpDef = OpDef(
    "scatter_add",
    kind="index",
    inputs=("input", "index", "src"),
    attributes=("dim",),
    infer=scatter_infer,
    gradient={"input": lambda g: g, "src": _source_gradient},
    reference=functools.partial(_scatter_reference, add=True),
    samples=_scatter_samples(add=True),
    required=True,
)
"""As ``scatter``, but adding: an index named twice gets the sum."""


def _scatter_inputs(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    src = value if src is None else src
    dim = checked_dim("scatter", input, dim, index)
    if not isinstance(src, Tensor):
        check_fits(src, input._spec.dtype)
        return (input, index, held(src, input._spec.dtype)), (dim,)
    scatter_infer(input._spec, index._spec, src._spec, dim)
    if index._spec.numel:
        if not src._spec.ndim:
            src = src.reshape(1)
        for i, n in enumerate(index._spec.shape or (1,)):
            if n < src._spec.shape[i]:
                src = src.narrow(i, 0, n)
        if src._spec.ndim != index._spec.ndim:
            src = src.reshape(())
    else:
        src = src.reshape(-1).narrow(0, 0, 0).reshape(index._spec.shape)
    return (input, index, src), (dim,)


@function_by_specs(SCATTER, _scatter_inputs, "src")
def _written(input: Tensor, dim: int, index: Tensor, src: Any) -> Tensor:
    made: Tensor = call(SCATTER, *_scatter_inputs(input, dim, index, src))
    return made


@operator(SCATTER, out=True)
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
    reduce: str | None = None,
) -> Tensor:  # fmt: skip
    """``input`` with ``src`` written where ``index`` names along ``dim``.

    Args:
        index: int64 or int32; no larger than ``src``, nor than ``input`` but along ``dim``.
        src: a tensor of input's dtype, or a number (also as ``value=``).
        reduce: ``add`` or ``multiply`` instead of writing over.

    Raises:
        RuntimeError: an index out of bounds, of another dtype, or too large.
    """
    if reduce is not None:
        return _scatter_with(input, dim, index, value if src is None else src, reduce)
    return _written(input, dim, index, value if src is None else src)


def _scatter_with(input: Tensor, dim: int, index: Tensor, src: Any, reduce: str) -> Tensor:
    if reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    if not isinstance(src, Tensor):
        src = input.new_full(tuple(index._spec.shape), src)
    if reduce == "add":
        return scatter_add(input, dim, index, src)
    return input.scatter_reduce(dim, index, src, "prod")


def _added_inputs(
    input: Tensor, dim: int, index: Tensor, src: Tensor
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    need_tensor("scatter_add", "src", 3, src)
    return _scatter_inputs(input, dim, index, src)


@operator(SCATTER_ADD, out=True)
@function_by_specs(SCATTER_ADD, _added_inputs)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``input`` with ``src`` added where ``index`` names along ``dim``.

    Args:
        index: int64 or int32; no larger than ``src``, nor than ``input`` but along ``dim``.

    Raises:
        RuntimeError: an index out of bounds, of another dtype, or too large.
    """
    return call(SCATTER_ADD, *_added_inputs(input, dim, index, src))


def _install_scatter() -> None:
    plain = in_place(SCATTER, _scatter_inputs, number="src")

    def scatter_(self: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
                 reduce: str | None = None) -> Tensor:  # fmt: skip
        """In-place version of :func:`dovetail.scatter`."""
        if reduce is None:
            return plain(self, dim, index, src, value=value)
        return self.copy_(scatter(self, dim, index, src, value=value, reduce=reduce))

    Tensor.scatter_ = scatter_  # type: ignore[attr-defined]
    in_place(SCATTER_ADD, _added_inputs)


_install_scatter()


# ------------------------------------------------------------------ nonzero


def _half_zero(rng: np.random.Generator, shape: tuple[int, ...], dtype: d.dtype) -> np.ndarray:
    values = draw(rng, shape, dtype, -5, 5)
    values[rng.random(shape) < 0.5] = 0
    return values


NONZERO = OpDef(
    "nonzero",
    kind="index",
    attributes=("count",),
    infer=lambda spec, count: Inferred((None,), (((count, spec.ndim), d.int64),)),
    reference=lambda x: np.argwhere(x != 0),
    samples=lambda rng, dtype: [
        Sample((_half_zero(rng, shape, dtype),)) for shape in ((7,), (3, 4), (2, 3, 4), (), (0, 3))
    ],
    differentiable=(),
    needs_data=True,
    required=True,
)
"""``nonzero(input, out, *, count)``: the places of non-zero elements, one row each, in row-major
order; the core has counted them."""


def _count(input: Tensor) -> int:
    if input._spec.batch is not None:
        return 0  # the plan says that this cannot be
    if state_of(input._spec.device).host_arrays:
        return int(np.count_nonzero(raw.to_host(input)))
    from dovetail.ops import count_nonzero

    return int(count_nonzero(input).item())


@operator(NONZERO)
def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: bool = False) -> Any:
    """The places of elements that are not zero: (count, ndim), or ``as_tuple`` one vector per dim.

    Waits for the device: the result's shape depends on the data.
    """
    if input._spec.device.type == "meta":
        raise NotImplementedError("nonzero: the result's shape depends on data that meta has not")
    if as_tuple:
        places = nonzero(input if input._spec.ndim else input.reshape(1))
        return places.unbind(1)
    if input._spec.batch is None:
        found = counted(NONZERO_COUNTED, (input,))
        if found is not None:
            return finish("nonzero", found, out)
    return finish("nonzero", call(NONZERO, (input,), (_count(input),)), out)
