"""Mutants that no test can catch, each with the proof that it does the same as the good one."""

from __future__ import annotations

import fnmatch

from dovetail_conformance.model import Outcome

__all__ = ["EQUIVALENT", "why_equivalent"]

_ONE = "its result is always 0-d: the first element is the last, and there is no vector of 4"

_SHAPED = "the output comes with its shape, which is all that it decides; no kernel reads it"

EQUIVALENT: dict[str, str] = {
    **{
        f"{fault}/{op}": _ONE
        for fault in ("vector-of-4", "off-by-one")
        for op in ("dot", "max", "min", "median")
    },
    "sign-flip/linalg_qr": "minus Q and minus R are a QR factorization too",
    "off-by-one/fill": "all elements are the same, so it does not matter which is where",
    "wrong-keepdim/*": _SHAPED,
    "wrong-ceil_mode/*": _SHAPED,
}
"""``kind/operator`` (a shell pattern) -> why the mutant cannot be told from the good kernel."""


def why_equivalent(outcome: Outcome) -> str | None:
    """The proof for a surviving mutant, if there is one: listed, or seen when it was made."""
    for failure in outcome.failures:
        if failure.check == "equivalent":
            return failure.text
    patterns = (p for p in EQUIVALENT if fnmatch.fnmatch(outcome.op, p))
    return next((EQUIVALENT[p] for p in patterns), None)
