"""What the tools of this package share: outermost calls, values on the host, arguments moved."""

from __future__ import annotations

import copy
import threading
from typing import Any

import numpy as np

from dovetail import observe, raw
from dovetail.autograd.grad_mode import no_grad
from dovetail.device import device as Device
from dovetail.ops.schema import OpDef
from dovetail.tensor import Tensor

__all__ = ["OutermostCalls", "described", "host_values", "moved", "tensors"]


class OutermostCalls(observe.Watcher):
    """Calls :meth:`begin` and :meth:`end` for each call of this thread that is in no other.

    Views are passed over: no kernel runs for them.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._thread = threading.get_ident()
        self._is_busy = False
        self._call: tuple[Any, ...] = ()

    def enter(self, op: OpDef, plan: Any, inputs: tuple[Any, ...], attributes: Any) -> None:
        """A call begins."""
        if self._is_busy or threading.get_ident() != self._thread:
            return
        self._depth += 1
        if self._depth == 1:
            self._call = (plan, inputs, attributes)
            if plan.served_by != "view":
                self._aside(self.begin, op, plan, inputs, attributes)

    def leave(self, op: OpDef, result: Any) -> None:
        """A call is done."""
        if self._is_busy or threading.get_ident() != self._thread:
            return
        self._depth -= 1
        if self._depth == 0 and result is not None:
            plan, inputs, attributes = self._call
            self._call = ()
            if plan.served_by != "view" and not any(x.is_meta for x in tensors(result)):
                self._aside(self.end, op, plan, inputs, attributes, result)

    def _aside(self, function: Any, *arguments: Any) -> None:
        """What the watcher does itself is not watched and not recorded."""
        self._is_busy = True
        try:
            with no_grad():
                function(*arguments)
        finally:
            self._is_busy = False

    def begin(self, op: OpDef, plan: Any, inputs: tuple[Any, ...], attributes: Any) -> None:
        """The outermost call has been entered."""

    def end(
        self, op: OpDef, plan: Any, inputs: tuple[Any, ...], attributes: Any, result: Any
    ) -> None:
        """The outermost call has given ``result``."""

    def __enter__(self) -> OutermostCalls:
        observe.active.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        observe.active[:] = [w for w in observe.active if w is not self]


def tensors(value: Any) -> list[Tensor]:
    """The tensors in a result or in inputs."""
    listed = value if isinstance(value, (tuple, list)) else (value,)
    return [x for x in listed if isinstance(x, Tensor)]


def host_values(x: Tensor) -> np.ndarray:
    """A copy of a tensor's values in host memory."""
    return np.array(raw.to_host(x))


def described(inputs: tuple[Any, ...]) -> tuple[str, ...]:
    """Each input in words: dtype, shape and, where it is not dense, strides."""
    words = []
    for x in inputs:
        if not isinstance(x, Tensor):
            words.append(repr(x))
            continue
        spec = x._spec
        strides = "" if spec.is_contiguous else f" strides {spec.strides}"
        words.append(f"{spec.dtype.name} {list(spec.shape)}{strides}")
    return tuple(words)


def moved(value: Any, device: Device, known: dict[int, Any]) -> Any:
    """A copy of a tensor, a module or a structure of them on ``device``, without history.

    Args:
        known: copies by the id of what they are of, so that the same tensor stays the same.
    """
    from dovetail.nn import Module

    if id(value) in known:
        return known[id(value)]
    made: Any = value
    if isinstance(value, Module):
        made = copy.deepcopy(value).to(device)
        pairs = zip(value.parameters(), made.parameters(), strict=True)
        known.update((id(old), new) for old, new in pairs)
    elif isinstance(value, Tensor):
        made = value.detach().to(device, copy=True).requires_grad_(value.requires_grad)
    elif isinstance(value, dict):
        made = {k: moved(v, device, known) for k, v in value.items()}
    elif isinstance(value, (list, tuple)):
        parts = [moved(v, device, known) for v in value]
        made = type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    known[id(value)] = made
    return made
