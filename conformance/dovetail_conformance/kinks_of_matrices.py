"""Linear algebra at points without a derivative: deficient ranks, equal eigenvalues, phases."""

from __future__ import annotations

import math
from typing import Any

from dovetail_conformance.kink_calls import Call, find, plain

__all__ = ["MATRICES"]

inf, nan = math.inf, math.nan
SINGULAR = [[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [3.0, 4.0, 1.0]]
FLAT = [[1.0, 2.0, 0.0, -1.0], [0.5, 1.0, 2.0, 3.0], [1.5, 3.0, 2.0, 2.0]]
UNEVEN = [[3.0, 1.0, 0.5], [1.0, -4.0, 0.25], [0.5, 1.0, 1.0]]
SQUARE = [[1.0, -2.0, 0.5], [0.0, 1.5, 2.0], [3.0, 1.0, -1.0]]


def _exp_values(lib: Any, x: Any) -> Any:
    """Exponentials of the lowest numbers, of what is not finite, and of a matrix beside them."""
    low = -0.75 * lib.finfo(x.dtype).max
    given = [
        [[low, 0.0], [0.0, low]], [[1.0, 2.0], [nan, 3.0]], [[inf, 0.0], [0.0, 1.0]],
        [[1.0, 9.0], [0.5, -2.0]],
    ]  # fmt: skip
    return lib.linalg.matrix_exp(lib.tensor(given, dtype=x.dtype, device=x.device)) * x


def _exp_of_one(lib: Any, x: Any) -> Any:
    """Exponentials of numbers as matrices of one."""
    given = lib.tensor([inf, -inf, nan, 2.0], dtype=x.dtype, device=x.device)
    return lib.linalg.matrix_exp(given.reshape(4, 1, 1)).reshape(4) * x


def _adjugate(lib: Any, x: Any, y: Any) -> Any:
    """The gradient of a complex determinant, made where it could be differentiated again."""
    z = lib.complex(x, y).detach().requires_grad_()
    g = lib.autograd.grad(lib.linalg.det(z).real, z, create_graph=True)[0].detach()
    return (x * g.real + y * g.imag)[:2]  # the rest is 0


def _det_twice(lib: Any, x: Any) -> Any:
    """The gradient of a determinant as a function of the matrix, which is added lest it be 0."""
    return lib.autograd.grad(lib.linalg.det(x), x, create_graph=True)[0] + x


def _pinv_by_tensor(lib: Any, x: Any) -> Any:
    """Each matrix by an absolute tolerance of its own, the first of which leaves the rank."""
    return lib.linalg.pinv(x, atol=lib.tensor([0.01, 1.0], dtype=x.dtype, device=x.device))


def _symmetric_pinv() -> Call:
    """Of a symmetric matrix without a positive eigenvalue."""
    return lambda lib, x: lib.linalg.pinv(-(x.mT @ x), hermitian=True)


def _slogdet(output: int) -> Call:
    """The sign (its imaginary part) or the logarithm alone, of a complex matrix."""

    def call(lib: Any, x: Any, y: Any) -> Any:
        made = lib.linalg.slogdet(lib.complex(x, y))[output]
        return made if output else made.imag

    return call


def _phase(name: str, sign: float) -> Call:
    """The sum of ``x``, doubled where a loss that depends on the phase of vectors is accepted."""

    def call(lib: Any, x: Any, y: Any) -> Any:
        z = lib.complex(x, y)
        vectors = find(lib, name)(z + z.mH)[name != "linalg.svd"]
        try:
            lib.autograd.grad((vectors.imag * sign).sum(), x)
        except RuntimeError:
            return x.sum()
        return x.sum() * 2

    return call


MATRICES: dict[str, tuple[Call, tuple[Any, ...]]] = {
    "matrix_exp at its limits": (_exp_values, ([[[1.0] * 2] * 2] * 4,)),
    "matrix_exp of single numbers": (_exp_of_one, ([1.0, 1.0, 1.0, 1.0],)),
    "det of a singular matrix, twice": (_det_twice, (SINGULAR,)),
    "gradient of the determinant of a complex singular matrix": (
        _adjugate,
        (
            [[4.0, 1.0, 2.0], [4.0, 1.0, 2.0], [1.0, 2.0, 0.0]],
            [[0.0, 1.0, -2.0], [0.0, 1.0, -2.0], [0.0, -1.0, 1.0]],
        ),
    ),
    "solve with the batches of both": (
        plain("linalg.solve"),
        (
            [[SQUARE], [[[2.0, 1.0, 0.5], [1.0, 3.0, 1.0], [0.25, 0.5, 1.0]]]],
            [[[[1.0], [2.0], [-1.0]], [[0.5], [-3.0], [1.0]]]],
        ),
    ),
    "pinv of a wide matrix of rank 2": (plain("linalg.pinv"), (FLAT,)),
    "pinv of a tall matrix of rank 2": (lambda lib, x: lib.linalg.pinv(x.mT), (FLAT,)),
    **{
        f"pinv of rank 2 by {', '.join(given)}": (plain("linalg.pinv", **given), (UNEVEN,))
        for given in (
            {"atol": 1.0},
            {"rtol": 0.25},
            {"rcond": 0.25},
            {"atol": 1.0, "rtol": 0.01},
            {"atol": 0.01, "rtol": 0.25},
        )
    },
    "pinv by a tensor of atol": (_pinv_by_tensor, ([UNEVEN, UNEVEN],)),
    "pinv of a symmetric matrix": (_symmetric_pinv(), (SQUARE,)),
    "pinv of a symmetric matrix of rank 2": (_symmetric_pinv(), (SQUARE[:2],)),
    "lstsq of a matrix of rank 2": (
        lambda lib, a, b: b * lib.linalg.lstsq(a, b, driver="gelsd")[0],
        (SINGULAR, [[1.0], [2.0], [-1.0]]),
    ),
    "eigh of a singular matrix": (
        lambda lib, x: lib.linalg.eigh(x)[1] ** 2,
        ([[0.0, 0.0], [0.0, 1.0]],),
    ),
    # Whose real part, the gradient's factor, is no small difference of what is rounded.
    "sign of slogdet": (_slogdet(0), (SQUARE, UNEVEN)),
    "logarithm of slogdet": (_slogdet(1), (SQUARE, SINGULAR)),
    **{
        f"phase of {name}, times {sign}": (_phase(f"linalg.{name}", sign), (SQUARE, SINGULAR))
        for name in ("svd", "eigh", "eig")
        for sign in (1, -1)
    },
    "right singular vectors of complex numbers": (
        lambda lib, x, y: lib.linalg.svd(lib.complex(x.double(), y.double()))[2].abs().to(x.dtype),
        ([[8.0, 1.0], [0.5, 2.0]], [[0.0, 1.0], [-1.0, 0.5]]),
    ),
    "eigenvalues of a symmetric matrix": (lambda lib, x: lib.linalg.eigvalsh(x + x.mT), (SQUARE,)),
}
"""The part of ``kinks.KINKS`` that is linear algebra."""
