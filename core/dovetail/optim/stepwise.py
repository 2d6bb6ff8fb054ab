"""``Stepwise``: what optimizers share that keep tensors like each parameter and count its steps.

A subclass names what it keeps, says which numbers one step takes, and gives the update of one
parameter in tensor operations; the device's kernel of that name serves all parameters at once where
there is one (``dovetail.ops.layers.optimizer_steps``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.autograd.writes import note_writes
from dovetail.backend.state import state_of
from dovetail.ops.layers.optimizer_steps import fused_step, has_step
from dovetail.optim.optimizer import Optimizer
from dovetail.optim.scalars import scalar_of
from dovetail.tensor import Tensor, storage_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Stepwise",
    "advance",
    "assign",
    "like",
    "number_of",
    "on_device",
    "rate_of",
    "steps_of",
]


class Stepwise(Optimizer):
    """Base of the optimizers whose update of an element depends on that element's past alone.

    Complex parameters count as twice as many real ones.
    """

    _counts_steps = True
    #: Name of the kernel that does a step of many parameters.
    _kernel: str
    #: Names of the state that is shaped like the parameter, in the kernel's order.
    _kept: tuple[str, ...]

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state of a parameter before its first step, in PyTorch's order."""
        return {"step": self._count(p, group), **{name: like(p) for name in self._names(group)}}

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Those of ``_kept`` that this group needs."""
        return self._kept

    def _count(self, p: Tensor, group: dict[str, Any], value: float = 0.0) -> Tensor:
        """A number of the state, on the host unless steps run on the device alone."""
        on_device = group.get("capturable") or group.get("fused")
        return scalar_of(value, p.device if on_device else "cpu", fused=bool(group.get("fused")))

    def _numbers(self, group: dict[str, Any], states: list[dict[str, Any]]) -> dict[str, Any]:
        """What a step takes besides tensors; a list has one entry per parameter.

        ``weight_decay`` (the L2 penalty) and ``maximize`` are applied to the gradient beforehand.
        """
        raise NotImplementedError

    def _update(self, param: Tensor, grad: Tensor, *kept: Any, **numbers: Any) -> None:
        """The step of one real parameter, in place; state that is not kept comes as None."""
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns what ``closure`` returned."""
        loss = self._loss(closure)
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._step_group(group, params)
        return loss

    def _step_group(self, group: dict[str, Any], params: list[Tensor]) -> None:
        states = []
        for p in params:
            state = self.state[p]
            if not state:
                state.update(self._start(p, group))
            states.append(state)
        advance(states)
        names = self._names(group)
        tables = [[s[name] for s in states] if name in names else [] for name in self._kept]
        numbers = self._numbers(group, states)
        lists = (params, [p.grad for p in params], *tables)
        if fused_step(self._kernel, lists, numbers):  # type: ignore[arg-type]
            return
        penalty = numbers.pop("weight_decay", 0)
        maximize = numbers.pop("maximize")
        keep = Tensor.clone if group["differentiable"] else _itself
        for i, p in enumerate(params):
            grad: Any = p.grad
            if maximize:
                grad = grad.neg()
            if penalty:
                grad = grad.add(p, alpha=penalty)
            tensors = [p, grad, *[t[i] if t else None for t in tables]]
            if p.is_complex():
                tensors = [None if t is None else dovetail.view_as_real(t) for t in tensors]
            own = {k: v[i] if isinstance(v, list) else v for k, v in numbers.items()}
            self._update(*tensors, keep=keep, **own)


def _itself(x: Tensor) -> Tensor:
    return x


def like(p: Tensor, value: complex = 0) -> Tensor:
    """A tensor of a parameter's shape, order, dtype and device, filled with one value."""
    return dovetail.full_like(p, value, requires_grad=False)


def rate_of(group: dict[str, Any]) -> float:
    """The group's learning rate as a number."""
    lr = group["lr"]
    return lr if isinstance(lr, (int, float)) else float(lr)


def on_device(counts: Sequence[Any]) -> bool:
    """Whether numbers of steps are tensors that only a wait for their device would read."""
    return any(
        isinstance(count, Tensor) and not state_of(count.device).host_arrays for count in counts
    )


def advance(states: list[dict[str, Any]]) -> list[Any]:
    """Count one step more in every state. The numbers of steps, or their tensors where reading them
    would wait for a device."""
    counts = [state["step"] for state in states]
    devices = {count._spec.device for count in counts}
    if not all(state_of(device).host_arrays for device in devices):
        _count(counts)
        return counts if on_device(counts) else [count.item() for count in counts]
    # A call for each would cost more than a step.
    arrays = [count._materialize() for count in counts]
    for array in arrays:
        array.fill(array.item() + 1)
    note_writes(map(storage_of, counts), "add_")
    return [array.item() for array in arrays]


def _count(counts: list[Tensor]) -> None:
    """Add 1 to each: together where their device can do that."""
    if not _written(counts, 1.0, [1.0] * len(counts)):
        for count in counts:
            count.add_(1)


def assign(scalars: list[Tensor], values: list[float]) -> None:
    """Write a finite number to each 0-d tensor, which holds one: together where their device can
    do that."""
    if scalars and not _written(scalars, 0.0, values):
        for scalar, value in zip(scalars, values, strict=True):
            scalar.fill_(value)


def _written(scalars: list[Tensor], keep: float, values: list[float]) -> bool:
    """Whether one kernel could write ``keep`` of what they hold plus a number each."""
    if not has_step("running_step", scalars[0]):
        return False
    ones = [dovetail.ones_like(scalars[0])] * len(scalars)
    return fused_step("running_step", [scalars, ones], {"keep": keep, "weights": values})


def steps_of(states: list[dict[str, Any]]) -> list[float]:
    """How many steps each parameter has made, this one included."""
    return [number_of(state["step"]) for state in states]


def number_of(scalar: Any) -> float:
    """A 0-d tensor's number; on the host without a call of an operator."""
    is_here = state_of(scalar._spec.device).host_arrays
    return (scalar._materialize() if is_here else scalar).item()  # type: ignore[no-any-return]
