"""Losses of two tensors element by element: one launch of few elements, two of many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

LOSSES: dict[str, dict[str, float]] = {
    "mse_loss": {},
    "l1_loss": {},
    "smooth_l1_loss": {"beta": 0.5},
    "huber_loss": {"delta": 0.7},
    "binary_cross_entropy": {},
    "binary_cross_entropy_with_logits": {},
}


def _both(name: str, shape: tuple[int, ...], kind: str, reduction: str, options: Any) -> list[Any]:
    """(the loss, the gradients of both tensors) here and in PyTorch."""
    random = np.random.default_rng(0)
    draw = random.standard_normal
    if name.startswith("binary"):
        draw = lambda shape: random.uniform(0.05, 0.95, shape)
    arrays = [draw(shape), draw(shape)]
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        dtype = getattr(library, kind)
        tensors = [library.tensor(a, dtype=dtype, device=device) for a in arrays]
        for tensor in tensors:
            tensor.requires_grad_()
        loss = getattr(library.nn.functional, name)(*tensors, reduction=reduction, **options)
        loss.sum().backward()
        rows = [loss, *(t.grad for t in tensors)]
        found.append([r.detach().cpu().double().numpy() for r in rows])
    return found


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(1,), (3, 7), (5, 900), (3, 50000)])
@pytest.mark.parametrize("name", LOSSES)
def test_values(opencl: dt.device, name: str, shape: tuple[int, ...], kind: str) -> None:
    bound = 2e-5 if kind == "float32" else 2e-2
    for reduction in ("mean", "sum", "none"):
        ours, theirs = _both(name, shape, kind, reduction, LOSSES[name])
        for mine, wanted in zip(ours, theirs, strict=True):
            error = np.abs(mine - wanted).max() / max(np.abs(wanted).max(), 1e-30)
            assert error < bound, (reduction, error)


@pytest.mark.parametrize("name", LOSSES)
def test_few_elements_are_one_launch(opencl: dt.device, queue: Any, name: str) -> None:
    a, b = dt.full((8, 8), 0.25, device=opencl), dt.full((8, 8), 0.5, device=opencl)
    loss = getattr(dt.nn.functional, name)
    loss(a, b)
    before = queue.launches
    loss(a, b)
    assert queue.launches == before + 1


def _special(name: str) -> Callable[[Any, Any], Any]:
    def run(library: Any, device: str) -> Any:
        x = library.tensor([float("nan"), 1.0], device=device)
        y = library.tensor([0.5, float("inf")], device=device)
        loss = getattr(library.nn.functional, name)
        return [loss(x[i:], y[i:], reduction="sum").item() for i in (0, 1)]

    return run


@pytest.mark.parametrize("name", [n for n in LOSSES if n != "binary_cross_entropy"])
def test_special_numbers(opencl: dt.device, name: str) -> None:
    run = _special(name)
    np.testing.assert_array_equal(run(dt, "opencl:0"), run(torch, "cpu"))


@pytest.mark.parametrize("count", [8, 9000])
@pytest.mark.parametrize("which", ["input", "target"])
def test_what_is_no_probability(opencl: dt.device, which: str, count: int) -> None:
    given = {name: dt.full((count,), 0.5, device=opencl) for name in ("input", "target")}
    given[which][count - 1] = 1.5
    loss = dt.nn.functional.binary_cross_entropy(**given)
    with pytest.raises(RuntimeError, match=f"elements of {which} should be between 0 and 1"):
        loss.item()


def test_a_mean_of_large_halves(opencl: dt.device) -> None:
    """The sum is beyond what float16 holds, the mean is not."""
    x = dt.full((4000,), 100.0, device=opencl, dtype=dt.float16)
    assert dt.nn.functional.mse_loss(x, dt.zeros_like(x)).item() == 10000.0


Make = Callable[[Any, list[Any]], Any]
"""A loss of PyTorch or of ours, of tensors."""


def _of(name: str, **options: Any) -> Make:
    return lambda library, tensors: getattr(library.nn.functional, name)(*tensors, **options)


def _logits(has_weight: bool) -> Make:
    def make(library: Any, tensors: list[Any], **options: Any) -> Any:
        x, y, *weights = tensors
        given = {"weight": weights[0]} if has_weight else {}
        given |= {"pos_weight": weights[-1]}
        function = library.nn.functional.binary_cross_entropy_with_logits
        return function(x, y, **given, **options)

    return make


SIGNS = {"hinge_embedding_loss", "soft_margin_loss", "margin_ranking_loss"}
FURTHER: dict[str, tuple[str, int, dict[str, Any]]] = {
    # what is called, how many weights of the input's shape there are, options
    "bce": ("binary_cross_entropy", 1, {}),
    "logits": ("binary_cross_entropy_with_logits", 1, {}),
    "kl_div": ("kl_div", 0, {}),
    "kl_div of logarithms": ("kl_div", 0, {"log_target": True}),
    "hinge": ("hinge_embedding_loss", 0, {"margin": 0.7}),
    "soft_margin": ("soft_margin_loss", 0, {}),
    "ranking": ("margin_ranking_loss", 1, {"margin": 0.3}),
    "poisson": ("poisson_nll_loss", 0, {}),
    "poisson of rates": ("poisson_nll_loss", 0, {"log_input": False, "eps": 1e-3}),
    "poisson, full": ("poisson_nll_loss", 0, {"full": True}),
}


def _further(case: str, shape: tuple[int, ...], kind: str, reduction: str) -> list[Any]:
    """(the loss, the gradients of all tensors) here and in PyTorch, of the same numbers."""
    name, weights, options = FURTHER[case]
    if case == "ranking" and kind == "bfloat16":
        options = {"margin": 3.0}  # else it is a matter of rounding which are 0
    random = np.random.default_rng(1)
    arrays = [random.uniform(0.05, 0.95, shape) for _ in range(2 + weights)]
    if name == "poisson_nll_loss":
        arrays[1] *= 4
    if name in SIGNS:
        arrays[-1] = np.where(arrays[-1] < 0.5, -1.0, 1.0)
    low = [torch.tensor(a, dtype=torch.float32).to(getattr(torch, kind)) for a in arrays]
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        if library is dt:
            tensors = [dt.tensor(a.double().numpy(), device=device) for a in low]
            tensors = [t.to(getattr(dt, kind)).detach() for t in tensors]
        else:
            tensors = [a.double() for a in low]
        for tensor in tensors[: 2 if name not in SIGNS or weights else 1]:
            tensor.requires_grad_()
        loss = getattr(library.nn.functional, name)(*tensors, reduction=reduction, **options)
        loss.sum().backward()
        rows = [loss, *(t.grad for t in tensors if t.requires_grad)]
        found.append([r.detach().cpu().double().numpy() for r in rows])
    return found


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(1,), (3, 7), (3, 5000)])
@pytest.mark.parametrize("case", FURTHER)
def test_weighted_losses_and_others(
    opencl: dt.device, case: str, shape: tuple[int, ...], kind: str
) -> None:
    bound = {"float32": 2e-5, "float64": 1e-12}.get(kind, 3e-2)
    more = ("batchmean",) if case.startswith("kl_div") else ()
    for reduction in ("mean", "sum", "none", *more):
        ours, theirs = _further(case, shape, kind, reduction)
        for mine, wanted in zip(ours, theirs, strict=True):
            error = np.abs(mine - wanted).max() / max(np.abs(wanted).max(), 1e-30)
            assert error < bound, (reduction, error)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(4, 6), (700, 6)])
@pytest.mark.parametrize("of_weight", [None, (6,), (1, 6), (1,), (), "all", "first"])
def test_weights_of_classes(
    opencl: dt.device, of_weight: Any, shape: tuple[int, int], reduction: str
) -> None:
    """Weights for the last dim, for all, and for the first dim, where steps compute them."""
    random = np.random.default_rng(2)
    sizes = {"all": shape, "first": (shape[0], 1)}
    arrays = [random.uniform(0, 1, s) for s in (shape, shape)]
    if of_weight is not None:
        arrays.append(random.uniform(0, 1, sizes.get(of_weight, of_weight)))
    arrays.append(random.uniform(0, 3, (6,)))
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        tensors = [library.tensor(a, dtype=library.float32).to(device) for a in arrays]
        loss = _logits(of_weight is not None)(library, tensors, reduction=reduction)  # type: ignore[call-arg]
        found.append(loss.cpu().numpy())
    np.testing.assert_allclose(*found, rtol=2e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:reduction")
def test_those_are_one_launch_too(opencl: dt.device, queue: Any) -> None:
    x = dt.rand(8, 8, device=opencl, requires_grad=True)
    y, w, row = (
        dt.rand(8, 8, device=opencl),
        dt.rand(8, 8, device=opencl),
        dt.rand(8, device=opencl),
    )
    functional = dt.nn.functional
    logits = functional.binary_cross_entropy_with_logits
    calls = [
        lambda: functional.binary_cross_entropy(x, y, w),
        lambda: logits(x, y, w),
        lambda: logits(x, y, pos_weight=row),
        lambda: logits(x, y, w, pos_weight=row),
        lambda: functional.kl_div(x, y),
        lambda: functional.kl_div(x, y, reduction="batchmean"),
        lambda: functional.kl_div(x, y, log_target=True),
        lambda: functional.hinge_embedding_loss(x, y),
        lambda: functional.soft_margin_loss(x, y),
        lambda: functional.margin_ranking_loss(x, y, w),
        lambda: functional.poisson_nll_loss(x, y, full=True),
    ]
    for i, call in enumerate(calls):
        call()
        before = queue.launches
        call()
        assert queue.launches == before + 1, i


def test_a_weighted_loss_says_what_is_no_probability(opencl: dt.device) -> None:
    for count in (8, 9000):
        x, w = dt.full((count,), 0.5, device=opencl), dt.ones(count, device=opencl)
        x[count - 1] = 1.5
        loss = dt.nn.functional.binary_cross_entropy(x, w, w)
        with pytest.raises(RuntimeError, match="elements of input should be between 0 and 1"):
            loss.item()


def test_edges_of_the_others(opencl: dt.device) -> None:
    """Zeros, numbers without a logarithm, and what overflows, as PyTorch has them."""
    inf, nan = float("inf"), float("nan")
    x, y = [0.5, -1.0, 100.0, nan, 0.0, 2.0], [0.0, -1.0, 1.0, 1.0, nan, inf]
    for name, options in (
        ("kl_div", {}), ("soft_margin_loss", {}), ("poisson_nll_loss", {"full": True}),
        ("hinge_embedding_loss", {}),
    ):  # fmt: skip
        loss = [
            getattr(library.nn.functional, name)(
                library.tensor(x).to(device), library.tensor(y).to(device), reduction="none",
                **options,
            ).cpu().numpy()
            for library, device in ((dt, "opencl:0"), (torch, "cpu"))
        ]  # fmt: skip
        np.testing.assert_allclose(*loss, rtol=1e-5, atol=1e-30)
