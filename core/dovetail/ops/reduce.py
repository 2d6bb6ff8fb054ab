"""Reductions: the primitives sum prod amax amin argmax argmin, and max, min, any, all on top.

A reduction's ``dim`` is, in its record, a sorted tuple of dims counted from the front; it names every
dim where the whole tensor is reduced. Sums and products are accumulated in the dtype of the result
(float32 for float16 and bfloat16); where the input's dtype is not promoted to it without loss, the
core casts first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import observe, return_types
from dovetail.dispatch import call, type_name
from dovetail.errors import Unsupported
from dovetail.ops.expose import FUNCTIONS, attach, finish
from dovetail.ops.families import composite, draw
from dovetail.ops.schema import REGISTRY, ErrorInput, Inferred, OpDef, Sample
from dovetail.ops.views import apply_view, register_view
from dovetail.promotion import promote_types
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__ = [
    "accept_numpy_names",
    "by_numpy",
    "dims_of",
    "kept_shape",
    "not_empty",
    "numpy_names",
    "one_dim",
    "one_input",
    "picked_infer",
    "real_float_only",
    "reduced_shape",
    "remember",
    "restored",
    "samples",
    "scattered",
    "spec_of_input",
    "spread",
    "summing_function",
    "whole_gradient",
]

REAL = (d.bool_, *d.INTEGRAL, *d.FLOATING)
active = observe.active


# dims and shapes


def dims_of(name: str, dim: Any, ndim: int) -> tuple[int, ...]:
    """``dim`` as a record has it: sorted, from the front; all dims where it is None or empty.

    Raises:
        IndexError: a dim is out of range.
        RuntimeError: a dim comes twice.
        TypeError: not an integer or a sequence of them.
    """
    if dim is None:
        return tuple(range(ndim))
    if dim.__class__ is int:
        found = check_dim(dim, ndim)
        return (found,) if ndim else ()
    try:
        many = (
            (dim.__index__(),) if hasattr(dim, "__index__") else tuple(n.__index__() for n in dim)
        )
    except (TypeError, AttributeError):
        raise TypeError(
            f"{name}(): argument 'dim' must be tuple of ints, not {type(dim).__name__}"
        ) from None
    dims = sorted(check_dim(n, ndim) for n in many)
    twice = [n for n in set(dims) if dims.count(n) > 1]
    if twice:
        raise RuntimeError(f"dim {min(twice)} appears multiple times in the list of dims")
    return tuple(dims if ndim else ()) if many else tuple(range(ndim))


def one_dim(name: str, dim: Any, ndim: int) -> int:
    """A single dim, from the front (0 for a 0-d tensor).

    Raises:
        IndexError: out of range.
        TypeError: not an integer.
    """
    if not hasattr(dim, "__index__"):
        raise TypeError(f"{name}(): argument 'dim' must be int, not {type(dim).__name__}")
    return check_dim(dim.__index__(), ndim)


def reduced_shape(spec: Spec, dim: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape of a reduction's result."""
    if keepdim:
        return kept_shape(spec.shape, dim)
    return tuple(n for i, n in enumerate(spec.shape) if i not in dim)


