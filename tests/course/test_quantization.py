"""Fewer bits: quantization of a trained network (003 L2106-2131), training with few (L680-722)."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import nn

from .listings import section_of
from .mistakes import says


def test_003_L2117_the_weights_are_integers(run: Any) -> None:
    names = run("003 L2117")
    before, after = names.model_before_quantize, names.model_quantized
    assert type(before.conv) is nn.Conv2d
    weight = after.conv.weight()
    assert weight.dtype is dt.qint8
    # Each weight is within half a step of what it was.
    scale = max(np.ravel(weight.q_per_channel_scales().tolist() if weight.qscheme() in (
        dt.per_channel_affine, dt.per_channel_symmetric) else [weight.q_scale()]))  # fmt: skip
    moved = np.abs(np.array(weight.dequantize().tolist()) - np.array(before.conv.weight.tolist()))
    assert 0 < moved.max() <= scale * 0.51
    x = dt.randn(2, 3, 10, 10)
    wanted, found = (np.array(m(x).tolist()) for m in (before, after))
    assert 0 < np.abs(wanted - found).max() < 0.03 * np.abs(wanted).max()


def test_003_L2112_an_activations_scale_follows_its_range(run: Any) -> None:
    """Ten times the input is ten times the output: a fixed scale would cut it off."""
    model = run("003 L2117").model_quantized
    bias = model.conv.bias
    bias = (bias() if callable(bias) else bias).reshape(-1, 1, 1)
    x = dt.randn(1, 3, 8, 8)
    small, large = (np.array((model(x * k) - bias).tolist()) for k in (1, 1000))
    assert np.abs(large / 1000 - small).max() < 0.02 * np.abs(small).max()


def test_M5_the_convolution_is_quantized_and_what_is_not_is_named(run: Any) -> None:
    code = section_of("003 L2117")[-1].code
    with pytest.raises(SyntaxError) as caught:
        ast.parse(code.replace("torch.qint8)", "torch.qint8"))
    says("M5", str(caught.value))
    names = run("003 L2117")
    assert type(names.model_quantized.conv) is dt.ao.nn.quantized.dynamic.Conv2d
    mixed = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    with pytest.warns(UserWarning, match=r"1 \(LayerNorm\)"):
        dt.quantization.quantize_dynamic(mixed, {nn.Linear, nn.LayerNorm}, dtype=dt.qint8)


def test_003_L701_a_row_of_the_table(run: Any) -> None:
    names = run("003 L701")
    heads, row = names.table.splitlines()
    assert heads.split("  ")[0] == "Network"
    for column in ("float32 Acc", "Adaptive Acc", "Activation int8", "Weight int8",
                   "Gradient int8", "Gradient int16"):  # fmt: skip
        assert column in heads
    assert row.startswith("a small one")
    assert names.accuracy > 0.9
    assert names.adaptive_accuracy > names.accuracy - 0.05
    for operand in ("activation", "weight", "gradient"):
        assert sum(names.report.shares(operand).values()) == pytest.approx(1)
