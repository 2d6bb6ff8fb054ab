"""Archives around pickles that no library would write."""

from __future__ import annotations

import io
import zipfile
from typing import Any

V2 = b"ctorch._utils\n_rebuild_tensor_v2\n"
FLOATS = b"ctorch\nFloatStorage\n"


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def tensor(
    *,
    size: bytes = b"K\x02\x85",
    stride: bytes = b"K\x01\x85",
    offset: bytes = b"K\x00",
    numel: bytes = b"K\x02",
    key: bytes = b"X\x01\x00\x00\x000",
    kind: bytes = FLOATS,
    rest: bytes = b"\x89)",
) -> bytes:
    """The opcodes of one tensor."""
    storage = b"(" + text("storage") + kind + key + text("cpu") + numel + b"tQ"
    return V2 + b"(" + storage + offset + size + stride + rest + b"tR"


def archive(pickle: bytes, *, wrap: bool = True, **storages: bytes) -> bytes:
    """An archive with a pickle and storages (``s0`` for key 0)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("a/data.pkl", b"\x80\x02" + pickle + b"." if wrap else pickle)
        target.writestr("a/byteorder", b"little")
        for key, data in storages.items():
            target.writestr(f"a/data/{key.removeprefix('s')}", data)
        target.writestr("a/version", b"3\n")
    return file.getvalue()


def legacy(pickle: bytes, after: bytes = b"") -> bytes:
    """The stream of the legacy format around a pickle."""
    import pickle as python

    parts: list[Any] = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    return b"".join(python.dumps(part, 2) for part in parts) + b"\x80\x02" + pickle + b"." + after


def tar(pickle: bytes | None = None) -> bytes:
    """A checkpoint in the first format: a float tensor (2, 3), and one over its last row."""
    import pickle as python
    import struct
    import tarfile

    def info(*values: Any) -> bytes:
        return b"".join(python.dumps(value, 2) for value in values)

    def described(key: int, second: bytes, kind: bytes) -> bytes:
        return b"\x80\x02(" + number(key) + second + kind + b"t."

    data = struct.pack("<q6f", 6, *range(6))
    storages = info(1) + described(10, text("cpu"), FLOATS) + data + info([(11, 10, 3, 3)])
    tensors = info(2)
    for key, storage, size, stride in ((20, 10, (2, 3), (3, 1)), (21, 11, (3,), (1,))):
        tensors += described(key, number(storage), b"ctorch\nFloatTensor\n")
        n = len(size)
        tensors += struct.pack(f"<ii{n}q{n}qq", n, 0, *size, *stride, 0)
    if pickle is None:
        pickle = b"}(" + text("whole") + number(20) + b"Q" + text("row") + number(21) + b"Qu"
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:", format=tarfile.GNU_FORMAT) as target:
        content = {"storages": storages, "tensors": tensors, "pickle": b"\x80\x02" + pickle + b"."}
        for name, part in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(part)
            target.addfile(member, io.BytesIO(part))
    return file.getvalue()
