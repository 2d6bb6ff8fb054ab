"""``Adadelta`` (Zeiler, arXiv:1212.5701)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.optim.optimizer import check_lr, check_options
from dovetail.optim.stepwise import Stepwise, rate_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovetail.tensor import Tensor

__all__ = ["Adadelta"]


class Adadelta(Stepwise):
    """Steps in the parameters' own unit: the last steps' size over the last gradients' size.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: factor of the step, a number or a one-element tensor.
        rho: how much of the two running means is kept at each step.
        eps: added under both roots.
        weight_decay: the L2 penalty.
        foreach: accepted for PyTorch's sake; one call per group is made anyway.
        capturable: keep ``step`` on the parameter's device.
        maximize: climb instead of descend.
        differentiable: record the step, so that gradients flow through it.
    """

    _kernel = "adadelta_step"
    _kept = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_options(eps=eps, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _numbers(self, group: dict[str, Any], states: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "lr": rate_of(group),
            "rho": group["rho"],
            "eps": group["eps"],
            "weight_decay": group["weight_decay"],
            "maximize": group["maximize"],
        }

    def _update(
        self, param: Tensor, grad: Tensor, square: Any, moved: Any, *, keep: Any, lr: float,
        rho: float, eps: float,
    ) -> None:  # fmt: skip
        square.mul_(rho).addcmul_(grad, grad, value=1 - rho)
        step = (moved + eps).sqrt() / (square + eps).sqrt() * grad
        moved.mul_(rho).addcmul_(step, step, value=1 - rho)
        param.add_(step, alpha=-lr)
