"""Folds over long lines, in both classes of devices, beside float64: rounding does not add up.

Each of these is a sum of many positive numbers somewhere; one that goes on from the first to the
last of them is off by 1e-5 and more.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

PROGRAM = """
import numpy as np
import dovetail as dt
from dovetail import ops

draw = np.random.default_rng(0)

def far(name, made, wanted, most):
    found = made.double().cpu().numpy()
    error = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    assert error <= most, f"{name}: {error:.1e}, at most {most:.0e}"

def softmax(x, dim):
    e = np.exp(x - x.max(dim, keepdims=True))
    return e / e.sum(dim, keepdims=True)
"""

CHECKS = {
    "softmax": """
for shape, dim in (((1, 3_000_000), 1), ((100_000, 8), 0), ((2, 30_000), 1)):
    values = draw.random(shape, "float32") / 100
    wanted = values.astype("float64")
    x = dt.tensor(values).to("opencl:0")
    far("softmax", x.softmax(dim), softmax(wanted, dim), 2e-6)
    far("log_softmax", x.log_softmax(dim), np.log(softmax(wanted, dim)), 2e-7)
    y, grad = softmax(wanted, dim).astype("float32"), dt.tensor(values + 1).to("opencl:0")
    made = ops.softmax_backward(grad, dt.tensor(y).to("opencl:0"), dim=dim)
    y, g = y.astype("float64"), (values + 1).astype("float64")
    sums = (g * y).sum(dim, keepdims=True)
    # What is left after the sum is subtracted is a hundredth of it.
    far("softmax_backward", made, y * (g - sums), 1e-4)
""",
    "cumsum": """
for shape, dim in (((3_000_000,), 0), ((100_000, 8), 0), ((4, 2500), 1)):
    values = draw.random(shape, "float32") + np.float32(0.5)
    x = dt.tensor(values).to("opencl:0")
    far("cumsum", x.cumsum(dim), values.astype("float64").cumsum(dim), 8e-6)
whole = dt.arange(3000, device="opencl:0").cumsum(0).cpu().numpy()
assert (whole == np.arange(3000).cumsum()).all()
""",
    "batch_norm": """
def beside(values, most):
    x = dt.tensor(values).to("opencl:0")
    wanted = values.astype("float64")
    axes = tuple(d for d in range(wanted.ndim) if d != 1)
    mean, var = wanted.mean(axes, keepdims=True), wanted.var(axes, keepdims=True)
    made = dt.nn.functional.batch_norm(x, None, None, training=True, eps=1e-5)
    far("batch_norm", made, (wanted - mean) / np.sqrt(var + 1e-5), most)

values = draw.standard_normal((2, 3, 200, 300)).astype("float32")
beside(values + 3, 1e-5)
beside(values + 300, 2e-4)  # float32 has seven digits of the mean
values[0, :, 0, 0] = 1000  # the first element of every channel is far from all others
beside(values, 2e-6)
values[:, :, ::2] = 1000
beside(values, 2e-6)
beside(draw.standard_normal((200_000, 8)).astype("float32") + 3, 1e-4)
""",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_rounding_does_not_add_up(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    in_class(PROGRAM + CHECKS[name], kind)
