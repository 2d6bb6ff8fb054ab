"""``Adagrad`` (Duchi, Hazan and Singer, JMLR 2011)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.optim.optimizer import check_flags, check_lr, check_options
from dovetail.optim.stepwise import Stepwise, like, rate_of, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovetail.tensor import Tensor

__all__ = ["Adagrad"]


class Adagrad(Stepwise):
    """Steps divided by the root of the sum of all squared gradients so far.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate, a number or a one-element tensor.
        lr_decay: the rate of step t is lr / (1 + (t - 1) · lr_decay).
        weight_decay: the L2 penalty.
        initial_accumulator_value: what the sums start from.
        eps: added to the divisor.
        foreach: accepted for PyTorch's sake; one call per group is made anyway.
        maximize: climb instead of descend.
        differentiable: record the step, so that gradients flow through it.
        fused: accepted for PyTorch's sake; a backend's fused kernel is used where there is one.
    """

    _kernel = "adagrad_step"
    _kept = ("sum",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_options(
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        check_flags(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = self._start(p, group)

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        first = self.defaults["initial_accumulator_value"]
        value = complex(first, first) if p.is_complex() else first
        return {"step": self._count(p, group), "sum": like(p, value)}

    def _numbers(self, group: dict[str, Any], states: list[dict[str, Any]]) -> dict[str, Any]:
        lr, decay = rate_of(group), group["lr_decay"]
        return {
            "rates": [lr / (1 + (step - 1) * decay) for step in steps_of(states)],
            "eps": group["eps"],
            "weight_decay": group["weight_decay"],
            "maximize": group["maximize"],
        }

    def _update(
        self, param: Tensor, grad: Tensor, total: Any, *, keep: Any, rates: float, eps: float
    ) -> None:
        total.addcmul_(grad, grad)
        param.addcdiv_(grad, keep(total).sqrt() + eps, value=-rates)
