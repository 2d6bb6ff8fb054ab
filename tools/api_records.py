"""The page of all records: what a backend may have a kernel of, and what it gets without."""

from __future__ import annotations

from dovetail.ops.schema import REGISTRY, OpDef
from tools import facts

__all__ = ["records_page"]

_ABOUT = """# Records

All operators, as a backend's table knows them: those that users call, and those that only other
operators or gradients call. A kernel takes the tensors, then the results to write, then the
attributes as keywords ([the contract](../contract.md)). An operator without a kernel is made of the
primitives in the last column, measured on a device that has nothing else; so that column is what a
fused kernel saves. Views need no kernel and are left out.
"""


def records_page(mark: str) -> str:
    """The text of the page."""
    rows = [_row(op) for name, op in sorted(REGISTRY.items()) if _has_a_row(name, op)]
    head = "| record | tensors → results; attributes | without a kernel |\n|---|---|---|"
    return "\n".join([mark, _ABOUT, head, *rows, ""])


def _has_a_row(name: str, op: OpDef) -> bool:
    return op.name == name and op.kind != "view"


def _row(op: OpDef) -> str:
    inputs = ", ".join(op.inputs) + (", …" if op.variadic else "")
    results = "" if op.outputs == 1 else f" × {op.outputs}"
    attributes = f"; {', '.join(op.attributes)}" if op.attributes else ""
    return f"| `{op.name}` | {inputs or 'nothing'} → out{results}{attributes} | {_without(op)} |"


def _without(op: OpDef) -> str:
    if op.required:
        return "**required**"
    kernels, host = facts.primitives(op)
    parts = [f"`{name}`" for name in kernels]
    parts += [f"`{name}` on the host" for name in host]
    if parts:
        return ", ".join(parts)
    if op.name in facts.COPIES:
        return "`copy`"
    if op.decompose is None:
        return "on the host"
    return "others (it has no samples to tell which)" if op.samples is None else "copies of parts"
