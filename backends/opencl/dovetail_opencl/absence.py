"""Why the loader of OpenCL drivers finds none, and the commands that mend it."""

from __future__ import annotations

import ctypes
import os
import platform
import site
import sys
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from dovetail_opencl.drivers import LASTS, POCL, install

__all__ = ["without_platform"]

NO_DRIVER = (
    "no OpenCL driver is installed: docs/opencl.md has those of GPUs, the CPU's is PoCL "
    f"({' or '.join(dict.fromkeys(POCL.values()))})"
)
UNANSWERED = "no OpenCL platform answers, though a driver is installed in"

VENDORS = Path("/etc/OpenCL/vendors")
HIDING = ("OCL_ICD_VENDORS", "OPENCL_VENDOR_PATH")
"""Variables that name another folder to the loader, Debian's and others, so that it looks there."""

LIBRARY = "lib/libintelocl.so"
FOLDER = "etc/OpenCL/vendors"
FILE = f"{FOLDER}/intel-cpu.icd"
"""What the wheels of Intel's runtime bring, below the folder that Python was installed to. The file
names the library in a folder of those who built it, and no loader looks for the file there."""


def without_platform() -> list[tuple[str, str]]:
    """Why the loader of drivers found none: ``[(what is wrong, command that mends it)]``.

    What hides an installed driver comes first; that none is installed is said only where so it is.
    """
    roots = [Path(sys.prefix), Path(site.getuserbase())]
    of_wheels = next((root for root in roots if (root / LIBRARY).exists()), None)
    found = list(_hiding())
    icds = sorted(VENDORS.glob("*.icd")) if VENDORS.is_dir() else []
    broken = {icd: problem for icd in icds if (problem := _names_nothing(icd))}
    found += [(problem, f"rm {quote(str(icd))}") for icd, problem in broken.items()]
    if of_wheels is not None:
        found = [*_wheels(of_wheels)] or found
    if of_wheels is not None or len(icds) > len(broken):
        return found or [(f"{UNANSWERED} {of_wheels or VENDORS}", "")]
    found.append((NO_DRIVER, install(POCL)))
    if _is_for_wheels():
        found.append(_without_root(roots[0]))
    return found


def _hiding() -> Iterator[tuple[str, str]]:
    """Variables by which the loader looks where no driver is."""
    for name in HIDING:
        folder = os.environ.get(name, "")
        if not folder.startswith("/"):
            continue
        if not Path(folder).exists():
            yield f"{name} names {folder}, which does not exist", f"unset {name}"
        elif Path(folder).is_dir() and not any(Path(folder).glob("*.icd")):
            yield f"{name} names {folder}, which names no driver (no *.icd file)", f"unset {name}"


def _names_nothing(icd: Path) -> str:
    """What is wrong with a file that names a driver to the loader; empty where nothing is."""
    library = icd.read_text(encoding="utf-8", errors="replace").strip()
    is_missing = library.startswith("/") and not Path(library).exists()
    return f"{icd} names {library}, which does not exist" if is_missing else ""


def _is_for_wheels() -> bool:
    return sys.platform == "linux" and platform.machine() == "x86_64"


def _named(root: Path) -> str:
    """The command by which the wheels' file names their library."""
    return f"echo {quote(str(root / LIBRARY))} > {quote(str(root / FILE))}"


def _shown(root: Path) -> str:
    """The command by which the loader looks for the wheels' file."""
    return f"export OCL_ICD_VENDORS={quote(str(root / FOLDER))}"


def _without_root(root: Path) -> tuple[str, str]:
    text = (
        "or without root, on a processor of Intel's or AMD's: Intel's runtime from wheels (0.8 GB; "
        f"{LASTS})"
    )
    install = "pip install intel-opencl-rt intel-cmplr-lib-rt"
    return text, f"{install} && {_named(root)} && {_shown(root)}"


def _wheels(root: Path) -> Iterator[tuple[str, str]]:
    """What keeps the wheels of Intel's runtime from being used."""
    library, icd = root / LIBRARY, root / FILE
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        yield f"{library} cannot be loaded: {error}", "pip install intel-cmplr-lib-rt"
    if not icd.exists():
        make = f"mkdir -p {quote(str(root / FOLDER))}"
        yield f"no file names {library} to the loader", f"{make} && {_named(root)}"
    elif problem := _names_nothing(icd):
        yield problem, _named(root)
    chosen = os.environ.get("OCL_ICD_VENDORS", "").rstrip("/")
    if chosen not in (str(root / FOLDER), str(icd), str(library)):
        yield f"the loader of drivers does not look in {root / FOLDER} ({LASTS})", _shown(root)
