"""Which packages have an OpenCL driver for which GPU, and why a GPU is no OpenCL device.

Names of packages: packages.debian.org and packages.ubuntu.com (lists of files),
packages.fedoraproject.org, archlinux.org/packages. RUSTICL_ENABLE: docs.mesa3d.org/envvars. Groups:
"Configuring permissions for GPU access" of ROCm's installation guide, and Intel's guide, which asks
``stat`` for the group of the nodes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dovetail_opencl import hardware

__all__ = ["LASTS", "POCL", "RUSTICL", "WAYS", "Way", "install", "of_gpus", "of_platform"]

LASTS = "export lasts for this shell; the same line in ~/.bashrc keeps it"

RUSTICL = "rusticl"
"""Mesa's platform, by its name."""

ENABLE = "RUSTICL_ENABLE"

INSTALL = {
    "debian": "apt-get install",
    "ubuntu": "apt-get install",
    "fedora": "dnf install",
    "arch": "pacman -S",
}


@dataclass(frozen=True)
class Way:
    """A driver for a vendor's GPUs.

    Attributes:
        name: what it is, and what it asks for.
        packages: its package, by distribution.
        platforms: what it may call itself.
        rusticl: what Mesa calls its driver of that GPU, where this is Mesa.
    """

    name: str
    packages: Mapping[str, str]
    platforms: tuple[str, ...]
    rusticl: str = ""


POCL = {"debian": "pocl-opencl-icd", "fedora": "pocl", "arch": "pocl"}
"""The driver for the host's cores."""

MESA = {"debian": "mesa-opencl-icd", "fedora": "mesa-libOpenCL", "arch": "opencl-mesa"}
ROCM = {"debian": "rocm-opencl-icd", "fedora": "rocm-opencl", "arch": "rocm-opencl-runtime"}
NEO = {
    "debian": "intel-opencl-icd",
    "fedora": "intel-compute-runtime",
    "arch": "intel-compute-runtime",
}
NVIDIA = {
    "debian": "nvidia-opencl-icd",
    "ubuntu": "libnvidia-compute-$(cut -d. -f1 /sys/module/nvidia/version)",
    "arch": "opencl-nvidia",
}

WAYS = {
    "AMD": (
        Way("Mesa's rusticl (Mesa 23.1 or later)", MESA, (RUSTICL,), "radeonsi"),
        Way(
            "AMD's ROCm, for the cards that it supports (in Debian since 13)",
            ROCM,
            ("AMD Accelerated Parallel Processing",),
        ),
    ),
    "Intel": (
        Way(
            "Intel's compute runtime",
            NEO,
            ("Intel(R) OpenCL Graphics", "Intel(R) OpenCL HD Graphics"),
        ),
        Way("Mesa's rusticl", MESA, (RUSTICL,), "iris"),
    ),
    "NVIDIA": (
        Way("the OpenCL part of NVIDIA's driver, of its version", NVIDIA, ("NVIDIA CUDA",)),
    ),
}
"""By vendor, the drivers to choose from; the first is the one to begin with."""


def install(packages: Mapping[str, str]) -> str:
    """The command that installs a package here; nothing where this distribution is not known."""
    known = next((d for d in hardware.distributions() if d in packages), None)
    root = "" if hardware.is_root() else "sudo "
    return f"{root}{INSTALL[known]} {packages[known]}" if known else ""


def of_gpus(served: Collection[str], silent: Collection[str]) -> Iterator[tuple[str, str]]:
    """GPUs of this machine that are no OpenCL device: ``(what is wrong, command that mends it)``.

    Args:
        served: vendors of GPUs that are one.
        silent: names of platforms that are installed and have no device.
    """
    lacking = {v: place for v, place in hardware.gpus().items() if v not in served}
    if not lacking:
        return
    yield from _nodes(lacking)
    for vendor, place in lacking.items():
        said = f"the {vendor} GPU at {place} is no OpenCL device; what makes it one is "
        for way in WAYS[vendor]:
            # Of a driver that is there, `of_platform` says what it needs.
            if set(silent).isdisjoint(way.platforms):
                yield said + _named(way), _command(way)
                said = "or "


def of_platform(name: str, trouble: str, served: Collection[str]) -> tuple[str, str]:
    """Why a platform has no device that can be used, and the command that mends it."""
    said = f"{name}: {trouble}"
    if name != RUSTICL:
        return said, ""
    enabled = os.environ.get(ENABLE, "")
    if enabled:
        return f"{said}, though {ENABLE} is {enabled}: it can open no such GPU", ""
    seen = [v for v in hardware.gpus() if v not in served]
    named = [way.rusticl for v in seen for way in WAYS[v] if way.rusticl]
    if named:
        return f"{said}, for {ENABLE} names no driver ({LASTS})", _enable(",".join(named))
    return f"{said}, for {ENABLE} names no driver (radeonsi: AMD's GPUs, iris: Intel's)", ""


def _nodes(lacking: Collection[str]) -> Iterator[tuple[str, str]]:
    """What keeps programs from a GPU before any driver of OpenCL does."""
    if closed := hardware.closed_nodes():
        names = " and ".join(map(str, closed))
        groups = sorted({_group(node) for node in closed} - {"", "root"}) or ["render", "video"]
        reason = f"this user may not open {names}, as who uses a GPU must (then log in again)"
        yield reason, f"sudo usermod -aG {','.join(groups)} $USER"
    elif not hardware.has_nodes() and set(lacking) != {"NVIDIA"}:  # its driver has other nodes
        yield (
            f"there is no {hardware.NODES}/renderD*: the kernel has no driver for the GPU (amdgpu, "
            "i915, xe), or this is a container that was started without it",
            "",
        )


def _group(node: Path) -> str:
    try:
        return node.group()
    except KeyError:  # a number without a name, as in containers
        return ""


def _named(way: Way) -> str:
    told = f"{way.name}, which offers what {ENABLE} names ({LASTS})" if way.rusticl else way.name
    if install(way.packages):
        return told
    return f"{told}: {', '.join(f'{p} ({d})' for d, p in way.packages.items())}"


def _command(way: Way) -> str:
    made = install(way.packages)
    return f"{made} && {_enable(way.rusticl)}" if made and way.rusticl else made


def _enable(names: str) -> str:
    return f"export {ENABLE}={names}"
