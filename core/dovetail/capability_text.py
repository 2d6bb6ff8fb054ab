"""A table of capabilities as text: for a terminal of 100 columns, and for CAPABILITIES.md."""

from __future__ import annotations

from collections.abc import Iterable

from dovetail import dtypes
from dovetail.capability import LABELS, Capabilities, Capability

__all__ = ["HEADS", "markdown", "terminal"]

HEADS = {
    "bool": "bool", "uint8": "u8", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64",
    "complex64": "c64", "complex128": "c128",
}  # fmt: skip
"""Short heads of the columns, in the order of ``dovetail.dtypes.ALL``."""

_SIGNS = {"kernel": "K", "fused": "F", "decomposed": "D", "host": "H", "none": "."}
_NAME = 40
_CELL = 4


def _sign(cell: Capability) -> str:
    return _SIGNS[cell.label] + ("*" if cell.others else "")


def _legend() -> Iterable[tuple[str, str]]:
    for label, meaning in LABELS.items():
        yield _SIGNS[label], f"{label}: {meaning}"
    yield "*", "some calls are served better than the sign says (by shape or argument)"


def terminal(table: Capabilities, operators: Iterable[str]) -> str:
    """Aligned columns, at most 100 wide; the legend and the counts per label below.

    Example:
        >>> import dovetail as dt
        >>> print(terminal(dt.capabilities("cpu", "add"), ["add"]).splitlines()[1].split())
        ['add', 'K', 'K', 'K', 'K', 'K', 'K', 'K', 'K', 'K', 'K', 'K', 'K']
    """
    heads = "".join(f" {head:<{_CELL}}" for head in HEADS.values())
    lines = [f"{'operator':<{_NAME}}{heads}".rstrip()]
    shown: list[Capability] = []
    for name in operators:
        cells = [table.cell(name, kind) for kind in dtypes.ALL]
        shown += cells
        signs = "".join(f" {_sign(cell):<{_CELL}}" for cell in cells)
        lines.append(f"{_shortened(name):<{_NAME}}{signs}".rstrip())
    lines += ["", *(f"{sign}  {meaning}" for sign, meaning in _legend()), ""]
    lines.append(f"{table.device}: {_counted(shown)}")
    if table.unseen:
        lines.append(f"not known (no sample calls it): {', '.join(table.unseen)}")
    return "\n".join(lines)


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _counted(cells: list[Capability]) -> str:
    counts = {label: sum(cell.label == label for cell in cells) for label in LABELS}
    return ", ".join(f"{n} {label}" for label, n in counts.items())


def markdown(table: Capabilities, device: str | None = None) -> str:
    """The text of a CAPABILITIES.md: the same for the same table, whatever the machine or the day.

    Args:
        device: what to call the device; None: its name without a number.
    """
    name = device or table.device.type
    heads = list(HEADS.values())
    command = f"dovetail capabilities {name} --markdown --output CAPABILITIES.md"
    lines = [
        f"# What `{name}` does by itself",
        "",
        f"Written by `{command}` from the device's table of kernels; do not edit.",
        "",
        *(f"- `{sign}` {meaning}" for sign, meaning in _legend()),
        "",
        "Views are not listed: they need no kernel. The dtype is that of the numbers that an",
        "operator is tried with.",
        "",
        f"| operator | {' | '.join(heads)} |",
        f"|---|{'---|' * len(heads)}",
    ]
    for operator in table.operators():
        cells = " | ".join(_sign(table.cell(operator, kind)) for kind in dtypes.ALL)
        lines.append(f"| {operator} | {cells} |")
    lines += ["", f"Together: {_counted(list(table))}."]
    if table.unseen:
        lines += ["", f"Not known (no sample calls it): {', '.join(table.unseen)}."]
    return "\n".join(lines) + "\n"
