"""Special functions over their whole domains, against SciPy; what records cannot say of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import special

scipy_special = pytest.importorskip("scipy.special", reason="accuracy is measured against SciPy")
sp: Any = scipy_special

Both = tuple[Callable[..., Any], Callable[..., Any]]


def spread(low: float, high: float) -> np.ndarray:
    """Numbers of every size between two positive ones."""
    return np.geomspace(low, high, 400)


def line(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 400)


ANY_SIZE = np.concatenate([-spread(1e-12, 1e12), spread(1e-12, 1e12)])
BEYOND_ZEROS = np.concatenate([spread(1e-10, 0.9), line(2.1, 12), spread(12, 1e8)])

ACCURATE: dict[str, tuple[Callable[..., Any], Any, np.ndarray, float]] = {
    "asinh": (dt.asinh, np.arcsinh, ANY_SIZE, 8),
    "acosh": (dt.acosh, np.arccosh, 1 + spread(1e-12, 1e12), 8),
    "atanh": (dt.atanh, np.arctanh, np.concatenate([line(-0.999, 0.999), spread(1e-12, 0.9)]), 8),
    "erfc": (dt.erfc, sp.erfc, line(-6, 5), 16),
    "erfcx": (special.erfcx, sp.erfcx, np.concatenate([line(-3, 9), spread(5, 1e9)]), 16),
    "erfinv": (dt.erfinv, sp.erfinv, np.append(line(-0.99, 0.99), 1 - spread(1e-14, 1e-2)), 16),
    "ndtri": (special.ndtri, sp.ndtri, np.concatenate([spread(1e-250, 0.4), line(0.6, 0.99)]), 16),
    "ndtr": (special.ndtr, sp.ndtr, line(-9, 9), 100),
    "log_ndtr": (special.log_ndtr, sp.log_ndtr, line(-60, 5), 100),
    "lgamma": (dt.lgamma, sp.gammaln, BEYOND_ZEROS, 64),
    "digamma": (dt.digamma, sp.digamma, BEYOND_ZEROS, 64),
    "i0": (dt.i0, sp.i0, line(-60, 60), 16),
    "i1": (special.i1, sp.i1, np.concatenate([line(-60, 60), spread(1e-12, 1)]), 24),
    "i0e": (special.i0e, sp.i0e, np.concatenate([line(-60, 60), spread(1, 1e8)]), 16),
    "i1e": (special.i1e, sp.i1e, np.concatenate([line(-60, 60), spread(1, 1e8)]), 24),
    "modified_bessel_k0": (special.modified_bessel_k0, sp.k0, spread(1e-10, 600), 32),
    "modified_bessel_k1": (special.modified_bessel_k1, sp.k1, spread(1e-10, 600), 32),
    "scaled_modified_bessel_k0": (
        special.scaled_modified_bessel_k0, sp.k0e, spread(1e-10, 1e8), 32,
    ),
    "scaled_modified_bessel_k1": (
        special.scaled_modified_bessel_k1, sp.k1e, spread(1e-10, 1e8), 32,
    ),
    "entr": (special.entr, sp.entr, spread(1e-10, 1e10), 4),
}  # fmt: skip
"""(function, reference, places, units in the last place)."""

SWINGING: dict[str, tuple[Callable[..., Any], Any, np.ndarray, float]] = {
    "bessel_j0": (special.bessel_j0, sp.j0, line(-40, 40), 1e-15),
    "bessel_j1": (special.bessel_j1, sp.j1, line(-40, 40), 1e-15),
    "bessel_y0": (special.bessel_y0, sp.y0, line(0.1, 40), 4e-15),
    "bessel_y1": (special.bessel_y1, sp.y1, line(0.5, 40), 4e-15),
    "airy_ai": (special.airy_ai, lambda x: sp.airy(x)[0], line(-20, 20), 1e-14),
    "spherical_bessel_j0": (
        special.spherical_bessel_j0, lambda x: sp.spherical_jn(0, x), line(0, 40), 1e-15,
    ),
}  # fmt: skip
"""(function, reference, places, absolute error)."""


def on(device: Any, x: np.ndarray) -> Any:
    return dt.tensor(x, device=device)


def values(x: Any) -> np.ndarray:
    return np.asarray(x.cpu().numpy())


@pytest.mark.parametrize("name", ACCURATE)
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_digits(name: str, kind: type, device: Any) -> None:
    function, reference, places, ulp = ACCURATE[name]
    x = places.astype(kind)
    with np.errstate(all="ignore"):
        expected = reference(x.astype(np.float64))
        kept = np.abs(expected.astype(kind)) < np.inf
    kept &= np.abs(expected) >= np.finfo(kind).smallest_normal
    made = values(function(on(device, x)))
    error = np.abs(made[kept].astype(np.float64) - expected[kept])
    allowed = ulp * np.finfo(kind).eps * np.abs(expected[kept])
    worst = int(np.argmax(error / allowed))
    assert (error <= allowed).all(), (x[kept][worst], made[kept][worst], expected[kept][worst])


@pytest.mark.parametrize("name", SWINGING)
def test_values_of_what_swings(name: str, device: Any) -> None:
    function, reference, x, error = SWINGING[name]
    np.testing.assert_allclose(values(function(on(device, x))), reference(x), 1e-13, error)


def test_lgamma_beside_its_zeros(device: Any) -> None:
    # lgamma(1 + t) = -euler * t + (pi**2 / 12) * t**2 - ..., lgamma(2 + t) = (1 - euler) * t + ...
    t = np.array([2.0**-20, -(2.0**-20), 2.0**-30])
    euler, square = 0.57721566490153286061, np.pi**2 / 12
    near_1 = -euler * t + square * t**2 - 1.2020569031595942 / 3 * t**3
    near_2 = (1 - euler) * t + (square - 0.5) * t**2 - (1.2020569031595942 - 1) / 3 * t**3
    np.testing.assert_allclose(values(on(device, 1 + t).lgamma()), near_1, 1e-14)
    np.testing.assert_allclose(values(on(device, 2 + t).lgamma()), near_2, 1e-14)


def test_polygamma_and_zeta_below_zero(device: Any) -> None:
    x = np.array([-0.5, -1.25, -7.75, -40.3])
    for n in (1, 2, 3):
        expected = (-1) ** (n + 1) * float(sp.factorial(n)) * _hurwitz(n + 1, x)
        np.testing.assert_allclose(values(dt.polygamma(n, on(device, x))), expected, 1e-12)
        zeta = special.zeta(dt.tensor(n + 1.0, dtype=dt.float64), on(device, x))
        np.testing.assert_allclose(values(zeta), _hurwitz(n + 1, x), 1e-12)


def _hurwitz(s: int, q: np.ndarray) -> np.ndarray:
    """The terms up to above zero one by one, SciPy's function for the rest."""
    steps = int(np.ceil(-q.min()))
    terms = np.sum([(q + k) ** -float(s) for k in range(steps)], axis=0)
    return np.asarray(terms + sp.zeta(s, q + steps))


