"""Whole rows by index: index_select, index_add, index_copy, index_fill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.backend.sentences import ALONG, IN_SELF
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.fitting import check_fits, held
from dovetail.ops.by_specs import function_by_specs
from dovetail.ops.direct import in_place
from dovetail.ops.expose import operator
from dovetail.ops.families import draw
from dovetail.ops.indexed.index import SCATTER, SCATTER_ADD
from dovetail.ops.indexed.index_checks import INDICES, check_bounds, need_tensor
from dovetail.ops.indexed.wrapping import WRAPPED_INDEX
from dovetail.ops.schema import Facts, Inferred, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__ = [
    "INDEX_SELECT", "INDEX_SELECT_BACKWARD", "along", "check_rows", "index_add", "index_copy",
    "index_fill", "index_select",
]  # fmt: skip


def _need_vector(index: Spec) -> None:
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")


def along(index: Any, shape: tuple[int, ...], dim: int) -> Any:
    """A vector of indices as wide as the rows it names, as ``scatter`` wants it."""
    if not shape:
        return index.reshape(())
    n = index._spec.numel
    place = [1] * len(shape)
    place[dim] = n
    return index.reshape(place).expand(*shape[:dim], n, *shape[dim + 1 :])


def _rows_shape(input: Spec, index: Spec, dim: int) -> tuple[int, ...]:
    _need_vector(index)
    if not input.ndim:
        return ()
    return (*input.shape[:dim], index.numel, *input.shape[dim + 1 :])


_CASES: tuple[tuple[tuple[int, ...], int, int], ...] = (
    ((5,), 0, 3), ((4, 3), 0, 2), ((3, 4), 1, 3), ((2, 5, 3), 1, 4), ((2, 3, 4), -1, 2),
    ((3, 4), 0, 0), ((0, 3), 1, 2), ((), 0, 1),
)  # fmt: skip


def _index_samples(
    *, values: bool, unique: bool = False
) -> Callable[[np.random.Generator, d.dtype], list[Sample]]:
    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        found = []
        for shape, dim, n in _CASES:
            size = shape[dim] if shape else 1
            index = rng.permutation(size)[:n] if unique else rng.integers(0, size, n)
            rest: tuple[Any, ...] = ()
            if values:
                wide = list(shape)
                wide[dim : dim + 1 or None] = [n] if shape else []
                rest = (draw(rng, tuple(wide), dtype, -5, 5),)
            found.append(Sample((draw(rng, shape, dtype, -5, 5), dim, index, *rest)))
        return found

    return samples


# ------------------------------------------------------------- index_select


INDEX_SELECT = OpDef(
    "index_select",
    kind="index",
    inputs=("input", "index"),
    attributes=("dim",),
    infer=lambda input, index, dim: Inferred(
        (None, d.int64), ((_rows_shape(input, index, dim), input.dtype),)
    ),
    decompose=lambda input, index, dim: _select(input, index, dim),
    gradient={
        "input": lambda g, index, specs, dim: call(
            INDEX_SELECT_BACKWARD, (g, index), (dim, tuple(specs[0].shape))
        )
    },
    reference=lambda x, dim, index: np.take(x, index, dim) if x.ndim else x,
    samples=_index_samples(values=False),
)


def _select(input: Any, index: Any, dim: int) -> Any:
    from dovetail.ops.indexed.index import GATHER

    return call(GATHER, (input, along(index, tuple(input._spec.shape), dim)), (dim,))


@operator(INDEX_SELECT, out=True)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The rows of ``input`` along ``dim`` that ``index`` names, in its order.

    Args:
        index: a vector of int64 or int32.

    Raises:
        IndexError: an index out of range, or not a vector.
        RuntimeError: an index of another dtype.
    """
    need_tensor("index_select", "index", 3, index)
    spec = index._spec
    dim = check_dim(dim, input._spec.ndim)
    _need_vector(spec)
    if spec.dtype not in INDICES:
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    if not input._spec.ndim and spec.numel != 1:
        raise RuntimeError(
            f"index_select(): Index to scalar can have only 1 value, got {spec.numel} value(s)"
        )
    size = input._spec.shape[dim] if input._spec.ndim else 1
    check_bounds(index, size, IN_SELF)
    return call(INDEX_SELECT, (input, index), (dim,))


