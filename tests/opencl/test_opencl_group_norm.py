"""group_norm and instance_norm with gradients: one launch forward, one or two backward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

CASES = [
    ((3, 8), 2),
    ((5, 6, 5), 3),
    ((2, 8, 9, 7), 8),
    ((3, 6, 4, 3, 2), 1),
    ((4, 12, 40, 41), 2),  # more than one launch takes
    ((3, 64, 20, 19), 32),  # groups enough for one
]


def _run(
    library: Any, device: str, kind: str, arrays: list[np.ndarray], groups: int | None
) -> list[np.ndarray]:
    """The output, and the gradients of input, weight and bias."""
    functional = library.nn.functional
    x, g, *affine = [library.tensor(a, dtype=getattr(library, kind)).to(device) for a in arrays]
    for tensor in (x, *affine):
        tensor.requires_grad_()
    if groups is None:
        out = functional.instance_norm(x, weight=affine[0], bias=affine[1])
    else:
        out = functional.group_norm(x, groups, *affine)
    out.backward(g)
    found = [out, x.grad, *[t.grad for t in affine]]
    return [t.detach().cpu().double().numpy() for t in found]


def _arrays(shape: tuple[int, ...], affine: bool = True) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    # A mean that is large beside the deviation.
    x, g = random.standard_normal(shape) + 10, random.standard_normal(shape)
    return [x, g, *[random.standard_normal(shape[1]) for _ in range(2 * affine)]]


def _compare(mine: list[np.ndarray], wanted: list[np.ndarray], bound: float) -> None:
    for i, (a, b) in enumerate(zip(mine, wanted, strict=True)):
        assert np.abs(a - b).max() <= bound * max(np.abs(b).max(), 1e-3), i


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize(("shape", "groups"), CASES)
def test_gradients(opencl: dt.device, shape: tuple[int, ...], groups: int, kind: str) -> None:
    arrays = _arrays(shape)
    if kind in ("float16", "bfloat16"):  # what both are given
        low = getattr(torch, kind)
        arrays = [torch.tensor(a, dtype=low).double().numpy() for a in arrays]
    mine = _run(dt, "opencl:0", kind, arrays, groups)
    bound = {"float32": 1e-4, "float64": 1e-11}.get(kind, 2e-2)
    _compare(mine, _run(torch, "cpu", "float64", arrays, groups), bound)


@pytest.mark.parametrize("shape", [(2, 3, 7), (3, 5, 8, 9), (2, 4, 50, 41)])
def test_instance_norm(opencl: dt.device, queue: Any, shape: tuple[int, ...]) -> None:
    arrays = _arrays(shape)
    mine = _run(dt, "opencl:0", "float32", arrays, None)
    _compare(mine, _run(torch, "cpu", "float64", arrays, None), 1e-4)


def test_launches(opencl: dt.device, queue: Any) -> None:
    x, g, *affine = [dt.tensor(a, dtype=dt.float32, device=opencl) for a in _arrays((2, 4, 6, 5))]
    for tensor in (x, *affine):
        tensor.requires_grad_()
    functional = dt.nn.functional
    for norm in (
        lambda: functional.group_norm(x, 2, *affine),
        lambda: functional.instance_norm(x, weight=affine[0], bias=affine[1]),
    ):
        norm()
        before = queue.launches
        out = norm()
        assert queue.launches == before + 1
        dt.autograd.grad(out, (x, *affine), g, retain_graph=True)
        before = queue.launches
        dt.autograd.grad(out, (x, *affine), g)
        assert queue.launches == before + 1


@pytest.mark.parametrize("needs", [(True, False, False), (False, True, True), (False, False, True)])
def test_who_needs_no_gradient_gets_none(opencl: dt.device, needs: tuple[bool, ...]) -> None:
    grads = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        x, g, *affine = [library.tensor(a, dtype=library.float64) for a in _arrays((2, 4, 3))]
        given = [t.to(device).requires_grad_(n) for t, n in zip((x, *affine), needs, strict=True)]
        library.nn.functional.group_norm(given[0], 2, *given[1:]).backward(g.to(device))
        grads.append([None if t.grad is None else t.grad.cpu().numpy() for t in given])
    for mine, theirs in zip(*grads, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            np.testing.assert_allclose(mine, theirs, atol=1e-11)


def test_second_order(opencl: dt.device) -> None:
    """Gradients of gradients go through the statistics too."""
    results = []
    for library, device in ((torch, "cpu"), (dt, "opencl:0")):
        values = [library.tensor(a, dtype=library.float64).to(device) for a in _arrays((2, 4, 3))]
        x, _, *affine = [t.requires_grad_() for t in values]
        out = library.nn.functional.group_norm(x, 2, *affine)
        grads = library.autograd.grad((out**3).sum(), (x, *affine), create_graph=True)
        sum((g * g).sum() for g in grads).backward()
        results.append([t.grad.cpu().numpy() for t in (x, *affine)])
    for mine, theirs in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-8 * np.abs(theirs).max())


def test_what_is_refused_is_refused_again(opencl: dt.device) -> None:
    x = dt.ones(2, 4, 1, device=opencl)
    dt.nn.functional.group_norm(x, 4)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        dt.nn.functional.instance_norm(x)
    wide = dt.ones(2, 4, 3, device=opencl)
    dt.nn.functional.instance_norm(wide)
    with pytest.raises(RuntimeError, match="weight should contain 4 elements not 3"):
        dt.nn.functional.instance_norm(wide, weight=dt.ones(3, device=opencl))


def test_a_saved_weight_that_was_written_to(opencl: dt.device) -> None:
    x, weight = dt.ones(2, 4, 3, device=opencl).requires_grad_(), dt.ones(4, device=opencl)
    out = dt.nn.functional.group_norm(x, 2, weight)
    weight.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 3, 8), (5, 6, 9, 7), (4, 300, 3)])
def test_running_statistics_of_instances(
    opencl: dt.device, queue: Any, shape: tuple[int, ...], kind: str
) -> None:
    """Two launches, and what PyTorch keeps after some batches."""
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    found, wide = [], "float64" if kind == "float64" else "float32"
    for library, device in ((dt, opencl), (torch, "cpu")):
        random = np.random.default_rng(0)
        kept = [library.zeros(shape[1]), library.ones(shape[1])]
        kept = [k.to(getattr(library, wide)).to(device) for k in kept]
        for share in (0.1, 0.1, 0.3):
            array = random.standard_normal(shape) * 2 + 5
            array = torch.tensor(array).to(getattr(torch, kind)).double().numpy()
            x = library.tensor(array).to(getattr(library, kind if library is dt else wide))
            x = x.to(device).requires_grad_()
            before = queue.launches
            out = library.nn.functional.instance_norm(x, *kept, momentum=share)
            launches = queue.launches - before
        assert library is torch or launches == 2
        (out**3).sum().backward()
        found.append([t.detach().cpu().double().numpy() for t in (*kept, out, x.grad)])
    bound = {"float32": 2e-4, "float64": 1e-11, "bfloat16": 5e-2}[kind]
    for i, (ours, theirs) in enumerate(zip(*found, strict=True)):
        exact = bound if i > 1 else min(bound, 1e-5)
        assert np.abs(ours - theirs).max() <= exact * max(1, np.abs(theirs).max())
