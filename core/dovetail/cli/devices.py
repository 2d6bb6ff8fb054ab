"""``dovetail devices``: every device that a plugin offers, whether it works, and if not, why."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dovetail.backend.loader import Record, registry
from dovetail.cli import columns, parser
from dovetail.device_modules import readable_bytes
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


_COLUMNS = ("device", "backend", "version", "memory", "dtypes", "status")


def _table(rows: list[dict[str, Any]], width: int) -> str:
    """Aligned columns; below each row its reason, or the hardware's name, wrapped."""
    cells = [_cells(row) for row in rows]
    widths = [
        min(max(len(line[i]) for line in [_COLUMNS, *cells]), 22) for i in range(len(_COLUMNS))
    ]
    while sum(widths) + 2 * (len(widths) - 1) > width:
        widths[widths.index(max(widths))] -= 1
    lines = [_line(_COLUMNS, widths), "    reason, or what the hardware says of itself"]
    lines.append(_line(tuple("-" * w for w in widths), widths))
    for row, line in zip(rows, cells, strict=True):
        lines.append(_line(line, widths))
        note = _note(row)
        if note:
            lines += textwrap.wrap(
                note, width, initial_indent="    ", subsequent_indent="    ",
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
    usable = sum(row["status"] == "available" for row in rows)
    lines += ["", f"{usable} of {len(rows)} can be used."]
    if usable < len(rows):
        lines[-1] += " `dovetail doctor` says what to do about the rest."
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    total = row["memory_total"]
    return (
        row["device"],
        row["backend"],
        row["version"],
        "" if total is None else readable_bytes(total),
        _dtypes(row["dtypes"]),
        row["status"],
    )


def _dtypes(names: list[str]) -> str:
    """``all``, or how many of all; the JSON form has their names."""
    if not names:
        return ""
    return "all" if len(names) == len(ALL) else f"{len(names)} of {len(ALL)}"


def _note(row: dict[str, Any]) -> str:
    if row["status"] != "available":
        return f"reason: {row['reason']}" if row["reason"] else ""
    parts = [" ".join(p for p in (row["name"], row["driver"]) if p)]
    missing = [d.name for d in ALL if d.name not in row["dtypes"]]
    if missing:
        parts.append(f"no {', '.join(missing)}")
    parts += row["overlays"]
    return "; ".join(p for p in parts if p)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    fitted = [
        (cell if len(cell) <= w else cell[: w - 1] + "…").ljust(w)
        for cell, w in zip(cells, widths, strict=True)
    ]
    return "  ".join(fitted).rstrip()
