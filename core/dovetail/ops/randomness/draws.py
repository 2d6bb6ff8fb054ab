"""From Philox words to random numbers: the specification that every device follows.

A draw is a pure function of (seed, offset), the shape and the dtype. Elements count row-major,
whatever the strides, and element e has its own words: the words of the draw come from the primitive
``random_bits`` in order, so that a shorter draw is the beginning of a longer one.

uniform, [0, 1)
    float32: ``(w >> 8) * 2**-24`` of one word w. float16 and bfloat16: the same with the 11 and 8
    bits that they hold, so never 1. float64: ``((a >> 5) * 2**26 + (b >> 6)) * 2**-53`` of two
    words. Exact.
normal
    Box and Muller: with the uniforms u and v at 2i and 2i + 1, elements 2i and 2i + 1 are
    ``r cos t`` and ``r sin t`` where ``r = sqrt(-2 log(1 - u))`` and ``t = 2 pi v``, computed in
    float32 (float64 for float64). As exact as the device's log, cos and sin.
noise
    ``scale`` where a float32 uniform is below ``p`` (rounded to float32), else 0. Exact.
integers
    A range r = high - low up to 2**31: ``low + (w * r >> 32)`` of one word (a value's chance is off
    by at most r / 2**32 of itself). Above: ``low + ((b & 0x7fffffff) << 32 | a) % r`` of two words.
    Exact.
permutation
    The stable order of int64 keys ``(b << 32) | a`` of two words each. Exact.

between, scaled, whole
    ``u * (high - low) + low`` of uniform numbers of float32 (float64), brought to the dtype and
    kept below ``high``; ``n * std + mean`` of normal ones; integers in another dtype than int64.
    Each step is rounded.

exponential, geometric, cauchy, log normal
    See ``laws.py``.

A device may have fused kernels ``random_uniform``, ``random_normal``, ``random_noise``,
``random_integers``, ``random_between``, ``random_scaled``, ``random_whole`` and ``random_keys``
(a permutation's) of the form ``kernel(out, *, seed, offset, …)``; one that is specialised gets
the other attributes then, and seed and offset with each call; inputs, where a record has any
(``counts.py``), stand before ``out``. Without them a draw is made of
``random_bits`` and elementwise primitives.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from dovetail import dtypes as d
from dovetail import observe, raw
from dovetail.autograd.grad_mode import mode
from dovetail.backend.state import state_of
from dovetail.device import device as Device
from dovetail.errors import Unsupported
from dovetail.factories import arange, run_storage
from dovetail.generator import Generator, default_generator
from dovetail.kernels import bind_kernel, select_kernel
from dovetail.late_binding import BATCHED
from dovetail.ops.schema import CallFacts, OpDef
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__ = [
    "NORMAL",
    "UNIFORM",
    "computed",
    "draw",
    "draw_between",
    "draw_integers",
    "draw_noise",
    "draw_normal",
    "draw_permutation",
    "draw_scaled",
    "draw_uniform",
    "formed",
    "per_example",
    "record",
    "stream_of",
    "words",
]

_BITS = {d.float32: 24, d.float16: 11, d.bfloat16: 8}


def words(shape: tuple[int, ...], device: Any, seed: int, offset: int) -> Any:
    """Philox words as int32 (the same 32 bits)."""
    made = raw.empty(spec_of(shape, d.int32, device))
    return run_storage("random_bits", made, {"seed": seed, "offset": offset})


def _uniform(spec: Spec, *, seed: int, offset: int) -> Any:
    shape, kind = tuple(spec.shape), spec.dtype
    if kind is d.float64:
        pair = words((*shape, 2), spec.device, seed, offset)
        high = (pair.select(-1, 0) >> 5) & 0x7FFFFFF
        low = (pair.select(-1, 1) >> 6) & 0x3FFFFFF
        return (high.to(kind) * 2.0**26 + low) * 2.0**-53
    bits = _BITS[kind]
    # int32 shifts keep the sign, so the bits are masked; a whole number of so few bits is exact.
    whole = (words(shape, spec.device, seed, offset) >> (32 - bits)) & ((1 << bits) - 1)
    return whole.to(kind) * 2.0**-bits


def _normal(spec: Spec, *, seed: int, offset: int) -> Any:
    from dovetail.ops import where

    kind = d.float64 if spec.dtype is d.float64 else d.float32
    pairs = spec_of(((spec.numel + 1) // 2, 2), kind, spec.device)
    u: Any = draw(UNIFORM, pairs, seed, offset)
    radius = ((1.0 - u.narrow(1, 0, 1)).log() * -2.0).sqrt()
    angle = u.narrow(1, 1, 1) * (2 * math.pi)
    first = arange(2, device=spec.device).eq(0)
    value = radius * where(first, angle.cos(), angle.sin())
    return value.reshape(-1).narrow(0, 0, spec.numel).reshape(tuple(spec.shape))


def _noise(spec: Spec, *, seed: int, offset: int, p: float, scale: float) -> Any:
    u: Any = draw(UNIFORM, spec_of(tuple(spec.shape), d.float32, spec.device), seed, offset)
    value = u.lt(p).to(spec.dtype)
    return value if scale == 1 else value * scale


def _integers(spec: Spec, *, seed: int, offset: int, low: int, range: int) -> Any:
    shape, device = tuple(spec.shape), spec.device
    if range <= 1 << 31:
        word = words(shape, device, seed, offset).to(d.int64) & 0xFFFFFFFF
        value = (word * range) >> 32
    else:
        whole = _pairs(shape, device, seed, offset)
        if range >= 1 << 63:
            return _wide_integers(whole, low, range)
        value = (whole & 0x7FFFFFFFFFFFFFFF) % range
    return value + low if low else value


def _wide_integers(whole: Any, low: int, range: int) -> Any:
    """All 64 bits of ``whole``; the few values outside [low, low + range) are moved inside."""
    from dovetail.ops import where

    high = low + range
    if high < 1 << 63:
        whole = where(whole.ge(high), whole - high + low, whole)
    if low > -(1 << 63):
        whole = where(whole.lt(low), whole + (1 << 62) + ((1 << 62) + low), whole)
    return whole


def _pairs(shape: tuple[int, ...], device: Any, seed: int, offset: int) -> Any:
    """int64 numbers of two words each, the first word low."""
    pair: Any = words((*shape, 2), device, seed, offset).to(d.int64)
    return (pair.select(-1, 1) << 32) | (pair.select(-1, 0) & 0xFFFFFFFF)


def record(
    name: str, decompose: Callable[..., Tensor], *attributes: str, inputs: tuple[str, ...] = ()
) -> OpDef:
    """The record of a draw.

    Args:
        decompose: ``decompose(spec, *inputs, seed, offset, **attributes)`` makes it of others.
        inputs: tensors that say, element by element, what is drawn.
    """
    return OpDef(
        name,
        kind="random",
        inputs=inputs,
        attributes=("seed", "offset", *attributes),
        decompose=decompose,
        method=False,
        public=False,
    )


def _between(spec: Spec, *, seed: int, offset: int, low: float, high: float, most: float) -> Any:
    value = formed(UNIFORM, spec, seed, offset) * (high - low) + low
    return value.to(spec.dtype).clamp_max(most) if low < high else value.to(spec.dtype)


def _scaled(spec: Spec, *, seed: int, offset: int, mean: float, std: float) -> Any:
    return (formed(NORMAL, spec, seed, offset) * std + mean).to(spec.dtype)


def computed(spec: Spec) -> Spec:
    """The spec that formulas are computed in: float64 for itself, float32 for all others."""
    kind = d.float64 if spec.dtype is d.float64 else d.float32
    return spec_of(tuple(spec.shape), kind, spec.device)


def formed(op: OpDef, spec: Spec, seed: int, offset: int) -> Any:
    """A draw in what formulas are computed in."""
    return draw(op, computed(spec), seed, offset)


def _whole(spec: Spec, *, seed: int, offset: int, low: int, range: int) -> Any:
    made = spec_of(tuple(spec.shape), d.int64, spec.device)
    return draw(INTEGERS, made, seed, offset, low=low, range=range)


UNIFORM = record("random_uniform", _uniform)
NORMAL = record("random_normal", _normal)
NOISE = record("random_noise", _noise, "p", "scale")
INTEGERS = record("random_integers", _integers, "low", "range")
BETWEEN = record("random_between", _between, "low", "high", "most")
SCALED = record("random_scaled", _scaled, "mean", "std")
KEYS = record(
    "random_keys",
    lambda spec, *, seed, offset: _pairs(tuple(spec.shape), spec.device, seed, offset),
)
WHOLE = record("random_whole", _whole, "low", "range")


_KEPT = 1 << 12
"""Plans of a record, before all are forgotten: a chance or a range may be another in every call."""


def draw(
    op: OpDef, spec: Spec, seed: int, offset: int, into: Tensor | None = None,
    inputs: tuple[Tensor, ...] = (), **attributes: Any,
) -> Tensor:  # fmt: skip
    """A new tensor of a dense row-major ``spec``, from one kernel where the device has it; or
    ``into``, a tensor of that spec, with the numbers written into it.

    Args:
        inputs: dense row-major ones, where the record has any.
    """
    key = (spec, *attributes.values(), *[x._spec for x in inputs])
    plan = op.plans.get(key)
    if plan is None:
        if len(op.plans) >= _KEPT:
            op.plans.clear()
        plan = op.plans[key] = _plan(op, spec, tuple(x._spec for x in inputs), attributes)
    if observe.active:
        run = functools.partial(plan, seed, offset, into)
        run.served_by = plan.served_by  # type: ignore[attr-defined]
        given = (seed, offset, *attributes.values())
        result: Tensor = observe.run(op, run, inputs, given)
        return result
    made: Tensor = plan(seed, offset, into, *inputs)
    return made


def _plan(
    op: OpDef, spec: Spec, inputs: tuple[Spec, ...], attributes: dict[str, Any]
) -> Callable[..., Tensor]:
    """``run(seed, offset, into, *inputs)`` for draws of a spec."""
    state = state_of(spec.device)
    facts = CallFacts(op, inputs, (spec,), attributes)
    state.check_dtype(op.name, spec.dtype)
    entry = select_kernel(op, facts, tuple(x.dtype for x in inputs) or (spec.dtype,), state)
    if entry is not None:
        kernel, is_empty = bind_kernel(entry, facts), not spec.numel

        def fused(seed: int, offset: int, into: Tensor | None, *inputs: Tensor) -> Tensor:
            made = raw.empty(spec) if into is None else into
            if not is_empty:
                arrays = [x._materialize() for x in inputs]
                kernel(*arrays, made._materialize(), seed=seed, offset=offset)
            return made

        fused.served_by = "fused"  # type: ignore[attr-defined]
        return fused
    assert op.decompose is not None
    decompose = op.decompose

    def decomposed(seed: int, offset: int, into: Tensor | None, *inputs: Tensor) -> Tensor:
        with_grad, mode.grad = mode.grad, False
        try:
            value = decompose(spec, *inputs, seed=seed, offset=offset, **attributes)
        finally:
            mode.grad = with_grad
        if into is not None:
            raw.copy(value, into)
            return into
        # A view of what was drawn would tie the result to a base that nobody has; what was
        # computed in a wider dtype is one too.
        is_done = value._base is None and value._spec.dtype is spec.dtype
        return value if is_done else raw.cast(value, spec)

    decomposed.served_by = "decomposed"  # type: ignore[attr-defined]
    return decomposed


def stream_of(device: Device, generator: Any, words: int) -> tuple[int, int]:
    """(seed, offset) for a draw of so many words.

    Raises:
        TypeError: ``generator`` is not a Generator.
        RuntimeError: it belongs to another type of device.
    """
    if generator is None:
        generator = default_generator(device)
    elif not isinstance(generator, Generator):
        raise TypeError(
            f"argument 'generator' must be torch.Generator, not {type(generator).__name__}"
        )
    elif generator.device.type != device.type and device.type != "meta":
        raise RuntimeError(
            f"Expected a '{device.type}' device type for generator but found "
            f"'{generator.device.type}'"
        )
    found: tuple[int, int] = generator.take(words)
    return found


def _floating(
    op: OpDef, spec: Spec, generator: Any, count: int, into: Tensor | None = None,
    **attributes: Any,
) -> Tensor:  # fmt: skip
    kind = spec.dtype
    if kind.is_complex:
        shape = (*spec.shape, 2)
        parts = _floating(op, spec_of(shape, kind.to_real(), spec.device), generator, count * 2)
        joined: Tensor = raw.view(parts, spec, 0)
        return joined
    if not kind.is_floating_point:
        raise Unsupported(f"{op.name}: the dtype must be a floating-point one, got {kind}")
    each = 2 if kind is d.float64 else 1
    seed, offset = stream_of(spec.device, generator, each * count)
    return draw(op, spec, seed, offset, into, **attributes)


def per_example(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A draw that has numbers for each example inside of a vmap, where that is asked for."""

    @functools.wraps(function)
    def draw(spec: Spec, *args: Any, **kwargs: Any) -> Tensor:
        if not mode.maps:
            return function(spec, *args, **kwargs)
        return BATCHED.drawn(spec, lambda wide: function(wide, *args, **kwargs))

    return draw


