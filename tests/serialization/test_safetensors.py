"""safetensors files: exchanged with the library, read in slices, and refused when damaged."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.serialization import CheckpointError
from dovetail.serialization.safetensors import load, load_file, safe_open, save, save_file

DTYPES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
    "float64", "complex64",
)  # fmt: skip


def tensors(torch: Any) -> dict[str, Any]:
    made = {name: torch.arange(6).reshape(2, 3).to(getattr(torch, name)) for name in DTYPES}
    return {**made, "0d": torch.tensor(3.5), "empty": torch.ones(0, 3), 'é "x\\': torch.ones(1)}


def same(ours: Any, theirs: Any) -> bool:
    return (
        str(ours.dtype) == str(theirs.dtype)
        and tuple(ours.shape) == tuple(theirs.shape)
        and ours.tolist() == theirs.tolist()
    )


def test_beside_the_library(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")
    library = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    ours, theirs = tensors(dt), tensors(torch)
    metadata = {"format": "pt", "é": "\U0001f600"}
    save_file(ours, tmp_path / "ours", metadata)
    library.save_file(theirs, tmp_path / "theirs", metadata)
    read_by_library = library.load_file(tmp_path / "ours")
    read_by_us = load_file(tmp_path / "theirs")
    assert read_by_us.keys() == ours.keys() == read_by_library.keys()
    for name in ours:
        assert same(ours[name], read_by_library[name]), name
        assert same(read_by_us[name], theirs[name]), name
    assert load(library.save(theirs))["bfloat16"].tolist() == ours["bfloat16"].tolist()
    assert library.load(save(ours))["bfloat16"].tolist() == ours["bfloat16"].tolist()
    with (
        safe_open(tmp_path / "theirs", "pt") as a,
        library.safe_open(tmp_path / "ours", "pt") as b,
    ):
        assert a.metadata() == b.metadata() == metadata
        assert sorted(a.keys()) == sorted(b.keys())
        assert a.offset_keys() == b.offset_keys()
        one, other = a.get_slice("float32"), b.get_slice("float32")
        assert one.get_shape() == other.get_shape()
        assert one.get_dtype() == other.get_dtype() == "F32"
        for index in (0, -1, slice(1, None), (slice(None), 1), (1, slice(0, 2)), ...):
            assert same(one[index], other[index]), index


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_file({"x": dt.arange(24.0).reshape(4, 6), "h": dt.ones(3).half()}, tmp_path / "f")
    return tmp_path / "f"


def test_slices(path: Path) -> None:
    whole = dt.arange(24.0).reshape(4, 6)
    with safe_open(path) as file:
        part = file.get_slice("x")
        for index in (
            1, -1, slice(1, 3), slice(None, None, 2), (slice(None), slice(2, 5)), (..., 1),
            (1, 2), slice(3, 3),
        ):  # fmt: skip
            assert same(part[index], whole[index])
        assert part[::-1].tolist() == whole.flip(0).tolist()
        got = part[1:3]
        got[0, 0] = -1  # its own memory
        assert part[1, 0].item() == 6.0
        with pytest.raises(IndexError):
            part[4]
        for bad in ([0, 1], True, dt.tensor([0]), None, 1.5):
            with pytest.raises(TypeError, match="integers, slices"):
                part[bad]


def test_slices_read_only_their_part(tmp_path: Path) -> None:
    save_file({"x": dt.zeros(4_000_000)}, tmp_path / "big")
    tracemalloc.start()
    with safe_open(tmp_path / "big") as file:
        assert file.get_slice("x")[1_000_000:1_000_010].tolist() == [0.0] * 10
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_on_a_device(path: Path, device: Any) -> None:
    loaded = load_file(path, device=device)
    assert loaded["x"].device == dt.ones(1, device=device).device
    assert loaded["x"].tolist() == dt.arange(24.0).reshape(4, 6).tolist()
    with safe_open(path, "pt", device=device) as file:
        assert file.get_slice("x")[1].tolist() == [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]
    save_file(loaded, path)
    assert load_file(path)["h"].tolist() == [1, 1, 1]
    assert load_file(path, device="meta")["x"].shape == (4, 6)


def test_closed(path: Path) -> None:
    with safe_open(path) as file:
        part = file.get_slice("x")
    for use in (lambda: part[0], lambda: file.get_tensor("x"), lambda: file.get_slice("x")):
        with pytest.raises(ValueError, match="the file is closed"):
            use()
    with pytest.raises(ValueError, match="framework"):
        safe_open(path, "tf")


def test_what_cannot_be_written(tmp_path: Path) -> None:
    x = dt.arange(6.0).reshape(2, 3)
    for bad, error, words in (
        ([x], ValueError, "Expected a dict"),
        ({"x": 3}, ValueError, "expected torch.Tensor"),
        ({3: x}, ValueError, "must be a string"),
        ({"__metadata__": x}, ValueError, "must be a string"),
        ({"x": x.t()}, ValueError, "non contiguous"),
        ({"x": x, "y": x}, RuntimeError, "share memory.*'x' and 'y'"),
        ({"x": x, "y": x[1:]}, RuntimeError, "share memory"),
        ({"x": dt.ones(1, dtype=dt.complex128)}, ValueError, "no torch.complex128"),
    ):
        with pytest.raises(error, match=words):
            save_file(bad, tmp_path / "f")
    with pytest.raises(ValueError, match="metadata must be strings"):
        save_file({}, tmp_path / "f", {"a": 1})
    assert list(tmp_path.iterdir()) == []
    save_file({"a": x[:1], "b": x[1:]}, tmp_path / "f")  # beside each other
    assert load_file(tmp_path / "f")["b"].tolist() == [[3.0, 4.0, 5.0]]
    parameter = dt.nn.Parameter(x)
    save_file({"p": parameter}, tmp_path / "f")
    assert load_file(tmp_path / "f")["p"].tolist() == x.tolist()


def made(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: Any = "F32", shape: Any = (2,), place: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": place}


DATA = bytes(8)
DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "truncated"),
    "short": (b"\x01\x00", "truncated"),
    "huge header": (made({}, length=1 << 62), "header has"),
    "header past the end": (made({}, length=3), "header has"),
    "no object": (made(b"[]"), "'{'"),
    "no JSON": (made(b'{"a" 1}'), "':'"),
    "string without end": (made(b'{"abc'), "does not end"),
    "escaped end": (made(b'{"abc\\"'), "does not end"),
    "not UTF-8": (made(b'{"\xff":{}}'), "makes no sense"),
    "after the header": (made(b"{}{}"), "something follows"),
    "name twice": (
        made(b'{"x":%s,"x":%s}' % ((json.dumps(entry()).encode(),) * 2), DATA), "there twice"
    ),
    "metadata twice": (made(b'{"__metadata__":{},"__metadata__":{}}'), "there twice"),
    "metadata of numbers": (made({"__metadata__": {"a": 1}}), "'\"'"),
    "unknown dtype": (made({"x": entry("F7")}, DATA), "unknown dtype"),
    "dtype that is a list": (made({"x": entry(["F32"])}, DATA), "makes no sense|unknown"),
    "field too many": (made({"x": {**entry(), "y": 1}}, DATA), "is described by"),
    "field too few": (made({"x": {"dtype": "F32"}}, DATA), "is described by"),
    "nested": (made({"x": {"dtype": {}}}, DATA), "description"),
    "deep": (made(b'{"x":{"dtype":"F32","shape":' + b"[" * 3000 + b"}}"), "makes no sense"),
    "negative shape": (made({"x": entry(shape=[-2, -1])}, DATA), "makes no sense"),
    "shape of floats": (made({"x": entry(shape=[2.0])}, DATA), "makes no sense"),
    "shape of true": (made({"x": entry(shape=[True, 2])}, DATA), "makes no sense"),
    "huge shape": (made({"x": entry(shape=[1 << 40, 1 << 40])}, DATA), "has 8 bytes"),
    "65 dims": (made({"x": entry(shape=[1] * 65, place=[0, 4])}, DATA[:4]), "makes no sense"),
    "one offset": (made({"x": entry(place=[0])}, DATA), "makes no sense"),
    "offsets turned round": (made({"x": entry(place=[8, 0])}, DATA), "has -8 bytes"),
    "past the end": (made({"x": entry()}, DATA[:4]), "its data has 4"),
    "data left over": (made({"x": entry()}, DATA * 2), "its data has 16"),
    "hole": (made({"x": entry(place=[8, 16])}, DATA * 2), "begins at 8, and not at 0"),
    "overlap": (
        made({"x": entry(), "y": entry(place=[4, 12])}, DATA + DATA[:4]), "begins at 4"
    ),
    "many entries": (
        made(
            b"{"
            + b",".join(
                b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(90_000)
            )
            + b"}"
        ),
        "more than",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name: str, tmp_path: Path) -> None:
    data, words = DAMAGED[name]
    for use in (lambda: load(data), lambda: load_file(tmp_path / "f")):
        (tmp_path / "f").write_bytes(data)
        tracemalloc.start()
        with pytest.raises(CheckpointError, match=words):
            use()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < (64 << 20) + len(data)


def test_dtypes_that_dovetail_lacks() -> None:
    data = made({"x": entry("U16", [4]), "y": entry("F32", [2], [8, 16])}, DATA * 2)
    with pytest.raises(CheckpointError, match="is of U16, which dovetail does not have"):
        load(data)


def test_lacking_dtype_is_no_matter_until_asked_for(tmp_path: Path) -> None:
    data = made({"x": entry("F8_E4M3", [8]), "y": entry("F32", [2], [8, 16])}, DATA * 2)
    (tmp_path / "f").write_bytes(data)
    with safe_open(tmp_path / "f") as file:
        assert file.get_tensor("y").tolist() == [0.0, 0.0]
        for ask in (file.get_tensor, file.get_slice):
            with pytest.raises(CheckpointError, match="F8_E4M3"):
                ask("x")
            with pytest.raises(CheckpointError, match="no tensor 'nothing'"):
                ask("nothing")


def test_bytes_are_little_endian_and_aligned() -> None:
    data = save({"b": dt.tensor([True]), "a": dt.tensor([1.0, 2.0], dtype=dt.float64)})
    (length,) = struct.unpack("<Q", io.BytesIO(data).read(8))
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    assert header["a"]["data_offsets"] == [0, 16]
    assert data[8 + length :] == np.array([1.0, 2.0], "<f8").tobytes() + b"\x01"
