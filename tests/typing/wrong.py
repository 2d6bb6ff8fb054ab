# ruff: noqa
"""Programs that mypy must refuse: each line that is wrong names the error that is due."""

import dovetail as dt
import dovetail.nn.functional as F
from dovetail import nn, optim

x = dt.ones(2, 3)

dt.no_such_function(x)  # error: attr-defined
x.no_such_method()  # error: attr-defined
x.sum(axs=1)  # error: call-overload, call-arg
x.size("0")  # error: call-overload
x.reshape("3")  # error: arg-type
n: int = x.sum()  # error: assignment
s: str = x.item()  # error: assignment
dt.div(x, 2, rounding_mode="up")  # error: arg-type
dt.cat(x, "dim")  # error: arg-type
dt.cat([x, 1])  # error: list-item
dt.zeros(2, dtype="float32")  # error: arg-type
x + "1"  # error: operator
x.max(1).value  # error: attr-defined
pair: tuple[dt.Tensor, dt.Tensor, dt.Tensor] = dt.sort(x)  # error: assignment
x.exp_(1)  # error: call-arg
x.clamp_(lowest=0)  # error: call-arg
x.grad.sum()  # error: union-attr
F.relu(x, slope=1)  # error: call-arg
F.cross_entropy(x)  # error: call-arg
F.mse_loss(x, x, reduction="avg")  # error: arg-type
nn.L1Loss(reduction="max")  # error: arg-type
nn.Linear("3", 4)  # error: arg-type
nn.Linear(3)  # error: call-arg
nn.no_such_layer  # error: attr-defined
optim.SGD([x], learning_rate=0.1)  # error: call-arg
optim.Adam([x], lr="fast")  # error: arg-type
dt.autograd.no_such  # error: attr-defined
dt.manual_seed("one")  # error: arg-type


class Layer(nn.Module):
    def forward(self, x: dt.Tensor) -> dt.Tensor:
        return x.tolist().nothing if x.shape.dims else x  # error: attr-defined


@dt.no_grad()
def half(x: dt.Tensor) -> dt.Tensor:
    return x / 2


half(1)  # error: arg-type
