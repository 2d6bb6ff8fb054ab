"""``dovetail devices``: every device that a plugin offers, whether it works, and if not, why."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dovetail.backend.loader import Record, registry
from dovetail.cli import columns, parser
from dovetail.device_memory import readable_bytes
from dovetail.dtypes import ALL
from dovetail.errors import BackendUnavailable

__all__ = ["describe", "main", "print_json", "rows_of"]


def main(argv: Sequence[str] = ()) -> int:
    """Print the table, or with ``--json`` a list of objects."""
    options = parser("devices", "List the devices of all installed backends.")
    options.add_argument("--json", action="store_true", help="a list of objects for programs")
    chosen = options.parse_args(list(argv))
    rows = [row for record in registry.report() for row in rows_of(record)]
    if chosen.json:
        print_json(rows)
    else:
        print(_table(rows, columns()))
    return 0


def print_json(rows: list[dict[str, Any]]) -> None:
    """Print ``rows`` as JSON."""
    import json

    print(json.dumps(rows, indent=2, default=str))


def rows_of(record: Record) -> list[dict[str, Any]]:
    """One row per device of a backend; one row altogether where it has none."""
    if record.status != "available":
        return [describe(record, record.name)]
    indexed = registry.get(record.name).indexed
    indices = range(record.count) if indexed else range(1)
    return [describe(record, f"{record.name}:{i}" if indexed else record.name, i) for i in indices]


def describe(record: Record, device: str, index: int | None = None) -> dict[str, Any]:
    """What is known about one device, by column; ``index`` None: nothing to ask."""
    row: dict[str, Any] = {
        "device": device,
        "backend": record.module,
        "distribution": record.distribution,
        "version": record.version,
        "contract": None if record.contract is None else ".".join(map(str, record.contract)),
        "status": record.status,
        "reason": record.reason,
        "advice": record.advice,
        "command": record.command,
        "name": "",
        "driver": "",
        "memory_total": None,
        "memory_free": None,
        "dtypes": [],
        "limits": {},
        "overlays": [overlay.summary() for overlay in record.overlays],
    }
    if index is None:
        return row
    try:
        info = registry.info(record.name, index)
    except BackendUnavailable as error:
        failed = replace(record, status="failed", reason=str(error))
        return describe(failed, device)
    row.update(
        name=info.name,
        driver=info.version,
        memory_total=info.memory_total,
        memory_free=registry.get(record.name).runtime.memory_free(index),
        dtypes=[d.name for d in info.dtypes],
        limits=dict(info.limits),
    )
    return row


_COLUMNS = ("device", "status", "memory", "dtypes", "hardware, or why it is unusable")
_GAP = "  "


def _table(rows: list[dict[str, Any]], width: int) -> str:
    """Aligned columns, of which the last is wrapped."""
    cells = [_cells(row) for row in rows]
    fixed = [max(len(line[i]) for line in [_COLUMNS, *cells]) for i in range(len(_COLUMNS) - 1)]
    last = max(20, width - sum(fixed) - len(_GAP) * len(fixed))
    widths = [*fixed, last]
    lines = [*_lines(_COLUMNS, widths), _GAP.join("-" * w for w in widths)]
    for row, line in zip(rows, cells, strict=True):
        # A reason may name a package or a command, which is copied; a processor's name is not.
        lines += _lines(line, widths, break_on_hyphens=row["status"] == "available")
    usable = sum(row["status"] == "available" for row in rows)
    lines += ["", f"{usable} of {len(rows)} can be used."]
    if usable < len(rows):
        lines[-1] += " `dovetail doctor` says what to do about the rest."
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    total = row["memory_total"]
    return (
        row["device"],
        row["status"],
        "" if total is None else readable_bytes(total),
        _dtypes(row["dtypes"]),
        _about(row),
    )


def _dtypes(names: list[str]) -> str:
    """``all``, or how many of all; the JSON form has their names."""
    if not names:
        return ""
    return "all" if len(names) == len(ALL) else f"{len(names)} of {len(ALL)}"


def _about(row: dict[str, Any]) -> str:
    """The hardware and its driver, or the reason; then whose backend it is."""
    backend = ", ".join(p for p in (row["backend"], row["version"]) if p)
    if row["status"] != "available":
        return f"{row['reason']} ({backend})"
    parts = [" ".join(p for p in (row["name"], row["driver"]) if p)]
    missing = [d.name for d in ALL if d.name not in row["dtypes"]]
    if missing:
        parts.append(f"no {', '.join(missing)}")
    parts += row["overlays"]
    return f"{'; '.join(p for p in parts if p)} ({backend})"


def _lines(cells: tuple[str, ...], widths: list[int], break_on_hyphens: bool = False) -> list[str]:
    """One row; what its last cell has no room for goes below."""
    *fixed, last = cells
    wrapped = textwrap.wrap(
        last, widths[-1], break_long_words=False, break_on_hyphens=break_on_hyphens
    )
    first = [cell.ljust(w) for cell, w in zip(fixed, widths, strict=False)]
    indent = [" " * w for w in widths[:-1]]
    starts = [first, *([indent] * (len(wrapped) - 1))]
    return [
        _GAP.join([*start, text]).rstrip()
        for start, text in zip(starts, wrapped or [""], strict=True)
    ]