@per_example
def draw_uniform(spec: Spec, generator: Any = None, into: Tensor | None = None) -> Tensor:
    """Numbers in [0, 1); for complex dtypes both parts are."""
    return _floating(UNIFORM, spec, generator, spec.numel, into)


@per_example
def draw_between(
    spec: Spec, low: float, high: float, most: float, generator: Any = None,
    into: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Real numbers in [low, high); ``most``: the largest of the dtype's below ``high``."""
    ends = {"low": float(low), "high": float(high), "most": most}
    return _floating(BETWEEN, spec, generator, spec.numel, into, **ends)


@per_example
def draw_normal(spec: Spec, generator: Any = None, into: Tensor | None = None) -> Tensor:
    """Numbers of mean 0 and variance 1; a complex number's parts have variance 1/2 each."""
    even = spec.numel + (spec.numel & 1 and not spec.dtype.is_complex)
    value = _floating(NORMAL, spec, generator, even, into)
    return value * math.sqrt(0.5) if spec.dtype.is_complex else value


@per_example
def draw_scaled(
    spec: Spec, mean: float, std: float, generator: Any = None, into: Tensor | None = None
) -> Tensor:
    """Real normal numbers of a mean and a standard deviation."""
    ends = {"mean": float(mean), "std": float(std)}
    return _floating(SCALED, spec, generator, spec.numel + (spec.numel & 1), into, **ends)


@per_example
def draw_noise(
    spec: Spec, p: float, scale: float = 1, generator: Any = None, into: Tensor | None = None
) -> Tensor:
    """``scale`` with chance ``p``, else 0."""
    seed, offset = stream_of(spec.device, generator, spec.numel)
    return draw(NOISE, spec, seed, offset, into, p=float(p), scale=scale)


@per_example
def draw_integers(
    spec: Spec, low: int, high: int, generator: Any = None, into: Tensor | None = None
) -> Tensor:
    """Whole numbers in [low, high), in the spec's dtype."""
    span = high - low
    each = 1 if span <= 1 << 31 else 2
    seed, offset = stream_of(spec.device, generator, each * spec.numel)
    op = INTEGERS if spec.dtype is d.int64 else WHOLE
    return draw(op, spec, seed, offset, into, low=low, range=span)


def draw_permutation(n: int, device: Any, generator: Any = None) -> Tensor:
    """The numbers 0 … n - 1 in random order, as int64."""
    return _order(spec_of((n,), d.int64, device), generator)


@per_example
def _order(spec: Spec, generator: Any) -> Tensor:
    seed, offset = stream_of(spec.device, generator, 2 * spec.numel)
    keys: Any = draw(KEYS, spec, seed, offset)
    order: Tensor = keys.sort(-1, stable=True)[1]
    return order
