"""Run a function of ours beside PyTorch's on the same numbers: values, two orders of gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # small cases: its threads would only be in the way of ours

TOLERANCE = {"float64": 1e-10, "float32": 3e-5, "bfloat16": 3e-2, "float16": 4e-3}

Function = Callable[..., Any]


def ours(array: Any, dtype: str, device: Any) -> Any:
    """A NumPy array of ours: floats in ``dtype``, everything else as it is."""
    if array is None or not isinstance(array, np.ndarray):
        return array
    if array.dtype.kind == "f":
        return dt.tensor(array, dtype=getattr(dt, dtype), device=device)
    return dt.tensor(array, device=device)


def theirs(array: Any, dtype: str) -> Any:
    """The same for PyTorch."""
    if array is None or not isinstance(array, np.ndarray):
        return array
    made = torch.from_numpy(array.copy())
    return made.to(getattr(torch, dtype)) if array.dtype.kind == "f" else made


def values(x: Any) -> np.ndarray:
    """A tensor of either kind as a NumPy array; floats as float64."""
    if isinstance(x, torch.Tensor):
        x = x.detach()
        return (x.double() if x.is_floating_point() else x).numpy(force=True)
    x = x.detach().cpu()
    return x.double().numpy() if x.is_floating_point() else x.numpy()


def same(mine: Any, other: Any, tolerance: float, what: str) -> None:
    """Both tensors have the same shape, dtype and, within the tolerance, values."""
    if mine is None or other is None:  # no gradient at all is as good as zeros
        present = other if mine is None else mine
        assert present is None or not np.any(values(present)), f"{what}: only one has it"
        return
    assert tuple(mine.shape) == tuple(other.shape), what
    assert str(mine.dtype) == str(other.dtype), what
    a, b = values(mine), values(other)
    if tolerance == 0 or a.dtype.kind not in "fc":
        np.testing.assert_array_equal(a, b, err_msg=what)
        return
    scale = np.max(np.abs(b[np.isfinite(b)]), initial=0.0)
    np.testing.assert_allclose(
        a, b, rtol=tolerance, atol=tolerance * max(1.0, float(scale)), err_msg=what
    )


def tuple_of(x: Any) -> tuple[Any, ...]:
    """One output or several, as a tuple."""
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _differentiable(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind in "fc"


def _seed(rng: np.random.Generator, like: Any) -> np.ndarray:
    """A gradient to push back, of the kind of a PyTorch tensor."""
    shape = tuple(like.shape)
    real = np.asarray(rng.standard_normal(shape))
    return np.asarray(real + 1j * rng.standard_normal(shape)) if like.is_complex() else real


def beside_torch(
    mine: Function,
    other: Function,
    *arguments: Any,
    dtype: str = "float32",
    device: Any = "cpu",
    order: int = 2,
    fixed: tuple[int, ...] = (),
    tolerance: float | None = None,
) -> None:
    """Compare two functions of the same arguments (NumPy arrays become tensors).

    Args:
        order: 0 values only, 1 gradients too, 2 gradients of gradients too.
        fixed: positions of arguments that are not differentiated.
    """
    allowed = TOLERANCE[dtype] if tolerance is None else tolerance
    a = [ours(x, dtype, device) for x in arguments]
    b = [theirs(x, dtype) for x in arguments]
    which = [i for i, x in enumerate(arguments) if _differentiable(x) and i not in fixed]
    if order:
        for i in which:
            a[i].requires_grad_()
            b[i].requires_grad_()
    outs_a, outs_b = tuple_of(mine(*a)), tuple_of(other(*b))
    assert len(outs_a) == len(outs_b)
    for i, (x, y) in enumerate(zip(outs_a, outs_b, strict=True)):
        same(x, y, allowed, f"output {i}")
    pairs = [(x, y) for x, y in zip(outs_a, outs_b, strict=True) if y.grad_fn is not None]
    if not order or not pairs:
        return
    rng = np.random.default_rng(7)
    seeds = [_seed(rng, y) for _, y in pairs]
    ga = [ours(s, dtype, device) for s in seeds]
    gb = [theirs(s, dtype) for s in seeds]
    if order > 1:
        for x, y in zip(ga, gb, strict=True):
            x.requires_grad_()
            y.requires_grad_()
    keep = {"create_graph": order > 1, "allow_unused": True}
    ins_a, ins_b = [a[i] for i in which], [b[i] for i in which]
    grads_a = dt.autograd.grad([x for x, _ in pairs], ins_a, ga, **keep)
    grads_b = torch.autograd.grad([y for _, y in pairs], ins_b, gb, **keep)
    for i, x, y in zip(which, grads_a, grads_b, strict=True):
        same(x, y, 4 * allowed, f"gradient of argument {i}")
    second = [
        (x, y)
        for x, y in zip(grads_a, grads_b, strict=True)
        if y is not None and y.grad_fn is not None
    ]
    if order < 2 or not second:
        return
    seeds = [_seed(rng, y) for _, y in second]
    more_a = dt.autograd.grad(
        [x for x, _ in second],
        [*ins_a, *ga],
        [ours(s, dtype, device) for s in seeds],
        allow_unused=True,
    )
    more_b = torch.autograd.grad(
        [y for _, y in second],
        [*ins_b, *gb],
        [theirs(s, dtype) for s in seeds],
        allow_unused=True,
    )
    for i, (x, y) in enumerate(zip(more_a, more_b, strict=True)):
        same(x, y, 16 * allowed, f"second gradient {i}")


def both_raise(function: Function, *arguments: Any, device: Any = "cpu", text: bool = True) -> None:
    """``function(library, *arguments)`` raises in both: the same class, the same first line."""
    with pytest.raises(Exception) as other:  # noqa: PT011 (whatever PyTorch raises)
        function(torch, *[theirs(x, "float32") for x in arguments])
    with pytest.raises(other.type) as mine:
        function(dt, *[ours(x, "float32", device) for x in arguments])
    if text:
        assert str(other.value).splitlines()[0] in str(mine.value)
