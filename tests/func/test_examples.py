"""Programs of PyTorch's functorch tutorials, run in both libraries."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

RNG = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    return np.asarray(RNG.normal(size=shape))


W, BIAS, X, V = values(4, 5), values(4), values(5), values(4)
BATCH, TARGETS = values(6, 5), values(6, 4)
LAYERS = {"w1": values(8, 5) * 0.5, "b1": values(8), "w2": values(4, 8) * 0.5, "b2": values(4)}


def jacobians(t: Any, w: Any, b: Any, x: Any) -> Any:
    """Jacobians, Hessians, vhp, batch jacobians and the Laplacian (jacobians_hessians)."""
    F = t.nn.functional
    predict = lambda w, b, x: F.linear(x, w, b).tanh()
    loss = lambda w, b, x: predict(w, b, x).square().sum()
    unit = t.eye(4, dtype=t.float64)
    _, vjp_fn = t.func.vjp(lambda x: predict(w, b, x), x)
    hessian = t.func.jacfwd(t.func.jacrev(predict, argnums=2), argnums=2)
    batch = t.stack([x, x * 2, x - 1])
    return (
        t.vmap(vjp_fn)(unit)[0],
        t.func.jacrev(predict, argnums=(0, 1))(w, b, x),
        t.func.jacfwd(predict, argnums=2)(w, b, x),
        hessian(w, b, x),
        t.vmap(t.func.jacrev(predict, argnums=2), in_dims=(None, None, 0))(w, b, batch),
        t.vmap(t.func.hessian(loss, argnums=2), in_dims=(None, None, 0))(w, b, batch),
        t.func.jvp(t.func.grad(lambda x: loss(w, b, x)), (x,), (x,))[1],
        t.func.vjp(t.func.grad(lambda x: loss(w, b, x)), x)[1](x)[0],
        t.vmap(lambda x: t.func.hessian(lambda x: loss(w, b, x))(x).diagonal().sum())(batch),
    )


def network(t: Any, p: Any, x: Any) -> Any:
    return t.nn.functional.linear(
        t.nn.functional.linear(x, p["w1"], p["b1"]).tanh(), p["w2"], p["b2"]
    )


def tangent_kernel(t: Any, p: Any, x1: Any, x2: Any) -> Any:
    """The neural tangent kernel, by contraction and by products (neural_tangent_kernels)."""
    one = lambda p, x: network(t, p, x)
    j1 = t.vmap(t.func.jacrev(one), (None, 0))(p, x1)
    j2 = t.vmap(t.func.jacrev(one), (None, 0))(p, x2)
    whole = sum(t.einsum("Naf,Mbf->NMab", j1[k].flatten(2), j2[k].flatten(2)) for k in p)

    def entry(x1: Any, x2: Any) -> Any:
        output, vjp_fn = t.func.vjp(lambda p: one(p, x1), p)

        def product(v: Any) -> Any:
            (tangents,) = vjp_fn(v)
            return t.func.jvp(lambda p: one(p, x2), (p,), (tangents,))[1]

        return t.vmap(product)(t.eye(output.numel(), dtype=t.float64))

    return whole, t.vmap(t.vmap(entry, (None, 0)), (0, None))(x1, x2)


def meta_learning(t: Any, p: Any, x: Any, y: Any) -> Any:
    """Gradients through steps of gradient descent, for several tasks at once (MAML)."""

    def loss(p: Any, x: Any, y: Any) -> Any:
        return (network(t, p, x) - y).square().mean()

    def task(p: Any, x: Any, y: Any) -> Any:
        learned = p
        for _ in range(3):
            g = t.func.grad(loss)(learned, x, y)
            learned = {k: learned[k] - 0.1 * g[k] for k in learned}
        return loss(learned, x, y)

    tasks = t.stack([x, x * 0.5]), t.stack([y, y + 1])
    total = lambda p: t.vmap(task, (None, 0, 0))(p, *tasks).mean()
    return t.func.grad_and_value(total)(p)


def per_sample(t: Any, p: Any, x: Any, y: Any) -> Any:
    """Per-sample gradients, their norms, clipped and summed (per_sample_grads)."""

    def loss(p: Any, x: Any, y: Any) -> Any:
        return (network(t, p, x.unsqueeze(0)) - y.unsqueeze(0)).square().mean()

    grads, losses = t.vmap(t.func.grad_and_value(loss), (None, 0, 0), chunk_size=4)(p, x, y)
    norms = t.stack([g.flatten(1).norm(dim=1) for g in grads.values()]).norm(dim=0)
    factor = (1.0 / (norms + 1e-6)).clamp(max=1.0)
    clipped = {k: t.einsum("i,i...->...", factor, g) for k, g in grads.items()}
    return grads, losses, norms, clipped


def ensemble(t: Any, p: Any, x: Any) -> Any:
    """Several models over the same and over different batches (ensembling)."""
    models = {k: t.stack([v, v * 0.5, v + 0.1]) for k, v in p.items()}
    one = lambda p, x: network(t, p, x)
    each = t.stack([x[:2], x[2:4], x[4:]])
    return t.vmap(one)(models, each), t.vmap(one, (0, None))(models, x)


def newton(t: Any, p: Any, x: Any, y: Any) -> Any:
    """A Hessian-vector product of a loss by its parameters, forward over reverse."""
    loss = lambda p: (network(t, p, x) - y).square().mean()
    tangents = {k: v * 0.1 for k, v in p.items()}
    return t.func.jvp(t.func.grad(loss), (p,), (tangents,))


def regularized(t: Any, p: Any, x: Any, y: Any) -> Any:
    """A penalty on the Jacobian, trained by plain backward."""
    leaves = {k: v.clone().requires_grad_() for k, v in p.items()}
    jacobian = t.vmap(t.func.jacrev(lambda x: network(t, leaves, x)))(x)
    (jacobian.square().mean() + (network(t, leaves, x) - y).square().mean()).backward()
    return {k: v.grad for k, v in leaves.items()}


EXAMPLES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "jacobians and hessians": (jacobians, (W, BIAS, X)),
    "tangent kernel": (tangent_kernel, (LAYERS, BATCH[:2], BATCH[2:5])),
    "meta-learning": (meta_learning, (LAYERS, BATCH, TARGETS)),
    "per-sample gradients": (per_sample, (LAYERS, BATCH, TARGETS)),
    "ensemble": (ensemble, (LAYERS, BATCH)),
    "hessian-vector product": (newton, (LAYERS, BATCH, TARGETS)),
    "jacobian penalty": (regularized, (LAYERS, BATCH, TARGETS)),
}


def tensors(t: Any, given: Any) -> Any:
    if isinstance(given, dict):
        return {k: tensors(t, v) for k, v in given.items()}
    return t.tensor(given)


def same(mine: Any, theirs: Any, where: str) -> None:
    if isinstance(theirs, dict):
        for key in theirs:
            same(mine[key], theirs[key], f"{where}[{key!r}]")
    elif isinstance(theirs, (tuple, list)):
        for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            same(a, b, f"{where}[{i}]")
    else:
        a, b = mine.detach().numpy(), theirs.detach().numpy()
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10, err_msg=where)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str) -> None:
    program, given = EXAMPLES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = program(torch, *[tensors(torch, g) for g in given])
    mine = program(dt, *[tensors(dt, g) for g in given])
    same(mine, theirs, name)


def test_value_and_grad() -> None:
    """JAX's order of the two; ``argnums`` and ``has_aux`` as in ``grad_and_value``."""
    x, y = dt.tensor([1.0, 2.0]), dt.tensor(3.0)
    loss = lambda x, y: ((x * x).sum() * y, "aux")
    (value, aux), (of_x, of_y) = dt.func.value_and_grad(loss, (0, 1), has_aux=True)(x, y)
    assert (value.item(), aux, of_x.tolist(), of_y.item()) == (15.0, "aux", [6.0, 12.0], 5.0)
