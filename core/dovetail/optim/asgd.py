"""``ASGD``: averaged stochastic gradient descent (Polyak and Juditsky, SIAM J. Control 1992)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.optim.optimizer import check_lr, check_options
from dovetail.optim.scalars import Mirror, scalar_of
from dovetail.optim.stepwise import Stepwise, assign, like, rate_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovetail.tensor import Tensor

__all__ = ["ASGD"]


class ASGD(Stepwise):
    """Descent whose path is averaged from step ``t0`` on; the average is the state ``ax``.

    Args:
        params: parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate, a number or a one-element tensor.
        lambd: how fast the weights shrink and the rate falls.
        alpha: power of the rate's fall.
        t0: the step from which on the path is averaged.
        weight_decay: the L2 penalty.
        foreach: accepted for PyTorch's sake; one call per group is made anyway.
        maximize: climb instead of descend.
        differentiable: record the step, so that gradients flow through it.
        capturable: accepted for PyTorch's sake; counts are on the parameter's device anyway.
    """

    _kernel = "asgd_step"
    _kept = ("ax",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_options(weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": scalar_of(0.0, p.device),
            "eta": scalar_of(rate_of(group), p.device),
            "mu": scalar_of(1.0, p.device),
            "ax": like(p),
        }

    def _numbers(self, group: dict[str, Any], states: list[dict[str, Any]]) -> dict[str, Any]:
        lr, lambd, alpha = rate_of(group), group["lambd"], group["alpha"]
        # Counts are on the device, and reading one would wait for it.
        mirror: Mirror = self.__dict__.setdefault("_mirror", Mirror())
        steps = [mirror.read(state["step"], counted=1) for state in states]
        rates, weights = ([mirror.read(s[name]) for s in states] for name in ("eta", "mu"))
        # For the next step: what this one uses has been read.
        etas = [lr / (1 + lambd * lr * step) ** alpha for step in steps]
        mus = [1 / max(1, step - group["t0"]) for step in steps]
        for name, old, new in (("eta", rates, etas), ("mu", weights, mus)):
            changed = [i for i, value in enumerate(new) if value != old[i]]
            scalars = [states[i][name] for i in changed]
            assign(scalars, [new[i] for i in changed])
            for scalar, i in zip(scalars, changed, strict=True):
                mirror.note(scalar, new[i])
        return {
            "rates": rates,
            "weights": weights,
            "lambd": lambd,
            "weight_decay": group["weight_decay"],
            "maximize": group["maximize"],
        }

    def _update(
        self, param: Tensor, grad: Tensor, average: Any, *, keep: Any, rates: float,
        weights: float, lambd: float,
    ) -> None:  # fmt: skip
        param.mul_(1 - lambd * rates)
        param.add_(grad, alpha=-rates)
        if weights == 1:
            average.copy_(param)
        else:
            average.add_(param.sub(average).mul_(weights))
