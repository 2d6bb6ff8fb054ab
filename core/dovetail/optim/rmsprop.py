"""``RMSprop`` (Hinton's course, lecture 6; centred as in Graves, arXiv:1308.0850)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.optim.optimizer import check_lr, check_options
from dovetail.optim.stepwise import Stepwise, rate_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovetail.tensor import Tensor

__all__ = ["RMSprop"]


class RMSprop(Stepwise):
    """Steps divided by the root of a running mean of the squared gradients.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate, a number or a one-element tensor.
        alpha: how much of the running means is kept at each step.
        eps: added to the divisor, outside of the root.
        weight_decay: the L2 penalty.
        momentum: how much of the last step is kept.
        centered: divide by the deviation, with a running mean of the gradient subtracted.
        capturable: keep ``step`` on the parameter's device.
        foreach: accepted for PyTorch's sake; one call per group is made anyway.
        maximize: climb instead of descend.
        differentiable: record the step, so that gradients flow through it.
    """

    _kernel = "rmsprop_step"
    _kept = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_options(eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        wanted = (True, group["momentum"] > 0, group["centered"])
        return tuple(n for n, w in zip(self._kept, wanted, strict=True) if w)

    def _numbers(self, group: dict[str, Any], states: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "lr": rate_of(group),
            "alpha": group["alpha"],
            "eps": group["eps"],
            "momentum": group["momentum"],
            "weight_decay": group["weight_decay"],
            "maximize": group["maximize"],
        }

    def _update(
        self, param: Tensor, grad: Tensor, square: Any, buffer: Any, mean: Any, *, keep: Any,
        lr: float, alpha: float, eps: float, momentum: float,
    ) -> None:  # fmt: skip
        square.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        variance = keep(square)
        if mean is not None:
            mean.lerp_(grad, 1 - alpha)
            kept = keep(mean)
            variance = variance.addcmul(kept, kept, value=-1)
        divisor = variance.sqrt() + eps
        if buffer is None:
            param.addcdiv_(grad, divisor, value=-lr)
        else:
            buffer.mul_(momentum).addcdiv_(grad, divisor)
            param.add_(keep(buffer), alpha=-lr)
