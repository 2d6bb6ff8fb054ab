"""What the words become: the specification's formulas, on fused kernels and on primitives alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.philox import random_words

SEED = 0xC0FFEE


def generator(device: Any, offset: int = 0) -> dt.Generator:
    made = dt.Generator(device).manual_seed(SEED)
    made.set_offset(offset)
    return made


def host(x: Any) -> np.ndarray:
    return x.cpu().numpy()


SHAPES = [(), (1,), (5,), (3, 7), (2, 0, 3), (40001,)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_uniform_float32(shape: Any, served: str, device: Any) -> None:
    n = math.prod(shape)
    made = host(dt.rand(shape, device=device, generator=generator(device, 7)))
    expected = (random_words(SEED, 7, n) >> 8) * 2.0**-24
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, expected.astype(np.float32).reshape(shape))


@pytest.mark.parametrize(("name", "bits"), [("float16", 11), ("bfloat16", 8)])
def test_uniform_low_precision(name: str, bits: int, served: str, device: Any) -> None:
    made = dt.rand(9999, dtype=getattr(dt, name), device=device, generator=generator(device))
    expected = (random_words(SEED, 0, 9999) >> (32 - bits)) * 2.0**-bits
    np.testing.assert_array_equal(host(made.double()), expected)
    assert made.max().item() < 1


@pytest.mark.parametrize("n", [1, 2, 5, 20001])
def test_uniform_float64(n: int, served: str, device: Any) -> None:
    made = host(dt.rand(n, dtype=dt.float64, device=device, generator=generator(device)))
    w = random_words(SEED, 0, 2 * n).astype(np.uint64)
    expected = ((w[0::2] >> np.uint64(5)) * 2.0**26 + (w[1::2] >> np.uint64(6))) * 2.0**-53
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("n", [1, 2, 7, 20001])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_normal(kind: str, n: int, served: str, device: Any) -> None:
    made = dt.randn(n, dtype=getattr(dt, kind), device=device, generator=generator(device))
    pairs = (n + 1) // 2
    u = host(
        dt.rand(pairs, 2, dtype=getattr(dt, kind), device=device, generator=generator(device))
    ).astype(np.float64)
    radius = np.sqrt(-2 * np.log(1 - u[:, 0]))
    angle = 2 * np.pi * u[:, 1]
    both = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[:n]
    tolerance = 5e-6 if kind == "float32" else 1e-14
    np.testing.assert_allclose(host(made), both, tolerance, tolerance)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_normal_low_precision_is_float32_rounded(kind: str, served: str, device: Any) -> None:
    made = dt.randn(501, dtype=getattr(dt, kind), device=device, generator=generator(device))
    wide = dt.randn(501, device=device, generator=generator(device))
    assert made.tolist() == wide.to(getattr(dt, kind)).tolist()


@pytest.mark.parametrize("p", [0.0, 1e-9, 0.1, 0.5, 0.75, 1 - 2**-24, 1.0])
@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16", "int64", "bool"])
def test_bernoulli(p: float, kind: str, served: str, device: Any) -> None:
    x = dt.empty(4001, dtype=getattr(dt, kind), device=device)
    x.bernoulli_(p, generator=generator(device))
    u = host(dt.rand(4001, device=device, generator=generator(device)))
    np.testing.assert_array_equal(host(x.double()), u < np.float32(p))
    each = dt.full((4001,), p, device=device)
    drawn = dt.bernoulli(each, generator=generator(device))
    np.testing.assert_array_equal(host(drawn), u < np.float32(p))


@pytest.mark.parametrize(("low", "high"), [
    (0, 1), (0, 10), (-5, 7), (0, 2**31), (-(2**31), 2**31), (-3, 2**40), (0, 2**63 - 1),
    (-(2**62), 2**62), (-(2**63), 2**63 - 1), (-5, 2**63 - 1), (-(2**63), 5),
])  # fmt: skip
def test_integers(low: int, high: int, served: str, device: Any) -> None:
    n = 3001
    made = dt.randint(low, high, (n,), device=device, generator=generator(device)).tolist()
    span = high - low
    if span <= 2**31:
        expected = [low + (int(w) * span >> 32) for w in random_words(SEED, 0, n)]
    else:
        w = random_words(SEED, 0, 2 * n).tolist()
        whole = [a | b << 32 for a, b in zip(w[0::2], w[1::2], strict=True)]
        expected = [low + (v & 2**63 - 1) % span for v in whole]
        if span >= 2**63:
            signed = [v - 2**64 if v >= 2**63 else v for v in whole]
            expected = [
                v if low <= v < high else v - high + low if v >= high else v + 2**63 + low
                for v in signed
            ]
    assert made == expected
    assert low <= min(made)
    assert max(made) < high


def test_permutation(served: str, device: Any) -> None:
    for n in (0, 1, 2, 1000):
        made = dt.randperm(n, device=device, generator=generator(device))
        w = random_words(SEED, 0, 2 * n).astype(np.uint64)
        keys = (w[1::2] << np.uint64(32) | w[0::2]).view(np.int64)
        np.testing.assert_array_equal(host(made), np.argsort(keys, kind="stable"))
        assert made.dtype is dt.int64


@pytest.mark.parametrize("draw", [
    lambda n, g, d: dt.rand(n, generator=g, device=d),
    lambda n, g, d: dt.randn(n, generator=g, device=d),
    lambda n, g, d: dt.rand(n, generator=g, device=d, dtype=dt.float64),
    lambda n, g, d: dt.randint(9, (n,), generator=g, device=d),
    lambda n, g, d: dt.randint(2**40, (n,), generator=g, device=d),
    lambda n, g, d: dt.empty(n, device=d).exponential_(generator=g),
])  # fmt: skip
def test_shorter_draws_begin_the_longer_ones(draw: Any, device: Any) -> None:
    long = draw(50000, generator(device), device).tolist()
    for n in (1, 2, 3, 31, 33, 32769):
        assert draw(n, generator(device), device).tolist() == long[:n]


def test_elements_count_row_major_whatever_the_strides(device: Any) -> None:
    expected = dt.rand(4, 6, device=device, generator=generator(device)).tolist()
    turned = dt.empty(6, 4, device=device).t()
    assert turned.uniform_(generator=generator(device)).tolist() == expected
    part = dt.zeros(4, 12, device=device)
    part[:, ::2].uniform_(generator=generator(device))
    assert part[:, ::2].tolist() == expected
    assert part[:, 1::2].abs().sum().item() == 0
    image = dt.empty(2, 3, 4, 5, device=device).contiguous(memory_format=dt.channels_last)
    made = dt.rand_like(image, generator=generator(device))
    assert made.stride() == image.stride()
    plain = dt.rand(2, 3, 4, 5, device=device, generator=generator(device))
    assert made.tolist() == plain.tolist()


def test_complex(device: Any) -> None:
    for kind, real in ((dt.complex64, dt.float32), (dt.complex128, dt.float64)):
        made = host(dt.rand(3, 5, dtype=kind, device=device, generator=generator(device)))
        parts = host(dt.rand(3, 5, 2, dtype=real, device=device, generator=generator(device)))
        np.testing.assert_array_equal(made, parts[..., 0] + 1j * parts[..., 1])
    many = host(dt.randn(40000, dtype=dt.complex64, device=device, generator=generator(device)))
    assert abs(np.mean(np.abs(many) ** 2) - 1) < 0.03
    assert abs(np.mean(many**2)) < 0.03


def test_golden_numbers() -> None:
    """Fixed for good: a change of these breaks every saved seed."""
    g = dt.Generator().manual_seed(0)
    assert dt.rand(4, generator=g).tolist() == [
        w * 2.0**-24 for w in (0x6627E8, 0xE169C5, 0xBC57AC, 0x9B00DB)
    ]
    g.manual_seed(0)
    assert dt.randint(0, 100, (4,), generator=g).tolist() == [39, 88, 73, 60]
    g.manual_seed(0)
    assert dt.randn(2, generator=g).tolist() == pytest.approx([0.7379257, -0.6884337], 1e-6)


def test_which_way_was_taken(served: str, device: Any) -> None:
    with dt.trace() as events:
        dt.rand(3, device=device)
    outer = [(e.op, e.served_by) for e in events if not e.depth]
    way = "fused" if served == "kernels" else "decomposed"
    assert outer == [("random_uniform", way)]
    inner = [e.op for e in events if e.depth]
    assert ("random_bits" in inner) == (served == "primitives")
