"""Lengths and roots of unity of Fourier transforms: what ``src/fourier.cl`` reads from its table.

Everything is computed once, in double precision.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

__all__ = ["Table", "bits_of", "divided", "good_length", "is_good", "radices"]

LARGEST = 61
"""The largest prime that a pass takes by the definition; others are the chirp transform's."""

Roots = np.ndarray


@functools.cache
def _primes(n: int) -> tuple[int, ...]:
    """The prime factors of ``n``, the smallest first."""
    made, p = [], 2
    while p * p <= n:
        while n % p == 0:
            made.append(p)
            n //= p
        p += 1 if p == 2 else 2
    return (*made, n) if n > 1 else tuple(made)


def is_good(n: int) -> bool:
    """Whether passes serve for a line of ``n``."""
    return max(_primes(n), default=1) <= LARGEST


def radices(n: int) -> tuple[int, ...]:
    """The passes of a line of ``n``: 8, 4 and 2 for what is even, then odd primes.

    Example:
        >>> radices(1024), radices(240)
        ((8, 8, 4, 4), (4, 4, 3, 5))
    """
    primes = _primes(n)
    twos = primes.count(2)
    eights, rest = divmod(twos, 3)
    if rest == 1 and eights:
        eights, rest = eights - 1, 4
    even = {0: (), 1: (2,), 2: (4,), 4: (4, 4)}[rest]
    return (*[8] * eights, *even, *primes[twos:])


@functools.cache
def divided(n: int, most: int) -> tuple[int, ...]:
    """Factors of ``n`` that are ``most`` at the largest, as few and as equal as there are; empty
    where three will not do.

    Example:
        >>> divided(1 << 20, 2048), divided(600, 1024)
        ((1024, 1024), (600,))
    """
    if n <= most:
        return (n,)
    for count in (2, 3):
        wanted = n ** (1 / count)
        factors = [k for k in range(2, min(most, n) + 1) if n % k == 0]
        for factor in sorted(factors, key=lambda k: abs(math.log(k / wanted))):
            rest = divided(n // factor, most) if n // factor <= most ** (count - 1) else ()
            if rest and len(rest) < count:
                return (factor, *rest)
    return ()


def good_length(least: int) -> int:
    """A length of at least so much, whose passes are the fast ones."""
    made = []
    for odd in (1, 3, 5, 9, 15):
        made.append(odd << max(0, (-(-least // odd) - 1).bit_length()))
    return min(made)


def _roots(numbers: np.ndarray, n: int) -> Roots:
    """``exp(-2j * pi * numbers / n)``."""
    return np.exp(-2j * np.pi / n * (numbers % n))


def _of_passes(n: int) -> Roots:
    """For each pass with radix r and m parts behind it: the roots for p * k, p < m, 0 < k < r, and
    the r roots of the radix itself."""
    made, left = [], n
    for radix in radices(n):
        turns = np.multiply.outer(np.arange(left // radix), np.arange(1, radix))
        made += [_roots(turns, left).ravel(), _roots(np.arange(radix), radix)]
        left //= radix
    return np.concatenate(made) if made else np.ones(1, np.complex128)


def _of_digits(n: int) -> Roots:
    """Roots for the low digits of a number below ``n``, then for the high ones."""
    low = 1 << bits_of(n)
    high = np.arange(-(-n // low)) * low
    return np.concatenate([_roots(np.arange(low), n), _roots(high, n)])


def bits_of(n: int) -> int:
    """How many low digits a number below ``n`` has in :func:`_of_digits`."""
    return (n - 1).bit_length() // 2


def _chirp(n: int) -> Roots:
    """``exp(-1j * pi * k**2 / n)`` of k < n (Bluestein, 1970)."""
    return _roots(np.arange(n, dtype=np.int64) ** 2, 2 * n)


def _spectrum(n: int, length: int) -> Roots:
    """What a line of ``length`` is multiplied by for the convolution with the chirp."""
    wrapped = np.zeros(length, np.complex128)
    wrapped[:n] = _chirp(n).conj()
    wrapped[length - n + 1 :] = wrapped[n - 1 : 0 : -1]
    return np.fft.fft(wrapped) / length


_KINDS: dict[str, Callable[..., Roots]] = {
    "passes": _of_passes,
    "digits": _of_digits,
    "half": lambda n: _roots(np.arange(n // 2 + 1), n),
    "chirp": _chirp,
    "away": lambda n: _chirp(n).conj(),
    "spectrum": _spectrum,
}


class Table:
    """Roots one behind another, each kind and length once.

    Attributes:
        parts: what is in it, kinds and lengths.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[str, tuple[int, ...]]] = []
        self._roots: list[Roots] = []
        self._begins: dict[tuple[str, tuple[int, ...]], int] = {}
        self._size = 0

    def place(self, kind: str, *sizes: int) -> int:
        """Where these are, in complex numbers."""
        key = (kind, sizes)
        if key not in self._begins:
            made = _KINDS[kind](*sizes)
            self._begins[key] = self._size
            self._size += len(made)
            self.parts.append(key)
            self._roots.append(made)
        return self._begins[key]

    def values(self, kind: np.dtype) -> np.ndarray:
        """All of them as real numbers of a dtype."""
        return np.concatenate(self._roots).view(np.float64).astype(kind)
