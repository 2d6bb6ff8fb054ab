"""Filling a tensor with random numbers: uniform_ normal_ bernoulli_ random_ and others.

Meanings and checks are PyTorch's. The result has no history: what was there before does not matter.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import raw
from dovetail.autograd.grad_mode import mode, no_grad
from dovetail.autograd.inplace import check_writable, rebase
from dovetail.autograd.writes import note_write
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.factory_arguments import whole
from dovetail.generator import Generator
from dovetail.ops.expose import FUNCTIONS
from dovetail.ops.randomness.draws import (
    draw_between,
    draw_integers,
    draw_noise,
    draw_normal,
    draw_scaled,
    draw_uniform,
)
from dovetail.ops.randomness.laws import (
    CAUCHY,
    EXPONENTIAL,
    GEOMETRIC,
    LOG_NORMAL,
    draw_law,
)
from dovetail.ops.randomness.random import (
    _C_NAMES,
    check_chance,
    check_range,
    check_std,
    chosen,
    floating_only,
)
from dovetail.spec import Spec
from dovetail.tensor import Tensor, storage_of

__all__ = [
    "below",
    "bernoulli_",
    "cauchy_",
    "exponential_",
    "geometric_",
    "log_normal_",
    "normal_",
    "random_",
    "uniform_",
]


def _write(self: Tensor, label: str, make: Callable[[Spec], Tensor]) -> Tensor:
    """Fill ``self`` with what ``make`` draws for its shape and dtype."""
    check_writable(self, label)
    with no_grad():
        value = make(raw.packed(self._spec))
    raw.copy(value, self)
    return _noted(self, label)


def _fill(self: Tensor, label: str, draw: Callable[..., Tensor], *how: Any) -> Tensor:
    """Fill ``self`` with ``draw(spec, *how)``, which is written where it is where that may be."""
    spec = self._spec
    if not spec.is_contiguous or spec.dtype.is_complex or spec.batch is not None or mode.maps:
        return _write(self, label, lambda spec: draw(spec, *how))
    check_writable(self, label)
    draw(spec, *how, self)
    return _noted(self, label)


def _noted(self: Tensor, label: str) -> Tensor:
    note_write(storage_of(self), label)
    if mode.grad and self._node is not None:
        rebase(self, None)
    return self


def uniform_(
    self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Numbers uniform in [from, to).

    Raises:
        RuntimeError: from is above to, or the dtype is not a floating-point one.
    """
    floating_only("check_uniform_bounds", self._spec.dtype)
    most = d.finfo(self._spec.dtype).max
    for label, value in (("from", from_), ("to", to)):
        if not -most <= value <= most:
            name = _C_NAMES[self._spec.dtype.to_real().name]
            raise RuntimeError(f"{label} is out of bounds for {name}")
    if to - from_ > most:
        raise RuntimeError(
            "uniform_ expects to-from <= std::numeric_limits<"
            f"{type_name(self._spec.dtype.to_real())}>::max(), but found to={to} and from={from_} "
            "which result in to-from to exceed the limit"
        )
    if from_ > to:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={from_} > to={to}"
        )
    if from_ == 0 and to == 1:
        return _fill(self, "uniform_", draw_uniform, generator)
    if not self._spec.dtype.is_complex:  # rounding may reach the end of the range
        ends = from_, to, below(to, self._spec.dtype) if from_ < to else to
        return _fill(self, "uniform_", draw_between, *ends, generator)

    def make(spec: Spec) -> Any:
        drawn: Any = draw_uniform(spec, generator)
        return drawn * (to - from_) + complex(from_, from_)

    return _write(self, "uniform_", make)


