"""Scaled dot-product attention beside PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beside_torch import beside_torch, torch

import dovetail as dt
from dovetail import ops

pytestmark = pytest.mark.usefixtures("served")  # by our kernels, and by decompositions

mine = ops.scaled_dot_product_attention
other = torch.nn.functional.scaled_dot_product_attention
RNG = np.random.default_rng(4)


def _inputs(lead: tuple[int, ...] = (2, 3)) -> list[np.ndarray]:
    return [RNG.standard_normal((*lead, *s)) for s in ((4, 5), (6, 5), (6, 3))]


def _mask() -> np.ndarray:
    mask = RNG.random((4, 6)) < 0.6
    mask[0] = False
    mask[1] = True
    return mask


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_options(lead: tuple[int, ...], dtype: str, device: Any) -> None:
    options = {"dtype": dtype, "device": device, "order": 1 if dtype == "bfloat16" else 2}
    plain = {"is_causal": False, "scale": None}
    for named in (plain, {"is_causal": True, "scale": 0.3}):
        beside_torch(
            lambda q, k, v, n=named: mine(q, k, v, **n),
            lambda q, k, v, n=named: other(q, k, v, **n),
            *_inputs(lead),
            **options,
        )


def test_masks(device: Any) -> None:
    for mask in (_mask(), np.where(_mask(), 0.0, -np.inf), RNG.standard_normal((2, 1, 4, 6))):
        order = 2 if np.isfinite(mask).all() and mask.dtype != bool else 1
        beside_torch(
            lambda q, k, v, m: mine(q, k, v, m),
            lambda q, k, v, m: other(q, k, v, m),
            *_inputs(),
            mask,
            dtype="float64",
            device=device,
            order=order,
            fixed=() if order == 2 else (3,),
        )


def test_broadcast_and_shared_heads(device: Any) -> None:
    q, k, v = _inputs()
    beside_torch(mine, other, q, k[:, :1], v[:, :1], dtype="float64", device=device)
    many = RNG.standard_normal((2, 6, 4, 5))
    beside_torch(
        lambda q, k, v: mine(q, k, v, enable_gqa=True),
        lambda q, k, v: other(q, k, v, enable_gqa=True),
        many,
        k,
        v,
        dtype="float64",
        device=device,
    )


def test_dropout_keeps_the_mean(device: Any) -> None:
    dt.manual_seed(0)
    q, k = dt.zeros(2000, 4, 8, device=device), dt.zeros(2000, 16, 8, device=device)
    v = dt.ones(2000, 16, 1, device=device)
    out = mine(q, k, v, dropout_p=0.3)
    assert abs(out.mean().item() - 1) < 0.02
    assert out.std().item() > 0.1


Q = dt.zeros(2, 4, 5)
ERRORS: list[tuple[Any, str]] = [
    (lambda: mine(Q, Q.double(), Q), "to have the same dtype"),
    (lambda: mine(Q[0, 0], Q, Q), "at least 2 dimensional"),
    (lambda: mine(Q, Q[..., :3], Q), "must fit together"),
    (lambda: mine(Q, Q, Q, dt.ones(4, 4, dtype=dt.int64)), "attn_mask dtype"),
    (lambda: mine(Q, Q, Q, dt.ones(3, 3)), "must match the size"),
    (lambda: mine(Q, Q, Q, dt.ones(4, 4), is_causal=True), "should not be set when is_causal"),
]


@pytest.mark.parametrize(("call", "text"), ERRORS)
def test_errors(call: Any, text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        call()
