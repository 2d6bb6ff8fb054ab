"""Optimizers beside the numbers: states, hooks, closures, copies and gradients."""

from __future__ import annotations

import copy
import pickle

import pytest

import dovetail as dt
import dovetail.optim
from dovetail.optim import optimizer as base


def quadratic(optimizer_class=dt.optim.SGD, device="cpu", **options):
    w = dt.tensor([3.0, -2.0], device=device, requires_grad=True)
    return w, optimizer_class([w], **{"lr": 0.25, **options})


def descend(w, optimizer, steps=1):
    for _ in range(steps):
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()


def test_a_step_by_hand(device):
    w, optimizer = quadratic(device=device)
    descend(w, optimizer)
    assert w.tolist() == [1.5, -1.0]
    assert w.requires_grad
    assert w.is_leaf


def test_adam_by_hand(device):
    """The first Adam step has the length lr, whatever the gradient."""
    w, optimizer = quadratic(dt.optim.Adam, device)
    descend(w, optimizer)
    assert [round(x, 5) for x in w.tolist()] == [2.75, -1.75]


def test_parameters_without_gradients_stay():
    w, unused = dt.ones(1, requires_grad=True), dt.ones(1, requires_grad=True)
    optimizer = dt.optim.Adam([w, unused], lr=0.5)
    (w * w).sum().backward()
    optimizer.step()
    assert unused.item() == 1.0
    assert unused not in optimizer.state
    assert w.item() != 1.0


def test_gradients_are_not_changed_by_a_step():
    for kind in (dt.optim.SGD, dt.optim.Adam, dt.optim.AdamW):
        w, optimizer = quadratic(kind, weight_decay=0.5, maximize=True)
        (w * w).sum().backward()
        optimizer.step()
        optimizer.step()
        assert w.grad.tolist() == [6.0, -4.0]


def test_steps_write_in_place():
    w, optimizer = quadratic(momentum=0.9)
    alias = w.detach()
    descend(w, optimizer, 2)
    assert alias.tolist() == w.tolist()


def test_closure_runs_with_gradients():
    w, optimizer = quadratic()

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with dt.no_grad():
        assert optimizer.step(closure).item() == 13.0
    assert w.tolist() == [1.5, -1.0]


def test_zero_grad():
    w, optimizer = quadratic()
    (w * w).sum().backward()
    gradient = w.grad
    optimizer.zero_grad(set_to_none=False)
    assert w.grad is gradient
    assert gradient.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert w.grad is None


def test_zero_grad_cuts_a_graph():
    w, optimizer = quadratic()
    (w * w * w).sum().backward(create_graph=True)
    assert w.grad.requires_grad
    optimizer.zero_grad(set_to_none=False)
    assert not w.grad.requires_grad


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (dt.optim.SGD, {"momentum": 0.9}),
        (dt.optim.Adam, {"amsgrad": True}),
        (dt.optim.AdamW, {}),
    ],
)
def test_continuing_from_a_state_is_exact(kind, options, device):
    w, optimizer = quadratic(kind, device, **options)
    descend(w, optimizer, 3)
    saved = pickle.loads(pickle.dumps(optimizer.state_dict()))
    v = w.detach().clone().requires_grad_()
    resumed = kind([v], lr=99.0, **options)
    resumed.load_state_dict(saved)
    descend(w, optimizer, 3)
    descend(v, resumed, 3)
    assert v.tolist() == w.tolist()
    assert resumed.param_groups[0]["lr"] == 0.25


def test_loaded_state_is_a_copy_in_the_parameters_dtype():
    w, optimizer = quadratic(momentum=0.9)
    descend(w, optimizer)
    state = optimizer.state_dict()
    v = w.detach().double().requires_grad_()
    other = dt.optim.SGD([v], lr=1.0)
    other.load_state_dict(state)
    assert other.state[v]["momentum_buffer"].dtype is dt.float64
    twin = dt.optim.SGD([w.detach().clone().requires_grad_()], lr=1.0)
    twin.load_state_dict(state)
    descend(w, optimizer)
    (entries,) = twin.state.values()
    assert entries["momentum_buffer"].tolist() == [6.0, -4.0]


