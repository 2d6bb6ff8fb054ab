"""Every operator against PyTorch: values, dtypes, shapes, gradients, second gradients, errors.

Generated from the records; inputs are not contiguous.
"""

from __future__ import annotations

from typing import Any

import pytest

import dovetail
from dovetail import dtypes as d
from dovetail.backend.state import state_of
from dovetail.ops.schema import OpDef
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
        if "out of bounds" in case.match and not on_host:
            continue  # bounds of values are checked where the values are in host memory
        arguments = to_ours(case.args, device)
        kwargs = {k: to_ours(v, device) for k, v in case.kwargs.items()}
        with pytest.raises(case.error, match=case.match):
            op.function(*arguments, **kwargs)
        theirs = torch_call(op, case, to_torch(case.args))
        assert isinstance(theirs, Exception), f"{op.name}: PyTorch accepts {case.args}"
        assert isinstance(theirs, case.error), f"{op.name}: PyTorch raises {type(theirs)}"