def test_zeta_of_a_large_order_is_its_first_term(device: Any) -> None:
    orders = dt.full((4,), 1e17, dtype=dt.float64, device=device)
    bases = dt.tensor([1.0, 2.0, 0.5, -2.5], dtype=dt.float64, device=device)
    assert special.zeta(orders, bases).tolist() == [1.0, 0.0, np.inf, np.inf]


def test_incomplete_gamma_in_every_region(device: Any) -> None:
    a, ratio = np.meshgrid(np.geomspace(1e-3, 1e4, 41), np.geomspace(0.02, 20, 41))
    x = a * ratio
    lower, upper = values(dt.igamma(on(device, a), on(device, x))), None
    upper = values(dt.igammac(on(device, a), on(device, x)))
    for made, expected in ((lower, sp.gammainc(a, x)), (upper, sp.gammaincc(a, x))):
        seen = expected > 1e-80
        np.testing.assert_allclose(made[seen], expected[seen], 2e-12)
    np.testing.assert_allclose(lower + upper, 1, 1e-15)


def test_incomplete_gamma_has_a_gradient_in_its_second_operand_only(device: Any) -> None:
    a = dt.tensor([1.5, 2.0], device=device, requires_grad=True)
    x = dt.tensor([0.5, 3.0], device=device, requires_grad=True)
    out = dt.igamma(a, x).sum()
    (found,) = dt.autograd.grad(out, x, retain_graph=True)
    np.testing.assert_allclose(values(found), [0.48394144, 0.14936121], 1e-6)
    with pytest.raises(NotImplementedError, match="derivative for 'igamma: input'"):
        out.backward()


