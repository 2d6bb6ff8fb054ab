"""Every operator against PyTorch: values, dtypes, shapes, gradients, second gradients, errors.

Generated from the records; inputs are not contiguous.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dovetail
from dovetail import dtypes as d
from dovetail.backend.state import state_of
from dovetail.fallback import permitted
from dovetail.ops.schema import REGISTRY, OpDef
from tests.parity.harness import (
    DTYPES,
    OFF_THERE,
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

OPERATORS = operators()
NAMES = [op.name for op in OPERATORS]


@pytest.fixture(autouse=True)
def optional_kernels() -> Iterator[None]:
    """A device need not have them; the host's serve without a warning."""
    with permitted(op.name for op in REGISTRY.values() if op.is_optional):
        yield


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda t: t.name)
@pytest.mark.parametrize("op", OPERATORS, ids=NAMES)
def test_forward(op: OpDef, dtype: d.dtype, device: Any) -> None:
    executed = 0
    for i, sample in enumerate(samples(op, dtype)):
        expected = torch_call(op, sample, to_torch(sample.args))
        arguments = to_ours(sample.args, device)
        kwargs = {k: to_ours(v, device) for k, v in sample.kwargs.items()}
        what = f"{op.name}, {dtype.name}, sample {i} {sample.name}"
        if isinstance(expected, Exception):
            if isinstance(expected, NotImplementedError):
                continue  # PyTorch has no kernel there; ours may
            with pytest.raises(type(expected)):
                op.function(*arguments, **kwargs)
            executed += 1
            continue
        if dtype not in op.accepts:
            continue
        before = [np.array(dovetail.raw.to_host(t)) for t in tensors_in(arguments)]
        result = op.function(*arguments, **kwargs)
        compare(result, expected, what, off=OFF_THERE.get(op.name, 0.0))
        for t, old in zip(tensors_in(arguments), before, strict=True):
            # By bytes: NaN must stay NaN.
            assert dovetail.raw.to_host(t).tobytes() == old.tobytes(), f"{what}: input changed"
        executed += 1
    if not executed:
        assert dtype not in op.accepts or dtype.category < 2, f"{op.name}: no sample ran"


NO_GRADIENT_THERE = {
    ("binary_cross_entropy", "edges"): "the value's logarithm is held at -100, its slope is not",
    ("frexp", "smallest"): "2**exponent is float32 there, and these overflow it",
    ("sinc", "near 0"): "the second gradient at 0 is NaN, where none is -pi**2 / 3",
    ("median", "empty"): "the second gradient of nothing is NaN, where none is 0",
    ("nanmedian", "empty"): "the second gradient of nothing is NaN, where none is 0",
    ("pdist", "no rows"): "backward of no rows divides by 0, which ends the process",
    ("scatter_reduce", "large src"): "backward is refused where src is larger than index",
    ("segment_reduce", "ties"): "gradients below 0 are not shared among ties, others are",
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
        theirs_in = to_torch(sample.args, requires_grad=True)
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
            first = gradients(library, outs, wrt, vectors)
            both.append((first, vectors, wrt))
        (mine, my_vectors, my_wrt), (yours, your_vectors, your_wrt) = both
        for j, (a, b) in enumerate(zip(mine, yours, strict=True)):
            if b is None or a is None:
                rest = a if b is None else b
                assert rest is None or not rest.detach().abs().sum(), f"{what}: gradient {j}"
                continue
            compare(a, b, f"{what}: gradient {j}")
        second_order(what, device, mine, my_vectors, my_wrt, yours, your_vectors, your_wrt, i)


def gradients(library: Any, outs: Any, wrt: Any, vectors: Any) -> Any:
    """One gradient per input, None where there is no derivative."""
    grad = lambda wrt: library.autograd.grad(
        outs, wrt, vectors, create_graph=True, allow_unused=True
    )
    try:
        return grad(wrt)
    except NotImplementedError:
        made = []
        for each in wrt:
            try:
                made.append(grad([each])[0])
            except NotImplementedError:
                made.append(None)
        return made


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
