"""The transforms against PyTorch's ``torch.func``: functions, compositions and networks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.nn import functional as ours_functional

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

RNG = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    return np.asarray(RNG.normal(size=shape))


A, B, C = values(3), values(4, 3), values(4, 3)
M, V, X = values(3, 3), values(3), values(5, 4, 3)


def both(case: Any, *arrays: np.ndarray) -> tuple[Any, Any]:
    """What ``case(library, functional, *tensors)`` gives in dovetail and in PyTorch."""
    mine = case(dt, ours_functional, *[dt.tensor(a) for a in arrays])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's about itself
        theirs = case(torch, torch.nn.functional, *[torch.tensor(a) for a in arrays])
    return mine, theirs


def same(mine: Any, theirs: Any, where: str = "result") -> None:
    if isinstance(theirs, torch.Tensor):
        assert isinstance(mine, dt.Tensor), f"{where}: {type(mine)}"
        assert tuple(mine.shape) == tuple(theirs.shape), f"{where}: {mine.shape}, {theirs.shape}"
        assert mine.dtype.name == str(theirs.dtype).removeprefix("torch."), where
        assert mine.requires_grad == theirs.requires_grad, f"{where}: requires_grad"
        np.testing.assert_allclose(
            mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-7, atol=1e-9, err_msg=where
        )
    elif isinstance(theirs, dict):
        assert list(mine) == list(theirs), where
        for key in theirs:
            same(mine[key], theirs[key], f"{where}[{key!r}]")
    elif isinstance(theirs, (tuple, list)):
        assert type(mine) is type(theirs), f"{where}: {mine}"
        for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            same(a, b, f"{where}[{i}]")
    else:
        assert mine == theirs, where


def smooth(lib: Any, x: Any) -> Any:
    return (x.sin() * x.exp()).sum() + (x**3).mean()


def matrix_function(lib: Any, x: Any) -> Any:
    return (x.tanh() @ x.t()).sum(1)


# One line per case: f(library, nn.functional, *tensors), and its arrays.
CASES: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "grad": (lambda t, F, x: t.func.grad(lambda x: smooth(t, x))(x), (A,)),
    "grad of grad": (
        lambda t, F, x: t.func.grad(t.func.grad(lambda x: x.sin()))(x[0]), (A,)
    ),
    "grad argnums": (
        lambda t, F, x, y: t.func.grad(lambda x, y: (x * y.exp()).sum(), (0, 1))(x, y), (A, V)
    ),
    "grad negative argnum": (
        lambda t, F, x, y: t.func.grad(lambda x, y: (x * y.exp()).sum(), -1)(x, y), (A, V)
    ),
    "grad of a dict": (
        lambda t, F, x, y: t.func.grad(lambda p: (p["w"] * p["b"][0].exp()).sum())(
            {"w": x, "b": [y]}
        ),
        (A, V),
    ),
    "grad has_aux": (
        lambda t, F, x: t.func.grad(lambda x: (x.exp().sum(), {"y": x * 2}), has_aux=True)(x),
        (A,),
    ),
    "grad_and_value": (lambda t, F, x: t.func.grad_and_value(lambda x: smooth(t, x))(x), (A,)),
    "grad_and_value has_aux": (
        lambda t, F, x: t.func.grad_and_value(lambda x: (x.sum(), x * 2), has_aux=True)(x), (A,)
    ),
    "unused input": (lambda t, F, x, y: t.func.grad(lambda x, y: y.sum())(x, y), (A, V)),
    "perturbation": (
        lambda t, F, x: t.func.grad(
            lambda x: x * t.func.grad(lambda y: x * y + y * y)(x.detach() * 0 + 2)
        )(x[0]),
        (A,),
    ),
    "perturbation of constants": (
        lambda t, F, x: t.func.grad(lambda x: x * t.func.grad(lambda y: x + y)(x))(x[0]), (A,)
    ),
    "vjp": (lambda t, F, x, v: t.func.vjp(t.sin, x)[1](v), (A, V)),
    "vjp nested": (
        lambda t, F, x, v: t.func.vjp(lambda x, y: {"a": (x * y, [x.sin()])}, x, v)[1](
            {"a": (v, [x])}
        ),
        (A, V),
    ),
    "vjp has_aux": (
        lambda t, F, x: t.func.vjp(lambda x: (x.sin(), x.cos()), x, has_aux=True)[2], (A,)
    ),
    "jvp": (lambda t, F, x, v: t.func.jvp(lambda x: smooth(t, x), (x,), (v,)), (A, V)),
    "jvp of two": (
        lambda t, F, x, v: t.func.jvp(lambda x, y: (x * y, x.exp()), (x, v), (v, x)), (A, V)
    ),
    "jvp has_aux": (
        lambda t, F, x, v: t.func.jvp(lambda x: (x.sin(), x), (x,), (v,), has_aux=True), (A, V)
    ),
    "linearize": (lambda t, F, x, v: t.func.linearize(lambda x: x.sin() * 2, x)[1](v), (A, V)),
    "jacrev": (lambda t, F, x: t.func.jacrev(lambda x: matrix_function(t, x))(x), (B,)),
    "jacrev in chunks": (
        lambda t, F, x: t.func.jacrev(lambda x: matrix_function(t, x), chunk_size=2)(x), (B,)
    ),
    "jacfwd": (lambda t, F, x: t.func.jacfwd(lambda x: matrix_function(t, x))(x), (B,)),
    "jacrev argnums": (
        lambda t, F, x, y: t.func.jacrev(lambda x, y: (x.sin() * y, y.exp()), (0, 1))(x, y), (A, V)
    ),
    "jacfwd argnums": (
        lambda t, F, x, y: t.func.jacfwd(lambda x, y: (x.sin() * y, y.exp()), (0, 1))(x, y), (A, V)
    ),
    "jacrev has_aux": (
        lambda t, F, x: t.func.jacrev(lambda x: (x.sin(), x), has_aux=True)(x), (A,)
    ),
    "jacfwd has_aux": (
        lambda t, F, x: t.func.jacfwd(lambda x: (x.sin(), x), has_aux=True)(x), (A,)
    ),
    "jacrev of a dict": (
        lambda t, F, x: t.func.jacrev(lambda p: {"s": p["x"].sin()})({"x": x}), (A,)
    ),
    "hessian": (lambda t, F, x: t.func.hessian(lambda x: smooth(t, x))(x), (A,)),
    "hessian of several": (
        lambda t, F, x, y: t.func.hessian(lambda x, y: (x.sin() * y**2).sum(), (0, 1))(x, y),
        (A, V),
    ),
    "jacrev of jacrev": (
        lambda t, F, x: t.func.jacrev(t.func.jacrev(lambda x: smooth(t, x)))(x), (A,)
    ),
    "jacfwd of jacfwd": (
        lambda t, F, x: t.func.jacfwd(t.func.jacfwd(lambda x: smooth(t, x)))(x), (A,)
    ),
    "jacrev of jacfwd": (
        lambda t, F, x: t.func.jacrev(t.func.jacfwd(lambda x: smooth(t, x)))(x), (A,)
    ),
    "third order": (
        lambda t, F, x: t.func.jacfwd(t.func.hessian(lambda x: (x**4).sum() * x.prod()))(x), (A,)
    ),
    "hvp": (
        lambda t, F, x, v: t.func.jvp(t.func.grad(lambda x: smooth(t, x)), (x,), (v,))[1], (A, V)
    ),
    "vmap of grad": (lambda t, F, x: t.vmap(t.func.grad(lambda x: smooth(t, x)))(x), (B,)),
    "grad of vmap": (
        lambda t, F, x: t.func.grad(lambda x: t.vmap(lambda r: smooth(t, r))(x).sum())(x), (B,)
    ),
    "grad of vmap of grad": (
        lambda t, F, x: t.func.grad(
            lambda x: (t.vmap(t.func.grad(lambda r: smooth(t, r)))(x) ** 2).sum()
        )(x),
        (B,),
    ),
    "grad of vmap of grad of a shared": (
        lambda t, F, w, x: t.func.grad(
            lambda w: (
                t.vmap(t.func.grad(lambda w, r: ((w * 2).sin() * r).sum()), (None, 0))(w, x) ** 2
            ).sum()
        )(w),
        (A, B),
    ),
    "vmap of vmap": (lambda t, F, x, y: t.vmap(t.vmap(t.dot))(x, x * 2), (X, A)),
    "vmap of hessian": (lambda t, F, x: t.vmap(t.func.hessian(lambda x: smooth(t, x)))(x), (B,)),
    "jacrev of vmap": (
        lambda t, F, x: t.func.jacrev(t.vmap(lambda r: r.sin() * r.sum()))(x), (B,)
    ),
    "jacfwd of vmap": (
        lambda t, F, x: t.func.jacfwd(t.vmap(lambda r: r.sin() * r.sum()))(x), (B,)
    ),
    "vmap of jvp": (
        lambda t, F, x, v: t.vmap(lambda x, v: t.func.jvp(t.sin, (x,), (v,))[1])(x, v), (B, C)
    ),
    "jvp of vmap": (
        lambda t, F, x, v: t.func.jvp(t.vmap(lambda r: r.exp().cumsum(0)), (x,), (v,)), (B, C)
    ),
    "vmap of vjp": (
        lambda t, F, x, v: t.vmap(lambda x, v: t.func.vjp(t.sin, x)[1](v)[0])(x, v), (B, C)
    ),
    "vmap of a kept vjp": (
        lambda t, F, x, v: t.vmap(t.func.vjp(lambda x: x.sin() * x.sum(), x)[1])(v), (A, B)
    ),
    "outer product by vmap": (
        lambda t, F, x, y: t.vmap(t.vmap(t.mul, (None, 0)), (0, None))(x, y), (A, V)
    ),
    "in_dims, out_dims": (
        lambda t, F, x, y: t.vmap(lambda a, b: (a + b, a), (1, None), (0, 1))(x, y), (B, values(4))
    ),
    "negative dims": (lambda t, F, x: t.vmap(lambda a: a * 2, -1, -1)(x), (X,)),
    "nested in_dims": (
        lambda t, F, x, y: t.vmap(lambda d, b: d["x"][0] * b, ({"x": [0]}, None))({"x": [x]}, y),
        (B, V),
    ),
    "out_dims None": (lambda t, F, x: t.vmap(lambda a: (a, 3), 0, (0, None))(x), (B,)),
    "chunks": (lambda t, F, x: t.vmap(lambda a: (a.sin(), a), chunk_size=3)(x), (X,)),
    "vmap over nothing": (lambda t, F, x: t.vmap(lambda a: a.sum())(x[:0]), (B,)),
    "in-place on a row": (
        lambda t, F, x: t.vmap(lambda a: a.clone().mul_(2).add_(a))(x), (B,)
    ),
    "write through a view": (
        lambda t, F, x: t.func.grad(lambda x: t.vmap(_written)(x).sum())(x), (B,)
    ),
    "write through a view inside": (
        lambda t, F, x: t.vmap(t.func.grad(lambda r: _written(r).sum()))(x), (B,)
    ),
    "new_zeros": (lambda t, F, x: t.vmap(lambda a: _filled(a.new_zeros(3), a))(x), (B,)),
    "zeros_like": (lambda t, F, x: t.vmap(lambda a: _filled(t.zeros_like(a), a))(x), (B,)),
    "indexing": (
        lambda t, F, x: t.vmap(lambda a: (a[0], a[1:], a[..., None], a[[2, 0]], a[-1:, None]))(x),
        (B,),
    ),
    "indexing by rows": (
        lambda t, F, x, i: t.vmap(lambda a, i: a[i])(x, i), (B, np.array([0, 2, 1, -1]))
    ),
    "a shared table indexed by rows": (
        lambda t, F, x, i: t.func.grad(lambda x: t.vmap(lambda i: x[i])(i).sin().sum())(x),
        (B, np.array([[0, 2], [1, 0]])),
    ),
    "masked_fill": (lambda t, F, x: t.vmap(lambda a: a.masked_fill(a < 0, 0))(x), (B,)),
    "methods": (
        lambda t, F, x: t.vmap(
            lambda a: (a.T @ a, a.expand(2, 4, 3).reshape(-1), a.flatten().unfold(0, 2, 3))
        )(x),
        (X,),
    ),
    "unbind and split": (
        lambda t, F, x: t.vmap(lambda a: (*a.unbind(0), *a.split(2, 1), a.chunk(2)[0]))(x), (X,)
    ),
    "0-d promotion": (
        lambda t, F, x, y: t.vmap(lambda a, b: a.float() * b)(x, y), (B, values(4))
    ),
    "where and compare": (lambda t, F, x: t.vmap(lambda a: t.where(a > 0, a, -a))(x), (B,)),
    "sort": (lambda t, F, x: t.vmap(lambda a: tuple(t.sort(a)))(x), (B,)),
    "einsum": (lambda t, F, x: t.vmap(lambda a: t.einsum("ij,ik->jk", a, a))(x), (X,)),
    "softmax and loss": (
        lambda t, F, x: t.vmap(
            t.func.grad(lambda a: F.cross_entropy(a, t.tensor([0, 2, 1, 1])))
        )(x),
        (X,),
    ),
    "detach": (
        lambda t, F, x: t.func.grad(lambda x: t.vmap(lambda r: (r.detach() * r).sum())(x).sum())(x),
        (B,),
    ),
    "no_grad inside": (lambda t, F, x: t.func.grad(lambda x: _half_recorded(t, x))(x), (A,)),
    "no_grad inside of vmap": (
        lambda t, F, x: t.func.grad(lambda x: t.vmap(lambda r: _half_recorded(t, r))(x).sum())(x),
        (B,),
    ),
    "no_grad outside": (lambda t, F, x: _without(t, lambda: t.func.grad(t.sum)(x)), (A,)),
    "an outer leaf": (
        lambda t, F, x, w: _with_leaf(
            w, lambda w: t.func.grad(lambda x: (x * w).exp().sum())(x)
        ),
        (A, V),
    ),
    "an outer leaf, backward": (lambda t, F, x, w: _leaf_gradient(t, x, w), (B, V)),
}  # fmt: skip


def _written(a: Any) -> Any:
    b = a.clone()
    b[0] = a[1] * 2
    b[1:].mul_(a[2])
    return b * b


def _filled(target: Any, a: Any) -> Any:
    target[0] = a[1]
    target += a
    return target


def _half_recorded(lib: Any, x: Any) -> Any:
    with lib.no_grad():
        c = x**2
    return (x**3 - c * x).sum()


def _without(lib: Any, function: Any) -> Any:
    with lib.no_grad():
        return function()


def _with_leaf(w: Any, function: Any) -> Any:
    return function(w.requires_grad_())


def _leaf_gradient(lib: Any, x: Any, w: Any) -> Any:
    w.requires_grad_()
    lib.vmap(lib.func.grad(lambda r: ((r * w).exp()).sum()))(x).sum().backward()
    return w.grad


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    case, arrays = CASES[name]
    same(*both(case, *arrays))


# ----------------------------------------------------------------- networks


def _mlp(lib: Any) -> Any:
    nn = lib.nn
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 4))


def _cnn(lib: Any) -> Any:
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.GroupNorm(2, 4),
        nn.Conv2d(4, 6, 2, stride=2, groups=2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 4),
    )  # fmt: skip


def _normed(lib: Any) -> Any:
    nn = lib.nn
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten()).eval()


def _words_class(lib: Any) -> Any:
    class Words(lib.nn.Module):  # type: ignore[misc, name-defined]
        """An embedding, attention of one head, and a mean."""

        def __init__(self) -> None:
            super().__init__()
            self.table = lib.nn.Embedding(10, 4)
            self.out = lib.nn.Linear(4, 4)

        def forward(self, x: Any) -> Any:
            e = self.table(x)
            e = lib.nn.functional.scaled_dot_product_attention(e, e, e)
            return self.out(e.mean(-2))

    return Words


WORDS = {lib: _words_class(lib) for lib in (dt, torch)}


NETWORKS: dict[str, tuple[Any, np.ndarray]] = {
    "mlp": (_mlp, values(5, 3)),
    "cnn": (_cnn, values(5, 2, 8, 8)),
    "batch norm, eval": (_normed, values(5, 2, 4, 4)),
    "words": (lambda lib: WORDS[lib](), np.random.default_rng(1).integers(0, 10, (5, 6))),
}


def twins(make: Any) -> tuple[Any, Any]:
    """The same network in both libraries."""
    mine, theirs = make(dt).double(), make(torch).double()
    for name, p in mine.state_dict().items():
        drawn = np.random.default_rng(len(name)).normal(size=tuple(p.shape)) * 0.5
        if not p.dtype.is_floating_point:
            continue
        drawn = abs(drawn) + 0.5 if "var" in name else drawn
        p.copy_(dt.tensor(drawn))
        theirs.state_dict()[name].copy_(torch.tensor(drawn))
    return mine, theirs


def per_sample(lib: Any, model: Any, x: Any, y: Any) -> Any:
    parameters = {k: v.detach() for k, v in model.named_parameters()}
    buffers = {k: v.detach() for k, v in model.named_buffers()}

    def loss(parameters: Any, buffers: Any, x: Any, y: Any) -> Any:
        out = lib.func.functional_call(model, (parameters, buffers), (x.unsqueeze(0),))
        return lib.nn.functional.cross_entropy(out, y.unsqueeze(0))

    return lib.vmap(lib.func.grad(loss), in_dims=(None, None, 0, 0))(parameters, buffers, x, y)


@pytest.mark.parametrize("name", NETWORKS)
def test_per_sample_gradients(name: str) -> None:
    make, x = NETWORKS[name]
    mine, theirs = twins(make)
    y = np.array([0, 3, 1, 2, 2])
    same(
        per_sample(dt, mine, dt.tensor(x), dt.tensor(y)),
        per_sample(torch, theirs, torch.tensor(x), torch.tensor(y)),
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_ensemble(name: str) -> None:
    make, x = NETWORKS[name]
    pairs = [twins(make) for _ in range(3)]

    def run(lib: Any, models: list[Any], x: Any) -> Any:
        for i, model in enumerate(models):
            for p in model.parameters():
                with lib.no_grad():
                    p.add_(0.1 * i)
        parameters, buffers = lib.func.stack_module_state(models)

        def call(parameters: Any, buffers: Any, x: Any) -> Any:
            return lib.func.functional_call(models[0], (parameters, buffers), (x,))

        out = lib.vmap(call, in_dims=(0, 0, None))(parameters, buffers, x)
        out.square().sum().backward()
        return out, {k: p.grad for k, p in parameters.items()}

    same(
        run(dt, [m for m, _ in pairs], dt.tensor(x)),
        run(torch, [t for _, t in pairs], torch.tensor(x)),
    )


def test_jacobian_of_a_network() -> None:
    mine, theirs = twins(_mlp)
    x = values(3)

    def run(lib: Any, model: Any, x: Any) -> Any:
        parameters = {k: v.detach() for k, v in model.named_parameters()}
        f = lambda p, x: lib.func.functional_call(model, p, (x,))
        return (
            lib.func.jacrev(f)(parameters, x),
            lib.func.jacfwd(f, 1)(parameters, x),
            lib.func.hessian(lambda p, x: f(p, x).square().sum(), 1)(parameters, x),
        )

    same(*both(lambda lib, F, x: run(lib, mine if lib is dt else theirs, x), x))
