"""Losses and softmax beside PyTorch: reductions, weights, kinks, second gradients, errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from beside_torch import beside_torch, torch

import dovetail as dt
from dovetail import ops

pytestmark = pytest.mark.usefixtures("served")  # by our kernels, and by decompositions

G = dt.nn.functional
F = torch.nn.functional
RNG = np.random.default_rng(1)
REDUCTIONS = ("mean", "sum", "none")
DTYPES = ("float64", "float32", "bfloat16")


def _order(dtype: str) -> int:
    return 1 if dtype == "bfloat16" else 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax(name: str, dtype: str, device: Any) -> None:
    for shape, dim in (((7,), 0), ((3, 5), 1), ((3, 5), 0), ((2, 3, 4), 1), ((), 0), ((0, 3), 1)):
        x = RNG.uniform(-4, 4, shape)
        beside_torch(
            lambda x, d=dim: getattr(G, name)(x, d),
            lambda x, d=dim: getattr(F, name)(x, d),
            np.asarray(x),
            dtype=dtype,
            device=device,
            order=_order(dtype),
        )


def test_softmax_of_extremes(device: Any) -> None:
    inf = np.inf
    x = np.array([[500.0, 1, 2], [-inf, 0, 1], [-500, -501, -502], [-inf, -inf, -inf], [inf, 0, 1]])
    for name in ("softmax", "log_softmax"):
        beside_torch(
            lambda x, n=name: getattr(ops, n)(x, -1),
            lambda x, n=name: getattr(torch, n)(x, -1),
            x,
            device=device,
            order=0,
        )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_many_rows(name: str, device: Any) -> None:
    for shape, dim in (((40, 300), 1), ((40, 300), 0), ((2000, 3), 1), ((3, 40, 50), 1)):
        array = RNG.uniform(-4, 4, shape)
        for spoilt in (None, np.nan, np.inf, -np.inf):
            if spoilt is not None:
                array[1, 2] = spoilt
            beside_torch(
                lambda x, d=dim: getattr(ops, name)(x, d),
                lambda x, d=dim: getattr(torch, name)(x, d),
                array,
                device=device,
                order=0 if spoilt else 1,
            )


def test_softmax_converts_first(device: Any) -> None:
    x = dt.arange(6, device=device).reshape(2, 3)
    assert ops.softmax(x, 1, dtype=dt.float64).dtype is dt.float64
    with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
        ops.softmax(x, 1)
    with pytest.raises(IndexError, match="Dimension out of range"):
        ops.softmax(x.float(), 2)


# name, options, range of the inputs
POINTWISE: list[tuple[str, dict[str, Any], float, float]] = [
    ("mse_loss", {}, -3, 3),
    ("l1_loss", {}, -3, 3),
    ("smooth_l1_loss", {}, -3, 3),
    ("smooth_l1_loss", {"beta": 0.5}, -3, 3),
    ("huber_loss", {"delta": 0.7}, -3, 3),
    ("kl_div", {}, 0.1, 1),
    ("kl_div", {"log_target": True}, -2, 0),
    ("binary_cross_entropy", {}, 0.05, 0.95),
    ("binary_cross_entropy_with_logits", {}, -3, 3),
]


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options", "low", "high"), POINTWISE, ids=str)
def test_per_element(
    name: str, options: Any, low: float, high: float, dtype: str, device: Any
) -> None:
    for reduction, shape in itertools.product(REDUCTIONS, ((3, 5), ())):
        of_target = (0, 1) if name.startswith("binary") else (low, high)
        x, y = RNG.uniform(low, high, shape), RNG.uniform(*of_target, shape)
        if x.ndim and x[0, :2].max() < of_target[1]:
            y[0, :2] = x[0, :2]  # a tie
        beside_torch(
            lambda x, y, r=reduction: getattr(G, name)(x, y, reduction=r, **options),
            lambda x, y, r=reduction: getattr(F, name)(x, y, reduction=r, **options),
            np.asarray(x),
            np.asarray(y),
            dtype=dtype,
            device=device,
            order=_order(dtype),
        )


def test_binary_losses_with_weights(device: Any) -> None:
    x, y = RNG.uniform(0.1, 0.9, (4, 3)), RNG.uniform(0, 1, (4, 3))
    weight, positive = RNG.uniform(0.5, 2, (4, 1)), RNG.uniform(0.5, 2, 3)
    for reduction in REDUCTIONS:
        beside_torch(
            lambda x, y, w, r=reduction: G.binary_cross_entropy(x, y, w, reduction=r),
            lambda x, y, w, r=reduction: F.binary_cross_entropy(x, y, w, reduction=r),
            x,
            y,
            weight,
            dtype="float64",
            device=device,
            fixed=(2,),
        )
        for pair in ((weight, positive), (weight, None), (None, positive)):
            beside_torch(
                lambda x, y, w, p, r=reduction: G.binary_cross_entropy_with_logits(
                    x, y, w, pos_weight=p, reduction=r
                ),
                lambda x, y, w, p, r=reduction: F.binary_cross_entropy_with_logits(
                    x, y, w, pos_weight=p, reduction=r
                ),
                4 * x - 2,
                y,
                *pair,
                dtype="float64",
                device=device,
                fixed=(2, 3),
            )


def test_binary_cross_entropy_at_the_ends(device: Any) -> None:
    x, y = np.array([0.0, 0.0, 1.0, 1.0, 0.5]), np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    beside_torch(
        G.binary_cross_entropy, F.binary_cross_entropy, x, y, device=device, order=1, fixed=(1,)
    )


SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((4, 5), (4,)), ((5,), ()), ((2, 5, 3), (2, 3)), ((2, 5, 3, 2), (2, 3, 2)), ((0, 5), (0,)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "places"), SHAPES, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_classes(shape: Any, places: Any, reduction: str, dtype: str, device: Any) -> None:
    x, target = RNG.uniform(-3, 3, shape), np.asarray(RNG.integers(0, 5, places))
    weight = RNG.uniform(0.5, 2, 5)
    if target.ndim and len(target):
        target.flat[0] = -100
    smoothings = (0.0, 0.2) if shape != (0, 5) else (0.0,)
    for w, smoothing, ignore in itertools.product((None, weight), smoothings, (-100, 2)):
        if ignore == 2:
            target = np.where(target < 0, 2, target)
        options = {"reduction": reduction, "ignore_index": ignore}
        smoothed = {**options, "label_smoothing": smoothing}
        beside_torch(
            lambda x, t, w, o=smoothed: G.cross_entropy(x, t, w, **o),
            lambda x, t, w, o=smoothed: F.cross_entropy(x, t, w, **o),
            x,
            target,
            w,
            dtype=dtype,
            device=device,
            fixed=(2,),
            order=_order(dtype) if x.size else 1,
        )
        beside_torch(
            lambda x, t, w, o=options: G.nll_loss(x, t, w, **o),
            lambda x, t, w, o=options: F.nll_loss(x, t, w, **o),
            x,
            target,
            w,
            dtype=dtype,
            device=device,
            fixed=(2,),
            order=_order(dtype) if x.size else 1,
        )


def test_class_probabilities(device: Any) -> None:
    for shape, smoothing in itertools.product(((4, 5), (5,), (2, 5, 3)), (0.0, 0.2)):
        x, weight = RNG.uniform(-3, 3, shape), RNG.uniform(0.5, 2, 5)
        for w, reduction in itertools.product((None, weight), REDUCTIONS):
            options = {"reduction": reduction, "label_smoothing": smoothing}
            beside_torch(
                lambda x, t, w, o=options: G.cross_entropy(x, t, w, **o),
                lambda x, t, w, o=options: F.cross_entropy(x, t, w, **o),
                x,
                RNG.uniform(0, 1, shape),
                w,
                dtype="float64",
                device=device,
                fixed=(2,),
            )


def test_many_classes_and_rows(device: Any) -> None:
    for shape in ((300, 200), (5000, 3), (30, 20, 40)):
        target = RNG.integers(0, shape[1], (shape[0], *shape[2:]))
        for smoothing in (0.0, 0.1):
            beside_torch(
                lambda x, t, s=smoothing: G.cross_entropy(x, t, label_smoothing=s),
                lambda x, t, s=smoothing: F.cross_entropy(x, t, label_smoothing=s),
                RNG.uniform(-4, 4, shape),
                target,
                device=device,
                order=1,
            )


def test_all_targets_ignored(device: Any) -> None:
    loss = G.cross_entropy(dt.zeros(2, 3, device=device), dt.tensor([-100, -100], device=device))
    assert loss.isnan().item()


X = dt.zeros(2, 10)
ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: G.cross_entropy(X, dt.tensor([1, 10])), IndexError, r"Target 10 is out of bounds\."),
    (lambda: G.nll_loss(X, dt.tensor([-1, 1])), IndexError, r"Target -1 is out of bounds\."),
    (lambda: G.cross_entropy(X, dt.tensor([1])), ValueError, r"batch_size \(2\) to match"),
    (lambda: G.cross_entropy(X, dt.tensor([1, 2]), dt.ones(3)), RuntimeError, "all 10 classes"),
    (lambda: G.cross_entropy(X, dt.ones(2)), RuntimeError, "target dtype"),
    (lambda: G.binary_cross_entropy(X + 2, X), RuntimeError, "should be between 0 and 1"),
    (lambda: G.binary_cross_entropy(X, dt.ones(2)), ValueError, "Using a target size"),
    (lambda: G.smooth_l1_loss(X, X, beta=-1.0), RuntimeError, "negative values for beta"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("wrong", [1.5, -0.5, float("nan"), float("inf")])
@pytest.mark.parametrize("operand", ["input", "target"])
def test_no_probabilities(operand: str, wrong: float, device: Any) -> None:
    """PyTorch's sentence on its cpu, and what to do about it."""
    values = [[0.25, 0.5], [0.25, wrong]]
    pair = values[::-1] if operand == "input" else values
    with pytest.raises(RuntimeError) as theirs:
        F.binary_cross_entropy(*map(torch.tensor, pair))
    with pytest.raises(RuntimeError, match=f"^{theirs.value} \\(binary_cross_entropy"):
        G.binary_cross_entropy(*(dt.tensor(x, device=device) for x in pair)).item()
    everywhere = dt.tensor(pair, device=device).unsqueeze(1).expand(2, 3, 2)
    with pytest.raises(RuntimeError, match=f"^{theirs.value}"):
        dt.func.vmap(G.binary_cross_entropy)(*everywhere).tolist()
    good = dt.tensor([0.0, 1.0, 0.5], device=device)
    assert G.binary_cross_entropy(good, good).item() == pytest.approx(0.6931472 / 3)


def test_sizes_that_differ_warn(device: Any) -> None:
    with pytest.warns(UserWarning, match="target size"):
        loss = G.mse_loss(dt.ones(3, 1, device=device), dt.zeros(4, device=device))
    assert loss.item() == 1.0
