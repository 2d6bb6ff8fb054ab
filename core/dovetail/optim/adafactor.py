"""``Adafactor`` (Shazeer and Stern, ICML 2018), with PyTorch's use of ``lr`` and of epsilon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.optim.optimizer import Optimizer, check_lr
from dovetail.optim.scalars import scalar_of
from dovetail.optim.stepwise import rate_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dovetail.tensor import Tensor

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Steps scaled by mean squares of which matrices keep one number per row and one per column.

    Args:
        params: real parameters, (name, parameter) pairs, or groups (dicts).
        lr: the largest relative step, and the factor of ``weight_decay``.
        beta2_decay: the mean squares of step t take in t ** beta2_decay of what is new.
        eps: (smallest mean square's root; None: the dtype's own eps, smallest size that a
            parameter is taken to have).
        d: updates with a larger root mean square than that are scaled down.
        weight_decay: the weights shrink by lr · weight_decay at each step.
        foreach: accepted for PyTorch's sake; it changes nothing here.
        maximize: climb instead of descend.
    """

    _counts_steps = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0.0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0.0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns what ``closure`` returned.

        Raises:
            RuntimeError: a complex parameter.
        """
        loss = self._loss(closure)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step_one(p, p.grad, group)
        return loss

    def _start(self, grad: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = {"step": scalar_of(0.0, "cpu")}
        if grad.dim() > 1:
            *leading, rows, columns = grad.shape
            state["row_var"] = grad.new_zeros((*leading, rows, 1))
            state["col_var"] = grad.new_zeros((*leading, 1, columns))
        else:
            state["variance"] = dovetail.zeros_like(grad)
        return state

    def _step_one(self, param: Any, grad: Any, group: dict[str, Any]) -> None:
        if param.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters")
        state = self.state[param]
        if not state:
            state.update(self._start(grad))
        state["step"].add_(1)
        step, lr = state["step"].item(), rate_of(group)
        smallest, least_size = group["eps"]
        if smallest is None:
            smallest = dovetail.finfo(param.dtype).eps
        if group["maximize"]:
            grad = -grad
        taken_in = step ** group["beta2_decay"]
        rate = max(least_size, _mean_size(param)) * min(lr, 1 / step**0.5)
        if group["weight_decay"] != 0:
            param.mul_(1 - lr * group["weight_decay"])
        if grad.dim() > 1:
            squares = grad * grad
            rows, columns = state["row_var"], state["col_var"]
            rows.lerp_(squares.mean(-1, keepdim=True), taken_in)
            columns.lerp_(squares.mean(-2, keepdim=True), taken_in)
            variance = rows @ columns / rows.mean(-2, keepdim=True).clamp(min=smallest)
        else:
            variance = state["variance"].lerp_(grad * grad, taken_in)
        update = variance.clamp(min=smallest * smallest).rsqrt() * grad
        scale = max(1.0, _mean_size(update) / group["d"])
        param.add_(update, alpha=-rate / scale)


def _mean_size(x: Any) -> float:
    """The root mean square of all elements."""
    return float(x.norm(2).item() / x.numel() ** 0.5)
