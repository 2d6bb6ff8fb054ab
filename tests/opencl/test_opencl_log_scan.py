"""logcumsumexp and its gradient on opencl, in both classes of device, beside float64 NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dovetail as dt

CASES = """
import numpy as np
import dovetail as dt

random = np.random.default_rng(0)

def wanted(x, g, dim):
    x, g = (np.moveaxis(a.astype(np.float64), dim, -1) for a in (x, g))
    sums = np.logaddexp.accumulate(x, -1)
    found = np.zeros_like(x)
    r = np.zeros(x.shape[:-1])
    for k in reversed(range(x.shape[-1])):
        if k + 1 < x.shape[-1]:
            r = r * np.exp(sums[..., k] - sums[..., k + 1])
        r = r + g[..., k]
        found[..., k] = r * np.exp(x[..., k] - sums[..., k])
    return [np.moveaxis(a, -1, dim) for a in (sums, found)]

def beside(x, dim, kind="float32", bound=1e-5):
    x = x.astype(np.float32)
    g = random.standard_normal(x.shape).astype(np.float32)
    given = dt.tensor(x, device="opencl:0").to(getattr(dt, kind)).requires_grad_()
    out = given.logcumsumexp(dim)
    out.backward(dt.tensor(g, device="opencl:0").to(out.dtype))
    for made, correct in zip((out, given.grad), wanted(x, g, dim), strict=True):
        made = made.detach().cpu().double().numpy()
        atol = bound * max(1, abs(correct).max())
        np.testing.assert_allclose(made, correct, rtol=0, atol=atol, err_msg=str(x.shape))
"""

CHECKS = {
    "lines": """
for shape, dim in (
    ((7,), 0), ((1,), 0), ((3, 500), 1), ((100, 33), 1), ((4, 33, 40), 1), ((4, 30, 5), 1),
    ((3, 200, 16), 1), ((2, 17), 0),
):
    beside(random.standard_normal(shape), dim)
""",
    "parts": """
beside(random.standard_normal(30000), 0)
beside(random.standard_normal((2, 9000, 3)), 1)
beside(np.sort(random.standard_normal(20000) * 60), 0)
""",
    "far apart": """
# A running sum must not be of what a later, larger element makes 0. Of sums of thousands the last
# bits are a thousandth.
beside(np.array([0.0, 200, -200, 4] * 40), 0, bound=1e-4)
beside(np.arange(600.0) * 7, 0, bound=1e-3)
beside(np.arange(600.0)[::-1] * 7, 0, bound=1e-3)
beside(np.arange(640.0).reshape(40, 16) * 9, 0, bound=1e-3)
""",
    "dtypes": """
beside(random.integers(-8, 8, (5, 300)) / 4, 1, kind="float64", bound=1e-13)
beside(random.integers(-8, 8, (5, 60)) / 4, 1, kind="bfloat16", bound=0.1)
""",
    "infinite": """
inf = float("inf")
x = dt.tensor([-inf, 1.0, -inf, inf, 2.0, 0.5] + [0.0] * 40, device="opencl:0", requires_grad=True)
y = x.logcumsumexp(0)
y.sum().backward()
assert y.tolist()[:3] == [-inf, 1.0, 1.0] and set(y.tolist()[3:]) == {inf}
grad = x.grad.tolist()
assert grad[:3] == [0.0, 2.0, 0.0] and grad[3] != grad[3] and set(grad[4:]) == {0.0}, grad
y = dt.tensor([1.0, float("nan"), 2.0] + [0.0] * 40, device="opencl:0").logcumsumexp(0).tolist()
assert y[0] == 1.0 and all(v != v for v in y[1:])
""",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_both_classes_of_device_compute_what_numpy_does(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    in_class(CASES + CHECKS[name], kind)


def test_launches(opencl: dt.device, queue: Any) -> None:
    x = dt.randn(8, 8, device=opencl, requires_grad=True)
    out = x.logcumsumexp(1)
    weights = dt.ones_like(out)
    dt.autograd.grad(out, x, weights, retain_graph=True)
    before = queue.launches
    out = x.logcumsumexp(1)
    assert queue.launches == before + 1
    dt.autograd.grad(out, x, weights)
    assert queue.launches == before + 2
