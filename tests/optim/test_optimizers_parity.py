"""SGD, Adam and AdamW walk PyTorch's path, print its text and keep its state."""

from __future__ import annotations

import importlib
import re

import numpy as np
import pytest

import dovetail as dt
import dovetail.optim

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.01, "maximize": True, "momentum": 0.5}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.99), "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.1, "maximize": True, "amsgrad": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}),
    ("Adam", {"lr": 0.1, "decoupled_weight_decay": True, "weight_decay": 0.3}),
]
IDS = [f"{name}-{options}" for name, options in CASES]


def start(lib):
    """Three parameters; the last one gets a gradient only from the sixth step on."""
    values = [np.linspace(-2, 3, 6).reshape(2, 3), np.array([0.5, -1.5]), np.array(2.0)]
    return [lib.from_numpy(v.copy()).requires_grad_() for v in values]


def loss_of(params, step):
    a, b, c = params
    loss = (a * a).sum() * 0.3 + ((a * (step + 1)).sin() * 0.1).sum() + (b.exp() + b * b).sum()
    return loss + (c - 1) * (c - 1) if step >= 5 else loss


def walk(lib, name, options, steps=20, device="cpu"):
    params = start(lib)
    if lib is dt:
        params = [p.detach().to(device).requires_grad_() for p in params]
    optimizer = getattr(lib.optim, name)(params, **options)
    path = []
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(params, step).backward()
        optimizer.step()
        path.append(np.concatenate([p.detach().cpu().numpy().ravel() for p in params]))
    return np.array(path), optimizer, params


