"""grad, vjp, jvp and the Jacobians: arguments, errors, and what becomes of histories."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import pytest

import dovetail as dt
from dovetail import func
from dovetail.func import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap
from dovetail.func.tree import broadcast_prefix, flatten, tree_map, unflatten

ONE = dt.ones(3)
ZERO = dt.zeros(())

ERRORS: dict[str, tuple[Any, type[Exception], str]] = {
    "no scalar": (lambda: grad(dt.sin)(ONE), RuntimeError, "got tensor with 1 dims"),
    "no tensor": (lambda: grad(lambda x: 3)(ONE), RuntimeError, "to return a Tensor, got"),
    "argnum": (lambda: grad(dt.sin, 2)(ZERO), RuntimeError, "Got argnum=2, but only 1"),
    "argnums word": (lambda: grad(dt.sin, "a")(ZERO), RuntimeError, "argnums must be int or"),
    "argnums empty": (lambda: grad(dt.sin, ())(ZERO), RuntimeError, "must be non-empty"),
    "argnums twice": (lambda: grad(dt.sin, (0, 0))(ZERO), RuntimeError, "elements must be unique"),
    "no aux": (lambda: grad(dt.sin, has_aux=True)(ZERO), RuntimeError, "should be a tuple"),
    "number": (lambda: grad(dt.sin)(1.0), ValueError, "must be Tensor, got"),
    "integers": (lambda: grad(dt.sum)(dt.arange(3)), RuntimeError, "floating point"),
    "vjp result": (lambda: vjp(lambda x: 3, ONE), RuntimeError, "return only tensors"),
    "vjp structure": (
        lambda: vjp(lambda x: (x, [x]), ONE)[1]((ONE, ONE)), RuntimeError, "pytree structure"
    ),
    "vjp shape": (lambda: vjp(dt.sin, ONE)[1](dt.ones(2)), RuntimeError, "Mismatch in shape"),
    "jvp primals": (lambda: jvp(dt.sin, ONE, ONE), RuntimeError, "primals to be a tuple"),
    "jvp tangents": (lambda: jvp(dt.sin, (ONE,), ONE), RuntimeError, "tangents to be a tuple"),
    "jvp structure": (
        lambda: jvp(dt.sin, (ONE,), (ONE, ONE)), RuntimeError, "same python structure"
    ),
    "jvp shape": (lambda: jvp(dt.sin, (ONE,), (dt.ones(2),)), RuntimeError, "different size"),
    "jvp nothing": (lambda: jvp(dt.sin, (), ()), RuntimeError, "at least one Tensor"),
    "jvp numbers": (lambda: jvp(dt.sin, (1,), (1,)), RuntimeError, "only Tensors"),
    "jvp strict": (
        lambda: jvp(lambda x: dt.ones(2), (ONE,), (ONE,), strict=True), RuntimeError, "independent"
    ),
    "linearize": (lambda: linearize(dt.sin, ONE)[1](ONE, ONE), RuntimeError, "structure of the"),
    "jacrev result": (lambda: jacrev(lambda x: 3)(ONE), RuntimeError, "return only tensors"),
    "jacrev integers": (lambda: jacrev(lambda x: x.int())(ONE), RuntimeError, "floating-point or"),
    "jacrev chunks": (lambda: jacrev(dt.sin, chunk_size=0), ValueError, "greater than 0"),
    "jacfwd result": (lambda: jacfwd(lambda x: 3)(ONE), RuntimeError, "return only tensors"),
    "jacfwd randomness": (lambda: jacfwd(dt.sin, randomness="x"), RuntimeError, "Only allowed"),
    "functionalize": (lambda: func.functionalize(dt.sin, remove="x"), RuntimeError, "remove=x"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    call, kind, words = ERRORS[name]
    with pytest.raises(kind, match=words):
        call()


def test_results_have_no_history_of_their_own() -> None:
    x = dt.rand(3)
    output, vjp_fn = vjp(dt.sin, x)
    results = [
        grad(lambda x: x.sin().sum())(x), output, vjp_fn(x)[0], jvp(dt.sin, (x,), (x,))[1],
        jacrev(dt.sin)(x), jacfwd(dt.sin)(x), hessian(lambda x: x.sin().sum())(x),
        vmap(grad(dt.sin))(x), linearize(dt.sin, x)[1](x),
    ]  # fmt: skip
    assert not any(r.requires_grad for r in results)
    assert not x.requires_grad


def test_results_keep_the_history_outside() -> None:
    x = dt.rand(3, requires_grad=True)
    for f in (
        lambda: grad(lambda x: (x**3).sum())(x).sum(),
        lambda: vmap(grad(lambda x: x**3))(x).sum(),
        lambda: vjp(lambda x: x**3, x)[1](dt.ones(3))[0].sum(),
        lambda: jacrev(lambda x: x**3)(x).sum(),
        lambda: jacfwd(lambda x: x**3)(x).sum(),
        lambda: jvp(lambda x: x**3, (x,), (dt.ones(3),))[1].sum(),
    ):
        (g,) = dt.autograd.grad(f(), x)
        assert dt.allclose(g, 6 * x)
    assert x.grad is None


def test_a_vector_that_is_differentiated() -> None:
    x, v = dt.rand(3), dt.rand(3)
    _, vjp_fn = vjp(dt.sin, x)
    assert dt.allclose(grad(lambda v: (vjp_fn(v)[0] ** 2).sum())(v), 2 * v * x.cos() ** 2)
    _, jvp_fn = linearize(dt.sin, x)
    assert dt.allclose(grad(lambda v: (jvp_fn(v) ** 2).sum())(v), 2 * v * x.cos() ** 2)


def test_a_vjp_of_a_network_is_used_twice() -> None:
    x = dt.rand(4)
    _, vjp_fn = vjp(lambda x: (x.sin() * x).cumsum(0), x)
    assert dt.equal(vjp_fn(x)[0], vjp_fn(x)[0])


def test_an_unused_output_and_an_unused_input() -> None:
    x, y = dt.rand(2), dt.rand(3)
    jacobian = jacrev(lambda x, y: (x * 2, y.new_ones(1)), (0, 1))(x, y)
    assert [[tuple(g.shape) for g in row] for row in jacobian] == [
        [(2, 2), (2, 3)],
        [(1, 2), (1, 3)],
    ]
    assert not jacobian[0][1].any()
    assert not jacobian[1][0].any()
    _output, product = jvp(lambda x: dt.ones(2), (x,), (x,))
    assert dt.equal(product, dt.zeros(2))


def test_empty_tensors() -> None:
    assert jacrev(dt.sin)(dt.ones(0)).shape == (0, 0)
    assert jacfwd(lambda x: x.sum())(dt.ones(0, 2)).shape == (0, 2)
    assert vmap(grad(lambda x: x.sum()))(dt.ones(0, 3)).shape == (0, 3)


def test_no_grad_around_a_vmap_reaches_its_outside() -> None:
    x = dt.rand(3, requires_grad=True)
    with dt.no_grad():
        assert not vmap(grad(lambda x: x**3))(x).requires_grad


def test_a_custom_function_is_taken_by_its_own_rule() -> None:
    class Twice(dt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 20  # not what forward does, so that it shows

    assert grad(lambda x: Twice.apply(x).sum())(ONE).tolist() == [20] * 3
    assert jvp(Twice.apply, (ONE,), (ONE,))[1].tolist() == [20] * 3
    with pytest.raises(RuntimeError, match="must override the setup_context"):
        vmap(Twice.apply)(ONE)


def _scaled(**members: Any) -> Any:
    def forward(x: Any, w: Any) -> Any:
        return x.sin() * w

    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    def backward(ctx: Any, g: Any) -> Any:
        x, w = ctx.saved_tensors
        return g * x.cos() * w * 10, (g * x.sin() * 10).sum()

    own = {"forward": forward, "setup_context": setup_context, "backward": backward}
    made = {k: staticmethod(f) for k, f in own.items()}
    return type("Scaled", (dt.autograd.Function,), {**made, **members})


def test_a_made_rule() -> None:
    scaled = _scaled(generate_vmap_rule=True)
    x, w = dt.rand(4, 3), dt.tensor(2.0)
    assert dt.allclose(vmap(lambda x: scaled.apply(x, w))(x), x.sin() * 2)
    assert dt.allclose(vmap(grad(lambda x: scaled.apply(x, w).sum()))(x), x.cos() * 20)
    through = grad(lambda w: vmap(lambda x: scaled.apply(x, w))(x).sum())(w)
    assert dt.allclose(through, x.sin().sum() * 10)
    twice = grad(lambda x: vmap(grad(lambda x: scaled.apply(x, w).sum()))(x).sum())(x)
    assert dt.allclose(twice, -20 * x.sin())
    nested = vmap(vmap(scaled.apply, (0, None)), (0, None))(x, w)
    assert dt.allclose(nested, x.sin() * 2)


def test_a_rule_of_its_own() -> None:
    def rule(info: Any, in_dims: Any, x: Any, w: Any) -> Any:
        assert info.batch_size == 4
        assert in_dims == (0, None)
        return x.sin().movedim(0, -1) * w * 100, -1

    scaled = _scaled(vmap=staticmethod(rule))
    x = dt.rand(4, 3)
    assert dt.allclose(vmap(lambda x: scaled.apply(x, dt.tensor(2.0)))(x), x.sin() * 200)
    with pytest.raises(RuntimeError, match="does not have vmap support"):
        vmap(lambda x: _scaled().apply(x, dt.tensor(2.0)))(x)
    both = _scaled(vmap=staticmethod(rule), generate_vmap_rule=True)
    with pytest.raises(RuntimeError, match="both generate_vmap_rule"):
        vmap(lambda x: both.apply(x, dt.tensor(2.0)))(x)


Pair = namedtuple("Pair", ("a", "b"))


def test_trees() -> None:
    tree = {"x": (1, [2, Pair(3, None)]), "y": OrderedDict(z=5)}
    values, spec = flatten(tree)
    assert values == [1, 2, 3, None, 5]
    assert spec.num_leaves == 5
    assert unflatten(values, spec) == tree
    again = tree_map(lambda v: v, tree)
    assert type(again["x"][1][1]) is Pair
    assert type(again["y"]) is OrderedDict
    assert broadcast_prefix({"x": (0, 1), "y": None}, spec) == [0, 1, 1, 1, None]
    assert broadcast_prefix({"x": (0, 1)}, spec) is None
    assert flatten((1, 2))[1] != flatten([1, 2])[1]


def test_gradients_of_a_named_tuple() -> None:
    made = grad(lambda p: (p.a * p.b).sum())(Pair(ONE, ONE * 2))
    assert type(made) is Pair
    assert made.a.tolist() == [2] * 3


def test_a_long_chain_is_walked_without_recursion() -> None:
    def long(x: Any) -> Any:
        y = x
        for _ in range(3000):
            y = y + 1
        return y.sum()

    assert grad(long)(ONE).tolist() == [1] * 3
    assert vmap(grad(lambda x: long(x.unsqueeze(0))))(ONE).tolist() == [1] * 3
