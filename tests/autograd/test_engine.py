"""Backward: leaves, accumulation, freed graphs, arguments of backward and grad, long chains."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

import dovetail as dt
from dovetail.autograd import engine


@pytest.fixture
def x(device: dt.device) -> dt.Tensor:
    return dt.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)


def values(t: Any) -> list[float]:
    return t.detach().cpu().tolist()


def test_gradients_accumulate_until_cleared(x: dt.Tensor) -> None:
    for expected in ([2.0, 4.0, 6.0], [4.0, 8.0, 12.0]):
        (x * x).sum().backward()
        assert values(x.grad) == expected
    x.grad.zero_()
    (x * x).sum().backward()
    assert values(x.grad) == [2.0, 4.0, 6.0]


def test_output_needs_grad_if_any_input_does(x: dt.Tensor, device: dt.device) -> None:
    plain = dt.ones(3, device=device)
    assert (plain + x).requires_grad
    assert not (plain + plain).requires_grad
    assert x.is_leaf
    assert plain.is_leaf
    assert not (plain + x).is_leaf


def test_second_backward_says_the_graph_is_freed(x: dt.Tensor) -> None:
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.backward()


def test_retain_graph_allows_a_second_backward(x: dt.Tensor) -> None:
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert values(x.grad) == [4.0, 8.0, 12.0]


def test_non_scalar_needs_a_gradient_and_the_message_says_so(x: dt.Tensor) -> None:
    with pytest.raises(RuntimeError, match=r"scalar outputs.*shape \(3,\).*\.sum\(\)"):
        (x * 2).backward()


def test_vector_jacobian_product(x: dt.Tensor, device: dt.device) -> None:
    (x * x).backward(dt.tensor([1.0, 10.0, 100.0], device=device))
    assert values(x.grad) == [2.0, 40.0, 600.0]


def test_a_backward_that_fails_leaves_gradients_on(
    x: dt.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(tensor: dt.Tensor) -> dt.Tensor:
        raise dt.OutOfMemoryError("no memory for the first gradient")

    total = (x * x).sum()
    with monkeypatch.context() as patch:
        patch.setattr(engine, "ones_like", refuse)
        with pytest.raises(dt.OutOfMemoryError):
            total.backward()
    assert dt.is_grad_enabled()
    total.backward()
    assert values(x.grad) == [2.0, 4.0, 6.0]


def test_gradient_of_wrong_shape(x: dt.Tensor, device: dt.device) -> None:
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (x * x).backward(dt.ones(2, device=device))


def test_backward_without_graph() -> None:
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        dt.ones(1).backward()


def test_inputs_limits_what_is_accumulated(x: dt.Tensor, device: dt.device) -> None:
    w = dt.ones(3, device=device, requires_grad=True)
    (x * w).sum().backward(inputs=[w])
    assert x.grad is None
    assert values(w.grad) == [1.0, 2.0, 3.0]


def test_grad_returns_and_leaves_grad_alone(x: dt.Tensor) -> None:
    (g,) = dt.autograd.grad((x * x).sum(), x)
    assert values(g) == [2.0, 4.0, 6.0]
    assert x.grad is None


def test_grad_of_an_unused_input(x: dt.Tensor) -> None:
    other = dt.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="appears to not have been used"):
        dt.autograd.grad((x * x).sum(), [x, other])
    found = dt.autograd.grad((x * x).sum(), [x, other], allow_unused=True)
    assert found[1] is None
    zeros = dt.autograd.grad((x * x).sum(), [x, other], materialize_grads=True)[1]
    assert values(zeros) == [0.0, 0.0, 0.0]


def test_grad_of_a_non_leaf(x: dt.Tensor) -> None:
    middle = x * 2
    (g,) = dt.autograd.grad((middle * middle).sum(), middle)
    assert values(g) == [4.0, 8.0, 12.0]


def test_an_output_that_was_saved_and_used_counts_twice(device: dt.device) -> None:
    """Second derivatives of an operator with several outputs, each saved for its backward."""
    x = dt.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=dt.float64, device=device, requires_grad=True)
    w, v = dt.linalg.eigh(x)
    (first,) = dt.autograd.grad(((v * w**3) @ v.mT).sum(), x, create_graph=True)
    (second,) = dt.autograd.grad((first * first).sum(), x)
    # The same of x @ x @ x, whose gradients need no eigenvectors.
    (cubed,) = dt.autograd.grad((x @ x @ x).sum(), x, create_graph=True)
    (again,) = dt.autograd.grad((cubed * cubed).sum(), x)
    assert (first - cubed).abs().amax().item() < 1e-12
    symmetric = [(g + g.mT) / 2 for g in (second, again)]
    assert (symmetric[0] - symmetric[1]).abs().amax().item() < 1e-11


def test_third_derivative(device: dt.device) -> None:
    t = dt.tensor(2.0, device=device, requires_grad=True)
    y = t**4
    for expected in (32.0, 48.0, 48.0):
        (y,) = dt.autograd.grad(y, t, create_graph=True)
        assert y.item() == pytest.approx(expected)


def test_retain_grad_is_a_method_and_keeps_a_non_leaf_gradient(x: dt.Tensor) -> None:
    y = x * 2
    y.retain_grad()
    y.sum().backward()
    assert y.retains_grad
    assert values(y.grad) == [1.0, 1.0, 1.0]


def test_two_leaves_do_not_share_one_gradient(x: dt.Tensor, device: dt.device) -> None:
    w = dt.ones(3, device=device, requires_grad=True)
    (x + w).sum().backward()
    x.grad.add_(5)
    assert values(w.grad) == [1.0, 1.0, 1.0]


def test_the_callers_gradient_is_not_kept(x: dt.Tensor, device: dt.device) -> None:
    seed = dt.ones(3, device=device)
    (x + 0).backward(seed)
    x.grad.add_(5)
    assert values(seed) == [1.0, 1.0, 1.0]


def test_broadcast_is_summed_back(device: dt.device) -> None:
    row = dt.ones(1, 3, device=device, requires_grad=True)
    column = dt.ones(2, 1, device=device, requires_grad=True)
    (row * column).sum().backward()
    assert values(row.grad) == [[2.0, 2.0, 2.0]]
    assert values(column.grad) == [[3.0], [3.0]]


def test_gradient_has_the_inputs_dtype(device: dt.device) -> None:
    half = dt.ones(3, dtype=dt.float16, device=device, requires_grad=True)
    (half * dt.ones(3, device=device)).sum().backward()
    assert half.grad.dtype is dt.float16


def test_integers_cannot_require_grad() -> None:
    with pytest.raises(RuntimeError, match="only Tensors of floating point and complex dtype"):
        dt.ones(3, dtype=dt.int64).requires_grad_()


def test_requires_grad_of_a_non_leaf_cannot_change(x: dt.Tensor) -> None:
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf"):
        (x * 2).requires_grad_(False)


def test_detach_shares_memory_without_history(x: dt.Tensor) -> None:
    y = x.detach()
    assert not y.requires_grad
    with dt.no_grad():
        y.add_(1)
    assert values(x) == [2.0, 3.0, 4.0]


def test_million_operators_without_recursion(device: dt.device) -> None:
    x = dt.zeros(1, device=device, requires_grad=True)
    count = 1_000_000 if device.type == "cpu" else 20_000
    y = x
    for _ in range(count):
        y = y + 1
    y.backward()
    assert values(x.grad) == [1.0]
    del y  # freeing the chain must not recurse either


def test_small_graphs_leave_nothing_behind(device: dt.device) -> None:
    def once() -> None:
        x = dt.ones(3, device=device, requires_grad=True)
        ((x * x).exp() + x.tanh()).sum().backward()

    for _ in range(10):
        once()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(2000):
            once()
        assert len(gc.get_objects()) - before < 200
    finally:
        gc.enable()


def test_gradients_from_many_threads_all_count(device: dt.device) -> None:
    x = dt.zeros(100, device=device, requires_grad=True)

    def work() -> None:
        for _ in range(200):
            (x * 1.0).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert values(x.grad) == [800.0] * 100


def test_modes_belong_to_the_thread() -> None:
    seen = []
    with dt.no_grad():
        thread = threading.Thread(target=lambda: seen.append(dt.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_a_non_leaf_without_a_gradient_warns_as_pytorchs(x: dt.Tensor) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.ones(3, requires_grad=True)
    with pytest.warns(UserWarning, match="not a leaf Tensor is being accessed") as mine:
        assert (x * 2).grad is None
    with pytest.warns(UserWarning, match="not a leaf Tensor is being accessed") as known:
        assert (theirs * 2).grad is None
    assert mine[0].filename == __file__
    assert str(known[0].message).startswith(str(mine[0].message)[:330])
    # None of these warns: a leaf, one that will have it, one that was given it, no history.
    kept, given = x * 2, x * 2
    kept.retain_grad()
    given.grad = given.detach()
    assert [t.grad is None for t in (x, kept, given, (x * 2).detach())] == [
        True, True, False, True,
    ]  # fmt: skip
