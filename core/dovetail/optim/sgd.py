"""``SGD``: stochastic gradient descent with momentum (PyTorch's ``torch.optim.SGD``).

Nesterov momentum as in Sutskever et al., ICML 2013, in PyTorch's form (the rate is applied last).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.ops.layers.optimizer_steps import fused_step
from dovetail.optim.optimizer import Optimizer, check_flags, check_lr, check_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dovetail.tensor import Tensor

__all__ = ["SGD", "sgd_step"]


class SGD(Optimizer):
    """Stochastic gradient descent.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate, a number or a one-element tensor.
        momentum: how much of the last update direction is kept.
        dampening: how much of the gradient is left out of the momentum.
        weight_decay: the L2 penalty.
        nesterov: look ahead along the momentum.
        maximize: climb instead of descend.
        foreach: accepted for PyTorch's sake; one call per group is made anyway.
        differentiable: record the step, so that gradients flow through it.
        fused: accepted for PyTorch's sake; a backend's fused kernel is used where there is one.

    >>> import dovetail as dt
    >>> w = dt.tensor([1.0], requires_grad=True)
    >>> optimizer = dt.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward(); optimizer.step(); w
    tensor([0.8000], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_options(momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_flags(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns what ``closure`` returned."""
        loss = self._loss(closure)
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            options = {
                name: group[name]
                for name in ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")
            }
            if group["momentum"] == 0:
                sgd_step(params, [p.grad for p in params], [], first=False, **options)
                continue
            # A parameter's first step fills its buffer, so it cannot share a call with later ones.
            started = [p for p in params if self.state[p].get("momentum_buffer") is not None]
            ids = {id(p) for p in started}
            fresh = [p for p in params if id(p) not in ids]
            for p in fresh:
                self.state[p]["momentum_buffer"] = p.grad.detach().clone()
            for chosen, first in ((fresh, True), (started, False)):
                buffers = [self.state[p]["momentum_buffer"] for p in chosen]
                sgd_step(chosen, [p.grad for p in chosen], buffers, first=first, **options)
        return loss


def sgd_step(
    params: list[Tensor],
    grads: list[Tensor],
    buffers: list[Tensor],
    *,
    lr: float | Tensor,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
    first: bool,
) -> None:
    """One SGD step of many parameters, in place.

    Args:
        params: the parameters.
        grads: their gradients, same shapes; not changed.
        buffers: their momentum buffers; empty if ``momentum`` is 0.
        lr: the learning rate.
        momentum: factor of the buffer.
        dampening: the gradient enters the buffer with 1 - dampening.
        weight_decay: factor of the L2 penalty.
        nesterov: use gradient + momentum · buffer.
        maximize: negate the gradients.
        first: the buffers are to be filled, whatever they hold.
    """
    numbers = {
        "lr": lr,
        "momentum": momentum,
        "dampening": dampening,
        "weight_decay": weight_decay,
        "nesterov": nesterov,
        "maximize": maximize,
        "first": first,
    }
    if fused_step("sgd_step", (params, grads, buffers), numbers):
        return
    for i, (param, gradient) in enumerate(zip(params, grads, strict=True)):
        update = gradient.neg() if maximize else gradient
        if weight_decay != 0:
            update = update.add(param, alpha=weight_decay)
        if momentum != 0:
            buffer = buffers[i]
            if first:
                buffer.copy_(update.detach())
            else:
                buffer.mul_(momentum).add_(update, alpha=1 - dampening)
            update = update.add(buffer, alpha=momentum) if nesterov else buffer
        if isinstance(lr, (int, float)):
            param.add_(update, alpha=-lr)
        else:
            param.sub_(update * lr)
