"""Finding plugins by name, without importing any of them, and the environment that narrows them.

A plugin is an entry point of group ``dovetail.backends``; its name is the device's name. An overlay
(``dovetail.overlays``) has the name of the device that it adds kernels to, or ``*``. A name
that cannot be served (misspelt, reserved, offered twice) is kept with the reason, so that the
report can say so, and harms no other device.
"""

from __future__ import annotations

import keyword
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dovetail.backend.records import Failure, Found, one_line

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

__all__ = [
    "GROUP",
    "HOST",
    "OVERLAYS",
    "OWN",
    "SettingError",
    "Settings",
    "fallback_policy",
    "find_plugins",
    "name_fault",
]

GROUP = "dovetail.backends"
OVERLAYS = "dovetail.overlays"
OWN = "dovetail"
HOST = "cpu"
"""The device that every copy from and to Python goes through; it cannot be switched off."""

_CONVENIENCES = frozenset({HOST, "cuda"})
"""Names for which the core has PyTorch's own attributes (``x.cuda()``); they clash with nothing."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class SettingError(ValueError):
    """An environment variable of dovetail's has a value without meaning."""


@dataclass(frozen=True)
class Settings:
    """The environment variables that the registry obeys, read once per discovery.

    Attributes:
        allow: DOVETAIL_BACKENDS, the only names that may be used; None: all.
        disable: DOVETAIL_DISABLE, names that may not; also modules or distributions of overlays.
        strict: DOVETAIL_STRICT, a plugin that fails is an error at discovery.
        timeout: DOVETAIL_PROBE_TIMEOUT, the seconds that finding devices may take.
    """

    allow: tuple[str, ...] | None = None
    disable: tuple[str, ...] = ()
    strict: bool = False
    timeout: float = 10.0

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the variables.

        Raises:
            SettingError: a value has no meaning.
        """
        env = os.environ if environ is None else environ
        allow = _names(env.get("DOVETAIL_BACKENDS", ""))
        text = env.get("DOVETAIL_PROBE_TIMEOUT", "10")
        try:
            timeout = float(text)
        except ValueError:
            timeout = 0.0
        if not 0 < timeout < 1e6:
            raise SettingError(
                f"DOVETAIL_PROBE_TIMEOUT: must be a number of seconds above 0, got {text!r}"
            )
        return cls(
            allow=allow or None,
            disable=_names(env.get("DOVETAIL_DISABLE", "")),
            strict=env.get("DOVETAIL_STRICT", "") not in ("", "0"),
            timeout=timeout,
        )

    def failure(self, name: str) -> Failure | None:
        """Why the settings forbid ``name``; None where they do not."""
        if name == HOST:
            return None
        if name in self.disable:
            rest = ",".join(n for n in self.disable if n != name)
            change = f"export DOVETAIL_DISABLE={rest}" if rest else "unset DOVETAIL_DISABLE"
            text = f"disabled by DOVETAIL_DISABLE={','.join(self.disable)}"
            return Failure("disabled", text, f"use `{change}` to have it back", change)
        if self.allow is not None and name not in self.allow:
            listed = ",".join(self.allow)
            change = f"export DOVETAIL_BACKENDS={listed},{name}"
            text = f"disabled, for it is not in DOVETAIL_BACKENDS={listed}"
            return Failure("disabled", text, f"use `{change}` to have it back", change)
        return None


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def fallback_policy(environ: Mapping[str, str] | None = None) -> str:
    """What to do with an operator that a device has no kernel for: ``error``, ``warn``, ``allow``.

    Read from DOVETAIL_FALLBACK at each call; ``warn`` where it is not set.

    Raises:
        SettingError: it is set to anything else.
    """
    value = (os.environ if environ is None else environ).get("DOVETAIL_FALLBACK") or "warn"
    if value not in ("error", "warn", "allow"):
        raise SettingError(f"DOVETAIL_FALLBACK: must be error, warn or allow, got {value!r}")
    return value


def name_fault(name: str, distribution: str = OWN, builtin: Collection[str] = ()) -> str | None:
    """Why ``name`` may not be a device of ``distribution``; None where it may."""
    if not _NAME.fullmatch(name):
        return (
            f"{name!r} is no device name: lower-case letters, digits and '_' only, a letter first"
        )
    if keyword.iskeyword(name):
        return f"{name!r} is a Python keyword and cannot name a device"
    own = re.sub(r"[-_.]+", "-", distribution).lower() == OWN
    if name in builtin or (name == HOST and not own):
        return f"the name {name!r} belongs to {OWN} itself"
    taken = None if name in _CONVENIENCES else _attribute(name)
    if taken:
        return f"the name {name!r} is taken by {taken}"
    return None


def _attribute(name: str) -> str | None:
    """What ``dovetail.<name>`` or ``Tensor.<name>`` is already; both also reach devices."""
    package = sys.modules.get(OWN)
    if package is not None:
        own = vars(package)
        folders = own.get("__path__", ())
        if any(os.path.exists(os.path.join(f, name + end)) for f in folders for end in ("", ".py")):
            return f"the module {OWN}.{name}"
        # A device's module may have been kept there once it was asked for.
        if name in own and type(own[name]).__name__ != "DeviceModule":
            return f"{OWN}.{name}"
        functions = getattr(sys.modules.get(f"{OWN}.ops"), "FUNCTIONS", ())  # made on demand
        if name not in own and (name in functions or name in own.get("__all__", ())):
            return f"{OWN}.{name}"
    tensor = getattr(sys.modules.get(f"{OWN}.tensor"), "Tensor", None)
    return f"Tensor.{name}" if tensor is not None and hasattr(tensor, name) else None


def find_plugins(
    builtin: Collection[str] = (),
) -> tuple[dict[str, Found], list[Found], list[Found]]:
    """The plugins installed here, by name; those whose name cannot be served at all; the overlays.

    Reads names only: nothing is imported.
    """
    offers: dict[str, list[Found]] = {}
    rejected: list[Found] = []
    overlays: list[Found] = []
    for point, distribution in _entry_points(rejected):
        found = _found(point, distribution)
        if point.group == OVERLAYS:
            overlays.append(found)
            continue
        fault = name_fault(found.name, found.distribution, builtin)
        if fault is None:
            offers.setdefault(found.name, []).append(found)
        else:
            rename = f"rename the entry point in {found.distribution}"
            remove = f"pip uninstall {found.distribution}"
            failure = Failure("failed", fault, rename, remove)
            rejected.append(replace(found, failure=failure))
    return {name: _only(many) for name, many in offers.items()}, rejected, overlays


def _entry_points(rejected: list[Found]) -> Iterator[tuple[EntryPoint, Distribution | None]]:
    from importlib import metadata

    try:
        every = metadata.entry_points()
        points = [p for group in (GROUP, OVERLAYS) for p in every.select(group=group)]
    except Exception:
        # Some distribution's metadata is malformed: read them one by one and name it.
        yield from _one_by_one(rejected)
        return
    for point in points:
        yield point, getattr(point, "dist", None)


def _one_by_one(rejected: list[Found]) -> Iterator[tuple[EntryPoint, Distribution | None]]:
    from importlib import metadata

    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            name = distribution.metadata["Name"]
            points = [] if name in seen else list(distribution.entry_points)
        except Exception as error:
            label = os.path.realpath(str(getattr(distribution, "_path", "a distribution")))
            if label in seen:
                continue
            seen.add(label)
            text = f"the metadata of {label} cannot be read: {one_line(error)}"
            failure = Failure("failed", text, "reinstall it", exception=error)
            rejected.append(
                Found(f"({os.path.basename(label)})", "", label, "", _nothing, (), failure)
            )
            continue
        seen.add(name)
        for point in points:
            if point.group in (GROUP, OVERLAYS):
                yield point, distribution


def _nothing() -> None:
    return None


def _found(point: EntryPoint, distribution: Distribution | None) -> Found:
    if distribution is None:
        return Found(point.name, point.value, "an unknown distribution", "", point.load)
    about = distribution.metadata
    return Found(
        point.name,
        point.value,
        about["Name"] or "an unknown distribution",
        about["Version"] or "",
        point.load,
        tuple(about.get_all("Provides-Extra") or ()),
    )


def _only(offers: list[Found]) -> Found:
    """The single offer of a name; where there are several, none of them may have it."""
    if len(offers) == 1:
        return offers[0]
    who = sorted(f"{o.distribution} {o.version}".strip() for o in offers)
    names = sorted({o.distribution for o in offers})
    return Found(
        offers[0].name,
        ", ".join(sorted({o.module for o in offers})),
        ", ".join(names),
        "",
        _nothing,
        failure=Failure(
            "failed",
            f"the name is offered by {len(offers)} plugins: {' and '.join(who)}",
            "uninstall all but one",
            f"pip uninstall {names[-1]}",
        ),
    )
