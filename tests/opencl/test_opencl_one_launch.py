"""Operators that are one launch each, where the core would make them of several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

Call = Callable[[Any, Any, Any], Any]

CASES: dict[str, tuple[tuple[int, ...], Call]] = {
    "tril": ((7, 5), lambda library, x, i: x.tril()),
    "tril above": ((2, 7, 40), lambda library, x, i: x.tril(3)),
    "tril far": ((3, 4), lambda library, x, i: x.tril(9)),
    "triu": ((2, 3, 6, 9), lambda library, x, i: x.triu()),
    "triu below": ((300, 200), lambda library, x, i: x.triu(-7)),
    "triu far": ((3, 4), lambda library, x, i: x.triu(9)),
    "pad": ((5, 7), lambda library, x, i: library.nn.functional.pad(x, (1, 2))),
    "pad, cut": ((4, 5, 6), lambda library, x, i: library.nn.functional.pad(x, (-1, 2, 3, -2))),
    "pad, all cut": ((4, 5), lambda library, x, i: library.nn.functional.pad(x, (-5, 2, 1, 0))),
    "pad, image": ((2, 3, 40, 30), lambda library, x, i: library.nn.functional.pad(x, (2,) * 4)),
    "repeat": ((3, 4), lambda library, x, i: x.repeat(2, 3)),
    "repeat, more dims": ((3, 40), lambda library, x, i: x.repeat(2, 1, 50)),
    "stack": ((3, 4), lambda library, x, i: library.stack((x, x + 1, x), 1)),
    "stack, last": ((30, 40), lambda library, x, i: library.stack((x, x), -1)),
    "stack, last of many": ((70, 81), lambda library, x, i: library.stack((x, x, x), -1)),
    "stack, parts of many": (
        (5001, 4),
        lambda library, x, i: library.stack((x[2:].view(-1), x[1:-1].view(-1)), 1),
    ),
    "stack of numbers": ((), lambda library, x, i: library.stack((x, x))),
    "rows": ((6, 5), lambda library, x, i: x[i]),
    "rows of one": ((6,), lambda library, x, i: x[i]),
    "columns": ((5, 6), lambda library, x, i: x[:, i]),
    "of the middle": ((3, 6, 8), lambda library, x, i: x[:, i]),
    "many rows": ((6, 300), lambda library, x, i: x[i.repeat(40)]),
    "of rows": ((4, 6, 2), lambda library, x, i: x[1:][:, i, None]),
    "of a transposed": ((5, 6), lambda library, x, i: x.transpose(0, 1)[i]),
    "by a matrix": ((6, 5), lambda library, x, i: x[i.reshape(2, 2)]),
}
PLACES = [5, -6, 2, -1]


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int64", "bool"])
@pytest.mark.parametrize("name", CASES)
def test_beside_torch(opencl: dt.device, name: str, kind: str) -> None:
    shape, call = CASES[name]
    array = np.random.default_rng(0).integers(-9, 9, shape)
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        x = library.tensor(array, device=device).to(getattr(library, kind))
        index = library.tensor(PLACES, device=device)
        if kind in ("float32", "bfloat16"):
            x.requires_grad_()
        out = call(library, x, index)
        rows = [out]
        if x.requires_grad:
            (out * out).sum().backward()
            rows.append(x.grad)
        found.append([row.detach().cpu().double().numpy() for row in rows])
    for ours, theirs in zip(*found, strict=True):
        # PyTorch adds up bfloat16 with a rounding each time.
        np.testing.assert_allclose(ours, theirs, rtol=0.1 if kind == "bfloat16" else 0)


@pytest.mark.parametrize("name", [n for n in CASES if n != "stack" and n[:5] != "many "])
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    shape, call = CASES[name]
    x, index = dt.ones(shape, device=opencl), dt.tensor(PLACES, device=opencl)
    call(dt, x, index)
    before = queue.launches
    call(dt, x, index)
    assert queue.launches == before + 1


def test_in_place(opencl: dt.device) -> None:
    x = dt.ones(4, 4, device=opencl)
    x.tril_()
    np.testing.assert_array_equal(x.cpu().numpy(), np.tril(np.ones((4, 4))))


@pytest.mark.parametrize("value", [2.5, -0.0, float("inf"), float("nan")])
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_padding_with_a_value(opencl: dt.device, kind: str, value: float) -> None:
    x = dt.ones(3, device=opencl, dtype=getattr(dt, kind))
    padded = dt.nn.functional.pad(x, (1, 2), value=value).float().cpu().numpy()
    wanted = np.array([value, 1, 1, 1, value, value], np.float32)
    np.testing.assert_array_equal(padded, wanted)
    np.testing.assert_array_equal(np.signbit(padded), np.signbit(wanted))


def test_a_value_that_does_not_fit(opencl: dt.device) -> None:
    x = dt.ones(3, device=opencl, dtype=dt.float16)
    with pytest.raises(RuntimeError, match="overflow"):
        dt.nn.functional.pad(x, (1, 1), value=1e6)


@pytest.mark.parametrize("index", [6, -7])
@pytest.mark.parametrize("shape", [(6, 8), (6,), (3, 6, 8)])
def test_an_index_out_of_range(opencl: dt.device, shape: tuple[int, ...], index: int) -> None:
    x, where = dt.ones(shape, device=opencl), dt.tensor([1, index, 2], device=opencl)
    dim = len(shape) // 3
    rows = x[:, where] if dim else x[where]
    text = f"index {index} is out of bounds for dimension {dim} with size 6"
    with pytest.raises(IndexError, match=text):
        rows.cpu()


@pytest.mark.parametrize("has_affine", [True, False])
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("shape", "groups"), [((3, 4), 2), ((2, 6, 5), 3), ((2, 8, 9, 7), 2), ((2, 64, 40, 40), 4)]
)
def test_group_norm(
    opencl: dt.device, queue: Any, shape: tuple[int, ...], groups: int, kind: str, has_affine: bool
) -> None:
    random = np.random.default_rng(0)
    # A mean that is large beside the deviation.
    array = random.standard_normal(shape) + 30
    weights = [random.standard_normal(shape[1]) for _ in range(2)] if has_affine else []
    found = []
    for library, device, dtype in ((dt, opencl, kind), (torch, "cpu", "float64")):
        x = library.tensor(array, dtype=getattr(library, kind), device=device)
        x = x.to(getattr(library, dtype))
        given = [library.tensor(w, dtype=x.dtype, device=device) for w in weights]
        out = library.nn.functional.group_norm(x, groups, *given)
        before = queue.launches
        out = library.nn.functional.group_norm(x, groups, *given)
        assert queue.launches == before + (library is dt)
        found.append(out.cpu().double().numpy())
    bound = 1e-4 if kind == "float32" else 3e-2
    np.testing.assert_allclose(*found, rtol=bound, atol=bound)


def test_group_norm_refuses_as_before(opencl: dt.device) -> None:
    x = dt.ones(2, 6, 3, device=opencl)
    dt.nn.functional.group_norm(x, 3)
    with pytest.raises(RuntimeError, match="divisible"):
        dt.nn.functional.group_norm(x, 4)


@pytest.mark.parametrize("has_weight", [True, False])
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_gradients_of_lines(opencl: dt.device, queue: Any, name: str, has_weight: bool) -> None:
    """Of few elements those of the weight and the bias too; inputs in the midst of others."""
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in ((9, 7), (9, 7))]
    weights = [random.standard_normal(21).astype(np.float32) for _ in range(2)]
    weights = weights[: (2 if name == "layer_norm" else 1) * has_weight]
    found = []
    for library, device in ((dt, opencl), (torch, "cpu")):
        x, g = (library.tensor(a).to(device)[2:7].detach() for a in arrays)
        given = [library.tensor(w).to(device)[7:14].detach() for w in weights]
        x.requires_grad_()
        inputs = [x, *[w.requires_grad_() for w in given]]
        for _ in range(2):
            out = getattr(library.nn.functional, name)(x, (7,), *given)
            before = queue.launches
            grads = library.autograd.grad(out, inputs, g)
            launches = queue.launches - before
        assert library is torch or launches == 1 or not queue.is_cpu
        found.append([grad.cpu().numpy() for grad in grads])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)
