"""Random tensors: rand randn randint randperm, like another, normal, bernoulli, multinomial.

The numbers are specified in ``dovetail.ops.randomness.draws``; the same seed gives the same numbers
on every device. Meanings of arguments follow PyTorch's pages of the same names.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dovetail import dtypes as d
from dovetail import ops, raw
from dovetail.autograd.grad_mode import mode, no_grad
from dovetail.device import resolve
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.factory_arguments import finish as finish_factory
from dovetail.factory_arguments import place, shape_of, whole
from dovetail.generator import Generator
from dovetail.memory_formats import contiguous_format, preserve_format, target_spec
from dovetail.ops.expose import FUNCTIONS
from dovetail.ops.families import broadcast_shapes
from dovetail.ops.indexed.index_checks import true_anywhere
from dovetail.ops.out import deliver
from dovetail.ops.randomness.drawn_step import drawn_step
from dovetail.ops.randomness.draws import (
    draw_integers,
    draw_noise,
    draw_normal,
    draw_permutation,
    draw_scaled,
    draw_uniform,
)
from dovetail.ops.schema import REGISTRY
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__ = [
    "check_chance",
    "check_range",
    "check_std",
    "chosen",
    "constant_of",
    "floating_only",
    "in_format",
]


def floating_only(name: str, kind: d.dtype) -> None:
    """Raise PyTorch's error where ``kind`` is no floating-point or complex dtype."""
    if kind.category < 2:
        raise Unsupported(f"\"{name}\" not implemented for '{type_name(kind)}'")


def check_range(low: int, high: int, kind: d.dtype) -> None:
    """Raise PyTorch's errors where [low, high) is empty or does not fit ``kind``."""
    if kind.is_complex:
        raise RuntimeError(
            "check_random_bounds handles only integral, floating-point and boolean types"
        )
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    least, most, name = _limits(kind)
    for label, value in (("from", low), ("to - 1", high - 1)):
        if not least <= value <= most:
            raise RuntimeError(f"{label} is out of bounds for {name}")


@functools.cache
def _limits(kind: d.dtype) -> tuple[int, int, str]:
    """The least and the largest whole number of a dtype, and what C calls it."""
    name = _C_NAMES.get(kind.name, kind.name)
    if kind is d.bool_:
        return 0, 1, name
    if kind.category == 1:
        info = d.iinfo(kind)
        return info.min, info.max, name
    most = int(d.finfo(kind).max)
    return -most, most, name


_C_NAMES = {
    "uint8": "unsigned char", "int8": "signed char", "int16": "short", "int32": "int",
    "int64": "int64_t", "float32": "float", "float64": "double", "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
}  # fmt: skip


def in_format(made: Tensor, form: Any) -> Tensor:
    """``made`` in a memory format; numbers count row-major, so they are drawn before."""
    if form is contiguous_format and made._spec.is_contiguous:
        return made
    spec = target_spec(made._spec, form)
    return made if spec is made._spec else raw.cast(made, spec)


def _floating(check: str, draw: Callable[..., Tensor], doc: str) -> Callable[..., Tensor]:
    """A factory of what ``draw(spec, generator)`` makes; ``check`` is PyTorch's kernel name."""

    def function(
        *sizes: Any,
        size: Any = None,
        generator: Generator | None = None,
        out: Tensor | None = None,
        dtype: d.dtype | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = contiguous_format,
    ) -> Tensor:
        kind, where = place(dtype, device, out, layout, pin_memory)
        floating_only(check, kind)
        spec = spec_of(shape_of(sizes, size), kind, where)
        made = in_format(draw(spec, generator), memory_format)
        return finish_factory(deliver(made, out), requires_grad, pin_memory and out is None)

    function.__doc__ = doc
    return function


_RAISES = """

    Raises:
        RuntimeError: the dtype is not a floating-point or complex one.
    """
_rand = _floating("check_uniform_bounds", draw_uniform, "Numbers uniform in [0, 1)." + _RAISES)
_randn = _floating(
    "normal_kernel_cpu", draw_normal, "Normal numbers of mean 0 and variance 1." + _RAISES
)