def test_state_dict_counts_across_groups():
    a, b, c = (dt.ones(1, requires_grad=True) for _ in range(3))
    optimizer = dt.optim.SGD([{"params": [a]}, {"params": [b, c], "lr": 2.0}], lr=1.0)
    groups = optimizer.state_dict()["param_groups"]
    assert [group["params"] for group in groups] == [[0], [1, 2]]
    assert [group["lr"] for group in groups] == [1.0, 2.0]


def test_state_that_belongs_to_no_parameter_is_kept():
    _, optimizer = quadratic()
    optimizer.state["note"] = {"epoch": 3}
    state = optimizer.state_dict()
    assert state["state"]["note"] == {"epoch": 3}
    _, other = quadratic()
    other.load_state_dict(state)
    assert other.state["note"] == {"epoch": 3}


def test_step_hooks():
    w, optimizer = quadratic()
    seen = []

    def pre(owner, args, kwargs):
        assert owner is optimizer
        seen.append("pre")
        w.grad.mul_(2)

    handle = optimizer.register_step_pre_hook(pre)
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append("post"))
    with (
        base.register_optimizer_step_pre_hook(lambda o, a, k: seen.append("global pre")),
        base.register_optimizer_step_post_hook(lambda o, a, k: seen.append("global post")),
    ):
        descend(w, optimizer)
    assert seen == ["global pre", "pre", "post", "global post"]
    assert w.tolist() == [0.0, 0.0]
    handle.remove()
    descend(w, optimizer)
    assert seen[4:] == ["post"]


def test_step_pre_hook_replaces_arguments():
    _, optimizer = quadratic()
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: 5), {}))
    assert optimizer.step() == 5
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args"):
        optimizer.step()


def test_state_dict_hooks():
    _, optimizer = quadratic()
    order = []
    optimizer.register_state_dict_pre_hook(lambda o: order.append("save"))
    optimizer.register_state_dict_post_hook(lambda o, s: {**s, "tag": 1})
    optimizer.register_state_dict_post_hook(lambda o, s: s["state"].clear(), prepend=True)
    state = optimizer.state_dict()
    assert state["tag"] == 1

    def rename(owner, given):
        order.append("load")
        return {"state": {}, "param_groups": given["groups"]}

    optimizer.register_load_state_dict_pre_hook(rename)
    optimizer.register_load_state_dict_post_hook(lambda o: order.append("loaded"))
    optimizer.load_state_dict({"groups": state["param_groups"]})
    assert order == ["save", "load", "loaded"]


def test_subclasses_get_hooks_and_no_graph():
    class Signs(dt.optim.Optimizer):
        def __init__(self, params, lr=base.required):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            loss = self._loss(closure)
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(p.grad.sign() * group["lr"])
            return loss

    w = dt.tensor([3.0, -2.0], requires_grad=True)
    with pytest.raises(ValueError, match="required optimization parameter lr"):
        Signs([w])
    optimizer = Signs([w], lr=0.5)
    seen = []
    optimizer.register_step_post_hook(lambda *args: seen.append(1))
    descend(w, optimizer)
    assert w.tolist() == [2.5, -1.5]
    assert w.is_leaf
    assert seen == [1]


def test_duplicate_parameters_warn():
    w = dt.ones(1, requires_grad=True)
    with pytest.warns(UserWarning, match="duplicate parameters"):
        dt.optim.SGD([w, w], lr=1.0)


def test_copies():
    w, optimizer = quadratic(momentum=0.9)
    descend(w, optimizer)
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        (v,) = twin.param_groups[0]["params"]
        assert v is not w
        assert twin.state[v]["momentum_buffer"].tolist() == [6.0, -4.0]
        descend(v, twin)
    descend(w, optimizer)
    assert v.tolist() == w.tolist()


def test_optimizer_follows_a_module_that_moves(device):
    layer = dt.nn.Linear(2, 1)
    optimizer = dt.optim.SGD(layer.parameters(), lr=0.5)
    layer.to(device)
    before = layer.weight.tolist()
    layer(dt.ones(1, 2, device=device)).sum().backward()
    optimizer.step()
    assert layer.weight.tolist() != before
