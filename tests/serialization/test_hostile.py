"""Files made to hurt: each is one clear error, runs nothing, and costs little memory."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import pickles
import pytest

import dovetail as dt
from dovetail.serialization import CheckpointError

LIMIT = 4 << 20  # of most tests here; the usual one is 56 MB
SLACK = 2 << 20  # what the reader itself takes

NESTED = b")" + b"\x85" * 300_000
PAIRS = b")" + b"2\x86" * 40
TENSOR = pickles.tensor()
DATA = bytes(8)


def calls(module: str, name: str, argument: str) -> bytes:
    return f"c{module}\n{name}\n".encode() + pickles.text(argument) + b"\x85R"


PICKLES: dict[str, tuple[bytes, str]] = {
    "call of a command": (calls("os", "system", "false"), "blocked"),
    "call of a command, posix": (calls("posix", "system", "false"), "blocked"),
    "a module of a blocked one": (calls("os.path", "join", "a"), "blocked"),
    "eval": (calls("builtins", "eval", "1"), "GLOBAL builtins.eval was not an allowed global"),
    "eval of Python 2": (calls("__builtin__", "eval", "1"), "GLOBAL builtins.eval"),
    "getattr": (calls("builtins", "getattr", "x"), "GLOBAL builtins.getattr"),
    "attribute of an allowed class": (b"ctorch\nTensor.__init__\n", "GLOBAL torch.Tensor.__init__"),
    "a function of ours": (calls("dovetail.serialization", "load", "x"), "not an allowed"),
    "a module of ours": (calls("torch.utils.data", "DataLoader", "x"), "not an allowed"),
    "name without module": (pickles.text("x") + b"N\x93", "no string"),
    "call of a number": (b"K\x01)R", "unrecognized function"),
    "call of a tensor class": (b"ctorch\nTensor\n)R", "unrecognized function"),
    "call of a string": (pickles.text("eval") + b")R", "unrecognized function"),
    "arguments that are none": (pickles.V2 + b"K\x01R", "arguments"),
    "new object of a number": (b"K\x01)\x81", "unrecognized function"),
    "state for a list": (b"]}b", "Can only build"),
    "attribute of a class": (pickles.V2 + b"}b", "Can only build"),
    "append to a tuple": (b")K\x01a", "puts items into a tuple"),
    "item of a list": (b"]K\x01K\x02s", "puts items into a list"),
    "key without value": (b"}(K\x01u", "key without a value"),
    "list as a key": (b"}]K\x01s", "unhashable"),
    "empty stack": (b"0", "damaged"),
    "no mark": (b"K\x01t", "damaged"),
    "unknown opcode": (b"\xff", "opcode"),
    "extension": (b"\x82\x01", "opcode"),
    "out-of-band buffer": (b"\x97", "opcode"),
    "memo that was not put": (b"h\x07", "damaged"),
    "negative memo": (b"K\x01p-1\n", "damaged"),
    "protocol 77": (b"\x80\x4d", "protocol"),
    "string longer than the file": (b"X\xff\xff\xff\x7fabc", "more than|truncated"),
    "string of 2**63 bytes": (b"\x8d" + b"\xff" * 7 + b"\x7fabc", "more than"),
    "bytes of 2**40": (b"\x8e" + struct.pack("<Q", 1 << 40), "more than"),
    "bytearray of 2**40": (b"\x96" + struct.pack("<Q", 1 << 40), "more than"),
    "old string of 2**31": (b"T\xff\xff\xff\x7f", "truncated"),
    "number of 2**31 bytes": (b"\x8b\xff\xff\xff\x7f", "more than"),
    "number of a million digits": (b"L" + b"9" * 1_000_000 + b"L\n", "does not end"),
    "number of many digits": (b"L" + b"9" * 60_000 + b"L\n", "damaged"),
    "line without end": (b"c" + b"a" * 100_000, "does not end"),
    "memo at 2**31": (b"K\x01r\xff\xff\xff\x7fj\xfe\xff\xff\x7f", "damaged"),
    "a million memo places": (
        b"K\x01" + b"".join(b"r" + struct.pack("<I", 2 * i + 9) for i in range(100_000)),
        "more than",
    ),
    "sets": (b"\x8f" * 50_000, "more than"),
    "dicts": (b"}" * 100_000, "more than"),
    "lists": (b"]" * 100_000, "more than"),
    "marks": (b"(" * 100_000, "more than"),
    "ordered dicts": (
        b"ccollections\nOrderedDict\nq\x00" + b"h\x00)R" * 50_000,
        "more than",
    ),
    "sizes": (b"ctorch\nSize\nq\x00" + b"h\x00)R" * 100_000, "more than"),
    "None": (b"N" * 500_000, "more than"),
    "list of copies": (b"](" + b"K\x01" + b"2" * 500_000 + b"e", "more than"),
    "wide characters": (pickles.text("a" * 1_000_000 + "\U0001f600"), "more than"),
    "dict of many items": (
        b"}(" + b"".join(b"J" + struct.pack("<i", i) + b"N" for i in range(40_000)) + b"u",
        "more than",
    ),
    "bytearray by a number": (b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R", "of no bytes"),
    "set of a number": (b"cbuiltins\nset\nK\x05\x85R", "of no list"),
    "encode by a codec": (
        b"c_codecs\nencode\n" + pickles.text("a") + pickles.text("zip") + b"\x86R",
        "encoding",
    ),
    "complex of a text": (b"cbuiltins\ncomplex\n" + pickles.text("1j") + b"\x85R", "no number"),
    "key nested very deep": (b"}" + NESTED + b"K\x01s", "more than"),
    "set of a nested key": (b"\x8f(" + b")" + b"\x85" * 10_000 + b"\x90", "more than 64 parts"),
    "nested key": (b"}" + b")" + b"\x85" * 10_000 + b"K\x01s", "more than 64 parts"),
    "key of 2**40 shared parts": (b"}" + PAIRS + b"K\x01s", "more than 64 parts"),
    "frozen set of one": (b"(" + PAIRS + b"\x91", "more than 64 parts"),
    "pairs for an ordered dict": (
        b"ccollections\nOrderedDict\n](" + PAIRS + b"K\x01\x86e\x85R",
        "more than 64 parts",
    ),
    "persistent id that is a list": (b"]Q", "persistent id"),
    "persistent id of a module": (b"(" + pickles.text("module") + b"NNNtQ", "Only persistent_load"),
    "persistent id in text": (b"P12\n", "Only persistent_load"),
    "storage out of the folder": (pickles.tensor(key=pickles.text("../../etc/passwd")), "no entry"),
    "storage of no type": (pickles.tensor(kind=b"K\x01"), "makes no sense"),
    "storage of 2**62 elements": (pickles.tensor(numel=pickles.number(1 << 62)), "makes no sense"),
    "storage of other size": (pickles.tensor(numel=b"K\x03"), "has 8 bytes"),
    "negative numel": (pickles.tensor(numel=pickles.number(-2)), "makes no sense"),
    "huge shape": (pickles.tensor(size=pickles.number(1 << 60) + b"\x85"), "its storage has 2|too"),
    "huge shape of stride 0": (
        pickles.tensor(size=pickles.number(1 << 62) + b"\x85", stride=b"K\x00\x85"),
        "too many",
    ),
    "huge product": (
        pickles.tensor(
            size=b"(" + pickles.number(1 << 40) * 4 + b"t", stride=b"(" + b"K\x00" * 4 + b"t"
        ),
        "too many",
    ),
    "shape past 2**63": (pickles.tensor(size=b"\x8a\x0a" + b"\x7f" * 10 + b"\x85"), "integers"),
    "negative size": (pickles.tensor(size=pickles.number(-1) + b"\x85"), "integers"),
    "negative stride": (pickles.tensor(stride=pickles.number(-1) + b"\x85"), "integers"),
    "size of True": (pickles.tensor(size=b"\x88\x85"), "integers"),
    "65 dims": (
        pickles.tensor(size=b"(" + b"K\x01" * 65 + b"t", stride=b"(" + b"K\x01" * 65 + b"t"),
        "at most 64",
    ),
    "offset beyond": (pickles.tensor(offset=b"K\x01"), "its storage has 2"),
    "negative offset": (pickles.tensor(offset=pickles.number(-1)), "negative"),
    "more sizes than strides": (pickles.tensor(stride=b")"), "must be as many"),
    "gradient of an integer": (
        pickles.tensor(kind=b"ctorch\nIntStorage\n", rest=b"\x88)"),
        "require a gradient",
    ),
    "requires_grad of a text": (pickles.tensor(rest=pickles.text("x") + b")"), "requires_grad"),
    "unknown metadata": (
        pickles.tensor(rest=b"\x89)}" + pickles.text("x") + b"K\x01s"),
        "unknown metadata",
    ),
    "conjugate of an expanded tensor": (
        pickles.tensor(
            size=pickles.number(1 << 30) + b"\x85",
            stride=b"K\x00\x85",
            rest=b"\x89)}" + pickles.text("conj") + b"\x88s",
        ),
        "more than",
    ),
    "tensor in a number": (pickles.V2 + b"(K\x01K\x00))\x89)tR", "not in a storage"),
    "parameter of a number": (
        b"ctorch._utils\n_rebuild_parameter\nK\x01\x88N\x87R",
        "a tensor is wanted",
    ),
    "attributes by numbers": (TENSOR + b"}K\x01K\x02sb", "has the name 1"),
    "attributes by a list": (TENSOR + b"]b", "attributes are a list"),
    "tensor by eval": (
        b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nSize\nctorch\nTensor\n))tR",
        "no known function",
    ),
    "unknown device": (b"ctorch\ndevice\n" + pickles.text("nowhere") + b"\x85R", "unknown here"),
    "device of a number": (b"ctorch\ndevice\nK\x01\x85R", "without a name"),
    "unknown storage": (b"ctorch\nFunnyStorage\n", "no such dtype"),
    "meta tensor of 2**60": (
        b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nfloat32\n"
        + (b"(" + pickles.number(1 << 40) * 2 + b"t") * 2
        + b"\x89tR",
        "too many",
    ),
}


def refused(data: bytes, words: str, limit: int = LIMIT) -> None:
    """The file is refused, and costs no more than the limit and its own size."""
    file = io.BytesIO(data)
    tracemalloc.start()
    try:
        with dt.serialization.limits(objects=limit), pytest.raises(CheckpointError, match=words):
            dt.load(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit + SLACK + len(data)


@pytest.mark.parametrize("name", PICKLES)
def test_hostile_pickles(name: str) -> None:
    content, words = PICKLES[name]
    refused(pickles.archive(content, s0=DATA), words)


def test_pickle_without_end() -> None:
    refused(pickles.archive(b"\x80\x02K\x01", wrap=False), "truncated")


@pytest.mark.parametrize("name", ["call of a command", "huge shape", "negative numel", "sets"])
def test_hostile_legacy_pickles(name: str) -> None:
    content, words = PICKLES[name]
    content = content.replace(pickles.text("cpu") + b"K\x02tQ", pickles.text("cpu") + b"K\x02NtQ")
    content = content.replace(
        pickles.text("cpu") + pickles.number(-2) + b"tQ",
        pickles.text("cpu") + pickles.number(-2) + b"NtQ",
    )
    refused(pickles.legacy(content, bytes(64)), words)


LEGACY = {
    "storages larger than the file": (1 << 40, b"", "larger than it is"),
    "storage that does not follow": (2, b"\x80\x02].", "other storages follow"),
    "storage of another size": (
        2, pickle.dumps(["0"], 2) + struct.pack("<q", 3) + bytes(12), "3 elements"
    ),
    "negative size": (2, pickle.dumps(["0"], 2) + struct.pack("<q", -1) + bytes(12), "elements"),
    "truncated": (2, pickle.dumps(["0"], 2) + struct.pack("<q", 2) + bytes(7), "truncated"),
    "keys that are none": (2, pickle.dumps(3, 2), "other storages follow"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEGACY)
def test_legacy_streams(name: str) -> None:
    numel, after, words = LEGACY[name]
    storage = pickles.number(numel) + b"N"
    refused(pickles.legacy(pickles.tensor(numel=storage), after), words)


PARTS = {
    "outside": pickles.number(1) + pickles.number(2),
    "negative": pickles.number(-1) + pickles.number(1),
    "no numbers": b"NN",
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_storages(name: str) -> None:
    view = b"(" + pickles.text("1") + PARTS[name] + b"t"
    after = pickle.dumps(["0"], 2) + struct.pack("<q", 2) + bytes(8)
    content = pickles.tensor(numel=b"K\x02" + view)
    refused(pickles.legacy(content, after), "lies outside")


def test_part_of_a_storage_is_read() -> None:
    """As PyTorch wrote them before 0.4."""
    view = b"(" + pickles.text("1") + b"K\x01K\x01t"
    after = pickle.dumps(["0"], 2) + struct.pack("<q2f", 2, 5.0, 7.0)
    content = pickles.tensor(numel=b"K\x02" + view, size=b"K\x01\x85")
    assert dt.load(io.BytesIO(pickles.legacy(content, after))).tolist() == [7.0]


def test_bytes_that_are_nothing() -> None:
    for data, words in (
        (b"", "empty"),
        (b"PK\3\4", "truncated"),
        (b"hello, world", "none that torch.save"),
        (b"\x80\x02K\x01.", "Invalid magic"),
        (pickle.dumps({"weights": [1, 2]}), "Invalid magic"),
        (b"PK\3\4" + bytes(1000), "end is missing"),
    ):
        refused(data, words)


# Archives.


def repacked(**options: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as target:
        target.writestr("a/data.pkl", b"\x80\x02" + TENSOR + b".")
        target.writestr("a/data/0", bytes(50_000_000))
    return file.getvalue()


def edited(change: Callable[[bytearray], None]) -> bytes:
    data = bytearray(pickles.archive(TENSOR, s0=DATA))
    change(data)
    return bytes(data)


def end_of(data: bytearray) -> int:
    return data.rfind(b"PK\5\6")


def patch(place: Callable[[bytearray], int], form: str, value: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        struct.pack_into(form, data, place(data), value)

    return change


def entry(data: bytearray, name: bytes) -> int:
    """Where the directory's line of an entry begins."""
    return data.rfind(name) - 46


