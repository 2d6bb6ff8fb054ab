"""What every reduction shares: dims, shapes, NumPy's argument names, quick calls, samples.

A reduction's ``dim`` is, in its record, a sorted tuple of dims counted from the front; it names
every dim where the whole tensor is reduced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import observe
from dovetail.autocast_rules import early
from dovetail.autograd.grad_mode import mode
from dovetail.dispatch import call
from dovetail.ops.expose import attach
from dovetail.ops.families import draw
from dovetail.ops.layout.views import apply_view, view_record
from dovetail.ops.out import finish
from dovetail.ops.schema import REGISTRY, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__ = [
    "REAL",
    "accept_numpy_names",
    "by_numpy",
    "dims_of",
    "kept_shape",
    "not_empty",
    "numpy_names",
    "one_dim",
    "one_input",
    "reduced_shape",
    "remember",
    "restored",
    "samples",
    "spec_of_input",
    "spread",
    "summing_function",
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
    return x if keepdim else x.reshape(kept_shape(shape, dim))


_EXPAND = view_record("expand")


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
            if active and mode.autocast is not None and kwargs.get("dtype") is None:
                input = early(name, input)
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
        if active and mode.autocast is not None and dtype is None:
            input = early(name, input)
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


def spec_of_input(name: str, input: Any) -> Spec:
    """The spec of a tensor.

    Raises:
        TypeError: it is none.
    """
    try:
        return input._spec  # type: ignore[no-any-return]
    except AttributeError:
        raise TypeError(
            f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        ) from None


# samples

_LAYOUTS: tuple[tuple[tuple[int, ...], Any, bool], ...] = (
    ((5,), None, False),
    ((3, 4), 0, False),
    ((3, 4), -1, True),
    ((5, 3), 1, False),
    ((2, 3, 4), (0, 2), False),
    ((2, 3, 4), (1,), True),
    ((), None, False),
    ((), 0, True),
    ((3, 0, 2), 0, False),
)


def samples(
    low: float, high: float, tuples: bool = True, distinct: bool = False, whole: bool = True
) -> Any:
    """Shapes, dims and keepdim; ``distinct``: no two values are equal; ``whole``: without a dim."""

    def make(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        found = []
        for shape, dim, keepdim in _LAYOUTS:
            if (isinstance(dim, tuple) and not tuples) or (dim is None and not whole):
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
