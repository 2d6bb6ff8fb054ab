"""What the readers of all formats share: one file being read, its options and its budget."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend.state import state_of
from dovetail.device import resolve
from dovetail.dtypes import bfloat16
from dovetail.dtypes import dtype as DType
from dovetail.errors import CheckpointError
from dovetail.facts import UntypedStorage
from dovetail.serialization.allowed import Allowed, counterpart, modern_name
from dovetail.serialization.limits import Budget
from dovetail.serialization.source import Cursor, Source
from dovetail.serialization.storages import StorageType, host_storage, placing
from dovetail.serialization.unpickler import Unpickler
from dovetail.storage import Storage

__all__ = ["Reading", "byteswap", "is_count", "storage_id"]

_UNLIMITED = 1 << 62


class Reading:
    """One file being read.

    Args:
        source: the file.
        map_location: where its storages go.
        pickle_module: None for the allow-list; else the module whose unpickler runs the code.
        arguments: for that unpickler: ``encoding``, ``errors``, ``fix_imports``.

    Attributes:
        budget: what its objects may cost.
        place: takes a storage to its device.
        to_meta: whether nobody wants the data.
    """

    def __init__(
        self, source: Source, map_location: Any, pickle_module: Any, arguments: dict[str, Any]
    ) -> None:
        self.source = source
        self.budget = Budget()
        self.place = placing(map_location)
        self.to_meta = isinstance(map_location, (str, type(resolve("cpu")))) and (
            resolve(map_location).type == "meta"
        )
        self._pickle = pickle_module
        self._arguments = arguments
        if pickle_module is not None:
            self.budget.left = _UNLIMITED
        self._allowed = Allowed(self.budget, self.place)

    @property
    def runs_code(self) -> bool:
        """Whether the program asked for ``weights_only=False``."""
        return self._pickle is not None

    @property
    def rebuild(self) -> dict[str, Callable[..., Any]]:
        """The functions that put tensors together, by PyTorch's names."""
        return self._allowed.rebuild.functions

    def object(self, cursor: Cursor, persistent: Callable[[Any], Any]) -> Any:
        """The object of a pickle whose storages are told by persistent ids."""
        if self.runs_code:
            return self._run(cursor, persistent)
        encoding = self._arguments.get("encoding", "utf-8")
        return Unpickler(cursor, self._allowed, persistent, self.budget, encoding).load()

    def plain(self, cursor: Cursor) -> Any:
        """The object of a pickle of the format itself, which has no storages."""
        return Unpickler(cursor, self._allowed, _no_storage, self.budget).load()

    def storage(self, size: int, fill: Callable[[np.ndarray], None]) -> UntypedStorage:
        """A storage in host memory, or without memory where nobody wants the data."""
        if self.to_meta:
            meta = resolve("meta")
            return UntypedStorage.of(Storage(state_of(meta), None, size), meta)
        data = np.empty(size, np.uint8)
        fill(data)
        return host_storage(data)

    def _run(self, cursor: Cursor, persistent: Callable[[Any], Any]) -> Any:
        """Python's unpickler: what the file names is imported and called."""
        import dovetail.optim  # noqa: F401  (so that its names are found)

        allowed = self._allowed

        class Running(self._pickle.Unpickler):  # type: ignore[misc, name-defined]
            def find_class(self, module: str, name: str) -> Any:
                modern = modern_name(module, name)
                found = allowed.known(*modern)
                if found is None and modern[0].split(".")[0] == "torch":
                    found = counterpart(*modern)
                    if found is None:
                        raise CheckpointError(
                            f"load: the file names {'.'.join(modern)}, and dovetail has nothing "
                            "of that name"
                        )
                return super().find_class(module, name) if found is None else found

            def persistent_load(self, identity: Any) -> Any:
                return persistent(identity)

        try:
            return Running(cursor, **self._arguments).load()
        except CheckpointError:
            raise
        except (pickle.UnpicklingError, EOFError) as error:
            raise CheckpointError(f"load: the pickle is damaged ({error})") from error


def _no_storage(identity: Any) -> Any:
    raise CheckpointError("load: the file is damaged: a storage where none can be")


def is_count(value: Any) -> bool:
    """Whether a file's value can be a number of elements."""
    return type(value) is int and 0 <= value < 1 << 62


def storage_id(identity: Any, length: int) -> tuple[Any, ...]:
    """The parts of ``("storage", type, key, location, numel, …)`` after the first, checked.

    Raises:
        CheckpointError: it is no such tuple.
    """
    parts = identity if isinstance(identity, tuple) else ()
    parts = tuple(part.decode("latin-1") if type(part) is bytes else part for part in parts)
    if parts[:1] != ("storage",) or len(parts) != length:
        raise CheckpointError(
            "load: Only persistent_load of storage is allowed, and the file has an id that is not "
            "one of a storage"
        )
    _, kind, key, location, numel = parts[:5]
    is_right = isinstance(kind, StorageType) and isinstance(location, str) and is_count(numel)
    if not is_right or not isinstance(key, (str, int)):
        raise CheckpointError("load: the file is damaged: the id of a storage makes no sense")
    return parts[1:]


def byteswap(data: np.ndarray, kind: DType, order: str) -> None:
    """Turn a storage's bytes, in place, from a file's order to this machine's."""
    if order == sys.byteorder:
        return
    part = np.dtype(np.uint16) if kind is bfloat16 else kind.to_real().numpy
    data[: data.nbytes - data.nbytes % part.itemsize].view(part).byteswap(inplace=True)