def _put_back_infer(g: Spec, index: Spec, dim: int, shape: tuple[int, ...]) -> Inferred:
    _need_vector(index)
    return Inferred((None, d.int64), ((shape, g.dtype),))


INDEX_SELECT_BACKWARD: OpDef = OpDef(
    "index_select_backward",
    kind="index",
    inputs=("g", "index"),
    attributes=("dim", "shape"),
    infer=_put_back_infer,
    decompose=lambda g, index, dim, shape: call(
        SCATTER_ADD, (g.new_zeros(shape), along(index, shape, dim), g), (dim,)
    ),
    gradient=lambda g, index, dim: (call(INDEX_SELECT, (g, index), (dim,)), None),
    method=False,
    public=False,
)
"""Zeros of ``shape`` with the rows of ``g`` added where ``index_select`` read."""


# ------------------------------------------- index_add, index_copy, index_fill

_COPIED = f"index_copy_(): {ALONG}"
_ADD = SCATTER_ADD.part_of("index_add")
_COPY = SCATTER.part_of("index_copy", _COPIED)
_FILL, _WRAPPED = (op.part_of("index_fill") for op in (SCATTER, WRAPPED_INDEX))


def _same_as_input(input: Spec, index: Spec, source: Facts, **_: Any) -> Inferred:
    return Inferred((None, d.int64, input.dtype), ((tuple(input.shape), input.dtype),))


def _same_order(input: Spec, index: Spec, value: Facts, **_: Any) -> Inferred:
    """As ``_same_as_input``, with the input's order of dims."""
    out = (tuple(input.shape), input.dtype, input.dense().strides)
    return Inferred((None, d.int64, input.dtype), (out,))


def _index_add_reference(
    x: np.ndarray, dim: int, index: np.ndarray, source: np.ndarray, *, alpha: Any = 1
) -> np.ndarray:
    out = np.array(x)
    rows = np.moveaxis(np.atleast_1d(out), dim, 0)
    np.add.at(rows, index, alpha * np.moveaxis(np.atleast_1d(source), dim, 0))
    return out


def _index_add_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = _index_samples(values=True)(rng, dtype)
    if dtype is not d.bool_:
        made[3] = Sample(made[3].args, {"alpha": 2})
    return made


INDEX_ADD = OpDef(
    "index_add",
    kind="index",
    inputs=("input", "index", "source"),
    attributes=("dim", "alpha"),
    infer=_same_as_input,
    decompose=lambda input, index, source, dim, alpha: call(
        _ADD,
        (
            input,
            along(index, tuple(source._spec.shape), dim),
            source if alpha == 1 else source * alpha,
        ),
        (dim,),
    ),
    gradient={
        "input": lambda g: g,
        "source": lambda g, index, dim, alpha: _scaled(
            call(INDEX_SELECT, (g, index), (dim,)), alpha
        ),
    },
    reference=_index_add_reference,
    samples=_index_add_samples,
)


def _scaled(x: Any, factor: Any) -> Any:
    return x if factor == 1 else x * factor


def check_rows(name: str, input: Tensor, dim: int, index: Any, source: Any) -> int:
    """``dim`` from the front, with the shapes and dtypes of ``index`` and ``source`` looked at.

    Raises:
        RuntimeError, IndexError: shapes or dtypes that do not fit.
    """
    need_tensor(name, "index", 3, index)
    need_tensor(name, "source", 4, source)
    spec, at, rows = input._spec, index._spec, source._spec
    dim = check_dim(dim, spec.ndim)
    if at.ndim > 1:
        raise IndexError(
            f"{name}_(): Index is supposed to be a vector, but got dim: {at.ndim} with type: "
            f"{type_name(at.dtype)} and size: {list(at.shape)}"
        )
    if at.dtype not in INDICES:
        raise RuntimeError(
            f"{name}_(): Expected dtype int32/int64 for index but got: {type_name(at.dtype)}"
        )
    if spec.dtype is not rows.dtype:
        raise RuntimeError(
            f"{name}_(): self ({type_name(spec.dtype)}) and source ({type_name(rows.dtype)}) "
            "must have the same scalar type"
        )
    if spec.ndim and not rows.ndim and at.numel != 1:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if rows.ndim and dim >= rows.ndim:
        raise RuntimeError(
            f"{name}_(): Indexing dim {dim} is out of bounds of the source tensor with dim "
            f"{rows.ndim}"
        )
    count = rows.shape[dim] if rows.ndim else 1
    if at.numel != count:
        raise RuntimeError(
            f"{name}_(): Number of indices ({at.numel}) should be equal to source.size(dim): "
            f"({count}), for dim: {dim}"
        )
    if spec.ndim != rows.ndim or any(
        n != m for i, (n, m) in enumerate(zip(spec.shape, rows.shape, strict=True)) if i != dim
    ):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {list(spec.shape)} source.shape = {list(rows.shape)}"
        )
    return dim


