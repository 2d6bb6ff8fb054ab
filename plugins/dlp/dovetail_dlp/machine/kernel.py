"""``@dlp.kernel``: compiled once per combination of shapes, dtypes and constants, launched
often."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from dovetail_dlp.machine import link, settings
from dovetail_dlp.machine.compiler import Compiled, compile_trace
from dovetail_dlp.machine.region import DEVICE_SHIFT, Region
from dovetail_dlp.machine.tile import Argument, Scalar, Tile
from dovetail_dlp.machine.trace import Trace, active

__all__ = ["Kernel", "kernel"]

LIMIT = 2048
"""Programs that a kernel has at a time."""

_kernels: weakref.WeakSet[Kernel] = weakref.WeakSet()


class Kernel:
    """A function in the kernel language, which calls launch.

    Arguments by position are regions of device memory, numbers that may differ from launch to
    launch, None, or lists of these; keywords are constants that the program is compiled for.

    Args:
        function: the body.
        tasks: how many tasks a launch has; None: one per core.
    """

    def __init__(self, function: Callable[..., None], tasks: int | None = None) -> None:
        functools.update_wrapper(self, function)
        self.function, self.tasks = function, tasks
        self.name = function.__name__
        self.programs: dict[Any, Compiled] = {}
        _kernels.add(self)

    def __call__(self, *arguments: Any, **constants: Any) -> None:
        """Queue a launch on the current stream of the device that the regions are on.

        Raises:
            KernelError: the kernel uses the machine wrongly.
        """
        values: list[Any] = []
        key: Any = tuple([_key(x, values) for x in arguments])
        if constants:
            key = (key, tuple(constants.items()))
        program = self.programs.get(key)
        if program is None:
            if len(self.programs) >= LIMIT:
                self.forget()
            program = self.programs[key] = self.compiled(arguments, constants)
        link.link((_first(arguments) >> DEVICE_SHIFT) - 1).launch(program, values)

    def forget(self) -> None:
        """Give up all programs; they are compiled again when they are needed."""
        numbers = [program.number for program in self.programs.values()]
        self.programs.clear()
        link.forget(numbers)

    def compiled(self, arguments: tuple[Any, ...], constants: dict[str, Any]) -> Compiled:
        """The program for arguments like these."""
        machine = settings.current()
        count = self.tasks or machine.tasks
        trace = Trace(machine, self.name, count)
        numbers = iter(range(1 << 30))
        tiles = [_tile(x, numbers) for x in arguments]
        active().append(trace)
        try:
            for task in range(count):
                trace.begin_task(task)
                self.function(*tiles, **constants)
                trace.end_task()
            trace.end()
        finally:
            active().pop()
        return compile_trace(machine, trace)


def _key(x: Any, values: list[Any]) -> Any:
    """What of an argument the program depends on; its value goes to ``values``."""
    if x.__class__ is Region:
        values.append(x.address)
        return x.key
    if x is None:
        return None
    if isinstance(x, (list, tuple)):
        return tuple([_key(one, values) for one in x])
    values.append(x)
    return x.__class__


def _first(arguments: Any) -> int:
    """The address of the first region."""
    for x in arguments:
        if x.__class__ is Region:
            return int(x.address)
        if isinstance(x, (list, tuple)) and x:
            return _first(x)
    raise TypeError("a kernel must be given at least one tensor of a device")


def _tile(x: Any, numbers: Any) -> Any:
    if isinstance(x, Region):
        return Tile(Argument(next(numbers)), 0, x.shape, x.strides, x.dtype)
    if isinstance(x, (list, tuple)):
        return [_tile(one, numbers) for one in x]
    return None if x is None else Scalar(next(numbers))


def kernel(function: Any = None, *, tasks: int | None = None) -> Any:
    """Decorator: a function in the kernel language becomes a :class:`Kernel`.

    Args:
        tasks: how many tasks a launch has; None: one per core of the device.
    """
    if function is None:
        return lambda found: Kernel(found, tasks)
    return Kernel(function, tasks)


def forget_programs() -> None:
    """Compile again from here on; the machine has changed."""
    for one in _kernels:
        one.forget()
