"""Loads a thousand damaged files and prints what happened, as JSON; run by ``test_fuzz.py``.

In a process of its own, because an audit hook cannot be taken back. The files are the same in every
run: ``python fuzz.py COUNT SEED``.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import sys
import tempfile
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from typing import Any

import checkpoint_objects as objects
import pickles

import dovetail as dt
from dovetail.serialization import CheckpointError, safetensors

INTERESTING = (
    b"\xff", b"\x00", b"\x7f", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80",
    b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06",
    b"cos\nsystem\nX\x05\x00\x00\x00false\x85R", b"cbuiltins\nexec\nX\x04\x00\x00\x001/0 \x85R",
    b"\x8e\xff\xff\xff\xff\xff\x00\x00\x00", b"\x96\xff\xff\xff\xff\xff\x00\x00\x00",
    b"X\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\x7f", b"2" * 50, b"\x85" * 99,
    b"\x8f" * 200, b"(((((", b"h\x00", b"Q", b"R", b"b", b"\x81", b"u", b"e", b"t", b".",
)  # fmt: skip

EVENTS = (
    "import",
    "exec",
    "compile",
    "os.system",
    "os.exec",
    "subprocess.Popen",
    "socket.",
    "ctypes.",
)
"""Audit events that tell of code."""


def bases() -> dict[str, tuple[bytes, Callable[[bytes], Any]]]:
    """Good files of every format, and how each is loaded."""
    content = [make(dt) for make in objects.OBJECTS if make.__name__ != "facts"]
    zipped, legacy = io.BytesIO(), io.BytesIO()
    dt.save(content, zipped)
    dt.save(content, legacy, _use_new_zipfile_serialization=False)
    small = io.BytesIO()
    dt.save({"a": dt.ones(2, 3), "b": [1, "x"]}, small)
    named = {"a": dt.ones(2, 3), "b": dt.arange(4), "é": dt.ones(2, dtype=dt.bfloat16)}
    return {
        "zip": (zipped.getvalue(), from_bytes),
        "small zip": (small.getvalue(), from_bytes),
        "mapped zip": (small.getvalue(), mapped),
        "legacy": (legacy.getvalue(), from_bytes),
        "tar": (pickles.tar(), from_bytes),
        "safetensors": (safetensors.save(named, {"k": "v"}), safetensors.load),
        "safetensors file": (safetensors.save(named), opened),
    }


def from_bytes(data: bytes) -> Any:
    return dt.load(io.BytesIO(data))


def mapped(data: bytes) -> Any:
    with open(PATH, "wb") as file:
        file.write(data)
    return dt.load(PATH, mmap=True)


def opened(data: bytes) -> Any:
    with open(PATH, "wb") as file:
        file.write(data)
    with safetensors.safe_open(PATH, "pt") as file:
        return [file.get_slice(name)[...] for name in file.keys()]  # noqa: SIM118 (no dict)


def damaged(data: bytes, choose: random.Random) -> bytes:
    """The file with one to four things wrong."""
    made = bytearray(data)
    for _ in range(choose.randint(1, 4)):
        at = choose.randrange(len(made) + 1)
        n = choose.choice((1, 2, 4, 8, 40, 400))
        action = choose.randrange(7)
        if action == 0:
            made[at : at + 1] = bytes([choose.randrange(256)])
        elif action == 1 and at < len(made):
            made[at] ^= 1 << choose.randrange(8)
        elif action == 2:
            del made[at : at + n]
        elif action == 3:
            made[at:at] = made[at : at + n] * choose.choice((1, 2, 100))
        elif action == 4:
            word = choose.choice(INTERESTING)
            made[at : at + choose.choice((0, len(word)))] = word
        elif action == 5:
            other = choose.randrange(len(made) + 1)
            made[at : at + n] = made[other : other + n]
        elif choose.random() < 0.3:
            del made[at:]
    return bytes(made)


def damaged_inside(data: bytes, choose: random.Random) -> bytes:
    """An archive whose pickle is damaged and whose CRCs are right, so that it is looked at."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(file, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            is_chosen = name.endswith("data.pkl") or choose.random() < 0.02
            target.writestr(name, damaged(content, choose) if is_chosen else content)
    return file.getvalue()


def main(count: int, seed: int) -> dict[str, Any]:
    choose = random.Random(seed)
    good = bases()
    for data, load in good.values():
        load(data)  # everything that is imported on first use is there
    from_bytes(pickles.archive(b"Va\n"))  # the codec of the oldest protocol's strings
    files = []
    for i in range(count):
        name = choose.choice(sorted(good))
        inside = "zip" in name and i % 4
        data = (damaged_inside if inside else damaged)(good[name][0], choose)
        files.append((name, data, good[name][1]))

    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    events: list[str] = []
    watching = False

    def hook(event: str, arguments: Any) -> None:
        if watching and event.startswith(EVENTS):
            events.append(f"{event} {arguments!r:.80}")

    sys.addaudithook(hook)
    most = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    for i, (name, data, load) in enumerate(files):
        tracemalloc.reset_peak()
        start, _ = tracemalloc.get_traced_memory()
        result = None
        watching = True
        try:
            result = load(data)
        except CheckpointError:
            outcomes["refused"] += 1
        except BaseException as error:
            watching = False
            wrong.append(f"file {i}, {name}: {type(error).__name__}: {error!s:.200}")
        else:
            outcomes["loaded"] += 1
        watching = False
        _, peak = tracemalloc.get_traced_memory()
        most = max(most, peak - start - len(data))
        outcomes[name] += 1
        del result
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "outcomes": outcomes, "wrong": wrong, "events": events[:20],
        "most_bytes": most, "resident_bytes": grown * 1024,
    }  # fmt: skip


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PATH = os.path.join(folder, "file")
        print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
