"""``Adamax``: Adam with the infinity norm (Kingma and Ba, ICLR 2015, section 7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.optim.optimizer import check_lr, check_options
from dovetail.optim.stepwise import Stepwise, rate_of, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovetail.tensor import Tensor

__all__ = ["Adamax"]


class Adamax(Stepwise):
    """Steps scaled by the largest gradient of late instead of by a mean square.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate, a number or a one-element tensor.
        betas: how much of the mean gradient and of the norm is kept at each step.
        eps: added to the gradient's absolute value.
        weight_decay: the L2 penalty.
        foreach: accepted for PyTorch's sake; one call per group is made anyway.
        maximize: climb instead of descend.
        differentiable: record the step, so that gradients flow through it.
        capturable: keep ``step`` on the parameter's device.
    """

    _kernel = "adamax_step"
    _kept = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_options(eps=eps, betas=betas, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _numbers(self, group: dict[str, Any], states: list[dict[str, Any]]) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        lr = rate_of(group)
        return {
            "rates": [lr / (1 - beta1**step) for step in steps_of(states)],
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "weight_decay": group["weight_decay"],
            "maximize": group["maximize"],
        }

    def _update(
        self, param: Tensor, grad: Tensor, mean: Any, norm: Any, *, keep: Any, rates: float,
        beta1: float, beta2: float, eps: float,
    ) -> None:  # fmt: skip
        mean.lerp_(grad, 1 - beta1)
        norm.copy_(dovetail.maximum(norm * beta2, grad.abs() + eps))
        param.addcdiv_(keep(mean), keep(norm), value=-rates)
