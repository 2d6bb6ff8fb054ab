"""``NAdam``: Adam with Nesterov momentum (Dozat, ICLR 2016 workshop)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.optim.optimizer import check_lr, check_options
from dovetail.optim.stepwise import Stepwise, like, number_of, rate_of, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovetail.tensor import Tensor

__all__ = ["NAdam"]


class NAdam(Stepwise):
    """Adam that looks ahead along its momentum, whose weight grows over time.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate, a number or a one-element tensor.
        betas: how much of the two running means is kept at each step.
        eps: added to the divisor.
        weight_decay: the L2 penalty, or the shrinking if ``decoupled_weight_decay``.
        momentum_decay: how fast the momentum grows to its final weight.
        decoupled_weight_decay: shrink the weights directly, as ``AdamW`` does.
        foreach: accepted for PyTorch's sake; one call per group is made anyway.
        maximize: climb instead of descend.
        capturable: keep ``step`` and ``mu_product`` on the parameter's device.
        differentiable: record the step, so that gradients flow through it.
    """

    _kernel = "nadam_step"
    _kept = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_options(
            eps=eps, betas=betas, weight_decay=weight_decay, momentum_decay=momentum_decay
        )
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": self._count(p, group),
            "mu_product": self._count(p, group, 1.0),
            "exp_avg": like(p),
            "exp_avg_sq": like(p),
        }

    def _numbers(self, group: dict[str, Any], states: list[dict[str, Any]]) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        lr, growth = rate_of(group), group["momentum_decay"]
        gradient_rates, mean_rates, corrections = [], [], []
        for state, step in zip(states, steps_of(states), strict=True):
            now = beta1 * (1.0 - 0.5 * 0.96 ** (step * growth))
            ahead = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * growth))
            product = number_of(state["mu_product"].mul_(now))
            gradient_rates.append(lr * (1.0 - now) / (1.0 - product))
            mean_rates.append(lr * ahead / (1.0 - product * ahead))
            corrections.append(1 - beta2**step)
        decoupled = group["decoupled_weight_decay"]
        return {
            "gradient_rates": gradient_rates,
            "mean_rates": mean_rates,
            "corrections": corrections,
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "shrink": 1 - lr * group["weight_decay"] if decoupled else 1.0,
            "weight_decay": 0.0 if decoupled else group["weight_decay"],
            "maximize": group["maximize"],
        }

    def _update(
        self, param: Tensor, grad: Tensor, mean: Any, square: Any, *, keep: Any,
        gradient_rates: float, mean_rates: float, corrections: float, beta1: float, beta2: float,
        eps: float, shrink: float,
    ) -> None:  # fmt: skip
        if shrink != 1.0:
            param.mul_(shrink)
        mean.lerp_(grad, 1 - beta1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        divisor = square.div(corrections).sqrt() + eps
        param.addcdiv_(grad, divisor, value=-gradient_rates)
        param.addcdiv_(keep(mean), divisor, value=-mean_rates)
