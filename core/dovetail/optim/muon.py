"""``Muon``: momentum made orthogonal by Newton and Schulz's iteration.

Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024); the other
scaling of the rate is from "Muon is scalable for LLM training", arXiv:2502.16982.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.optim.optimizer import Optimizer, check_lr
from dovetail.optim.stepwise import rate_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dovetail.tensor import Tensor

__all__ = ["Muon"]


class Muon(Optimizer):
    """Steps along the orthogonal matrix nearest to the momentum, for matrices alone.

    Args:
        params: 2-D parameters, (name, parameter) pairs, or groups (dicts).
        lr: the learning rate, a number or a one-element tensor.
        weight_decay: the weights shrink by lr · weight_decay at each step.
        momentum: how much of the running mean of the gradients is kept.
        nesterov: look ahead along the momentum.
        ns_coefficients: factors of x, x³ and x⁵ in the iteration.
        eps: the smallest norm that is divided by.
        ns_steps: how many iterations, under 100.
        adjust_lr_fn: ``original`` (as None): times sqrt(max(1, rows / columns));
            ``match_rms_adamw``: times 0.2 · sqrt(max(rows, columns)).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not momentum >= 0.0:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(
                        "Muon only supports 2D parameters whereas we found a parameter with "
                        f"size: {p.size()}"
                    )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns what ``closure`` returned.

        Raises:
            RuntimeError: a complex parameter.
            ValueError: 100 iterations or more, or not three coefficients.
        """
        loss = self._loss(closure)
        for group in self.param_groups:
            lr, momentum = rate_of(group), group["momentum"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.is_complex():
                    raise RuntimeError("Muon does not support complex parameters")
                state = self.state[p]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = dovetail.zeros_like(p.grad, requires_grad=False)
                buffer = state["momentum_buffer"]
                buffer.lerp_(p.grad, 1 - momentum)
                update = p.grad.lerp(buffer, momentum) if group["nesterov"] else buffer
                update = _orthogonal(update, group)
                p.mul_(1 - lr * group["weight_decay"])
                p.add_(update, alpha=-lr * _scale(group["adjust_lr_fn"], *p.shape))
        return loss


def _orthogonal(matrix: Any, group: dict[str, Any]) -> Any:
    """(M, N) with singular values near 1 and the singular vectors of ``matrix``."""
    if group["ns_steps"] >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(group["ns_coefficients"]) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = group["ns_coefficients"]
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.bfloat16()
    if is_tall:
        x = x.T
    x = _rounded(x / x.norm().clamp(min=group["eps"]))
    for _ in range(group["ns_steps"]):
        gram = _rounded(x @ x.T)
        x = _rounded(x * a + _rounded(gram * b + gram @ gram * c) @ x)
    return x.T if is_tall else x


def _rounded(x: Any) -> Any:
    """float32 numbers rounded to bfloat16: products are summed in float32 and rounded once."""
    return x.bfloat16().float()


def _scale(function: str | None, rows: int, columns: int) -> float:
    if function == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))
