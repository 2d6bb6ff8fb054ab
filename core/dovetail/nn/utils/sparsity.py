"""How sparse a model is, layer by layer, as the table in papers on pruning has it.

The last column, by how much fewer parameters are left, is that of Han et al., "Learning both
weights and connections for efficient neural networks", NeurIPS 2015, table 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dovetail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovetail.nn.module import Module

__all__ = ["LayerSparsity", "SparsityReport", "sparsity"]


@dataclass(frozen=True)
class LayerSparsity:
    """One parameter of a model.

    Attributes:
        name: its dotted name (without ``_orig`` where it is pruned).
        shape: its shape.
        elements: how many elements it has.
        kept: how many of them are not 0.
        is_pruned: whether there is a mask on it.
    """

    name: str
    shape: tuple[int, ...]
    elements: int
    kept: int
    is_pruned: bool = False

    @property
    def sparsity(self) -> float:
        """The part of the elements that is 0."""
        return 1 - self.kept / self.elements if self.elements else 0.0

    @property
    def compression(self) -> float:
        """How many times fewer elements are left; infinite where none is."""
        if not self.kept:
            return float("inf") if self.elements else 1.0
        return self.elements / self.kept


@dataclass(frozen=True)
class SparsityReport:
    """The sparsity of every parameter of a model; prints as a table.

    Attributes:
        rows: one entry per parameter, in the model's order.
    """

    rows: tuple[LayerSparsity, ...]

    @property
    def total(self) -> LayerSparsity:
        """The whole model as one entry."""
        elements, kept = sum(r.elements for r in self.rows), sum(r.kept for r in self.rows)
        return LayerSparsity("total", (), elements, kept, any(r.is_pruned for r in self.rows))

    def __iter__(self) -> Iterator[LayerSparsity]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> LayerSparsity:
        """The entry of that name.

        Raises:
            KeyError: there is none.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __str__(self) -> str:
        head = ("parameter", "shape", "elements", "kept", "sparsity", "fewer")
        cells = [head, *(_cells(row) for row in (*self.rows, self.total))]
        widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
        lines = [
            "  ".join(
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _cells(row: LayerSparsity) -> tuple[str, ...]:
    shape = "×".join(map(str, row.shape))
    times = f"{row.compression:.1f}×" if row.kept or not row.elements else "all"
    return (
        row.name, shape, f"{row.elements:,}", f"{row.kept:,}", f"{row.sparsity:.1%}", times,
    )  # fmt: skip


def sparsity(module: Module) -> SparsityReport:
    """Count the zeros in each parameter of a module, as its forward sees them.

    >>> import dovetail as dt
    >>> from dovetail.nn.utils import prune
    >>> model = dt.nn.Sequential(dt.nn.Linear(8, 4, bias=False), dt.nn.Linear(4, 2, bias=False))
    >>> _ = prune.l1_unstructured(model[0], "weight", amount=0.75)
    >>> print(prune.sparsity(model))
    parameter  shape  elements  kept  sparsity  fewer
    -------------------------------------------------
    0.weight   4×8          32     8     75.0%   4.0×
    1.weight   2×4           8     8      0.0%   1.0×
    -------------------------------------------------
    total                   40    16     60.0%   2.5×
    """
    rows = []
    for prefix, part in module.named_modules():
        for name, parameter in part._parameters.items():
            if parameter is None:
                continue
            mask = part._buffers.get(name.removesuffix("_orig") + "_mask")
            is_pruned = mask is not None and name.endswith("_orig")
            value = parameter.detach()
            if is_pruned:
                value = value * mask  # type: ignore[operator]
                name = name.removesuffix("_orig")
            dotted = f"{prefix}.{name}" if prefix else name
            kept = int(dovetail.count_nonzero(value).item())
            rows.append(LayerSparsity(dotted, tuple(value.shape), value.numel(), kept, is_pruned))
    return SparsityReport(tuple(rows))
