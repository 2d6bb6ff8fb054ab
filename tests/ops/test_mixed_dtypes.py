"""Operands of several dtypes, and numbers that a dtype holds in its own way, beside PyTorch."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from beside_torch import same, torch

import dovetail as dt


def _set(x: Any, index: Any, value: Any) -> Any:
    x[index] = value
    return x


CASES: dict[str, Any] = {
    "addr of bool": lambda m, t: m.addr(
        t([[1, 0]], "bool"), t([1], "bool"), t([0, 1], "bool"), beta=2
    ),
    "add alpha of bytes": lambda m, t: m.add(t([1, 2], "int32"), t([200, 7], "uint8"), alpha=2),
    "sub alpha of bytes": lambda m, t: m.sub(t([1, 2], "int32"), t([200, 7], "uint8"), alpha=2),
    "rsub alpha of bytes": lambda m, t: m.rsub(t([200, 7], "uint8"), t([1, 2], "int32"), alpha=2),
    "add_ alpha of bytes": lambda m, t: t([1, 2], "int32").add_(t([200, 7], "uint8"), alpha=2),
    "add alpha of floats": lambda m, t: m.add(t([1], "float64"), t([0.1], "float32"), alpha=0.3),
    "add alpha of halves": lambda m, t: m.add(t([1, 2], "float16"), t(3, "int16"), alpha=0.5),
    "sub alpha of halves": lambda m, t: m.sub(t([1], "bfloat16"), t([3], "int64"), alpha=0.5),
    "addcmul of integers": lambda m, t: m.addcmul(
        t([1, 2], "int64"), t([1.5, 2], "float32"), t([1, 3], "int64"), value=0.5
    ),
    "addcmul of a number": lambda m, t: m.addcmul(
        t([1, 2], "int64"), t([1, 2], "int32"), t([1, 3], "int64"), value=1.7
    ),
    "ldexp halves": lambda m, t: m.ldexp(t([1e-4, 3], "float16"), t([20, -20], "int32")),
    "ldexp": lambda m, t: m.ldexp(t([1e-30, 3e30], "float32"), t([140, -200], "int64")),
    "ldexp doubles": lambda m, t: m.ldexp(t([1e-30, 3.0], "float64"), t([200, -300], "int16")),
    "ldexp far": lambda m, t: m.ldexp(
        t([0, 1e-45, float("inf"), float("nan"), 3e38, 1e38, -1e-45, 1.7e-38], "float32"),
        t([256, 256, -300, 500, -276, -270, 900, -13], "int64"),
    ),
    "ldexp far doubles": lambda m, t: m.ldexp(
        t([0, 5e-324, float("inf"), 1.7e308, 5e-324], "float64"),
        t([2048, 2097, -2500, -2097, 2098], "int32"),
    ),
    "ldexp far halves": lambda m, t: m.ldexp(
        t([0, 6e-8, float("inf"), 6e4, 1.001], "float16"), t([99, 39, -99, -39, -15], "int8")
    ),
    "ldexp by bytes": lambda m, t: m.ldexp(
        t([0, 1e-30, 1e-36], "bfloat16"), t([255, 200, 255], "uint8")
    ),
    "ldexp of two floats": lambda m, t: m.ldexp(t([1, 2], "bfloat16"), t([2, 3], "float64")),
    "ldexp of integers": lambda m, t: m.ldexp(t([1, 2], "int64"), t([2, -3], "int64")),
    "masked_fill": lambda m, t: t([0, 0], "bool").masked_fill(t([1, 0], "bool"), 0.5),
    "masked_fill_": lambda m, t: t([0, 0], "bool").masked_fill_(t([1, 0], "bool"), 0.5),
    "index_fill": lambda m, t: t([0, 0], "bool").index_fill(0, t([1], "int64"), 0.5),
    "scatter": lambda m, t: t([0, 0], "bool").scatter(0, t([1], "int64"), 0.5),
    "under a mask": lambda m, t: _set(t([0, 0, 1], "bool"), t([1, 0, 1], "bool"), 0.5),
    "by index": lambda m, t: _set(t([0, 0, 1], "bool"), t([0, 2], "int64"), 0.25),
    "by two indices": lambda m, t: _set(
        t([[0, 0]], "bool"), (t([0, 0], "int64"), t([0, 1], "int64")), 0.25
    ),
    "select_scatter": lambda m, t: m.select_scatter(
        t([[1, 2], [3, 4]], "float64"), t([5.5, 6], "float32"), 0, 1
    ),
    "slice_scatter": lambda m, t: m.slice_scatter(
        t([1, 2, 3], "float16"), t([5.5, 6], "float32"), 0, 1
    ),
    "diagonal_scatter": lambda m, t: m.diagonal_scatter(
        t([[1, 2], [3, 4]], "int64"), t([5.5, 6], "float32")
    ),
    "rms_norm": lambda m, t: m.nn.functional.rms_norm(
        t([[1, 2], [3, 4]], "float32"), [2], t([5.5, 6], "float64")
    ),
    "pow of 0": lambda m, t: m.isfinite(t([0, 0, 1j], "complex64") ** t([-1, 2, -1], "float32")),
}


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@pytest.mark.parametrize("name", CASES)
def test_values_and_dtypes(name: str, device: Any) -> None:
    mine = CASES[name](dt, lambda x, kind: dt.tensor(x, dtype=getattr(dt, kind), device=device))
    other = CASES[name](torch, lambda x, kind: torch.tensor(x, dtype=getattr(torch, kind)))
    same(mine, other, 1e-6 if mine.dtype in (dt.float32, dt.float64) else 0, name)


FLOATS = ("float16", "bfloat16", "float32", "float64")
LOSSES: dict[str, Any] = {
    "hinge_embedding_loss": lambda f, x, y: f.hinge_embedding_loss(x, y.sign()),
    "margin_ranking_loss": lambda f, x, y: f.margin_ranking_loss(x, x * 2, y.sign(), 0.1),
    "cosine_embedding_loss": lambda f, x, y: f.cosine_embedding_loss(x, x * x, y[:, 0].sign()),
    "soft_margin_loss": lambda f, x, y: f.soft_margin_loss(x, y.sign()),
    "huber_loss": lambda f, x, y: f.huber_loss(x, y),
    "binary_cross_entropy_with_logits": lambda f, x, y: f.binary_cross_entropy_with_logits(x, y),
    "poisson_nll_loss": lambda f, x, y: f.poisson_nll_loss(x, y),
    "gaussian_nll_loss": lambda f, x, y: f.gaussian_nll_loss(x, x, y.abs()),
    "cov": lambda f, x, y: (torch if x.__class__ is torch.Tensor else dt).cov(
        x, aweights=y[0].abs()
    ),
}
"""Whose results are of one operand's dtype, or of all operands', as PyTorch has them."""

NUMBERS = ([[0.5, -1.25, 2.0, 3.0], [1.5, 0.25, -0.75, 1.0]], [[1, -2, 3, 1], [-1, 2, -3, 2]])


@pytest.mark.parametrize("records", [False, True], ids=["plain", "recorded"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_two_dtypes(name: str, records: bool, device: Any) -> None:
    for kinds in itertools.permutations(FLOATS, 2):
        mine, other = (
            [m.tensor(v, dtype=getattr(m, k), **at) for v, k in zip(NUMBERS, kinds, strict=True)]
            for m, at in ((dt, {"device": device}), (torch, {}))
        )
        mine[0].requires_grad_(records)
        made = LOSSES[name](dt.nn.functional, *mine)
        wanted = LOSSES[name](torch.nn.functional, *other)
        coarse = 0.03 if "bfloat16" in kinds else 4e-3 if "float16" in kinds else 1e-6
        same(made.detach(), wanted, coarse, f"{name} {kinds}")
        if records:
            made.sum().backward()
            assert mine[0].grad.dtype == mine[0].dtype, kinds


@pytest.mark.parametrize("inner", FLOATS)
@pytest.mark.parametrize("outer", [*FLOATS, "int32", "bool"])
def test_a_norm_is_of_its_inputs_dtype(inner: str, outer: str, device: Any) -> None:
    values = np.random.default_rng(0).uniform(0.5, 2, (2, 4, 3))
    x = dt.tensor(values, dtype=getattr(dt, inner), device=device)
    w, b = (dt.tensor(v, dtype=getattr(dt, outer), device=device) for v in values[:, :, 0])
    wide = [torch.tensor(t.double().cpu().numpy()) for t in (x, w, b)]
    functions = dt.nn.functional, torch.nn.functional
    coarse = 0.03 if inner == "bfloat16" else 4e-3 if inner == "float16" else 1e-5
    for name, call in {
        "group_norm": lambda f, x, w, b: f.group_norm(x, 2, w, b),
        "instance_norm": lambda f, x, w, b: f.instance_norm(x, weight=w, bias=b),
        "batch_norm": lambda f, x, w, b: f.batch_norm(x, b, w, w, b),
    }.items():
        made, wanted = call(functions[0], x, w, b), call(functions[1], *wide)
        assert made.dtype == x.dtype, name
        np.testing.assert_allclose(
            made.double().cpu().numpy(), wanted.numpy(), coarse, coarse, err_msg=name
        )


@pytest.mark.parametrize("name", ["conv1d", "conv_transpose1d"])
def test_a_convolution_is_of_one_dtype(name: str, device: Any) -> None:
    function = getattr(dt.nn.functional, name)
    for kind in (dt.float16, dt.bfloat16, dt.float64, dt.int32, dt.bool):
        x, w, b = (dt.ones(s, device=device) for s in ((1, 2, 3), (2, 2, 1), (2,)))
        with pytest.raises(RuntimeError, match=r"Input type \(\S+\) and bias type \(\S+\) should"):
            function(x, w, b.to(kind))
        with pytest.raises(RuntimeError, match=r"Input type \(\S+\) and weight type \(\S+\) sho"):
            function(x, w.to(kind), b)


def test_digits_of_the_wider_dtype(device: Any) -> None:
    one, tenth = (dt.tensor(v, dtype=k, device=device) for v, k in ((0.0, dt.float64), (0.1, None)))
    made = dt.add(one.reshape(1), tenth.reshape(1), alpha=0.3)
    assert made.item() == np.float64(np.float32(0.1)) * 0.3


def test_a_complex_alpha_of_real_numbers_is_refused(device: Any) -> None:
    x = dt.ones(2, device=device)
    with pytest.raises(RuntimeError, match="must not be a complex number"):
        dt.add(x, x, alpha=1j)


@pytest.mark.parametrize("ends", [(-2.5, -7), (-2.5, 1), (0.5, 2.7), (0, 3)], ids=str)
@pytest.mark.parametrize("name", ["linspace", "logspace"])
def test_ends_of_integers_are_integers(name: str, ends: tuple[float, float], device: Any) -> None:
    for steps in (1, 2, 13):
        mine = getattr(dt, name)(*ends, steps, dtype=dt.int16, device=device)
        assert mine.tolist() == getattr(torch, name)(*ends, steps, dtype=torch.int16).tolist()
    with pytest.raises(RuntimeError, match="without overflow"):
        getattr(dt, name)(0, 300, 3, dtype=dt.uint8, device=device)


def test_atan2_has_no_slope_where_both_are_0(device: Any) -> None:
    given = ([0.0, 0.0, 3.0], [0.0, 2.0, 4.0])
    mine = [dt.tensor(v, device=device, requires_grad=True) for v in given]
    other = [torch.tensor(v, requires_grad=True) for v in given]
    dt.atan2(*mine).sum().backward()
    torch.atan2(*other).sum().backward()
    for a, b in zip(mine, other, strict=True):
        same(a.grad, b.grad, 1e-6, "atan2")


WRAPS: dict[str, Any] = {
    "linspace": lambda m, t, v: m.linspace(v, 3, 3, dtype=m.uint8),
    "logspace": lambda m, t, v: m.logspace(2, v, 3, dtype=m.uint8),
    "index_fill": lambda m, t, v: t([1, 2], "uint8").index_fill(0, t([0], "int64"), v),
    "masked_fill": lambda m, t, v: t([1, 2], "uint8").masked_fill(t([1, 0], "bool"), v),
    "scatter": lambda m, t, v: t([1, 2], "uint8").scatter(0, t([0], "int64"), v),
    "under a mask": lambda m, t, v: _set(t([1, 2], "uint8"), t([1, 0], "bool"), v),
}


@pytest.mark.parametrize("value", [-1, -1.0, -0.5, -0.0], ids=str)
@pytest.mark.parametrize("name", WRAPS)
def test_only_integers_wrap_around(name: str, value: float, device: Any) -> None:
    """Where PyTorch takes -1 for 255, it refuses -1.0."""
    function = WRAPS[name]

    def mine() -> Any:
        with dt.device(device):
            return function(dt, lambda x, kind: dt.tensor(x, dtype=getattr(dt, kind)), value)

    try:
        other = function(torch, lambda x, k: torch.tensor(x, dtype=getattr(torch, k)), value)
    except RuntimeError:
        with pytest.raises(RuntimeError, match="without overflow"):
            mine()
    else:
        same(mine(), other, 0, name)


@pytest.mark.parametrize("kind", ["bool", "int64", "float32"])
def test_no_complex_number_fills_rows_of_real_ones(kind: str, device: Any) -> None:
    for m, at in ((dt, {"device": device}), (torch, {})):
        x = m.tensor([0, 1], dtype=getattr(m, kind), **at)
        for value in (1j, 1 + 0j, m.tensor(1j, **at)):
            for fill in (x.index_fill, x.index_fill_):
                with pytest.raises(RuntimeError, match="Converting complex Scalar to non-complex"):
                    fill(0, m.tensor([0], **at), value)


def test_bins_between_ends_further_apart_than_the_largest_number(device: Any) -> None:
    x = [0.0, 1.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine = dt.histogram(dt.tensor(x, device=device), bins=2, range=(-3e38, 3e38))
    other = torch.histogram(torch.tensor(x), bins=2, range=(-3e38, 3e38))
    for a, b in zip(mine, other, strict=True):
        same(a, b, 0, "histogram")
