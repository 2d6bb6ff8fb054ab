"""Files of PyTorch open here and files from here open in PyTorch, equal in every fact."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import checkpoint_objects as objects
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

FORMATS = {"zip": {}, "legacy": {"_use_new_zipfile_serialization": False}}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("make", objects.OBJECTS, ids=lambda make: make.__name__)
class TestBothWays:
    def test_from_torch(self, make: Any, form: str, tmp_path: Path) -> None:
        written = make(torch)
        torch.save(written, tmp_path / "file.pth", **FORMATS[form])
        assert objects.facts_of(dt.load(tmp_path / "file.pth")) == objects.facts_of(written)
        loaded = dt.load(tmp_path / "file.pth", weights_only=False)
        assert objects.facts_of(loaded) == objects.facts_of(written)

    def test_to_torch(self, make: Any, form: str, tmp_path: Path) -> None:
        written = make(dt)
        dt.save(written, tmp_path / "file.pth", **FORMATS[form])
        loaded = torch.load(tmp_path / "file.pth", weights_only=True)
        assert objects.facts_of(loaded) == objects.facts_of(written)
        loaded = torch.load(tmp_path / "file.pth", weights_only=False)
        assert objects.facts_of(loaded) == objects.facts_of(written)

    def test_round_trip(self, make: Any, form: str, tmp_path: Path) -> None:
        written = make(dt)
        dt.save(written, tmp_path / "file.pth", **FORMATS[form])
        assert objects.facts_of(dt.load(tmp_path / "file.pth")) == objects.facts_of(written)


@pytest.mark.parametrize("form", FORMATS)
def test_views_share_after_loading(form: str) -> None:
    for maker, reader in ((torch, dt), (dt, torch), (dt, dt)):
        file = io.BytesIO()
        maker.save(objects.views(maker), file, **FORMATS[form])
        file.seek(0)
        loaded = reader.load(file)
        assert objects.sharing(loaded) == [0] * len(loaded)
        loaded[0][1, 1] = 99
        assert loaded[2][1, 1] == 99


@pytest.mark.parametrize("form", FORMATS)
def test_two_dtypes_over_one_storage(form: str) -> None:
    whole = dt.arange(4.0)
    file = io.BytesIO()
    dt.save([whole, whole.view(dt.int32), whole.view(dt.uint8)[3:]], file, **FORMATS[form])
    for reader in (torch, dt):
        file.seek(0)
        one, other, part = reader.load(file)
        assert objects.sharing([one, other, part]) == [0, 0, 0]
        assert other.tolist() == [0, 0x3F800000, 0x40000000, 0x40400000]
        assert part.tolist() == whole.view(dt.uint8)[3:].tolist()


def test_conjugate_and_negative_bits() -> None:
    z = torch.complex(torch.arange(3.0), torch.ones(3))
    written = [z.conj(), z.conj().imag]
    file = io.BytesIO()
    for x in written:
        file = io.BytesIO()
        torch.save(x, file)
        file.seek(0)
        assert dt.load(file).tolist() == x.tolist()


def test_storages_by_themselves() -> None:
    x = dt.arange(3.0)
    file = io.BytesIO()
    dt.save([x.untyped_storage()], file)
    file.seek(0)
    (storage,) = torch.load(file, weights_only=True)
    assert bytes(storage._untyped_storage.tolist()) == x.numpy().tobytes()
    file = io.BytesIO()
    torch.save(torch.arange(3.0).untyped_storage(), file)
    file.seek(0)
    assert bytes(dt.load(file).tolist()) == x.numpy().tobytes()


def test_protocols() -> None:
    for protocol in range(2, 6):
        file = io.BytesIO()
        dt.save(objects.plain(dt), file, pickle_protocol=protocol)
        file.seek(0)
        assert objects.facts_of(dt.load(file)) == objects.facts_of(objects.plain(dt))
        file.seek(0)
        loaded = torch.load(file, weights_only=False)
        assert objects.facts_of(loaded) == objects.facts_of(objects.plain(dt))


def test_what_only_we_read() -> None:
    for maker in (dt, torch):
        file = io.BytesIO()
        maker.save(objects.plainer(maker), file)
        file.seek(0)
        assert dt.load(file) == objects.plainer(maker)


def test_old_protocols_of_python() -> None:
    """Protocols 0 and 1 have opcodes in text; storages need binary ids, so no tensors in these."""
    for protocol in (0, 1):
        file = io.BytesIO()
        dt.save(objects.plain(dt)[0], file, pickle_protocol=protocol)
        file.seek(0)
        assert dt.load(file) == objects.plain(dt)[0]


def test_several_objects_in_one_legacy_file() -> None:
    file = io.BytesIO()
    for i in range(3):
        torch.save([torch.full((i + 1,), float(i))], file, _use_new_zipfile_serialization=False)
    file.seek(0)
    assert [dt.load(file)[0].tolist() for _ in range(3)] == [[0.0], [1.0, 1.0], [2.0, 2.0, 2.0]]


def test_file_written_without_crc() -> None:
    torch.serialization.set_crc32_options(False)
    try:
        file = io.BytesIO()
        torch.save(torch.arange(3), file)
    finally:
        torch.serialization.set_crc32_options(True)
    file.seek(0)
    assert dt.load(file).tolist() == [0, 1, 2]


def test_byte_order_of_another_machine() -> None:
    file = io.BytesIO()
    values = {"h": dt.tensor([1, 258], dtype=dt.int16), "z": dt.tensor([1 + 2j, 3 - 4j])}
    values["b"] = dt.tensor([1.5, 2.5], dtype=dt.bfloat16)
    dt.save(values, file)
    swapped = io.BytesIO()
    widths = {"data/0": 2, "data/1": 4, "data/2": 2}
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(swapped, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            width = widths.get(name.removeprefix("archive/"), 1)
            order = range(0, len(data), width)
            data = b"".join(data[i : i + width][::-1] for i in order)
            target.writestr(name, b"big" if name.endswith("byteorder") else data)
    swapped.seek(0)
    assert objects.facts_of(dt.load(swapped)) == objects.facts_of(values)
    swapped.seek(0)
    assert torch.load(swapped)["h"].tolist() == [1, 258]


def test_whole_modules() -> None:
    torch.manual_seed(0)
    written = objects.network(torch)
    file = io.BytesIO()
    torch.save(written, file)
    file.seek(0)
    loaded = dt.load(file, weights_only=False)
    assert isinstance(loaded, dt.nn.Sequential)
    assert repr(loaded) == repr(written)
    x = torch.randn(2, 1, 5, 5)
    expected = written(x).detach().numpy()
    assert abs(loaded(dt.from_numpy(x.numpy())).detach().numpy() - expected).max() < 1e-5
    file = io.BytesIO()
    dt.save(loaded, file)
    file.seek(0)
    again = dt.load(file, weights_only=False)
    assert objects.facts_of(again.state_dict()) == objects.facts_of(loaded.state_dict())


@pytest.mark.filterwarnings("ignore")  # PyTorch's own, of sparse tensors
def test_what_dovetail_lacks_is_refused_by_name() -> None:
    with warnings.catch_warnings():
        things = {
            "sparse": torch.ones(2).to_sparse(),
            "uint16": torch.ones(1, dtype=torch.uint16),
            "float8_e5m2": torch.ones(1, dtype=torch.float8_e5m2),
            "complex32": torch.ones(1, dtype=torch.complex32),
        }
    for word, thing in things.items():
        file = io.BytesIO()
        torch.save(thing, file)
        file.seek(0)
        with pytest.raises(dt.serialization.CheckpointError, match=f"{word}.*does not have"):
            dt.load(file)


def test_torchscript_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("code/constants.pkl", b"")
    file.seek(0)
    with pytest.raises(dt.serialization.CheckpointError, match="TorchScript"):
        dt.load(file)


def test_tensors_of_a_device_open_in_torch(tmp_path: Path) -> None:
    try:
        device = dt.device("loop:1")
        x = dt.arange(3.0, device=device)
    except RuntimeError:
        pytest.skip("the loopback plugin is not installed, or has one device")
    dt.save({"x": x, "view": x[1:]}, tmp_path / "file.pth")
    loaded = torch.load(tmp_path / "file.pth", map_location="cpu")
    assert loaded["x"].tolist() == [0.0, 1.0, 2.0]
    assert objects.sharing(loaded.values()) == [0, 0]