@pytest.mark.parametrize("name", ["bessel_y1", "airy_ai", "modified_bessel_k0"])
def test_no_gradient(name: str, device: Any) -> None:
    x = dt.tensor([0.5, 3.0], device=device, requires_grad=True)
    assert not getattr(special, name)(x).requires_grad


def test_polynomials_of_high_degree(device: Any) -> None:
    x = np.array([-1.0, -0.6, 0.1, 0.99, 1.0, 1.02, -1.1])
    n = np.array([9.0, 30.0, 64.0])[:, None]
    tables: tuple[tuple[str, Any, Any], ...] = (
        ("chebyshev_polynomial_t", sp.eval_chebyt, x),
        ("chebyshev_polynomial_u", sp.eval_chebyu, x),
        ("shifted_chebyshev_polynomial_t", sp.eval_sh_chebyt, (x + 1) / 2),
        ("shifted_chebyshev_polynomial_u", sp.eval_sh_chebyu, (x + 1) / 2),
        ("legendre_polynomial_p", sp.eval_legendre, x),
        ("laguerre_polynomial_l", sp.eval_laguerre, np.abs(x)),
        ("hermite_polynomial_h", sp.eval_hermite, x),
        ("hermite_polynomial_he", sp.eval_hermitenorm, x),
    )
    for name, reference, places in tables:
        made = values(getattr(special, name)(on(device, places), on(device, n)))
        expected = reference(n.astype(int), places)
        scale = np.abs(expected).max(1, keepdims=True)
        np.testing.assert_allclose(made / scale, expected / scale, 1e-10, 1e-12, err_msg=name)


def test_float_power_in_place_keeps_float64(device: Any) -> None:
    with pytest.raises(RuntimeError, match=r"dtype Float but .* requires dtype Double"):
        dt.ones(2, device=device).float_power_(2)
    x = dt.tensor([2.0, 3.0], dtype=dt.float64, device=device)
    assert x.float_power_(2) is x
    assert x.tolist() == [4.0, 9.0]


def test_round_to_decimals(device: Any) -> None:
    x = dt.tensor([1.2345, -1234.5], dtype=dt.float64, device=device)
    assert x.round(decimals=2).tolist() == [1.23, -1234.5]
    assert x.round(decimals=-2).tolist() == [0.0, -1200.0]
    assert x.round_(decimals=1) is x
    assert x.tolist() == [1.2, -1234.5]
    with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
        dt.arange(3, device=device).round(decimals=1)


def test_no_float64_takes_part_in_float32(device: Any) -> None:
    """Nothing is computed in the default dtype, whatever it is."""
    from dovetail.ops.schema import REGISTRY

    names = {"asinh", "acosh", "atanh", "igamma", "igammac", "lgamma", "fmax", "nextafter"}
    operators = [REGISTRY[n] for n in sorted(names | (set(special.__all__) & set(REGISTRY)))]
    before = dt.get_default_dtype()
    dt.set_default_dtype(dt.float64)
    try:
        for op in operators:
            if op.kind != "elementwise" or op.attributes or op.decompose is None:
                continue
            assert op.samples is not None
            for sample in op.samples(np.random.default_rng(1), dt.float32)[:3]:
                args = [on(device, a) if isinstance(a, np.ndarray) else a for a in sample.args]
                assert op.decompose(*args).dtype is dt.float32, op.name
    finally:
        dt.set_default_dtype(before)


def test_every_public_name_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="the names are PyTorch's")
    assert sorted(special.__all__) == sorted(torch.special.__all__)
    for name in special.__all__:
        assert callable(getattr(dt.special, name))
