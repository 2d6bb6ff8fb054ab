"""safetensors: a file of named tensors and nothing else, with slices that are read lazily.

A file is eight bytes (the header's length), a JSON header and the tensors' bytes, little-endian and
without holes. Source: the format's description in the repository huggingface/safetensors, whose
Python interface the names here follow.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterable
from itertools import pairwise
from typing import IO, Any, NamedTuple

import numpy as np

from dovetail import dtypes as d
from dovetail import raw
from dovetail.backend.state import state_of
from dovetail.device import device as Device
from dovetail.device import resolve
from dovetail.errors import CheckpointError
from dovetail.serialization.atomic import opened_for_writing
from dovetail.serialization.limits import Budget
from dovetail.serialization.reading import byteswap
from dovetail.serialization.source import Source
from dovetail.serialization.storages import host_storage, root_of
from dovetail.spec import spec_of
from dovetail.tensor import Tensor, new_tensor, storage_of

__all__ = ["Slice", "load", "load_file", "safe_open", "save", "save_file"]

_DTYPES = {
    "I64": d.int64, "F64": d.float64, "C64": d.complex64, "F32": d.float32, "I32": d.int32,
    "BF16": d.bfloat16, "F16": d.float16, "I16": d.int16, "I8": d.int8, "U8": d.uint8,
    "BOOL": d.bool_,
}  # fmt: skip
"""In the order in which the library writes them, so that each lies at a multiple of its size."""
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_FOREIGN_BITS = {
    "U64": 64, "U32": 32, "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
"""Of dtypes that dovetail lacks: such tensors may be in a file, and are refused when asked for."""

_METADATA = "__metadata__"
_LONGEST_HEADER = 100_000_000  # the format's
_MOST_DIMS = 64
_COST = 900  # of one entry in memory
_SPACE = re.compile(rb"[ \t\r\n]*")
_ENTRY = re.compile(rb"\{[^{}]{0,4000}\}")


class _Entry(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


# Reading.


class _Header:
    """What a file says of its tensors, checked against its size."""

    def __init__(self, source: Source) -> None:
        (length,) = struct.unpack("<Q", source.at(0, 8))
        if length > min(_LONGEST_HEADER, source.size - 8):
            raise _damaged(f"its header has {length} bytes, and the file {source.size}")
        self.start = 8 + length
        self.entries: dict[str, _Entry] = {}
        self.metadata: dict[str, str] | None = None
        budget = Budget()
        try:
            self._parse(_Scanner(source.at(8, length), budget), budget)
        except (ValueError, TypeError, RecursionError) as error:
            raise _damaged(f"its header makes no sense ({error!s:.200})") from error
        self._check_places(source.size - self.start)

    def _parse(self, scan: _Scanner, budget: Budget) -> None:
        for name in scan.pairs():
            if name == _METADATA:
                if self.metadata is not None:
                    raise _damaged(f"{name} is there twice")
                self.metadata = {}
                for key in scan.pairs():
                    self.metadata[key] = scan.string()
            else:
                budget.spend(_COST)
                if name in self.entries:
                    raise _damaged(f"tensor {name!r} is there twice")
                self.entries[name] = _entry(name, scan.entry())
        scan.finish()

    def _check_places(self, size: int) -> None:
        """Together the tensors are all of the data, none over another."""
        at = 0
        for name, entry in sorted(self.entries.items(), key=lambda item: item[1][2:]):
            if entry.begin != at:
                raise _damaged(f"tensor {name!r} begins at {entry.begin}, and not at {at}")
            at = entry.end
        if at != size:
            raise _damaged(f"its tensors have {at} bytes, and its data has {size}")

    def entry(self, name: str) -> _Entry:
        found = self.entries.get(name)
        if found is None:
            raise CheckpointError(f"safetensors: the file has no tensor {name!r}")
        return found


class _Scanner:
    """Walks over a header piece by piece: no piece makes more objects than its bytes allow."""

    def __init__(self, data: bytes, budget: Budget) -> None:
        self._data = data
        self._at = 0
        self._budget = budget

    def pairs(self) -> Iterable[str]:
        """The keys of an object; the caller takes each value before the next key."""
        self._expect(b"{")
        if self._next() == b"}":
            self._expect(b"}")
            return
        while True:
            key = self.string()
            self._expect(b":")
            yield key
            if self._next() != b",":
                break
            self._expect(b",")
        self._expect(b"}")

    def string(self) -> str:
        """A string."""
        self._expect(b'"')
        begin = end = self._at
        while True:
            end = self._data.find(b'"', end)
            if end < 0:
                raise _damaged("a string in its header does not end")
            escapes = end - len(self._data[begin:end].rstrip(b"\\")) - begin
            if escapes % 2 == 0:
                break
            end += 1
        self._budget.spend(4 * (end - begin) + 200)
        self._at = end + 1
        text = json.loads(str(self._data[begin - 1 : self._at], "utf-8"))
        assert isinstance(text, str)
        return text

    def entry(self) -> dict[str, Any]:
        """An object of a few numbers."""
        self._next()
        match = _ENTRY.match(self._data, self._at)
        if match is None:
            raise _damaged("a tensor's description in its header makes no sense")
        self._at = match.end()
        found: dict[str, Any] = json.loads(str(match.group(), "utf-8"))
        return found

    def finish(self) -> None:
        """See that nothing but spaces follows."""
        if self._next():
            raise _damaged("something follows in its header")

    def _next(self) -> bytes:
        match = _SPACE.match(self._data, self._at)
        assert match is not None  # it may be empty
        self._at = match.end()
        return self._data[self._at : self._at + 1]

    def _expect(self, byte: bytes) -> None:
        if self._next() != byte:
            raise _damaged(f"its header has no {byte.decode()!r} at byte {self._at}")
        self._at += 1


def _damaged(what: str) -> CheckpointError:
    return CheckpointError(f"safetensors: the file is damaged or of another kind: {what}")


def _entry(name: str, said: dict[str, Any]) -> _Entry:
    if said.keys() != {"dtype", "shape", "data_offsets"}:
        raise _damaged(f"tensor {name!r} is described by {sorted(said)!r:.100}")
    kind, shape, offsets = said["dtype"], said["shape"], said["data_offsets"]
    dtype = _DTYPES.get(kind)
    bits = _FOREIGN_BITS.get(kind) if dtype is None else 8 * dtype.itemsize
    if bits is None:
        raise _damaged(f"tensor {name!r} has the unknown dtype {kind!r:.40}")
    numbers = [shape, offsets]
    if not all(isinstance(n, list) for n in numbers) or len(shape) > _MOST_DIMS:
        raise _damaged(f"the shape or the place of tensor {name!r} makes no sense")
    if not all(type(n) is int and 0 <= n < 1 << 62 for n in shape + offsets) or len(offsets) != 2:
        raise _damaged(f"the shape or the place of tensor {name!r} makes no sense")
    begin, end = offsets
    total = bits
    for n in shape:
        total *= n
    if begin > end or 8 * (end - begin) != total:
        raise _damaged(f"tensor {name!r} of {kind} and shape {shape} has {end - begin} bytes")
    return _Entry(kind, tuple(shape), begin, end)


def _dtype(name: str, entry: _Entry) -> d.dtype:
    dtype = _DTYPES.get(entry.dtype)
    if dtype is None:
        raise CheckpointError(
            f"safetensors: tensor {name!r} is of {entry.dtype}, which dovetail does not have"
        )
    return dtype


def _tensor(data: np.ndarray, shape: tuple[int, ...], dtype: d.dtype, device: Device) -> Tensor:
    """A tensor that owns ``data``, or a copy of it on a device."""
    state_of(device).check_dtype("safetensors", dtype)
    storage = host_storage(data).to(device)
    spec = spec_of(shape, dtype, device)
    return new_tensor(spec, None, storage._storage)


class safe_open:
    """A safetensors file, of which only what is asked for is read.

    Args:
        filename: a path.
        framework: ``"pt"``, as programs for PyTorch say; tensors are dovetail's.
        device: where the tensors go.

    Raises:
        CheckpointError: the file is damaged or of another kind.
        OSError: it cannot be read.

    Example:
        >>> import tempfile
        >>> import dovetail as dt
        >>> path = tempfile.mkdtemp() + "/a.safetensors"
        >>> save_file({"x": dt.arange(6).reshape(2, 3)}, path)
        >>> with safe_open(path, "pt") as file:
        ...     file.get_slice("x")[1, 1:].tolist()
        [4, 5]
    """

    def __init__(
        self, filename: str | os.PathLike[str], framework: str = "pt", device: Any = "cpu"
    ) -> None:
        if framework not in ("pt", "torch", "pytorch", "dovetail"):
            raise ValueError(
                f"safe_open: framework must be 'pt' (tensors are dovetail's), got {framework!r}"
            )
        self._device = resolve(device)
        self._file: IO[bytes] | None = open(filename, "rb", buffering=0)  # noqa: SIM115
        try:
            self._source = Source(self._file)
            self._header = _Header(self._source)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> safe_open:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def keys(self) -> list[str]:
        """The names of the tensors, sorted."""
        return sorted(self._header.entries)

    def offset_keys(self) -> list[str]:
        """The names of the tensors in the order in which they lie in the file."""
        return sorted(self._header.entries, key=lambda name: self._header.entries[name][2:])

    def metadata(self) -> dict[str, str] | None:
        """What was written beside the tensors; None: nothing."""
        return self._header.metadata

    def get_tensor(self, name: str) -> Tensor:
        """One tensor.

        Raises:
            CheckpointError: there is none of that name, or dovetail lacks its dtype.
        """
        self._check_open()
        entry = self._header.entry(name)
        dtype = _dtype(name, entry)
        if self._device.type == "meta":
            return _tensor(np.empty(0, np.uint8), entry.shape, dtype, self._device)
        data = np.empty(entry.end - entry.begin, np.uint8)
        self._source.into(self._header.start + entry.begin, data)
        byteswap(data, dtype, "little")
        return _tensor(data, entry.shape, dtype, self._device)

    def get_slice(self, name: str) -> Slice:
        """One tensor that is read as far as it is indexed.

        Raises:
            CheckpointError: there is none of that name, or dovetail lacks its dtype.
        """
        self._check_open()
        entry = self._header.entry(name)
        return Slice(self, entry, _dtype(name, entry))

    def _check_open(self) -> None:
        if self._file is None:
            raise ValueError("safe_open: the file is closed; read inside of the with block")


class Slice:
    """A tensor in a file; indexing it reads the pages of that part only. Made by ``get_slice``."""

    def __init__(self, file: safe_open, entry: _Entry, dtype: d.dtype) -> None:
        self._file = file
        self._entry = entry
        self._dtype = dtype

    def get_shape(self) -> list[int]:
        """The whole tensor's shape."""
        return list(self._entry.shape)

    def get_dtype(self) -> str:
        """The format's name of the dtype, such as ``"F32"``."""
        return self._entry.dtype

    def __getitem__(self, index: Any) -> Tensor:
        """The part at integers, slices and ``...``.

        Raises:
            TypeError: something else.
            IndexError: it is outside.
        """
        self._file._check_open()
        parts = index if isinstance(index, tuple) else (index,)
        for part in parts:
            is_known = part is Ellipsis or isinstance(part, (slice, int, np.integer))
            if isinstance(part, bool) or not is_known:
                raise TypeError(
                    "get_slice: the index must be made of integers, slices and ..., got "
                    f"{type(part).__name__}"
                )
        entry = self._entry
        pages = self._file._source.mapped()[self._file._header.start :]
        whole = pages[entry.begin : entry.end].view(self._dtype.numpy).reshape(entry.shape)
        part = whole[index]
        shape = part.shape
        data = np.array(part, order="C").reshape(-1).view(np.uint8)
        byteswap(data, self._dtype, "little")
        return _tensor(data, shape, self._dtype, self._file._device)