STORAGE = b"a/data/0"
ARCHIVES: dict[str, tuple[bytes, str]] = {
    "zip bomb": (repacked(compression=zipfile.ZIP_DEFLATED), "compressed"),
    "said to be encrypted": (
        edited(patch(lambda d: entry(d, STORAGE) + 8, "<H", 1)), "encrypted"
    ),
    "more entries than here": (
        edited(patch(lambda d: end_of(d) + 10, "<H", 60_000)), "several"
    ),
    "more entries than fit": (
        edited(lambda d: struct.pack_into("<2H", d, end_of(d) + 8, 60_000, 60_000)), "does not fit"
    ),
    "several disks": (edited(patch(lambda d: end_of(d) + 4, "<H", 1)), "several"),
    "directory outside": (edited(patch(lambda d: end_of(d) + 16, "<L", 1 << 31)), "does not fit"),
    "64-bit end that is missing": (
        edited(patch(lambda d: end_of(d) + 16, "<L", 0xFFFFFFFF)), "64-bit"
    ),
    "entry outside": (edited(patch(lambda d: entry(d, STORAGE) + 42, "<L", 1 << 30)), "outside"),
    "entry that is another": (
        edited(patch(lambda d: entry(d, STORAGE) + 42, "<L", 0)), "not where"
    ),
    "entry too large": (
        edited(
            lambda d: struct.pack_into("<2L", d, entry(d, STORAGE) + 20, 100_000, 100_000)
        ),
        "outside",
    ),
    "entry over the next": (
        edited(lambda d: struct.pack_into("<2L", d, entry(d, STORAGE) + 20, 40, 40)), "over another"
    ),
    "64-bit size that is missing": (
        edited(lambda d: struct.pack_into("<2L", d, entry(d, STORAGE) + 20, *[0xFFFFFFFF] * 2)),
        "64-bit",
    ),
    "changed data": (
        edited(lambda d: d.__setitem__(d.find(STORAGE) + len(STORAGE), 7)), "CRC"
    ),
    "changed pickle": (edited(lambda d: d.__setitem__(d.find(b"storage"), 7)), "CRC"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_hostile_archives(name: str) -> None:
    refused(*ARCHIVES[name])


def test_names_that_leave_the_folder() -> None:
    for bad in ("../../x", "/etc/passwd", "a/../../x", "a\\..\\x", "b/data/0", "x"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as target:
            target.writestr("a/data.pkl", b"\x80\x02N.")
            target.writestr("a/version", b"3")
            target.writestr(zipfile.ZipInfo(bad), b"x")
        refused(file.getvalue(), "leaves its folder|is not in the folder")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_entry_that_is_there_twice() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for content in (b"\x80\x02N.", b"\x80\x02K\x01."):
            target.writestr("a/data.pkl", content)
    refused(file.getvalue(), "there twice")


def test_archive_of_many_entries() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for i in range(200):
            target.writestr(f"a/{i}", b"")
    data = bytearray(file.getvalue())
    end = end_of(data)
    directory = bytes(data[struct.unpack_from("<L", data, end + 16)[0] : end])
    many = directory * 100
    begin = end - len(directory)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, begin + len(many), 1)
    end_64 = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 20_000, 20_000, len(many), begin
    )
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, 0)
    refused(bytes(data[:begin]) + many + end_64 + locator + last, "more than")


def test_limit_can_be_raised() -> None:
    data = pickles.archive(b"(" + b"]" * 100_000 + b"l")
    refused(data, r"limits\(objects=")
    with dt.serialization.limits(objects=LIMIT * 3):
        assert len(dt.load(io.BytesIO(data))) == 100_000


def test_usual_limit() -> None:
    """64 MB beyond the file's size are what a file may cost; this one would take 216."""
    refused(pickles.archive(b"\x8f" * 1_000_000), "more than 56 MB", 56 << 20)


def test_cycles_that_do_no_harm_are_read() -> None:
    loaded = dt.load(io.BytesIO(pickles.archive(b"]q\x00h\x00a")))
    assert loaded[0] is loaded
    loaded = dt.load(io.BytesIO(pickles.archive(b"}q\x00K\x01h\x00s")))
    assert loaded[1] is loaded


def test_deep_lists_are_read_and_dropped() -> None:
    deep = b"]q\x00" + b"".join(b"](" + b"h\x00eq\x00" for _ in range(100_000))
    loaded = dt.load(io.BytesIO(pickles.archive(deep)))
    assert type(loaded) is list
    del loaded
