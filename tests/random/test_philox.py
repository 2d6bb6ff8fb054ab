"""Philox4x32-10: the published vectors, the specification's counter, and the device's words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.ops.randomness.draws import words
from dovetail.philox import philox4x32, random_words

# Random123's known answers (kat_vectors, "philox4x32 10"): counter, key, words
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def numbers(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def from_device(seed: int, offset: int, count: int, device: Any) -> np.ndarray:
    return words((count,), device, seed, offset).cpu().numpy().view(np.uint32)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_published_vectors(counter: str, key: str, expected: str, device: Any) -> None:
    c, k = numbers(counter), numbers(key)
    assert philox4x32(np.array(c, np.uint32), (k[0], k[1])).tolist() == numbers(expected)
    offset = sum(word << 32 * i for i, word in enumerate(c))
    seed = k[0] | k[1] << 32
    assert random_words(seed, offset, 4).tolist() == numbers(expected)
    assert from_device(seed, offset, 4, device).tolist() == numbers(expected)


SEEDS = (0, 1, 67280421310721, 2**64 - 1)
OFFSETS = (0, 3, 2**32 - 2, 2**32, 2**64 - 5, 2**64, 2**96 - 3, 2**127 + 12345)
COUNTS = (0, 1, 3, 4, 5, 31, 32, 33, 36, 37, 1000)


@pytest.mark.parametrize("offset", OFFSETS)
def test_device_equals_reference(offset: int, device: Any) -> None:
    for seed in SEEDS:
        for count in COUNTS:
            np.testing.assert_array_equal(
                from_device(seed, offset, count, device), random_words(seed, offset, count)
            )


@pytest.mark.parametrize("count", [4 * 8192 - 1, 4 * 8192, 4 * 8192 + 1, 100003])
@pytest.mark.parametrize("offset", [0, 2**32 - 9000, 2**64 - 9000])
def test_many_words(count: int, offset: int, device: Any) -> None:
    np.testing.assert_array_equal(
        from_device(9, offset, count, device), random_words(9, offset, count)
    )


def test_words_look_random() -> None:
    found = random_words(5, 0, 1 << 16)
    bits = np.unpackbits(found.view(np.uint8))
    # 2**21 fair bits: a deviation of five standard deviations is 0.0017.
    assert abs(bits.mean() - 0.5) < 0.0017
    assert np.unique(found).size > (1 << 16) - 12
    one_bit_of_seed = random_words(4, 0, 1 << 12) ^ random_words(5, 0, 1 << 12)
    changed = np.unpackbits(one_bit_of_seed.view(np.uint8)).mean()
    assert abs(changed - 0.5) < 0.01


def test_every_draw_takes_its_own_blocks(device: Any) -> None:
    generator = dt.Generator(device).manual_seed(11)
    assert generator.take(5) == (11, 0)
    assert generator.take(4) == (11, 2)
    assert generator.take(1) == (11, 3)
    assert generator.get_offset() == 4
    generator.set_offset(2**64 - 1)
    assert generator.take(8) == (11, 2**64 - 1)
    assert generator.get_offset() == 1
