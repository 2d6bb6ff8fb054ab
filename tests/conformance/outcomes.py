"""Hand-made outcomes and reports, for tests of what is made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dovetail_conformance.layouts import LAYOUTS
from dovetail_conformance.model import Failure, Outcome
from dovetail_conformance.report import Report

__all__ = ["OPS", "SIZES", "call", "case", "judged", "report", "values_cases"]

OPS = ("add", "exp", "gather", "matmul", "neg", "sum")
SIZES = (0, 1, 3, 8, 12, 15, 16, 20, 24, 48, 64, 70000)
_OFFSETS = {"offset": 3, "stepped": 1, "mixed": 7}


def case(id: str, status: str = "passed", **fields: Any) -> Outcome:
    """An outcome by its id, ``level/check/op/dtype/variant``."""
    level, check, op, *rest = id.split("/")
    dtype, variant = [*rest, "", ""][:2]
    if status == "failed" and "failures" not in fields:
        fields["failures"] = (Failure("values", f"{op}: element [0] must be 1.0, got 2.0"),)
    fields.setdefault("attempts", 1)
    return Outcome(id, int(level), check, op, dtype, variant, status, **fields)


def call(layout: str, numel: int, **facts: Any) -> dict[str, Any]:
    """The facts of one attempt."""
    offset = _OFFSETS.get(layout, 0) if numel else 0
    shape = [[numel]]
    return {"layout": layout, "numel": numel, "shape": shape, "offset": offset, **facts}


def judged(id: str, facts: Iterable[Mapping[str, Any]], is_wrong: Callable[[Any], bool]) -> Outcome:
    """The outcome of attempts with these facts, wrong where the predicate says so."""
    wrong, right = [], []
    for f in facts:
        (wrong if is_wrong(f) else right).append(f)
    op = id.split("/")[2]
    text = f"{op}: element [2] must be 1.0, got nan; 1 of 3 elements are wrong"
    return case(
        id,
        "failed" if wrong else "passed",
        failures=tuple(Failure("values", text, f) for f in wrong),
        passes=tuple(right) if wrong else (),
        attempts=len(wrong) + len(right),
    )


def values_cases(
    is_wrong: Callable[[str, str, Any], bool],
    ops: Iterable[str] = OPS,
    dtypes: Iterable[str] = ("float32", "int64"),
) -> list[Outcome]:
    """A case per operator, dtype and layout, whose attempts are of all sizes.

    Args:
        is_wrong: ``is_wrong(op, dtype, facts)``.
    """
    return [
        judged(
            f"1/values/{op}/{dtype}/{layout}",
            [call(layout, n) for n in SIZES],
            lambda f, op=op, dtype=dtype: is_wrong(op, dtype, f),
        )
        for op in ops
        for dtype in dtypes
        for layout in LAYOUTS
    ]


def report(outcomes: Iterable[Outcome], asked: int = 2, **fields: Any) -> Report:
    """A whole report: as many cases were collected as ran, and each level has one."""
    found = list(outcomes)
    missing = set(range(asked + 1)) - {o.level for o in found}
    found += [case(f"{level}/values/fill/float32") for level in sorted(missing)]
    fields.setdefault("collected", Counter(o.level for o in found))
    fields.setdefault("environment", {"dovetail": "0.1.0", "python": "3.11"})
    return Report("loop:0", asked, outcomes=found, **fields)
