"""A layer's weight and bias wherever they are: in its table, as plain attributes, computed."""

from __future__ import annotations

from typing import Any

import pytest

import dovetail as dt
from dovetail import nn

LAYERS = {
    "Linear": (lambda: nn.Linear(3, 3), (2, 3)),
    "Bilinear": (lambda: nn.Bilinear(3, 3, 3), (2, 3)),
    "Conv1d": (lambda: nn.Conv1d(3, 3, 1), (2, 3, 4)),
    "LayerNorm": (lambda: nn.LayerNorm(3), (2, 3)),
    "GroupNorm": (lambda: nn.GroupNorm(3, 3), (2, 3, 4)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), (4, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("way", ["table", "plain", "property"])
def test_a_weight_that_was_replaced_is_the_one_that_is_used(
    name: str, way: str, device: Any
) -> None:
    make, shape = LAYERS[name]
    layer = make().to(device)
    inputs = [dt.randn(*shape, device=device)] * (2 if name == "Bilinear" else 1)
    before = layer(*inputs)
    doubled = (layer.weight.detach() * 2, layer.bias.detach() * 2)
    if way == "table":
        layer._parameters.update(weight=nn.Parameter(doubled[0]), bias=nn.Parameter(doubled[1]))
    else:
        del layer.weight, layer.bias
        if way == "plain":
            layer.weight, layer.bias = doubled
        else:
            own = {"weight": property(lambda _: doubled[0]), "bias": property(lambda _: doubled[1])}
            layer.__class__ = type(name, (type(layer),), own)
    dt.testing.assert_close(layer(*inputs), before * 2)


def test_a_module_that_was_not_set_up_is_refused() -> None:
    class Unset(nn.Linear):
        def __init__(self) -> None:
            pass

    with pytest.raises(AttributeError, match="'Unset' object has no attribute"):
        Unset()(dt.ones(3))
    with pytest.raises(AttributeError, match="'Unset' object has no attribute 'weight'"):
        Unset().forward(dt.ones(3))