def kept_shape(shape: tuple[int, ...], dim: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` with 1 in place of the reduced dims."""
    return tuple(1 if i in dim else n for i, n in enumerate(shape))


def not_empty(name: str, spec: Spec, dim: tuple[int, ...], whole: bool) -> None:
    """Raise PyTorch's errors for reductions that have no value for no elements.

    Args:
        whole: ``dim`` was left out.
    """
    if spec.numel:
        return
    if whole:
        error = IndexError if name.startswith("arg") else RuntimeError
        raise error(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
            "reduction dim with the 'dim' argument."
        )
    for n in dim:
        if not spec.shape[n]:
            raise IndexError(f"{name}(): Expected reduction dim {n} to have non-zero size.")


def restored(x: Any, specs: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """A reduction's result (or gradient) with its reduced dims back as dims of size 1."""
    shape = specs[0].shape
    if keepdim or not dim or len(dim) == len(shape) == 1:
        return x
    return x.reshape(kept_shape(shape, dim))


_EXPAND = register_view("expand")


def spread(g: Any, specs: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """The gradient of a sum: ``g`` at every element that was added."""
    if g._spec.ndim:
        g = restored(g, specs, dim, keepdim)
    return apply_view(_EXPAND, g, (tuple(specs[0].shape),))


_NUMPY_NAMES = (("axis", "dim"), ("keepdims", "keepdim"))


def _our_names(kwargs: dict[str, Any]) -> dict[str, Any]:
    for theirs, ours in _NUMPY_NAMES:
        if theirs in kwargs:
            kwargs[ours] = kwargs.pop(theirs)
    return kwargs


def numpy_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """Accept ``axis`` for ``dim`` and ``keepdims`` for ``keepdim``, as PyTorch does."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **(_our_names(kwargs) if kwargs else kwargs))

    return wrapped


def one_input(
    op: OpDef, made: Callable[..., Any] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turn ``prepare(input, …) -> (input, attributes)`` into a function with ``out=``.

    Calls without keywords find their plan by the spec and the arguments as they are.

    Args:
        made: what the tuple of several outputs becomes.
    """

    def decorate(prepare: Callable[..., tuple[Any, tuple[Any, ...]]]) -> Callable[..., Any]:
        get, name = op.plans.get, op.name.removesuffix("_dim")

        @functools.wraps(prepare)
        def function(input: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
            if out is None and not kwargs and not active:
                try:
                    run = get((input._spec, *args))
                except (AttributeError, TypeError):
                    run = None
                if run is not None:
                    result = run(input)
                    return result if made is None else made(result)
            spec_of_input(name, input)
            source, attributes = prepare(input, *args, **_our_names(kwargs))
            result = call(op, (source,), attributes)
            if not kwargs and source is input:
                remember(op, (input._spec, *args), (input._spec, attributes))
            return finish(name, result if made is None else made(result), out)

        return function

    return decorate


def accept_numpy_names(*names: str) -> None:
    """Let operators that a decorator has published take NumPy's argument names too."""
    for name in names:
        op = REGISTRY[name]
        assert op.function is not None
        attach(op, numpy_names(op.function), out=name not in _WITHOUT_OUT)


_WITHOUT_OUT = frozenset({"count_nonzero"})

# samples

_LAYOUTS: tuple[tuple[tuple[int, ...], Any, bool], ...] = (
    ((5,), None, False),
    ((3, 4), 0, False),
    ((3, 4), -1, True),
    ((2, 3, 4), (0, 2), False),
    ((2, 3, 4), (1,), True),
    ((), None, False),
    ((3, 0, 2), 0, False),
)


def samples(low: float, high: float, tuples: bool = True, distinct: bool = False) -> Any:
    """Shapes, dims and keepdim; ``distinct``: no two values are equal."""

    def make(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        found = []
        for shape, dim, keepdim in _LAYOUTS:
            if isinstance(dim, tuple) and not tuples:
                continue
            values = draw(rng, shape, dtype, low, high)
            if distinct and dtype.category >= 2:
                order = rng.permutation(values.size).reshape(shape)
                values = np.asarray(low + (high - low) * order / max(values.size, 1))
                values = values.astype(dtype.numpy)
            found.append(Sample((values,) if dim is None else (values, dim, keepdim)))
        return found

    return make


def by_numpy(function: Callable[..., Any], whole: type | None = None) -> Callable[..., Any]:
    """A reference from a NumPy reduction; ``whole``: the dtype of sums of integers."""

    def reference(x: np.ndarray, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
        if isinstance(dim, list):
            dim = tuple(dim)
        axis = None if not x.ndim else dim
        options = {"dtype": whole} if whole is not None and x.dtype.kind in "biu" else {}
        return function(x, axis=axis, keepdims=keepdim and x.ndim > 0, **options)

    return reference


# sum, prod


def _accumulating(spec: Spec, dim: tuple[int, ...], keepdim: bool, dtype: d.dtype) -> Inferred:
    fits = promote_types(spec.dtype, dtype) is dtype
    shape = reduced_shape(spec, dim, keepdim)
    return Inferred((None if fits else dtype,), ((shape, dtype),))


def _sum_dtype(spec: Spec, dtype: d.dtype | None) -> d.dtype:
    if dtype is not None:
        return dtype
    return d.int64 if spec.dtype.category < 2 else spec.dtype


SUM = OpDef(
    "sum",
    kind="reduce",
    attributes=("dim", "keepdim", "dtype"),
    infer=_accumulating,
    gradient={"input": spread},
    reference=by_numpy(np.sum, np.int64),
    samples=samples(-5, 5),
    required=True,
)
"""``sum(input, out, *, dim, keepdim, dtype)``: accumulate in ``dtype``, which is also out's."""


def _products_of_others(x: Any, dim: int) -> Any:
    """Per element the product of all others along ``dim``, zeros or not."""
    from dovetail.ops import cat

    n = x.shape[dim]
    one = x.new_ones(kept_shape(x.shape, (dim,)))
    before = cat([one, x.narrow(dim, 0, n - 1)], dim).cumprod(dim)
    after = cat([one, x.flip(dim).narrow(dim, 0, n - 1)], dim).cumprod(dim).flip(dim)
    return before * after


def _prod_gradient(g: Any, input: Any, specs: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    g = spread(g, specs, dim, keepdim)
    x = input.to(g.dtype)
    if not x.numel() or not x.ndim:
        return g
    if len(dim) == 1:
        others = _products_of_others(x, dim[0])
    else:
        others = _products_of_others(x.reshape(-1), 0).reshape(x.shape)
    return g * (others.conj() if g.dtype.is_complex else others)


PROD = OpDef(
    "prod",
    kind="reduce",
    attributes=("dim", "keepdim", "dtype"),
    infer=_accumulating,
    gradient={"input": _prod_gradient},
    reference=by_numpy(np.prod, np.int64),
    samples=samples(-2, 2, tuples=False),
    required=True,
)
"""``prod(input, out, *, dim, keepdim, dtype)``: one dim, or all of them."""


def summing_function(
    op: OpDef, prepare: Callable[[Tensor, Any], tuple[Tensor, tuple[Any, ...]]], doc: str
) -> Callable[..., Any]:
    """The function of ``sum`` or ``mean``: calls without options find their plan by spec and dim.

    Args:
        prepare: from input and dtype to the input and the attributes after dim and keepdim.
    """
    name = op.name
    get = op.plans.get

    def function(
        input: Tensor,
        dim: Any = None,
        keepdim: bool = False,
        *,
        dtype: d.dtype | None = None,
        out: Tensor | None = None,
        axis: Any = None,
        keepdims: bool | None = None,
    ) -> Tensor:
        plain = dtype is None and out is None and not (keepdim or keepdims) and axis is None
        if plain and not active:
            try:
                run = get(input._spec if dim is None else (input._spec, dim))
            except (AttributeError, TypeError):
                run = None
            if run is not None:
                return run(input)  # type: ignore[no-any-return]
        spec_of_input(name, input)
        dim = axis if dim is None else dim
        source, rest = prepare(input, dtype)
        spec = source._spec
        attributes = (dims_of(name, dim, spec.ndim), bool(keepdim or keepdims), *rest)
        result = call(op, (source,), attributes)
        if plain:
            remember(op, spec if dim is None else (spec, dim), (spec, attributes))
        return finish(name, result, out)  # type: ignore[no-any-return]

    function.__doc__ = doc
    return function


def remember(op: OpDef, short: Any, full: Any) -> None:
    """Let a call without options find its plan by a shorter key."""
    run = op.plans.get(full)
    if run is None:
        return
    try:
        op.plans[short] = run
    except TypeError:  # a list of dims
        return


attach(
    SUM,
    summing_function(
        SUM,
        lambda input, dtype: (input, (_sum_dtype(input._spec, dtype),)),
        """The sum of all elements, or over one or more dims.

    Args:
        input: any shape; integers and bool are summed as int64 unless ``dtype`` is given.
        dim: an int or a tuple of them (``axis`` in NumPy's words).
        keepdim: reduced dims stay, with size 1 (``keepdims``).
        dtype: the dtype to cast to before adding, and of the result.

    Raises:
        IndexError: a dim is out of range.
    """,
    ),
)


def spec_of_input(name: str, input: Any) -> Spec:
    try:
        return input._spec  # type: ignore[no-any-return]
    except AttributeError:
        raise TypeError(
            f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        ) from None


@one_input(PROD)
def _prod(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    dtype: d.dtype | None = None,
) -> Any:
    """The product of all elements, or along one dim; integers and bool as int64.

    Raises:
        IndexError: the dim is out of range.
    """
    spec = input._spec
    if dim is not None:
        dim = one_dim("prod", dim, spec.ndim)
    return input, (dims_of("prod", dim, spec.ndim), keepdim, _sum_dtype(spec, dtype))


attach(PROD, _prod)


# amax, amin


def _same_dtype(spec: Spec, dim: tuple[int, ...], keepdim: bool) -> Inferred:
    return Inferred((None,), ((reduced_shape(spec, dim, keepdim), spec.dtype),))


def _share_ties(
    g: Any, input: Any, out: Any, specs: Any, dim: tuple[int, ...], keepdim: bool
) -> Any:
    """Elements that are equal to the result get equal parts."""
    g, out = restored(g, specs, dim, keepdim), restored(out, specs, dim, keepdim)
    ties = input.eq(out).to(g.dtype)
    return g * ties / ties.sum(dim, True)


def _extremum(name: str, reference: Any, doc: str) -> OpDef:
    op = OpDef(
        name,
        kind="reduce",
        attributes=("dim", "keepdim"),
        infer=_same_dtype,
        accepts=REAL,
        gradient={"input": _share_ties},
        reference=by_numpy(reference),
        samples=samples(-5, 5, distinct=True),
        required=True,
        errors=lambda: [
            ErrorInput((np.zeros((2, 0), np.float32), 1), {}, IndexError, "non-zero size")
        ],
    )

    @one_input(op)
    def function(input: Tensor, dim: Any = (), keepdim: bool = False) -> Any:
        dims = dims_of(name, dim, input._spec.ndim)
        not_empty(name, input._spec, dims, dim is None or dim == () or dim == [])
        return input, (dims, keepdim)

    attach(op, function, doc=doc)
    return op


_DOC = """, over all elements or some dims; NaN where there is one.

    The gradient is shared evenly among equal elements.

    Raises:
        IndexError: a dim is out of range, or of size 0.
    """
AMAX = _extremum("amax", np.max, "The largest element" + _DOC)
AMIN = _extremum("amin", np.min, "The smallest element" + _DOC)


# argmax, argmin


def _index_of(spec: Spec, dim: tuple[int, ...], keepdim: bool) -> Inferred:
    return Inferred((None,), ((reduced_shape(spec, dim, keepdim), d.int64),))


def _arg(name: str, reference: Any, doc: str) -> OpDef:
    op = OpDef(
        name,
        kind="reduce",
        attributes=("dim", "keepdim"),
        infer=_index_of,
        accepts=REAL,
        reference=by_numpy(reference),
        samples=samples(-5, 5, tuples=False),
        required=True,
    )

    @one_input(op)
    def function(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
        spec = input._spec
        if spec.dtype is d.bool_ or spec.dtype.is_complex:
            kind = "bool" if spec.dtype is d.bool_ else "complex"
            raise RuntimeError(f"{name}(): does not support {kind} input")
        dims = dims_of(name, None if dim is None else one_dim(name, dim, spec.ndim), spec.ndim)
        not_empty(name, spec, dims, dim is None)
        return input, (dims, keepdim)

    attach(op, function, doc=doc)
    return op


_DOC = """ as int64: of all elements, counted row-major, or along a dim.

    The first one of equal elements; of the first NaN where there is one.

    Raises:
        RuntimeError: the input is bool or complex.
        IndexError: nothing to choose from, or the dim is out of range.
    """
ARGMAX = _arg("argmax", np.argmax, "The index of the largest element" + _DOC)
ARGMIN = _arg("argmin", np.argmin, "The index of the smallest element" + _DOC)
"""``argmin(input, out, *, dim, keepdim)``: ``dim`` has one dim, or all (row-major count)."""


# max and min, in their three forms


def whole_gradient(g: Any, input: Any, out: Any) -> Any:
    """Shared evenly among equal elements, or among the NaN where the result is one."""
    ties = (input.eq(out) | (input.ne(input) & out.ne(out))).to(g.dtype)
    return g * ties / ties.sum()


def scattered(g: Any, index: Any, specs: Any, dim: int, keepdim: bool) -> Any:
    """Zeros of the input's shape with ``g`` where ``index`` points to along ``dim``."""
    spec = specs[0]
    if not spec.ndim:
        return g
    if not keepdim:
        g, index = g.unsqueeze(dim), index.unsqueeze(dim)
    return g.new_zeros(tuple(spec.shape)).scatter(dim, index, g)


def picked_infer(spec: Spec, dim: int, keepdim: bool) -> Inferred:
    """Values and indices of one element along ``dim``."""
    shape = reduced_shape(spec, (dim,), keepdim)
    return Inferred((None,), ((shape, spec.dtype), (shape, d.int64)))


def _picked(find: OpDef) -> Callable[..., Any]:
    def decompose(input: Any, dim: int, keepdim: bool) -> Any:
        if not input.ndim:
            return input.clone(), input.new_zeros((), dtype=d.int64)
        ordered = input.to(d.uint8) if input.dtype is d.bool_ else input
        index = call(find, (ordered,), ((dim,), True))
        values = input.gather(dim, index)
        return (values, index) if keepdim else (values.squeeze(dim), index.squeeze(dim))

    return decompose


def _three_forms(name: str, extreme: OpDef, find: OpDef, other_name: str, word: str) -> None:
    whole = OpDef(
        name,
        infer=lambda spec: Inferred((None,), (((), spec.dtype),)),
        accepts=REAL,
        gradient={"input": whole_gradient},
        decompose=lambda input: call(extreme, (input,), (tuple(range(input.ndim)), False)),
        reference=lambda x: getattr(np, name)(x),
        samples=lambda rng, dtype: [
            Sample((draw(rng, s, dtype, -5, 5),)) for s in ((), (7,), (3, 5))
        ],
    )
    along = OpDef(
        name + "_dim",
        attributes=("dim", "keepdim"),
        outputs=2,
        infer=picked_infer,
        accepts=REAL,
        gradient={
            "input": lambda g, out1, specs, dim, keepdim: scattered(g, out1, specs, dim, keepdim)
        },
        decompose=_picked(find),
        reference=_pick_reference(getattr(np, "arg" + name)),
        samples=samples(-5, 5, tuples=False),
        public=False,
        method=False,
    )
    made = getattr(return_types, name)
    get = whole.plans.get

    @one_input(along, made)
    def with_dim(input: Tensor, dim: int, keepdim: bool = False) -> Any:
        spec = input._spec
        if isinstance(dim, (tuple, list, float)):
            raise TypeError(
                f"{name}() received an invalid combination of arguments - dim must be int, not "
                f"{type(dim).__name__}; a{name}() takes several"
            )
        where = one_dim(name, dim, spec.ndim)
        not_empty(name, spec, (where,) if spec.ndim else (), False)
        return input, (where, keepdim)

    def function(input: Tensor, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        if not args and not kwargs:
            spec = spec_of_input(name, input)
            if not active and out is None:
                run = get(spec)
                if run is not None:
                    return run(input)
            not_empty(name, spec, (), True)
            result = call(whole, (input,), ())
            remember(whole, spec, (spec, ()))
            return finish(name, result, out)
        other = kwargs.get("other", args[0] if args else None)
        if isinstance(other, Tensor):
            return FUNCTIONS[other_name](input, other, out=out)
        return with_dim(input, *args, out=out, **kwargs)

    along.function = with_dim
    attach(whole, function, doc=_THREE.format(name=name, word=word, other=other_name))


_THREE = """The {word} element: ``{name}(input)``, ``{name}(input, dim)``, ``{name}(input, other)``.

    ``{name}(input)`` is the {word} of all. ``{name}(input, dim, keepdim=False)`` is a named tuple
    (values, indices) along a dim; the gradient goes to the element that the index names.
    ``{name}(input, other)`` is ``{other}(input, other)``.

    Raises:
        RuntimeError: of no elements.
        IndexError: the dim is out of range, or of size 0.
    """


def _pick_reference(find: Any) -> Any:
    def reference(x: np.ndarray, dim: int = 0, keepdim: bool = False) -> Any:
        if not x.ndim:
            return x, np.zeros((), np.int64)
        index = np.expand_dims(find(x, axis=dim), dim)
        values = np.take_along_axis(x, index, dim)
        return (values, index) if keepdim else (values.squeeze(dim), index.squeeze(dim))

    return reference


_three_forms("max", AMAX, ARGMAX, "maximum", "largest")
_three_forms("min", AMIN, ARGMIN, "minimum", "smallest")


@numpy_names
def _aminmax(
    input: Tensor, *, dim: int | None = None, keepdim: bool = False, out: Any = None
) -> Any:
    """The smallest and the largest element, as a named tuple (min, max).

    Raises:
        RuntimeError: of no elements.
        IndexError: the dim is out of range, or of size 0.
    """
    spec = spec_of_input("aminmax", input)
    if dim is None:
        if not spec.numel:
            raise RuntimeError(
                "aminmax(): cannot compute aminmax over an empty dimension as the operation has no "
                "identity."
            )
        dims = tuple(range(spec.ndim))
    else:
        dims = dims_of("aminmax", one_dim("aminmax", dim, spec.ndim), spec.ndim)
        for n in dims:
            if not spec.shape[n]:
                raise IndexError(f"aminmax: Expected reduction dim {n} to have non-zero size.")
    pair = (call(op, (input,), (dims, keepdim)) for op in (AMIN, AMAX))
    return finish("aminmax", return_types.aminmax(*pair), out)


FUNCTIONS["aminmax"] = Tensor.aminmax = _aminmax  # type: ignore[attr-defined]
_aminmax.__name__ = _aminmax.__qualname__ = "aminmax"


# any, all, count_nonzero: bool sums


def _truth_infer(spec: Spec, dim: tuple[int, ...], keepdim: bool) -> Inferred:
    kind = d.uint8 if spec.dtype is d.uint8 else d.bool_  # uint8 was PyTorch's bool once
    return Inferred((None,), ((reduced_shape(spec, dim, keepdim), kind),))


def _truth_dims(name: str) -> Callable[..., Any]:
    def prepare(input: Any, dim: Any, keepdim: bool) -> Any:
        ndim = spec_of_input(name, input).ndim
        empty = isinstance(dim, (tuple, list)) and not dim  # here PyTorch reduces nothing
        return (input,), (() if empty else dims_of(name, dim, ndim), keepdim)

    return prepare


def _as_truth(result: Any, input: Any) -> Any:
    return result.to(d.uint8) if input.dtype is d.uint8 else result


def _truth(name: str, reference: Any) -> Callable[..., Any]:
    return composite(
        name,
        infer=_truth_infer,
        prepare=_truth_dims(name),
        reference=lambda x, dim=None, keepdim=False: _truth_of(reference, x, dim, keepdim),
        samples=samples(-1, 1),
    )


def _truth_of(function: Any, x: np.ndarray, dim: Any, keepdim: bool) -> Any:
    return function(x, axis=None if not x.ndim else dim, keepdims=keepdim and x.ndim > 0)


@_truth("any", np.any)
def any_(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether any element is not zero: of all, or over one or more dims."""
    if not dim:
        return _as_truth(input.ne(0), input)
    return _as_truth(input.ne(0).sum(dim, keepdim).ne(0), input)


@_truth("all", np.all)
def all_(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether no element is zero: of all, or over one or more dims."""
    if not dim:
        return _as_truth(input.ne(0), input)
    return _as_truth(input.eq(0).sum(dim, keepdim).eq(0), input)


def _count_dims(input: Any, dim: Any) -> Any:
    return (input,), (dims_of("count_nonzero", dim, spec_of_input("count_nonzero", input).ndim),)


@composite(
    "count_nonzero",
    infer=lambda spec, dim: Inferred((None,), ((reduced_shape(spec, dim, False), d.int64),)),
    prepare=_count_dims,
    reference=lambda x, dim=None: np.count_nonzero(x, axis=dim),
    samples=lambda rng, dtype: [
        Sample((draw(rng, (3, 4), dtype, -1, 1),)),
        Sample((draw(rng, (3, 4), dtype, -1, 1), 1)),
        Sample((draw(rng, (2, 3, 4), dtype, -1, 1), (0, 2))),
    ],
)
def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements are not zero, as int64."""
    hit = input.ne(0)
    return hit.sum(dim) if dim else hit.to(d.int64)


accept_numpy_names("any", "all", "count_nonzero")


def real_float_only(name: str, spec: Spec) -> None:
    """Raise where the dtype is complex."""
    if spec.dtype.is_complex:
        raise Unsupported(f"\"{name}\" not implemented for '{type_name(spec.dtype)}'")
