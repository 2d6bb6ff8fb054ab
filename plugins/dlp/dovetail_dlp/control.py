"""What a program tells the simulated machine: its sizes, latency, the order of work, faults,
reset."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dovetail.backend import registry
from dovetail_dlp.extend import forget_plans
from dovetail_dlp.machine import link, settings
from dovetail_dlp.machine.kernel import forget_programs
from dovetail_dlp.machine.settings import Machine

__all__ = ["FAULTS", "configure", "inject", "reset"]

FAULTS = ("out_of_memory", "ecc", "hang", "lost")
"""Faults that :func:`inject` knows."""


def configure(preset: str | None = None, **sizes: Any) -> Machine:
    """Change the machine: ``configure("diannao")``, ``configure(nram=256 << 10, cores=8)``.

    Kernels are compiled again. DOVETAIL_DLP_PRESET and DOVETAIL_DLP_<SIZE> do the same for a whole
    process.

    Args:
        preset: a name of ``dovetail_dlp.PRESETS``; None: the machine in use.
        sizes: fields of :class:`Machine`.

    Raises:
        ValueError: a size makes no sense.
        RuntimeError: ``memory`` or ``devices`` would change under tensors.

    Returns:
        The machine from here on.
    """
    before = settings.current()
    start = before if preset is None else settings.named(preset)
    unknown = [name for name in sizes if name not in Machine.__dataclass_fields__]
    if unknown:
        names = ", ".join(Machine.__dataclass_fields__)
        raise ValueError(f"configure: a size must be one of {names}, got {unknown[0]!r}")
    if preset is not None:  # memory is the host's to give, and devices are found once
        start = replace(start, memory=before.memory, devices=before.devices)
    machine = replace(start, **sizes)
    fixed = ("memory", "devices", "caching")
    if link.is_any_started() and any(getattr(machine, n) != getattr(before, n) for n in fixed):
        raise RuntimeError(
            "configure: memory, devices and caching must be set before the device is used, got "
            f"{sizes}; set DOVETAIL_DLP_MEMORY, DOVETAIL_DLP_DEVICES or DOVETAIL_DLP_CACHING"
        )
    settings.set_current(machine)
    forget_programs()
    return machine


def inject(
    device: Any = 0,
    *,
    latency: float = 0.0,
    reorder: int | None = None,
    fault: str | None = None,
    after: int = 1,
    timeout: float | None = None,
) -> None:
    """Make a device slow, unordered or faulty; called without arguments, it is good again.

    Args:
        device: ``dlp:n``, or n.
        latency: seconds before each kernel starts. Work then waits until somebody waits for it.
        reorder: a seed. Work of different queues is done in an order drawn at random, as late as
            possible, so that a missing synchronisation shows.
        fault: one of FAULTS.
        after: the launch that it strikes, counted from here.
        timeout: seconds until the watchdog stops a kernel that hangs.

    Raises:
        ValueError: there is no such fault.
    """
    if fault is not None and fault not in FAULTS:
        raise ValueError(f"inject: fault must be one of {', '.join(FAULTS)}, got {fault!r}")
    found = link.link(_index(device))
    found.out_of_memory_at = found.launches + after if fault == "out_of_memory" else None
    if timeout is not None:
        found.timeout = timeout
    to_device = (fault, after) if fault not in (None, "out_of_memory") else None
    found.ask("I", latency, reorder, to_device)


def reset(device: Any = 0) -> None:
    """Start a device again after a fault. Its memory is lost: load tensors from the host again."""
    registry.get("dlp").runtime.reset(_index(device))  # type: ignore[attr-defined]
    forget_plans()


def _index(device: Any) -> int:
    text = str(device).removeprefix("dlp").lstrip(":") or "0"
    if not text.isdecimal():
        raise ValueError(f"the device must be dlp:n, or n, got {device!r}")
    return int(text)
