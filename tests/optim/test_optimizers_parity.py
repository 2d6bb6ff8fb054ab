"""Optimizers walk PyTorch's path, print its text and keep its state."""

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
    ("Adamax", {"lr": 0.1}),
    ("Adamax", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 0.5, "maximize": True}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.3, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1}),
    ("RAdam", {"lr": 0.01, "betas": (0.5, 0.7), "weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.3, "decoupled_weight_decay": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "eps": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"alpha": 0.8, "eps": 1e-3, "centered": True}),
    ("RMSprop", {"alpha": 0.8, "momentum": 0.5, "centered": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (1e-2, 0.2), "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.05, "lambd": 0.1, "alpha": 0.5, "t0": 3, "weight_decay": 0.1}),
    ("ASGD", {"t0": 0, "maximize": True}),
    ("Adafactor", {"lr": 0.1}),
    ("Adafactor", {"lr": 0.1, "eps": (1e-2, 0.5), "d": 2.0, "weight_decay": 0.1, "maximize": True}),
]
IDS = [f"{name}-{options}" for name, options in CASES]


def start(lib, dtype="float64"):
    """Three parameters; the last one gets a gradient only from the sixth step on."""
    values = [np.linspace(-2, 3, 6).reshape(2, 3), np.array([0.5, -1.5]), np.array(2.0)]
    return [lib.from_numpy(v.astype(dtype)).requires_grad_() for v in values]


def loss_of(params, step):
    a, b, c = params
    loss = (a * a).sum() * 0.3 + ((a * (step + 1)).sin() * 0.1).sum() + (b.exp() + b * b).sum()
    return loss + (c - 1) * (c - 1) if step >= 5 else loss


def walk(lib, name, options, steps=20, device="cpu", dtype="float64"):
    params = start(lib, dtype)
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
        for module in ("sgd", "adam", "stepwise"):
            monkeypatch.setattr(f"dovetail.optim.{module}.fused_step", lambda *args: False)


CLOSE = {"float64": (20, 1e-9), "float32": (7, 2e-5)}
"""Steps, and how close: the loss is so curved that rounding errors soon grow."""


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_trajectory(name, options, dtype, device, update):
    steps, close = CLOSE[dtype]
    expected, reference, _ = walk(torch, name, options, steps, dtype=dtype)
    path, optimizer, _ = walk(dt, name, options, steps, device=device, dtype=dtype)
    np.testing.assert_allclose(path, expected, rtol=close, atol=close)
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
            found = mine.cpu().numpy()
            np.testing.assert_allclose(found, value.numpy(), rtol=close * 10, atol=close)


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

    for name in {name for name, _ in CASES} - {"Adafactor"}:
        np.testing.assert_allclose(run(dt, name), run(torch, name), rtol=1e-9, err_msg=name)


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

    for name in {name for name, _ in CASES}:
        for a, b in zip(run(dt, name), run(torch, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, err_msg=name)


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES} - {"AdamW", "Adafactor"}))
def test_differentiable_step(name):
    """The gradient of a loss after two steps with respect to the start, beside differences.

    PyTorch's own gradient will not do: some of its optimizers overwrite what they need.
    """

    def run(lib, start, **options):
        w = lib.from_numpy(start.copy()).requires_grad_()
        p = w.clone() if options else w
        optimizer = getattr(lib.optim, name)([p], lr=0.1, **options)
        for _ in range(2):
            p.grad = lib.sin(p.clone())  # part of the graph
            if not options:
                p.grad = p.grad.detach()
            optimizer.step()
        return w, (p * p).sum()

    start, eps = np.array([1.0, -2.0]), 1e-6
    w, loss = run(dt, start, differentiable=True)
    loss.backward()
    for i, found in enumerate(w.grad.tolist()):
        shift = eps * np.eye(2)[i]
        up, down = (run(torch, start + s)[1].item() for s in (shift, -shift))
        np.testing.assert_allclose(found, (up - down) / (2 * eps), rtol=1e-6, atol=1e-8)


def parameter(lib):
    return lib.zeros(1, requires_grad=True)


def matrix(lib):
    return lib.ones(2, 2, requires_grad=True)


def stepped(lib, name, p, **options):
    optimizer = getattr(lib.optim, name)([p], **options)
    p.grad = lib.ones_like(p)
    optimizer.step()


def searched(lib, **options):
    w = lib.ones(2, requires_grad=True)
    optimizer = lib.optim.LBFGS([w], **options)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    optimizer.step(closure)


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
    "rho": lambda lib: lib.optim.Adadelta([parameter(lib)], rho=1.5),
    "decay of the rate": lambda lib: lib.optim.Adagrad([parameter(lib)], lr_decay=-1.0),
    "first sum": lambda lib: lib.optim.Adagrad([parameter(lib)], initial_accumulator_value=-1),
    "fused adagrad": lambda lib: lib.optim.Adagrad([parameter(lib)], fused=True, foreach=True),
    "etas": lambda lib: lib.optim.Rprop([parameter(lib)], etas=(1.5, 1.2)),
    "alpha": lambda lib: lib.optim.RMSprop([parameter(lib)], alpha=-1),
    "momentum": lambda lib: lib.optim.RMSprop([parameter(lib)], momentum=-1),
    "momentum decay": lambda lib: lib.optim.NAdam([parameter(lib)], momentum_decay=-1),
    "betas of adamax": lambda lib: lib.optim.Adamax([parameter(lib)], betas=(0.5, 1.0)),
    "betas of radam": lambda lib: lib.optim.RAdam([parameter(lib)], betas=(-0.5, 0.9)),
    "decay of asgd": lambda lib: lib.optim.ASGD([parameter(lib)], weight_decay=-1),
    "rate of adafactor": lambda lib: lib.optim.Adafactor([parameter(lib)], lr=-1.0),
    "decay of beta": lambda lib: lib.optim.Adafactor([parameter(lib)], beta2_decay=1.0),
    "first epsilon": lambda lib: lib.optim.Adafactor([parameter(lib)], eps=(-1.0, 0.1)),
    "second epsilon": lambda lib: lib.optim.Adafactor([parameter(lib)], eps=(None, -0.1)),
    "threshold": lambda lib: lib.optim.Adafactor([parameter(lib)], d=0.5),
    "decay of adafactor": lambda lib: lib.optim.Adafactor([parameter(lib)], weight_decay=-1),
    "complex adafactor": lambda lib: stepped(
        lib, "Adafactor", lib.ones(2, dtype=lib.complex64, requires_grad=True)
    ),
    "a vector for muon": lambda lib: lib.optim.Muon([parameter(lib)]),
    "rate of muon": lambda lib: lib.optim.Muon([parameter(lib)], lr=-1),
    "momentum of muon": lambda lib: lib.optim.Muon([parameter(lib)], momentum=-1),
    "decay of muon": lambda lib: lib.optim.Muon([parameter(lib)], weight_decay=-1),
    "function of muon": lambda lib: lib.optim.Muon([parameter(lib)], adjust_lr_fn="sqrt"),
    "steps of muon": lambda lib: stepped(lib, "Muon", matrix(lib), ns_steps=100),
    "coefficients of muon": lambda lib: stepped(lib, "Muon", matrix(lib), ns_coefficients=(1, 2)),
    "rate of lbfgs": lambda lib: lib.optim.LBFGS([parameter(lib)], lr=-1),
    "two groups": lambda lib: lib.optim.LBFGS(
        [{"params": [parameter(lib)]}, {"params": [parameter(lib)]}]
    ),
    "another line search": lambda lib: searched(lib, line_search_fn="armijo"),
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


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES} - {"SGD"}))
def test_states_from_before_steps_were_tensors(name):
    """Counts that are numbers become tensors, and options that came later get a value."""

    def run(lib):
        _, optimizer, params = walk(lib, name, {}, 3)
        state = optimizer.state_dict()
        for entries in state["state"].values():
            entries["step"] = 3
        for option in ("maximize", "foreach", "capturable", "differentiable"):
            if name not in ("Adafactor",) or option == "foreach":
                state["param_groups"][0].pop(option, None)
        optimizer.load_state_dict(state)
        optimizer.zero_grad()
        loss_of(params, 3).backward()
        optimizer.step()
        steps = [float(s["step"]) for s in optimizer.state.values()]
        return steps, optimizer.state_dict()["param_groups"], [p.tolist() for p in params]

    (steps, groups, values), (wanted, other, expected) = run(dt), run(torch)
    assert (steps, groups) == (wanted, other)
    for a, b in zip(values, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
