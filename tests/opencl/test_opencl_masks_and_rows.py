"""What is written by a mask or by indices: one launch each, beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

Call = Callable[[Any, Any, "Operands"], Any]


class Operands:
    """(5, 4) numbers, masks and indices of one library."""

    def __init__(self, library: Any, device: str, kind: str) -> None:
        rng = np.random.default_rng(3)

        def made(values: Any, dtype: Any) -> Any:
            return library.tensor(np.asarray(values), device=device).to(dtype)

        dtype = getattr(library, kind)
        self.x = made(rng.integers(0, 2 if kind == "bool" else 9, (5, 4)), dtype)
        self.y = made(rng.integers(0, 2 if kind == "bool" else 9, (5, 4)), dtype)
        self.one = made(1, dtype)
        self.mask = made(rng.random((5, 4)) < 0.5, library.bool)
        self.rows = made(rng.random(5) < 0.5, library.bool)
        self.columns = made(rng.random(4) < 0.5, library.bool)
        self.at = made([3, 0, 4], library.int64)
        self.back = made([3, -5, -1], library.int64)
        self.twice = made([2, 0, 2, 2, 0], library.int64)
        self.places = made(rng.integers(0, 5, (5, 4)), library.int64)
        self.small = made(rng.integers(0, 5, (3, 2)), library.int64)


def _set(x: Any, index: Any, value: Any) -> Any:
    x[index] = value
    return x


CASES: dict[str, Call] = {
    "a[mask] = 0": lambda m, x, o: _set(x, o.mask, 0),
    "a[mask of rows] = 1": lambda m, x, o: _set(x, o.rows, 1),
    "a[mask] = one": lambda m, x, o: _set(x, o.mask, o.one),
    "a.t()[mask] = 1": lambda m, x, o: _set(x.t(), o.mask.t(), 1).t(),
    "part[mask] = 0": lambda m, x, o: _set(x[1:, ::2], o.mask[1:, ::2], 0),
    "masked_fill": lambda m, x, o: x.masked_fill(o.mask, 1),
    "masked_fill by columns": lambda m, x, o: x.masked_fill(o.columns, 0),
    "masked_fill by rows": lambda m, x, o: x.masked_fill(o.rows[:, None], 1),
    "masked_fill, wider": lambda m, x, o: x[0].masked_fill(o.mask, 1),
    "masked_fill, one": lambda m, x, o: x.masked_fill(o.mask, o.one),
    "masked_fill of transposed": lambda m, x, o: x.t().masked_fill(o.mask.t(), 1),
    "masked_fill_": lambda m, x, o: x.masked_fill_(o.columns, 1),
    "masked_fill_, one": lambda m, x, o: x.masked_fill_(o.mask, o.one),
    "scatter": lambda m, x, o: x.scatter(1, o.at[:, None] % 4, o.y),
    "scatter a number": lambda m, x, o: x.scatter(0, o.places, 1),
    "scatter_ a number": lambda m, x, o: x.scatter_(0, o.small, 0),
    "scatter_add": lambda m, x, o: x.scatter_add(0, o.places, o.y),
    "scatter_add, fewer": lambda m, x, o: x.scatter_add(0, o.small, o.y),
    "scatter_add_": lambda m, x, o: x.scatter_add_(1, o.places % 4, o.y),
    "scatter_add of transposed": lambda m, x, o: x.t().scatter_add(1, o.places.t(), o.y.t()),
    "index_add": lambda m, x, o: x.index_add(0, o.twice, o.y),
    "index_add_": lambda m, x, o: x.index_add_(1, o.twice, o.y.repeat(1, 2)[:, :5]),
    "index_copy": lambda m, x, o: x.index_copy(0, o.at, o.y[:3]),
    "index_copy_": lambda m, x, o: x.index_copy_(1, o.at % 4, o.y[:, 1:]),
    "index_fill": lambda m, x, o: x.index_fill(0, o.back, 1),
    "index_fill_": lambda m, x, o: x.index_fill_(1, o.back % 4, o.one),
    "a[index] = rows": lambda m, x, o: _set(x, o.back, o.y[1:4]),
    "a[index] = 0": lambda m, x, o: _set(x, o.back, 0),
    "a[index] = one": lambda m, x, o: _set(x, o.at, o.one),
    "index_put_, added": lambda m, x, o: x.index_put_((o.twice,), o.y, accumulate=True),
    "count_nonzero": lambda m, x, o: x.count_nonzero(),
    "count_nonzero over rows": lambda m, x, o: x.count_nonzero(0),
    "count_nonzero of transposed": lambda m, x, o: x.t().count_nonzero((0, 1)),
}
REDUCED: dict[str, Call] = {
    f"scatter_reduce {reduce}, {include}": lambda m, x, o, reduce=reduce, include=include: (
        x.scatter_reduce(0, o.places, o.y, reduce, include_self=include)
    )
    for reduce in ("prod", "amax", "amin")
    for include in (True, False)
}
KINDS = ["float32", "bfloat16", "int64", "uint8", "bool"]


def _made(kind: str, call: Call) -> list[np.ndarray]:
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        operands = Operands(library, device, kind)
        found.append(call(library, operands.x, operands).cpu().to(library.float64).numpy())
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_beside_torch(opencl: dt.device, name: str, kind: str) -> None:
    np.testing.assert_array_equal(*_made(kind, CASES[name]))


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int64", "uint8"])
@pytest.mark.parametrize("name", REDUCED)
def test_reduced_beside_torch(opencl: dt.device, name: str, kind: str) -> None:
    ours, theirs = _made(kind, REDUCED[name])
    np.testing.assert_allclose(ours, theirs, rtol=0.02 if kind == "bfloat16" else 0)


@pytest.mark.parametrize("name", [*CASES, *REDUCED])
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    operands = Operands(dt, "opencl:0", "float32")
    call = (CASES | REDUCED)[name]
    for _ in range(2):
        before = queue.launches
        call(dt, operands.x, operands)
    views = {"scatter": 1, "scatter_add_": 1, "index_copy_": 1, "index_fill_": 1, "index_add_": 2}
    part = {"part[mask] = 0": 0}
    made = views.get(name, 0) + part.get(name, 0)
    copies = name == "scatter_add of transposed"
    assert queue.launches <= before + 1 + made + 2 * copies


@pytest.mark.parametrize("reduce", ["amax", "amin", "prod"])
def test_nan_is_handed_on(opencl: dt.device, reduce: str) -> None:
    values = np.array([1.0, np.nan, np.inf, -np.inf, 2.0], np.float32)
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        x = library.ones(3, device=device)
        index = library.tensor([0, 0, 1, 2, 2], device=device)
        src = library.tensor(values, device=device)
        for include in (True, False):
            made = x.scatter_reduce(0, index, src, reduce, include_self=include)
            found.append(made.cpu().numpy())
    np.testing.assert_array_equal(found[:2], found[2:])


@pytest.mark.parametrize("value", [2.5, -0.0, float("inf"), float("nan"), -3])
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64"])
def test_values_to_the_bit(opencl: dt.device, kind: str, value: float) -> None:
    x = dt.ones(2, 3, device=opencl, dtype=getattr(dt, kind))
    mask = dt.tensor([True, False, True], device=opencl)
    filled = x.masked_fill(mask, value).double().cpu().numpy()
    x.index_fill_(1, dt.tensor([0, -1], device=opencl), value)
    wanted = np.array([[value, 1, value]] * 2)
    for made in (filled, x.double().cpu().numpy()):
        np.testing.assert_array_equal(made, wanted)
        np.testing.assert_array_equal(np.signbit(made), np.signbit(wanted))


def test_gradients(opencl: dt.device) -> None:
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        operands = Operands(library, device, "float32")
        x, one = operands.x.requires_grad_(), operands.one.requires_grad_()
        y = (x * x).masked_fill(operands.columns, one)
        z = (y * y).masked_fill(operands.mask, float("-inf")).exp()
        w = z.clone()
        w[operands.rows] = 2.0
        (w * operands.y).sum().backward()
        assert y.grad_fn.name().startswith("MaskedFillBackward")
        found.append((x.grad.cpu().numpy(), one.grad.cpu().numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_versions_and_refusals(opencl: dt.device) -> None:
    x, mask = dt.ones(3, device=opencl), dt.tensor([True, False, True], device=opencl)
    at = dt.tensor([0, 1], device=opencl)
    for count, write in enumerate(
        (
            lambda: x.masked_fill_(mask, 0),
            lambda: x.__setitem__(mask, 1),
            lambda: x.__setitem__(at, 2),
            lambda: x.index_fill_(0, at, 3),
            lambda: x.scatter_(0, at, 4),
            lambda: x.clamp_(0, 3),
            lambda: x.addcmul_(x.clone(), x.clone(), value=2),
            lambda: x.lerp_(x.clone(), 0.5),
        ),
        1,
    ):
        write()
        write()
        assert x._version == 2 * count
    weight = dt.ones(3, device=opencl, requires_grad=True)
    kept = weight * 1
    out = (kept * kept).sum()
    kept.detach().masked_fill_(mask, 0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()
    for write in (
        lambda: weight.masked_fill_(mask, 0),
        lambda: weight.__setitem__(mask, 0),
        lambda: weight.__setitem__(at, 0),
        lambda: weight.clamp_(0, 1),
    ):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            write()
    wide = dt.ones(1, device=opencl).expand(3)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        wide.masked_fill_(mask, 0)


def test_what_overlaps(opencl: dt.device) -> None:
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        x = library.arange(8, device=device)
        for _ in range(2):
            x[:4].clamp_(min=2)
            x.index_copy_(0, library.tensor([0, 1], device=device), x[6:].clone())
        flags = library.tensor([True, False, True, False], device=device)
        for _ in range(2):
            flags.masked_fill_(flags, False)
        found.append((x.cpu().numpy(), flags.cpu().numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


OUTSIDE: dict[str, Callable[[Any, Any], Any]] = {
    "index_put": lambda x, at: _set(x, at, 1.0),
    "index_fill": lambda x, at: x.index_fill_(0, at, 1.0),
    "index_copy": lambda x, at: x.index_copy_(0, at, dt.ones_like(x)[:2]),
    "index_add": lambda x, at: x.index_add(0, at, dt.ones_like(x)[:2]),
    "scatter": lambda x, at: x.scatter_(0, at[:, None], 1.0),
    "scatter_add": lambda x, at: x.scatter_add(0, at[:, None], x.clone()),
    "scatter_reduce": lambda x, at: x.scatter_reduce(0, at[:, None], x.clone(), "amax"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_index_out_of_range(opencl: dt.device, name: str) -> None:
    for _ in range(2):
        x, at = dt.ones(3, 2, device=opencl), dt.tensor([1, 7], device=opencl)
        made = OUTSIDE[name](x, at)
        text = f"index 7 is out of bounds for dimension 0 with size 3 .{name}"
        with pytest.raises(IndexError, match=text):
            made.cpu()


def test_narrow_indices_with_steps(opencl: dt.device) -> None:
    at = dt.tensor(np.array([3, 0, 4, 1, 2, 0], np.int32), device=opencl)[::2]
    x = dt.arange(10, device=opencl).reshape(5, 2)
    np.testing.assert_array_equal(x.index_select(0, at).cpu().numpy(), [[6, 7], [8, 9], [4, 5]])
    turned = dt.tensor(np.array([[3, 0], [4, 1]], np.int32), device=opencl).t()
    np.testing.assert_array_equal(x.gather(0, turned).cpu().numpy(), [[6, 9], [0, 3]])
    np.testing.assert_array_equal(
        x.scatter(0, turned, 50).cpu().numpy(), [[50, 1], [2, 50], [4, 5], [50, 7], [8, 50]]
    )


def test_many_elements(opencl: dt.device) -> None:
    rng = np.random.default_rng(0)
    values, index = rng.random((300, 70), np.float32), rng.integers(0, 300, (400, 70))
    src, flags = rng.random((400, 70), np.float32), rng.random((300, 1)) < 0.5
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        x, at, y, mask = (library.tensor(a, device=device) for a in (values, index, src, flags))
        found.append(
            [
                row.cpu().numpy()
                for row in (
                    x.masked_fill(mask, 0.5),
                    x.scatter_add(0, at, y),
                    x.scatter_reduce(0, at, y, "amax", include_self=False),
                    x.index_add(0, at[:, 0], y),
                    x.gt(0.5).count_nonzero(1),
                    x.masked_fill(mask, 0).count_nonzero(0),
                )
            ]
        )
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_what_is_written_is_read_before(opencl: dt.device) -> None:
    for _ in range(2):
        x, at = dt.arange(5, device=opencl), dt.tensor([1, 2, 3, 4], device=opencl)
        x.index_copy_(0, at, x[:4])
        np.testing.assert_array_equal(x.cpu().numpy(), [0, 0, 1, 2, 3])
        y = dt.arange(5, device=opencl, dtype=dt.float32)
        y[1:].addcmul_(y[:4], y[:4])
        np.testing.assert_array_equal(y.cpu().numpy(), [0, 1, 3, 7, 13])
