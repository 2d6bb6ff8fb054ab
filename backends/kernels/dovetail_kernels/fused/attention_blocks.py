"""Attention of blocks of rows on the host's cores: ``src/attention_blocks.cl``."""

from __future__ import annotations

from typing import Any

from dovetail.backend import KernelTable
from dovetail_kernels.device import Device, Size, known
from dovetail_kernels.fused.attention import (
    Attention,
    by_lines,
    enter_both,
    kinds_backward,
    runs_backward,
    runs_forward,
)
from dovetail_kernels.paired import exponentials

__all__ = ["enter"]

KEYS = 64
"""Keys at a time: with the scores of a block of rows they stay in the nearest cache."""

LEAST, LEAST_NOISE = 17, 4
"""Rows from which on a block's vectors are not too empty; the latter with noise, which is drawn by
vectors too."""

SHARES = 16
"""Work items for each core, for those of causal attention have more or less to do."""


def _rounded(n: int, to: int) -> int:
    return -(-n // to) * to


def _macros(made: Attention, size: int, width: int) -> tuple[dict[str, Any], str]:
    """(The macros of the file, the text before it)."""
    # Vectors of 64 bytes come with 32 registers; of others there may be 16, of which two or four
    # are a vector.
    tall, parts = (8, 2) if made.device.vector == 64 else (4, 1)
    own, _, text = exponentials(made.work, made.width, (), made.work, "exp")
    side = parts * made.width
    sums = [(i, n) for i in range(tall) for n in range(parts)]
    lines = _rounded(size, side), _rounded(width, side)
    return {
        **own,
        "KEYS": KEYS,
        "TALL": tall,
        "PARTS": parts,
        "SIDE": side,
        "FEW_WORDS": KEYS + 8,
        "E8": _rounded(size, tall),
        "V8": _rounded(width, tall),
        "ES": lines[0],
        "VS": lines[1],
        "MOST": max(lines),
        "EACH_SUM(DO)": " ".join(f"DO({i}, {n})" for i, n in sums),
        "EACH_PART(DO)": " ".join(f"DO({n})" for n in range(parts)),
        "EACH_TALL(DO)": " ".join(f"DO({i})" for i in range(tall)),
    }, text


def _shares(device: Device, items: int) -> Size:
    return (max(1, min(items, device.units * SHARES)),), (1,)


_BEFORE = ("exponentials", "attention_operands")


def _forward(facts: Any, *, as_they_are: bool = False) -> Any:
    query, key, value, _ = facts.inputs
    made = by_lines(facts, as_they_are=as_they_are)
    macros, text = _macros(made, query.shape[-1], value.shape[-1])
    size = _shares(made.device, made.batches * -(-made.rows // macros["SIDE"]))
    kinds = {"OUT": query.dtype, "Q": query.dtype, "K": key.dtype, "X": value.dtype}
    launch = made.launch(
        "IS_FORWARD", "forward", 6, size, facts.op.name, macros, "attention_blocks", _BEFORE, text,
        **kinds,
    )  # fmt: skip
    return runs_forward(made, launch)


def _backward(facts: Any, *, as_they_are: bool = False) -> Any:
    _, query, _, value, *_, of_sums = facts.inputs
    made = by_lines(facts, as_they_are=as_they_are)
    macros, text = _macros(made, query.shape[-1], value.shape[-1])
    is_wide, shared = made.work is not query.dtype, made.batches // made.group
    macros |= {"HAS_SLOPES": int(of_sums is not None), "IS_WIDE": int(is_wide)}
    launch = made.launch(
        "IS_BACKWARD", "backward", 12, _shares(made.device, shared), facts.op.name, macros,
        "attention_blocks", _BEFORE, text, **kinds_backward(facts),
    )  # fmt: skip
    lines = shared * made.keys * (query.shape[-1] + value.shape[-1])
    return runs_backward(made, launch, lines * is_wide)


def _has_rows(facts: Any) -> bool:
    device = known(facts.outputs[0].device)
    least = LEAST if facts.attributes.get("kept", 1.0) == 1.0 else LEAST_NOISE
    return device is not None and device.is_cpu and facts.query.shape[-2] >= least


def enter(table: KernelTable) -> None:
    """Enter them, before those that are there."""
    enter_both(table, _forward, _backward, _has_rows)
