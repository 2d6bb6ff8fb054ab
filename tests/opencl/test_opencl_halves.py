"""What a GPU computes otherwise for halves: every float16 and bfloat16, beside float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest

CASE = """
import math
import ml_dtypes
import numpy as np
from scipy.special import erfc, expit
import dovetail as dt
from dovetail_opencl.runtime import device_of

assert not device_of(0).is_cpu
name, approximate = ARGUMENTS
facts = ml_dtypes.finfo(name)
bits = np.arange(1 << 16, dtype=np.uint16)
x = bits.view(facts.dtype).astype(np.float64)
x = x[np.isfinite(x)]
# By what does not cancel: 1 + erf has no digits where it is small.
np.seterr(over="ignore", under="ignore", invalid="ignore")  # of numbers that are not looked at
if approximate == "none":
    share = erfc(-x * 0.5**0.5) / 2
    rise = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
else:
    inner = math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)
    share = expit(inner)
    rise = share * expit(-inner) * math.sqrt(8 / math.pi) * (1 + 0.134145 * x * x)
given = dt.tensor(x).to(getattr(dt, name)).to("opencl:0").requires_grad_()
found = dt.nn.functional.gelu(given, approximate=approximate)
found.backward(dt.ones_like(found))
for said, mine, terms in (("value", found, (x * share,)), ("slope", given.grad, (share, x * rise))):
    mine = mine.detach().cpu().to(dt.float64).numpy()
    right = sum(terms)
    unit = 2.0 ** np.floor(np.log2(np.maximum(abs(right), float(facts.tiny)))) * float(facts.eps)
    # Half a unit in the last place for the result, and what the polynomial and powers are off by.
    # A share that is smaller than float32's normal numbers may be 0, whatever it is multiplied by.
    allowed = 0.51 * unit + 5e-5 * sum(abs(term) for term in terms)
    allowed += 2.0**-126 * (abs(x) + abs(x) ** 3)
    error = np.where((abs(x) < 1e4) & np.isfinite(right), abs(mine - right) / allowed, 0)
    assert error.max() <= 1, (said, float(error.max()), float(x[error.argmax()]))
"""


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_gelu(in_class: Callable[[str, str], None], name: str, approximate: str) -> None:
    code = f"ARGUMENTS = {(name, approximate)!r}\n{CASE}"
    in_class(code, "gpu")
