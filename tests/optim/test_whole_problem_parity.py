"""Optimizers that see more than one element at a time, and steps on other tensors."""

from __future__ import annotations

import numpy as np
import pytest

import dovetail as dt
import dovetail.optim

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

LBFGS = [
    {},
    {"lr": 0.5, "max_iter": 4, "history_size": 2},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "lr": 0.01, "max_iter": 6, "history_size": 3},
    {"line_search_fn": "strong_wolfe", "lr": 30.0, "max_iter": 3, "max_eval": 40},
    {"line_search_fn": "strong_wolfe", "max_eval": 3},
    {"tolerance_grad": 1.0, "line_search_fn": "strong_wolfe"},
    {"tolerance_change": 1e-2},
]


def rosenbrock(a, b):
    """A banana-shaped valley, and a part that has no gradient towards its second element."""
    return (1 - a[0]) ** 2 + 20 * (a[1] - a[0] ** 2) ** 2 + (b - 3).square().sum() * 0.1


def solve(lib, options, dtype, device="cpu", is_complex=False):
    a = lib.from_numpy(np.array([-1.2, 1.0], dtype)).to(device).requires_grad_()
    b = lib.from_numpy(np.array([[1.0, 2.0]], dtype)).to(device)
    b = (lib.complex(b, b * 0.5) if is_complex else b).requires_grad_()
    unused = lib.ones(2, dtype=getattr(lib, dtype), device=device, requires_grad=True)
    optimizer = lib.optim.LBFGS([a, b, unused], **options)
    losses, calls = [], []

    def closure():
        optimizer.zero_grad()
        real = lib.view_as_real(b) if is_complex else b
        loss = rosenbrock(a, real)
        loss.backward()
        calls.append(loss.item())
        return loss

    # Without a line search the path is chaotic in the end.
    for _ in range(4 if "line_search_fn" in options else 1):
        losses.append(optimizer.step(closure).item())
    values = [p.detach().cpu().numpy() for p in (a, b, unused)]
    return values, losses, calls, optimizer


def plain(value):
    """Tensors as arrays, lists as lists, for comparison."""
    if isinstance(value, (dt.Tensor, torch.Tensor)):
        return value.detach().cpu().numpy()
    return [plain(v) for v in value] if isinstance(value, list) else value


def alike(mine, theirs, rtol):
    assert type(mine) is type(theirs)
    if isinstance(mine, list):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            alike(a, b, rtol)
    elif mine is None or isinstance(mine, str):
        assert mine == theirs
    else:
        assert getattr(mine, "dtype", None) == getattr(theirs, "dtype", None)
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("options", LBFGS, ids=str)
def test_lbfgs(options, is_complex, device):
    mine = solve(dt, options, "float64", device, is_complex)
    theirs = solve(torch, options, "float64", is_complex=is_complex)
    for a, b in zip(mine[:3], theirs[:3], strict=True):
        alike(a, b, 1e-6)
    state, wanted = (m[3].state_dict() for m in (mine, theirs))
    assert state["param_groups"] == wanted["param_groups"]
    assert list(state["state"]) == list(wanted["state"]) == [0]
    assert list(state["state"][0]) == list(wanted["state"][0])
    for name, value in wanted["state"][0].items():
        alike(plain(state["state"][0][name]), plain(value), 1e-4)