@functools.lru_cache(maxsize=256)
def below(value: float, kind: d.dtype) -> float:
    """The largest number of a dtype that is less than ``value``."""
    here = np.asarray(value).astype(kind.numpy)
    if not float(here) < value:
        here = np.nextafter(here, np.asarray(-math.inf).astype(kind.numpy))
    return float(here)


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Normal numbers.

    Raises:
        RuntimeError: std is negative, or the dtype is not a floating-point one.
    """
    for label, value in (("mean", mean), ("std", std)):
        if isinstance(value, complex) or not hasattr(value, "__float__"):
            kind = type(value).__name__
            raise TypeError(f"normal_(): argument '{label}' must be float, not {kind}")
    check_std(std)
    floating_only("normal_kernel_cpu", self._spec.dtype)

    if mean == 0 and std == 1:
        return _fill(self, "normal_", draw_normal, generator)
    if not self._spec.dtype.is_complex:
        return _fill(self, "normal_", draw_scaled, mean, std, generator)

    def make(spec: Spec) -> Any:
        drawn: Any = draw_normal(spec, generator)
        return drawn * std + mean

    return _write(self, "normal_", make)


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """1 with chance ``p`` (a number, or a tensor that broadcasts), else 0.

    Raises:
        RuntimeError: a chance is outside [0, 1].
    """
    if not isinstance(p, Tensor):
        check_chance("bernoulli_", p)
        if self._spec.dtype.is_complex:
            raise Unsupported(f"\"bernoulli_\" not implemented for '{type_name(self._spec.dtype)}'")
        return _fill(self, "bernoulli_", draw_noise, p, 1, generator)
    return _write(self, "bernoulli_", lambda spec: chosen(spec, p, generator))


_EXACT = {d.float16: 1 << 11, d.bfloat16: 1 << 8, d.float32: 1 << 24, d.float64: 1 << 53}


def random_(
    self: Tensor, *bounds: Any, to: Any = None, generator: Generator | None = None, **named: Any
) -> Tensor:
    """Whole numbers: ``random_()``, ``random_(to)``, ``random_(from, to)``; ``to`` is left out.

    Without bounds they go up to the largest of an integer dtype, and for floats up to where every
    whole number is exact.

    Raises:
        RuntimeError: the range is empty, or does not fit the dtype.
    """
    kind = self._spec.dtype
    given_names = tuple(named)
    given = [*([named.pop("from")] if "from" in named else []), *bounds]
    if named:
        raise TypeError(f"random_() got an unexpected keyword argument {next(iter(named))!r}")
    if to is not None:
        given.append(to)
    if len(given) > 2:
        raise TypeError(f"random_(): expected (from, to), got {len(given)} bounds")
    if "from" in given_names and len(given) == 1:
        raise TypeError("random_(): expected (from, to), got from alone")
    if kind.is_complex and not given:
        raise Unsupported(f"\"random_\" not implemented for '{type_name(kind)}'")
    given = [b if b is None else whole("random_", "to", b) for b in given]
    if not given:
        low, high = 0, _EXACT[kind] + 1 if kind in _EXACT else 2
        if kind.category == 1:
            high = d.iinfo(kind).max + 1
    elif len(given) == 2 and given[1] is None:
        low, high = int(given[0]), _EXACT[kind] + 1 if kind in _EXACT else 2
        if kind.category == 1:
            high = d.iinfo(kind).max + 1
    else:
        low, high = (0, int(given[0])) if len(given) == 1 else (int(given[0]), int(given[1]))
    check_range(low, high, kind)
    return _fill(self, "random_", draw_integers, low, high, generator)


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Exponential numbers of rate ``lambd``: ``-log(1 - u) / lambd``, never 0.

    Raises:
        RuntimeError: the rate is not above 0, or the dtype is not a floating-point one.
    """
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    _continuous("Exponential", self)
    return _fill(self, "exponential_", draw_law, EXPONENTIAL, {"rate": lambd}, generator)


def _continuous(name: str, self: Tensor) -> None:
    if not self._spec.dtype.is_floating_point:
        raise RuntimeError(
            f"{name} distribution is a continuous probability distribution. dtype must be a "
            f"floating point but you specified {type_name(self._spec.dtype)}"
        )


def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Numbers whose logarithm is normal of this mean and standard deviation.

    Raises:
        RuntimeError: std is not above 0, or the dtype is not a floating-point one.
    """
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    floating_only("log_normal_", self._spec.dtype)
    if self._spec.dtype.is_complex:
        raise Unsupported(f"\"log_normal_\" not implemented for '{type_name(self._spec.dtype)}'")
    return _fill(self, "log_normal_", draw_law, LOG_NORMAL, {"mean": mean, "std": std}, generator)


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """How many tries of chance ``p`` until one succeeds: ``ceil(log(1 - u) / log(1 - p))``.

    Raises:
        RuntimeError: p is not inside (0, 1).
    """
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")

    if self._spec.dtype is d.bool_ or self._spec.dtype.is_complex:
        raise Unsupported(f"\"geometric_\" not implemented for '{type_name(self._spec.dtype)}'")
    return _fill(self, "geometric_", draw_law, GEOMETRIC, {"p": p}, generator)


def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Cauchy numbers: ``median + sigma * tan(pi * (u - 1/2))``.

    Raises:
        RuntimeError: sigma is not above 0, or the dtype is not a floating-point one.
    """
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    _continuous("Cauchy", self)
    return _fill(self, "cauchy_", draw_law, CAUCHY, {"median": median, "sigma": sigma}, generator)


def _with_from(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    # "from" is a word of Python's, so it can only come as a keyword that is not written out.
    if "from" in kwargs:
        kwargs["from_"] = kwargs.pop("from")
    return uniform_(self, *args, **kwargs)


_with_from.__doc__ = uniform_.__doc__
_with_from.__name__ = "uniform_"
for _function in (
    _with_from, normal_, bernoulli_, random_, exponential_, log_normal_, geometric_, cauchy_,
):  # fmt: skip
    setattr(Tensor, _function.__name__, _function)
FUNCTIONS.setdefault("bernoulli_", bernoulli_)
