"""``RAdam``: Adam with a rectified variance (Liu et al., ICLR 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.optim.optimizer import check_lr, check_options
from dovetail.optim.stepwise import Stepwise, rate_of, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovetail.tensor import Tensor

__all__ = ["RAdam"]


class RAdam(Stepwise):
    """Adam that leaves the mean square out of its first steps, while it is known too badly.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate, a number or a one-element tensor.
        betas: how much of the two running means is kept at each step.
        eps: added to the divisor.
        weight_decay: the L2 penalty, or the shrinking if ``decoupled_weight_decay``.
        decoupled_weight_decay: shrink the weights directly, as ``AdamW`` does.
        foreach: accepted for PyTorch's sake; one call per group is made anyway.
        maximize: climb instead of descend.
        capturable: keep ``step`` on the parameter's device.
        differentiable: record the step, so that gradients flow through it.
    """

    _kernel = "radam_step"
    _kept = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_options(eps=eps, betas=betas, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _numbers(self, group: dict[str, Any], states: list[dict[str, Any]]) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        lr = rate_of(group)
        most = 2 / (1 - beta2) - 1  # the length of a simple average over all steps to come
        rates, rectified = [], []
        for step in steps_of(states):
            correction = 1 - beta2**step
            length = most - 2 * step * beta2**step / correction
            rate = lr / (1 - beta1**step)
            rectified.append(length > 5.0)
            if length > 5.0:
                rate *= correction**0.5
                rate *= (
                    (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
                ) ** 0.5
            rates.append(rate)
        decoupled = group["decoupled_weight_decay"]
        return {
            "rates": rates,
            "rectified": rectified,
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "shrink": 1 - lr * group["weight_decay"] if decoupled else 1.0,
            "weight_decay": 0.0 if decoupled else group["weight_decay"],
            "maximize": group["maximize"],
        }

    def _update(
        self, param: Tensor, grad: Tensor, mean: Any, square: Any, *, keep: Any, rates: float,
        rectified: bool, beta1: float, beta2: float, eps: float, shrink: float,
    ) -> None:  # fmt: skip
        if shrink != 1.0:
            param.mul_(shrink)
        mean.lerp_(grad, 1 - beta1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        if rectified:
            param.addcdiv_(keep(mean), keep(square).sqrt() + eps, value=-rates)
        else:
            param.add_(keep(mean), alpha=-rates)
