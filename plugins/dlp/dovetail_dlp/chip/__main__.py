"""The processor: a process of its own that owns the device's memory and runs its programs.

Started by the host as ``python -m dovetail_dlp.chip``; commands come by standard input, replies go
to standard output. A command is a tuple; see ``Processor`` for each of them.
"""

from __future__ import annotations

import marshal
import mmap
import os
import signal
import struct
import sys
from collections.abc import Iterator

from dovetail_dlp.chip.processor import Processor


def _read(count: int) -> bytes:
    parts = []
    while count:
        part = os.read(0, min(count, 1 << 20))
        if not part:
            sys.exit(0)  # the host has gone
        parts.append(part)
        count -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _batches() -> Iterator[list[tuple]]:
    while True:
        (size,) = struct.unpack("<Q", _read(8))
        yield marshal.loads(_read(size))


def _reply(data: bytes) -> None:
    view = memoryview(struct.pack("<Q", len(data)) + data)
    while view:
        view = view[os.write(1, view) :]


def main() -> None:
    """Take batches of commands until the host closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the host, which then ends us
    base, size, status = map(int, sys.argv[1:])
    # The host reads here which program runs, should no answer come.
    processor = Processor(base, size, _reply, mmap.mmap(status, 8))
    for batch in _batches():
        processor.take(batch)


main()
