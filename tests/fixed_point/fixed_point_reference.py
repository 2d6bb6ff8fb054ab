"""QEM and QPA once more, in NumPy and float64, written from the formulas and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

T, ALPHA, BETA, GAMMA, DELTA = 0.03, 0.04, 0.1, 2, 100


def fixed(x: np.ndarray, s: int, n: int) -> np.ndarray:
    """x̂: two's complement integers of n bits, times 2^s."""
    integers = np.rint(np.asarray(x, np.float64) / np.exp2(s))
    return np.clip(integers, -(2 ** (n - 1)), 2 ** (n - 1) - 1) * np.exp2(s)


def smallest_point(x: np.ndarray, n: int) -> int:
    """The first of all s, from below, at which no |x| is beyond the largest integer."""
    peak = np.abs(np.asarray(x, np.float64)).max()
    return next(s for s in range(-200, 200) if peak <= np.exp2(s) * (2 ** (n - 1) - 1))


def diff(x: np.ndarray, x_hat: np.ndarray) -> float:
    before = np.abs(np.asarray(x, np.float64)).sum()
    return float(np.log2(abs(before - np.abs(x_hat).sum()) / before + 1))


@dataclass
class Operand:
    """One quantizer's numbers, step by step; ``log`` has (n, s, step of the next adjustment)."""

    warmup: int = 10
    longest: int = 10
    n: int = 8
    s: int = 0
    m: float | None = None
    due: int = 0
    step: int = 0
    log: list[tuple[int, int, int]] = field(default_factory=list)

    def see(self, x: np.ndarray) -> np.ndarray:
        if self.step == self.due:
            old = self.n
            while True:
                self.s = smallest_point(x, self.n)
                error = diff(x, fixed(x, self.s, self.n))
                if error <= T or self.n == 24:
                    break
                self.n += 8
            if self.m is None:
                self.m = float(self.s)
            before = self.m - (self.n - old) if self.log else self.m
            self.m = ALPHA * self.s + (1 - ALPHA) * before
            first = abs(self.m - before)
            second = DELTA * error * error
            wait = 1
            if self.step >= self.warmup:
                with np.errstate(divide="ignore"):
                    wait = BETA / np.float64(max(first, second)) - GAMMA
            self.due += int(max(1, min(wait, self.longest)))
        self.step += 1
        self.log.append((self.n, self.s, self.due))
        return fixed(x, self.s, self.n)
