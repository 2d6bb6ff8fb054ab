"""The records' float64 references, which the conformance suite judges by, against PyTorch.

No backend takes part: a reference is NumPy, and PyTorch computes in float64 (or int64).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dovetail import dtypes as d
from dovetail.ops.schema import OpDef
from tests.parity.harness import (
    OFF_THERE,
    TOLERANCE,
    as_numpy,
    operators,
    samples,
    to_torch,
    torch,
    torch_call,
)

REFERENCED = [op for op in operators() if op.reference is not None and op.kind != "random"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of means over nothing
@pytest.mark.parametrize("op", REFERENCED, ids=lambda op: op.name)
def test_reference(op: OpDef) -> None:
    compared = 0
    for dtype in (d.float64, d.complex128, d.int64, d.bool_):
        if dtype not in op.accepts:
            continue
        for i, sample in enumerate(samples(op, dtype)):
            expected = torch_call(op, sample, to_torch(sample.args))
            if isinstance(expected, Exception):
                continue  # what is refused is compared in test_operators
            compared += _compare(op, sample, expected, f"{op.name}, {dtype.name}, sample {i}")
    assert compared, f"{op.name}: PyTorch has no counterpart of any sample"


def _compare(op: OpDef, sample: Any, expected: Any, what: str) -> int:
    assert op.reference is not None
    kwargs = {k: v for k, v in sample.kwargs.items() if not isinstance(v, d.dtype)}
    outs = list(expected) if isinstance(expected, (tuple, list)) else [expected]
    arguments = sample.args
    floats = isinstance(outs[0], torch.Tensor) and outs[0].dtype.is_floating_point
    if floats and op.kind in ("elementwise", "compare"):
        arguments = tuple(a if np.iscomplexobj(a) else np.asarray(a, float) for a in arguments)
    with np.errstate(all="ignore"):
        made = op.reference(*arguments, **kwargs)
    made = list(made) if isinstance(made, (tuple, list)) else [made]
    compared = 0
    for ours, theirs in zip(made, outs, strict=False):
        if isinstance(theirs, torch.Tensor):
            theirs = as_numpy(theirs)
        theirs = np.asarray(theirs)
        ours = np.asarray(ours)
        assert ours.shape == theirs.shape, f"{what}: {ours.shape}, PyTorch {theirs.shape}"
        if theirs.dtype.kind in "fc":
            # float32, where PyTorch gives its default dtype for integers
            rtol, atol = TOLERANCE["float64" if theirs.dtype.itemsize >= 8 else "float32"]
            np.testing.assert_allclose(
                ours, theirs, rtol, max(atol, OFF_THERE.get(op.name, 0.0)), err_msg=what
            )
        else:
            np.testing.assert_array_equal(ours.astype(theirs.dtype), theirs, err_msg=what)
        compared += 1
    return compared
