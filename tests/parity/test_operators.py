"""Every operator against PyTorch: values, dtypes, shapes, gradients, second gradients, errors.

Generated from the records; inputs are not contiguous.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail
from dovetail import dtypes as d
from dovetail.backend.state import state_of
from dovetail.ops.schema import ErrorInput, OpDef
from tests.parity.harness import (
    DTYPES,
    operators,
    to_ours,
    to_torch,
    torch_call,
)
from tests.parity.judging import judge

OPERATORS = operators()
NAMES = [op.name for op in OPERATORS]
VALUES = ("out of bounds", "out of range in self", "access index")
"""What is said of indices."""


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda t: t.name)
@pytest.mark.parametrize("op", OPERATORS, ids=NAMES)
def test_forward(op: OpDef, dtype: d.dtype, device: Any) -> None:
    verdict = judge(op, dtype, device)
    verdict.findings.settle()
    if not verdict.same and not verdict.ours:
        assert dtype not in op.accepts or dtype.category < 2, f"{op.name}: no sample ran"


@pytest.mark.parametrize(
    "op", [op for op in OPERATORS if op.errors is not None], ids=lambda op: op.name
)
def test_errors(op: OpDef, device: Any) -> None:
    assert op.errors is not None
    on_host = state_of(dovetail.zeros(1, device=device).device).host_arrays
    for case in op.errors():
        if not on_host and _looks_at_values(case):
            continue  # values are checked where they are in host memory
        arguments = to_ours(case.args, device)
        kwargs = {k: to_ours(v, device) for k, v in case.kwargs.items()}
        with pytest.raises(case.error, match=case.match):
            op.function(*arguments, **kwargs)
        theirs = torch_call(op, case, to_torch(case.args))
        assert isinstance(theirs, Exception), f"{op.name}: PyTorch accepts {case.args}"
        assert isinstance(theirs, case.error), f"{op.name}: PyTorch raises {type(theirs)}"


def _looks_at_values(case: ErrorInput) -> bool:
    """Whether it is the values of a tensor that are wrong, not its shape or dtype."""
    floats = [a for a in case.args if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    return any(text in case.match for text in VALUES) or not all(
        np.isfinite(a).all() for a in floats
    )
