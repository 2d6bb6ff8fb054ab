"""Which property of a call divides the failing calls from the right ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail_conformance.attempts import Attempt, Call
from dovetail_conformance.detectors import CONTRASTS, Contrast
from dovetail_conformance.model import Outcome

__all__ = ["Part", "divide"]

Array = np.ndarray[Any, Any]

_MANY, _SOME = 0.9, 0.5
"""Share of calls with the property that must fail: of nearly all, or of some where no other call
fails. Some, because wrong code may be right by luck: one element, equal values."""
_APART, _NONE = 0.5, 0.05
"""In the first case, how much smaller the share of the other calls must be, which may fail for
another reason; in the second, the share itself."""
_LEAST = 3
"""Right calls without the property that are needed, in all, to call it a difference."""


@dataclass(frozen=True)
class Part:
    """Failures that one property explains.

    Attributes:
        contrast: the property.
        evidence: what was counted, as a sentence and a space.
        outcomes: cases most of whose failures have it.
    """

    contrast: Contrast
    evidence: str
    outcomes: tuple[Outcome, ...]


def divide(attempts: Sequence[Attempt], is_strict: bool = False) -> Iterator[Part]:
    """The property that explains the most failures, then the next of what is left, and so on.

    Calls are compared within an operator and dtype: a fault in one kernel shows in one of these
    pairs, a fault in the runtime in all of them.

    Args:
        is_strict: take only what divides the calls cleanly, where many fail by chance.
    """
    if not any(a.failure for a in attempts):
        return
    rows = _Rows(attempts)
    while (best := rows.best(is_strict)) is not None:
        yield rows.take(best)


class _Rows:
    """The attempts as columns, for counting."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        suspects = {(a.outcome.op, a.outcome.dtype) for a in attempts if a.failure}
        kept = [a for a in attempts if (a.outcome.op, a.outcome.dtype) in suspects]
        pairs = {pair: i for i, pair in enumerate(sorted(suspects))}
        self.attempts = kept
        self.pair = np.array([pairs[a.outcome.op, a.outcome.dtype] for a in kept])
        self.is_wrong = np.array([a.failure is not None for a in kept])
        self.count = np.array([a.count for a in kept], float)
        self.is_left = np.ones(len(kept), bool)
        seen: dict[Call, int] = {}
        codes = np.array([seen.setdefault(a.call, len(seen)) for a in kept])
        # 1 has the property, 0 has it not, -1 unknown: per distinct call, then per attempt.
        table = np.array([[_code(c.holds(call)) for c in CONTRASTS] for call in seen], np.int8)
        self.has = table[codes]
        # A right call without elements says nothing of how elements are treated.
        is_idle = ~self.is_wrong & np.array([a.call.numel == 0 for a in kept])
        for j, contrast in enumerate(CONTRASTS):
            if contrast.name != "empty":
                self.has[is_idle, j] = -1
        self.pairs = len(pairs)

    def best(self, is_strict: bool) -> tuple[int, Array] | None:
        """The property that tells most of what fails, and in which pairs; None where none does."""
        top, found = 0.0, None
        for j in range(len(CONTRASTS)):
            wrong_with, right_with = self._counts(j, 1)
            wrong_without, right_without = self._counts(j, 0)
            share = _share(wrong_with, right_with)
            other = _share(wrong_without, right_without)
            explains = (wrong_with > 0) & (right_without > 0)
            if is_strict:
                explains &= (share >= _MANY) & (other <= _NONE)
            explains &= ((share >= _MANY) & (share - other >= _APART)) | (
                (share >= _SOME) & (other <= _NONE) & (right_without >= 2)
            )
            known = _surprise(wrong_with + wrong_without, right_with + right_without)
            parted = _surprise(wrong_with, right_with) + _surprise(wrong_without, right_without)
            score = float((known - parted)[explains].sum())
            enough = right_without[explains].sum() >= _LEAST and wrong_with[explains].sum() >= 2
            if enough and score > top * (1 + 1e-9):
                top, found = score, (j, explains)
        return found

    def take(self, best: tuple[int, Array]) -> Part:
        """Remove what a property explains, and say what was seen."""
        j, explains = best
        near = self.is_left & explains[self.pair]
        having, lacking = near & (self.has[:, j] == 1), near & (self.has[:, j] == 0)
        covered = np.flatnonzero(having & self.is_wrong)
        sizes: dict[str, list[int]] = {}
        if CONTRASTS[j].sizes:
            sizes = {
                "fail": self._sizes(having & self.is_wrong),
                "pass": self._sizes(lacking & ~self.is_wrong),
            }
        evidence = (
            f"{self._ratio(having)} such calls fail, of the others {self._ratio(lacking)}"
            + "".join(f"; sizes that {word}: {_few(found)}" for word, found in sizes.items())
            + ". "
        )
        shares: dict[str, int] = defaultdict(int)
        for i in covered:
            shares[self.attempts[i].outcome.id] += 1
        explained = {
            o.id: o
            for o in (self.attempts[i].outcome for i in covered)
            if 2 * shares[o.id] >= len(o.failures)
        }
        self.is_left &= ~having
        done = np.array([a.outcome.id in explained for a in self.attempts])
        self.is_left &= ~(done & self.is_wrong)
        return Part(CONTRASTS[j], evidence, tuple(explained.values()))

    def _counts(self, j: int, code: int) -> tuple[Array, Array]:
        """Wrong and right calls per pair of operator and dtype."""
        chosen = self.is_left & (self.has[:, j] == code)
        return self._sum(chosen & self.is_wrong), self._sum(chosen & ~self.is_wrong)

    def _sum(self, chosen: Array) -> Array:
        return np.bincount(self.pair[chosen], self.count[chosen], self.pairs).astype(float)

    def _ratio(self, chosen: Array) -> str:
        wrong = int(self.count[chosen & self.is_wrong].sum())
        return f"{wrong:,} of {int(self.count[chosen].sum()):,}"

    def _sizes(self, chosen: Array) -> list[int]:
        numbers = {self.attempts[i].call.numel for i in np.flatnonzero(chosen)}
        return sorted(n for n in numbers if n)


def _code(answer: bool | None) -> int:
    return -1 if answer is None else int(answer)


def _share(wrong: Array, right: Array) -> Array:
    share: Array = wrong / np.maximum(wrong + right, 1)
    return share


def _surprise(wrong: Array, right: Array) -> Array:
    """Bits that it takes to say which of the calls are wrong: what a good property saves."""
    bits = np.zeros_like(wrong)
    for part in (wrong, right):
        bits -= part * np.log2(np.maximum(part, 1) / np.maximum(wrong + right, 1))
    return bits


def _few(sizes: list[int]) -> str:
    """At most five numbers of a sorted list, the ends among them."""
    if len(sizes) > 5:
        return ", ".join(f"{n:,}" for n in sizes[:3]) + f", … {sizes[-1]:,}"
    return ", ".join(f"{n:,}" for n in sizes) or "none seen"
