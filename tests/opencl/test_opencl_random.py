"""Draws beside the specification's formulas on NumPy, and dropout that is one launch with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

PROGRAM = """
import numpy as np
import dovetail as dt
from dovetail.philox import random_words

SEED, DEVICE = 0xC0FFEE, "opencl:0"

def generator(offset):
    made = dt.Generator(DEVICE).manual_seed(SEED)
    made.set_offset(offset)
    return made

def check(made, expected, near=0):
    np.testing.assert_allclose(made.cpu().numpy(), expected, near, near)

# Fewer elements than blocks side by side have, as many, some more, and several times as many; the
# counter goes from one word to the next among them.
for n in (3, 63, 64, 65, 130, 2501):
    for at in (0, 2**32 - 7, 2**64 - 9):
        w, pair = random_words(SEED, at, n), random_words(SEED, at, 2 * n).astype(np.uint64)
        u = (w >> 8) * 2.0**-24
        check(dt.rand(n, device=DEVICE, generator=generator(at)), u)
        for name, bits in (("float16", 11), ("bfloat16", 8)):
            made = dt.rand(n, dtype=getattr(dt, name), device=DEVICE, generator=generator(at))
            check(made.double(), (w >> (32 - bits)) * 2.0**-bits)
        wide = ((pair[0::2] >> np.uint64(5)) * 2.0**26 + (pair[1::2] >> np.uint64(6))) * 2.0**-53
        check(dt.rand(n, dtype=dt.float64, device=DEVICE, generator=generator(at)), wide)
        whole = -5 + (w.astype(np.int64) * 1000003 >> 32)
        check(dt.randint(-5, 999998, (n,), device=DEVICE, generator=generator(at)), whole)
        for name, near in (("float32", 5e-6), ("float64", 1e-14)):
            even = n + n % 2
            v = (random_words(SEED, at, even) >> 8) * 2.0**-24
            if name == "float64":
                p = random_words(SEED, at, 2 * even).astype(np.uint64)
                v = ((p[0::2] >> np.uint64(5)) * 2.0**26 + (p[1::2] >> np.uint64(6))) * 2.0**-53
            r, t = np.sqrt(-2 * np.log1p(-v[0::2])), 2 * np.pi * v[1::2]
            normal = np.stack([r * np.cos(t), r * np.sin(t)], 1).reshape(-1)[:n]
            kind = getattr(dt, name)
            made = dt.randn(n, dtype=kind, device=DEVICE, generator=generator(at))
            check(made, normal, near)
            longer = dt.randn(n + 64, dtype=kind, device=DEVICE, generator=generator(at))
            assert longer[: n // 2 * 2].tolist() == made[: n // 2 * 2].tolist(), (n, at, name)
        for name in ("float32", "float64", "float16", "bfloat16"):
            x = dt.tensor(np.random.default_rng(n).normal(size=n)).to(getattr(dt, name))
            noise = dt.tensor(np.where(u < np.float32(0.7), 1 / 0.7, 0)).to(x.dtype)
            made = dt.dropout(x.to(DEVICE), 1 - 0.7, True, generator=generator(at)).cpu()
            assert made.tolist() == (x * noise).tolist(), (n, at, name)
"""


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_draws_are_those_of_the_specification(fresh: Callable[..., str], kind: str) -> None:
    fresh(PROGRAM, DOVETAIL_OPENCL_CLASS=kind)


def test_dropout_is_one_launch_and_a_product(queue: Any) -> None:
    x = dt.randn(1000, device="opencl:0", requires_grad=True)
    dt.manual_seed(3)
    before = queue.launches
    y = dt.nn.functional.dropout(x, 0.25)
    assert queue.launches == before + 1
    dt.manual_seed(3)
    noise = dt.nn.functional.dropout(dt.ones_like(x), 0.25)
    assert y.tolist() == (x * noise).tolist()
    assert set(noise.tolist()) == {0.0, float(np.float32(1 / 0.75))}
    (first,) = dt.autograd.grad(y.square().sum(), x, create_graph=True)
    assert first.tolist() == (2 * y * noise).tolist()
    (second,) = dt.autograd.grad(first.sum(), x)
    assert second.tolist() == (2 * noise * noise).tolist()


def test_dropout_of_other_layouts_draws_the_same(opencl: dt.device) -> None:
    x = dt.arange(1.0, 61, device=opencl).reshape(6, 10)
    dt.manual_seed(1)
    dense = dt.nn.functional.dropout(x.t().contiguous(), 0.5)
    dt.manual_seed(1)
    turned = dt.nn.functional.dropout(x.t(), 0.5)
    assert dense.tolist() == turned.tolist()
    dt.manual_seed(1)
    later = dt.nn.functional.dropout(dt.cat([x.new_zeros(3), x.t().reshape(-1)])[3:], 0.5)
    assert later.tolist() == dense.reshape(-1).tolist()
    dt.manual_seed(1)
    in_place = x.t().contiguous()
    assert dt.nn.functional.dropout(in_place, 0.5, inplace=True) is in_place
    assert in_place.tolist() == dense.tolist()


def test_dropout_keeps_infinite_and_undefined_numbers_as_a_product_does(opencl: dt.device) -> None:
    x = dt.tensor([float("inf"), float("nan")] * 500, device=opencl)
    kept = dt.nn.functional.dropout(x, 0.5).cpu().numpy()
    assert np.isnan(kept[1::2]).all()
    assert {str(v) for v in kept[0::2]} == {"inf", "nan"}
