"""Writes small data sets in MNIST's idx form."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


def idx_bytes(array: np.ndarray, code: int = 8) -> bytes:
    """The idx form of a uint8 array: magic number, big-endian sizes, elements."""
    header = struct.pack(">HBB", 0, code, array.ndim)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write ``array``, gzip-compressed where the name ends in ``.gz``."""
    data = idx_bytes(array)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def small_mnist(
    folder: Path, *, train: int = 96, test: int = 30, size: int = 28, suffix: str = ""
) -> dict[str, np.ndarray]:
    """Four files of random images whose labels can be learnt: digit k lights up row 2k."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("train", train), ("test", test)):
        labels = random.integers(0, 10, count).astype(np.uint8)
        images = random.integers(0, 60, (count, size, size)).astype(np.uint8)
        images[np.arange(count), (labels * 2) % size] = 250
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
    for name, array in arrays.items():
        write_idx(folder / (NAMES[name] + suffix), array)
    return arrays
