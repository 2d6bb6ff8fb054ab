"""Normalisation beside PyTorch: statistics, running values, second gradients, half precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beside_torch import beside_torch, same, torch

import dovetail as dt
from dovetail import ops

pytestmark = pytest.mark.usefixtures("served")  # by our kernels, and by decompositions

G = dt.nn.functional
F = torch.nn.functional
RNG = np.random.default_rng(2)
SHAPES = [(6, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2)]
AFFINE = [(RNG.uniform(0.5, 2, 3), RNG.uniform(-1, 1, 3)), (None, None)]


def _order(dtype: str) -> int:
    return 1 if dtype == "bfloat16" else 2


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(shape: Any, training: bool, dtype: str, device: Any) -> None:
    for weight, bias in AFFINE:
        mean, var = RNG.uniform(-1, 1, 3), RNG.uniform(0.5, 2, 3)
        beside_torch(
            lambda x, m, v, w, b: G.batch_norm(x, m, v, w, b, training, 0.2, 1e-3),
            lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b, training, 0.2, 1e-3),
            RNG.uniform(-3, 3, shape),
            mean,
            var,
            weight,
            bias,
            dtype=dtype,
            device=device,
            fixed=(1, 2),
            order=_order(dtype),
        )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_large_inputs(dtype: str, device: Any) -> None:
    options: dict[str, Any] = {"dtype": dtype, "device": device, "order": 1}
    for shape in ((3, 50, 60, 61), (700, 300), (2, 300, 30, 31)):
        x, (w, b) = 3 + RNG.standard_normal(shape), RNG.uniform(0.5, 2, (2, shape[1]))
        beside_torch(
            lambda x, w, b: G.batch_norm(x, None, None, w, b, training=True),
            lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
            *(x, w, b),
            **options,
        )
        last = shape[-1:]
        beside_torch(
            lambda x, w, b, n=last: G.layer_norm(x, n, w, b),
            lambda x, w, b, n=last: F.layer_norm(x, n, w, b),
            *(x, *RNG.uniform(0.5, 2, (2, *last))),
            **options,
        )


@pytest.mark.parametrize("form", ["channels_last", "transposed"])
def test_layouts(form: str, device: Any) -> None:
    layout = {
        "channels_last": lambda x, lib: x.contiguous(memory_format=lib.channels_last),
        "transposed": lambda x, lib: x.transpose(0, 3).contiguous().transpose(0, 3),
    }[form]
    x, (w, b) = RNG.standard_normal((2, 3, 4, 5)), AFFINE[0]
    beside_torch(
        lambda x, w, b: G.batch_norm(layout(x, dt), None, None, w, b, training=True),
        lambda x, w, b: F.batch_norm(layout(x, torch), None, None, w, b, training=True),
        *(x, w, b),
        device=device,
        order=1,
    )
    beside_torch(
        lambda x: G.layer_norm(layout(x, dt), (5,)),
        lambda x: F.layer_norm(layout(x, torch), (5,)),
        x,
        device=device,
        order=1,
    )


def test_running_statistics(device: Any) -> None:
    x = RNG.uniform(-3, 3, (4, 3, 5))
    kind = {"dtype": dt.float64, "device": device}
    mine = [dt.zeros(3, **kind), dt.ones(3, **kind)]
    other = [torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)]
    for _ in range(3):
        x = x * 1.1 + 0.2
        G.batch_norm(dt.tensor(x, device=device, requires_grad=True), *mine, training=True)
        F.batch_norm(torch.tensor(x), *other, training=True)
    for a, b in zip(mine, other, strict=True):
        same(a, b, 1e-12, "running value")
        assert not a.requires_grad


def test_statistics_take_part_in_gradients(device: Any) -> None:
    def mine(x: Any) -> Any:
        return ops.batch_norm_train(x, None, None, eps=1e-3)

    def other(x: Any) -> Any:
        mean = x.mean((0, 2))
        var = x.var((0, 2), unbiased=False)
        normal = (x - mean[:, None]) / (var[:, None] + 1e-3).sqrt()
        return normal, mean, var

    beside_torch(mine, other, RNG.uniform(-3, 3, (4, 3, 5)), dtype="float64", device=device)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(("shape", "last"), [((5,), 1), ((3, 5), 1), ((2, 3, 4), 2), ((0, 3), 1)])
def test_layer_norm_and_rms_norm(shape: Any, last: int, dtype: str, device: Any) -> None:
    wanted = shape[-last:]
    for affine in (True, False):
        tensors = [RNG.uniform(0.5, 2, wanted) if affine else None for _ in range(2)]
        x = RNG.uniform(-3, 3, shape)
        options = {"dtype": dtype, "device": device, "order": _order(dtype)}
        beside_torch(
            lambda x, w, b: G.layer_norm(x, wanted, w, b, 1e-4),
            lambda x, w, b: F.layer_norm(x, wanted, w, b, 1e-4),
            x,
            *tensors,
            **options,
        )
        beside_torch(
            lambda x, w: G.rms_norm(x, wanted, w, 1e-4),
            lambda x, w: F.rms_norm(x, wanted, w, 1e-4),
            x,
            tensors[0],
            **options,
        )


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(("shape", "groups"), [((3, 8), 2), ((2, 6, 5), 3), ((2, 4, 3, 3), 1)])
def test_group_norm(shape: Any, groups: int, dtype: str, device: Any) -> None:
    for affine in (True, False):
        tensors = [RNG.uniform(0.5, 2, shape[1]) if affine else None for _ in range(2)]
        beside_torch(
            lambda x, w, b: G.group_norm(x, groups, w, b, 1e-4),
            lambda x, w, b: F.group_norm(x, groups, w, b, 1e-4),
            RNG.uniform(-3, 3, shape),
            *tensors,
            dtype=dtype,
            device=device,
            order=_order(dtype),
        )


def test_instance_norm(device: Any) -> None:
    for shape in SHAPES[1:]:
        beside_torch(
            lambda x, w, b: G.instance_norm(x, weight=w, bias=b, eps=1e-4),
            lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=1e-4),
            RNG.uniform(-3, 3, shape),
            *AFFINE[0],
            dtype="float64",
            device=device,
        )


def _parameters() -> list[Any]:
    return [torch.full((3,), value) for value in (0.0, 1.0, 1.0, 0.0)]


def test_half_input_with_float_parameters(device: Any) -> None:
    x = RNG.uniform(-3, 3, (8, 3, 5)).astype(np.float32)
    mine = dt.tensor(x, device=device).bfloat16()
    made = G.batch_norm(
        mine,
        dt.zeros(3, device=device),
        dt.ones(3, device=device),
        dt.ones(3, device=device),
        dt.zeros(3, device=device),
        training=True,
    )
    other = F.batch_norm(torch.tensor(x).bfloat16(), *_parameters(), training=True)
    same(made, other, 1e-2, "batch_norm")


X = dt.zeros(2, 4, 3)
ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: G.batch_norm(X[:1, :, 0], None, None, training=True), ValueError, "more than 1 value"),
    (lambda: G.batch_norm(X, dt.zeros(3), dt.zeros(3)), RuntimeError, "contain 4 elements not 3"),
    (lambda: G.layer_norm(X, (4,)), RuntimeError, r"Given normalized_shape=\[4\]"),
    (lambda: G.group_norm(X, 3), RuntimeError, "divisible by num_groups"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_of_nothing(device: Any) -> None:
    one = np.ones(3)
    for shape in ((0, 3), (2, 3, 0), (2, 0)):
        beside_torch(
            lambda x, m: G.batch_norm(x, m, m), lambda x, m: F.batch_norm(x, m, m),
            np.zeros(shape), one[: shape[1]], dtype="float64", device=device, fixed=(1,), order=2,
        )  # fmt: skip
    # Second orders: the statistics count, and there are none.
    for function in (
        lambda f, x: f.batch_norm(x, None, None, training=True),
        lambda f, x: f.group_norm(x, 1),
        lambda f, x: f.layer_norm(x, x.shape[1:]),
        lambda f, x: f.rms_norm(x, x.shape[1:]),
    ):
        x = dt.zeros(2, 3, 0, dtype=dt.float64, device=device, requires_grad=True)
        (first,) = dt.autograd.grad(function(G, x).sum(), x, create_graph=True)
        assert dt.autograd.grad(first.sum(), x)[0].shape == x.shape
