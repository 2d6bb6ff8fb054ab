"""The report: widths over steps by layer, shares, and the row beside other networks."""

from __future__ import annotations

import pytest

import dovetail as dt
from dovetail import nn
from dovetail.fixed_point import Adjustment, LayerReport, OperandReport, Report, prepare, report

NARROW = OperandReport(8, ((0, 8),), 100, 10, 0.001)
GROWN = OperandReport(16, ((0, 8), (25, 16)), 100, 40, 0.002)
WIDE = OperandReport(24, ((0, 8), (50, 16), (50, 24)), 100, 50, 0.04)
EXAMPLE = Report(
    (
        LayerReport("conv", "Conv2d", NARROW, NARROW, GROWN),
        LayerReport("fc", "Linear", NARROW, NARROW, NARROW),
    )
)


def test_steps_at() -> None:
    assert [NARROW.steps_at(b) for b in (8, 16)] == [100, 0]
    assert [GROWN.steps_at(b) for b in (8, 16, 24)] == [25, 75, 0]
    assert [WIDE.steps_at(b) for b in (8, 16, 24)] == [50, 0, 50]


def test_in_words() -> None:
    assert str(NARROW) == "int8"
    assert str(GROWN) == "int8, int16 from step 25"
    assert str(WIDE) == "int8, int24 from step 50"  # a width of no step is not told
    assert str(OperandReport(16, ((0, 8), (0, 16)), 3, 1, 0.0)) == "int16"
    assert str(OperandReport(8, ((0, 8),), 0, 0, 0.0)) == "int8"


def test_shares() -> None:
    assert EXAMPLE.shares("activation") == {8: 1.0}
    assert EXAMPLE.shares("gradient") == {8: 0.625, 16: 0.375}
    wide = Report((LayerReport("fc", "Linear", NARROW, NARROW, WIDE),))
    assert wide.shares("gradient") == {8: 0.5, 24: 0.5}
    assert report(prepare(nn.Linear(2, 2))).shares("weight") == {}


def test_the_row() -> None:
    assert EXAMPLE.table("AlexNet", float32=0.58, adaptive=0.5822).split("\n") == [
        "Network  float32 Acc  Adaptive Acc  Activation int8  Weight int8  Gradient int8  "
        "Gradient int16",
        "AlexNet  58.0         58.2          100.0%           100.0%       62.5%          37.5%",
    ]
    wide = Report((LayerReport("fc", "Linear", GROWN, NARROW, WIDE),))
    heads, row = wide.table("SSD", float32=0.431, adaptive=0.424, metric="mAP").split("\n")
    assert heads.split("  ")[1] == "float32 mAP"
    assert [h.strip() for h in heads.split("  ") if h][3:] == [
        "Activation int8", "Activation int16", "Weight int8", "Gradient int8", "Gradient int16",
        "Gradient int24",
    ]  # fmt: skip
    assert row.split()[3:] == ["25.0%", "75.0%", "100.0%", "50.0%", "0.0%", "50.0%"]


def test_the_layers() -> None:
    assert str(EXAMPLE).split("\n") == [
        "Layer  Kind    Steps  Activation  Weight  Gradient                  Measured",
        "conv   Conv2d  100    int8        int8    int8, int16 from step 25  20.0%",
        "fc     Linear  100    int8        int8    int8                      10.0%",
    ]


def test_of_a_model() -> None:
    model = prepare(
        nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 101)),
        gradient=Adjustment(max_interval=1),
    )
    calm = dt.ones(1, 101)
    model(dt.ones(1, 2)).backward(calm)
    model(dt.ones(1, 2)).backward(calm)
    spiky = dt.full((1, 101), 0.4)
    spiky[0, 0] = 127
    model(dt.ones(1, 2)).backward(spiky)
    assert [layer.name for layer in report(model).layers] == ["0", "1"]
    last = report(model).layers[1]
    assert (last.kind, last.gradient.bits) == ("Linear", 16)
    assert last.gradient.history == ((0, 8), (2, 16))
    assert (last.gradient.steps, last.gradient.adjustments) == (3, 3)
    assert 0 < last.gradient.error < 0.03
    single = report(model[1])
    assert single.layers[0].name == ""
    assert single.layers[0].gradient == last.gradient


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"report: the model must come from fixed_point\.prepare"):
        report(nn.Linear(2, 2))
