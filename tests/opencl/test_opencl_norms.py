"""clip_grad_norm_ and its like over many tensors, beside PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

SIZES: dict[str, list[tuple[int, ...]]] = {
    "one": [(3,)],
    "few": [(8, 8), (1,), (), (5, 7)],
    "more than a launch takes": [(i % 5 + 1, 3) for i in range(45)],
    "large": [(300, 70), (9000,), (4,)],
}
BOUNDS = {"float32": 2e-6, "float64": 1e-13, "float16": 2e-3, "bfloat16": 2e-2}


def _made(
    library: Any, device: Any, sizes: str, kind: str, dtype: str = "", wild: bool = False
) -> list[Any]:
    """Parameters with gradients, the same numbers of ``kind`` for each library, in ``dtype``;
    ``wild``: one element is NaN."""
    made = []
    for i, shape in enumerate(SIZES[sizes]):
        array = np.random.default_rng(i).standard_normal(shape)
        if wild and i == len(SIZES[sizes]) - 1:
            array.reshape(-1)[-1] = math.nan
        array = torch.tensor(array).to(getattr(torch, kind)).double().numpy()
        p = library.zeros(shape, dtype=getattr(library, dtype or kind), device=device)
        p.grad = library.tensor(array).to(p.dtype).to(device)
        made.append(p)
    return made


def _values(tensors: list[Any]) -> list[np.ndarray]:
    return [t.detach().cpu().double().numpy() for t in tensors]


@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("order", [1.0, 2.0, math.inf, 3.0])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_norm_is_clipped(opencl: dt.device, sizes: str, order: float, kind: str) -> None:
    found = []
    for library, device, dtype in ((dt, opencl, kind), (torch, "cpu", "float64")):
        given = _made(library, device, sizes, kind, dtype)
        total = library.nn.utils.clip_grad_norm_(given, 0.5, order)
        assert total.dtype is getattr(library, dtype)
        assert total.shape == ()
        found.append(_values([total, *[p.grad for p in given]]))
    for ours, theirs in zip(*found, strict=True):
        scale = max(np.abs(theirs).max(), 1e-30)
        assert np.abs(ours - theirs).max() / scale < BOUNDS[kind]


@pytest.mark.parametrize("sizes", SIZES)
def test_what_is_small_is_left(opencl: dt.device, sizes: str) -> None:
    given = _made(dt, opencl, sizes, "float32")
    before = _values([p.grad for p in given])
    dt.nn.utils.clip_grad_norm_(given, 1e6)
    for old, new in zip(before, _values([p.grad for p in given]), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("order", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("sizes", ["few", "large"])
def test_what_is_not_finite(opencl: dt.device, sizes: str, order: float) -> None:
    given = _made(dt, opencl, sizes, "float32", wild=True)
    assert math.isnan(dt.nn.utils.clip_grad_norm_(given, 1.0, order).item())
    for p in given:
        assert np.isnan(p.grad.cpu().numpy()).all()
    given = _made(dt, opencl, sizes, "float32", wild=True)
    with pytest.raises(RuntimeError, match="non-finite"):
        dt.nn.utils.clip_grad_norm_(given, 1.0, order, error_if_nonfinite=True)


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("sizes", SIZES)
def test_values_are_bounded(opencl: dt.device, sizes: str, kind: str) -> None:
    found = []
    for library, device in ((dt, opencl), (torch, "cpu")):
        given = _made(library, device, sizes, kind, wild=True)
        library.nn.utils.clip_grad_value_(given, 0.25)
        found.append(_values([p.grad for p in given]))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _norm(given: list[Any]) -> Any:
    return dt.nn.utils.get_total_norm([p.grad for p in given])


LAUNCHES: dict[str, tuple[Callable[[list[Any]], Any], int]] = {
    "norm": (_norm, 1),
    "clipped": (lambda given: dt.nn.utils.clip_grad_norm_(given, 0.5), 1),
    "clipped by a norm": (
        lambda given: dt.nn.utils.clip_grads_with_norm_(given, 0.5, _norm(given)), 2,
    ),
    "bounded": (lambda given: dt.nn.utils.clip_grad_value_(given, 0.5), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", LAUNCHES)
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    call, wanted = LAUNCHES[name]
    given = _made(dt, opencl, "few", "float32")
    call(given)
    before = queue.launches
    call(given)
    assert queue.launches == before + wanted


def test_a_write_is_seen(opencl: dt.device) -> None:
    """What a gradient was saved for says that it has been changed."""
    p = dt.ones(3, device=opencl, requires_grad=True)
    p.grad = dt.full((3,), 4.0, device=opencl)
    saved = p * p.grad
    dt.nn.utils.clip_grad_norm_([p], 1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        saved.sum().backward()


def test_parts_of_a_tensor(opencl: dt.device) -> None:
    """Gradients that do not begin with their buffers, and those that are not dense."""
    whole = dt.arange(24.0, device=opencl)
    parts = [whole[2:6], whole[8:20:3]]
    wanted = whole.cpu().numpy().copy()
    length = np.sqrt((wanted[2:6] ** 2).sum() + (wanted[8:20:3] ** 2).sum())
    total = dt.nn.utils.get_total_norm(parts)
    np.testing.assert_allclose(total.item(), length, rtol=1e-6)
    p = dt.zeros(4, device=opencl, requires_grad=True)
    p.grad = parts[0]
    dt.nn.utils.clip_grad_norm_([p], 1.0)
    wanted[2:6] /= np.sqrt((wanted[2:6] ** 2).sum())
    np.testing.assert_allclose(whole.cpu().numpy(), wanted, rtol=1e-5)


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("order", [0.5, 1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize(("shape", "dim"), [((8, 8), 0), ((3, 50, 4), 1), ((700, 90), -1)])
def test_renorm(
    opencl: dt.device, queue: Any, shape: tuple[int, ...], dim: int, order: float, kind: str
) -> None:
    array = np.random.default_rng(0).standard_normal(shape)
    array = torch.tensor(array).to(getattr(torch, kind)).double().numpy()
    size = float(np.median(torch.tensor(array).transpose(0, dim).flatten(1).norm(order, 1)))
    x = dt.tensor(array).to(getattr(dt, kind)).to(opencl)
    for _ in range(2):
        before = queue.launches
        made = x.renorm(order, dim, size)
        launches = queue.launches - before
    assert launches == 1 or array.size > 1 << 14
    wanted = torch.tensor(array).renorm(order, dim, size).numpy()
    np.testing.assert_allclose(
        made.cpu().double().numpy(), wanted, rtol=BOUNDS[kind] * 5, atol=BOUNDS[kind]
    )
