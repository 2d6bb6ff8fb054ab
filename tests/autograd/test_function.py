"""autograd.Function in both forms, and what goes wrong in them."""

from __future__ import annotations

from typing import Any

import pytest

import dovetail as dt
from dovetail.autograd import Function
from dovetail.autograd.function import once_differentiable


class Sine(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * x.cos()


class SineFromOutput(Function):
    """The course text's version: it saves the output, so its gradient is wrong."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = x.sin()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (y,) = ctx.saved_tensors
        return g * y.cos()


class Scale(Function):
    @staticmethod
    def forward(x: Any, factor: float) -> Any:
        return x * factor

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.factor, None


def double(*values: float) -> Any:
    return dt.tensor(values, dtype=dt.float64, requires_grad=True)


def test_both_forms_are_correct_to_second_order() -> None:
    x = double(0.3, 1.2, -2.0)
    assert dt.autograd.gradcheck(Sine.apply, x)
    assert dt.autograd.gradgradcheck(Sine.apply, x)
    assert dt.autograd.gradcheck(lambda t: Scale.apply(t, 3.0), x)


def test_gradcheck_rejects_the_wrong_derivative() -> None:
    with pytest.raises(RuntimeError, match=r"Jacobian mismatch.*(?s:.)*first wrong element"):
        dt.autograd.gradcheck(SineFromOutput.apply, double(0.3, 1.2))


def test_node_name_and_saved_tensors_are_visible() -> None:
    x = double(1.0)
    y = Sine.apply(x)
    assert y.grad_fn.name() == "SineBackward"
    assert "grad_fn=<SineBackward>" in repr(y)
    assert y.grad_fn.saved_tensors[0] is x


def test_saved_tensors_are_freed() -> None:
    y = Sine.apply(double(1.0))
    y.backward()
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()


def test_writing_to_a_saved_tensor_is_noticed() -> None:
    x = double(1.0) * 1
    y = Sine.apply(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_needs_input_grad() -> None:
    seen = []

    class Spy(Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any, n: int) -> Any:
            return a + b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            seen.append(ctx.needs_input_grad)
            return g, None, None

    Spy.apply(double(1.0), dt.ones(1, dtype=dt.float64), 3).backward()
    assert seen == [(True, False, False)]


def test_several_outputs_and_missing_gradients() -> None:
    received = []

    class Two(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, a: Any, b: Any) -> Any:
            received.append((a.tolist(), b.tolist()))
            return a * 2 + b * 3

    x = double(1.0)
    first, _second = Two.apply(x)
    first.backward()
    assert received == [([1.0], [0.0])]
    assert x.grad.tolist() == [2.0]


def test_mark_non_differentiable() -> None:
    class Split(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            a, b = x * 2, x * 0
            ctx.mark_non_differentiable(b)
            return a, b

        @staticmethod
        def backward(ctx: Any, a: Any, b: Any) -> Any:
            return a * 2

    a, b = Split.apply(double(1.0))
    assert a.requires_grad
    assert not b.requires_grad


def test_mark_dirty() -> None:
    class Double(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    x = double(1.0)
    y = x * 1
    z = Double.apply(y)
    assert z is y
    z.sum().backward()
    assert x.grad.tolist() == [2.0]


def test_wrong_number_or_shape_of_gradients() -> None:
    class Many(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, g

    class Odd(Many):
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return dt.ones(7, dtype=dt.float64)

    with pytest.raises(RuntimeError, match=r"incorrect number of gradients \(expected 1, got 2\)"):
        Many.apply(double(1.0)).backward()
    with pytest.raises(RuntimeError, match=r"invalid gradient at index 0 - got \[7\] but expected"):
        Odd.apply(double(1.0, 2.0)).sum().backward()


def test_once_differentiable() -> None:
    class Once(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2 * ctx.saved_tensors[0]

    x = double(3.0)
    (g,) = dt.autograd.grad(Once.apply(x), x, create_graph=True)
    assert g.tolist() == [6.0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.backward()


def test_instances_are_refused() -> None:
    with pytest.raises(RuntimeError, match="should not be instantiated"):
        Sine()


def test_an_output_that_is_no_tensor_is_handed_through() -> None:
    class Halved(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x / 2, "half", 3

        @staticmethod
        def backward(ctx: Any, g: Any, text: Any, number: Any) -> Any:
            assert text is number is None
            return g / 2

    x = dt.ones(2, requires_grad=True)
    y, *others = Halved.apply(x)
    y.sum().backward()
    assert others == ["half", 3]
    assert x.grad.tolist() == [0.5, 0.5]