def _index_add_inputs(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    dim = check_rows("index_add", input, dim, index, source)
    size = input._spec.shape[dim] if input._spec.ndim else 1
    check_bounds(index, size, ALONG, dim)
    return (input, index, source), (dim, alpha)


@operator(INDEX_ADD, out=True)
@function_by_specs(INDEX_ADD, _index_add_inputs)
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """``input`` with ``alpha`` times the rows of ``source`` added to the rows that ``index`` names.

    Args:
        index: a vector of int64 or int32, one per row of ``source`` along ``dim``.

    Raises:
        RuntimeError: shapes or dtypes that do not fit, or an index out of bounds.
    """
    return call(INDEX_ADD, *_index_add_inputs(input, dim, index, source, alpha=alpha))


in_place(INDEX_ADD, _index_add_inputs)


def _rows_written(x: np.ndarray, dim: int, index: np.ndarray, source: Any) -> np.ndarray:
    out = np.array(x)
    rows = np.moveaxis(np.atleast_1d(out), dim, 0)
    rows[index] = np.moveaxis(source, dim, 0) if np.ndim(source) else source
    return out


INDEX_COPY = OpDef(
    "index_copy",
    kind="index",
    inputs=("input", "index", "source"),
    attributes=("dim",),
    infer=_same_as_input,
    decompose=lambda input, index, source, dim: call(
        _COPY, (input, along(index, tuple(source._spec.shape), dim), source), (dim,)
    ),
    gradient={
        "input": lambda g, index, dim: call(INDEX_FILL, (g, index, 0), (dim,)),
        "source": lambda g, index, dim: call(INDEX_SELECT, (g, index), (dim,)),
    },
    reference=_rows_written,
    samples=_index_samples(values=True, unique=True),
    sentence=_COPIED,
)


def _index_copy_inputs(
    input: Tensor, dim: int, index: Tensor, source: Tensor
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    need_tensor("index_copy", "index", 3, index)
    need_tensor("index_copy", "source", 4, source)
    spec, at, rows = input._spec, index._spec, source._spec
    dim = check_dim(dim, spec.ndim)
    if at.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {at.ndim})")
    if at.dtype is not d.int64:
        raise RuntimeError(
            f"index_copy_(): Expected a long tensor for index, but got {type_name(at.dtype)}"
        )
    if spec.dtype is not rows.dtype:
        raise RuntimeError(
            "index_copy_(): self and source expected to have the same dtype, but got (self) "
            f"{type_name(spec.dtype)} and (source) {type_name(rows.dtype)}"
        )
    count = rows.shape[dim] if rows.ndim else 1
    mine = [*spec.shape[:dim], *spec.shape[dim + 1 :]]
    theirs = [*rows.shape[:dim], *rows.shape[dim + 1 :]]
    if mine != theirs:
        raise RuntimeError(
            "index_copy_(): Source/destination tensor must have same slice shapes. Destination "
            f"slice shape: {' '.join(map(str, mine))} at dimension {dim} and source slice shape: "
            f"{' '.join(map(str, theirs))} at dimension {dim}."
        )
    if at.numel != count:
        raise IndexError(
            f"index_copy_(): Number of indices ({at.numel}) should be equal to source.size(dim) "
            f"({count})"
        )
    size = spec.shape[dim] if spec.ndim else 1
    check_bounds(index, size, _COPIED, dim)
    return (input, index, source), (dim,)


@operator(INDEX_COPY, out=True)
@function_by_specs(INDEX_COPY, _index_copy_inputs)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """``input`` with the rows of ``source`` written over the rows that ``index`` names.

    Args:
        index: a vector of int64, one per row of ``source`` along ``dim``.

    Raises:
        RuntimeError, IndexError: shapes or dtypes that do not fit, or an index out of bounds.
    """
    return call(INDEX_COPY, *_index_copy_inputs(input, dim, index, source))


in_place(INDEX_COPY, _index_copy_inputs)


def _fill_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    few = _index_samples(values=False)(rng, dtype)
    numbers: tuple[Any, ...] = (
        1, draw(rng, (), dtype, 1, 5), np.array(1), 1, draw(rng, (), dtype, 1, 5), 1, 1, 1,
    )  # fmt: skip
    many = rng.integers(-9, 9, 80)  # they are looked at in another way
    return [
        *[Sample((*s.args, value)) for s, value in zip(few, numbers, strict=True)],
        Sample((draw(rng, (9, 2), dtype, 1, 5), 0, many, 1)),
    ]


INDEX_FILL: OpDef = OpDef(
    "index_fill",
    kind="index",
    inputs=("input", "index", "value"),
    attributes=("dim",),
    infer=_same_order,
    decompose=lambda input, index, value, dim: call(
        _FILL, (input, *_filled(input, index, value, dim)), (dim,)
    ),
    gradient={
        "input": lambda g, index, dim: call(INDEX_FILL, (g, index, 0), (dim,)),
        # Autograd sums it to the value's shape.
        "value": lambda g, index, dim: g.masked_fill(_left_alone(g, index, dim), 0),
    },
    reference=_rows_written,
    samples=_fill_samples,
)
"""``index`` may count from the end, for a kernel too."""


def _filled(input: Any, index: Any, value: Any, dim: int) -> tuple[Any, Any]:
    size = input._spec.shape[dim] if input._spec.ndim else 1
    if size:
        index = call(_WRAPPED, (index,), (size, dim, 0))
    wide = along(index, tuple(input._spec.shape), dim)
    if isinstance(value, Tensor):
        value = value.to(input._spec.dtype).expand(wide._spec.shape)
    return wide, value


def _left_alone(x: Any, index: Any, dim: int) -> Any:
    """Where ``index`` writes nothing; a row that it names twice is written once."""
    everywhere = x.new_ones(tuple(x._spec.shape), dtype=d.bool_)
    return call(INDEX_FILL, (everywhere, index, False), (dim,))


def _index_fill_inputs(
    input: Tensor, dim: int, index: Tensor, value: Any
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    need_tensor("index_fill", "index", 3, index)
    spec, at = input._spec, index._spec
    dim = check_dim(dim, spec.ndim)
    if isinstance(value, Tensor) and value._spec.ndim:
        raise RuntimeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value._spec.ndim} dimension(s)."
        )
    is_tensor = isinstance(value, Tensor)
    is_complex = value._spec.dtype.is_complex if is_tensor else isinstance(value, complex)
    if is_complex and not spec.dtype.is_complex:
        raise RuntimeError(
            "index_fill_(): Converting complex Scalar to non-complex type is not supported"
        )
    if at.dtype is not d.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if at.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    size = spec.shape[dim] if spec.ndim else 1
    check_bounds(index, size, ALONG, dim, wraps=True)
    if not isinstance(value, Tensor):
        check_fits(value, spec.dtype)
        value = held(value, spec.dtype)
    return (input, index, value), (dim,)


@operator(INDEX_FILL)
@function_by_specs(INDEX_FILL, _index_fill_inputs, "value")
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """``input`` with ``value`` (a number or a 0-d tensor) in the rows that ``index`` names.

    Args:
        index: a vector of int64; negative ones count from the end.

    Raises:
        IndexError: an index out of bounds or of another dtype.
        RuntimeError: the value has dims, or is complex and ``input`` is not.
    """
    return call(INDEX_FILL, *_index_fill_inputs(input, dim, index, value))


in_place(INDEX_FILL, _index_fill_inputs, number="value")
