"""``dovetail doctor``: why a device cannot be used and the command that mends it.

It also looks for environment variables that are nearly, but not quite, ones with a meaning.
"""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dovetail.backend.discovery import HOST, SettingError, Settings, fallback_policy
from dovetail.backend.loader import Record, registry
from dovetail.backend.records import one_line
from dovetail.cli import UsageError, columns, parser
from dovetail.cli.devices import print_json

__all__ = ["KNOWN_VARIABLES", "findings", "main", "near_misses"]

KNOWN_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "DOVETAIL_BACKENDS",
    "DOVETAIL_DISABLE",
    "DOVETAIL_FALLBACK",
    "DOVETAIL_PROBE_TIMEOUT",
    "DOVETAIL_STRICT",
    "MKL_NUM_THREADS",
    "OCL_ICD_VENDORS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYOPENCL_CTX",
)
"""Variables that change what a device does; a name close to one of them is likely a slip."""
BROKEN = ("failed", "incompatible", "warning")


def main(argv: Sequence[str] = ()) -> int:
    """Print what is wrong and what mends it.

    Exit code 1 where something is broken, or where the device named cannot be used.
    """
    options = parser("doctor", "Say why a device cannot be used, and the command that mends it.")
    options.epilog = (
        "Exit code: 1 where something is broken, or where the device named cannot be used; a "
        "machine without some hardware is not broken."
    )
    options.add_argument("device", nargs="?", help="only this one, such as cpu")
    options.add_argument("--json", action="store_true", help="a list of objects for programs")
    chosen = options.parse_args(list(argv))
    wanted = None if chosen.device is None else chosen.device.partition(":")[0]
    complaints = list(_settings(os.environ)) if wanted is None else []
    if not any(c["status"] == "failed" for c in complaints):
        records = registry.report()
        names = [record.name for record in records]
        if wanted is not None and wanted not in names:
            raise UsageError(
                f"dovetail doctor: no plugin offers a device {wanted!r}; there are "
                f"{', '.join(names)}"
            )
        complaints += findings([r for r in records if wanted in (None, r.name)])
    if chosen.json:
        print_json(complaints)
    else:
        print(_text(complaints, columns()))
    if wanted is not None and any(c["status"] != "available" for c in complaints):
        return 1
    return int(any(c["status"] in BROKEN for c in complaints))


def findings(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One finding per backend; more where its own ``doctor`` has more to say."""
    found = []
    for record in records:
        found += [
            _finding(record.name, overlay.status, overlay.reason, overlay.advice, overlay.command)
            for overlay in record.overlays
            if overlay.status != "applied"
        ]
        advice = _asked(record)
        if advice:
            found += [
                _finding(record.name, record.status, reason, "", command)
                for reason, command in advice
            ]
        else:
            # Without hardware the registry's advice is to ask here.
            is_absent = record.status == "no-device"
            ways = ("", "") if is_absent else (record.advice, record.command)
            found.append(_finding(record.name, record.status, record.reason, *ways))
    return found


def _finding(
    device: str, status: str, reason: str, advice: str = "", command: str = ""
) -> dict[str, Any]:
    return {
        "device": device,
        "status": status,
        "reason": reason,
        "advice": advice,
        "command": command,
    }


def _asked(record: Record) -> list[tuple[str, str]]:
    """What the backend's own doctor says, if it has one."""
    loaded = registry.load(record.name) if record.status in ("available", "no-device") else None
    if loaded is None or loaded.backend.doctor is None:
        return []
    try:
        said = [(str(reason), str(command)) for reason, command in loaded.backend.doctor()]
    except Exception as error:  # the doctor of a plugin is a plugin's code too
        said = [(f"{record.reason or 'its doctor'}; doctor() raised {one_line(error)}", "")]
    return said


def near_misses(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """(variable that is set, the one that was likely meant), for names that have no meaning."""
    import difflib

    pairs = []
    for name in sorted(environ):
        if name in KNOWN_VARIABLES:
            continue
        close = difflib.get_close_matches(name.upper(), KNOWN_VARIABLES, 1, cutoff=0.9)
        if close and not _belongs_to_plugin(name):
            pairs.append((name, close[0]))
    return pairs


def _belongs_to_plugin(variable: str) -> bool:
    """DOVETAIL_<NAME>… is the business of the plugin of that name."""
    owners = {record.name for record in registry.report(load=False)}
    owners |= {record.module.removeprefix("dovetail_") for record in registry.report(load=False)}
    return any(variable.startswith(f"DOVETAIL_{owner.upper()}") for owner in owners if owner)


def _settings(environ: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Findings about environment variables."""
    try:
        settings = Settings.read(environ)
        fallback_policy(environ)
    except SettingError as error:
        variable = str(error).partition(":")[0]
        yield _finding("environment", "failed", str(error), "", f"unset {variable}")
        return
    for name, meant in near_misses(environ):
        yield _finding(
            "environment",
            "warning",
            f"{name} is set and has no meaning, was {meant} meant?",
            "",
            f"export {meant}={shlex.quote(environ[name])}; unset {name}",
        )
    known = registry.names()
    for variable, names in (
        ("DOVETAIL_BACKENDS", settings.allow or ()),
        ("DOVETAIL_DISABLE", settings.disable),
    ):
        for name in names:
            if name not in known and not (
                variable == "DOVETAIL_DISABLE" and name in registry.overlays()
            ):
                text = f"{variable} names {name!r}, which no plugin offers; there are"
                yield _finding("environment", "warning", f"{text} {', '.join(known)}")
    if HOST in settings.disable:
        text = f"DOVETAIL_DISABLE names {HOST}, which cannot be disabled"
        yield _finding("environment", "warning", text)


def _text(complaints: Sequence[dict[str, Any]], width: int) -> str:
    lines: list[str] = []
    heading = ""
    for found in complaints:
        mark = "ok" if found["status"] == "available" and not found["reason"] else found["status"]
        if heading != (heading := f"{found['device']}: {mark}"):
            lines.append(heading)
        said = "; ".join(part for part in (found["reason"], found["advice"]) if part)
        if said:
            lines += textwrap.wrap(
                said, width, initial_indent="    ", subsequent_indent="    ",
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
        if found["command"]:
            lines.append(f"    $ {found['command']}")
    return "\n".join(lines)
