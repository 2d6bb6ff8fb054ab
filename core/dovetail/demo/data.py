"""Handwritten digits: scikit-learn's 1,797 images, or a folder of MNIST's idx files."""

from __future__ import annotations

import functools
import gzip
import hashlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dovetail as dt
from dovetail.demo import DemoError

__all__ = ["CLASSES", "Digits", "load_digits", "load_mnist", "read_idx", "shifted"]

CLASSES = 10
SMALLEST_IMAGE = 4


@dataclass(frozen=True)
class Digits:
    """A training set and a test set.

    Attributes:
        name: where the images come from, for people.
        train_images, test_images: uint8, (N, H, W).
        train_labels, test_labels: int64, (N,), 0 to 9.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray

    @property
    def image_shape(self) -> tuple[int, int]:
        """(H, W) of every image."""
        height, width = self.train_images.shape[1:]
        return height, width

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of the data: a checkpoint continues only on the images it began with."""
        digest = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(repr(array.shape).encode())
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]


def load_digits() -> Digits:
    """scikit-learn's digits, (8, 8) pixels; every fifth image of each class is held out."""
    from sklearn.datasets import load_digits as sklearn_digits

    bunch = sklearn_digits()
    images = bunch.images.astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    # One split for every seed, so that the accuracies of two runs compare.
    generator = dt.Generator().manual_seed(0)
    order = dt.randperm(len(labels), generator=generator).numpy()
    by_class = order[np.argsort(labels[order], kind="stable")]
    held_out = np.zeros(len(labels), dtype=bool)
    held_out[by_class[::5]] = True
    return Digits(
        "scikit-learn digits",
        images[~held_out],
        labels[~held_out],
        images[held_out],
        labels[held_out],
    )


def load_mnist(folder: Path) -> Digits:
    """MNIST, or any data set in its form, from four idx files with their usual names.

    Args:
        folder: holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
            ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each with or without
            ``.gz``, the last ``-`` as ``-`` or ``.``.

    Raises:
        DemoError: a file is missing or malformed; the message names it.
    """
    if not folder.is_dir():
        raise DemoError(f"--data: {str(folder)!r} is not a folder")
    parts: list[np.ndarray] = []
    for prefix in ("train", "t10k"):
        images = _images(_find(folder, f"{prefix}-images-idx3-ubyte"))
        labels_path = _find(folder, f"{prefix}-labels-idx1-ubyte")
        parts += [images, _labels(labels_path, len(images))]
    if parts[0].shape[1:] != parts[2].shape[1:]:
        raise DemoError(
            f"--data: training images are {_by(parts[0])} pixels, test images {_by(parts[2])}; "
            "they must have one size"
        )
    return Digits(str(folder), *parts)


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an idx file, gzip-compressed or not.

    The format: two zero bytes, a type code (8 for unsigned bytes), the number of dimensions, each
    dimension as a big-endian uint32, then the elements in row-major order.

    Raises:
        DemoError: unreadable, not an idx file of unsigned bytes, too short or too long.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DemoError(f"--data: cannot read {str(path)!r}: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0":
        raise DemoError(f"--data: {str(path)!r} is not an idx file (it must begin with two zeros)")
    code, ndim = data[2], data[3]
    if code != 8:
        raise DemoError(
            f"--data: {str(path)!r} must hold unsigned bytes (type code 8), got type code {code}"
        )
    start = 4 + 4 * ndim
    if len(data) < start:
        raise DemoError(f"--data: {str(path)!r} ends inside its header")
    shape = tuple(int(n) for n in np.frombuffer(data, dtype=">u4", count=ndim, offset=4))
    expected, found = math.prod(shape), len(data) - start
    if found != expected:
        sizes = " x ".join(map(str, shape))
        raise DemoError(
            f"--data: {str(path)!r} says {sizes} = {expected:,} bytes and holds {found:,}; "
            "was it cut off while downloading?"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def shifted(images: dt.Tensor, generator: dt.Generator) -> dt.Tensor:
    """Each image moved by up to one pixel in both directions, the edge filled with zeros.

    Args:
        images: (N, 1, H, W) on the cpu.
        generator: where the N random moves come from.
    """
    count, _, height, width = images.shape
    padded = dt.nn.functional.pad(images, (1, 1, 1, 1))
    move: Any = dt.randint(0, 3, (2, count, 1), generator=generator)
    rows = dt.arange(height) + move[0]
    columns = dt.arange(width) + move[1]
    which: Any = dt.arange(count)
    moved: dt.Tensor = padded[
        which[:, None, None], 0, rows[:, :, None], columns[:, None, :]
    ].unsqueeze(1)
    return moved


def _find(folder: Path, name: str) -> Path:
    stem, kind = name.rsplit("-idx", 1)
    names = [name, f"{name}.gz", f"{stem}.idx{kind}", f"{stem}.idx{kind}.gz"]
    for candidate in names:
        if (folder / candidate).is_file():
            return folder / candidate
    raise DemoError(f"--data: {str(folder)!r} has no {name} (nor {name}.gz)")


def _images(path: Path) -> np.ndarray:
    images = read_idx(path)
    if images.ndim != 3 or len(images) == 0 or min(images.shape[1:]) < SMALLEST_IMAGE:
        raise DemoError(
            f"--data: {str(path)!r} must hold at least one image of at least {SMALLEST_IMAGE} x "
            f"{SMALLEST_IMAGE} pixels (count x height x width), got shape {images.shape}"
        )
    return images


def _labels(path: Path, count: int) -> np.ndarray:
    labels = read_idx(path)
    if labels.shape != (count,):
        raise DemoError(
            f"--data: {str(path)!r} must hold {count:,} labels, one per image, "
            f"got shape {labels.shape}"
        )
    if labels.max() >= CLASSES:
        raise DemoError(
            f"--data: {str(path)!r} must hold labels from 0 to {CLASSES - 1}, got {labels.max()}"
        )
    return labels.astype(np.int64)


def _by(images: np.ndarray) -> str:
    return " x ".join(map(str, images.shape[1:]))
