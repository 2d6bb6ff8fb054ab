"""gradcheck's own behaviour, detect_anomaly, hooks, saved-tensor hooks, checkpoint, functional."""

from __future__ import annotations

import re
from typing import Any

import pytest

import dovetail as dt
from dovetail.autograd import functional
from dovetail.utils.checkpoint import CheckpointError, checkpoint


def double(*values: float) -> Any:
    return dt.tensor(values, dtype=dt.float64, requires_grad=True)


def test_float32_input_gets_a_warning_that_names_the_eps() -> None:
    x = dt.tensor([0.5], requires_grad=True)
    with pytest.warns(UserWarning, match=r"not a double precision.*eps=0\.01"):
        dt.autograd.gradcheck(lambda t: t * 2, x, eps=1e-2, atol=1e-2)


def test_gradcheck_needs_something_to_check() -> None:
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        dt.autograd.gradcheck(lambda t: t, dt.ones(1))


def test_gradcheck_can_return_false() -> None:
    class Wrong(dt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

    assert dt.autograd.gradcheck(Wrong.apply, double(1.0), raise_exception=False) is False


def test_gradcheck_restores_its_input() -> None:
    x = double(0.1, 0.2)
    before = x.tolist()
    dt.autograd.gradcheck(lambda t: t.exp(), x)
    assert x.tolist() == before


def test_gradcheck_complex() -> None:
    z = dt.tensor([1 + 2j, -0.5j + 0.3], dtype=dt.complex128, requires_grad=True)
    assert dt.autograd.gradcheck(lambda t: t * t, z)
    assert dt.autograd.gradcheck(lambda t: t.abs(), z)


def test_anomaly_prints_the_forward_line_of_an_error() -> None:
    class Fails(dt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise RuntimeError("Some error in backward")

    with dt.autograd.detect_anomaly():
        y = (double(1.0) * 2).log()  # forward line
        with pytest.raises(RuntimeError, match="nan values") as caught:
            (y * 0).backward(dt.tensor([float("nan")], dtype=dt.float64))
        with pytest.raises(RuntimeError, match="Some error in backward"):
            Fails.apply(double(1.0)).backward()
    assert re.search(r"test_checks\.py", str(caught.value))
    assert not dt.autograd.anomaly.is_anomaly_enabled()


def test_tensor_hook_changes_the_gradient_and_can_be_removed() -> None:
    x = double(1.0)
    handle = x.register_hook(lambda g: g * 10)
    (x * 2).backward()
    handle.remove()
    (x * 2).backward()
    assert x.grad.tolist() == [22.0]


def test_hook_on_a_non_leaf_runs_once_with_the_whole_gradient() -> None:
    seen = []
    x = double(1.0)
    y = x * 2
    y.register_hook(lambda g: seen.append(g.tolist()))
    (y * 3 + y * 4).backward()
    assert seen == [[7.0]]


def test_node_hooks() -> None:
    x = double(1.0)
    y = x * 2
    y.grad_fn.register_prehook(lambda grads: (grads[0] * 10,))
    y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] + 1, None))
    y.backward()
    assert x.grad.tolist() == [21.0]


def test_post_accumulate_hook() -> None:
    x = double(1.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda leaf: seen.append(leaf.grad.tolist()))
    (x * 2).backward()
    assert seen == [[2.0]]
    with pytest.raises(RuntimeError, match="non-leaf"):
        (x * 2).register_post_accumulate_grad_hook(print)


def test_saved_tensor_hooks_pack_and_unpack() -> None:
    events = []

    def pack(t: Any) -> Any:
        events.append("pack")
        return t.tolist()

    def unpack(values: Any) -> Any:
        events.append("unpack")
        return dt.tensor(values, dtype=dt.float64)

    x = double(2.0)
    with dt.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = x.exp() * 1
    y.backward()
    assert x.grad.item() == pytest.approx(x.exp().item())
    assert events == ["pack", "unpack"]


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint_gives_the_same_gradients_and_runs_twice(reentrant: bool) -> None:
    runs = []

    def block(t: Any) -> Any:
        runs.append(1)
        return (t.exp() * t.sin()).tanh()

    x, twin = double(0.3, 0.7), double(0.3, 0.7)
    checkpoint(block, x, use_reentrant=reentrant).sum().backward()
    assert len(runs) == 2
    block(twin).sum().backward()
    assert x.grad.tolist() == twin.grad.tolist()


def test_checkpoint_notices_a_function_that_changes() -> None:
    runs = []

    def block(t: Any) -> Any:
        runs.append(1)
        return t.exp() if len(runs) == 1 else t.exp().exp()

    y = checkpoint(block, double(0.3))
    with pytest.raises(RuntimeError, match="different number of tensors"):
        y.backward()


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint_notices_an_argument_that_was_written_to(reentrant: bool) -> None:
    leaf = double(0.3)
    x = leaf * 1
    y = checkpoint(lambda t: t * t, x, use_reentrant=reentrant)
    with dt.no_grad():
        x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_checkpoint_draws_the_same_again_whatever_the_arguments() -> None:
    x = dt.ones(100, requires_grad=True)
    drop = dt.nn.functional.dropout
    for run in (lambda: checkpoint(lambda: drop(x)), lambda: checkpoint(lambda t: drop(t), t=x)):
        x.grad = None
        y = run()
        dt.rand(1)
        y.sum().backward()
        assert ((y == 0) == (x.grad == 0)).all()


def test_checkpoint_compares_what_it_is_asked_to() -> None:
    lengths = iter([2, 1, 2, 1])

    def block(t: Any) -> Any:
        return t[: next(lengths)].exp()

    with pytest.raises(CheckpointError, match="different metadata"):
        checkpoint(block, double(0.3, 0.4)).sum().backward()
    checkpoint(block, double(0.3, 0.4), determinism_check="none").sum().backward()
    with pytest.raises(ValueError, match="determinism_check should be one of"):
        checkpoint(block, double(0.3), determinism_check="all")
    with pytest.raises(ValueError, match="Unexpected keyword arguments: t"):
        checkpoint(block, t=double(0.3), use_reentrant=True)


def test_jacobian_and_hessian() -> None:
    x = double(1.0, 2.0)
    j = functional.jacobian(lambda t: t * t, x)
    assert j.tolist() == [[2.0, 0.0], [0.0, 4.0]]
    h = functional.hessian(lambda t: (t**3).sum(), x)
    assert h.tolist() == [[6.0, 0.0], [0.0, 12.0]]


def test_jacobian_of_several_inputs_and_outputs() -> None:
    a, b = double(1.0, 2.0), double(3.0)
    (ja, jb), (ka, kb) = functional.jacobian(lambda s, t: (s * t, s.sum()), (a, b))
    assert (ja.shape, jb.shape, ka.shape, kb.shape) == ((2, 2), (2, 1), (2,), (1,))
    assert jb.tolist() == [[1.0], [2.0]]
    assert kb.tolist() == [0.0]


def test_products_with_vectors() -> None:
    x = double(1.0, 2.0)
    v = dt.tensor([1.0, 10.0], dtype=dt.float64)
    assert functional.vjp(lambda t: t * t, x, v)[1].tolist() == [2.0, 40.0]
    assert functional.jvp(lambda t: t * t, x, v)[1].tolist() == [2.0, 40.0]
    assert functional.hvp(lambda t: (t**3).sum(), x, v)[1].tolist() == [6.0, 120.0]
    assert functional.vhp(lambda t: (t**3).sum(), x, v)[1].tolist() == [6.0, 120.0]
