"""Write docs/parity.md: every operator and dtype against PyTorch, from the records' samples.

``python tools/parity_table.py`` writes it; with ``--check`` it says whether the file is as it would
be written (exit code 1 where not).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.parity.differences import DIFFERENCES, Difference  # noqa: E402
from tests.parity.harness import DTYPES, OWN, operators, torch  # noqa: E402
from tests.parity.judging import Verdict, judge  # noqa: E402
from tests.parity.test_gradients import NO_GRADIENT_THERE, NO_SECOND_GRADIENT_THERE  # noqa: E402

from dovetail.ops.schema import OpDef  # noqa: E402

FILE = ROOT / "docs" / "parity.md"

SECTIONS = {
    "elementwise": "Elementwise",
    "compare": "Comparisons and logic",
    "select": "Choosing",
    "reduce": "Reductions",
    "scan": "Scans",
    "order": "Order",
    "index": "Indexing",
    "contract": "Products",
    "view": "Views",
}

HEAD = """# Parity with PyTorch

Written by `python tools/parity_table.py` from the operators' records; `tests/parity` fails where it
is out of date, and where an operator differs without a line here. PyTorch {version}, on the cpu.

What is compared, for every sample of a record: values, dtype, shape, strides, structure (names of
several results too), which results share memory with their inputs, and the class of exceptions;
gradients and second gradients in float64 and complex128; the forms as a function, as a method, in
place, with `out=` (fitting, empty, of another shape, not contiguous, overlapping, of other
dtypes), by keyword, with Python numbers on either side, with two dtypes; and wrong calls.

| mark | |
|---|---|
| = | the same |
| + | dovetail only: PyTorch has no kernel |
| − | PyTorch only |
| ≠ | differs on purpose; the number names the reason below |
| · | neither has it |
"""


def mark(verdict: Verdict, notes: list[str]) -> str:
    """What the table shows for one operator and dtype."""
    known = [e.reason for e in verdict.findings.explained()]
    for reason in known:
        if reason not in notes:
            notes.append(reason)
    numbers = ",".join(str(notes.index(reason) + 1) for reason in dict.fromkeys(known))
    if not verdict.same and verdict.theirs:
        return f"−{numbers}"
    if known:
        return f"≠{numbers}"
    return "=" if verdict.same else "+" if verdict.ours else "·"


def section_of(op: OpDef) -> str:
    """The heading that an operator stands under."""
    if op.kind in SECTIONS:
        return SECTIONS[op.kind]
    home = getattr(op.function, "__module__", "").rsplit(".", 1)[-1]
    return home.replace("_", " ").capitalize()


def tables() -> Iterable[str]:
    """The sections, each with a table."""
    notes: list[str] = []
    sections: dict[str, list[str]] = {}
    for op in operators():
        cells = [mark(judge(op, dtype, "cpu"), notes) for dtype in DTYPES]
        row = f"| `{op.name}` | " + " | ".join(cells) + " |"
        sections.setdefault(section_of(op), []).append(row)
    order = [*SECTIONS.values(), *sorted(set(sections) - set(SECTIONS.values()))]
    for title in order:
        if title in sections:
            yield f"## {title}\n"
            yield "| | " + " | ".join(t.name for t in DTYPES) + " |"
            yield "|---" * (len(DTYPES) + 1) + "|"
            yield from sections[title]
            yield ""
    yield "## Reasons\n"
    yield from (f"{i}. {reason}." for i, reason in enumerate(notes, 1))
    yield ""


def forms() -> Iterable[str]:
    """What differs in the other forms, from the table of differences."""
    yield "## Differences in other forms\n"
    yield "| form | operators | what | why |"
    yield "|---|---|---|---|"
    merged: dict[tuple[str, tuple[str, ...], str], Difference] = {}
    whats: dict[tuple[str, tuple[str, ...], str], set[str]] = {}
    for e in DIFFERENCES:
        if e.form != "function":
            key = (e.form, e.operators, e.reason)
            merged.setdefault(key, e)
            whats.setdefault(key, set()).add(_WORDS.get(e.kind, e.kind))
    for (form, names, reason), _ in sorted(merged.items()):
        shown = "all" if names == ("*",) else ", ".join(f"`{n}`" for n in names)
        what = ", ".join(sorted(whats[form, names, reason]))
        form = _WORDS.get(form, form)
        yield f"| {form} | {shown} | {what} | {reason} |"
    for (name, where), reason in sorted(NO_GRADIENT_THERE.items()):
        shown = "" if where == "*" else f", sample “{where}”"
        yield f"| gradient | `{name}`{shown} | PyTorch: | {reason} |"
    for (name, where), reason in sorted(NO_SECOND_GRADIENT_THERE.items()):
        yield f"| second gradient | `{name}`, {where} | PyTorch: | {reason} |"
    yield ""
    yield from OTHERS
    own = ", ".join(f"`{n}`" for n in sorted(OWN))
    yield f"\nOf dovetail alone, and so without a row: {own}, and the backward operators."


_WORDS = {"accepts": "accepts more", "refuses": "refuses", "class": "another class", "*": "any"}

OTHERS = (
    "## Besides the records\n",
    "* `conj` computes at once: there is no conjugate view, `is_conj` is False and `resolve_conj` "
    "returns its input.",
    "* Parts of `split`, `chunk` and `unbind` may be written to while gradients are recorded; "
    "PyTorch refuses that.",
    "* complex32 does not exist: float16 with complex is left out of the comparison.",
    "* `var_mean` and `std_mean` give of numbers with an infinity the mean that `mean` gives; "
    "PyTorch's running mean is NaN unless the infinity comes last.",
    "* `interpolate` with a kept `scale_factor`: the gradient is that of the values. PyTorch's is "
    "another one where a size stays as it is or doubles and the factor is not 1 or 2 (`nearest`, "
    "`bicubic`, `antialias`), and its values of `nearest` depend on the order in memory; ours are "
    "those of a row-major image.",
    "* `interpolate` of uint8 is the same to the last bit, but for an output of one column and "
    "more than four channels, where PyTorch repeats a wrong row.",
)


def text() -> str:
    """The whole file."""
    head = HEAD.format(version=torch.__version__.split("+")[0])
    return "\n".join([head, *tables(), *forms()]) + "\n"


def main() -> int:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    made = text()
    if not parser.parse_args().check:
        FILE.write_text(made, encoding="utf-8")
        return 0
    if FILE.exists() and FILE.read_text(encoding="utf-8") == made:
        return 0
    print("docs/parity.md is out of date: run python tools/parity_table.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
