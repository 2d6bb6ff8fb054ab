"""``LBFGS``: limited-memory BFGS (Nocedal and Wright, Numerical Optimization, algorithms 7.4, 7.5).

Defaults, conditions of stopping and the layout of the state are those of PyTorch's
``torch.optim.LBFGS``; the line search is ``dovetail.optim.line_search``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.optim.line_search import strong_wolfe
from dovetail.optim.optimizer import Optimizer, check_lr
from dovetail.optim.stepwise import rate_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dovetail.tensor import Tensor

__all__ = ["LBFGS"]

_REMEMBERED = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last changes of the gradient; ``step`` needs a closure.

    There can be one group of parameters, all on one device.

    Args:
        params: parameters or (name, parameter) pairs.
        lr: how far to go along each direction; with a line search, how far to try first.
        max_iter: iterations per ``step``.
        max_eval: evaluations of the closure per ``step``; None: 1.25 · max_iter.
        tolerance_grad: stop where no element of the gradient is larger.
        tolerance_change: stop where the loss or the parameters change less.
        history_size: how many changes are remembered.
        line_search_fn: ``strong_wolfe`` or None.

    >>> import dovetail as dt
    >>> w = dt.tensor([3.0, -1.0], requires_grad=True)
    >>> optimizer = dt.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure); w
    tensor([1., 1.], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self) -> list[Tensor]:
        params: list[Tensor] = self.param_groups[0]["params"]
        return params

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Iterate until a condition of stopping holds; returns the loss before the first step.

        Args:
            closure: clears the gradients, computes the loss and its gradients, and returns it.

        Raises:
            RuntimeError: another line search than ``strong_wolfe``.
        """
        group, evaluate = self.param_groups[0], dovetail.enable_grad()(closure)
        # The state is the first parameter's, so that loading casts and moves it.
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = evaluate()
        state["func_evals"] += 1
        gradient = self._flat_gradient()
        if gradient.abs().max() <= group["tolerance_grad"]:
            return first_loss
        memory = {name: state.get(name) for name in _REMEMBERED}
        self._iterate(evaluate, float(first_loss), gradient, state, memory)
        state.update(memory)
        return first_loss

    def _iterate(
        self, evaluate: Any, loss: float, gradient: Any, state: dict[str, Any], memory: Any
    ) -> None:
        group = self.param_groups[0]
        lr, tolerance = rate_of(group), group["tolerance_change"]
        evaluations = 1
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                memory.update(d=gradient.neg(), old_dirs=[], old_stps=[], ro=[], H_diag=1)
                length: Any = min(1.0, 1.0 / gradient.abs().sum()) * lr
            else:
                _remember(gradient, memory, group["history_size"])
                memory["d"] = _direction(gradient, state, memory, group["history_size"])
                length = lr
            direction = memory["d"]
            if memory["prev_flat_grad"] is None:
                memory["prev_flat_grad"] = gradient.clone()
            else:
                memory["prev_flat_grad"].copy_(gradient)
            memory["prev_loss"], memory["t"] = loss, length
            slope = gradient.dot(direction)
            if slope > -tolerance:
                return
            used = 0
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                along = self._along(evaluate, direction)
                start = (0, loss, gradient, slope)
                found, used = strong_wolfe(
                    along, start, length, direction.abs().max(), group["max_eval"] - evaluations
                )
                length, loss, gradient = found
                memory["t"] = length
                self._move(length, direction)
            else:
                self._move(length, direction)
                if iteration != group["max_iter"]:
                    # What the last step leads to, the next call's first evaluation tells.
                    loss, used = float(evaluate()), 1
                    gradient = self._flat_gradient()
            evaluations += used
            state["func_evals"] += used
            if (
                evaluations >= group["max_eval"]
                or gradient.abs().max() <= group["tolerance_grad"]
                or direction.mul(length).abs().max() <= tolerance
                or abs(loss - memory["prev_loss"]) < tolerance
            ):
                return

    def _along(self, evaluate: Any, direction: Any) -> Callable[[Any], tuple[float, Any, Any]]:
        """Loss, gradient and slope at a distance along a direction, from where we are."""
        start = [p.clone() for p in self._params]

        def at(length: Any) -> tuple[float, Any, Any]:
            self._move(length, direction)
            loss = float(evaluate())
            gradient = self._flat_gradient()
            for p, value in zip(self._params, start, strict=True):
                p.copy_(value)
            return loss, gradient, gradient.dot(direction)

        return at

    def _flat_gradient(self) -> Any:
        """All gradients as one real vector."""
        parts: list[Any] = []
        for p in self._params:
            part: Any = dovetail.zeros_like(p) if p.grad is None else p.grad
            parts.append(_real(part.detach()).reshape(-1))
        return dovetail.cat(parts)

    def _move(self, length: Any, direction: Any) -> None:
        """Add ``length`` · ``direction`` to the parameters."""
        length, offset = float(length), 0
        for p in self._params:
            part = _real(p)
            count = part.numel()
            part.add_(direction[offset : offset + count].view_as(part), alpha=length)
            offset += count


def _real(x: Any) -> Any:
    return dovetail.view_as_real(x) if x.is_complex() else x


def _remember(gradient: Any, memory: Any, most: int) -> None:
    """Put the last change of the gradient beside the last step, if it curves upward."""
    change = gradient.sub(memory["prev_flat_grad"])
    step = memory["d"].mul(memory["t"])
    curvature = change.dot(step)
    if curvature > 1e-10:
        for name, value in (("old_dirs", change), ("old_stps", step), ("ro", 1.0 / curvature)):
            if len(memory[name]) == most:
                memory[name].pop(0)
            memory[name].append(value)
        memory["H_diag"] = curvature / change.dot(change)


def _direction(gradient: Any, state: dict[str, Any], memory: Any, most: int) -> Any:
    """Minus the inverse Hessian times the gradient, by the loop of two recursions."""
    factors = state.setdefault("al", [None] * most)
    past = list(zip(memory["old_dirs"], memory["old_stps"], memory["ro"], strict=True))
    q = gradient.neg()
    for i, (change, step, weight) in reversed(list(enumerate(past))):
        factors[i] = step.dot(q) * weight
        q.addcmul_(change, factors[i], value=-1)
    q = q * memory["H_diag"]
    for i, (change, step, weight) in enumerate(past):
        back = dovetail.addcmul(factors[i], change.dot(q), weight, value=-1)
        q.addcmul_(step, back)
    return q
