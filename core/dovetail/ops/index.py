"""The index primitives gather, scatter, scatter_add and nonzero, and what is made of them directly.

Indices are checked here, before a kernel runs, where they can be read without waiting for a device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import raw
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.ops.direct import in_place
from dovetail.ops.expose import FUNCTIONS, finish, operator, publish
from dovetail.ops.families import broadcast_shapes, draw
from dovetail.ops.schema import REGISTRY, Facts, Inferred, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__ = [
    "argwhere", "check_bounds", "gather", "masked_scatter", "masked_select", "nonzero", "scatter",
    "scatter_add", "take", "take_along_dim", "where",
]  # fmt: skip

INDICES = (d.int64, d.int32)

_FEW = 64
"""So many numbers are looked at faster one by one than by NumPy."""


# ------------------------------------------------------------------- checks


def check_bounds(
    index: Tensor, size: int, error: Callable[[int], Exception], *, wraps: bool = False
) -> None:
    """Look at every index, where the data is in host memory.

    Args:
        error: makes the exception from the first wrong index.
        wraps: indices from ``-size`` on count from the end.
    """
    spec = index._spec
    if not spec.numel or not state_of(spec.device).host_arrays:
        return
    array = index._materialize()
    low = -size if wraps else 0
    if spec.numel <= _FEW:
        listed = array.reshape(-1).tolist()
        if min(listed) >= low and max(listed) < size:
            return
    elif not wraps and spec.dtype is d.int64:
        # Seen as unsigned, a negative index is a huge one.
        if int(array.view(np.uint64).max()) < size:
            return
    elif int(array.min()) >= low and int(array.max()) < size:
        return
    raise error(int(array[(array < low) | (array >= size)].flat[0]))


def _out_of_bounds(dim: int, size: int) -> Callable[[int], Exception]:
    return lambda i: RuntimeError(
        f"index {i} is out of bounds for dimension {dim} with size {size}"
    )


def _tensor(name: str, label: str, position: int, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name}(): argument '{label}' (position {position}) must be Tensor, not "
            f"{type(value).__name__}"
        )
    return value


def _checked(name: str, input: Tensor, dim: int, index: Any) -> int:
    _tensor(name, "index", 2, index)
    dim = check_dim(dim, input._spec.ndim)
    if index._spec.dtype not in INDICES:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    size = input._spec.shape[dim] if input._spec.ndim else 1
    check_bounds(index, size, _out_of_bounds(dim, size))
    return dim


def _at_least_1d(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape) or (1,)


def _no_larger(index: Spec, other: Spec, dim: int | None) -> bool:
    pairs = zip(_at_least_1d(index.shape), _at_least_1d(other.shape), strict=True)
    return all(n <= m or i == dim for i, (n, m) in enumerate(pairs))


# ------------------------------------------------------------------- gather


def _gather_infer(input: Spec, index: Spec, dim: int) -> Inferred:
    if index.numel:
        if max(index.ndim, 1) != max(input.ndim, 1):
            raise RuntimeError(
                "Index tensor must have the same number of dimensions as input tensor"
            )
        if not _no_larger(index, input, dim):
            raise RuntimeError(
                f"Size does not match at dimension "
                f"{next(i for i, (n, m) in enumerate(zip(index.shape, input.shape, strict=True)) if n > m and i != dim)}"
                f" expected index {list(index.shape)} to be no larger than self "
                f"{list(input.shape)} apart from dimension {dim}"
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


_GATHERS: tuple[tuple[tuple[int, ...], int, tuple[int, ...]], ...] = (
    ((5,), 0, (3,)),
    ((3, 4), 0, (5, 4)),
    ((3, 4), 1, (2, 3)),
    ((2, 3, 4), -1, (2, 2, 6)),
    ((2, 3, 4), 1, (1, 7, 3)),
    ((3, 4), 0, (0, 4)),
    ((), 0, ()),
)


def _index_of(rng: np.random.Generator, shape: Any, dim: int, where: Any) -> np.ndarray:
    size = shape[dim] if shape else 1
    return np.asarray(rng.integers(0, size, where))


def _gather_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((draw(rng, shape, dtype, -5, 5), dim, _index_of(rng, shape, dim, where)))
        for shape, dim, where in _GATHERS
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
    _tensor("gather", "input", 1, input)
    return call(GATHER, (input, index), (_checked("gather", input, dim, index),))  # type: ignore[no-any-return]


GATHER_BACKWARD = OpDef(
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


def _scatter_infer(input: Spec, index: Spec, src: Facts, dim: int) -> Inferred:
    if isinstance(src, Spec):
        if src.dtype is not input.dtype:
            raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    if index.numel:
        many = max(index.ndim, 1)
        if many != max(input.ndim, 1):
            raise RuntimeError(
                "Index tensor must have the same number of dimensions as self tensor"
            )
        if isinstance(src, Spec) and many != max(src.ndim, 1):
            raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
        fits = _no_larger(index, input, dim)
        if isinstance(src, Spec):
            if not fits or not _no_larger(index, src, None):
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
        for shape, dim, where in _GATHERS:
            index = _index_of(rng, shape, dim, where)
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
        return found

    return samples


def _zeroed(g: Any, index: Any, dim: int) -> Any:
    return call(SCATTER, (g, index, 0), (dim,))


def _source_gradient(g: Any, index: Any, specs: Any, dim: int) -> Any:
    """What ``scatter`` and ``scatter_add`` read of ``src``: as much as ``index`` is large."""
    taken = call(GATHER, (g, index), (dim,))
    if not isinstance(specs[2], Spec) or taken._spec.shape == specs[2].shape:
        return taken
    from dovetail.ops.padding import pad

    sides = zip(taken._spec.shape, specs[2].shape, strict=True)
    return pad(taken, [n for a, b in reversed(list(sides)) for n in (0, b - a)])


SCATTER = OpDef(
    "scatter",
    kind="index",
    inputs=("input", "index", "src"),
    attributes=("dim",),
    infer=_scatter_infer,
    gradient={"input": _zeroed, "src": _source_gradient},
    reference=_scatter_reference,
    samples=_scatter_samples(add=False),
    required=True,
)
"""``scatter(input, index, src, out, *, dim)``: ``input`` with out[index[i][j]][j] = src[i][j], dim 0.

