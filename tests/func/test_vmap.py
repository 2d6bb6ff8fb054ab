"""vmap: what it sees, what it refuses, random numbers, writes, printing, and the last resort."""

from __future__ import annotations

import re
import threading
import warnings
from typing import Any

import pytest

import dovetail as dt
from dovetail.func import debug_unwrap, grad, vmap
from dovetail.func.rules import RULES
from dovetail.nn import functional as F
from dovetail.ops.schema import REGISTRY


@pytest.fixture
def x(device: dt.device) -> Any:
    return (dt.arange(12, device=device).reshape(4, 3) * 0.5 - 2).sin()


def same(a: Any, b: Any) -> None:
    assert a.shape == b.shape
    assert dt.equal(a.cpu(), b.cpu()), f"{a} is not {b}"


# --------------------------------------------------------- what a row looks like


def test_a_row_has_the_facts_of_a_row(x: Any) -> None:
    seen = []

    def look(a: Any) -> Any:
        seen.extend([a.shape, a.ndim, a.size(), a.size(-1), a.numel(), len(a), a.dtype, a.device])
        seen.extend([a.stride(), a.is_contiguous(), type(a)])
        return a

    vmap(look)(x)
    size = dt.Size([3])
    assert seen[:6] == [size, 1, size, 3, 3, 3]
    assert seen[6:] == [x.dtype, x.device, (1,), True, dt.Tensor]


def test_printing(x: Any) -> None:
    texts = []
    vmap(vmap(lambda a: texts.append(repr(a)) or a))(x.unsqueeze(0))
    assert re.match(r"BatchedTensor\(lvl=2, bdim=0, value=\n    BatchedTensor\(lvl=1", texts[0])


def test_debug_unwrap(x: Any) -> None:
    shapes = []
    vmap(
        vmap(
            lambda a: (
                shapes.append((debug_unwrap(a).shape, debug_unwrap(a, recurse=False).shape)) or a
            )
        )
    )(x)
    assert shapes == [((4, 3), (3,))]


def test_python_iterates_over_a_row(x: Any) -> None:
    same(vmap(lambda a: sum(b * i for i, b in enumerate(a)))(x), x[:, 1] + x[:, 2] * 2)


def test_a_trace_sees_the_calls_on_values(x: Any) -> None:
    with dt.trace() as events:
        vmap(lambda a: a.exp())(x)
    assert [e.op for e in events] == ["exp", "exp"]
    assert events[0].depth == 1


def test_inference_mode(x: Any) -> None:
    with dt.inference_mode():
        assert vmap(lambda a: a.exp() + 1)(x).is_inference()


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda a: a.sum().item(), "calling .item"),
        (lambda a: float(a.sum()), "calling .item"),
        (lambda a: a.tolist(), "calling .item"),
        (lambda a: a.numpy(), "calling .item"),
        (lambda a: a if a.sum() > 0 else -a, "data-dependent control flow"),
        (lambda a: a.nonzero(), "dynamic shape"),
        (lambda a: a[a > 0], "dynamic shape"),
        (lambda a: dt.zeros(3, device=a.device).add_(a), "inplace arithmetic"),
        (lambda a: dt.zeros(3, device=a.device).copy_(a), "inplace arithmetic"),
        (lambda a: _set(dt.zeros(3, device=a.device), a), "inplace arithmetic"),
        (lambda a: dt.rand(3, device=a.device) + a, "randomness error mode"),
        (lambda a: F.dropout(a), "randomness error mode"),
        (lambda a: a[[3]], "out of bounds"),
    ],
    ids=range(13),
)  # fmt: skip
def test_refusals(x: Any, function: Any, words: str) -> None:
    with pytest.raises((RuntimeError, IndexError), match=words):
        vmap(function)(x)


def _set(target: Any, a: Any) -> Any:
    target[0] = a[0]
    return target


