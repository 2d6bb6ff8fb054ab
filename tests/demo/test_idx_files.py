"""MNIST's file form: what is read, and the sentence for each way a file can be wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from idx import NAMES, idx_bytes, small_mnist, write_idx

from dovetail.demo import DemoError
from dovetail.demo.data import load_digits, load_mnist, read_idx


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_reads_what_was_written(tmp_path: Path, suffix: str) -> None:
    written = small_mnist(tmp_path, suffix=suffix)
    digits = load_mnist(tmp_path)
    for name, array in written.items():
        np.testing.assert_array_equal(getattr(digits, name), array)
    assert digits.train_labels.dtype == np.int64
    assert digits.image_shape == (28, 28)


def test_reads_names_with_a_dot(tmp_path: Path) -> None:
    small_mnist(tmp_path)
    for name in NAMES.values():
        (tmp_path / name).rename(tmp_path / name.replace("-idx", ".idx"))
    assert len(load_mnist(tmp_path).train_images) == 96


def broken_files() -> dict[str, tuple[bytes, str]]:
    good = idx_bytes(np.zeros((96, 28, 28), np.uint8))
    return {
        "empty": (b"", "not an idx file"),
        "text": (b"<html>not found</html>", "not an idx file"),
        "floats": (idx_bytes(np.zeros((2, 2, 2), np.uint8), code=13), "type code 13"),
        "header": (good[:9], "ends inside its header"),
        "short": (good[:-1], r"96 x 28 x 28 = 75,264 bytes and holds 75,263"),
        "long": (good + b"\0", "holds 75,265"),
        "huge": (b"\0\0\x08\x03" + b"\xff" * 12, "holds 0"),
        "one dimension": (idx_bytes(np.zeros(96, np.uint8)), "count x height x width"),
        "no images": (idx_bytes(np.zeros((0, 28, 28), np.uint8)), "at least one image"),
        "tiny": (idx_bytes(np.zeros((96, 3, 3), np.uint8)), "at least 4 x 4"),
        "other size": (idx_bytes(np.zeros((96, 20, 20), np.uint8)), "must have one size"),
    }


@pytest.mark.parametrize("kind", broken_files())
def test_broken_images(tmp_path: Path, kind: str) -> None:
    small_mnist(tmp_path)
    data, sentence = broken_files()[kind]
    (tmp_path / NAMES["train_images"]).write_bytes(data)
    with pytest.raises(DemoError, match=sentence):
        load_mnist(tmp_path)


@pytest.mark.parametrize(
    "data",
    [b"plain", gzip.compress(b"x" * 999)[:-9], b"\x1f\x8b\x08\0" * 9],
    ids=["plain", "cut", "no header"],
)
def test_broken_gzip(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(data)
    with pytest.raises(DemoError, match=r"cannot read .*file\.gz"):
        read_idx(path)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros(95, np.uint8), "must hold 96 labels"),
        (np.zeros((96, 1), np.uint8), "must hold 96 labels"),
        (np.full(96, 10, np.uint8), "labels from 0 to 9, got 10"),
    ],
)
def test_broken_labels(tmp_path: Path, labels: np.ndarray, sentence: str) -> None:
    small_mnist(tmp_path)
    write_idx(tmp_path / NAMES["train_labels"], labels)
    with pytest.raises(DemoError, match=sentence):
        load_mnist(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    small_mnist(tmp_path)
    (tmp_path / NAMES["test_labels"]).unlink()
    with pytest.raises(DemoError, match="has no t10k-labels-idx1-ubyte"):
        load_mnist(tmp_path)
    with pytest.raises(DemoError, match="is not a folder"):
        load_mnist(tmp_path / "nowhere")


def test_the_held_out_fifth_is_stratified_and_disjoint() -> None:
    digits = load_digits()
    assert len(digits.train_labels) + len(digits.test_labels) == 1797
    assert len(digits.test_labels) == 360
    whole = np.bincount(np.concatenate([digits.train_labels, digits.test_labels]))
    held_out = np.bincount(digits.test_labels)
    assert np.abs(held_out - whole / 5).max() <= 1
    from sklearn.datasets import load_digits as original

    source = original()
    both = np.concatenate([digits.train_images, digits.test_images]).reshape(1797, -1)
    assert sorted(map(bytes, both)) == sorted(map(bytes, source.data.astype(np.uint8)))
