"""Attempts as rows: each judged call of a run with the facts that detectors ask about."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dovetail.ops import REGISTRY
from dovetail_conformance.model import Failure, Outcome

__all__ = ["Attempt", "Call", "attempts_of"]

_LAYOUTS = ("contiguous", "offset", "transposed", "stepped", "expanded", "mixed")
_OFFSET_OF = {
    "contiguous": 0,
    "transposed": 0,
    "expanded": 0,
    "offset": 3,
    "stepped": 1,
    "mixed": 7,
}
"""The offset, in elements, that a layout has where a case did not note it."""


class Call(NamedTuple):
    """What is known of one attempt; None where it is not known.

    Attributes:
        check: the case's family of questions; of a failure, also what saw it.
        seen_by: the check that saw the failure; empty for an attempt that was right.
        layout: contiguous, offset, transposed, stepped, expanded or mixed; or two of them with
            " to " between.
        numel: elements of the largest tensor; of the result, where inputs are broadcast.
        rank: dims of the tensor with the most dims.
        is_broadcast: whether the inputs have several shapes.
        offset: elements before the first of an input.
        sample: the sample's name.
        stage: when the result was read, for cases that read it more than once.
        device_index: which device of its kind.
        dim: the dims that it works along, counted from the last (-1).
    """

    check: str
    seen_by: str = ""
    layout: str | None = None
    numel: int | None = None
    rank: int | None = None
    is_broadcast: bool | None = None
    offset: int | None = None
    sample: str = ""
    stage: str = ""
    device_index: int | None = None
    dim: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Attempt:
    """One judged call.

    Attributes:
        outcome: the case that it belongs to.
        call: what is known of it.
        failure: what went wrong; None where it was right.
        count: how many attempts this stands for (cases that passed keep no facts of each).
    """

    outcome: Outcome
    call: Call
    failure: Failure | None
    count: int = 1


def attempts_of(outcomes: Iterable[Outcome]) -> list[Attempt]:
    """The attempts of all outcomes but those that never answered."""
    found = []
    for o in outcomes:
        if o.status in ("crashed", "hung", "expected", "unexpected-pass"):
            continue
        found += [Attempt(o, _call(o, f.facts, f.check), f) for f in o.failures]
        if o.status == "passed":
            found.append(Attempt(o, _call(o, {}, ""), None, max(1, o.attempts)))
        else:
            found += [Attempt(o, _call(o, facts, ""), None) for facts in o.passes]
    return found


def _call(o: Outcome, facts: Mapping[str, Any], seen_by: str) -> Call:
    layout = facts.get("layout") or next((w for w in _LAYOUTS if w in o.variant.split("-")), None)
    shapes = _shapes(facts.get("shape"))
    numel, offset = facts.get("numel"), facts.get("offset")
    if shapes:
        numel = _numel(o.op, shapes, numel)
    usual = [_OFFSET_OF[word] for word in (layout or "").split() if word in _OFFSET_OF]
    if not offset and numel != 0:  # the note may be of another tensor than the one laid out
        offset = max(usual, default=None)
    return Call(
        o.check,
        seen_by,
        layout,
        numel,
        max(map(len, shapes)) if shapes else None,
        len(set(shapes)) > 1 if shapes else None,
        None if offset is None else int(offset),
        f"{facts.get('sample', '')} {o.variant}".strip(),
        str(facts.get("stage", "")),
        _index(facts, o),
        None if facts.get("dim") is None else tuple(facts["dim"]),
    )


def _shapes(given: Any) -> list[tuple[int, ...]]:
    """The fact ``shape``, which is a list of shapes or one shape, as a list of tuples."""
    if not isinstance(given, (list, tuple)):
        return []
    if given and all(isinstance(n, int) for n in given):
        return [tuple(given)]
    return [tuple(s) for s in given if isinstance(s, (list, tuple))]


def _numel(op: str, shapes: list[tuple[int, ...]], noted: int | None) -> int:
    """Elements that a call computes: of the common shape where the operator broadcasts."""
    largest = max(math.prod(s) for s in shapes) if noted is None else noted
    if op in REGISTRY and REGISTRY[op].kind in ("elementwise", "compare", "select"):
        try:
            return math.prod(np.broadcast_shapes(*shapes))
        except ValueError:
            return largest
    return largest


def _index(facts: Mapping[str, Any], o: Outcome) -> int | None:
    if isinstance(facts.get("index"), int):
        return int(facts["index"])
    found = re.search(r":(\d+)$", str(facts.get("device", ""))) or re.search(
        r"\bindex[- ](\d+)\b", o.variant
    )
    return int(found[1]) if found else None
