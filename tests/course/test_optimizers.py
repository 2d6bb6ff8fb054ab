"""Optimizers (003 L2401-2474)."""

from __future__ import annotations

from typing import Any

import pytest

import dovetail as dt
from dovetail import optim


def test_003_L2421_a_loop(run: Any) -> None:
    names = run("003 L2421")
    first = names.dataset[0]
    for _ in range(20):
        for x, y in names.dataset:
            names.optimizer.zero_grad()
            names.loss(names.my_model(x), y).backward()
            names.optimizer.step()
    assert names.loss(names.my_model(first[0]), first[1]).item() < 0.5 * names.my_loss.item()


def test_003_L2442_names_of_a_state(run: Any) -> None:
    state = run("003 L2442").model.state_dict()
    assert [tuple(v.shape) for v in state.values()] == [(64, 3, 3, 3), (64,)]


def test_003_L2463_an_optimizers_state(run: Any) -> None:
    names = run("003 L2463")
    assert names.optimizer.state_dict()["param_groups"][0]["params"] == [0, 1]


@pytest.mark.parametrize("name", ["Adadelta", "Adagrad", "Adam", "RMSprop", "SGD", "LBFGS"])
def test_003_L2406_each_goes_downhill(name: str, device: Any) -> None:
    target = dt.tensor([1.0, -2.0], device=device)
    x = dt.zeros(2, device=device, requires_grad=True)
    optimizer = getattr(optim, name)([x], lr=0.1)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = ((x - target) ** 2).sum()
        loss.backward()
        return loss

    first = closure().item()
    for _ in range(20):
        optimizer.step(closure)
    assert closure().item() < first
    assert isinstance(optimizer, optim.Optimizer)


def test_003_L2409_what_an_optimizer_does(device: Any) -> None:
    x, y = (dt.ones(1, device=device, requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([x], lr=0.5, momentum=0.9)
    optimizer.add_param_group({"params": [y], "lr": 0.25})
    (x + y).sum().backward()
    optimizer.step()
    assert (x.item(), y.item()) == (0.5, 0.75)
    optimizer.zero_grad()
    assert x.grad is None
    again = optim.SGD([{"params": [x]}, {"params": [y]}], lr=9.0)
    again.load_state_dict(optimizer.state_dict())
    assert [g["lr"] for g in again.param_groups] == [0.5, 0.25]
    assert again.state[x]["momentum_buffer"].item() == 1
    assert again.defaults["lr"] == 9.0
