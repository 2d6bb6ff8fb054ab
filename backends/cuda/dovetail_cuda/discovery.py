"""Which CUDA devices there are, asked of the driver itself: CuPy is not imported for it.

``CUDA_VISIBLE_DEVICES`` is the driver's own, and so it holds here too.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import sys
from dataclasses import dataclass

__all__ = ["LIBRARIES", "Discovery", "discover"]

INSTALL = "pip install 'dovetail[cuda]'"
INSTALL_12 = "pip install 'dovetail[cuda12]'"

NEEDED = 12
"""The major version of CUDA that the driver has to know at least."""

LIBRARIES = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}

REASONS = {
    100: "the driver sees no NVIDIA GPU (CUDA_VISIBLE_DEVICES may hide it)",
    101: "CUDA_VISIBLE_DEVICES names a GPU that is not there",
    803: "the driver's library and the kernel's module are of different versions: reboot, or "
    "reinstall the driver",
    999: "the driver failed to start: is its kernel module loaded (nvidia-smi tells)?",
}
"""By the driver's error code."""


@dataclass(frozen=True)
class Discovery:
    """What was found.

    Attributes:
        count: devices.
        driver: the version of CUDA that the driver knows, such as (13, 0); (0, 0): no driver.
        reason: why there is none; empty where there is one.
        command: what mends that, where a command does.
    """

    count: int
    driver: tuple[int, int] = (0, 0)
    reason: str = ""
    command: str = ""


@functools.cache
def discover() -> Discovery:
    """The devices that the driver shows; never raises."""
    name = LIBRARIES.get(sys.platform)
    if name is None:
        return Discovery(0, reason=f"there is no NVIDIA driver for {sys.platform}")
    try:
        library = ctypes.CDLL(name)
    except OSError:
        return Discovery(
            0,
            reason=f"no NVIDIA driver: {name} cannot be loaded (Debian's package: nvidia-driver)",
            command="apt-get install nvidia-driver",
        )
    version, count = ctypes.c_int(), ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    driver = (version.value // 1000, version.value % 1000 // 10)
    for code in (library.cuInit(0), library.cuDeviceGetCount(ctypes.byref(count))):
        if code:
            return Discovery(0, driver, REASONS.get(code, f"the NVIDIA driver's error {code}"))
    if not count.value:
        return Discovery(0, driver, REASONS[100])
    if driver < (NEEDED, 0):
        known = ".".join(map(str, driver))
        reason = f"the NVIDIA driver knows CUDA {known}; {NEEDED}.0 is needed: update the driver"
        return Discovery(0, driver, reason)
    if importlib.util.find_spec("cupy") is None:
        command = INSTALL if driver >= (13, 0) else INSTALL_12
        return Discovery(0, driver, "CuPy is not installed", command)
    return Discovery(count.value, driver)
