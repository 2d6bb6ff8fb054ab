"""bernoulli and multinomial on opencl: the host's choices, in a launch after the draw's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dovetail as dt

CASES = """
import numpy as np
import dovetail as dt

random = np.random.default_rng(0)

def same(x, choose, kind="float32"):
    made = []
    for device in ("cpu", "opencl:0"):
        dt.manual_seed(5)
        given = dt.tensor(x).to(getattr(dt, kind)).to(device)
        made.append(choose(given).cpu())
    assert made[0].dtype is made[1].dtype
    np.testing.assert_array_equal(made[0].double().numpy(), made[1].double().numpy())
    return made[0].numpy()

def refused(call, sentence):
    try:
        call().cpu()
    except RuntimeError as error:
        assert sentence in str(error), error
    else:
        raise AssertionError(f"nothing was said: {sentence}")
"""

CHECKS = {
    "bernoulli": """
for shape in ((), (7,), (3, 50), (2000,), (0, 3)):
    for kind in ("float32", "float64", "float16", "bfloat16"):
        same(random.random(shape), dt.bernoulli, kind)
same(random.random((40, 30)), lambda x: dt.bernoulli(x.t()))
same(random.random((1, 30)), lambda x: dt.zeros(40, 30, device=x.device).bernoulli_(x))
same(random.random((1, 30)), lambda x: dt.zeros(40, 30, device=x.device).long().bernoulli_(x))
assert same(np.array([0.0, 1.0] * 50), dt.bernoulli).tolist() == [0.0, 1.0] * 50
""",
    "multinomial": """
for shape, count in (((5,), 3), ((4, 33), 2), ((300, 7), 7), ((2, 5000), 1), ((3, 70), 40)):
    weights = random.random(shape)
    weights[..., 1] = 0
    for kind in ("float32", "float64", "bfloat16"):
        same(weights, lambda x: x.multinomial(count), kind)
        same(weights, lambda x: x.multinomial(count, True), kind)
# What weighs nothing comes last, in its order.
picked = same(np.array([0.0, 2, 0, 1, 0]), lambda x: x.multinomial(5))
assert sorted(picked[:2]) == [1, 3] and picked[2:].tolist() == [0, 2, 4]
counts = np.bincount(same(np.array([[1.0, 2, 5]] * 4000), lambda x: x.multinomial(1))[:, 0])
np.testing.assert_allclose(counts / 4000, [0.125, 0.25, 0.625], atol=0.03)
""",
    "refused": """
x = dt.tensor([0.5, 0.25, 0.5], device="opencl:0")
for wrong in (-0.1, 1.1, float("nan")):
    p = x.clone()
    p[1] = wrong
    refused(lambda: dt.bernoulli(p), "Expected p_in >= 0 && p_in <= 1")
for wrong in (-1.0, float("inf"), float("nan")):
    w = x.clone()
    w[2] = wrong
    for replacement in (False, True):
        refused(lambda: w.multinomial(2, replacement), "either `inf`, `nan` or element < 0")
for replacement in (False, True):
    refused(lambda: (x * 0).multinomial(1, replacement), "sum of probabilities <= 0")
    assert x.multinomial(1, replacement).item() < 3
""",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_both_classes_of_device_choose_what_the_host_does(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    in_class(CASES + CHECKS[name], kind)


def test_launches(opencl: dt.device, queue: Any) -> None:
    chances = dt.full((4, 6), 0.5, device=opencl)
    many = chances.expand(3000, 4, 6).reshape(-1, 6)
    for choose, launches in (
        (chances.bernoulli, 1),
        (lambda: chances.multinomial(2), 1),
        (lambda: chances.multinomial(9, True), 1),
        (many.bernoulli, 2),
        (lambda: many.multinomial(2), 2),
        (lambda: many.multinomial(9, True), 3),
    ):
        choose()
        before = queue.launches
        choose()
        assert queue.launches == before + launches