def load_file(filename: str | os.PathLike[str], device: Any = "cpu") -> dict[str, Tensor]:
    """All tensors of a file.

    Raises:
        CheckpointError: the file is damaged, of another kind, or has a dtype that dovetail lacks.
        OSError: it cannot be read.
    """
    with safe_open(filename, "pt", device) as file:
        return {name: file.get_tensor(name) for name in file.offset_keys()}


def load(data: bytes) -> dict[str, Tensor]:
    """All tensors of a file's bytes, in host memory.

    Raises:
        CheckpointError: they are damaged, of another kind, or have a dtype that dovetail lacks.
    """
    import io

    source = Source(io.BytesIO(data))
    header = _Header(source)
    made = {}
    for name, entry in header.entries.items():
        dtype = _dtype(name, entry)
        part = np.empty(entry.end - entry.begin, np.uint8)
        source.into(header.start + entry.begin, part)
        byteswap(part, dtype, "little")
        made[name] = _tensor(part, entry.shape, dtype, resolve("cpu"))
    return made


# Writing.


def save(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """The bytes of a file; as :func:`save_file`."""
    header, ordered = _plan(tensors, metadata)
    return b"".join([header, *(_bytes(x).tobytes() for x in ordered)])


def save_file(
    tensors: dict[str, Tensor],
    filename: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
) -> None:
    """Write named tensors, from any device; an older file is replaced in one step.

    Args:
        tensors: contiguous, and none over the memory of another: the format has no way to say so.
        filename: a path.
        metadata: more strings, by name.

    Raises:
        ValueError: not a dict of contiguous tensors of a dtype that the format has.
        RuntimeError: two share memory.
        OSError: the file cannot be written.
    """
    header, ordered = _plan(tensors, metadata)
    with opened_for_writing(filename) as file:
        file.write(header)
        for x in ordered:
            file.write(_bytes(x).data)


def _plan(
    tensors: dict[str, Tensor], metadata: dict[str, str] | None
) -> tuple[bytes, list[Tensor]]:
    """The header, and the tensors in their order."""
    if not isinstance(tensors, dict):
        raise ValueError(
            f"Expected a dict of [str, torch.Tensor] but received {type(tensors).__name__}"
        )
    for name, x in tensors.items():
        _check_writable(name, x)
    _check_apart(tensors)
    header: dict[str, Any] = {}
    if metadata is not None:
        if not all(isinstance(text, str) for item in metadata.items() for text in item):
            raise ValueError("save_file: metadata must be strings by strings")
        header[_METADATA] = metadata
    order = list(_NAMES)
    names = sorted(tensors, key=lambda name: (order.index(tensors[name].dtype), name))
    at = 0
    for name in names:
        x = tensors[name]
        place = [at, at + x.nbytes]
        header[name] = {
            "dtype": _NAMES[x.dtype], "shape": list(x.shape), "data_offsets": place
        }  # fmt: skip
        at = place[1]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, [tensors[name] for name in names]


def _check_writable(name: Any, x: Any) -> None:
    if not isinstance(name, str) or name == _METADATA:
        raise ValueError(f"save_file: a tensor's name must be a string, got {name!r}")
    if not isinstance(x, Tensor):
        raise ValueError(
            f"Key `{name}` is invalid, expected torch.Tensor but received {type(x).__name__}"
        )
    if x.dtype not in _NAMES:
        raise ValueError(f"save_file: the format has no {x.dtype}, which tensor {name!r} is of")
    if not x._spec.is_contiguous:
        raise ValueError(
            f"You are trying to save a non contiguous tensor: `{name}` which is not allowed. It "
            "either means you are trying to save tensors which are reference of each other in "
            "which case it's recommended to save only the full tensors, and reslice at load time, "
            "or simply call `.contiguous()` on your tensor to pack it before saving."
        )


def _check_apart(tensors: dict[str, Tensor]) -> None:
    """See that no two tensors lie over each other."""
    places = []
    for name, x in tensors.items():
        if x.nbytes and not x.is_meta:
            storage = root_of(storage_of(x))
            begin = x._offset * x.itemsize
            places.append((id(storage), begin, begin + x.nbytes, name))
    places.sort()
    for (one, _, end, name), (other, begin, _, next_name) in pairwise(places):
        if one == other and begin < end:
            raise RuntimeError(
                f"Some tensors share memory, this will lead to duplicate memory on disk and "
                f"potential differences when loading them again: {name!r} and {next_name!r}; save "
                "one of them, or a clone()"
            )


def _bytes(x: Tensor) -> np.ndarray:
    """The elements as flat little-endian bytes, in host memory."""
    array = raw.to_host(x.detach())
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    copy = data.copy() if np.little_endian is False else data
    byteswap(copy, x.dtype, "little")
    return copy
