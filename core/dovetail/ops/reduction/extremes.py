"""max and min in their three forms, and aminmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import observe, return_types
from dovetail.dispatch import call
from dovetail.ops.expose import FUNCTIONS, attach
from dovetail.ops.families import draw
from dovetail.ops.out import finish
from dovetail.ops.reduction.reduce import AMAX, AMIN, ARGMAX, ARGMIN
from dovetail.ops.reduction.reducing import (
    REAL,
    dims_of,
    not_empty,
    numpy_names,
    one_dim,
    one_input,
    reduced_shape,
    remember,
    samples,
    spec_of_input,
)
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["picked_infer", "scattered", "whole_gradient"]

active = observe.active


def whole_gradient(g: Any, input: Any, out: Any) -> Any:
    """Shared evenly among equal elements, or among the NaN where the result is one."""
    ties = input.eq(out) | (input.ne(input) & out.ne(out))
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
        samples=samples(-5, 5, tuples=False, whole=False),
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
