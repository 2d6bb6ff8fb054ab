"""What ``dovetail doctor cuda`` says: what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util

from dovetail_cuda.discovery import INSTALL, INSTALL_12, discover

__all__ = ["doctor"]

LIBRARIES = {
    "nvrtc": ("libnvrtc, which compiles the kernels", "nvidia-cuda-nvrtc"),
    "cublasLt": ("libcublasLt, for matrix products", "nvidia-cublas"),
}
"""By the name that a loader knows a library by: (what it is, the package that has it)."""


def doctor() -> list[tuple[str, str]]:
    """``[(what is wrong, command that mends it)]``; empty where everything is there."""
    found = discover()
    if not found.count:
        return [(found.reason, found.command)]
    return [*_packages(found.driver[0]), *_libraries(found.driver[0])]


def _packages(driver: int) -> list[tuple[str, str]]:
    """CuPy's packages are made for one major version of CUDA each, and must not be two."""
    there = []
    for major in (11, 12, 13):
        try:
            importlib.metadata.version(f"cupy-cuda{major}x")
        except importlib.metadata.PackageNotFoundError:
            continue
        there.append(major)
    if len(there) > 1:
        names = " ".join(f"cupy-cuda{major}x" for major in there)
        return [(f"several CuPy packages: {names}", f"pip uninstall -y {names} && {INSTALL}")]
    if there and there[0] > driver:
        reason = f"CuPy is made for CUDA {there[0]}, the driver knows CUDA {driver}"
        return [(reason, f"pip uninstall -y cupy-cuda{there[0]}x && {INSTALL_12}")]
    return []


def _libraries(driver: int) -> list[tuple[str, str]]:
    """Libraries of the toolkit that cannot be loaded."""
    from dovetail_cuda.driver import load_library

    advice = []
    for name, (what, package) in LIBRARIES.items():
        trouble = load_library(name)
        if trouble:
            suffix = "" if driver >= 13 else f"-cu{driver}"
            advice.append((f"{what}: {trouble}", f"pip install {package}{suffix}"))
    if importlib.util.find_spec("cudnn") is None:
        advice.append(
            (
                "cuDNN's front end is not installed: convolutions and attention take kernels of "
                "our own, which are slower",
                "pip install nvidia-cudnn-frontend nvidia-cudnn-cu13",
            )
        )
    return advice
