"""``AdamW``: Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.optim.adam import Adam

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovetail.tensor import Tensor

__all__ = ["AdamW"]


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights themselves rather than entering the gradients.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate, a number or a one-element tensor.
        betas: how much of the two running means is kept at each step.
        eps: added to the divisor.
        weight_decay: the weights shrink by lr · weight_decay at each step.
        amsgrad: divide by the largest mean square seen so far.
        maximize: climb instead of descend.
        foreach: accepted for PyTorch's sake; one call per group is made anyway.
        capturable: keep ``step`` on the parameter's device.
        differentiable: record the step, so that gradients flow through it.
        fused: accepted for PyTorch's sake; a backend's fused kernel is used where there is one.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
