"""lgamma, digamma and erfinv on the cpu, common elements and others apart: beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity: PyTorch is not installed")

RNG = np.random.default_rng(0)
N = 70001
VALUES = {
    "lgamma": {
        "common": RNG.uniform(1e-3, 7.999, N),
        "small": np.abs(RNG.standard_normal(N)) * 0.4 + 1e-9,
        "near its zeros": RNG.integers(1, 3, N) + RNG.standard_normal(N) / 1e3,
        "large": RNG.uniform(8, 1e6, N),
        "mixed": RNG.uniform(0.05, 20, N),
        "below 0": -RNG.integers(0, 30, N) - RNG.uniform(0.2, 0.8, N),
        "special": np.array([0.0, -0.0, -1, -2, np.nan, np.inf, -np.inf, 8, 1, 2, 1e30, 3] * 9),
    },
    "digamma": {
        "common": RNG.uniform(1e-3, 9.999, N),
        "small": np.abs(RNG.standard_normal(N)) * 0.4 + 1e-9,
        "large": RNG.uniform(10, 1e6, N),
        "mixed": RNG.uniform(0.05, 20, N),
        "below 0": -RNG.integers(0, 30, N) - RNG.uniform(0.2, 0.8, N),
        "special": np.array([0.0, -0.0, -1, -2, np.nan, np.inf, -np.inf, 10, 1, 2, 1e30, 3] * 9),
    },
    "erfinv": {
        "common": RNG.uniform(-0.85, 0.85, N),
        "all": RNG.uniform(-1, 1, N),
        "tails": np.copysign(1 - 10 ** RNG.uniform(-14, -1, N), RNG.standard_normal(N)),
        "special": np.array([0.0, -0.0, 1, -1, 1.5, -3, np.nan, np.inf, -np.inf, 0.85, -0.85]),
    },
}  # fmt: skip
EXACT = {"lgamma": torch.lgamma, "digamma": torch.digamma, "erfinv": torch.erfinv}
ULP = {"lgamma": 16, "digamma": 32, "erfinv": 16}


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "group"), [(name, group) for name, groups in VALUES.items() for group in groups]
)
def test_values(name: str, group: str, kind: type) -> None:
    x = VALUES[name][group].astype(kind)
    made = getattr(dt.from_numpy(x), name)().numpy()
    exact = EXACT[name](torch.from_numpy(x.astype(np.float64))).numpy()
    assert made.dtype == kind
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(made[~finite], exact[~finite])
    # lgamma below 0 has zeros between its poles; elsewhere it is exact beside its own.
    least = 1.0 if group == "below 0" or kind is np.float64 else 1e-30
    error = np.abs(made[finite] - exact[finite]) / np.maximum(np.abs(exact[finite]), least)
    assert error.max(initial=0) <= ULP[name] * np.finfo(kind).eps


@pytest.mark.parametrize("name", VALUES)
def test_in_place_strided_and_small(name: str) -> None:
    x = np.concatenate([VALUES[name]["special"], RNG.uniform(-0.99, 20, 1189)])[:1188]
    wanted = EXACT[name](torch.from_numpy(x)).numpy()
    ours = dt.from_numpy(x.copy())
    getattr(ours, name + "_")()
    np.testing.assert_allclose(ours.numpy(), wanted, rtol=1e-13, atol=1e-14)
    turned = getattr(dt.from_numpy(x.reshape(33, 36)).t()[::2], name)()
    np.testing.assert_allclose(
        turned.numpy(), wanted.reshape(33, 36).T[::2], rtol=1e-13, atol=1e-14
    )
    assert getattr(dt.tensor(0.25), name)().shape == ()
    assert getattr(dt.zeros(0, 3), name)().shape == (0, 3)
