"""How often something happens: poisson and binomial.

Small means by walking up the cumulative distribution until it passes one uniform number; large ones
by transformed rejection (Hoermann, "The transformed rejection method for generating Poisson random
variables" and "The generation of binomial random variates", 1993), which takes two uniform numbers
per element and round, until it has one. Computed in float32 (float64 for float64): the same numbers
on every device as far as its ``log`` and ``exp`` are the same.

A call takes the blocks of ``1 + 2 * ROUNDS`` draws of uniform numbers, whatever its values are:
the first is walked by, round r has the draws 1 + 2r and 2 + 2r. So each element has its own words,
nothing must be known of the others, and a device may have kernels ``random_poisson`` and
``random_binomial`` that make all of it in one launch (see ``draws.py``); they may tell of a rate
that is none where values are next asked for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from dovetail import dtypes as d
from dovetail import raw
from dovetail.autograd.grad_mode import mode, no_grad
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.factories import tensor
from dovetail.generator import Generator
from dovetail.ops.expose import publish
from dovetail.ops.families import broadcast_shapes
from dovetail.ops.linear_algebra.operands import need_tensors
from dovetail.ops.randomness.draws import UNIFORM, computed, draw, draw_uniform, record, stream_of
from dovetail.ops.randomness.random import constant_of
from dovetail.ops.schema import OpDef
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__ = ["BINOMIAL", "POISSON", "binomial", "poisson"]

_WALKS_BELOW = 10
"""Means from which rejection is used; below, 64 steps reach beyond what 24 bits can tell apart."""

_STEPS = 64
_ROUNDS = 64
"""More rounds than ever happen: each leaves less than a third of the elements."""

_Uniform = Callable[[], Any]
"""The next draw of uniform numbers, one for each element."""


def _tail(k: Any) -> Any:
    """What Stirling's series leaves of ``log k!``: ``1 / 12(k+1) - 1 / 360(k+1)**3 + …``."""
    first = [
        math.lgamma(n + 1) - (0.5 * math.log(2 * math.pi) + (n + 0.5) * math.log(n + 1) - (n + 1))
        for n in range(10)
    ]
    exact = tensor(first, dtype=k.dtype, device=k.device)
    small = exact.take(k.nan_to_num(0).clamp(0, 9).to(d.int64))
    inverse = 1 / (k + 1)
    square = inverse * inverse
    series = (1 / 12 - (1 / 360 - square / 1260) * square) * inverse
    return _choose(k.lt(10), small, series)


def _choose(condition: Any, one: Any, other: Any) -> Any:
    from dovetail import ops

    return ops.where(condition, one, other)