``index`` is int64, in range; along each dim it may be smaller than ``src`` and, but for ``dim``, than
``input``. ``src`` may be 0-d. ``input`` and ``out`` may be one array. An index named twice keeps any
of its values.
"""

SCATTER_ADD = OpDef(
    "scatter_add",
    kind="index",
    inputs=("input", "index", "src"),
    attributes=("dim",),
    infer=_scatter_infer,
    gradient={"input": lambda g: g, "src": _source_gradient},
    reference=lambda *args: _scatter_reference(*args, add=True),
    samples=_scatter_samples(add=True),
    required=True,
)
"""As ``scatter``, but adding: an index named twice gets the sum."""


def _scatter_inputs(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    src = value if src is None else src
    dim = _checked("scatter", input, dim, index)
    if not isinstance(src, Tensor):
        if isinstance(src, (float, complex)) and input._spec.dtype.category < 2:
            src = int(src.real)
        return (input, index, src), (dim,)
    _scatter_infer(input._spec, index._spec, src._spec, dim)
    if index._spec.numel:
        for i, n in enumerate(index._spec.shape):
            if n < src._spec.shape[i]:
                src = src.narrow(i, 0, n)  # type: ignore[attr-defined]
    return (input, index, src), (dim,)


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
    return call(SCATTER, *_scatter_inputs(input, dim, index, src, value=value))  # type: ignore[no-any-return]


def _scatter_with(input: Tensor, dim: int, index: Tensor, src: Any, reduce: str) -> Tensor:
    if reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    if not isinstance(src, Tensor):
        src = input.new_full(tuple(index._spec.shape), src)  # type: ignore[attr-defined]
    if reduce == "add":
        return scatter_add(input, dim, index, src)
    return input.scatter_reduce(dim, index, src, "prod")  # type: ignore[attr-defined, no-any-return]


@operator(SCATTER_ADD, out=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``input`` with ``src`` added where ``index`` names along ``dim``.

    Args:
        index: int64 or int32; no larger than ``src``, nor than ``input`` but along ``dim``.

    Raises:
        RuntimeError: an index out of bounds, of another dtype, or too large.
    """
    _tensor("scatter_add", "src", 3, src)
    return call(SCATTER_ADD, *_scatter_inputs(input, dim, index, src))  # type: ignore[no-any-return]


def _install_scatter() -> None:
    plain = in_place(SCATTER, _scatter_inputs)

    def scatter_(self: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
                 reduce: str | None = None) -> Tensor:  # fmt: skip
        """In-place version of :func:`dovetail.scatter`."""
        if reduce is None:
            return plain(self, dim, index, src, value=value)
        return self.copy_(scatter(self, dim, index, src, value=value, reduce=reduce))  # type: ignore[attr-defined, no-any-return]

    Tensor.scatter_ = scatter_  # type: ignore[attr-defined]
    in_place(SCATTER_ADD, _scatter_inputs)


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
    reference=lambda x: np.argwhere(x != 0).reshape(-1, x.ndim),
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
    if state_of(input._spec.device).host_arrays:
        return int(np.count_nonzero(raw.to_host(input)))
    flags = input if input._spec.dtype is d.bool_ else input.ne(0)  # type: ignore[attr-defined]
    return int(flags.sum().item())


@operator(NONZERO)
def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: bool = False) -> Any:
    """The places of elements that are not zero: (count, ndim), or with ``as_tuple`` one vector per dim.

    Waits for the device: the result's shape depends on the data.
    """
    if input._spec.device.type == "meta":
        raise NotImplementedError("nonzero: the result's shape depends on data that meta has not")
    if as_tuple:
        places = nonzero(input if input._spec.ndim else input.reshape(1))  # type: ignore[attr-defined]
        return places.unbind(1)
    return finish("nonzero", call(NONZERO, (input,), (_count(input),)), out)


