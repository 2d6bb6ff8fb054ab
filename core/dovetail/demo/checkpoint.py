"""Files that are never half written, and a run's whole state in one of them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import dovetail as dt
from dovetail.demo import DemoError

__all__ = ["Checkpoint", "replacing", "save_tensors"]

FORMAT = "dovetail-demo-1"


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
        """Write to ``path``, a safetensors file whose header holds what is not a tensor."""
        tensors: dict[str, dt.Tensor] = {}
        record = {
            "seed": self.seed,
            "data": self.data,
            "model": _take_tensors(self.model, "model", tensors),
            "optimizer": _take_tensors(self.optimizer, "optimizer", tensors),
            "history": self.history,
        }
        save_tensors(path, tensors, {"format": FORMAT, "record": json.dumps(record)})

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read what :meth:`save` wrote.

        Raises:
            DemoError: there is no such file, or it is not a checkpoint of the demo.
        """
        from safetensors import SafetensorError, safe_open

        if not path.is_file():
            raise DemoError(
                f"--resume: there is no checkpoint {str(path)!r}; start without --resume"
            )
        try:
            with safe_open(path, framework="np") as file:
                header = file.metadata() or {}
                if header.get("format") != FORMAT:
                    raise DemoError(f"--resume: {str(path)!r} is not a checkpoint of this demo")
                record = json.loads(header["record"])
                names = list(file.keys())
                tensors = {n: dt.from_numpy(np.array(file.get_tensor(n))) for n in names}
            return cls(
                seed=record["seed"],
                data=record["data"],
                model=_put_tensors(record["model"], tensors),
                optimizer=_put_tensors(record["optimizer"], tensors),
                history=record["history"],
            )
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise DemoError(
                f"--resume: {str(path)!r} cannot be read ({error}); start without --resume"
            ) from error


def save_tensors(
    path: Path, tensors: dict[str, dt.Tensor], header: dict[str, str] | None = None
) -> None:
    """Write tensors, from any device, as one safetensors file."""
    from safetensors.numpy import save

    arrays = {name: np.array(t.detach().cpu().numpy(), order="C") for name, t in tensors.items()}
    with replacing(path) as partial:
        partial.write_bytes(save(arrays, header))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to in place of ``path``, which it becomes in one step on success.

    A reader, or a run that is interrupted, sees the old file or the new one, never a part.

    Raises:
        DemoError: the folder or the disk refuses.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise DemoError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


# A state dict is a tree of dicts (with int or str keys), lists, tuples, numbers and tensors. JSON
# keeps the tree, with each tensor replaced by its name in the file and each container by its kind.


def _take_tensors(value: Any, path: str, tensors: dict[str, dt.Tensor]) -> Any:
    if isinstance(value, dt.Tensor):
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, dict):
        return {"dict": [[k, _take_tensors(v, f"{path}.{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        items = [_take_tensors(v, f"{path}.{i}", tensors) for i, v in enumerate(value)]
        return {type(value).__name__: items}
    return value


def _put_tensors(value: Any, tensors: dict[str, dt.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    [(kind, inside)] = value.items()
    return _BUILDERS[kind](inside, tensors)


_BUILDERS: dict[str, Callable[[Any, dict[str, dt.Tensor]], Any]] = {
    "tensor": lambda name, tensors: tensors[name],
    "dict": lambda pairs, tensors: {key: _put_tensors(v, tensors) for key, v in pairs},
    "list": lambda items, tensors: [_put_tensors(v, tensors) for v in items],
    "tuple": lambda items, tensors: tuple(_put_tensors(v, tensors) for v in items),
}
