"""float16 and bfloat16 on the cpu: conversions, functions looked up, and what bits say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

conversion = pytest.importorskip("dovetail_cpu.kernels.conversion")
lookup = pytest.importorskip("dovetail_cpu.kernels.lookup")
torch = pytest.importorskip("torch", reason="parity: PyTorch is not installed")

ALL = np.arange(1 << 16, dtype=np.uint16)
EVERY = ALL.view(np.float16)
EDGES = (65519.99, 65520, 65536, 1e30, np.inf, np.nan, 0.0, 1e-45, 2.0**-25, 2.0**-14)
KINDS = ["float16", "bfloat16"]


def _numbers() -> np.ndarray:
    """float32: every float16, halfway to the next, beside that, and bits of any kind."""
    wide = EVERY.astype(np.float32)
    finite = np.sort(wide[np.isfinite(wide)].astype(np.float64))
    middle = ((finite[1:] + finite[:-1]) / 2).astype(np.float32)
    beside = [np.nextafter(middle, np.float32(s * np.inf)) for s in (1, -1)]
    bits = np.random.default_rng(0).integers(0, 1 << 32, 1 << 18, np.uint32).view(np.float32)
    edges = np.array(EDGES, np.float32)
    with np.errstate(all="ignore"):
        return np.concatenate([wide, middle, *beside, bits, edges, -edges])


def _same(made: np.ndarray, wanted: np.ndarray) -> bool:
    """Bits; of a NaN its sign only."""
    bits = np.uint16 if made.itemsize == 2 else np.uint32
    is_nan = np.isnan(wanted)
    alike = np.where(is_nan, np.isnan(made), made.view(bits) == wanted.view(bits))
    return bool(alike.all() and (np.signbit(made) == np.signbit(wanted)).all())


def test_float16_becomes_float32() -> None:
    made = np.empty(EVERY.shape, np.float32)
    conversion.convert(EVERY, made)
    assert _same(made, EVERY.astype(np.float32))
    finite = EVERY[np.isfinite(EVERY)]
    made = np.empty(finite.shape, np.float32)
    conversion.convert(finite, made)
    assert _same(made, finite.astype(np.float32))


@pytest.mark.parametrize("largest", [np.inf, 65504.0, 1e-3])
def test_float32_becomes_float16(largest: float) -> None:
    given = _numbers()
    if largest != np.inf:
        given = given[np.abs(given) <= largest]
    made = np.empty(given.shape, np.float16)
    conversion.convert(given, made)
    with np.errstate(all="ignore"):
        assert _same(made, given.astype(np.float16))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.t(),
        lambda x: x[:, ::2],
        lambda x: x[1:, 1:],
        lambda x: x[:1].expand(300, -1),
    ],
    ids=["transposed", "stepped", "cut", "expanded"],
)
def test_conversions_of_other_layouts(view: Any) -> None:
    x = np.random.default_rng(1).standard_normal((300, 400)).astype(np.float32) * 1e-4
    given, beside = view(dt.from_numpy(x)), view(torch.from_numpy(x))
    made, wanted = given.to(dt.float16), beside.to(torch.float16)
    assert np.array_equal(made.numpy(), wanted.numpy())
    assert np.array_equal(made.to(dt.float32).numpy(), wanted.to(torch.float32).numpy())
    wide = view(dt.from_numpy(x).to(dt.float16)).to(dt.bfloat16).to(dt.float32)
    expected = view(torch.from_numpy(x).to(torch.float16)).to(torch.bfloat16)
    assert np.array_equal(wide.numpy(), expected.to(torch.float32).numpy())


def _pairs(kind: str, bits: np.ndarray = ALL) -> tuple[Any, Any]:
    """Both frameworks' tensor of these bits."""
    given = torch.from_numpy(bits.view(np.int16).copy()).view(getattr(torch, kind))
    return dt.from_numpy(bits.view(np.int16).copy()).view(getattr(dt, kind)), given


def _wide(x: Any) -> np.ndarray:
    return np.asarray(x.detach().to(dt.float32 if isinstance(x, dt.Tensor) else torch.float32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["relu", "abs", "neg", "isnan", "isinf", "isfinite", "signbit"])
def test_bits(name: str, kind: str) -> None:
    x, y = _pairs(kind)
    np.testing.assert_array_equal(_wide(getattr(dt, name)(x)), _wide(getattr(torch, name)(y)))


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_relu_and_copysign(kind: str) -> None:
    x, y = _pairs(kind)
    g, h = _pairs(kind, np.random.default_rng(2).permutation(ALL))
    np.testing.assert_array_equal(_wide(dt.copysign(x, g)), _wide(torch.copysign(y, h)))
    number = ~np.isnan(_wide(y))  # at NaN PyTorch's depends on the processor
    x.requires_grad_(), y.requires_grad_()
    dt.nn.functional.relu(x).backward(g)
    torch.nn.functional.relu(y).backward(h)
    np.testing.assert_array_equal(_wide(x.grad)[number], _wide(y.grad)[number])


@pytest.mark.parametrize("kind", KINDS)
def test_values_looked_up(kind: str) -> None:
    x, y = _pairs(kind)
    room = {"rtol": 2.0**-10 if kind == "float16" else 2.0**-7, "atol": 1e-7}
    for alpha in (1.0, 0.5):
        made = dt.nn.functional.elu(x, alpha)
        np.testing.assert_allclose(_wide(made), _wide(torch.nn.functional.elu(y, alpha)), **room)
    for name in ("sqrt", "floor", "log1p", "erfc", "sign"):
        np.testing.assert_allclose(
            _wide(getattr(dt, name)(x)), _wide(getattr(torch, name)(y)), **room
        )
    square = x.view(256, 256)
    assert np.array_equal(
        _wide(square.t().sqrt()), _wide(y.view(256, 256).t().sqrt()), equal_nan=True
    )


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_beside_are_asked_each_time(kind: str) -> None:
    x, y = _pairs(kind, np.tile(ALL, 5))
    for number in (1.5, -0.25):
        assert np.array_equal(_wide(x * number), _wide(y * number), equal_nan=True)
        assert np.array_equal(_wide(number - x), _wide(number - y), equal_nan=True)


def test_values_are_kept_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_known", {})
    monkeypatch.setattr(lookup, "_CAPACITY", 3)
    x, y = _pairs("float16")
    for slope in (0.1, 0.2, 0.3, 0.4, 0.1):
        made = dt.nn.functional.leaky_relu(x, slope)
        wanted = torch.nn.functional.leaky_relu(y, slope)
        assert np.array_equal(_wide(made), _wide(wanted), equal_nan=True)
    assert len(lookup._known) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["add", "mul", "div", "maximum", "lt", "eq"])
def test_two_operands(name: str, kind: str) -> None:
    x, y = _pairs(kind)
    g, h = _pairs(kind, np.random.default_rng(3).permutation(ALL))
    made, wanted = getattr(dt, name)(x, g), getattr(torch, name)(y, h)
    np.testing.assert_array_equal(_wide(made), _wide(wanted))
