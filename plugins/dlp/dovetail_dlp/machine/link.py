"""The host's side of a device: a pipe to the device's process, with commands sent in batches.

The device's memory is in the other process, so nothing on the host can read it by mistake. Commands
are queued here and sent when there are many, or when the host waits for an answer.
"""

from __future__ import annotations

import marshal
import mmap
import os
import pickle
import select
import struct
import subprocess
import sys
import tempfile
import threading
from typing import Any

from dovetail.backend import forked_text
from dovetail.errors import OutOfRangeError
from dovetail_dlp.machine import errors, settings
from dovetail_dlp.machine.compiler import Compiled
from dovetail_dlp.machine.lost import Lost
from dovetail_dlp.machine.region import DEVICE_SHIFT
from dovetail_dlp.machine.words import BY_ZERO, late

__all__ = ["RECORDERS", "Link", "close_all", "forget", "is_any_started", "link"]

RECORDERS: list[Any] = []
"""Who is told of every launch and copy: see ``profile``."""

BATCH = 24
"""Commands that are sent together, unless somebody waits."""


class Link:
    """One device, whose process is started at the first command.

    Args:
        index: the device's number.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.base = (index + 1) << DEVICE_SHIFT
        self.lock = threading.RLock()
        self.broken: errors.DeviceError | None = None
        self.lost: Lost | None = None
        self.launches = 0
        self.out_of_memory_at: int | None = None
        self.names: dict[int, str] = {}
        self.timeout = _timeout()
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._pending: list[tuple[Any, ...]] = []
        self._sent: set[int] = set()
        # An interrupt (Ctrl-C) may come between any two bytes; what is here goes on where it was.
        self._outbox, self._inbox, self._owed = bytearray(), bytearray(), 0
        self._thread = threading.local()

    # Queues

    @property
    def queue(self) -> int:
        """The number of this thread's current queue."""
        return getattr(self._thread, "queue", 0)

    @queue.setter
    def queue(self, number: int) -> None:
        self._thread.queue = number

    # Commands

    def launch(self, program: Compiled, values: list[Any]) -> None:
        """Queue a program on this thread's queue."""
        with self.lock:
            self.check_usable()
            self.launches += 1
            if self.lost:
                self.lost.check(program, values)
            if program.number not in self._sent:
                self._sent.add(program.number)
                self.names[program.number] = program.program.name
                self._pending.append(("P", program.number, pickle.dumps(program.program)))
            self._pending.append(("L", self.queue, program.number, *values))
            for recorder in RECORDERS:
                recorder.launched(self.index, self.queue, program)
            if len(self._pending) >= BATCH:
                self.flush()

    def forget(self, numbers: list[int]) -> None:
        """Have the device forget programs."""
        with self.lock:
            known = [number for number in numbers if number in self._sent]
            if known and not self.broken:
                self._sent.difference_update(known)
                self._pending.append(("U", known))

    def send(self, *command: Any) -> None:
        """Queue another command."""
        with self.lock:
            self.check_usable()
            self._pending.append(command)
            if len(self._pending) >= BATCH:
                self.flush()

    def ask(self, *command: Any) -> Any:
        """Send everything and wait for the answer.

        Raises:
            RuntimeError: queued work has failed; the text names the operator.
        """
        with self.lock:
            self.send(*command)
            self.flush()
            while self._owed:  # answers to those whom an interrupt has kept from reading them
                self._answer()
            self._owed += 1
            error, value = marshal.loads(self._answer())
            if error:
                self._raise(*error)
        return value

    def check_usable(self) -> None:
        """Raise what the device is broken by."""
        if self.broken:
            raise self.broken

    def is_out_of_memory(self) -> bool:
        """Whether that fault was asked for, and is due."""
        return self.out_of_memory_at is not None and self.launches >= self.out_of_memory_at

    def settle(self) -> None:
        """Wait for all queues; errors stay for who asks for them."""
        if self.is_started:
            self.ask("S", -1)

    def write(self, address: int, source: memoryview) -> None:
        """Queue bytes for the device's memory."""
        if self.lost:
            self.lost.written(address)
        for recorder in RECORDERS:
            recorder.copied(self.index, self.queue, "h2d", source.nbytes)
        self.send("W", self.queue, address, bytes(source))
        if source.nbytes > 1 << 20:
            self.flush()

    def read(self, target: memoryview, address: int) -> None:
        """Fill ``target`` with the device's bytes, behind this thread's queue."""
        if self.lost:
            self.lost.read("d2h", address)
        for recorder in RECORDERS:
            recorder.copied(self.index, self.queue, "d2h", target.nbytes)
        target[:] = self.ask("R", self.queue, address, target.nbytes)

    @property
    def is_started(self) -> bool:
        """Whether the device has ever been told anything."""
        return self._process is not None or bool(self._pending)

    def flush(self) -> None:
        """Send what is queued."""
        with self.lock:
            if not self._pending and not self._outbox:
                return
            if os.getpid() != self._owner:
                raise errors.DeviceError(forked_text(f"dlp:{self.index}"))
            if self._process is None:
                self._start()
            batch, self._pending = self._pending, []
            data = marshal.dumps(batch)
            self._outbox += struct.pack("<Q", len(data)) + data
            self._write()

    # The process

    def _start(self) -> None:
        self._status_file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
        self._status_file.truncate(8)
        self._status = mmap.mmap(self._status_file.fileno(), 8)
        number = self._status_file.fileno()
        size = settings.current().memory
        command = [
            sys.executable,
            "-m",
            "dovetail_dlp.chip",
            str(self.base),
            str(size),
            str(number),
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, pass_fds=[number]
        )

    def _write(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        number = process.stdin.fileno()
        try:
            while self._outbox:
                del self._outbox[: os.write(number, memoryview(self._outbox)[: 1 << 20].tobytes())]
        except BrokenPipeError:
            self._lose()

    def _answer(self) -> bytes:
        self._receive(8)
        (size,) = struct.unpack("<Q", self._inbox[:8])
        self._receive(8 + size)
        answer = bytes(self._inbox[8 : 8 + size])
        self._owed -= 1
        del self._inbox[: 8 + size]
        return answer

    def _receive(self, count: int) -> None:
        """Wait until so many bytes of the answer are there."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        number = process.stdout.fileno()
        while len(self._inbox) < count:
            if not select.select([number], [], [], self.timeout)[0]:
                name = self.names.get(struct.unpack("<Q", self._status[:8])[0], "?")
                self.stop()
                self.broken = errors.KernelTimeout(
                    f"{name}: the kernel did not end within {self.timeout:g} s on "
                    f"dlp:{self.index}; the watchdog stopped the device; "
                    f"dovetail_dlp.reset({self.index}) starts it again"
                )
                raise self.broken
            part = os.read(number, 1 << 20)
            if not part:
                self._lose()
            self._inbox += part

    def _lose(self) -> None:
        name = self.names.get(struct.unpack("<Q", self._status[:8])[0], "?")
        self.stop()
        self.broken = errors.DeviceLost(
            f"dlp:{self.index} does not answer any more; the last kernel that it began was {name}; "
            f"dovetail_dlp.reset({self.index}) starts it again"
        )
        raise self.broken from None

    def _raise(self, kind: str, name: str, text: str) -> None:
        if kind == "EccError":
            self.broken = errors.EccError(
                f"{name}: {text} on dlp:{self.index}; what it computed is void; "
                f"dovetail_dlp.reset({self.index}) gives it sound memory"
            )
            raise self.broken
        if kind == "OutOfRange":
            raise OutOfRangeError(text)
        if text == BY_ZERO:
            raise RuntimeError(late(text, name))
        raise (OutOfRangeError if kind == "IndexError" else RuntimeError)(f"{name}: {text}")

    def reset(self, blocks: Any) -> None:
        """End the process; the next command starts another. What was in memory is lost."""
        with self.lock:
            self.stop()
            self.broken = self.out_of_memory_at = None
            self.timeout = _timeout()
            lost = Lost(f"dlp:{self.index}", blocks) if blocks else None
            self.lost = lost or None

    def stop(self) -> None:
        """End the process; its memory is gone."""
        with self.lock:
            process, self._process = self._process, None
            self._pending.clear()
            self._outbox.clear()
            self._inbox.clear()
            self._owed = 0
            self._sent.clear()
            if process is None or os.getpid() != self._owner:
                return
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            self._status_file.close()


def _timeout() -> float:
    """Seconds that the watchdog waits for an answer."""
    return float(os.environ.get("DOVETAIL_DLP_TIMEOUT") or 120)


_links: dict[int, Link] = {}


def link(index: int) -> Link:
    """The link to device ``index``."""
    found = _links.get(index)
    if found is None or (found._owner != os.getpid() and not found.is_started):
        found = _links[index] = Link(index)
    return found


def forget(numbers: list[int]) -> None:
    """Have all devices forget programs."""
    for one in _links.values():
        one.forget(numbers)


def is_any_started() -> bool:
    """Whether any device has been used."""
    return any(one.is_started for one in _links.values())


def close_all() -> None:
    """End every device's process."""
    for one in _links.values():
        one.stop()
