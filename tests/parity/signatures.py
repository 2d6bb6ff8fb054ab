"""PyTorch's names of arguments: from its operators' schemas, and from Python signatures."""

from __future__ import annotations

import inspect
from typing import Any

from dovetail import dtypes as d
from dovetail.ops.schema import OpDef, Sample
from tests.parity.harness import counterparts, outcome, to_torch, torch

__all__ = ["argument_names", "keyword_calls"]


def argument_names(op: OpDef, function: Any) -> list[list[str]]:
    """Names in order, one list for each way to call PyTorch's function."""
    try:
        return [list(inspect.signature(function).parameters)]
    except (ValueError, TypeError):
        pass
    name = getattr(function, "__name__", op.name)
    found: list[list[str]] = []
    for home in ("aten::", "aten::linalg_", "aten::special_"):
        for schema in torch._C._jit_get_schemas_for_operator(home + name):
            names = [a.name for a in schema.arguments]
            if "out" not in schema.overload_name and names not in found:
                found.append(["input" if n == "self" else n for n in names])
    return found


def keyword_calls(op: OpDef, sample: Sample) -> tuple[list[str], Any] | None:
    """Names that PyTorch takes the sample's positional arguments by, and its result."""
    kwargs = {
        k: getattr(torch, v.name) if isinstance(v, d.dtype) else to_torch(v)
        for k, v in sample.kwargs.items()
    }
    for function in counterparts(op):
        for names in argument_names(op, function):
            chosen = names[: len(sample.args)]
            if len(chosen) < len(sample.args) or set(chosen) & set(kwargs):
                continue
            named = dict(zip(chosen, to_torch(sample.args), strict=True))
            result = outcome(function, (), {**named, **kwargs})
            if not isinstance(result, Exception):
                return chosen, result
    return None
