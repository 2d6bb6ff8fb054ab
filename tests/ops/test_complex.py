"""Complex numbers beside PyTorch: parts as views, conjugates, angles, gradients, errors."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from beside_torch import beside_torch, both_raise, torch, values

import dovetail as dt

RNG = np.random.default_rng(0)


def x(*shape: int) -> np.ndarray:
    return RNG.uniform(-2, 2, shape)


def z(*shape: int) -> np.ndarray:
    return x(*shape) + 1j * x(*shape)


CASES: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "real": (lambda m, a: m.real(a), (z(2, 3),)),
    "imag": (lambda m, a: a.imag, (z(2, 3),)),
    "real of a view": (lambda m, a: a.t()[1:].real, (z(2, 3),)),
    "view_as_real": (lambda m, a: m.view_as_real(a), (z(2, 3),)),
    "view_as_complex": (lambda m, a: m.view_as_complex(a), (x(2, 3, 2),)),
    "there and back": (lambda m, a: m.view_as_complex(m.view_as_real(a) * 2), (z(3),)),
    "complex": (lambda m, a, b: m.complex(a, b), (x(2, 1), x(3))),
    "polar": (lambda m, a, b: m.polar(a, b), (x(3) + 3, x(3))),
    "conj": (lambda m, a: a.conj().resolve_conj() * a, (z(2, 3),)),
    "conj of a real tensor": (lambda m, a: m.conj(a) * 1, (x(3),)),
    "conj_physical": (lambda m, a: m.conj_physical(a), (z(2, 3),)),
    "angle": (lambda m, a: m.angle(a), (z(2, 3),)),
    "angle at 0": (lambda m, a: a.angle(), (np.array([0j, 1j, -1.0]),)),
    "angle of a real tensor": (lambda m, a: a.angle(), (np.array([-1.0, 0.0, 2.0, -0.0]),)),
    "isreal": (lambda m, a: m.isreal(a), (np.array([1j, 1.0 + 0j]),)),
    "isreal of a real tensor": (lambda m, a: a.isreal(), (x(3),)),
    "H": (lambda m, a: a.H * 1, (z(2, 3),)),
    "vdot": (lambda m, a, b: m.vdot(a, b), (z(4), z(4))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str, device: Any, served: str) -> None:
    function, arrays = CASES[name]
    # PyTorch counts the angle of a real tensor as constant only.
    order = 1 if name == "angle at 0" else 2
    beside_torch(
        partial(function, dt), partial(function, torch), *arrays,
        dtype="float64", device=device, order=order,
    )  # fmt: skip


@pytest.mark.parametrize("part", ["real", "imag"])
def test_parts_are_views(part: str, device: Any) -> None:
    start = z(3, 4)
    mine, other = dt.tensor(start, device=device), torch.from_numpy(start.copy())
    ours, theirs = getattr(mine[1:, ::2], part), getattr(other[1:, ::2], part)
    assert ours.stride() == theirs.stride()
    assert ours.storage_offset() == theirs.storage_offset()
    ours.mul_(3)
    theirs.mul_(3)
    np.testing.assert_allclose(values(mine), values(other))
    setattr(mine, part, dt.ones(4, dtype=dt.float64, device=device))
    setattr(other, part, torch.ones(4, dtype=torch.float64))
    np.testing.assert_allclose(values(mine), values(other))


def test_real_of_a_real_tensor_is_itself(device: Any) -> None:
    a = dt.ones(2, device=device)
    assert a.real is a
    assert dt.conj(a) is a
    a.real = 3
    assert a.tolist() == [3.0, 3.0]


def test_writing_to_a_part_is_seen_by_backward(device: Any) -> None:
    start = z(3)

    def through(lib: Any, a: Any, b: Any) -> Any:
        a = a * 1
        a[1:].imag.mul_(3)
        a.real = b
        lib.view_as_real(a)[0].mul_(2)
        return a * a

    beside_torch(
        partial(through, dt), partial(through, torch), start, x(3), dtype="float64", device=device
    )


def test_writing_complex_numbers_to_pairs_is_seen_by_backward(device: Any) -> None:
    def through(lib: Any, a: Any, b: Any) -> Any:
        a = a * 1
        lib.view_as_complex(a).mul_(b)
        return a * a

    beside_torch(
        partial(through, dt), partial(through, torch), x(3, 2), z(3), dtype="float64", device=device
    )


ERRORS: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "imag": (lambda m, a: m.imag(a), (x(2),)),
    "imag of": (lambda m, a: a.imag, (x(2),)),
    "view_as_real": (lambda m, a: m.view_as_real(a), (x(2),)),
    "view_as_complex": (lambda m, a: m.view_as_complex(a), (x(2, 3),)),
    "view_as_complex strides": (lambda m, a: m.view_as_complex(a.t()), (x(2, 2),)),
    "view_as_complex odd": (lambda m, a: m.view_as_complex(a[:, 1:]), (x(3, 3),)),
    "view_as_complex offset": (lambda m, a: m.view_as_complex(a[:, 1:3]), (x(3, 4),)),
    "view_as_complex long": (lambda m, a: m.view_as_complex(a.long()), (x(3, 2),)),
    "complex": (lambda m, a, b: m.complex(a, b.double()), (x(2), x(2))),
    "complex of long": (lambda m, a: m.complex(a.long(), a.long()), (x(2),)),
    "complex sizes": (lambda m, a, b: m.complex(a, b), (x(2), x(3))),
    "polar": (lambda m, a, b: m.polar(a, b.double()), (x(2), x(2))),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str, device: Any) -> None:
    function, arrays = ERRORS[name]
    both_raise(function, *arrays, device=device)
