"""The command ``dovetail``: a table of subcommands, to which packages add their own.

A command is ``function(argv) -> exit code``. Others join by an entry point of group
``dovetail.commands``, whose name is the subcommand. Exit codes: 0 done, 1 a problem was found,
2 the command cannot be done as asked (with one sentence on standard error), 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from argparse import ArgumentParser

__all__ = ["GROUP", "UsageError", "columns", "main", "parser"]

GROUP = "dovetail.commands"
Command = Callable[[Sequence[str]], int]

_OWN = {
    "capabilities": ("dovetail.cli.capabilities:main", "what a device does by itself, by dtype"),
    "demo": ("dovetail.cli.demo:main", "train a network on handwritten digits"),
    "devices": ("dovetail.cli.devices:main", "list the devices that this machine can use"),
    "doctor": ("dovetail.cli.doctor:main", "say why a device cannot be used, and what mends it"),
    "run": ("dovetail.cli.run:main", "run a program for PyTorch, with dovetail in its place"),
    "style": ("dovetail.cli.style:main", "paint one picture in the style of another"),
    "new-backend": ("dovetail.cli.new_backend:main", "write a package with a device of your own"),
}


class UsageError(Exception):
    """The command cannot be done as asked; the message is one sentence."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except UsageError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; keep the interpreter from complaining at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except SystemExit as error:  # argparse, after --help or a usage error
        return error.code if isinstance(error.code, int) else int(error.code is not None)


def _run(words: list[str]) -> int:
    from dovetail.backend.discovery import SettingError
    from dovetail.errors import BackendUnavailable

    if not words or words[0] in ("-h", "--help", "help"):
        print(_help(), file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"dovetail {_version()}")
        return 0
    command = _find(words[0])
    try:
        return int(command(words[1:]) or 0)
    except (BackendUnavailable, SettingError) as error:
        raise UsageError(f"dovetail {words[0]}: {error}") from error


def _complain(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("dovetail")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _joined() -> dict[str, Any]:
    """The commands of other packages: entry points by name; the core's own names win."""
    from importlib import metadata

    points = metadata.entry_points(group=GROUP)
    return {p.name: p for p in sorted(points, key=lambda p: p.value) if p.name not in _OWN}


def _find(name: str) -> Command:
    if name in _OWN:
        from importlib import import_module

        module, _, function = _OWN[name][0].partition(":")
        own: Command = getattr(import_module(module), function)
        return own
    joined = _joined()
    if name not in joined:
        import difflib

        close = difflib.get_close_matches(name, [*_OWN, *joined], 1)
        guess = f", did you mean {close[0]!r}?" if close else "; see `dovetail --help`"
        raise UsageError(f"dovetail: no command {name!r}{guess}")
    try:
        command: Command = joined[name].load()
    except Exception as error:
        raise UsageError(
            f"dovetail {name}: {joined[name].value} failed to load: "
            f"{type(error).__name__}: {error}; reinstall the package that offers it"
        ) from error
    return command


def _help() -> str:
    lines = ["usage: dovetail COMMAND [OPTION...]", ""]
    rows = [(name, about) for name, (_, about) in _OWN.items()]
    rows += [(name, f"from {point.value.partition(':')[0]}") for name, point in _joined().items()]
    lines += [f"  {name:<14}{about}" for name, about in sorted(rows)]
    lines += ["", "  --version     print the version", "", "`dovetail COMMAND --help` says more."]
    return "\n".join(lines)


def parser(command: str, description: str) -> ArgumentParser:
    """An argument parser for ``dovetail COMMAND`` whose errors are one sentence, exit code 2."""
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise UsageError(f"{self.prog}: {message}; see `{self.prog} --help`")

    return Parser(prog=f"dovetail {command}", description=description)


def columns(limit: int = 100) -> int:
    """How wide text may be: the terminal's width, 80 where there is none."""
    import shutil

    return max(40, min(shutil.get_terminal_size((80, 24)).columns, limit))
