"""Compiled programs on disk, for the next process.

An entry (see ``dovetail_kernels.entries``) is named by a hash of all that its content depends on:
source, options, device and driver. One that is damaged, or that the driver refuses, is compiled
again and replaced; the logger ``dovetail.opencl`` says so.

Drivers that keep what they compile are left to it (docs/decisions/opencl/programs.md), but for what
a process that was stopped may have left there (``kept``).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyopencl as cl
from pyopencl.characterize import has_src_build_cache

from dovetail_kernels import entries
from dovetail_opencl import declarations, kept

__all__ = ["VARIABLE", "ProgramCache", "folder"]

VARIABLE = "DOVETAIL_OPENCL_CACHE"
"""``0``: keep no programs on disk; ``1``: keep them for every driver; else the folder for them, and
for what tuning finds."""

LIMIT = 256 << 20
"""Bytes of all entries together, past which those that were not used longest are removed."""

_MAGIC = b"dovetail-opencl-1\n"
_log = logging.getLogger("dovetail.opencl")


def folder() -> Path | None:
    """The folder that was named, else ``dovetail/opencl`` in the user's cache, if there is one."""
    named = os.environ.get(VARIABLE, "")
    return Path(named) if named not in ("", "0", "1") else entries.user_folder("opencl")


_silence = threading.RLock()
"""Held while PyOpenCL says nothing: two devices may compile at once, and its name is one. A
signal's handler may compile while the thread that it interrupted does."""


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """PyOpenCL warns of nothing.

    Not by the filters of ``warnings``: with these changed, Python forgets what it has shown, and a
    program's own warning comes once more from a line after each kernel that is compiled.
    """
    names = vars(cl)
    with _silence:
        said, names["warn"] = names["warn"], lambda *args, **named: None
        try:
            yield
        finally:
            names["warn"] = said


def _built(program: Any, options: Sequence[str]) -> Any:
    """The program, compiled by the driver and by no cache of PyOpenCL's.

    That its cache is not asked, PyOpenCL tells by a warning; and by another one whatever a compiler
    says, though Intel's tells of each step and vector, ``-w`` or not.
    """
    with _silent():
        program.get_info(cl.program_info.REFERENCE_COUNT)
        return program.build(list(options))


class ProgramCache:
    """The compiled programs of one device.

    Attributes:
        folder: where entries are; None where they are not kept.
        found: programs that came from an entry.
        compiled: programs that were compiled from source.
        whole: those of them whose compiler read the declarations of all functions there are.
    """

    def __init__(self, context: Any, handle: Any) -> None:
        self._context, self._handle = context, handle
        chosen = os.environ.get(VARIABLE, "")
        self.folder: Path | None = None
        keeps = has_src_build_cache(handle)
        if chosen not in ("", "0") or (not chosen and not keeps):
            self.folder = folder()
        platform = handle.platform
        if platform.name == declarations.POCL:
            kept.begin(kept.pocl_folder())
        words = (
            platform.name, platform.version, handle.vendor, handle.name, handle.version,
            handle.driver_version,
        )  # fmt: skip
        self._device = "\n".join(words)
        self.found = self.compiled = self.whole = 0
        self._declarations = declarations.of_driver(platform.name)

    def build(self, source: str, options: Sequence[str]) -> Any:
        """The program, from disk or from the compiler.

        Raises:
            pyopencl.RuntimeError: the compiler refuses.
        """
        if self.folder is None:
            return self._compiled(source, options)
        path = self.folder / self._name(source, options)
        program = self._from_disk(path, options)
        if program is not None:
            self.found += 1
            return program
        program = self._compiled(source, options)
        self._to_disk(path, program)
        return program

    def _compiled(self, source: str, options: Sequence[str]) -> Any:
        program = self._declared(source, options)
        if program is None:
            program = _built(cl.Program(self._context, source), options)
            self.whole += 1
        self.compiled += 1
        return program

    def _declared(self, source: str, options: Sequence[str]) -> Any:
        """The program, compiled with the declarations that it uses; None where they are not known
        or not enough: with all of them a compiler says what is wrong, if anything is."""
        if self._declarations is None:
            return None
        text = self._declarations.before(source)
        try:
            return _built(cl.Program(self._context, text), [*options, declarations.GUARDED])
        except cl.RuntimeError as error:
            _log.debug("compiled again with all declarations: %s", error)
            return None

    def _name(self, source: str, options: Sequence[str]) -> str:
        text = "\0".join((self._device, " ".join(options), source))
        return hashlib.sha256(text.encode()).hexdigest() + ".bin"

    def _from_disk(self, path: Path, options: Sequence[str]) -> Any:
        binary = entries.read(path, _MAGIC, _log)
        if binary is None:
            return None
        try:
            made = _built(cl.Program(self._context, [self._handle], [binary]), options)
        except cl.Error as error:
            _log.debug("%s is refused by the driver (%s); compiled from source", path, error)
            return None
        entries.used(path)
        return made

    def _to_disk(self, path: Path, program: Any) -> None:
        (binary,) = program.get_info(cl.program_info.BINARIES)
        entries.write(path, _MAGIC, binary, LIMIT, _log)
