"""Parametrized modules beside PyTorch's (``nn.utils.parametrize``, ``parametrizations``)."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from nn_parity import array, assert_same, copy_state, gradients, outcome

import dovetail as dt

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")


def symmetric(lib):
    class Symmetric(lib.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, x):
            return x.triu()

    return Symmetric()


def exponential(lib):
    class Exponential(lib.nn.Module):
        def forward(self, x):
            return x.exp()

        def right_inverse(self, x):
            return x.log()

    return Exponential()


def product(lib):
    class Product(lib.nn.Module):
        def forward(self, a, b):
            return a * b

        def right_inverse(self, x):
            return x.abs().sqrt(), x.sign() * x.abs().sqrt()

    return Product()


def forward_only(lib, function):
    class Forward(lib.nn.Module):
        def forward(self, x):
            return function(x)

    return Forward()


def with_inverse(lib, inverse, forward=lambda x: x):
    class Both(lib.nn.Module):
        def forward(self, x):
            return forward(x)

        def right_inverse(self, x):
            return inverse(x)

    return Both()


def parametrized(lib, *makers, name="weight", module=None, **options):
    module = lib.nn.Linear(3, 3).double() if module is None else module
    for make in makers:
        lib.nn.utils.parametrize.register_parametrization(module, name, make(lib), **options)
    return module


CHAINS = {
    "one": (symmetric,),
    "two": (exponential, symmetric),
    "several tensors": (product,),
    "several tensors, then one": (product, symmetric),
}


@pytest.mark.parametrize("name", CHAINS)
def test_parametrized_modules(name, device):
    theirs = parametrized(torch, *CHAINS[name])
    mine = parametrized(dt, *CHAINS[name]).to(device)
    assert repr(mine) == repr(theirs)
    assert type(mine).__name__ == "ParametrizedLinear"
    assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    with torch.no_grad():
        for p in theirs.parameters():
            p.uniform_(0.1, 1.0)
    copy_state(theirs, mine, device)
    x = np.random.default_rng(0).standard_normal((2, 3))
    run = lambda module, x: module(x)
    pairs = [dt.from_numpy(x).to(device).requires_grad_()], [torch.from_numpy(x).requires_grad_()]
    assert_same(gradients(mine, pairs[0], run), gradients(theirs, pairs[1], run), 1e-12)
    copied = copy.deepcopy(mine)
    assert copied.parametrizations.weight is not mine.parametrizations.weight
    assert_same([copied.weight], [theirs.weight], 1e-12)
    goal = np.random.default_rng(1).uniform(0.5, 2.0, (3, 3))
    goal = goal + goal.T
    mine.weight, theirs.weight = dt.from_numpy(goal.copy()).to(device), torch.from_numpy(goal)
    assert_same([mine.weight], [theirs.weight], 1e-12)
    assert_same([*mine.parameters()], [*theirs.parameters()], 1e-12)
    utils = dt.nn.utils.parametrize
    assert utils.is_parametrized(mine)
    assert not utils.is_parametrized(mine, "bias")
    assert utils.type_before_parametrizations(mine) is dt.nn.Linear
    other = dt.nn.Linear(3, 3).double()
    utils.transfer_parametrizations_and_params(mine, other)
    assert_same([other.weight], [theirs.weight], 1e-12)
    keep = "several" in name
    kept = utils.remove_parametrizations(mine, "weight", leave_parametrized=keep)
    torch.nn.utils.parametrize.remove_parametrizations(theirs, "weight", leave_parametrized=keep)
    assert type(kept) is dt.nn.Linear
    assert not utils.is_parametrized(kept)
    assert_same([*kept.parameters()], [*theirs.parameters()], 1e-12)
    assert list(kept.state_dict()) == list(theirs.state_dict())


def test_a_cache_computes_once():
    calls = []

    def count(x):
        calls.append(1)
        return x * 2

    layer = parametrized(dt, lambda lib: forward_only(lib, count), unsafe=True)
    with dt.nn.utils.parametrize.cached():
        with dt.nn.utils.parametrize.cached():
            first = layer.weight
        assert layer.weight is first
    assert len(calls) == 1
    assert layer.weight is not first
    assert len(calls) == 2


def test_parametrized_buffers():
    def run(lib):
        norm = lib.nn.BatchNorm1d(3).double()
        parametrized(lib, exponential, name="running_var", module=norm)
        state = list(norm.state_dict())
        norm.running_var = lib.full((3,), 2.0, dtype=lib.float64)
        value = norm.running_var.tolist()
        lib.nn.utils.parametrize.remove_parametrizations(norm, "running_var")
        return state, [round(v, 12) for v in value], list(norm.state_dict())

    assert run(dt) == run(torch)


PARAMETRIZE = {
    "no tensor": lambda lib: parametrized(lib, symmetric, name="gain"),
    "dtype": lambda lib: parametrized(lib, lambda lib: forward_only(lib, lambda x: x.float())),
    "shape": lambda lib: parametrized(lib, lambda lib: forward_only(lib, lambda x: x[:2])),
    "result": lambda lib: parametrized(lib, lambda lib: forward_only(lib, lambda x: 3)),
    "second dtype": lambda lib: parametrized(
        lib, symmetric, lambda lib: forward_only(lib, lambda x: x.float())
    ),
    "second shape": lambda lib: parametrized(
        lib, symmetric, lambda lib: forward_only(lib, lambda x: x[:2])
    ),
    "second result": lambda lib: parametrized(
        lib, symmetric, lambda lib: forward_only(lib, lambda x: 3)
    ),
    "inverse": lambda lib: parametrized(lib, lambda lib: with_inverse(lib, lambda x: 3)),
    "inverse dtype": lambda lib: parametrized(
        lib, lambda lib: with_inverse(lib, lambda x: x.float())
    ),
    "inverse parts": lambda lib: parametrized(lib, lambda lib: with_inverse(lib, lambda x: (x, 3))),
    "second inverse": lambda lib: parametrized(
        lib, symmetric, lambda lib: with_inverse(lib, lambda x: 3)
    ),
    "second inverse dtype": lambda lib: parametrized(
        lib, symmetric, lambda lib: with_inverse(lib, lambda x: x.float())
    ),
    "second inverse shape": lambda lib: parametrized(
        lib, symmetric, lambda lib: with_inverse(lib, lambda x: x[:2])
    ),
    "no inverse": lambda lib: setattr(
        parametrized(lib, lambda lib: forward_only(lib, lambda x: x * 2)), "weight", lib.ones(3, 3)
    ),
    "assigned dtype": lambda lib: setattr(parametrized(lib, symmetric), "weight", lib.ones(3, 3)),
    "assigned dtypes": lambda lib: setattr(parametrized(lib, product), "weight", lib.ones(3, 3)),
    "no modules": lambda lib: lib.nn.utils.parametrize.ParametrizationList([], lib.ones(1)),
    "not parametrized": lambda lib: lib.nn.utils.parametrize.remove_parametrizations(
        lib.nn.Linear(2, 2), "weight"
    ),
    "several originals": lambda lib: lib.nn.utils.parametrize.remove_parametrizations(
        parametrized(lib, product), "weight", leave_parametrized=False
    ),
    "orthogonal bias": lambda lib: lib.nn.utils.parametrizations.orthogonal(
        lib.nn.Linear(2, 2), "bias"
    ),
    "orthogonal what": lambda lib: lib.nn.utils.parametrizations.orthogonal(
        lib.nn.Linear(2, 2), "gain"
    ),
    "orthogonal how": lambda lib: lib.nn.utils.parametrizations.orthogonal(
        lib.nn.Linear(2, 2), orthogonal_map="qr"
    ),
    "complex reflections": lambda lib: lib.nn.utils.parametrizations.orthogonal(
        lib.nn.Linear(2, 2, dtype=lib.complex64), orthogonal_map="householder"
    ),
    "orthogonal assigned": lambda lib: setattr(
        lib.nn.utils.parametrizations.orthogonal(
            lib.nn.Linear(2, 2), orthogonal_map="cayley", use_trivialization=False
        ),
        "weight",
        lib.eye(2),
    ),
    "orthogonal shape": lambda lib: setattr(
        lib.nn.utils.parametrizations.orthogonal(lib.nn.Linear(2, 2)), "weight", lib.eye(3)
    ),
    "spectral dim": lambda lib: lib.nn.utils.parametrizations.spectral_norm(
        lib.nn.Linear(2, 2), dim=2
    ),
    "spectral steps": lambda lib: lib.nn.utils.parametrizations.spectral_norm(
        lib.nn.Linear(2, 2), n_power_iterations=0
    ),
    "spectral what": lambda lib: lib.nn.utils.parametrizations.spectral_norm(
        lib.nn.Linear(2, 2), "gain"
    ),
}


@pytest.mark.parametrize("name", PARAMETRIZE)
def test_wrong_parametrizations(name):
    def split(lib):
        return " ".join(" ".join(outcome(PARAMETRIZE[name], lib)).split())

    assert split(dt) == split(torch)


def test_parametrized_modules_are_not_pickled():
    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        pickle.dumps(parametrized(dt, symmetric))


MAPS = [
    (which, dtype)
    for which in ("matrix_exp", "cayley", "householder", None)
    for dtype in ("float64", "complex128")
    if (which, dtype) != ("householder", "complex128")
]
"""There are no complex reflections."""


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)], ids=str)
@pytest.mark.parametrize("trivial", [True, False])
@pytest.mark.parametrize(("which", "dtype"), MAPS)
def test_orthogonal(which, trivial, dtype, shape, device):
    def build(lib):
        layer = lib.nn.Linear(shape[1], shape[0], bias=False, dtype=getattr(lib, dtype))
        return lib.nn.utils.parametrizations.orthogonal(
            layer, orthogonal_map=which, use_trivialization=trivial
        )

    mine, theirs = build(dt).to(device), build(torch)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    for layer in (mine, theirs):
        w = array(layer.weight)
        square = w.conj().T @ w if shape[0] >= shape[1] else w @ w.conj().T
        np.testing.assert_allclose(square, np.eye(min(shape)), atol=1e-12)
    with torch.no_grad():
        # The diagonal of reflections is one of signs.
        change = torch.randn_like(theirs.parametrizations.weight.original) * 0.1
        change.diagonal().zero_()
        theirs.parametrizations.weight.original += change
    copy_state(theirs, mine, device)
    assert_same([mine.weight], [theirs.weight], 1e-12)
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(shape).astype(dtype)
    for lib, layer, place in ((dt, mine, device), (torch, theirs, "cpu")):
        total = (layer.weight * lib.from_numpy(weights).to(place)).sum()
        (total.real if dtype == "complex128" else total).backward()
    originals = [m.parametrizations.weight.original for m in (mine, theirs)]
    assert_same([originals[0].grad], [originals[1].grad], 1e-10)


@pytest.mark.parametrize("which", ["matrix_exp", "cayley", "householder"])
def test_orthogonal_matrices_can_be_assigned(which):
    layer = dt.nn.utils.parametrizations.orthogonal(
        dt.nn.Linear(3, 3, bias=False).double(), orthogonal_map=which
    )
    goal, _ = dt.linalg.qr(dt.randn(3, 3, dtype=dt.float64))
    layer.weight = goal
    np.testing.assert_allclose(array(layer.weight), array(goal), atol=1e-12)
    layer.weight = dt.randn(3, 3, dtype=dt.float64)
    assert array(layer.weight).T @ array(layer.weight) == pytest.approx(np.eye(3), abs=1e-12)


def test_reflections_can_be_assigned_without_a_base():
    layer = dt.nn.utils.parametrizations.orthogonal(
        dt.nn.Linear(3, 4, bias=False).double(), use_trivialization=False
    )
    goal, _ = dt.linalg.qr(dt.randn(4, 3, dtype=dt.float64))
    layer.weight = goal
    np.testing.assert_allclose(array(layer.weight), array(goal), atol=1e-12)
