"""The questions, one subject per file; each file's ``cases(target)`` lists those for a device."""

from __future__ import annotations

__all__ = ["SUBJECTS"]

SUBJECTS = (
    "values",
    "optional",
    "variants",
    "sizes",
    "large",
    "special",
    "storage",
    "claims",
    "promotion",
    "rounding",
    "runtime",
    "pinned",
    "memory",
    "copies",
    "views",
    "errors",
    "settled",
    "random",
    "out_of_memory",
    "fused",
    "gradients",
    "double",
    "kinks",
    "graph",
    "training",
    "stress",
)
