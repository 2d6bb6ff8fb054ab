"""What is known about a backend: the name found, what it became once loaded, what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dovetail.backend.api import CONTRACT_VERSION, Backend, KernelTable, Runtime
from dovetail.errors import BackendUnavailable, ContractVersionError

__all__ = [
    "Failure",
    "Found",
    "Loaded",
    "Overlay",
    "Record",
    "advice_for",
    "contract_failure",
    "one_line",
    "package_of",
]


def one_line(error: BaseException) -> str:
    """``Type: first line of the message``, for a sentence."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def package_of(value: str) -> str:
    """The package of an entry point's value (``"pkg.mod:obj"`` -> ``"pkg"``)."""
    return ", ".join(part.partition(":")[0].partition(".")[0] for part in value.split(", "))


@dataclass(frozen=True)
class Failure:
    """Why a device cannot be used, and what to do.

    Attributes:
        status: ``failed``, ``incompatible``, ``disabled`` or ``no-device``.
        reason: what is wrong.
        advice: what to do, as the rest of the sentence.
        command: the shell command that does it; empty where there is none.
        exception: what the plugin raised.
        kind: the class raised when a tensor is asked for.
    """

    status: str
    reason: str
    advice: str = ""
    command: str = ""
    exception: BaseException | None = None
    kind: type[BackendUnavailable] = BackendUnavailable

    def sentence(self, name: str) -> str:
        """The message for somebody who asked for the device ``name``."""
        parts = [f"{name}: {self.reason}"]
        if self.advice:
            parts.append(self.advice)
        if self.status in ("failed", "incompatible") and name.isidentifier():
            parts[-1] += f", or set DOVETAIL_DISABLE={name}"
        return "; ".join(parts)


@dataclass(frozen=True)
class Found:
    """One name that a distribution offers.

    Attributes:
        name: the device's name.
        module: what the entry point points at.
        distribution, version: who offers it.
        load: imports and returns the plugin.
        extras: the optional extras of the distribution.
        failure: set when the name cannot be served at all.
    """

    name: str
    module: str
    distribution: str
    version: str
    load: Callable[[], Any]
    extras: tuple[str, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True)
class Overlay:
    """What became of an overlay on one device.

    Attributes:
        name: the module that its entry point names; DOVETAIL_DISABLE takes it.
        device: whose table it adds to.
        distribution, version: who offers it.
        status: ``applied``, ``failed`` or ``disabled``.
        kernels: the operators that it added kernels of.
        reason, advice, command: as in :class:`Failure`; empty where it is applied.
        exception: what the plugin raised.
    """

    name: str
    device: str
    distribution: str
    version: str
    status: str
    kernels: tuple[str, ...] = ()
    reason: str = ""
    advice: str = ""
    command: str = ""
    exception: BaseException | None = None

    def sentence(self) -> str:
        """The message for somebody who uses the device."""
        return (
            f"{self.device}: {self.reason}, so it has its own kernels only; {self.advice}, or set "
            f"DOVETAIL_DISABLE={self.name}"
        )

    def summary(self) -> str:
        """A few words for a table of devices."""
        what = {
            "applied": f"{len(self.kernels)} kernels",
            "failed": self.reason.partition(" failed: ")[2],
            "disabled": self.reason,
        }[self.status]
        return f"overlay {self.name} {self.status} ({what})"


@dataclass(frozen=True)
class Loaded:
    """A backend that has been loaded.

    Attributes:
        name: the device's name.
        backend, runtime, table: what the plugin gave; the table is empty where there is no device.
        version, distribution: the backend's version and who installed it.
        count: how many devices there are.
        indexed: devices are numbered, and a tensor's device has its number (``name:0``). False for
            the host-like ones, whose tensors say just ``name``.
        overlays: what others added to the table, or failed to.
    """

    name: str
    backend: Backend
    runtime: Runtime
    table: KernelTable
    version: str
    distribution: str
    count: int
    indexed: bool
    overlays: tuple[Overlay, ...] = ()


@dataclass(frozen=True)
class Record:
    """One line of :meth:`Registry.report`.

    Attributes:
        status: ``available``, ``no-device``, ``failed``, ``disabled``, ``incompatible``, or
            ``not-loaded`` where the report was asked not to load.
        reason: why it is not available; empty where it is.
        advice, command: what to do about it, in words and for a shell.
        exception: what the plugin raised, with its traceback.
        count: devices found.
        overlays: what others added to its kernels, or failed to.
    """

    name: str
    module: str
    distribution: str
    version: str
    contract: tuple[int, int] | None
    status: str
    reason: str = ""
    advice: str = ""
    command: str = ""
    exception: BaseException | None = None
    count: int = 0
    overlays: tuple[Overlay, ...] = ()


def contract_failure(found: Found, contract: tuple[int, int]) -> Failure | None:
    """What is wrong with having been written for ``contract``; None: nothing."""
    major, minor = contract
    if major == CONTRACT_VERSION[0]:
        return None
    ours = ".".join(map(str, CONTRACT_VERSION))
    stale = found.distribution if major < CONTRACT_VERSION[0] else "dovetail"
    command = f"pip install --upgrade {stale}"
    return Failure(
        "incompatible",
        f"{package_of(found.module)} was built for backend contract {major}.{minor}, this dovetail "
        f"has {ours}",
        f"update {stale} (`{command}`)",
        command,
        kind=ContractVersionError,
    )


def advice_for(found: Found, error: BaseException) -> tuple[str, str]:
    """What mends a plugin that raised ``error``: in words, and as a command."""
    if isinstance(error, ImportError):
        if found.name in found.extras:
            package = f"{found.distribution}[{found.name}]"
            return f"install {package}", f'pip install "{package}"'
        missing = (error.name or "").partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and missing not in ("", package_of(found.module)):
            return f"install {missing}", f"pip install {missing}"
    again = f"pip install --upgrade --force-reinstall {found.distribution}"
    return f"update or reinstall {found.distribution}", again
