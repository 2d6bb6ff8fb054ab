"""Numbers of other laws, made of uniform or normal ones in the launch that draws them.

exponential
    ``max(-log(1 - u), eps / 2) / rate``, never 0 (Devroye, "Non-Uniform Random Variate Generation",
    1986, chapter II, as the next two).
geometric
    ``max(ceil(log(1 - u) / log(1 - p)), 1)``.
cauchy
    ``tan(pi (u - 1/2)) sigma + median``, as a sine over a cosine.
log normal
    ``exp(n std + mean)`` of normal numbers n.

Each is computed in float32 (float64 for float64) and brought to the dtype, whole ones too. The
records are fused kernels that a device may have, of the form that ``draws.py`` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from dovetail import dtypes as d
from dovetail.ops.randomness.chances import exponential
from dovetail.ops.randomness.draws import (
    NORMAL,
    UNIFORM,
    draw,
    formed,
    per_example,
    record,
    stream_of,
)
from dovetail.ops.schema import OpDef
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__ = ["CAUCHY", "EXPONENTIAL", "GEOMETRIC", "LOG_NORMAL", "draw_law"]


def _exponential(spec: Spec, *, seed: int, offset: int, rate: float) -> Any:
    return exponential(formed(UNIFORM, spec, seed, offset)) / rate


def _geometric(spec: Spec, *, seed: int, offset: int, p: float) -> Any:
    if not spec.dtype.is_floating_point:
        wide = spec_of(tuple(spec.shape), d.float32, spec.device)
        return draw(GEOMETRIC, wide, seed, offset, p=p)
    tries = (-formed(UNIFORM, spec, seed, offset)).log1p() / math.log1p(-p)
    return tries.ceil().clamp_min(1)


def _cauchy(spec: Spec, *, seed: int, offset: int, median: float, sigma: float) -> Any:
    angle = (formed(UNIFORM, spec, seed, offset) - 0.5) * math.pi
    return angle.sin() / angle.cos() * sigma + median


def _log_normal(spec: Spec, *, seed: int, offset: int, mean: float, std: float) -> Any:
    return (formed(NORMAL, spec, seed, offset) * std + mean).exp()


def _law(name: str, make: Callable[..., Any], *attributes: str) -> OpDef:
    def decompose(spec: Spec, **given: Any) -> Any:
        return make(spec, **given).to(spec.dtype)

    return record(name, decompose, *attributes)


EXPONENTIAL = _law("random_exponential", _exponential, "rate")
GEOMETRIC = _law("random_geometric", _geometric, "p")
CAUCHY = _law("random_cauchy", _cauchy, "median", "sigma")
LOG_NORMAL = _law("random_log_normal", _log_normal, "mean", "std")


@per_example
def draw_law(
    spec: Spec, law: OpDef, given: Mapping[str, Any], generator: Any = None,
    into: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Numbers of a law.

    Args:
        law: one of the records above.
        given: its attributes, real numbers.
    """
    each = 2 if spec.dtype is d.float64 else 1
    count = spec.numel + (law is LOG_NORMAL and spec.numel & 1)  # Box and Muller make two
    seed, offset = stream_of(spec.device, generator, each * count)
    own = {name: float(value) for name, value in given.items()}
    return draw(law, spec, seed, offset, into, **own)