def test_an_index_out_of_bounds(x: Any) -> None:
    if x.device.type != "cpu":
        pytest.skip("indices are checked in host memory only")
    with pytest.raises(IndexError, match="index 3 is out of bounds"):
        vmap(lambda a, i: a[i])(x, dt.tensor([0, 1, 3, 2]))


def test_shapes_are_told_of_rows(x: Any) -> None:
    with pytest.raises(RuntimeError, match=r"\(3\) must match the size of tensor b \(2\)"):
        vmap(lambda a: a + dt.ones(2, device=a.device))(x)


def test_a_tensor_that_escaped(x: Any) -> None:
    kept = []
    vmap(lambda a: kept.append(a) or a)(x)
    with pytest.raises(RuntimeError, match="outside of the vmap"):
        kept[0] + 1
    with pytest.raises(RuntimeError, match="outside of the vmap"):
        vmap(lambda a: a + kept[0])(x)


ONE = dt.ones(3)

ARGUMENTS: dict[str, tuple[Any, type[Exception], str]] = {
    "no inputs": (lambda: vmap(dt.sin)(), ValueError, "got no inputs"),
    "0-d": (lambda: vmap(dt.sin)(dt.tensor(1.0)), ValueError, "dimensionality 0"),
    "dim": (lambda: vmap(dt.sin, 3)(ONE), ValueError, "-1 <= in_dim < 1"),
    "in_dims None": (lambda: vmap(dt.sin, None)(ONE), ValueError, "expected `in_dims` to be int"),
    "in_dims word": (lambda: vmap(dt.sin, "a")(ONE), ValueError, "expected `in_dims` to be int"),
    "structure": (lambda: vmap(dt.sin, (0, 0))(ONE), ValueError, "in_dims is not compatible"),
    "sizes": (lambda: vmap(dt.add)(ONE, dt.ones(4)), ValueError, r"got sizes \[3, 4\]"),
    "number": (lambda: vmap(dt.add)(ONE, 1), ValueError, "non-Tensor arguments"),
    "nothing mapped": (lambda: vmap(dt.sin, (None,))(ONE), ValueError, "at least one Tensor"),
    "result": (lambda: vmap(lambda a: 3)(ONE), ValueError, "must only return Tensors"),
    "out_dims": (lambda: vmap(dt.sin, 0, 5)(ONE), IndexError, "Dimension out of range"),
    "out_dims word": (lambda: vmap(dt.sin, 0, "a")(ONE), ValueError, "`out_dims` must be an int"),
    "out structure": (
        lambda: vmap(lambda a: (a, a), 0, (0,))(ONE), ValueError, "out_dims is not compatible"
    ),
    "batched, None": (lambda: vmap(dt.sin, 0, None)(ONE), ValueError, "can not return a Batched"),
    "randomness": (lambda: vmap(dt.sin, randomness="x"), RuntimeError, "Only allowed values"),
    "chunk_size": (lambda: vmap(dt.sin, chunk_size=0), ValueError, "chunk_size should be None"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(name: str) -> None:
    call, kind, words = ARGUMENTS[name]
    with pytest.raises(kind, match=words):
        call()


# -------------------------------------------------------------- random numbers


def test_different_numbers(x: Any) -> None:
    made = vmap(lambda a: dt.rand(5, device=a.device) + 0 * a[0], randomness="different")(x)
    assert made.shape == (4, 5)
    assert len({tuple(row) for row in made.tolist()}) == 4


def test_same_numbers(x: Any) -> None:
    made = vmap(lambda a: dt.randn(5, device=a.device) + 0 * a[0], randomness="same")(x)
    assert len({tuple(row) for row in made.tolist()}) == 1


def test_same_numbers_in_chunks(x: Any) -> None:
    dt.manual_seed(3)
    made = vmap(lambda a: dt.rand_like(a), randomness="same", chunk_size=1)(x)
    assert len({tuple(row) for row in made.tolist()}) == 1


def test_levels_with_modes_of_their_own(x: Any) -> None:
    inner = vmap(lambda a: dt.rand(2, device=a.device) + 0 * a, randomness="same")
    made = vmap(inner, randomness="different")(x)
    assert made.shape == (4, 3, 2)
    assert [len({tuple(r) for r in rows}) for rows in made.tolist()] == [1] * 4
    assert len({str(rows) for rows in made.tolist()}) == 4


@pytest.mark.parametrize(
    "draw",
    [
        lambda a: F.dropout(a), lambda a: dt.randperm(6, device=a.device) + 0 * a[0],
        lambda a: a.clone().normal_(),
        lambda a: dt.bernoulli(a.sigmoid()).sum() + a.new_empty(2).uniform_(),
        lambda a: dt.randint(0, 1000, (3,), device=a.device),
        lambda a: a.softmax(0).multinomial(8, True),
    ],
    ids=["dropout", "randperm", "normal_", "uniform_", "randint", "multinomial"],
)  # fmt: skip
def test_draws(x: Any, draw: Any) -> None:
    dt.manual_seed(0)
    rows = vmap(draw, randomness="different")(x.abs() + 1).tolist()
    assert len({tuple(row) for row in rows}) > 1


# ---------------------------------------------------------------------- writes


def test_writes_to_a_row_change_the_input(x: Any) -> None:
    before = x.clone()
    vmap(lambda a: a.mul_(2))(x)
    same(x, before * 2)


def test_an_unbatched_value_into_a_row(x: Any) -> None:
    same(vmap(lambda a: a.clone().copy_(dt.ones(3, device=a.device)))(x), dt.ones_like(x))


def test_a_copy_for_values_of_several_levels(x: Any) -> None:
    table = dt.zeros(5, device=x.device)
    put = lambda a, b: table.index_put((dt.tensor([1], device=x.device),), a + 0 * b)
    made = vmap(lambda a: vmap(lambda b: put(a, b))(x[0]))(x[:, :1])
    same(made[..., 1], x[:, :1].expand(4, 3))
    new = vmap(lambda a: vmap(lambda b: a.new_zeros(1) + b)(x[0]))(x)
    same(new[..., 0], x[0].expand(4, 3))


def test_out_of_a_row(x: Any) -> None:
    def function(a: Any) -> Any:
        out = dt.empty_like(a)
        dt.exp(a, out=out)
        return out

    same(vmap(function)(x), x.exp())


def test_a_saved_row_that_was_written_to(x: Any) -> None:
    def function(a: Any) -> Any:
        b = a * 1
        c = b.exp() * b
        b.add_(1)
        return c.sum()

    with pytest.raises(RuntimeError, match="modified by an inplace"):
        vmap(grad(function))(x)


def test_a_variable_may_not_be_written_to(x: Any) -> None:
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        grad(lambda a: a.mul_(2).sum())(x)


# ------------------------------------------------------------- the last resort


def test_row_by_row(x: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "sort")
    monkeypatch.setattr(REGISTRY["sort"], "plans", {})

    def function(a: Any) -> Any:
        return (a.sort(descending=True)[0] * dt.arange(3, device=a.device)).sum()

    with pytest.warns(UserWarning, match="performance drop.*sort"):
        values = vmap(function)(x)
    same(values, dt.stack([function(row) for row in x]))
    wanted = dt.stack([grad(function)(row) for row in x])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(vmap(grad(function))(x), wanted)
        same(grad(lambda x: vmap(function)(x).sum())(x), wanted)
        assert vmap(lambda a: a.sort()[1])(x[:0]).shape == (0, 3)


def test_threads_have_their_own_levels(x: Any) -> None:
    found = []

    def inside(a: Any) -> Any:
        def other() -> None:
            found.append(vmap(lambda b: b * 2)(x))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return a

    vmap(inside)(x)
    same(found[0], x * 2)
