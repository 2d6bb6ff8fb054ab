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
    compare,
    cotangents,
    operators,
    samples,
    tensors_in,
    to_ours,
    to_torch,
    torch,
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


NO_GRADIENT_THERE = {
    ("binary_cross_entropy", "edges"): "the value's logarithm is held at -100, its slope is not",
    ("median", "empty"): "the second gradient of nothing is NaN, where none is 0",
    ("nanmedian", "empty"): "the second gradient of nothing is NaN, where none is 0",
    ("scatter_reduce", "large src"): "backward is refused where src is larger than index",
}
"""(operator, sample) -> what PyTorch does there that dovetail does not."""


def differentiable() -> list[OpDef]:
    return [
        op
        for op in OPERATORS
        if d.float64 in op.accepts and (op.gradient is not None or op.kind == "composite")
    ]


@pytest.mark.parametrize("op", differentiable(), ids=lambda op: op.name)
def test_gradients(op: OpDef, device: Any) -> None:
    for i, sample in enumerate(samples(op, d.float64)):
        theirs_in = to_torch(sample.args, requires_grad=True, layout=False)
        expected = torch_call(op, sample, theirs_in)
        if isinstance(expected, Exception) or (op.name, sample.name) in NO_GRADIENT_THERE:
            continue
        theirs_out = [t for t in tensors_in(expected) if t.requires_grad]
        theirs_wrt = [t for t in tensors_in(theirs_in) if t.requires_grad]
        if not theirs_out or not theirs_wrt:
            continue
        ours_in = to_ours(sample.args, device, requires_grad=True)
        kwargs = {k: to_ours(v, device) for k, v in sample.kwargs.items()}
        result = op.function(*ours_in, **kwargs)
        ours_out = [t for t in tensors_in(result) if t.requires_grad]
        ours_wrt = [t for t in tensors_in(ours_in) if t.requires_grad]
        what = f"{op.name}, sample {i} {sample.name}"
        assert len(ours_out) == len(theirs_out), f"{what}: outputs that require grad"
        seeds = cotangents(theirs_out, i)
        both = []
        for library, outs, wrt in (
            (dovetail, ours_out, ours_wrt),
            (torch, theirs_out, theirs_wrt),
        ):
            vectors = [(to_ours(s, device) if library is dovetail else to_torch(s)) for s in seeds]
            vectors = [v.requires_grad_() for v in vectors]
            first = library.autograd.grad(outs, wrt, vectors, create_graph=True, allow_unused=True)
            both.append((first, vectors, wrt))
        (mine, my_vectors, my_wrt), (yours, your_vectors, your_wrt) = both
        for j, (a, b) in enumerate(zip(mine, yours, strict=True)):
            if b is None or a is None:
                rest = a if b is None else b
                assert rest is None or not rest.detach().abs().sum(), f"{what}: gradient {j}"
                continue
            compare(a, b, f"{what}: gradient {j}")
        second_order(what, device, mine, my_vectors, my_wrt, yours, your_vectors, your_wrt, i)


def second_order(
    what: str, device: Any, mine: Any, my_vectors: Any, my_wrt: Any, yours: Any,
    your_vectors: Any, your_wrt: Any, seed: int,
) -> None:  # fmt: skip
    """Gradients of the gradients, with respect to inputs and incoming gradients."""
    pairs = [
        (a, b)
        for a, b in zip(mine, yours, strict=True)
        if a is not None and b is not None and b.requires_grad
    ]
    if not pairs:
        return
    assert all(a.requires_grad for a, _ in pairs), f"{what}: no second gradient"
    seeds = cotangents([b for _, b in pairs], seed + 1000)
    try:
        theirs = torch.autograd.grad(
            [b for _, b in pairs],
            [*your_wrt, *your_vectors],
            [to_torch(s) for s in seeds],
            allow_unused=True,
        )
    except RuntimeError as error:
        if "not implemented" not in str(error):
            raise
        return
    ours = dovetail.autograd.grad(
        [a for a, _ in pairs],
        [*my_wrt, *my_vectors],
        [to_ours(s, device) for s in seeds],
        allow_unused=True,
    )
    for j, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a is None or b is None:
            rest = a if b is None else b
            assert rest is None or not rest.detach().abs().sum(), f"{what}: second gradient {j}"
            continue
        compare(a, b, f"{what}: second gradient {j}", loosen=10)


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
