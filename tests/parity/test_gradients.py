"""Gradients and second gradients of every operator against PyTorch, real and complex.

Also what a result says of itself: ``requires_grad``, ``is_leaf``; a gradient's dtype and shape.
"""

from __future__ import annotations

from typing import Any

import pytest

import dovetail
from dovetail import dtypes as d
from dovetail.ops.schema import OpDef
from tests.parity.harness import (
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

NO_GRADIENT_THERE = {
    ("floor_divide", "*"): "the result requires grad, and backward is then refused",
    ("heaviside", "*"): "the result requires grad, and backward is then refused",
    ("binary_cross_entropy", "edges"): "the value's logarithm is held at -100, its slope is not",
    ("frexp", "smallest"): "2**exponent is float32 there, and these overflow it",
    ("median", "empty"): "the second gradient of nothing is NaN, where none is 0",
    ("nanmedian", "empty"): "the second gradient of nothing is NaN, where none is 0",
    ("pdist", "no rows"): "backward of no rows divides by 0, which ends the process",
    ("scatter_reduce", "large src"): "backward is refused where src is larger than index",
    ("segment_reduce", "ties"): "gradients below 0 are not shared among ties, others are",
    ("sinc", "near 0"): "the second gradient at 0 is NaN, where none is -pi**2 / 3",
}
"""(operator, sample) -> what PyTorch does there that dovetail does not."""

NO_SECOND_GRADIENT_THERE = {
    ("det", "complex128"): "a vector's phase is divided by a singular value of about 0",
    ("sgn", "complex128"): "the second gradient at 0 is NaN, where ours is 0 as the first is",
}
"""(operator, dtype) -> the same, of second gradients."""


def differentiable() -> list[Any]:
    """Operators whose result has a gradient, with each dtype that gradients are compared in."""
    return [
        pytest.param(op, dtype, id=f"{op.name}-{dtype.name}")
        for op in OPERATORS
        for dtype in (d.float64, d.complex128)
        if dtype in op.accepts
        and (op.gradient is not None or op.kind in ("composite", "view", "elementwise"))
    ]


@pytest.mark.parametrize(("op", "dtype"), differentiable())
def test_gradients(op: OpDef, dtype: d.dtype, device: Any) -> None:
    for i, sample in enumerate(samples(op, dtype)):
        theirs_in = to_torch(sample.args, requires_grad=True, layout=False)
        expected = torch_call(op, sample, theirs_in)
        left_out = {(op.name, sample.name), (op.name, "*")} & set(NO_GRADIENT_THERE)
        if isinstance(expected, Exception) or left_out:
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
        what = f"{op.name}, {dtype.name}, gradient, sample {i} {sample.name}"
        for a, b in zip(tensors_in([result]), tensors_in([expected]), strict=True):
            facts = [(t.requires_grad, t.is_leaf) for t in (a, b)]
            assert facts[0] == facts[1], f"{what}: (requires_grad, is_leaf) {facts}"
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
        if (op.name, dtype.name) in NO_SECOND_GRADIENT_THERE:
            continue
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
