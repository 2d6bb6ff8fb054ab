"""A ghost of a device: the same table and dtypes, no memory and no kernel run.

Operators are run on a ghost to see how the device would serve them. A ghost's device has the type
``meta``, so whatever would read data takes the way of tensors without data.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from dovetail import generator
from dovetail.backend import state as state_module
from dovetail.backend.api import Kernel, KernelTable
from dovetail.backend.state import DeviceState, state_of
from dovetail.device import _resolved
from dovetail.device import device as Device
from dovetail.errors import Unsupported
from dovetail.fallback import host_device
from dovetail.ops.schema import REGISTRY, CallFacts
from dovetail.spec import Spec, forget_specs

__all__ = ["HOST_REFUSES", "Ghost", "ghost_of", "would_go_to_the_host"]

HOST_REFUSES = ("view", "storage", "random")
"""Kinds of operator that are never run on the host in a device's place."""


class Ghost(Device):
    """The name of a ghost.

    Attributes:
        stands_for: the device whose table it has. A condition of a kernel (``when``) that depends
            on more than the call, such as how many units there are, asks this one.
    """

    __slots__ = ("stands_for",)

    stands_for: Device


def would_go_to_the_host(facts: CallFacts) -> bool:
    """Whether the host has a kernel of this call, for a device that has none."""
    first = next((f.dtype for f in facts.inputs if isinstance(f, Spec)), None)
    return any(
        (k.dtypes is None or first is None or first in k.dtypes)
        and (k.when is None or k.when(facts))
        for k in state_of(host_device()).table.entries(facts.op.name)
    )


def _nothing(*arrays: Any, **attributes: Any) -> None:
    """Every kernel of a ghost."""


def _needs_data(*arrays: Any, **attributes: Any) -> None:
    raise NotImplementedError(
        "the shape of this result depends on data, and a meta tensor has none"
    )


class _GhostTable(KernelTable):
    """The entries of a table with kernels that do nothing.

    Args:
        table: the device's own.
        on_host: called for a call that the host would run; None: the device is the host.
    """

    def __init__(self, table: KernelTable, on_host: Callable[[], None] | None) -> None:
        super().__init__()
        self._table = table
        self._on_host = on_host
        self._made: dict[str, tuple[Kernel, ...]] = {}

    def entries(self, name: str) -> tuple[Kernel, ...]:
        """The device's entries, and behind them what runs the call on the host."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = tuple(self._entries_of(name))
        return made

    def _entries_of(self, name: str) -> Iterator[Kernel]:
        op = REGISTRY.get(name)
        function = _needs_data if op is not None and op.needs_data else _nothing
        for entry in self._table.entries(name):
            yield dataclasses.replace(entry, function=function, specialize=False)
        if op is None or op.decompose is not None or op.kind in HOST_REFUSES:
            return
        on_host = self._on_host

        def last(*arrays: Any, **attributes: Any) -> None:
            if on_host is None:
                raise Unsupported(f"{name}: no kernel of it")
            on_host()

        yield Kernel(last, when=None if on_host is None else would_go_to_the_host, scalars=True)


def _ghost_state(target: DeviceState, ghost: Device, on_host: Callable[[], None]) -> DeviceState:
    made = copy.copy(state_of(Device("meta")))
    made.device, made.index = ghost, target.index
    made.info, made.dtypes = target.info, target.dtypes
    made.table = _GhostTable(target.table, None if target.host_arrays else on_host)
    return made


@contextlib.contextmanager
def ghost_of(device: Device, on_host: Callable[[], None]) -> Iterator[Device]:
    """A device like ``device`` (a concrete one) on which nothing is allocated and nothing runs.

    Plans and specs of the ghost are forgotten at the end.

    Args:
        on_host: called each time that a call would go to the host.
    """
    ghost: Device = object.__new__(Ghost)
    for field, value in (
        ("type", "meta"),
        ("index", device.index),
        ("_text", f"ghost of {device}"),
        ("stands_for", device),
    ):
        object.__setattr__(ghost, field, value)
    target = state_of(device)
    state_module._states[ghost] = _ghost_state(target, ghost, on_host)
    _resolved[ghost] = ghost
    try:
        yield ghost
    finally:
        state_module._states.pop(ghost, None)
        _resolved.pop(ghost, None)
        generator._defaults.generators.pop(ghost, None)
        _forget(ghost)


def _forget(ghost: Device) -> None:
    for op in REGISTRY.values():
        for plans in (op.plans, op.writes):
            for key in [k for k in list(plans) if _mentions(k, ghost)]:
                plans.pop(key, None)
    forget_specs(lambda device: device is ghost)


def _mentions(key: Any, ghost: Device) -> bool:
    if isinstance(key, tuple):
        return any(_mentions(part, ghost) for part in key)
    return key is ghost or (isinstance(key, Spec) and key.device is ghost)