@publish()
def argwhere(input: Tensor) -> Tensor:
    """The places of elements that are not zero: (count, ndim)."""
    return nonzero(input)  # type: ignore[no-any-return]


_choose = FUNCTIONS["where"]


def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """``input`` where ``condition`` holds, else ``other``; all three broadcast.

    With the condition alone: as ``nonzero(condition, as_tuple=True)``.

    Raises:
        RuntimeError: the condition is not bool, or shapes that do not broadcast.
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        kinds = ", ".join(type(x).__name__ for x in (condition, input, other) if x is not None)
        raise TypeError(
            f"where() received an invalid combination of arguments - got ({kinds}), but expected "
            "(condition) or (condition, input, other)"
        )
    return _choose(condition, input, other, out=out)


FUNCTIONS["where"] = where
REGISTRY["where"].function = where
Tensor.where = lambda self, condition, other: where(condition, self, other)  # type: ignore[attr-defined]


# -------------------------------------------------------------- masks, take


@publish(out=True)
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where ``mask`` holds, in one dim; both broadcast.

    Raises:
        RuntimeError: the mask is not bool, or shapes that do not broadcast.
    """
    _tensor("masked_select", "mask", 2, mask)
    if mask._spec.dtype is not d.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(tuple(mask._spec.shape), tuple(input._spec.shape))
    chosen = nonzero(mask.expand(shape).reshape(-1)).reshape(-1)  # type: ignore[attr-defined]
    flat = input.expand(shape).reshape(-1)  # type: ignore[attr-defined]
    return call(REGISTRY["index_select"], (flat, chosen), (0,))  # type: ignore[no-any-return]


@publish(inplace=True)
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """``input`` with the elements of ``source``, in order, where ``mask`` holds.

    Raises:
        RuntimeError: the mask is not bool, too few elements, or another dtype.
    """
    from dovetail.dispatch import type_name

    _tensor("masked_scatter", "mask", 2, mask)
    _tensor("masked_scatter", "source", 3, source)
    if mask._spec.dtype is not d.bool_:
        raise RuntimeError(
            "masked_scatter_ only supports boolean masks, but got mask with dtype "
            f"{type_name(mask._spec.dtype)}"
        )
    if input._spec.dtype is not source._spec.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            f"{type_name(input._spec.dtype)} and {type_name(source._spec.dtype)}"
        )
    shape = broadcast_shapes(tuple(mask._spec.shape), tuple(input._spec.shape))
    chosen = nonzero(mask.expand(shape).reshape(-1)).reshape(-1)  # type: ignore[attr-defined]
    count = chosen._spec.numel
    if source._spec.numel < count:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    values = source.reshape(-1).narrow(0, 0, count)  # type: ignore[attr-defined]
    flat = input.expand(shape).reshape(-1)  # type: ignore[attr-defined]
    made = call(SCATTER, (flat, chosen, values), (0,))
    return made.reshape(shape)  # type: ignore[no-any-return]


@publish(out=True)
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at places counted through the flattened input; negative ones from its end.

    Args:
        index: int64, any shape.

    Raises:
        IndexError: out of range.
        RuntimeError: an index of another dtype.
    """
    from dovetail.dispatch import type_name

    _tensor("take", "index", 2, index)
    if index._spec.dtype is not d.int64:
        raise RuntimeError(
            f"take(): Expected a long tensor for index, but got {type_name(index._spec.dtype)}"
        )
    size = input._spec.numel
    if not size and index._spec.numel:
        raise IndexError("take(): tried to take from an empty tensor")
    check_bounds(
        index,
        size,
        lambda i: IndexError(
            f"out of range: tried to access index {i} on a tensor of {size} elements."
        ),
        wraps=True,
    )
    flat = index.reshape(-1)  # type: ignore[attr-defined]
    places = flat.remainder(size) if size else flat
    found = call(REGISTRY["index_select"], (input.reshape(-1), places), (0,))  # type: ignore[attr-defined]
    return found.reshape(index._spec.shape)  # type: ignore[no-any-return]


@publish(out=True)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As ``gather``, with ``input`` and ``indices`` broadcast but along ``dim``.

    Without ``dim`` both are flattened.

    Raises:
        RuntimeError: dims that differ in number, an index out of bounds or of another dtype.
    """
    _tensor("take_along_dim", "indices", 2, indices)
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))  # type: ignore[attr-defined]
    one, two = input._spec, indices._spec
    if one.ndim != two.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {one.ndim} dimensions for input, and {two.ndim} dimensions for indices"
        )
    dim = check_dim(dim, one.ndim)
    before = broadcast_shapes(tuple(one.shape[:dim]), tuple(two.shape[:dim]))
    after = broadcast_shapes(tuple(one.shape[dim + 1 :]), tuple(two.shape[dim + 1 :]))
    wide = input.expand(*before, one.shape[dim], *after)  # type: ignore[attr-defined]
    return gather(wide, dim, indices.expand(*before, two.shape[dim], *after))  # type: ignore[attr-defined]
