"""Functions that PyTorch has no operator of: how many launches they are, and beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

Call = Callable[..., Any]

CALLS: dict[str, tuple[int, Call]] = {
    "isclose": (1, lambda lib, x, y: lib.isclose(x, y, rtol=0.2, atol=0.1)),
    "isclose, NaN": (1, lambda lib, x, y: lib.isclose(x, x, equal_nan=True)),
    "nansum": (2, lambda lib, x, y: x.nansum(0)),
    "nanmean": (6, lambda lib, x, y: x.nanmean(1)),
    "cross": (1, lambda lib, x, y: lib.linalg.cross(x[:, 1:4], y[:, ::2], dim=1)),
    "cross of rows": (1, lambda lib, x, y: lib.linalg.cross(x[:3], y[2:5], dim=0)),
    "outer": (1, lambda lib, x, y: lib.outer(x[0], y[1])),
    "kron": (1, lambda lib, x, y: lib.kron(x, y[:2])),
    "tensordot": (1, lambda lib, x, y: lib.tensordot(x, y, ([0], [0]))),
    "gradient": (5, lambda lib, x, y: lib.gradient(x, dim=1)),
    "gradient, far": (8, lambda lib, x, y: lib.gradient(x, spacing=0.5, dim=0)),
    "cross_entropy": (4, lambda lib, x, y: lib.nn.functional.cross_entropy(x, y)),
    "vecdot": (1, lambda lib, x, y: lib.linalg.vecdot(x, y)),
}
"""Launches, and what makes them of two matrices (5, 6)."""


@pytest.mark.parametrize("name", CALLS)
def test_beside_torch(opencl: dt.device, queue: Any, name: str) -> None:
    launches, call = CALLS[name]
    random = np.random.default_rng(1)
    arrays = random.uniform(0.2, 1, (2, 5, 6)).astype(np.float32)
    if "NaN" in name or name.startswith("nan"):
        arrays[0, 2, 1] = arrays[0, 0, 4] = np.nan
    found = []
    for library, device in ((dt, opencl), (torch, "cpu")):
        x, y = (library.tensor(a, device=device).requires_grad_() for a in arrays)
        before = queue.launches
        made = call(library, x, y)
        if library is dt:
            assert queue.launches - before == launches
        made = made if isinstance(made, tuple) else (made,)
        if made[0].requires_grad:
            (made[0] * made[0]).sum().backward()
        grads = [t.grad for t in (x, y) if t.grad is not None]
        found.append([t.detach().cpu().numpy() for t in (*made, *grads)])
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, 1e-5, 1e-6)


@pytest.mark.parametrize("kind", ["float32", "float64", "complex64"])
@pytest.mark.parametrize("n", [3, 8, 20])
def test_the_slope_of_determinants(opencl: dt.device, queue: Any, n: int, kind: str) -> None:
    """Of singular matrices too, and of so many that they lie side by side."""
    random = np.random.default_rng(n)
    x = random.standard_normal((40, n, n)) + 1j * random.standard_normal((40, n, n))
    x[7, 1] = 0
    dtype = getattr(torch, kind)
    given = torch.tensor(x).to(dtype if dtype.is_complex else torch.complex64).numpy()
    given = given if dtype.is_complex else given.real.astype(np.float32)
    wide = given.astype(np.complex128 if dtype.is_complex else np.float64)
    ours = dt.tensor(given, device=opencl).to(getattr(dt, kind)).requires_grad_()
    made = dt.linalg.det(ours)
    before = queue.launches
    (slope,) = dt.autograd.grad(made, ours, dt.ones_like(made))
    if not dtype.is_complex:  # of those numbers are turned, and packed
        assert queue.launches - before == 3  # ones, the slope, times the one that came
    cofactors = np.empty_like(wide)
    for i, j in np.ndindex(n, n):
        cofactors[:, i, j] = (-1) ** (i + j) * np.linalg.det(np.delete(np.delete(wide, i, 1), j, 2))
    rough = (1e-12 if kind == "float64" else 2e-4) * np.abs(cofactors).max()
    np.testing.assert_allclose(slope.cpu().numpy(), cofactors.conj(), 0, rough)


def test_pivots_are_looked_at_by_the_kernel(opencl: dt.device, queue: Any) -> None:
    x = dt.randn(4, 4, device=opencl)
    factors, pivots = dt.linalg.lu_factor(x)
    for call, few, many in (
        (lambda p: dt.linalg.lu_solve(factors, p, x), "greater or equal to 1", "smaller or equal"),
        (lambda p: dt.lu_unpack(factors, p), "between 1 and", "between 1 and"),
    ):
        call(pivots)
        for wrong, sentence in ((pivots * 0, few), (pivots + 4, many)):
            made = call(wrong)
            with pytest.raises(RuntimeError, match=f"{sentence}.*found when values were asked for"):
                made[0].tolist()
    one = dt.linalg.lu_solve(factors, pivots, x)
    np.testing.assert_allclose(one.cpu().numpy(), np.eye(4), 0, 1e-4)


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_gumbel_noise_is_finite_where_0_is_drawn(opencl: dt.device, queue: Any, kind: str) -> None:
    x = dt.zeros(300, 40, dtype=getattr(dt, kind), device=opencl)
    before = queue.launches
    made = dt.nn.functional.gumbel_softmax(x)
    assert queue.launches - before == 3
    found = made.float().cpu().numpy()
    np.testing.assert_allclose(found.sum(1), 1, 2e-2)
    counts = np.bincount(found.argmax(1), minlength=40)
    assert counts.min() > 0
    assert counts.max() < 30  # of 7.5 each
