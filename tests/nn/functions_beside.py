"""One function of both libraries on the same arrays: values, first and second gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nn_parity import array, kind_of, like

import dovetail as dt

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

Run = Callable[..., Any]


def leaf(lib: Any, values: Any, device: Any = None) -> Any:
    """An array as a tensor; one of floats asks for a gradient."""
    made = lib.tensor(values) if device is None else lib.tensor(values, device=device)
    return made.requires_grad_(made.is_floating_point())


def flattened(result: Any) -> list[Any]:
    """All tensors of a result that may be nested."""
    if isinstance(result, (tuple, list)):
        return [tensor for part in result for tensor in flattened(part)]
    return [] if result is None else [result]


def weighed(tensors: list[Any]) -> Any:
    """A sum of all elements, each with a factor of its own."""
    total = 0
    for i, tensor in enumerate(tensors):
        factors = np.cos(np.arange(tensor.numel()) + i).reshape(tuple(tensor.shape))
        total = total + (tensor * like(factors, tensor)).sum()
    return total


def graded(lib: Any, run: Run, leaves: list[Any], second: bool) -> list[Any]:
    """The outputs, the gradients of the leaves, and theirs again."""
    wanted = [x for x in leaves if x.requires_grad]
    outputs = flattened(run(*leaves))
    real = [x for x in outputs if x.is_floating_point()]
    first = lib.autograd.grad(weighed(real), wanted, create_graph=second, allow_unused=True)
    found = [x for x in first if x is not None and x.requires_grad]
    if not second:
        return [*outputs, *first]
    again = [None] * len(wanted)
    if found:
        again = lib.autograd.grad(weighed(found), wanted, allow_unused=True)
    # Whether what is 0 everywhere is there or not is an inner matter.
    zeros = [lib.zeros_like(x) if g is None else g for x, g in zip(wanted, again, strict=True)]
    return [*outputs, *first, *zeros]


def compare(
    run: Callable[..., Any],
    arrays: tuple[Any, ...],
    device: Any,
    tolerance: float = 1e-9,
    second: bool = True,
) -> None:
    """Assert that ``run(lib, *tensors)`` gives the same in both libraries."""
    theirs = [leaf(torch, values) for values in arrays]
    mine = [leaf(dt, values, device) for values in arrays]
    try:
        expected = graded(torch, lambda *x: run(torch, *x), theirs, second)
    except RuntimeError as error:
        if not second or "not implemented" not in str(error):
            raise
        # PyTorch has no second gradient here: ours is held against finite differences.
        if all(x.numel() for x in mine):
            assert dt.autograd.gradgradcheck(lambda *x: run(dt, *x), mine, atol=1e-4)
        second = False
        expected = graded(torch, lambda *x: run(torch, *x), theirs, second)
    got = graded(dt, lambda *x: run(dt, *x), mine, second)
    assert len(got) == len(expected)
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert (a is None) == (b is None), i
        if b is not None:
            assert tuple(a.shape) == tuple(b.shape), i
            assert kind_of(a) == kind_of(b), i
            np.testing.assert_allclose(
                array(a), array(b), rtol=tolerance, atol=tolerance, err_msg=f"tensor {i}"
            )
