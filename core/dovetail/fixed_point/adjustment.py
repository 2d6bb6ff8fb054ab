"""How many bits a tensor needs, where its point is, and when to ask again: numbers, no tensors.

Zhang et al. call the first half quantization error measurement (QEM), the second quantization
parameter adjustment (QPA).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["FURTHEST", "WIDEST", "Adjustment", "quantization_error"]

FURTHEST = 126
"""The farthest place of the point: 2^-126 is the smallest normal float32, 2^126 its inverse."""

WIDEST = 24
"""An integer of 24 bits is the widest that float32 holds exactly."""


def quantization_error(total: float, lost: float) -> float:
    """Diff = log2(|Σ|x| − Σ|x̂|| / Σ|x| + 1): by how much quantization moves the mean of |x|.

    Args:
        total: Σ|x|, positive.
        lost: Σ|x| − Σ|x̂|.

    >>> quantization_error(8.0, 8.0)  # all values became zero
    1.0
    >>> quantization_error(8.0, 0.0)
    0.0
    """
    return math.log2(abs(lost) / total + 1)


@dataclass(frozen=True)
class Adjustment:
    """The rule by which one operand's bit width, point and interval are adjusted.

    Attributes:
        bits: the width to begin with, sign included, 2 to 24.
        max_bits: the width that is never exceeded, ``bits`` to 24. Equal to ``bits``: the width
            is fixed, and only the point moves.
        step_bits: how much is added where the error is too large.
        threshold: T, the largest error that is accepted.
        alpha: weight of the present place of the point in its moving average.
        beta, gamma: the interval is beta / speed − gamma.
        delta: weight of the squared error in the speed.
        warmup: of the first steps, where training begins, so many adjust each.
        max_interval: no interval is longer. In between nothing watches the range: where it grows,
            values are cut off until the next adjustment.

    Raises:
        ValueError: a width or a number of steps that is out of range.
        TypeError: one that is no whole number.
    """

    bits: int = 8
    max_bits: int = WIDEST
    step_bits: int = 8
    threshold: float = 0.03
    alpha: float = 0.04
    beta: float = 0.1
    gamma: float = 2.0
    delta: float = 100.0
    warmup: int = 10
    max_interval: int = 10

    def __post_init__(self) -> None:
        for name in ("bits", "max_bits", "step_bits", "warmup", "max_interval"):
            if not isinstance(getattr(self, name), int):
                raise TypeError(f"Adjustment: {name} must be an int, got {getattr(self, name)!r}")
        if not 2 <= self.bits <= self.max_bits <= WIDEST:
            raise ValueError(
                f"Adjustment: must have 2 <= bits <= max_bits <= {WIDEST}, got bits={self.bits}, "
                f"max_bits={self.max_bits}"
            )
        for name in ("step_bits", "max_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"Adjustment: {name} must be 1 or more, got {getattr(self, name)}")

    def position(self, peak: float, bits: int) -> int:
        """s, the least for which ``peak`` is within 2^s · (2^(bits−1) − 1).

        Args:
            peak: the largest |x|, positive.
            bits: width of the integers.

        >>> Adjustment().position(127.0, 8), Adjustment().position(127.5, 8)
        (0, 1)
        """
        fraction, exponent = math.frexp(peak / (2 ** (bits - 1) - 1))
        least = exponent - (fraction == 0.5)  # frexp of a power of two: half of the next one
        return max(-FURTHEST, min(least, FURTHEST))

    def wider(self, bits: int, error: float) -> int:
        """The width to try next: ``bits`` itself where ``error`` is accepted or no more can be."""
        grown = bits + self.step_bits
        return grown if error > self.threshold and grown <= self.max_bits else bits

    def moved(self, average: float, position: int) -> float:
        """m, the moving average of the point's place, after ``position`` was seen.

        >>> Adjustment(alpha=0.25).moved(-4.0, -8)
        -5.0
        """
        return self.alpha * position + (1 - self.alpha) * average

    def interval(self, step: int, move: float, error: float) -> int:
        """Steps until the next adjustment: beta / max(move, delta · error²) − gamma, rounded down.

        It is 1 at least, ``max_interval`` at most, and 1 during the warmup.

        Args:
            step: steps before this one.
            move: |m − m'|, by how much the moving average moved.
            error: what :func:`quantization_error` gave.

        >>> Adjustment().interval(step=50, move=0.0, error=0.01)
        8
        """
        if step < self.warmup:
            return 1
        speed = max(move, self.delta * error**2)
        if speed * (self.max_interval + self.gamma) <= self.beta:
            return self.max_interval
        return max(1, math.floor(self.beta / speed - self.gamma))
