"""Checkpoints: ``save`` and ``load`` in PyTorch's formats, and safetensors.

Files written here open in PyTorch and the other way round. Reading runs no code of the file unless
``weights_only=False`` says so; see :func:`load`. Meanings follow PyTorch's pages ``torch.save``,
``torch.load`` and ``torch.serialization``.
"""

from __future__ import annotations

import os
import pickle
from contextlib import nullcontext
from typing import IO, Any

from dovetail.errors import CheckpointError
from dovetail.serialization import safetensors
from dovetail.serialization.allowed import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    safe_globals,
)
from dovetail.serialization.atomic import opened_for_writing
from dovetail.serialization.legacy import is_tar, load_stream, load_tar, save_stream
from dovetail.serialization.limits import limits
from dovetail.serialization.pickler import pickled
from dovetail.serialization.reading import Reading
from dovetail.serialization.source import Source
from dovetail.serialization.zipped import load_zip, save_zip
from dovetail.warning import warn

__all__ = [
    "CheckpointError",
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "limits",
    "load",
    "safe_globals",
    "safetensors",
    "save",
]

DEFAULT_PROTOCOL = 2
"""PyTorch's: the only one whose every opcode its own ``weights_only=True`` reads."""


def save(
    obj: object,
    f: str | os.PathLike[str] | IO[bytes],
    pickle_module: Any = pickle,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write an object to a file that ``torch.load`` and :func:`load` read.

    Tensors that share memory share it after loading. Those on a device are written with its name,
    and the file does not need the device to be read. A file that is there already is replaced in
    one step when the new one is complete.

    Args:
        obj: tensors, state dicts, numbers, strings and containers of these, which
            ``weights_only=True`` reads; or whatever Python can pickle.
        f: a path, or an object with ``write``.
        pickle_module: ``pickle``, or another whose pickler builds on Python's own.
        pickle_protocol: of the pickle; PyTorch reads 2 best.

    Raises:
        pickle.PicklingError, AttributeError, TypeError: something in ``obj`` cannot be pickled.
        OSError: the file cannot be written; an older one is left as it was.

    Example:
        >>> import io
        >>> import dovetail as dt
        >>> file = io.BytesIO()
        >>> dt.save({"weight": dt.ones(2)}, file)
        >>> dt.load(io.BytesIO(file.getvalue()))
        {'weight': tensor([1., 1.])}
    """
    is_legacy = not _use_new_zipfile_serialization
    content = pickled(obj, pickle_module, pickle_protocol, is_legacy=is_legacy)
    with opened_for_writing(f) as file:
        if is_legacy:
            save_stream(content, file, pickle_protocol)
        else:
            save_zip(content, file, byteorder=not _disable_byteorder_record)


def load(
    f: str | os.PathLike[str] | IO[bytes],
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read what :func:`save` or ``torch.save`` wrote, in any format that PyTorch ever had.

    ``weights_only=True``, the default, makes tensors, containers, numbers and strings, and whatever
    :func:`add_safe_globals` allows; nothing else, whatever the file says.

    With ``weights_only=False`` **the file's code runs**: it can do all that your program can. Only
    for files whose writer you trust as you trust your own code. Whole modules need it.

    Args:
        f: a path, or an object with ``read``, ``seek`` and ``tell``.
        map_location: where tensors go that were saved from another place: a device or its name; a
            dict from one to the other; or a function of a storage in host memory and the name of
            its place, which returns a storage, or None for where it was. None: where they were.
        pickle_module: whose unpickler serves with ``weights_only=False``.
        weights_only: whether code in the file is refused; None means True.
        mmap: whether data stays in the file until it is used; f must be a path. Writing to such a
            tensor does not change the file.
        pickle_load_args: for the unpickler: ``encoding`` of Python 2's strings.

    Raises:
        CheckpointError: the file is damaged, hostile or of another kind, names what is not allowed,
            or has tensors of a device that is not here; a RuntimeError and a
            pickle.UnpicklingError, which are the two that PyTorch raises.
        OSError: the file cannot be read.
    """
    is_safe = pickle_module is None if weights_only is None else weights_only
    if is_safe and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if is_safe and pickle_load_args.keys() - {"encoding"}:
        warn("pickle_load_args only works if `weights_only=False`.")
    is_path = isinstance(f, (str, os.PathLike))
    if mmap and not is_path:
        raise ValueError("f must be a file path in order to use the mmap argument")
    if is_path and os.fspath(f).endswith(".safetensors"):  # type: ignore[arg-type]
        return safetensors.load_file(f, _one_device(map_location))  # type: ignore[arg-type]
    arguments = {"encoding": "utf-8", **pickle_load_args}
    with open(f, "rb", buffering=0) if is_path else nullcontext(f) as file:  # type: ignore[arg-type]
        source = Source(file)  # type: ignore[arg-type]
        place = source.place()
        module = None if is_safe else pickle_module or pickle
        reading = Reading(source, map_location, module, arguments)
        if source.size >= place + 4 and source.at(place, 4) == b"PK\3\4":
            return load_zip(reading, mmap=bool(mmap))
        if mmap:
            raise CheckpointError(
                "load: mmap can only be used with files in the zip format, as save writes it; load "
                "this one without and save it again"
            )
        if place == 0 and is_tar(reading, place):
            return load_tar(reading)
        return load_stream(reading, place)


def _one_device(map_location: Any) -> Any:
    if isinstance(map_location, dict) or callable(map_location):
        raise RuntimeError(
            "load: a safetensors file does not know where its tensors were; give map_location as "
            "one device"
        )
    return "cpu" if map_location is None else map_location