@pytest.mark.parametrize("options", [{}, {"line_search_fn": "strong_wolfe"}], ids=str)
def test_lbfgs_in_float32(options):
    mine, theirs = (solve(lib, {**options, "max_iter": 3}, "float32") for lib in (dt, torch))
    for a, b in zip(mine[0], theirs[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3)
    assert mine[0][0].dtype == np.float32


def test_lbfgs_goes_on_from_a_state_of_pytorch():
    options = {"max_iter": 3, "line_search_fn": "strong_wolfe"}
    _, _, _, theirs = solve(torch, options, "float64")
    values, _, _, mine = solve(dt, options, "float64")

    def moved(value):
        if isinstance(value, list):
            return [moved(v) for v in value]
        return dt.from_numpy(value.numpy().copy()) if torch.is_tensor(value) else value

    saved = theirs.state_dict()
    saved["state"] = {0: {k: moved(v) for k, v in saved["state"][0].items()}}
    twin = [dt.from_numpy(v.copy()).requires_grad_() for v in values]
    other = dt.optim.LBFGS(twin)
    other.load_state_dict(saved)

    def closure_of(optimizer, a, b):
        def closure():
            optimizer.zero_grad()
            loss = rosenbrock(a, b)
            loss.backward()
            return loss

        return closure

    mine.step(closure_of(mine, *mine.param_groups[0]["params"][:2]))
    other.step(closure_of(other, *twin[:2]))
    for a, b in zip(mine.param_groups[0]["params"], twin, strict=True):
        np.testing.assert_allclose(a.tolist(), b.tolist(), rtol=1e-5)


MUON = [
    {},
    {"lr": 0.1, "momentum": 0.5, "nesterov": False, "weight_decay": 0.0},
    {"lr": 0.1, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3},
    {"lr": 0.1, "adjust_lr_fn": "original", "ns_coefficients": (2.0, -1.5, 0.5)},
]


@pytest.mark.parametrize("shape", [(3, 5), (6, 2)], ids=str)
@pytest.mark.parametrize("options", MUON, ids=str)
def test_muon(options, shape, device):
    def run(lib, device="cpu"):
        rng = np.random.default_rng(0)
        w = lib.from_numpy(rng.standard_normal(shape)).to(device).requires_grad_()
        goal = lib.from_numpy(rng.standard_normal(shape)).to(device)
        optimizer = lib.optim.Muon([w], **options)
        for _ in range(4):
            optimizer.zero_grad()
            (w - goal).square().sum().backward()
            optimizer.step()
        return w.detach().cpu().numpy(), optimizer

    (mine, first), (theirs, second) = run(dt, device), run(torch)
    # Each of the four steps, of size lr, is computed in bfloat16.
    np.testing.assert_allclose(mine, theirs, atol=4 * 2**-8 * options.get("lr", 1e-3))
    assert repr(first) == repr(second)
    state, wanted = (o.state_dict()["state"][0] for o in (first, second))
    assert list(state) == list(wanted)
    np.testing.assert_allclose(
        state["momentum_buffer"].cpu().numpy(), wanted["momentum_buffer"].numpy(), rtol=0.02,
        atol=1e-2,
    )  # fmt: skip


def test_swapped_parameters_and_state():
    def run(lib):
        w = lib.ones(2, requires_grad=True)
        optimizer = lib.optim.SGD([w], lr=0.5, momentum=0.9)
        w.grad = lib.ones(2)
        optimizer.step()
        state = optimizer.state_dict()
        state["state"] = {0: {"momentum_buffer": lib.full((2,), 2.0)}}
        state["param_groups"][0]["lr"] = 0.25
        other = lib.zeros(2)
        other.grad = lib.ones(2)
        with lib.optim.swap_in_optimizer_params_and_state(optimizer, {"w": other}, state):
            optimizer.step()
        assert optimizer.param_groups[0]["params"] == [w]
        return (
            w.tolist(), other.tolist(), state["state"][0]["momentum_buffer"].tolist(),
            optimizer.state[w]["momentum_buffer"].tolist(), optimizer.param_groups[0]["lr"],
        )  # fmt: skip

    assert run(dt) == run(torch)


SWAPS = {
    "not begun": lambda lib, o, state: swapped(
        lib, lib.optim.SGD([lib.ones(1, requires_grad=True)]), state
    ),
    "no dict": lambda lib, o, state: swapped(lib, o, 3),
    "state": lambda lib, o, state: swapped(lib, o, {**state, "state": []}),
    "keys": lambda lib, o, state: swapped(lib, o, {**state, "state": {lib.ones(1): {}}}),
    "entries": lambda lib, o, state: swapped(lib, o, {**state, "state": {0: 3}}),
    "more": lambda lib, o, state: swapped(lib, o, {**state, "state": {0: {}, 7: {}}}),
    "groups": lambda lib, o, state: swapped(lib, o, {**state, "param_groups": {}}),
    "number": lambda lib, o, state: swapped(lib, o, {**state, "param_groups": []}),
    "kind": lambda lib, o, state: swapped(lib, o, {**state, "param_groups": [3]}),
    "params": lambda lib, o, state: swapped(lib, o, {**state, "param_groups": [{"params": "a"}]}),
    "size": lambda lib, o, state: swapped(lib, o, {**state, "param_groups": [{"params": [0, 1]}]}),
    "options": lambda lib, o, state: swapped(
        lib, o, {**state, "param_groups": [{"params": [0], "mine": 1}]}
    ),
    "tensors": lambda lib, o, state: swapped(lib, o, state, {}),
}


def swapped(lib, optimizer, state, tensors=None):
    given = {"w": lib.zeros(1)} if tensors is None else tensors
    with lib.optim.swap_in_optimizer_params_and_state(optimizer, given, state):
        pass


@pytest.mark.parametrize("name", SWAPS)
def test_wrong_swaps(name):
    def outcome(lib):
        w = lib.ones(1, requires_grad=True)
        optimizer = lib.optim.SGD([w], lr=0.5, momentum=0.9)
        w.grad = lib.ones(1)
        optimizer.step()
        with pytest.raises(RuntimeError) as caught:
            SWAPS[name](lib, optimizer, optimizer.state_dict())
        return str(caught.value)

    mine, theirs = outcome(dt), outcome(torch)
    assert " ".join(mine.split()) == " ".join(theirs.split())
