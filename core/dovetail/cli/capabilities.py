"""``dovetail capabilities DEVICE``: which operators a device serves itself, for which dtypes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from dovetail.capability import Capabilities, capabilities
from dovetail.capability_text import markdown, terminal
from dovetail.cli import UsageError, parser

__all__ = ["as_json", "main"]


def main(argv: Sequence[str] = ()) -> int:
    """Print the table; ``--markdown`` the text of CAPABILITIES.md, ``--json F`` a file."""
    options = parser(
        "capabilities",
        "Show how a device serves each operator and dtype, from a dry run: nothing is allocated "
        "on the device and no kernel runs.",
    )
    options.add_argument("device", help="a name such as cpu or name:0")
    options.add_argument("--op", metavar="PATTERN", default="*", help="only these, such as 'conv*'")
    options.add_argument("--markdown", action="store_true", help="the text of CAPABILITIES.md")
    options.add_argument("--output", metavar="FILE", help="write the text there")
    options.add_argument("--json", metavar="FILE", help="write the rows there, for programs")
    chosen = options.parse_args(list(argv))
    if chosen.markdown and chosen.op != "*":
        raise UsageError("dovetail capabilities: --markdown is of all operators; leave out --op")
    try:
        table = capabilities(chosen.device, chosen.op)
    except RuntimeError as error:
        raise UsageError(f"dovetail capabilities: {error}") from error
    names = table.operators()
    if not names:
        raise UsageError(
            f"dovetail capabilities: no operator matches {chosen.op!r}; patterns are the shell's, "
            "such as 'conv*'"
        )
    if chosen.json:
        _write(chosen.json, json.dumps(as_json(table), indent=1) + "\n")
    text = markdown(table) if chosen.markdown else terminal(table, names) + "\n"
    if chosen.output:
        _write(chosen.output, text)
    elif chosen.markdown or not chosen.json:
        print(text, end="")
    return 0


def as_json(table: Capabilities) -> dict[str, object]:
    """The table for programs: ``device``, ``counts``, ``unseen``, and ``rows``, one per cell."""
    return {
        "device": str(table.device),
        "counts": table.counts(),
        "unseen": list(table.unseen),
        "rows": [
            {"op": r.op, "dtype": r.dtype.name, "label": r.label, "others": list(r.others)}
            for r in table
        ],
    }


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"dovetail capabilities: {path} cannot be written: {error.strerror}"
        ) from error
