"""The machine's sizes and speeds: presets, the environment, and what a program configures."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from typing import Any

__all__ = ["PRESETS", "Machine", "current", "set_current"]


@dataclass(frozen=True)
class Machine:
    """One device.

    Attributes:
        name: for people.
        devices: how many the host has.
        clusters, cores: clusters of a device, and cores of a cluster; a core runs one task.
        nram, wram, shared: bytes of a core's neuron memory, of its weight memory, and of the
            memory that a cluster shares.
        memory: bytes of GDRAM.
        clock: cycles per second.
        alignment: bytes that the on-chip end of a DMA, and every vector operand, must start at a
            multiple of.
        bandwidth: bytes per cycle of GDRAM, for all cores together.
        dma: bytes per cycle of one core's DMA engine.
        dma_latency: cycles before the first byte comes.
        shared_bandwidth: bytes per cycle of a cluster's shared memory, for its cores together.
        shared_latency: cycles before the first byte comes from there, and of ``sync_cluster``.
        row: cycles that each further row of a strided DMA costs.
        vector: bytes per cycle of a core's vector unit.
        macs: multiply-accumulates per cycle of a core's matrix unit in int8; half as many in
            16 bits, an eighth in float32.
        launch: cycles to start a kernel.
        link: bytes per second between host and device.
        opaque: 1: GDRAM has no strided DMA, only dense pieces and single elements.
        caching: 0: memory goes back to the device as soon as a tensor is gone.
    """

    name: str = "dlp"
    devices: int = 2
    clusters: int = 4
    cores: int = 4
    nram: int = 512 << 10
    wram: int = 1 << 20
    shared: int = 2 << 20
    memory: int = 4 << 30
    clock: float = 1e9
    alignment: int = 64
    bandwidth: float = 100.0
    dma: float = 64.0
    dma_latency: float = 200.0
    shared_bandwidth: float = 256.0
    shared_latency: float = 50.0
    row: float = 2.0
    vector: float = 128.0
    macs: float = 4096.0
    launch: float = 2000.0
    link: float = 8e9
    opaque: int = 0
    caching: int = 1

    @property
    def tasks(self) -> int:
        """Cores of the device."""
        return self.clusters * self.cores


KIB, MIB = 1 << 10, 1 << 20

PRESETS: dict[str, Machine] = {
    # What a student's kernel meets: the sizes of the MLU270's cores (see there).
    "dlp": Machine(),
    # Chen et al., "DianNao", ASPLOS 2014: 0.98 GHz, 16 x 16 multipliers of 16 bits, NBin and NBout
    # of 2 KiB each, SB of 32 KiB. Bandwidth and latency are approximate.
    "diannao": Machine(
        "diannao", clusters=1, cores=1, nram=4 * KIB, wram=32 * KIB, clock=0.98e9, macs=512.0,
        vector=32.0, bandwidth=32.0, dma=32.0, launch=200.0, shared=0,
    ),
    # Chen et al., "DaDianNao", MICRO 2014: 16 tiles at 606 MHz, each with 2 MiB of eDRAM for
    # synapses and 16 x 16 multipliers of 16 bits; 4 MiB of eDRAM for neurons are shared by all
    # tiles.
    "dadiannao": Machine(
        "dadiannao", clusters=1, cores=16, nram=256 * KIB, wram=2 * MIB, shared=4 * MIB,
        clock=606e6, macs=512.0, vector=32.0, bandwidth=40.0, dma=32.0, launch=500.0,
    ),
    # Liu et al., "PuDianNao", ASPLOS 2015: 1 GHz, 16 functional units of 16 bits (1056 GOP/s),
    # HotBuf of 8, ColdBuf of 16 and OutputBuf of 8 KiB. How these map to NRAM and WRAM is our
    # reading.
    "pudiannao": Machine(
        "pudiannao", clusters=1, cores=1, nram=16 * KIB, wram=16 * KIB, macs=1024.0, vector=32.0,
        bandwidth=32.0, dma=32.0, launch=200.0, shared=0,
    ),
    # Du et al., "ShiDianNao", ISCA 2015: 1 GHz, 8 x 8 processing elements of 16 bits, NBin and
    # NBout of 64 KiB each, SB of 128 KiB. It sits beside a sensor; its bandwidth here is
    # approximate.
    "shidiannao": Machine(
        "shidiannao", clusters=1, cores=1, nram=128 * KIB, wram=128 * KIB, macs=128.0, vector=16.0,
        bandwidth=8.0, dma=8.0, launch=200.0, shared=0,
    ),
    # Liu et al., "Cambricon: An Instruction Set Architecture for Neural Networks", ISCA 2016: a
    # prototype at 1 GHz with 64 KiB of vector and 768 KiB of matrix scratchpad, 32 lanes of 16 bits
    # in the vector unit, 1024 multipliers in the matrix unit.
    "cambricon": Machine(
        "cambricon", clusters=1, cores=1, nram=64 * KIB, wram=768 * KIB, macs=2048.0, vector=64.0,
        bandwidth=32.0, dma=32.0, launch=200.0, shared=0,
    ),
    # Zhang et al., "Cambricon-X", MICRO 2016: 16 processing elements at 1 GHz, 544 GOP/s in 16
    # bits, 56 KiB in all. Sparsity, which it is about, is not simulated.
    "cambricon-x": Machine(
        "cambricon-x", clusters=1, cores=1, nram=16 * KIB, wram=32 * KIB, macs=544.0, vector=32.0,
        bandwidth=32.0, dma=32.0, launch=200.0, shared=0,
    ),
    # Cambricon MLU270, public data: 4 clusters of 4 cores at 1 GHz, 128 TOPS in int8, 102 GB/s;
    # NRAM, WRAM and shared memory as BANG's documentation has them. Latencies are approximate.
    "mlu270": Machine("mlu270", bandwidth=102.0),
    # Cambricon MLU370-X4, public data: 256 TOPS in int8, 307 GB/s. The number of cores and
    # their memories are approximate.
    "mlu370": Machine("mlu370", clusters=8, nram=768 * KIB, bandwidth=307.0, shared=4 * MIB),
}  # fmt: skip
"""Machines by name, after the generation that they resemble; ``memory`` and ``devices`` are the
host's."""

