"""Mutants in rounds: a few cases first, and every case for those that a few do not see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from dovetail_conformance.model import Outcome
from dovetail_conformance.mutants.result import SelfTest

__all__ = ["SEED", "Known", "in_rounds"]

SEED = 20
"""What a sample of mutants is drawn from."""

Known = Mapping[str, tuple[str, ...]]
"""What has mistakes made in it (a kernel, a function) -> ids of the cases that run it."""


def in_rounds(
    made: SelfTest,
    names: list[str],
    place_of: Callable[[str], str],
    learn: Callable[[bool, frozenset[str] | None], tuple[Known, list[Outcome]]],
    ask: Callable[[list[str], Known], Iterable[Outcome]],
    is_sample: bool,
) -> Iterator[Outcome]:
    """What came of mutants, each one's last outcome.

    Of a sample a part of the cases sees nearly all. What it does not see is asked every case of the
    operators that it is about, and what is left then every case there is.

    Args:
        made: takes what is wrong without any mistake.
        names: the mutants.
        place_of: a mutant's name -> what has the mistake in it, as ``learn`` names it.
        learn: ``learn(part, ops)``: which cases run what, and what fails without any mistake.
        ask: ``ask(names, known)``: what comes of some mutants.
        is_sample: else every case is asked at once.
    """
    known: Known = {}
    for part in (True, False, False) if is_sample else (False,):
        if not names:
            return
        ops = _operators_of(known, {place_of(name) for name in names}) if known else None
        known, bad = learn(part, ops)
        made.baseline += bad
        left = []
        for outcome in ask(names, known):
            is_open = outcome.status != "passed" and not made.proof(outcome)
            if is_open and (part or ops is not None):
                left.append(outcome.op)
            else:
                yield outcome
        names, known = left, known if part else {}


FEW = 40
"""So many operators are asked every case for one mutant; where more run its place, those of the
operator that it is in."""


def _operators_of(known: Known, places: Iterable[str]) -> frozenset[str] | None:
    """The operators to ask about mistakes in these places; None (all) where none is known."""
    asked: set[str] = set()
    for place in places:
        if place == "runtime":  # whose cases are always the same
            continue
        found = {case.split("/")[2] for case in known.get(place, ())}
        own = place.partition(":")[2].partition(".")[0] or place
        if not found:
            return None
        asked |= {own} if own in found and len(found) > FEW else {own, *found}
    return frozenset(asked)
