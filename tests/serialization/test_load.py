"""``save`` and ``load``: arguments, places, memory maps, what is allowed, and what is said."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pickles
import pytest

import dovetail as dt
from dovetail.serialization import CheckpointError, get_safe_globals


class Note:
    """A class of the program."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Note) and other.text == self.text


class Slotted:
    __slots__ = ("a", "b")


ran: list[str] = []


def record(text: str) -> None:
    ran.append(text)


class Runs:
    """Has a function called when it is unpickled."""

    def __reduce__(self) -> Any:
        return record, ("code of the file",)


def saved(obj: Any, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    dt.save(obj, file, **options)
    file.seek(0)
    return file


@pytest.fixture(params=["zip", "legacy"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {} if request.param == "zip" else {"_use_new_zipfile_serialization": False}


class TestPlaces:
    def test_kinds_of_files(self, tmp_path: Path, options: dict[str, Any]) -> None:
        x = dt.arange(3)
        for f in (tmp_path / "a.pth", str(tmp_path / "b.pth")):
            dt.save(x, f, **options)
            assert dt.load(f).tolist() == [0, 1, 2]
        with open(tmp_path / "c.pth", "wb") as file:
            dt.save(x, file, **options)
        with open(tmp_path / "c.pth", "rb") as file:
            assert dt.load(file).tolist() == [0, 1, 2]

    def test_objects_that_only_read_and_write(self, options: dict[str, Any]) -> None:
        class Slow:
            """A file that gives and takes little at a time."""

            def __init__(self) -> None:
                self.file = io.BytesIO()
                self.seek, self.tell = self.file.seek, self.file.tell

            def write(self, data: Any) -> int:
                return self.file.write(bytes(data[:100]))

            def read(self, n: int) -> bytes:
                return self.file.read(min(n, 100))

        x = dt.arange(1000)
        slow = Slow()
        if not options:  # the legacy format writes pickles whole
            dt.save(x, slow)
        else:
            slow.file.write(saved(x, **options).getvalue())
        slow.seek(0)
        assert dt.load(slow).tolist() == x.tolist()

    def test_what_is_no_file(self) -> None:
        with pytest.raises(AttributeError, match="must be a path or have a method write"):
            dt.save(1, 3)
        with pytest.raises(AttributeError, match="has no read"):
            dt.load(3)
        with pytest.raises(FileNotFoundError):
            dt.load("there/is/no/such/file.pth")
        with pytest.raises(FileNotFoundError):
            dt.save(1, "there/is/no/such/folder/file.pth")

    def test_pipe(self, options: dict[str, Any]) -> None:
        code = f"import dovetail as dt; dt.save(dt.arange(3), '/dev/stdout', **{options!r})"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, timeout=120, check=True)
        assert dt.load(io.BytesIO(done.stdout)).tolist() == [0, 1, 2]

    def test_equal_contents_give_equal_files(self, tmp_path: Path) -> None:
        for name in ("a.pth", "b.other"):
            dt.save({"x": dt.ones(3)}, tmp_path / name)
        assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.other").read_bytes()


class TestMapLocation:
    @pytest.fixture
    def other(self, device: Any) -> Any:
        if dt.device(device).type == "cpu":
            device = "loop:0"
            try:
                dt.ones(1, device=device)
            except RuntimeError as error:
                pytest.skip(f"no other device: {error}")
        return dt.device(device)

    def test_back_to_where_it_was(self, other: Any, options: dict[str, Any]) -> None:
        x = dt.arange(6.0, device=other).reshape(2, 3)
        file = saved([x, x.t(), dt.ones(1), dt.nn.Parameter(x)], **options)
        one, view, host, parameter = dt.load(file)
        assert [t.device for t in (one, view, parameter)] == [other] * 3
        assert host.device.type == "cpu"
        assert one.tolist() == x.tolist()
        assert view.tolist() == x.t().tolist()
        assert isinstance(parameter, dt.nn.Parameter)
        one[0, 0] = 7
        assert view[0, 0].item() == 7

    @pytest.mark.parametrize("target", ["name", "device", "dict", "storage", "none"])
    def test_forms(self, other: Any, options: dict[str, Any], target: str) -> None:
        here = dt.device("cpu")
        locations = []

        def to_host(storage: Any, location: str) -> Any:
            locations.append((storage.nbytes(), location))
            return storage

        forms = {
            "name": "cpu", "device": here, "dict": {str(other): "cpu"}, "storage": to_host,
            "none": lambda storage, location: None,
        }  # fmt: skip
        x = dt.arange(3.0, device=other)
        loaded = dt.load(saved([x, x[1:]], **options), map_location=forms[target])
        place = other if target == "none" else here
        assert [t.device for t in loaded] == [place, place]
        assert [t.tolist() for t in loaded] == [[0.0, 1.0, 2.0], [1.0, 2.0]]
        assert locations == ([(12, str(other))] if target == "storage" else [])

    def test_to_a_device(self, other: Any, options: dict[str, Any]) -> None:
        x = dt.arange(3.0)
        forms = (other, {"cpu": other}, lambda storage, location: storage.to(other))
        for form in (str(other), *forms):
            loaded = dt.load(saved([x, x[1:]], **options), map_location=form)
            assert [t.device for t in loaded] == [other, other]
            assert loaded[1].tolist() == [1.0, 2.0]

    def test_to_nowhere(self, options: dict[str, Any]) -> None:
        x = dt.arange(6.0).reshape(2, 3)
        loaded = dt.load(saved([x.t(), dt.nn.Parameter(x)], **options), map_location="meta")
        assert [t.is_meta for t in loaded] == [True, True]
        assert loaded[0].stride() == (1, 3)

    def test_device_that_is_not_here(self, options: dict[str, Any]) -> None:
        content = pickles.tensor(numel=b"K\x02N" if options else b"K\x02")
        content = content.replace(pickles.text("cpu"), pickles.text("gpu"))
        values = struct.pack("<2f", 5.0, 7.0)
        after = pickle.dumps(["0"], 2) + struct.pack("<q", 2) + values
        made = pickles.legacy(content, after) if options else pickles.archive(content, s0=values)
        with pytest.raises(CheckpointError, match=r"'gpu', which cannot.*map_location='cpu'"):
            dt.load(io.BytesIO(made))
        for form in ("cpu", {"gpu": "cpu"}, lambda storage, location: storage):
            assert dt.load(io.BytesIO(made), map_location=form).tolist() == [5.0, 7.0]

    def test_wrong_forms(self, options: dict[str, Any]) -> None:
        x = dt.ones(1)
        with pytest.raises(TypeError, match="must be a device, a dict of locations or a function"):
            dt.load(saved(x, **options), map_location=1.5)
        with pytest.raises(TypeError, match="must return a storage or None, got int"):
            dt.load(saved(x, **options), map_location=lambda storage, location: 3)
        with pytest.raises(ZeroDivisionError):  # the program's own mistakes stay its own
            dt.load(saved(x, **options), map_location=lambda storage, location: 1 // 0)
        with pytest.raises(RuntimeError, match="nowhere"):
            dt.load(saved(x, **options), map_location="nowhere")


class TestMap:
    def test_reads_and_writes_privately(self, tmp_path: Path) -> None:
        path = tmp_path / "file.pth"
        base = dt.arange(6.0).reshape(2, 3)
        dt.save({"x": base, "view": base[1:], "h": dt.ones(3, dtype=dt.float16)}, path)
        before = path.read_bytes()
        loaded = dt.load(path, mmap=True)
        assert loaded["x"].tolist() == base.tolist()
        loaded["x"][1, 1] = 99
        assert loaded["view"][0, 1].item() == 99
        assert path.read_bytes() == before
        assert dt.load(str(path), mmap=True)["h"].tolist() == [1, 1, 1]

    def test_outlives_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file.pth"
        dt.save(dt.arange(1000), path)
        loaded = dt.load(path, mmap=True)
        dt.save(dt.zeros(1000), path)  # a new file in place of the old one, which stays mapped
        assert loaded.tolist() == list(range(1000))

    def test_needs_a_path_and_an_archive(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="must be a file path in order to use the mmap"):
            dt.load(saved(dt.ones(1)), mmap=True)
        dt.save(dt.ones(1), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
        with pytest.raises(RuntimeError, match="mmap can only be used with files in the zip"):
            dt.load(tmp_path / "old.pth", mmap=True)

    def test_of_torch_file(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")
        torch.save({"x": torch.arange(100.0), "y": torch.ones(3, dtype=torch.bool)}, tmp_path / "f")
        loaded = dt.load(tmp_path / "f", mmap=True)
        assert loaded["x"].tolist() == torch.arange(100.0).tolist()
        assert loaded["x"].data_ptr() % 64 == 0


class TestAllowed:
    def test_refused_by_name_with_what_to_do(self) -> None:
        with pytest.raises(CheckpointError) as caught:
            dt.load(saved(Note("a")))
        name = f"{Note.__module__}.Note"
        for words in (
            f"GLOBAL {name} was not an allowed global",
            f"dovetail.serialization.add_safe_globals([{name}])",
            f"with dovetail.serialization.safe_globals([{name}])",
            "weights_only=False, which runs",
        ):
            assert words in str(caught.value)
        assert isinstance(caught.value, pickle.UnpicklingError)
        assert isinstance(caught.value, RuntimeError)

    def test_safe_globals(self) -> None:
        file = saved([Note("a"), dt.ones(1)])
        with dt.serialization.safe_globals([Note]):
            assert dt.load(file)[0] == Note("a")
            assert get_safe_globals() == [Note]
        assert get_safe_globals() == []
        file.seek(0)
        with pytest.raises(CheckpointError):
            dt.load(file)
        dt.serialization.add_safe_globals([Note])
        file.seek(0)
        assert dt.load(file)[0] == Note("a")
        dt.serialization.clear_safe_globals()
        file.seek(0)
        with pytest.raises(CheckpointError):
            dt.load(file)

    def test_inner_block_takes_nothing_from_the_outer(self) -> None:
        with dt.serialization.safe_globals([Note]):
            with dt.serialization.safe_globals([Note, Slotted]):
                pass
            assert get_safe_globals() == [Note]

    def test_under_another_name(self) -> None:
        data = pickles.archive(b"cold.place\nNote\n)\x81}" + pickles.text("text") + b"K\x01sb")
        with dt.serialization.safe_globals([(Note, "old.place.Note")]):
            assert get_safe_globals() == [(Note, "old.place.Note")]
            assert dt.load(io.BytesIO(data)).text == 1

    def test_slots_and_functions(self) -> None:
        made = Slotted()
        made.a, made.b = 1, dt.ones(1)
        with dt.serialization.safe_globals([Slotted]):
            assert dt.load(saved(made)).a == 1
        array = np.arange(3)
        with pytest.raises(CheckpointError, match="numpy"):
            dt.load(saved(array))
        reconstruct, _, _ = array.__reduce__()
        allowed = [reconstruct, np.ndarray, np.dtype, type(array.dtype)]
        with dt.serialization.safe_globals(allowed):
            assert dt.load(saved(array)).tolist() == [0, 1, 2]

    def test_blocked_modules_stay_so(self) -> None:
        data = pickles.archive(b"cos\nsystem\n" + pickles.text("false") + b"\x85R")
        with (
            dt.serialization.safe_globals([(os.system, "os.system")]),
            pytest.raises(CheckpointError, match="is blocked"),
        ):
            dt.load(io.BytesIO(data))

    def test_wrong_entries(self) -> None:
        with pytest.raises(ValueError, match="tuple of length 2"):
            dt.serialization.add_safe_globals([(Note, "a", "b")])
        with pytest.raises(TypeError, match="to be str"):
            dt.serialization.add_safe_globals([(Note, 3)])

    def test_whole_module_needs_weights_only_false(self) -> None:
        model = dt.nn.Linear(2, 2)
        with pytest.raises(CheckpointError, match=r"dovetail\.nn\.linear\.Linear"):
            dt.load(saved(model))
        loaded = dt.load(saved(model), weights_only=False)
        assert loaded(dt.ones(2)).tolist() == model(dt.ones(2)).tolist()


class TestCode:
    """With ``weights_only=False`` the file's code runs, and only then."""

    def test_runs_only_when_told(self, options: dict[str, Any]) -> None:
        ran.clear()
        file = saved([Runs()], **options)
        with pytest.raises(CheckpointError, match="record was not an allowed"):
            dt.load(file)
        assert ran == []
        file.seek(0)
        assert dt.load(file, weights_only=False) == [None]
        assert ran == ["code of the file"]

    def test_own_unpickler(self, options: dict[str, Any]) -> None:
        file = saved([Note("a"), dt.arange(2)], **options)
        note, x = dt.load(file, pickle_module=pickle)
        assert (note, x.tolist()) == (Note("a"), [0, 1])
        with pytest.raises(RuntimeError, match="explicit pickle_module"):
            dt.load(file, pickle_module=pickle, weights_only=True)
        with pytest.raises(TypeError, match="builds on Python's own"):
            dt.save(1, io.BytesIO(), pickle_module=io)

    def test_damaged(self, options: dict[str, Any]) -> None:
        data = pickles.archive(b"K", wrap=False) if not options else pickles.legacy(b"K")[:-1]
        with pytest.raises(CheckpointError):
            dt.load(io.BytesIO(data), weights_only=False)

    def test_names_of_torch_that_are_not_here(self) -> None:
        data = pickles.archive(b"ctorch.fx\nGraphModule\n")
        with pytest.raises(CheckpointError, match=r"names torch\.fx\.GraphModule"):
            dt.load(io.BytesIO(data), weights_only=False)

    def test_strings_of_python_2(self) -> None:
        data = pickles.archive(b"U\x02\xc3\xa9")
        for encoding, value in (("utf-8", "é"), ("latin1", "Ã©"), ("bytes", b"\xc3\xa9")):
            for weights_only in (True, False):
                loaded = dt.load(io.BytesIO(data), weights_only=weights_only, encoding=encoding)
                assert loaded == value

    def test_other_arguments_are_for_the_unpickler(self) -> None:
        with pytest.warns(UserWarning, match="pickle_load_args only works"):
            dt.load(saved(1), errors="strict")
        assert dt.load(saved(1), weights_only=False, errors="strict") == 1


def test_what_cannot_be_saved_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    dt.save(1, path)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        dt.save(lambda: 0, path)
    with pytest.raises(RuntimeError, match="inside of vmap"):
        dt.func.vmap(lambda x: dt.save(x, path))(dt.ones(2))
    assert dt.load(path) == 1
    assert os.listdir(tmp_path) == ["file.pth"]


def test_first_format() -> None:
    """A tar archive, as PyTorch wrote before 0.2; PyTorch itself runs its code to read it."""
    loaded = dt.load(io.BytesIO(pickles.tar()))
    assert loaded["whole"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    loaded["whole"][1, 0] = 9
    assert loaded["row"].tolist() == [9.0, 4.0, 5.0]
    with pytest.raises(CheckpointError, match="blocked"):
        dt.load(io.BytesIO(pickles.tar(b"cos\nsystem\n")))


def test_first_format_beside_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")
    path = tmp_path / "file.tar"
    path.write_bytes(pickles.tar())
    ours, theirs = dt.load(path), torch.load(path, weights_only=False)
    for name in ("whole", "row"):
        assert ours[name].tolist() == theirs[name].tolist()
        assert ours[name].stride() == theirs[name].stride()


def test_safetensors_by_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    dt.serialization.safetensors.save_file({"x": dt.arange(3)}, path)
    assert dt.load(path)["x"].tolist() == [0, 1, 2]
    assert dt.load(path, map_location="meta")["x"].is_meta
    with pytest.raises(RuntimeError, match="as one device"):
        dt.load(path, map_location={})