@pytest.fixture(params=["as the backend has it", "in tensor operations"])
def update(request, monkeypatch):
    """The update by a backend's kernel over many tensors where there is one, and without it."""
    if request.param == "in tensor operations":
        for module in ("sgd", "adam"):
            monkeypatch.setattr(f"dovetail.optim.{module}.fused_step", lambda *args: False)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_trajectory(name, options, device, update):
    expected, reference, _ = walk(torch, name, options)
    path, optimizer, _ = walk(dt, name, options, device=device)
    np.testing.assert_allclose(path, expected, rtol=1e-9, atol=1e-9)
    assert np.abs(path[-1] - path[0]).max() > 1e-3
    state, wanted = optimizer.state_dict(), reference.state_dict()
    assert state["param_groups"] == wanted["param_groups"]
    assert [list(group) for group in state["param_groups"]] == [
        list(group) for group in wanted["param_groups"]
    ]
    assert list(state["state"]) == list(wanted["state"])
    for index, entries in wanted["state"].items():
        assert list(state["state"][index]) == list(entries)
        for key, value in entries.items():
            mine = state["state"][index][key]
            assert str(mine.dtype) == str(value.dtype)
            np.testing.assert_allclose(mine.cpu().numpy(), value.numpy(), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_text(name, options):
    assert repr(walk(dt, name, options, 0)[1]) == repr(walk(torch, name, options, 0)[1])


def test_groups(device):
    def run(lib):
        params = start(lib)
        optimizer = lib.optim.SGD(
            [{"params": params[:1], "lr": 0.5}, {"params": params[1:2], "momentum": 0.9}], lr=0.1
        )
        optimizer.add_param_group({"params": params[2], "weight_decay": 1.0})
        for step in range(8):
            optimizer.zero_grad()
            loss_of(params, step).backward()
            optimizer.step()
        text = repr(optimizer)
        groups = optimizer.state_dict()["param_groups"]
        return text, groups, [p.detach().numpy() for p in params]

    text, groups, values = run(dt)
    wanted_text, wanted_groups, wanted = run(torch)
    assert (text, groups) == (wanted_text, wanted_groups)
    for a, b in zip(values, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_named_parameters():
    def run(lib):
        optimizer = lib.optim.Adam(lib.nn.Linear(2, 1).named_parameters())
        return repr(optimizer), optimizer.state_dict()["param_groups"]

    assert run(dt) == run(torch)


def test_complex_parameters():
    def run(lib, name):
        z = lib.tensor([1 + 2j, -0.5 + 0.25j], dtype=lib.complex128, requires_grad=True)
        optimizer = getattr(lib.optim, name)([z], lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            ((z - (2 - 1j)).abs() ** 2).sum().backward()
            optimizer.step()
        return z.detach().numpy()

    for name in ("SGD", "Adam"):
        np.testing.assert_allclose(run(dt, name), run(torch, name), rtol=1e-9)


def test_tensor_rate():
    def run(lib, name):
        params = start(lib)
        rate = lib.tensor(0.1, dtype=lib.float64)
        optimizer = getattr(lib.optim, name)(params, lr=rate)
        for step in range(3):
            optimizer.zero_grad()
            loss_of(params, step).backward()
            optimizer.step()
            rate.mul_(0.5)
        return [p.detach().numpy() for p in params]

    for name in ("SGD", "Adam", "AdamW"):
        for a, b in zip(run(dt, name), run(torch, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_differentiable_step(name):
    """The gradient of the loss after two steps with respect to the start."""

    def run(lib):
        w = lib.tensor([1.0, -2.0], dtype=lib.float64, requires_grad=True)
        p = w.clone()
        optimizer = getattr(lib.optim, name)([p], lr=0.1, differentiable=True)
        for _ in range(2):
            p.grad = p.detach() * 2 + 0 * p
            p.grad = lib.tensor([2.0, 3.0], dtype=lib.float64)
            optimizer.step()
        (p * p).sum().backward()
        return w.grad.numpy()

    # PyTorch's differentiable Adam corrects its bias with powers taken in float32.
    np.testing.assert_allclose(run(dt), run(torch), rtol=1e-5 if name == "Adam" else 1e-9)


def parameter(lib):
    return lib.zeros(1, requires_grad=True)


WRONG = {
    "negative rate": lambda lib: lib.optim.SGD([parameter(lib)], lr=-1),
    "negative momentum": lambda lib: lib.optim.SGD([parameter(lib)], lr=1, momentum=-1),
    "negative decay": lambda lib: lib.optim.SGD([parameter(lib)], lr=1, weight_decay=-1),
    "nesterov alone": lambda lib: lib.optim.SGD([parameter(lib)], lr=1, nesterov=True),
    "rate of adam": lambda lib: lib.optim.Adam([parameter(lib)], lr=-1.0),
    "eps": lambda lib: lib.optim.Adam([parameter(lib)], eps=-1.0),
    "first beta": lambda lib: lib.optim.Adam([parameter(lib)], betas=(1.0, 0.9)),
    "second beta": lambda lib: lib.optim.AdamW([parameter(lib)], betas=(0.9, 1.5)),
    "decay of adam": lambda lib: lib.optim.Adam([parameter(lib)], weight_decay=-1.0),
    "rate of two": lambda lib: lib.optim.SGD([parameter(lib)], lr=lib.ones(2)),
    "one tensor": lambda lib: lib.optim.SGD(parameter(lib), lr=1),
    "nothing": lambda lib: lib.optim.SGD([], lr=1),
    "no tensors": lambda lib: lib.optim.SGD([3], lr=1),
    "a set": lambda lib: lib.optim.SGD([{"params": {parameter(lib)}}], lr=1),
    "computed": lambda lib: lib.optim.SGD([parameter(lib) * 2], lr=1),
    "twice": lambda lib: (lambda p: lib.optim.SGD([{"params": [p]}, {"params": [p]}], lr=1))(
        parameter(lib)
    ),
    "group of another type": lambda lib: lib.optim.SGD([parameter(lib)], lr=1).add_param_group(3),
    "some names": lambda lib: lib.optim.SGD([("a", parameter(lib)), parameter(lib)], lr=1),
    "names later": lambda lib: lib.optim.SGD([parameter(lib)], lr=1).add_param_group(
        {"params": [("a", parameter(lib))]}
    ),
    "missing option": lambda lib: lib.optim.Optimizer(
        [parameter(lib)],
        {"lr": importlib.import_module(f"{lib.__name__}.optim.optimizer").required},
    ),
    "fused and foreach": lambda lib: lib.optim.SGD(
        [parameter(lib)], lr=1, fused=True, foreach=True
    ),
    "fused and differentiable": lambda lib: lib.optim.Adam(
        [parameter(lib)], fused=True, differentiable=True
    ),
    "groups that differ": lambda lib: lib.optim.SGD([parameter(lib)], lr=1).load_state_dict(
        {"state": {}, "param_groups": []}
    ),
    "sizes that differ": lambda lib: lib.optim.SGD([parameter(lib)], lr=1).load_state_dict(
        {"state": {}, "param_groups": [{"params": [0, 1]}]}
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    def outcome(lib):
        with pytest.raises((TypeError, ValueError, RuntimeError)) as caught:
            WRONG[name](lib)
        return type(caught.value).__name__, re.sub(r"dovetail|torch", "", str(caught.value))

    assert outcome(dt) == outcome(torch)


def test_states_are_exchanged_with_pytorch():
    """A state dict written here continues there, and the other way round."""
    for name, options in CASES:
        _, mine, params = walk(dt, name, options, 7)
        _, theirs, others = walk(torch, name, options, 7)
        exported = mine.state_dict()
        there = {
            "param_groups": exported["param_groups"],
            "state": {
                i: {k: torch.from_numpy(v.numpy().copy()) for k, v in entries.items()}
                for i, entries in exported["state"].items()
            },
        }
        theirs.load_state_dict(there)
        for optimizer, some in ((mine, params), (theirs, others)):
            optimizer.zero_grad()
            loss_of(some, 7).backward()
            optimizer.step()
        for a, b in zip(params, others, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9)
