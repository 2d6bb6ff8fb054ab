"""functional_call and stack_module_state."""

from __future__ import annotations

from typing import Any

import pytest

import dovetail as dt
from dovetail.func import functional_call, replace_all_batch_norm_modules_, stack_module_state, vmap


class Tied(dt.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dt.nn.Linear(2, 2, bias=False)
        self.second = dt.nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("shift", dt.zeros(2))

    def forward(self, x: Any, *, times: int = 1) -> Any:
        self.shift = self.shift + 1
        return (self.second(self.first(x)) + self.shift) * times


def test_the_module_is_as_before() -> None:
    model = Tied()
    weight, shift = model.first.weight, model.shift
    x, w = dt.ones(1, 2), dt.eye(2)
    made = functional_call(model, {"first.weight": w, "shift": dt.ones(2)}, (x,), {"times": 2})
    assert made.tolist() == [[6, 6]]
    assert model.first.weight is weight
    assert model.shift is shift
    with pytest.raises(RuntimeError):
        functional_call(model, {"first.weight": dt.ones(3, 3)}, (x,))
    assert model.first.weight is weight
    assert model.second.weight is weight


def test_tied_weights() -> None:
    model, x = Tied(), dt.ones(1, 2)
    names = {"shift": dt.zeros(2)}
    both = functional_call(model, ({"first.weight": dt.eye(2) * 3}, names), x)
    assert both.tolist() == [[10, 10]]
    alone = {"first.weight": dt.eye(2) * 3}
    one = functional_call(model, (alone, names), x, tie_weights=False)
    assert dt.allclose(one, model.second(dt.ones(1, 2) * 3) + 1)
    with pytest.raises(ValueError, match="multiple values for keys"):
        functional_call(model, {"first.weight": dt.eye(2), "second.weight": dt.ones(2, 2)}, x)


@pytest.mark.parametrize(
    ("state", "options", "error", "words"),
    [
        ({"nothing": dt.ones(1)}, {}, AttributeError, "no attribute `nothing`"),
        ({"first.weight": 3}, {}, TypeError, "not an instance"),
        ({"shift": dt.ones(2)}, {"strict": True}, RuntimeError, "Missing key"),
        ({"nothing": dt.ones(1)}, {"strict": True}, RuntimeError, "Unexpected key"),
        (({"shift": dt.ones(2)}, {"shift": dt.ones(2)}), {}, ValueError, "multiple dictionaries"),
        (3, {}, ValueError, "to be a dict"),
        ([3], {}, ValueError, "to be dictionaries"),
    ],
)
def test_errors(state: Any, options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        functional_call(Tied(), state, dt.ones(1, 2), **options)


def test_the_older_name() -> None:
    model = dt.nn.Linear(2, 1, bias=False)
    with pytest.warns(FutureWarning, match="torch.func.functional_call"):
        made = dt.nn.utils.stateless.functional_call(model, {"weight": dt.ones(1, 2)}, dt.ones(2))
    assert made.tolist() == [2]


def test_stacked_state() -> None:
    models = [dt.nn.Sequential(dt.nn.Linear(2, 3), dt.nn.BatchNorm1d(3)).eval() for _ in range(4)]
    parameters, buffers = stack_module_state(models)
    assert parameters["0.weight"].shape == (4, 3, 2)
    assert parameters["0.weight"].is_leaf
    assert parameters["0.weight"].requires_grad
    assert not buffers["1.running_mean"].requires_grad
    x = dt.rand(5, 2)
    call = lambda p, b, x: functional_call(models[0], (p, b), (x,))
    made = vmap(call, (0, 0, None))(parameters, buffers, x)
    assert dt.allclose(made, dt.stack([m(x) for m in models]), atol=1e-6)


def test_what_cannot_be_stacked() -> None:
    linear = dt.nn.Linear(2, 2)
    frozen = dt.nn.Linear(2, 2).requires_grad_(False)
    for models, words in (
        ([], "at least one model"), ([linear, dt.nn.Linear(2, 2).eval()], "same training/eval"),
        ([linear, dt.nn.ReLU()], "same class"), ([linear, frozen], "same .requires_grad"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=words):
            stack_module_state(models)


def test_batch_norm_of_each_example() -> None:
    model = dt.nn.Sequential(dt.nn.Conv2d(1, 2, 3), dt.nn.BatchNorm2d(2))
    x = dt.rand(4, 1, 1, 5, 5)
    with pytest.raises(RuntimeError, match="inplace arithmetic"):
        vmap(model)(x)
    replace_all_batch_norm_modules_(model)
    assert dt.allclose(vmap(model)(x), dt.stack([model(e) for e in x]), atol=1e-5)
