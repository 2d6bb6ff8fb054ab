"""Losses of rows, and gaussian_nll_loss, beside PyTorch's: a launch of few elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

BOUNDS = {"float32": 3e-5, "float64": 1e-11, "bfloat16": 4e-2}
SHAPES = [(8, 8), (3, 17), (1, 5), (300, 70)]

Loss = Callable[[Any, list[Any], Any, str], Any]
"""``loss(nn.functional, tensors, target, reduction)``."""


def _signs(random: Any, shape: Any) -> Any:
    return random.integers(0, 2, shape[:-1]) * 2 - 1


def _classes(random: Any, shape: Any) -> Any:
    return random.integers(0, shape[-1], shape[:-1])


def _labels(random: Any, shape: Any) -> Any:
    labels = random.integers(0, shape[-1], shape)
    labels[random.random(shape) < 0.25] = -1
    return labels


def _no_target(random: Any, shape: Any) -> Any:
    return np.zeros(1)


CASES: dict[str, tuple[int, Callable[[Any, Any], Any], Loss]] = {
    # how many tensors, what makes the target
    "triplet": (3, _no_target, lambda f, x, t, r: f.triplet_margin_loss(*x, reduction=r)),
    "triplet, near": (
        3, _no_target, lambda f, x, t, r: f.triplet_margin_loss(*x, 0.2, eps=0.1, reduction=r)
    ),
    "triplet, swapped": (
        3, _no_target, lambda f, x, t, r: f.triplet_margin_loss(*x, swap=True, reduction=r)
    ),
    "triplet of sums": (
        3, _no_target, lambda f, x, t, r: f.triplet_margin_loss(*x, p=1, reduction=r)
    ),
    "triplet with a distance": (
        3, _no_target,
        lambda f, x, t, r: f.triplet_margin_with_distance_loss(*x, reduction=r),
    ),
    "cosine": (2, _signs, lambda f, x, t, r: f.cosine_embedding_loss(*x, t, reduction=r)),
    "cosine beyond a margin": (
        2, _signs, lambda f, x, t, r: f.cosine_embedding_loss(*x, t, 0.1, reduction=r)
    ),
    "cosine of signs as floats": (
        2, _signs, lambda f, x, t, r: f.cosine_embedding_loss(*x, t.to(x[0].dtype), reduction=r)
    ),
    "classes": (1, _classes, lambda f, x, t, r: f.multi_margin_loss(*x, t, reduction=r)),
    "classes, squared": (
        1, _classes, lambda f, x, t, r: f.multi_margin_loss(*x, t, 2, 0.5, reduction=r)
    ),
    "classes, weighted": (
        1, _classes,
        lambda f, x, t, r: f.multi_margin_loss(
            *x, t, weight=x[0].detach().abs().sum(0), reduction=r
        ),
    ),
    "labels": (1, _labels, lambda f, x, t, r: f.multilabel_margin_loss(*x, t, reduction=r)),
    "soft labels": (
        1, _labels,
        lambda f, x, t, r: f.multilabel_soft_margin_loss(
            *x, (t >= 0).to(x[0].dtype), reduction=r
        ),
    ),
    "soft labels, weighted": (
        1, _labels,
        lambda f, x, t, r: f.multilabel_soft_margin_loss(
            *x, (t >= 0).to(x[0].dtype), x[0].detach().abs().sum(0), reduction=r
        ),
    ),
    "distance": (2, _no_target, lambda f, x, t, r: f.pairwise_distance(*x)),
    "gaussian": (
        3, _no_target, lambda f, x, t, r: f.gaussian_nll_loss(x[0], x[1], x[2] ** 2, reduction=r)
    ),
    "gaussian, full": (
        3, _no_target,
        lambda f, x, t, r: f.gaussian_nll_loss(
            x[0], x[1], x[2] ** 2, full=True, eps=0.5, reduction=r
        ),
    ),
    "gaussian of a variance for each row": (
        3, _no_target,
        lambda f, x, t, r: f.gaussian_nll_loss(x[0], x[1], x[2][:, 0] ** 2, reduction=r),
    ),
}  # fmt: skip


def _tensors(library: Any, case: str, shape: Any, kind: str, dtype: str, device: Any) -> Any:
    """(the tensors of one library, of the same numbers, the target)."""
    count, target, _ = CASES[case]
    random = np.random.default_rng(3)
    made = []
    for _ in range(count):
        array = torch.tensor(random.standard_normal(shape)).to(getattr(torch, kind))
        t = library.tensor(array.double().numpy()).to(getattr(library, dtype)).to(device)
        made.append(t.detach().requires_grad_())
    return made, library.tensor(target(random, shape)).to(device)


@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(
    opencl: dt.device, case: str, shape: tuple[int, ...], kind: str
) -> None:
    for reduction in ("mean", "sum", "none"):
        found = []
        for library, device, dtype in ((dt, opencl, kind), (torch, "cpu", "float64")):
            tensors, target = _tensors(library, case, shape, kind, dtype, device)
            out = CASES[case][2](library.nn.functional, tensors, target, reduction)
            out.sum().backward()
            rows = [out, *[t.grad for t in tensors]]
            found.append([r.detach().cpu().double().numpy() for r in rows])
        for ours, theirs in zip(*found, strict=True):
            error = np.abs(ours - theirs)
            scale = max(np.abs(theirs).max(), 1e-30)
            # Where a margin is near, rounding decides for some.
            wrong = (error > BOUNDS[kind] * scale).mean()
            assert wrong <= (0.03 if kind == "bfloat16" else 0)


TWICE = ["triplet", "cosine", "distance", "gaussian"]


@pytest.mark.parametrize("case", TWICE)
def test_the_second_gradient(opencl: dt.device, case: str) -> None:
    found = []
    for library, device in ((dt, opencl), (torch, "cpu")):
        tensors, target = _tensors(library, case, (5, 6), "float64", "float64", device)
        out = (CASES[case][2](library.nn.functional, tensors, target, "none") ** 2).sum()
        first = library.autograd.grad(out, tensors, create_graph=True)
        sum((g * g).sum() for g in first).backward()
        found.append([t.grad.cpu().numpy() for t in tensors])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-8)


ONCE = [c for c in CASES if c not in ("triplet, swapped", "triplet of sums")]


@pytest.mark.parametrize("case", ONCE)
def test_launches(opencl: dt.device, queue: Any, case: str) -> None:
    tensors, target = _tensors(dt, case, (8, 8), "float32", "float32", opencl)
    tensors = [t.detach() for t in tensors]
    more = {"gaussian": 1, "gaussian, full": 1, "gaussian of a variance for each row": 3}
    more |= {"soft labels": 2, "soft labels, weighted": 4, "classes, weighted": 2}
    more |= {"cosine of signs as floats": 1}  # what a case makes of its tensors
    for _ in range(2):
        before = queue.launches
        CASES[case][2](dt.nn.functional, tensors, target, "mean")
        made = queue.launches - before
    assert made == 1 + more.get(case, 0)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("count", [4, 900])
def test_a_negative_variance(opencl: dt.device, count: int, reduction: str) -> None:
    x, var = dt.ones(count, 9, device=opencl), dt.ones(count, 9, device=opencl)
    var[count - 1, 3] = -1.0
    loss = dt.nn.functional.gaussian_nll_loss(x, x, var, reduction=reduction)
    with pytest.raises(ValueError, match="var has negative entry/entries"):
        loss.cpu()


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("wrong", [7, -1])
def test_a_class_that_there_is_not(opencl: dt.device, wrong: int, backward: bool) -> None:
    x = dt.ones(3, 7, device=opencl, requires_grad=True)
    target = dt.tensor([1, wrong, 2], device=opencl)
    loss = dt.nn.functional.multi_margin_loss(x, target)
    if backward:
        loss.backward()
    with pytest.raises(RuntimeError, match=r"target out of range \(multi_margin_loss"):
        (x.grad if backward else loss).cpu()


@pytest.mark.parametrize("wrong", [7, -2])
def test_a_label_that_there_is_not(opencl: dt.device, wrong: int) -> None:
    target = dt.zeros(3, 7, dtype=dt.int64, device=opencl)
    target[1, 6] = wrong
    loss = dt.nn.functional.multilabel_margin_loss(dt.ones(3, 7, device=opencl), target)
    with pytest.raises(RuntimeError, match="argument #2 'target' is out of range"):
        loss.item()


@pytest.mark.parametrize("case", ["triplet", "cosine", "classes", "labels", "distance"])
def test_special_numbers(opencl: dt.device, case: str) -> None:
    """NaN and infinite elements, and rows that are equal."""
    for number in (np.nan, np.inf):
        found = []
        for library, device in ((dt, opencl), (torch, "cpu")):
            tensors, target = _tensors(library, case, (4, 5), "float32", "float32", device)
            tensors = [t.detach().clone() for t in tensors]
            tensors[0][1, 2] = number
            for t in tensors[1:]:
                t[3] = tensors[0][3]
            found.append(CASES[case][2](library.nn.functional, tensors, target, "none").cpu())
        np.testing.assert_allclose(*[f.numpy() for f in found], rtol=1e-5, atol=1e-6)


def test_numbers_of_one_row(opencl: dt.device) -> None:
    """Vectors in place of matrices."""
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(6).astype(np.float32) for _ in range(3)]
    found = []
    for library, device in ((dt, opencl), (torch, "cpu")):
        f = library.nn.functional
        a, b, c = (library.tensor(x).to(device) for x in arrays)
        one, place = library.tensor(1).to(device), library.tensor(2).to(device)
        labels = library.tensor([1, 0, -1, 0, 0, 0]).to(device)
        made = [
            f.triplet_margin_loss(a, b, c, reduction="none"),
            f.cosine_embedding_loss(a, b, one, reduction="none"),
            f.multi_margin_loss(a, place, reduction="none"),
            f.multilabel_margin_loss(a, labels, reduction="none"),
            f.pairwise_distance(a, b),
        ]
        found.append([m.cpu().numpy() for m in made])
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
