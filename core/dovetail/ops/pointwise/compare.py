"""Comparisons, logic and bits; ``where``, ``maximum``, ``minimum``, ``clamp`` and masks."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.dispatch import NUMBERS
from dovetail.fitting import check_fits, held
from dovetail.ops.direct import in_place
from dovetail.ops.families import (
    broadcast_shapes,
    composite,
    draw,
    elementwise,
    elementwise_infer,
    integers,
    pairs,
    same,
    to_bool,
    uniform,
)
from dovetail.ops.schema import REGISTRY, Facts, Inferred, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__: list[str] = []

inf, nan = float("inf"), float("nan")
SPECIAL = (0.0, -0.0, 1.0, inf, -inf, nan)
TWO = ("input", "other")
REAL = (*d.INTEGRAL, *d.FLOATING, d.bool_)
BITS = (d.bool_, *d.INTEGRAL)


def _compare(name: str, reference: Any, doc: str, **fields: Any) -> None:
    elementwise(
        name,
        kind="compare",
        inputs=TWO,
        rule=to_bool,
        reference=reference,
        samples=pairs(-2, 2),
        special=SPECIAL,
        ulp=0,
        doc=doc,
        **fields,
    )


_compare("eq", np.equal, "Whether ``input == other``, elementwise.", required=True)
_compare(
    "lt", np.less, "Whether ``input < other``.", required=True, accepts=REAL, aliases=("less",)
)
_compare(
    "le", np.less_equal, "Whether ``input <= other``.",
    required=True, accepts=REAL, aliases=("less_equal",),
)  # fmt: skip
_compare(
    "ne", np.not_equal, "Whether ``input != other``.",
    decompose=lambda input, other: input.eq(other).logical_not() if hasattr(input, "_spec")
    else other.eq(input).logical_not(),
    aliases=("not_equal",),
)  # fmt: skip
_compare(
    "gt", np.greater, "Whether ``input > other``.",
    accepts=REAL, decompose=lambda input, other: _flip("lt", input, other), aliases=("greater",),
)  # fmt: skip
_compare(
    "ge", np.greater_equal, "Whether ``input >= other``.",
    accepts=REAL, decompose=lambda input, other: _flip("le", input, other),
    aliases=("greater_equal",),
)  # fmt: skip


def _flip(name: str, input: Any, other: Any) -> Any:
    from dovetail import ops

    return getattr(ops, name)(other, input)


def _with_specials(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    """Values of which some are infinite or NaN, where the dtype has such."""
    made = uniform(-2, 2)(rng, dtype)
    if dtype.category >= 2:
        for sample in made:
            flat = sample.args[0].reshape(-1)
            for special in (inf, -inf, nan):
                flat[rng.random(flat.size) < 0.2] = special
    return made


def _predicate(name: str, decompose: Any, reference: Any, doc: str, **fields: Any) -> None:
    elementwise(
        name,
        kind="compare",
        rule=to_bool,
        decompose=decompose,
        reference=reference,
        samples=_with_specials,
        special=SPECIAL,
        inplace=fields.pop("inplace", False),
        ulp=0,
        doc=doc,
        **fields,
    )


_predicate(
    "logical_not", lambda input: input.eq(0), np.logical_not, "Whether ``input`` is zero.",
    inplace=True,
)  # fmt: skip
_predicate("isnan", lambda input: input.ne(input), np.isnan, "Whether NaN.")
_predicate(
    "isinf",
    lambda input: input.abs().eq(inf) if input.dtype.category > 1 else input.ne(input),
    np.isinf,
    "Whether plus or minus infinity.",
)
_predicate(
    "isfinite",
    lambda input: input.abs().lt(inf) if input.dtype.category > 1 else input.eq(input),
    np.isfinite,
    "Whether neither infinite nor NaN.",
)
for _name, _reference, _symbol in (
    ("logical_and", np.logical_and, "bitwise_and"),
    ("logical_or", np.logical_or, "bitwise_or"),
    ("logical_xor", np.logical_xor, "bitwise_xor"),
):
    _compare(
        _name,
        _reference,
        f"``{_symbol}`` of whether each operand is non-zero.",
        decompose=lambda input, other, _symbol=_symbol: getattr(input.ne(0), _symbol)(other.ne(0)),
        tensors_only=True,
    )


def _bitwise(name: str, reference: Any, doc: str) -> None:
    elementwise(
        name,
        inputs=TWO,
        accepts=BITS,
        reference=reference,
        samples=integers(-9, 9),
        ulp=0,
        required=True,
        doc=doc,
    )


_bitwise("bitwise_and", np.bitwise_and, "Bits set in both.")
_bitwise("bitwise_or", np.bitwise_or, "Bits set in either.")
_bitwise("bitwise_xor", np.bitwise_xor, "Bits set in exactly one.")
elementwise(
    "bitwise_not", accepts=BITS, reference=np.invert, samples=uniform(-9, 9), ulp=0, required=True,
    doc="Every bit flipped; logical not for bool.",
)  # fmt: skip
for _name, _reference, _alias in (
    ("shift_left", np.left_shift, "bitwise_left_shift"),
    ("shift_right", np.right_shift, "bitwise_right_shift"),
):
    elementwise(
        _name, inputs=TWO, accepts=d.INTEGRAL, reference=_reference, samples=pairs(-9, 9, 0, 3),
        ulp=0, required=True, doc=f"Bits of ``input`` moved by ``other`` places ({_alias}).",
        aliases=(_alias,),
    )  # fmt: skip


# maximum, minimum, where, clamp


def _share(g: Any, wins: Any, ties: Any) -> Any:
    """All of ``g`` where this operand wins, half where both are equal (as PyTorch)."""
    from dovetail import ops

    return ops.where(ties, g / 2, ops.where(wins, g, 0.0))


elementwise(
    "maximum",
    inputs=TWO,
    accepts=REAL,
    gradient={
        "input": lambda g, input, other: _share(g, input > other, input == other),
        "other": lambda g, input, other: _share(g, other > input, input == other),
    },
    reference=np.maximum,
    samples=pairs(-5, 5),
    special=SPECIAL,
    ulp=0,
    required=True,
    inplace=False,
    doc="The larger of two values; NaN if either is.",
)
elementwise(
    "minimum",
    inputs=TWO,
    accepts=REAL,
    gradient={
        "input": lambda g, input, other: _share(g, input < other, input == other),
        "other": lambda g, input, other: _share(g, other < input, input == other),
    },
    reference=np.minimum,
    samples=pairs(-5, 5),
    special=SPECIAL,
    ulp=0,
    required=True,
    inplace=False,
    doc="The smaller of two values; NaN if either is.",
)


def _where_rule(operands: tuple[Facts, ...]) -> tuple[Any, d.dtype]:
    return same(operands[1:])


def _where_infer(condition: Facts, input: Facts, other: Facts) -> Any:
    if isinstance(condition, Spec) and condition.dtype is not d.bool_:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{condition.dtype}"
        )
    inferred = elementwise_infer("where", _where_rule)(condition, input, other)
    return Inferred((d.bool_, *inferred.compute[1:]), inferred.outs)


def _where_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    make = lambda *shape: draw(rng, shape, dtype, -5, 5)
    chance = lambda *shape: np.asarray(rng.random(shape) < 0.5)
    return [
        Sample((chance(3, 4), make(3, 4), make(3, 4))),
        Sample((chance(3, 1), make(4), make(3, 4)), name="broadcast"),
        Sample((chance(), make(2, 3), make())),
        Sample((chance(), make(), make()), name="0-d"),
        Sample((chance(0, 3), make(0, 3), make(3)), name="empty"),
        Sample((chance(2, 3), 3, -2.5), name="two numbers"),
    ]


where_op = elementwise(
    "where",
    kind="select",
    inputs=("condition", "input", "other"),
    gradient={
        "input": lambda g, condition: _select(condition, g, 0.0),
        "other": lambda g, condition: _select(condition, 0.0, g),
    },
    reference=np.where,
    samples=_where_samples,
    ulp=0,
    required=True,
    inplace=False,
    method=False,
    doc="``input`` where ``condition`` holds, else ``other``; all three broadcast.",
)
where_op.infer = _where_infer


def _select(condition: Any, input: Any, other: Any) -> Any:
    from dovetail import ops

    return ops.where(condition, input, other)


def _prepare_clamp(input: Any, min: Any, max: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if input._spec.dtype is d.bool_ and (min.__class__ is int or max.__class__ is int):
        input = input.to(d.int64)
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if isinstance(min, float) or isinstance(max, float):
        min = float(min) if min.__class__ in NUMBERS else min
        max = float(max) if max.__class__ in NUMBERS else max
    return (input, min, max), ()


def _clamp_gradient(g: Any, input: Any, min: Any, max: Any, needs: Any) -> tuple[Any, ...]:
    inside = None
    below = above = None
    if min is not None:
        below = input < min
        inside = below.logical_not()
    if max is not None:
        above = input > max
        within = above.logical_not()
        inside = within if inside is None else inside & within
    from dovetail import ops

    low, high = below, above
    if below is not None and above is not None:
        # where min > max everything is max; where they are equal the side below moves with neither
        low, high = below & (min < max), above | (max < min)
    return (
        ops.where(inside, g, 0.0) if needs[0] else None,
        ops.where(low, g, 0.0) if needs[1] else None,
        ops.where(high, g, 0.0) if needs[2] else None,
    )


def _clamp_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    make = lambda *shape: draw(rng, shape, dtype, -5, 5)
    edge = np.array([-2, 2, 0, 3, -3]).astype(dtype.numpy)  # the gradient passes at the bounds
    return [
        Sample((make(3, 4), -2, 2)),
        Sample((edge, -2, 2), name="at the bounds"),
        Sample((make(7), 1, None)),
        Sample((make(2, 3), None, 1)),
        Sample((make(3, 4), make(4), make(3, 1)), name="tensor bounds"),
        Sample((make(5), 2, -2), name="min above max"),
    ]


def _clamp_reference(x: Any, min: Any = None, max: Any = None) -> Any:
    bound = lambda b: np.asarray(b).astype(x.dtype) if x.dtype.kind in "iu" else b  # wraps around
    x = x if min is None else np.maximum(x, bound(min))
    return x if max is None else np.minimum(x, bound(max))


def _one_bound(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    make = lambda *shape: draw(rng, shape, dtype, -5, 5)
    return [Sample((make(3, 4), 1)), Sample((make(3, 4), make(4)), name="tensor bound")]


def _fill_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    chance = lambda *shape: np.asarray(rng.random(shape) < 0.5)
    make = lambda *shape: draw(rng, shape, dtype, -5, 5)
    found = [
        Sample((make(3, 4), chance(3, 4), 2)),
        Sample((make(3, 4), chance(4), 1), name="broadcast"),
        Sample((make(2, 3), chance(2, 1), make()), name="tensor value"),
    ]
    if dtype in (d.int32, d.int64):  # what float32 cannot hold must not pass through it
        large = np.array([2**24 + 1, 5, -(2**24) - 3], dtype.numpy)
        mask = np.array([False, True, False])
        found.append(Sample((large, mask, np.array(2, np.float32)), name="float tensor value"))
        found.append(Sample((large, mask, 2.0), name="float value"))
    if dtype in d.FLOATING:
        found.append(Sample((make(3, 4), chance(3, 4), 1.5), name="fraction"))
    return found


@composite(
    "clamp",
    inputs=("input", "min", "max"),
    prepare=_prepare_clamp,
    gradient=_clamp_gradient,
    inplace=True,
    out=True,
    aliases=("clip",),
    kind="composite",
    accepts=REAL,
    reference=_clamp_reference,
    samples=_clamp_samples,
)
def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """``input`` bounded to [min, max]; either bound may be a number, a tensor or None.

    Where ``min > max`` the result is ``max``. The gradient passes at the edges.
    """
    if min is not None:
        input = input.maximum(min)
    return input if max is None else input.minimum(max)


@composite(
    "clamp_min",
    inputs=("input", "min"),
    inplace=True,
    out=True,
    accepts=REAL,
    reference=np.maximum,
    samples=_one_bound,
)
def clamp_min(input: Any, min: Any) -> Any:
    """``input`` bounded below."""
    return input.clamp(min, None)


@composite(
    "clamp_max",
    inputs=("input", "max"),
    inplace=True,
    out=True,
    accepts=REAL,
    reference=np.minimum,
    samples=_one_bound,
)
def clamp_max(input: Any, max: Any) -> Any:
    """``input`` bounded above."""
    return input.clamp(None, max)


def _fill_infer(input: Spec, mask: Spec, value: Facts) -> Inferred:
    if mask.dtype is not d.bool_:
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype}"
        )
    if isinstance(value, Spec) and value.ndim:
        raise RuntimeError(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s)."
        )
    shape = broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    return Inferred((None, None, input.dtype), ((shape, input.dtype),))


def _prepare_fill(input: Any, mask: Any, value: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if not isinstance(value, Tensor):
        check_fits(value, input.dtype)
        value = held(value, input.dtype)
    return (input, mask, value), ()


@composite(
    "masked_fill",
    inputs=("input", "mask", "value"),
    prepare=_prepare_fill,
    infer=_fill_infer,
    gradient={
        "input": lambda g, mask: g.masked_fill(mask, 0),
        "value": lambda g, mask: _select(mask, g, 0),  # autograd sums it
    },
    inplace=True,
    reference=lambda x, mask, value: np.where(mask, value, x).astype(x.dtype),
    samples=_fill_samples,
)
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """``input`` with ``value`` (a number or 0-d tensor) where ``mask`` (bool) holds; broadcast.

    Raises:
        RuntimeError: the mask is not bool, or the value has dims, or is a number that the input's
            dtype has not.
    """
    from dovetail import ops

    if hasattr(value, "_spec"):
        value = value.to(input.dtype)
    else:
        value = held(value, input.dtype)
    return ops.where(mask, value, input).to(input.dtype)


in_place(REGISTRY["clamp"], _prepare_clamp, on_host=False)
in_place(REGISTRY["clamp_min"], on_host=False)
in_place(REGISTRY["clamp_max"], on_host=False)
in_place(REGISTRY["masked_fill"], _prepare_fill, number="value")
