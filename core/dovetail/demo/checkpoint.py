"""Files that are never half written, and a run's whole state in one of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dovetail as dt
from dovetail.demo import DemoError
from dovetail.serialization import atomic

__all__ = ["Checkpoint", "replacing", "save_tensors"]

FORMAT = "dovetail-demo-2"


@dataclass
class Checkpoint:
    """The state of a run at the end of an epoch; all that continuing it needs.

    The state of the random generators is ``(seed, epoch)``: every epoch begins by setting them
    from these two numbers.

    Attributes:
        seed: of the run.
        data: the fingerprint of the images.
        model, optimizer: state dicts.
        history: one record per finished epoch.
    """

    seed: int
    data: str
    model: dict[str, Any]
    optimizer: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """How many epochs are finished."""
        return len(self.history)

    def save(self, path: Path) -> None:
        """Write to ``path``.

        Raises:
            DemoError: the folder or the disk refuses.
        """
        with _said_of(path):
            dt.save({"format": FORMAT, **vars(self)}, path)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read what :meth:`save` wrote.

        Raises:
            DemoError: there is no such file, or it is not a checkpoint of the demo.
        """
        if not path.is_file():
            raise DemoError(
                f"--resume: there is no checkpoint {str(path)!r}; start without --resume"
            )
        try:
            record = dt.load(path, map_location="cpu")
        except (dt.serialization.CheckpointError, OSError) as error:
            raise DemoError(
                f"--resume: {str(path)!r} cannot be read ({error}); start without --resume"
            ) from error
        if not isinstance(record, dict) or record.pop("format", None) != FORMAT:
            raise DemoError(f"--resume: {str(path)!r} is not a checkpoint of this demo")
        return cls(**record)


def save_tensors(path: Path, tensors: dict[str, dt.Tensor]) -> None:
    """Write tensors, from any device, as one safetensors file.

    Raises:
        DemoError: the folder or the disk refuses.
    """
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with _said_of(path):
        dt.serialization.safetensors.save_file(whole, path)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to in place of ``path``, which it becomes in one step on success.

    A reader, or a run that is interrupted, sees the old file or the new one, never a part.

    Raises:
        DemoError: the folder or the disk refuses.
    """
    with _said_of(path), atomic.replacing(path) as partial:
        yield partial


@contextlib.contextmanager
def _said_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DemoError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
