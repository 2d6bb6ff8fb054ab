"""``Adam`` (Kingma and Ba, ICLR 2015), with AMSGrad (Reddi et al., ICLR 2018).

Meanings follow PyTorch's ``torch.optim.Adam`` page.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.capture import under_way
from dovetail.ops.layers.optimizer_steps import fused_step, has_step
from dovetail.optim.optimizer import Optimizer, check_flags, check_lr, check_options
from dovetail.optim.scalars import scalar_of
from dovetail.optim.stepwise import advance, like, on_device
from dovetail.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Adam", "adam_step"]


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate, a number or a one-element tensor.
        betas: how much of the two running means is kept at each step.
        eps: added to the divisor.
        weight_decay: the L2 penalty.
        amsgrad: divide by the largest mean square seen so far.
        foreach: accepted for PyTorch's sake; one call per group is made anyway.
        maximize: climb instead of descend.
        capturable: keep ``step`` on the parameter's device.
        differentiable: record the step, so that gradients flow through it.
        fused: accepted for PyTorch's sake; a backend's fused kernel is used where there is one.
        decoupled_weight_decay: shrink the weights directly, as ``AdamW`` does.
    """

    _counts_steps = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError(
                "lr as a Tensor is not supported for capturable=False and foreach=True"
            )
        check_lr(lr)
        check_options(eps=eps, betas=betas, weight_decay=weight_decay)
        check_flags(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "betas": tuple(float(beta) for beta in betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _state_of(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state of a parameter, made at its first step."""
        state: dict[str, Any] = self.state[p]
        if not state:
            place = p.device if group["capturable"] or group["fused"] else "cpu"
            state["step"] = scalar_of(0.0, place, bool(group["fused"]))
            names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * group["amsgrad"]
            for name in names:
                state[name] = like(p)
        return state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns what ``closure`` returned."""
        loss = self._loss(closure)
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            states = [self._state_of(p, group) for p in params]
            counts = advance(states)
            adam_step(
                params,
                [p.grad for p in params],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else [],
                steps=counts if _stays(params, counts) else [_number(count) for count in counts],
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                eps=group["eps"],
                weight_decay=group["weight_decay"],
                maximize=group["maximize"],
                decoupled=group["decoupled_weight_decay"],
                differentiable=group["differentiable"],
            )
        return loss


def _number(count: Any) -> float:
    number: float = count.item() if isinstance(count, Tensor) else count
    return number


def _stays(params: list[Tensor], counts: list[Tensor]) -> bool:
    """Whether the numbers of steps are used on the device, where reading them would wait for it."""
    if not on_device(counts):
        return False
    return bool(under_way) or has_step("adam_step_counted", params[0])


def _share(beta: float, step: Any, param: Tensor) -> Any:
    """``1 - beta ** step``, to the last digits where the step is a tensor too."""
    if not isinstance(step, Tensor):
        return 1 - beta**step
    return -(step.to(param.real.dtype) * math.log(beta)).expm1() if beta else 1.0


def adam_step(
    params: list[Tensor],
    grads: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    largest: list[Tensor],
    *,
    steps: list[float] | list[Tensor],
    lr: float | Tensor,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    decoupled: bool,
    differentiable: bool = False,
) -> None:
    """One Adam or AdamW step of many parameters, in place.

    Args:
        params: the parameters.
        grads: their gradients, same shapes; not changed.
        means: running means of the gradients.
        squares: running means of their squares.
        largest: largest of those so far; empty unless AMSGrad.
        steps: per parameter, the number of this step, counted from 1; tensors of one element where
            it is on the device.
        lr: the learning rate.
        beta1: kept part of ``means``.
        beta2: kept part of ``squares``.
        eps: added to the divisor.
        weight_decay: factor of the penalty.
        maximize: negate the gradients.
        decoupled: shrink the parameters by lr · weight_decay (AdamW) instead of adding the L2
            penalty to the gradients (Adam).
        differentiable: save copies of what later steps overwrite.
    """
    numbers = {
        "steps": steps,
        "lr": lr,
        "beta1": beta1,
        "beta2": beta2,
        "eps": eps,
        "weight_decay": weight_decay,
        "maximize": maximize,
        "decoupled": decoupled,
    }
    name = "adam_step_counted" if on_device(steps) else "adam_step"
    if fused_step(name, (params, grads, means, squares, largest), numbers):
        return
    for i, (param, gradient) in enumerate(zip(params, grads, strict=True)):
        mean, square = means[i], squares[i]
        update = gradient.neg() if maximize else gradient
        if weight_decay != 0:
            if decoupled:
                param.mul_(1 - lr * weight_decay)
            else:
                update = update.add(param, alpha=weight_decay)
        mean.lerp_(update, 1 - beta1)
        square.mul_(beta2)
        if square.is_complex():
            # Real and imaginary parts have a mean square each, as two real parameters would.
            real, imaginary = dovetail.real(update), dovetail.imag(update)
            square.add_(dovetail.complex(real * real, imaginary * imaginary), alpha=1 - beta2)
        else:
            square.addcmul_(update, update, value=1 - beta2)
        if largest:
            largest[i].copy_(_elementwise_max(largest[i], square))
            square = largest[i]
        rate = lr / _share(beta1, steps[i], param)
        root = _share(beta2, steps[i], param) ** 0.5
        if differentiable:
            mean, square = mean.clone(), square.clone()
        if square.is_complex():
            step_by = dovetail.complex(
                mean.real / (square.real.sqrt() / root + eps),
                mean.imag / (square.imag.sqrt() / root + eps),
            )
            param.sub_(step_by * rate)
        elif isinstance(rate, (int, float)):
            param.addcdiv_(mean, (square.sqrt() / root).add_(eps), value=-rate)
        else:
            param.sub_(mean / (square.sqrt() / root).add_(eps) * rate)


def _elementwise_max(a: Tensor, b: Tensor) -> Tensor:
    if not a.is_complex():
        return dovetail.maximum(a, b)
    return dovetail.complex(dovetail.maximum(a.real, b.real), dovetail.maximum(a.imag, b.imag))
