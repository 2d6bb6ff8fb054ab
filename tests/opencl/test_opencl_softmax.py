"""softmax, log_softmax and their gradients on opencl, beside float64.

Lines shorter than a vector and longer than what is held of one; side by side, fewer and more than a
vector; in blocks; with elements that are no numbers.
"""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt
from dovetail import ops

pytestmark = pytest.mark.usefixtures("opencl")
DEVICE = "opencl:0"
NEAR = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 4e-6, "float64": 1e-14}
"""By dtype, what a result may be away from float64's, of itself: distances up to 128 from the
largest element are rounded by as much as 4e-6 in float32."""

SHAPES = [(7,), (3, 5), (5, 300), (3, 20000), (33, 16), (19, 79), (100, 17), (2500, 70), (4, 65, 3)]


def _softmax(x: np.ndarray, dim: int) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        e = np.exp(x - np.fmax.reduce(x, dim, keepdims=True))
    return e / e.sum(dim, keepdims=True)


def _log_softmax(x: np.ndarray, dim: int) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = x - np.fmax.reduce(x, dim, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(dim, keepdims=True))


REFERENCES = {"softmax": _softmax, "log_softmax": _log_softmax}


def _both(values: np.ndarray, dtype: str) -> tuple[dt.Tensor, np.ndarray]:
    """On the device in a dtype, and what that keeps of it."""
    here = dt.tensor(values).to(getattr(dt, dtype))
    return here.to(DEVICE), here.double().numpy()


def _near(made: dt.Tensor, wanted: np.ndarray, dtype: str, absolute: float) -> None:
    found = made.double().cpu().numpy()
    np.testing.assert_allclose(found, wanted, rtol=NEAR[dtype], atol=absolute)


@pytest.mark.parametrize("kind", ["plain", "far", "nan", "inf", "-inf", "a line of -inf"])
@pytest.mark.parametrize("dtype", NEAR)
def test_values(dtype: str, kind: str) -> None:
    for shape in SHAPES:
        values = 4 * np.random.default_rng(len(shape) + shape[-1]).standard_normal(shape)
        for dim in range(len(shape)):
            if kind == "far":
                values[..., :1] += 1000
            elif kind == "a line of -inf":
                values[tuple(slice(None) if d == dim else 0 for d in range(len(shape)))] = -np.inf
            elif kind != "plain":
                values.flat[values.size // 3] = float(kind)
            x, kept = _both(values, dtype)
            # Halves end before float64 does.
            least = 1e-7 if dtype == "float16" else 2e-38
            _near(x.softmax(dim), _softmax(kept, dim), dtype, least)
            wanted = _log_softmax(kept, dim)
            _near(x.log_softmax(dim), wanted, dtype, NEAR[dtype])


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("name", REFERENCES)
def test_gradients(name: str, dtype: str) -> None:
    for shape in SHAPES:
        draw = np.random.default_rng(len(shape) + shape[-1])
        for dim in range(len(shape)):
            g, grad = _both(draw.standard_normal(shape), dtype)
            y, made = _both(REFERENCES[name](draw.standard_normal(shape), dim), dtype)
            if name == "softmax":
                wanted = made * (grad - (grad * made).sum(dim, keepdims=True))
            else:
                wanted = grad - np.exp(made) * grad.sum(dim, keepdims=True)
            gradient = getattr(ops, f"{name}_backward")(g, y, dim=dim)
            largest = float(np.abs(wanted).max())
            _near(gradient, wanted, dtype, 2 * NEAR[dtype] * largest)


def test_a_block_for_each_work_item() -> None:
    """As many lines as blocks do not divide, in two places before them."""
    values = np.random.default_rng(1).standard_normal((2, 40, 1003))
    x, kept = _both(values, "float32")
    _near(x.softmax(1), _softmax(kept, 1), "float32", 0)
    _near(x[:, :, 3:].softmax(1), _softmax(kept[:, :, 3:], 1), "float32", 0)


def test_what_is_small_is_small() -> None:
    """Exponentials of far distances to their last bits, and 0 below the smallest normal number."""
    line = np.array([0, -1, -20, -50, -87, -90, -120, -1e30, -np.inf] * 9, "float32")
    for shape, dim in (((81,), 0), ((81, 1), 0)):
        x = dt.tensor(np.broadcast_to(line.reshape(shape), (*shape[:1], *[40] * (len(shape) - 1))))
        made = x.to(DEVICE).softmax(dim).double().cpu().numpy()
        wanted = _softmax(x.double().numpy(), dim)
        is_normal = wanted > 1.2e-38
        np.testing.assert_allclose(made[is_normal], wanted[is_normal], rtol=5e-7)
        assert (made[~is_normal] <= 1.2e-38).all()
        assert (made[wanted == 0] == 0).all()
