"""The rule in numbers: examples done by hand, and long sequences against the reference."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from fixed_point_reference import Operand

import dovetail as dt
from dovetail.fixed_point import Adjustment, Quantizer, quantization_error

RULE = Adjustment()


def test_the_constants() -> None:
    assert (RULE.bits, RULE.step_bits, RULE.max_bits) == (8, 8, 24)
    assert (RULE.threshold, RULE.alpha, RULE.beta) == (0.03, 0.04, 0.1)
    assert (RULE.gamma, RULE.delta) == (2, 100)
    assert (RULE.warmup, RULE.max_interval) == (10, 10)


def test_error_by_hand() -> None:
    assert quantization_error(3.0, 0.0) == 0
    assert quantization_error(3.0, 3.0) == 1
    assert quantization_error(3.0, -9.0) == 2  # grown counts as shrunk does
    assert quantization_error(167.0, 40.0) == pytest.approx(math.log2(207 / 167))


def test_position_by_hand() -> None:
    for peak, bits, position in (
        (127.0, 8, 0), (127.0 + 1e-9, 8, 1), (254.0, 8, 1), (64.0, 8, 0), (63.5, 8, -1),
        (1.0, 8, -6), (1.0, 16, -14), (1.0, 24, -22), (2.0, 2, 1), (1e-45, 8, -126),
        (3.4e38, 8, 122), (3.4e38, 2, 126),
    ):  # fmt: skip
        assert RULE.position(peak, bits) == position, (peak, bits)


def test_width_by_hand() -> None:
    assert RULE.wider(8, 0.03) == 8
    assert RULE.wider(8, 0.0301) == 16
    assert RULE.wider(16, 1.0) == 24
    assert RULE.wider(24, 1.0) == 24
    assert replace(RULE, max_bits=8).wider(8, 1.0) == 8
    assert replace(RULE, max_bits=20).wider(16, 1.0) == 16


def test_interval_by_hand() -> None:
    rule = replace(RULE, max_interval=100)
    assert rule.interval(9, 0.0, 0.0) == 1  # warmup
    assert rule.interval(10, 0.0, 0.0) == 100  # nothing moves
    assert rule.interval(10, 0.0, 0.01) == 8  # 0.1 / (100 · 0.0001) − 2
    assert rule.interval(10, 0.0, 0.02) == 1  # 0.1 / 0.04 − 2 = 0.5
    assert rule.interval(10, 0.02, 0.01) == 3  # 0.1 / 0.02 − 2
    assert rule.interval(10, 0.03, 0.01) == 1  # 0.1 / 0.03 − 2 = 1.3
    assert rule.interval(10, 1e-4, 0.0) == 100  # 998, but 100 is the longest
    assert replace(RULE, max_interval=5000).interval(10, 1e-4, 0.0) == 998
    assert replace(RULE, warmup=0).interval(0, 0.0, 0.0) == 10


def test_a_tensor_by_hand() -> None:
    """127 and a hundred times 0.4: at 8 bits the step is 1, and 0.4 is lost."""
    x = dt.tensor([127.0] + [0.4] * 100)
    narrow = Quantizer(Adjustment(max_bits=8))
    assert narrow(x).tolist() == [127.0] + [0.0] * 100
    assert narrow.error == pytest.approx(math.log2(40 / 167 + 1))
    quantizer = Quantizer(RULE)
    # At 16 bits the step is 2^-8: 0.4 · 256 = 102.4, so 102 / 256.
    assert quantizer(x).tolist() == [127.0] + [102 / 256] * 100
    assert (quantizer.bits, quantizer.position, quantizer.average) == (16, -8, -8.0)
    assert quantizer.error == pytest.approx(math.log2(0.15625 / 167 + 1), rel=1e-4)
    assert quantizer.began == [0, 0]


def test_a_wider_integer_is_no_movement() -> None:
    quantizer = Quantizer(Adjustment(max_interval=1))
    quantizer(dt.tensor([127.0]))
    assert (quantizer.position, quantizer.next) == (0, 1)
    quantizer(dt.tensor([127.0] + [0.4] * 100))
    assert (quantizer.bits, quantizer.position, quantizer.average) == (16, -8, -8.0)
    quantizer(dt.tensor([127.0 * 256]))  # the range grows by 2^8: the point moves by 8
    assert (quantizer.position, quantizer.average) == (0, pytest.approx(-8 + 0.04 * 8))


def tensors(seed: int, count: int) -> list[np.ndarray]:
    """Such as gradients are: the spread wanders, the tails grow heavier."""
    rng = np.random.default_rng(seed)
    spread = np.exp(rng.normal(0, 0.4, count).cumsum() / 4)
    tail = np.linspace(0, 2.5, count)
    values = [
        s * (normal * np.exp(t * rng.normal(size=300)))
        for s, t, normal in zip(spread, tail, rng.normal(size=(count, 300)), strict=True)
    ]
    return [v.astype(np.float32) for v in values]


@pytest.mark.parametrize("seed", range(4))
def test_sequences_as_the_reference(seed: int, device: dt.device) -> None:
    mine, reference = Quantizer(Adjustment(warmup=6, max_interval=60)), Operand(6, 60)
    for x in tensors(seed, 150):
        found = mine(dt.tensor(x, device=device)).cpu().numpy()
        np.testing.assert_array_equal(found, reference.see(x))
        assert (mine.bits, mine.position, mine.next) == reference.log[-1]
        assert mine.average == pytest.approx(reference.m, rel=1e-12)
    assert mine.bits > 8, "the sequence must make it grow"
    assert 30 < mine.adjustments < 150


def test_what_says_nothing_changes_nothing(device: dt.device) -> None:
    quantizer = Quantizer(RULE)
    zeros = dt.zeros(3, device=device)
    assert quantizer(zeros).tolist() == [0.0] * 3
    assert (quantizer.position, quantizer.step, quantizer.next) == (None, 1, 1)
    quantizer(dt.ones(3, device=device))
    before = (quantizer.bits, quantizer.position, quantizer.average, quantizer.adjustments)
    for odd in (math.inf, -math.inf, math.nan):
        quantizer.next = quantizer.step
        found = quantizer(dt.tensor([1.0, odd], device=device)).tolist()
        assert found[0] == 1.0
        assert math.isnan(found[1])
    assert quantizer(dt.zeros(0, 4, device=device)).shape == (0, 4)
    after = (quantizer.bits, quantizer.position, quantizer.average, quantizer.adjustments)
    assert after == before
    assert quantizer.next == quantizer.step  # asked again


def test_evaluation_adjusts_nothing() -> None:
    quantizer = Quantizer(RULE).eval()
    x = dt.tensor([1.0, 0.3])
    assert quantizer(x).tolist() == [1.0, 0.296875]  # by what fits: 2^-6
    assert (quantizer.step, quantizer.position, quantizer.adjustments) == (0, None, 0)
    quantizer.train()(x)
    quantizer.eval()
    assert quantizer(8 * x).tolist() == [127 / 64, 127 / 64]  # by what it has learned
    assert (quantizer.step, quantizer.position) == (1, -6)


def test_between_adjustments_nothing_is_read_back() -> None:
    quantizer = Quantizer(RULE)
    quantizer(dt.ones(3))
    quantizer.next = 5
    with dt.trace() as calls:
        quantizer(dt.ones(3))
    names = {call.op for call in calls}
    assert names
    assert not names & {"amax", "sum", "abs", "stack"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"bits": 1},
        {"bits": 16, "max_bits": 8},
        {"max_bits": 25},
        {"step_bits": 0},
        {"max_interval": 0},
    ],
)
def test_rules_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="Adjustment: "):
        Adjustment(**wrong)


@pytest.mark.parametrize("name", ["bits", "max_bits", "step_bits", "warmup", "max_interval"])
def test_numbers_of_bits_and_steps_are_whole(name: str) -> None:
    with pytest.raises(TypeError, match=f"Adjustment: {name} must be an int"):
        Adjustment(**{name: 8.5})
