"""Operators without an expression of their own are one launch, written from their decomposition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

Call = Callable[[Any, Any], Any]

CASES: dict[str, Call] = {
    "i0": lambda library, x: library.special.i0(x),
    "i1e": lambda library, x: library.special.i1e(x),
    "log_ndtr": lambda library, x: library.special.log_ndtr(x),
    "ndtri": lambda library, x: library.special.ndtri(x.sigmoid()),
    "erfcx": lambda library, x: library.special.erfcx(x),
    "entr": lambda library, x: library.special.entr(x),
    "sinc": lambda library, x: library.sinc(x),
    "spherical_bessel_j0": lambda library, x: library.special.spherical_bessel_j0(x),
    "modified_bessel_k0": lambda library, x: library.special.modified_bessel_k0(x.abs()),
    "zeta": lambda library, x: library.special.zeta(x.abs() + 1.5, x.abs() + 0.25),
    "trigamma": lambda library, x: library.polygamma(1, x.abs() + 0.1),
    "xlog1py by a number": lambda library, x: library.special.xlog1py(2.0, x.abs()),
    "nan_to_num": lambda library, x: x.nan_to_num(0.5, 7.0),
    "legendre": lambda library, x: library.special.legendre_polynomial_p(x.sin(), 7),
    "hermite": lambda library, x: library.special.hermite_polynomial_he(x, x.abs() + 1),
    "chebyshev": lambda library, x: library.special.chebyshev_polynomial_u(x * 0.125, 40),
    "shifted": lambda library, x: library.special.shifted_chebyshev_polynomial_w(x.sin(), 5),
    "signbit": lambda library, x: x.signbit(),
    "floor of a quotient": lambda library, x: library.div(x, 3.0, rounding_mode="trunc"),
}
NARROW = ("entr", "sinc", "i0", "nan_to_num", "signbit", "trigamma")
"""Those that PyTorch has in bfloat16."""
EXTRA = {
    "ndtri": 1, "modified_bessel_k0": 1, "zeta": 4, "trigamma": 2, "xlog1py by a number": 1,
    "legendre": 1, "hermite": 2, "chebyshev": 1, "shifted": 1,
}  # fmt: skip
"""Launches that make the operands."""
FINITE = ("i0", "zeta", "signbit", "legendre", "hermite", "chebyshev", "shifted")
"""Where PyTorch makes NaN of an infinity, or reads the sign of NaN."""
EDGES = [0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-20]


def operand(library: Any, device: Any, kind: str, shape: tuple[int, ...]) -> Any:
    array = np.random.default_rng(3).uniform(-6, 6, shape)
    array.reshape(-1)[: len(EDGES)] = EDGES
    return library.tensor(array, dtype=library.float32, device=device).to(getattr(library, kind))


@pytest.mark.parametrize("shape", [(7,), (50, 41)], ids=str)
@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_beside_torch(opencl: dt.device, name: str, kind: str, shape: tuple[int, ...]) -> None:
    if kind == "bfloat16" and name not in NARROW:
        pytest.skip("PyTorch has no bfloat16 of it")
    call, x = CASES[name], operand(torch, "cpu", kind, shape)
    x = x.nan_to_num(1.0, 2.0, -2.0) if name in FINITE else x
    ours = call(dt, dt.tensor(x.double().numpy(), device=opencl).to(getattr(dt, kind)))
    theirs = call(torch, x if kind == "bfloat16" or name == "nan_to_num" else x.double())
    near = {"float32": 2e-5, "float64": 2e-9, "bfloat16": 1e-2}[kind]
    np.testing.assert_allclose(
        ours.cpu().double().numpy(), theirs.double().numpy(), rtol=near, atol=near
    )


@pytest.mark.parametrize("name", CASES)
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    call, x = CASES[name], operand(dt, opencl, "float32", (7,))
    call(dt, x)
    before = queue.launches
    call(dt, x)
    assert queue.launches == before + 1 + EXTRA.get(name, 0)


def test_of_columns(opencl: dt.device) -> None:
    found, wanted = (
        library.special.i1e(operand(library, device, "float32", (50, 41))[2:, ::3].t())
        for library, device in ((dt, opencl), (torch, "cpu"))
    )
    np.testing.assert_allclose(found.cpu().numpy(), wanted.numpy(), rtol=2e-6)


@pytest.mark.parametrize("name", ["elu", "mish", "hardswish", "softplus", "hardtanh", "logsigmoid"])
def test_backward_is_one_launch(opencl: dt.device, queue: Any, name: str) -> None:
    found = []
    for library, device in ((dt, opencl), (torch, "cpu")):
        x = operand(library, device, "float32", (300,)).nan_to_num(0.25, 3.0, -3.0)
        x.requires_grad_()
        out = getattr(library.nn.functional, name)(x)
        g = library.ones_like(out) * 1.5
        (first,) = library.autograd.grad(out, x, g, retain_graph=True)
        before = queue.launches
        (first,) = library.autograd.grad(out, x, g, retain_graph=True)
        assert queue.launches == before + (library is dt)
        found.append(first.cpu().numpy())
    np.testing.assert_allclose(*found, rtol=2e-6, atol=1e-6)


def test_second_gradients(opencl: dt.device) -> None:
    found = []
    for library, device in ((dt, opencl), (torch, "cpu")):
        x = library.linspace(-2, 2, 9, dtype=library.float32, device=device).requires_grad_()
        (first,) = library.autograd.grad(library.nn.functional.mish(x).sum(), x, create_graph=True)
        (second,) = library.autograd.grad(first.sum(), x)
        found.append(second.cpu().numpy())
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