def _randint(
    *bounds: Any,
    low: int | None = None,
    high: int | None = None,
    size: Any = None,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """``randint(low=0, high, size)``: whole numbers in [low, high), as int64 unless told.

    Raises:
        TypeError: a bound is not an integer, or ``size`` is missing or one number.
        RuntimeError: the range is empty, or does not fit the dtype.
    """
    rest = list(bounds)
    if size is None and rest and not hasattr(rest[-1], "__index__"):
        size = rest.pop()
    if size is None or hasattr(size, "__index__"):
        raise TypeError(
            "randint(): argument 'size' must be tuple of ints, not " + type(size).__name__
        )
    if high is None:
        if not rest:
            raise TypeError("randint(): high is missing")
        high = rest.pop()
    if rest and low is None:
        low = rest.pop(0)
    if rest:
        raise TypeError("randint(): expected (low=0, high, size), got more numbers")
    first = whole("randint", "low", 0 if low is None else low)
    last = whole("randint", "high", high)
    chosen_kind = dtype or (d.int64 if out is None else None)
    kind, where = place(chosen_kind, device, out, layout, pin_memory)
    check_range(first, last, kind)
    made = draw_integers(spec_of(shape_of((tuple(size),)), kind, where), first, last, generator)
    return finish_factory(deliver(made, out), requires_grad, pin_memory and out is None)


_EXACT_TO = {d.float16: 2**11 + 1, d.float32: 2**24 + 1, d.float64: 2**53 + 1}


def _randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """The numbers 0 … n - 1 in random order.

    Raises:
        RuntimeError: n is negative, or the dtype cannot hold n - 1.
    """
    (n,) = shape_of((whole("randperm", "n", n),))
    named = dtype or (d.int64 if out is None else None)
    kind, where = place(named, device, out, layout, pin_memory)
    if kind is d.bool_ or kind.is_complex:
        raise Unsupported(f"\"randperm\" not implemented for '{type_name(kind)}'")
    if kind.category < 2 and n and n - 1 > _limits(kind)[1]:
        raise RuntimeError(f"value cannot be converted to type {kind.name} without overflow")
    if n > _EXACT_TO.get(kind, n):
        raise RuntimeError(
            f"n cannot be greater than {_EXACT_TO[kind]} for {type_name(kind)} type. (whole "
            "numbers above are not exact in it)"
        )
    made = draw_permutation(n, where, generator)
    if kind is not d.int64:
        made = raw.cast(made, made._spec.to(dtype=kind))
    return finish_factory(deliver(made, out), requires_grad, pin_memory and out is None)


def _spec_like(input: Tensor, dtype: d.dtype | None, device: Any) -> Spec:
    spec = input._spec
    where = spec.device if device is None else resolve(device)
    return spec_of(tuple(spec.shape), dtype or spec.dtype, where)


def _like(name: str, draw: Any, label: str, what: str) -> Any:
    def function(
        input: Tensor,
        *,
        generator: Generator | None = None,
        dtype: d.dtype | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = preserve_format,
    ) -> Tensor:
        spec = _spec_like(input, dtype, device)
        floating_only(label, spec.dtype)
        made = _formatted_like(draw(spec, generator), input, memory_format)
        return finish_factory(made, requires_grad, pin_memory)

    function.__doc__ = f"{what}, with the shape, dtype and device of ``input``."
    return function


def _formatted_like(made: Tensor, input: Tensor, form: Any) -> Tensor:
    """``made`` in a format; ``preserve_format`` is the input's."""
    spec = target_spec(input._spec, form, made._spec.dtype, made._spec.device)
    return made if spec is made._spec else raw.cast(made, spec)


def _randint_like(
    input: Tensor,
    *bounds: Any,
    low: int | None = None,
    high: int | None = None,
    generator: Generator | None = None,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = preserve_format,
) -> Tensor:
    """``randint_like(input, low=0, high)``: whole numbers, with input's shape, dtype and device."""
    rest = [*([] if low is None else [low]), *bounds, *([] if high is None else [high])]
    if len(rest) not in (1, 2):
        raise TypeError(f"randint_like(): expected (input, low=0, high), got {len(rest)} bounds")
    first, last = (
        whole("randint_like", "high", b) for b in (rest if len(rest) == 2 else (0, *rest))
    )
    spec = _spec_like(input, dtype, device)
    check_range(first, last, spec.dtype)
    made = _formatted_like(draw_integers(spec, first, last, generator), input, memory_format)
    return finish_factory(made, requires_grad, pin_memory)


def _normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers of given means and standard deviations.

    Args:
        mean, std: tensors that broadcast, or numbers.
        size: the shape, where both are numbers.

    Raises:
        RuntimeError: a standard deviation is negative.
        TypeError: both are numbers and ``size`` is missing.
    """
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    if not isinstance(std, Tensor):
        check_std(std)
    elif std._spec.device.type != "meta" and true_anywhere(std.lt(0)):
        raise RuntimeError("normal expects all elements of std >= 0.0")
    if tensors:
        if size is not None:
            raise TypeError("normal(): expected (mean, std), or two numbers and size=, got all")
        shape = broadcast_shapes(*[tuple(x._spec.shape) for x in tensors])
        kind, where = tensors[0]._spec.dtype, tensors[0]._spec.device
    elif size is None:
        raise TypeError("normal(): expected a tensor mean or std, or size=, got two numbers alone")
    else:
        shape = shape_of((tuple(size),))
        kind, where = place(dtype, device)
    floating_only("normal_kernel_cpu", kind)
    with no_grad():
        spec = spec_of(shape, kind, where)
        if tensors or kind.is_complex or isinstance(mean, complex):
            drawn: Any = draw_normal(spec, generator)
            made = (drawn * std + mean).to(kind)
        else:
            made = draw_scaled(spec, mean, std, generator)
    if tensors and out is None:
        return constant_of(made, mean, std)
    return finish_factory(deliver(made, out), requires_grad, pin_memory and out is None)


def check_std(std: Any) -> None:
    """Raise PyTorch's error for a negative standard deviation."""
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")


def check_chance(name: str, p: Any) -> None:
    """Raise PyTorch's error where ``p`` is no probability."""
    if not 0 <= p <= 1:
        raise RuntimeError(f"{name} expects p to be in [0, 1], but got p={p}")


def chosen(spec: Spec, p: Any, generator: Any) -> Tensor:
    """1 with chance ``p`` (a number, or a tensor that broadcasts to the spec's shape), else 0."""
    if not isinstance(p, Tensor):
        check_chance("bernoulli_", p)
        return draw_noise(spec, p, 1, generator)
    floating_only("bernoulli_tensor_cpu_p_", p._spec.dtype)
    uniform = spec_of(tuple(spec.shape), d.float32, spec.device)
    if p._spec.device is spec.device:
        stepped = drawn_step(REGISTRY["bernoulli_of"], p, uniform, generator, kind=spec.dtype)
        if stepped is not None:
            return stepped
    with no_grad():
        made: Tensor = ops.bernoulli_of(p, draw_uniform(uniform, generator), kind=spec.dtype)
        return made


def _bernoulli(
    input: Tensor,
    p: float | None = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """1 with chance ``input`` (or ``p``), else 0; the shape and dtype of ``input``.

    Raises:
        RuntimeError: a chance is outside [0, 1], or ``input`` is not a floating-point tensor.
    """
    spec = raw.packed(input._spec)
    made = chosen(spec, input if p is None else p, generator)
    if out is not None:
        return deliver(made.to(out.dtype), out)  # type: ignore[attr-defined]
    return constant_of(made, input)


def constant_of(made: Tensor, *inputs: Any) -> Tensor:
    """``made`` as a function of ``inputs`` (numbers too) with gradient 0."""
    for x in inputs:
        if isinstance(x, Tensor) and x.requires_grad and mode.grad:
            made = ops.where(made.new_ones((), dtype=d.bool_), made, x)  # type: ignore[attr-defined]
    return made


def _multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Indices drawn with chances in proportion to ``input``.

    Without replacement by the order of ``input`` divided by exponential numbers (Efraimidis and
    Spirakis, 2006); with it by comparing uniform numbers with the cumulative sum.

    Args:
        input: (C,) or (N, C), at least 0, not all 0 in a row.

    Returns:
        int64, (num_samples,) or (N, num_samples).

    Raises:
        RuntimeError: the shape, dtype, weights or number of samples do not fit.
    """
    spec = input._spec
    num_samples = whole("multinomial", "num_samples", num_samples)
    if out is not None and out.dtype is not d.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {type_name(out.dtype)}")
    if spec.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not spec.dtype.is_floating_point:
        raise RuntimeError(
            "multinomial only supports floating-point dtypes for input, got: "
            f"{type_name(spec.dtype)}"
        )
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > spec.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    with no_grad():
        weights: Any = input if spec.dtype is d.float64 else input.to(d.float32)
        picked = _picked(weights, num_samples, replacement, generator)
    return deliver(picked, out)


def _picked(weights: Any, count: int, replacement: bool, generator: Any) -> Any:
    spec = weights._spec
    if replacement:
        uniform = spec_of((*spec.shape[:-1], count), spec.dtype, spec.device)
        op, options = REGISTRY["multinomial_reached"], {}
    else:
        uniform = raw.packed(spec)
        op, options = REGISTRY["multinomial_ordered"], {"count": count}
    made = drawn_step(op, weights, uniform, generator, **options)
    if made is not None:
        return made
    u = draw_uniform(uniform, generator)
    if replacement:
        return ops.multinomial_reached(weights, weights.cumsum(-1), u)
    return ops.multinomial_ordered(weights, u, count=count)


for _name, _function in (
    ("rand", _rand),
    ("randn", _randn),
    ("randint", _randint),
    ("randperm", _randperm),
    ("rand_like", _like("rand", draw_uniform, "check_uniform_bounds", "Uniform numbers in [0, 1)")),
    ("randn_like", _like("randn", draw_normal, "normal_kernel_cpu", "Normal numbers")),
    ("randint_like", _randint_like),
    ("normal", _normal),
    ("bernoulli", _bernoulli),
    ("multinomial", _multinomial),
):
    _function.__name__ = _function.__qualname__ = _name
    FUNCTIONS[_name] = _function
for _name in ("bernoulli", "multinomial"):
    setattr(Tensor, _name, FUNCTIONS[_name])
