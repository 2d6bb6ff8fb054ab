"""Philox4x32-10, the counter-based random generator, in NumPy: the reference for every device.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A block
of four 32-bit words is a pure function of a 128-bit counter and a 64-bit key, so any device can
compute any block on its own.
"""

from __future__ import annotations

import numpy as np

__all__ = ["philox4x32", "random_words"]

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox4x32(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Blocks of four words for counters of four words.

    Args:
        counter: (..., 4), the 32-bit words of each counter, low word first.
        key: two 32-bit words.

    Returns:
        uint32, shape as ``counter``.

    Example:
        >>> [hex(int(word)) for word in philox4x32(np.zeros(4, np.uint32), (0, 0))]
        ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter).astype(np.uint64), -1, 0)
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (p1 >> _HALF) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> _HALF) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + KEY_STEPS[0]) & 0xFFFFFFFF, (k1 + KEY_STEPS[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def random_words(seed: int, offset: int, count: int) -> np.ndarray:
    """What the primitive ``random_bits`` must write: ``count`` words as uint32.

    Element e is word e % 4 of the block whose counter is ``offset + e // 4``; the key is ``seed``.

    Args:
        seed: 64 bits, low word first.
        offset: the counter of the first block, up to 128 bits.

    Example:
        >>> random_words(seed=0, offset=0, count=2).tolist()
        [1713891541, 3781805453]
    """
    blocks = -(-count // 4)
    counters = np.empty((blocks, 4), np.uint32)
    for i in range(4):
        # Python integers carry from word to word; there is no 128-bit integer in NumPy.
        counters[:, i] = [(offset + b) >> 32 * i & 0xFFFFFFFF for b in range(blocks)]
    key = (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)
    return philox4x32(counters, key).reshape(-1)[:count]
