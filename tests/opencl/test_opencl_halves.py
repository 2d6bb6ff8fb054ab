"""What a GPU computes otherwise for halves: every float16 and bfloat16, beside float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest

CASE = """
import math
import numpy as np
import torch
import dovetail as dt
from dovetail_opencl.runtime import device_of

assert not device_of(0).is_cpu
name, approximate = ARGUMENTS
kind, theirs = getattr(dt, name), getattr(torch, name)
bits = np.arange(1 << 16, dtype=np.int32).astype(np.int16)
every = torch.from_numpy(bits).view(theirs)
every = every[every.isfinite()]
x = every.double()
# By what does not cancel: PyTorch's own 1 + erf has no digits where it is small.
if approximate == "none":
    share = torch.special.erfc(-x * 0.5**0.5) / 2
    rise = torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)
else:
    share = torch.sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))
    other = torch.sigmoid(-math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))
    rise = share * other * math.sqrt(8 / math.pi) * (1 + 0.134145 * x * x)
given = dt.tensor(every.float().numpy()).to(kind).to("opencl:0").requires_grad_()
found = dt.nn.functional.gelu(given, approximate=approximate)
found.backward(dt.ones_like(found))
facts = torch.finfo(theirs)
for said, mine, terms in (("value", found, (x * share,)), ("slope", given.grad, (share, x * rise))):
    mine = torch.from_numpy(mine.detach().cpu().to(dt.float64).numpy())
    right = sum(terms)
    unit = 2.0 ** right.abs().clamp_min(facts.smallest_normal).log2().floor() * facts.eps
    # Half a unit in the last place for the result, and what the polynomial and powers are off by.
    # A share that is smaller than float32's normal numbers may be 0, whatever it is multiplied by.
    allowed = 0.51 * unit + 5e-5 * sum(term.abs() for term in terms)
    allowed += 2.0**-126 * (x.abs() + x.abs() ** 3)
    error = ((mine - right).abs() / allowed).where((x.abs() < 1e4) & right.isfinite(), 0)
    assert error.max() <= 1, (said, float(error.max()), float(x[error.argmax()]))
"""


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_gelu(in_class: Callable[[str, str], None], name: str, approximate: str) -> None:
    code = f"ARGUMENTS = {(name, approximate)!r}\n{CASE}"
    in_class(code, "gpu")