def _blocks(spec: Spec) -> int:
    """Blocks of a draw of uniform numbers of a spec."""
    return -(-spec.numel * (2 if spec.dtype is d.float64 else 1) // 4)


def _draws_at(spec: Spec, seed: int, offset: int) -> _Uniform:
    offsets = itertools.count(offset, _blocks(spec))
    return lambda: draw(UNIFORM, spec, seed, next(offsets))


def _counted(
    op: OpDef, count: Callable[..., Any], inputs: tuple[Tensor, ...], out: Spec, generator: Any
) -> Tensor:
    """What ``count(*inputs, uniform)`` makes, or the kernel of ``op``."""
    wide = computed(out)
    if mode.maps:  # a vmap draws for its examples together
        return count(*inputs, lambda: draw_uniform(wide, generator)).to(out.dtype)
    words = 4 * _blocks(wide) * (1 + 2 * _ROUNDS)
    return draw(op, out, *stream_of(out.device, generator, words), inputs=inputs)


def _record(name: str, count: Callable[..., Any], *inputs: str) -> OpDef:
    def decompose(spec: Spec, *given: Tensor, seed: int, offset: int) -> Any:
        return count(*given, _draws_at(computed(spec), seed, offset))

    return record(name, decompose, inputs=inputs)


def _rejected(
    shape_of: Any, attempt: Callable[[Any, Any], tuple[Any, Any]], wanted: Any, uniform: _Uniform
) -> Any:
    """Rounds of ``attempt(u, v) -> (k, is accepted)`` until every wanted element has a number."""
    found, open_ = shape_of.new_zeros(tuple(shape_of.shape)), wanted
    for _ in range(_ROUNDS):
        if not bool(open_.any()):
            break
        u, v = uniform() - 0.5, uniform()
        k, accepted = attempt(u, v)
        taken = open_ & accepted
        found, open_ = _choose(taken, k, found), open_ & taken.logical_not()
    return found


def _walked(first: Any, ratio: Callable[[int], Any], uniform: _Uniform) -> Any:
    """How many of the cumulative chances one uniform number has reached.

    Args:
        first: the chance of 0.
        ratio: ``ratio(k)``: what the chance of k + 1 is to that of k.
    """
    u = uniform()
    chance, total = first, first
    count = u.ge(total).to(first.dtype)
    for k in range(_STEPS):
        chance = chance * ratio(k)
        total = total + chance
        passed = u.ge(total) & chance.gt(0)
        if not bool(passed.any()):
            break
        count = count + passed.to(first.dtype)
    return count


# ----------------------------------------------------------------- poisson


@publish(method=False)
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Counts of events of which ``input`` happen on average, in input's shape and dtype.

    The gradient is 0.

    Raises:
        NotImplementedError: not a floating-point dtype.
        RuntimeError: a rate is negative.

    Example:
        >>> import dovetail as dt
        >>> dt.poisson(dt.full((1000,), 4.0)).mean().sub(4).abs().lt(0.5)
        tensor(True)
    """
    need_tensors("poisson", input=input)
    kind = input.dtype
    if not kind.is_floating_point:
        raise Unsupported(f"\"poisson\" not implemented for '{type_name(kind)}'")
    with no_grad():
        rate = input if input._spec.is_contiguous else input.contiguous()
        out = rate._spec
        made = (
            raw.empty(out) if rate.is_meta else _counted(POISSON, _poisson, (rate,), out, generator)
        )
    return constant_of(made, input)


def _poisson(rate: Any, uniform: _Uniform) -> Any:
    rate = rate.to(d.float64 if rate.dtype is d.float64 else d.float32)
    if not bool(rate.ge(0).all()):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    is_large = rate.ge(_WALKS_BELOW)
    low = rate.clamp_max(_WALKS_BELOW)
    walked = _walked((-low).exp(), lambda k: low / (k + 1), uniform)
    if not bool(is_large.any()):
        return walked
    mean = rate.clamp_min(_WALKS_BELOW)
    b = 0.931 + 2.53 * mean.sqrt()
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    sure = 0.9277 - 3.6224 / (b - 2)

    def attempt(u: Any, v: Any) -> tuple[Any, Any]:
        us = (0.5 - u.abs()).clamp_min(1e-30)
        k = ((2 * a / us + b) * u + mean + 0.43).floor()
        at_once = us.ge(0.07) & v.le(sure)
        n = k.clamp_min(0)
        # k log(mean) - mean - log k!, arranged so that large terms have cancelled before
        density = (
            (n + 0.5) * ((mean - n - 1) / (n + 1)).log1p()
            - 0.5 * (2 * math.pi * mean).log()
            + (n + 1 - mean)
            - _tail(n)
        )
        height = (v * inverse_alpha / (a / (us * us) + b)).log()
        is_out = k.lt(0) | (us.lt(0.013) & v.gt(us))
        return k, at_once | (is_out.logical_not() & height.le(density))

    return _choose(is_large, _rejected(mean, attempt, is_large, uniform), walked)


# ---------------------------------------------------------------- binomial


@publish(method=False)
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """How many of ``count`` tries succeed with chance ``prob``; the two broadcast.

    A count of no or less tries gives 0, a fraction of a try counts nothing.

    Raises:
        ValueError: not a floating-point dtype.
        RuntimeError: two dtypes.

    Example:
        >>> import dovetail as dt
        >>> dt.binomial(dt.tensor([5.0, 5.0]), dt.tensor([0.0, 1.0]))
        tensor([0., 5.])
    """
    need_tensors("binomial", count=count, prob=prob)
    kind = count.dtype
    for label, x in (("count", count), ("prob", prob)):
        if not x.dtype.is_floating_point:
            raise ValueError(
                f"binomial only supports floating-point dtypes for {label}, got: "
                f"{type_name(x.dtype)}"
            )
    if kind is not prob.dtype:
        raise RuntimeError(f"Found dtype {type_name(prob.dtype)} but expected {type_name(kind)}")
    if kind not in (d.float32, d.float64):
        raise Unsupported(f"\"binomial\" not implemented for '{type_name(kind)}'")
    shape = broadcast_shapes(tuple(count.shape), tuple(prob.shape))
    with no_grad():
        if count.is_meta:
            return raw.empty(spec_of(shape, kind, count.device))
        given = [x if tuple(x.shape) == shape else x.expand(shape) for x in (count, prob)]
        n, p = (x if x._spec.is_contiguous else x.contiguous() for x in given)
        return _counted(BINOMIAL, _binomial, (n, p), n._spec, generator)


def _binomial(count: Any, p: Any, uniform: _Uniform) -> Any:
    """By the rarer of success and failure, so that p is at most a half."""
    n = count.floor().clamp_min(0)
    is_known = p.gt(0) & p.lt(1) & n.gt(0)
    is_flipped = p.gt(0.5)
    rare = _choose(is_known, _choose(is_flipped, 1 - p, p), p.new_full((), 0.25))
    tries = _choose(is_known, n, n.new_ones(()))
    counted = _rare(tries, rare, uniform)
    counted = _choose(is_flipped, tries - counted, counted)
    counted = _choose(p.ge(1), n, _choose(p.gt(0) & n.gt(0), counted, n.new_zeros(())))
    return _choose(p.ne(p) | n.ne(n), p + n, counted)


def _rare(n: Any, p: Any, uniform: _Uniform) -> Any:
    odds = p / (1 - p)
    is_large = (n * p).ge(_WALKS_BELOW)
    few = _choose(is_large, n.new_ones(()), n)
    walked = _walked(
        (few * (-p).log1p()).exp(), lambda k: ((few - k) / (k + 1) * odds).clamp_min(0), uniform
    )
    if not bool(is_large.any()):
        return walked
    many = _choose(is_large, n, n.new_full((), 100.0))
    p = _choose(is_large, p, p.new_full((), 0.25))
    q = 1 - p
    spread = (many * p * q).sqrt()
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    middle = many * p + 0.5
    sure = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * spread
    mode_ = ((many + 1) * p).floor()

    def odds_term(k: Any) -> Any:
        """``(k + 1/2) log(odds (n - k + 1) / (k + 1))``, exact where the logarithm is near 0."""
        return (k + 0.5) * ((p * (many + 2) - (k + 1)) / (q * (k + 1))).log1p()

    at_mode = odds_term(mode_) - _tail(mode_) - _tail(many - mode_)

    def attempt(u: Any, v: Any) -> tuple[Any, Any]:
        us = (0.5 - u.abs()).clamp_min(1e-30)
        k = ((2 * a / us + b) * u + middle).floor()
        at_once = us.ge(0.07) & v.le(sure)
        is_out = k.lt(0) | k.gt(many)
        i = _choose(is_out, mode_, k)
        density = (
            odds_term(i)
            - at_mode
            + (many + 1) * ((i - mode_) / (many - i + 1)).log1p()
            - _tail(i)
            - _tail(many - i)
        )
        height = (v * alpha / (a / (us * us) + b)).log()
        return k, is_out.logical_not() & (at_once | height.le(density))

    return _choose(is_large, _rejected(many, attempt, is_large, uniform), walked)


POISSON = _record("random_poisson", _poisson, "rate")
BINOMIAL = _record("random_binomial", _binomial, "count", "prob")
