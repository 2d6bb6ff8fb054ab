"""``Rprop``: resilient backpropagation (Riedmiller and Braun, ICNN 1993)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.optim.optimizer import check_lr
from dovetail.optim.stepwise import Stepwise, like, rate_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovetail.tensor import Tensor

__all__ = ["Rprop"]


class Rprop(Stepwise):
    """Steps of a size of their own per element, of which the gradient gives the sign alone.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the size of the first steps, a number or a one-element tensor.
        etas: factors of the size where the sign has changed, and where it has not.
        step_sizes: the smallest and the largest size.
        capturable: keep ``step`` on the parameter's device.
        foreach: accepted for PyTorch's sake; one call per group is made anyway.
        maximize: climb instead of descend.
        differentiable: record the step, so that gradients flow through it.
    """

    _kernel = "rprop_step"
    _kept = ("prev", "step_size")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        size = rate_of(group)
        return {
            "step": self._count(p, group),
            "prev": like(p),
            "step_size": like(p, complex(size, size) if p.is_complex() else size),
        }

    def _numbers(self, group: dict[str, Any], states: list[dict[str, Any]]) -> dict[str, Any]:
        less, more = group["etas"]
        smallest, largest = group["step_sizes"]
        return {
            "less": less,
            "more": more,
            "smallest": smallest,
            "largest": largest,
            "maximize": group["maximize"],
        }

    def _update(
        self, param: Tensor, grad: Tensor, before: Any, size: Any, *, keep: Any, less: float,
        more: float, smallest: float, largest: float,
    ) -> None:  # fmt: skip
        agreement: Any = grad * keep(before)
        turned = agreement < 0
        one = dovetail.ones_like(agreement)
        factor = dovetail.where(turned, less, dovetail.where(agreement > 0, more, one))
        size.mul_(factor).clamp_(smallest, largest)
        grad = dovetail.where(turned, 0.0, grad)
        param.addcmul_(grad.sign(), keep(size), value=-1)
        before.copy_(grad)