_INTEGERS = {
    "devices", "clusters", "cores", "nram", "wram", "shared", "memory", "alignment", "opaque",
    "caching",
}  # fmt: skip
_MAY_BE_NONE = {
    "devices", "shared", "dma_latency", "shared_latency", "row", "launch", "opaque", "caching",
}  # fmt: skip
_chosen: list[Machine] = []


def from_environment() -> Machine:
    """The preset that DOVETAIL_DLP_PRESET names, changed by DOVETAIL_DLP_<SIZE>.

    Raises:
        ValueError: a variable has no meaning.
    """
    preset = os.environ.get("DOVETAIL_DLP_PRESET") or "dlp"
    machine = named(preset)
    changes: dict[str, Any] = {}
    for field in fields(Machine):
        text = os.environ.get(f"DOVETAIL_DLP_{field.name.upper()}")
        if text and field.name != "name":
            changes[field.name] = _number(field.name, text)
    return check(replace(machine, **changes))


def named(preset: str) -> Machine:
    """A preset.

    Raises:
        ValueError: there is none of that name.
    """
    if preset not in PRESETS:
        raise ValueError(f"dlp: the preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    return PRESETS[preset]


def _number(name: str, text: str) -> float:
    try:
        return int(text, 0) if name in _INTEGERS else float(text)
    except ValueError:
        raise ValueError(f"DOVETAIL_DLP_{name.upper()}: must be a number, got {text!r}") from None


def check(machine: Machine) -> Machine:
    """``machine``, if it makes sense.

    Raises:
        ValueError: not here, a size is not positive, or the alignment is no power of two.
    """
    if os.name != "posix":
        raise ValueError("dlp: the device's process inherits file descriptors: Linux or macOS only")
    for field in fields(Machine):
        value = getattr(machine, field.name)
        least = 0 if field.name in _MAY_BE_NONE else 1
        if field.name != "name" and not value >= least:
            raise ValueError(f"dlp: {field.name} must be at least {least}, got {value}")
    if machine.alignment & (machine.alignment - 1):
        raise ValueError(f"dlp: alignment must be a power of two, got {machine.alignment}")
    return machine


def current() -> Machine:
    """The machine in use."""
    if not _chosen:
        _chosen.append(from_environment())
    return _chosen[0]


def set_current(machine: Machine | None) -> None:
    """Use another machine; None: what the environment says."""
    _chosen[:] = [] if machine is None else [check(machine)]
