"""Matrix products and einsum beside PyTorch: values, gradients, second gradients, errors."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from beside_torch import beside_torch, both_raise, torch, values

import dovetail as dt

RNG = np.random.default_rng(0)


def x(*shape: int) -> np.ndarray:
    return RNG.uniform(-1, 1, shape)


def linear(lib: Any, *args: Any) -> Any:
    return lib.linear(*args) if lib is dt else torch.nn.functional.linear(*args)


CASES: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "dot": (lambda m, a, b: a @ b, (x(5), x(5))),
    "mv": (lambda m, a, b: a @ b, (x(3, 5), x(5))),
    "vm": (lambda m, a, b: a @ b, (x(5), x(5, 3))),
    "mm": (lambda m, a, b: a @ b, (x(4, 5), x(5, 3))),
    "mm of transposed": (lambda m, a, b: m.mm(a.t(), b.t()), (x(5, 4), x(3, 5))),
    "mm of stepped": (lambda m, a, b: a[:, ::2] @ b[::2, 1:], (x(4, 6), x(6, 4))),
    "mm of expanded": (lambda m, a, b: a.expand(4, 5) @ b, (x(1, 5), x(5, 3))),
    "mm of nothing": (lambda m, a, b: a @ b, (x(4, 0), x(0, 3))),
    "no rows": (lambda m, a, b: a @ b, (x(0, 4), x(4, 3))),
    "bmm": (lambda m, a, b: m.bmm(a, b), (x(2, 4, 5), x(2, 5, 3))),
    "batch by matrix": (lambda m, a, b: a @ b, (x(2, 4, 5), x(5, 3))),
    "matrix by batch": (lambda m, a, b: a @ b, (x(4, 5), x(2, 5, 3))),
    "batch by vector": (lambda m, a, b: a @ b, (x(2, 4, 5), x(5))),
    "vector by batch": (lambda m, a, b: a @ b, (x(4), x(2, 4, 3))),
    "broadcast batches": (lambda m, a, b: a @ b, (x(2, 1, 4, 5), x(3, 5, 3))),
    "addmm": (lambda m, *a: m.addmm(*a), (x(3), x(4, 5), x(5, 3))),
    "addmm scaled": (lambda m, *a: m.addmm(*a, beta=0.5, alpha=2), (x(4, 1), x(4, 5), x(5, 3))),
    "addmm, beta 0": (
        lambda m, *a: m.addmm(*a, beta=0), (np.full(3, np.nan), x(4, 5), x(5, 3)),
    ),
    "addmv": (lambda m, *a: m.addmv(*a, beta=2, alpha=3), (x(4), x(4, 5), x(5))),
    "addr": (lambda m, *a: m.addr(*a, beta=2, alpha=3), (x(4, 5), x(4), x(5))),
    "baddbmm": (lambda m, *a: m.baddbmm(*a, beta=2, alpha=3), (x(4, 3), x(2, 4, 5), x(2, 5, 3))),
    "addbmm": (lambda m, *a: m.addbmm(*a, beta=2, alpha=3), (x(4, 3), x(2, 4, 5), x(2, 5, 3))),
    "chain_matmul": (
        lambda m, *a: m.chain_matmul(*a), (x(4, 5), x(5, 2), x(2, 6), x(6, 3)),
    ),
    "outer": (lambda m, a, b: m.outer(a, b), (x(4), x(5))),
    "inner": (lambda m, a, b: m.inner(a, b), (x(2, 4, 3), x(5, 3))),
    "inner with a number": (lambda m, a, b: m.inner(a, b), (x(2, 3), x())),
    "tensordot": (lambda m, a, b: m.tensordot(a, b, 2), (x(2, 3, 4), x(3, 4, 5))),
    "tensordot of dims": (
        lambda m, a, b: m.tensordot(a, b, ([0, 2], [2, 0])), (x(2, 3, 4), x(4, 5, 2)),
    ),
    "tensordot of none": (lambda m, a, b: m.tensordot(a, b, 0), (x(2, 3), x(4))),
    "kron": (lambda m, a, b: m.kron(a, b), (x(2, 3), x(2))),
    "cross": (lambda m, a, b: m.cross(a, b, dim=-1), (x(4, 3), x(4, 3))),
    "bilinear": (
        lambda m, *a: m.bilinear(*a) if m is dt else torch.nn.functional.bilinear(*a),
        (x(4, 3), x(4, 2), x(5, 3, 2), x(5)),
    ),
    "linear": (linear, (x(4, 3), x(5, 3), x(5))),
    "linear without bias": (linear, (x(4, 3), x(5, 3))),
    "linear of many dims": (linear, (x(2, 4, 3), x(5, 3), x(5))),
    "linear of many dims without bias": (linear, (x(2, 4, 3), x(5, 3))),
    "linear of a vector": (linear, (x(3), x(5, 3), x(5))),
    "linear to a number": (linear, (x(2, 4, 3), x(3))),
    "linear of no rows": (linear, (x(0, 2, 3), x(5, 3), x(5))),
    "linear of a transposed input": (
        lambda m, a, w, b: linear(m, a.transpose(0, 1), w, b), (x(2, 4, 3), x(5, 3), x(5)),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated")
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_products(name: str, dtype: str, device: Any, served: str) -> None:
    function, arrays = CASES[name]
    order = 2 if dtype == "float64" else 1
    beside_torch(
        partial(function, dt), partial(function, torch), *arrays,
        dtype=dtype, device=device, order=order,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["dot", "mm", "batch by matrix", "mv", "linear", "addmm scaled"])
def test_complex_products(name: str, device: Any) -> None:
    function, arrays = CASES[name]
    wide = [a + 1j * RNG.uniform(-1, 1, a.shape) for a in arrays]
    beside_torch(
        partial(function, dt), partial(function, torch), *wide, dtype="float64", device=device
    )


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.int8, np.uint8])
def test_integers_wrap_around(kind: Any, device: Any) -> None:
    info = np.iinfo(kind)
    a, b = (RNG.integers(info.min, info.max, s, kind, True) for s in ((4, 5), (5, 3)))
    made = dt.tensor(a, device=device) @ dt.tensor(b, device=device)
    np.testing.assert_array_equal(values(made), (torch.from_numpy(a) @ torch.from_numpy(b)).numpy())


EINSUMS = [
    ("ij,jk", (2, 3), (3, 4)), ("ij,jk->ki", (2, 3), (3, 4)), ("ii", (3, 3)), ("ii->i", (3, 3)),
    ("iii->i", (3, 3, 3)), ("ij->", (2, 3)), ("ij->ji", (2, 3)),
    ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)), ("...ij,...jk->...ik", (5, 1, 2, 3), (6, 3, 4)),
    ("i,j->ij", (2,), (3,)), (",ij->ij", (), (2, 3)),
    ("bn,anm,bm->ba", (2, 3), (5, 3, 4), (2, 4)), ("ij,jk", (2, 1), (3, 4)),
    ("i,i->", (0,), (0,)), ("ij,ij->ij", (2, 1), (2, 3)), ("...i->...", (2, 3, 4)),
    ("...i->i", (2, 3, 4)), ("i...,j...->...ij", (2, 4), (3, 4)),
    ("abc,cd,db->a", (2, 3, 4), (4, 5), (5, 3)), ("iij,jkk->ik", (2, 2, 3), (3, 4, 4)),
    ("a,b,c->cab", (2,), (3,), (4,)), ("ij -> j i", (2, 3)),
    ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)), ("...,...", (3,), (2, 3)),
    ("ijk->ik", (2, 1, 3)), ("zij,zj->zi", (2, 3, 4), (2, 4)), ("aB,Bc", (2, 3), (3, 4)),
    ("ij->...i", (2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("case", EINSUMS, ids=lambda c: c[0])
def test_einsum(case: Any, device: Any, served: str) -> None:
    equation, *shapes = case
    beside_torch(
        partial(dt.einsum, equation), partial(torch.einsum, equation), *[x(*s) for s in shapes],
        dtype="float64", device=device,
    )  # fmt: skip


def test_einsum_of_sublists(device: Any) -> None:
    arrays = x(2, 3), x(4, 3, 5)
    for lists in (([0, 1], [2, 1, 3], [0, 3]), ([0, 1], [..., 1, 5], [..., 5, 0])):
        call = lambda m, a, b, s=lists: m.einsum(a, s[0], b, s[1], s[2])
        beside_torch(partial(call, dt), partial(call, torch), *arrays, device=device)
    call = lambda m, a, b: m.einsum(a, [0, 1], b, [2, 1, 3])
    beside_torch(partial(call, dt), partial(call, torch), *arrays, device=device)


ERRORS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "sizes": (lambda m, a, b: a @ b, (x(2, 3), x(4, 5))),
    "dtypes": (lambda m, a, b: a @ b.double(), (x(2, 3), x(3, 5))),
    "dtypes of long": (lambda m, a, b: a.long() @ b, (x(2, 3), x(3, 5))),
    "dot": (lambda m, a, b: a @ b, (x(3), x(4))),
    "dot dtypes": (lambda m, a, b: a.dot(b.double()), (x(3), x(3))),
    "dot dims": (lambda m, a, b: m.dot(a, b), (x(2, 2), x(2))),
    "mv": (lambda m, a, b: a @ b, (x(2, 3), x(4))),
    "mv dims": (lambda m, a, b: m.mv(a, b), (x(2, 2), x(2, 2))),
    "mv dtypes": (lambda m, a, b: a @ b.double(), (x(2, 3), x(3))),
    "vm": (lambda m, a, b: a @ b, (x(3), x(4, 5))),
    "0-d": (lambda m, a, b: a @ b, (x(), x(3))),
    "mm of a vector": (lambda m, a, b: m.mm(a, b), (x(3), x(3, 3))),
    "mm by a vector": (lambda m, a, b: m.mm(a, b), (x(2, 3), x(3))),
    "bmm sizes": (lambda m, a, b: m.bmm(a, b), (x(2, 2, 3), x(2, 4, 5))),
    "bmm batches": (lambda m, a, b: m.bmm(a, b), (x(2, 2, 3), x(3, 3, 5))),
    "bmm dims": (lambda m, a, b: m.bmm(a, b), (x(2, 2, 3), x(3, 5))),
    "bmm dtypes": (lambda m, a, b: m.bmm(a, b.double()), (x(2, 2, 3), x(2, 3, 5))),
    "batches": (lambda m, a, b: a @ b, (x(2, 2, 3), x(3, 3, 5))),
    "batched sizes": (lambda m, a, b: a @ b, (x(5, 1, 2, 3), x(2, 4, 5))),
    "folded sizes": (lambda m, a, b: a @ b, (x(2, 2, 3), x(4, 5))),
    "folded vector": (lambda m, a, b: a @ b, (x(2, 2, 3), x(4))),
    "vector by batch": (lambda m, a, b: a @ b, (x(4), x(2, 3, 3))),
    "a number": (lambda m, a: m.matmul(a, 2), (x(2, 2),)),
    "addmm": (lambda m, *a: m.addmm(*a), (x(2, 2), x(2, 3), x(4, 2))),
    "addmm input": (lambda m, *a: m.addmm(*a), (x(3), x(2, 3), x(3, 2))),
    "addmm dtypes": (lambda m, a, b, c: m.addmm(a, b, c.double()), (x(2), x(2, 3), x(3, 2))),
    "addmm dims": (lambda m, *a: m.addmm(*a), (x(2), x(2, 3), x(3))),
    "addmv": (lambda m, *a: m.addmv(*a), (x(3), x(2, 3), x(3))),
    "baddbmm": (lambda m, *a: m.baddbmm(*a), (x(2, 3), x(5, 2, 3), x(5, 3, 2))),
    "addbmm": (lambda m, *a: m.addbmm(*a), (x(2, 2), x(5, 2, 3), x(4, 3, 2))),
    "inner": (lambda m, a, b: m.inner(a, b), (x(2, 3), x(4))),
    "outer": (lambda m, a, b: m.outer(a, b), (x(2, 2), x(2))),
    "tensordot": (lambda m, a, b: m.tensordot(a, b, ([1], [1])), (x(2, 3), x(3, 4))),
    "tensordot lists": (lambda m, a, b: m.tensordot(a, b, ([1, 0], [0])), (x(2, 3), x(3, 4))),
    "tensordot negative": (lambda m, a, b: m.tensordot(a, b, -1), (x(2, 3), x(3, 4))),
    "cross": (lambda m, a, b: m.cross(a, b, dim=0), (x(2, 3), x(2, 3))),
    "linear": (linear, (x(2, 3), x(4, 5))),
    "linear of many dims": (linear, (x(2, 2, 3), x(4, 5))),
    "linear bias": (linear, (x(2, 3), x(4, 3), x(5))),
    "linear bias of many dims": (linear, (x(2, 2, 3), x(4, 3), x(5))),
    "linear dtypes": (lambda m, a, b: linear(m, a, b.double()), (x(2, 3), x(4, 3))),
    "linear of a 3-D weight": (linear, (x(2, 3), x(2, 4, 3))),
    "linear to a number with bias": (linear, (x(2, 3), x(3), x(1))),
    "linear of 0-d": (linear, (x(), x(3))),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str, device: Any) -> None:
    function, arrays = ERRORS[name]
    both_raise(function, *arrays, device=device)


EINSUM_ERRORS = [
    ("ij,jk", (2, 3), (4, 5)), ("ij,jk->ik", (2, 3)), ("ij->ik", (2, 3)), ("ij->ii", (2, 3)),
    ("ii->i", (2, 3)), ("i..->i", (2, 3)), ("ijk->i", (2, 3)), ("i->i", (2, 3)), ("i1->i", (2, 3)),
    ("i", (2,), (3,)), ("i->i",), ("ij,jk->ik->k", (2, 3), (3, 4)), ("i...j...->i", (2, 3)),
    ("...i,...j->...ij", (2, 3), (4, 5)), ("i->i", ()),
]  # fmt: skip


@pytest.mark.parametrize("case", EINSUM_ERRORS, ids=lambda c: f"{c[0]} {c[1:]}")
def test_einsum_errors(case: Any, device: Any) -> None:
    equation, *shapes = case
    # Where PyTorch's index into the equation counts without the spaces and arrows, only the class.
    both_raise(
        lambda m, *a: m.einsum(equation, *a), *[x(*s) for s in shapes],
        device=device, text=equation != "ij,jk->ik->k",
    )  # fmt: skip


def test_bool_matrices_are_refused(device: Any) -> None:
    flags = dt.ones(2, 2, dtype=dt.bool, device=device)
    with pytest.raises(NotImplementedError, match="not implemented for 'Bool'"):
        flags @ flags


def test_out_and_in_place(device: Any) -> None:
    a, b, c = (dt.tensor(x(*s), device=device) for s in ((4, 5), (5, 3), (4, 3)))
    expected = a @ b
    out = dt.empty(4, 3, dtype=a.dtype, device=device)
    assert dt.matmul(a, b, out=out) is out
    assert dt.equal(out, expected)
    assert dt.equal(c.clone().addmm_(a, b, beta=2), c * 2 + expected)
    view = dt.zeros(3, 8, dtype=a.dtype, device=device)[:, ::2].t()
    assert dt.equal(view.addmm_(a, b), expected)


@pytest.mark.parametrize(
    ("shapes", "name"),
    [
        (((4, 3), (5, 3), (5,)), "AddmmBackward0"),
        (((4, 3), (5, 3)), "MmBackward0"),
        (((2, 4, 3), (5, 3), (5,)), "ViewBackward0"),
        (((2, 4, 3), (5, 3)), "UnsafeViewBackward0"),
    ],
)
def test_linear_prints_as_pytorch_does(shapes: Any, name: str, device: Any) -> None:
    ours = [dt.ones(*s, device=device).requires_grad_() for s in shapes]
    other = [torch.ones(*s).requires_grad_() for s in shapes]
    assert linear(dt, *ours).grad_fn.name() == name == linear(torch, *other).grad_fn.name()


def test_weight_gradient_is_one_product(device: Any) -> None:
    weight = dt.ones(5, 3, device=device).requires_grad_()
    made = dt.linear(dt.ones(2, 4, 3, device=device), weight)
    with dt.trace() as events:
        made.backward(dt.ones_like(made))
    assert [e.op for e in events if e.op in ("mm", "matmul", "bmm", "sum")] == ["mm"]
