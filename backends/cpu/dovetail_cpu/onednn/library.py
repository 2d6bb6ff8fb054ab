"""Finding and loading the oneDNN library, once, at the first call that is worth it.

Nothing here is required: without the library every kernel has a NumPy form, and
:func:`status` says which of the two serves and why.

Environment: ``DOVETAIL_ONEDNN=0`` switches oneDNN off; ``DOVETAIL_ONEDNN=/path/to/library`` names
the file to load instead of looking for one.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from dovetail_cpu.onednn.api import (
    CPU_ENGINE,
    ISA_NAMES,
    SYNCHRONOUS_RUNTIMES,
    USER_SCRATCHPAD,
    Api,
    OneDnnError,
)

__all__ = ["Library", "Status", "address", "load", "status"]

VARIABLE = "DOVETAIL_ONEDNN"
_OFF = ("0", "off", "no", "false")
_NAMES = {"linux": "libdnnl.so.3", "darwin": "libdnnl.3.dylib", "win32": "dnnl.dll"}
_FOLDERS = ("lib", "lib64", os.path.join("Library", "bin"))
_DISTRIBUTIONS = ("onednn-cpu-gomp", "onednn-cpu-iomp", "onednn-cpu-tbb", "onednn")
_INSTALL = 'pip install "dovetail[onednn]"'


class Status(NamedTuple):
    """What serves convolutions and large matrix products on the cpu.

    Attributes:
        loaded: oneDNN is in use.
        version: its version, such as ``"3.2.0"``; empty where not loaded.
        isa: the instruction set that it chose, such as ``"avx512_core_bf16"``.
        threads: how many it computes with.
        path: the file that was loaded.
        reason: why it is not in use, and what to do; empty where it is.
    """

    loaded: bool
    version: str = ""
    isa: str = ""
    threads: int = 0
    path: str = ""
    reason: str = ""

    def __str__(self) -> str:
        if self.loaded:
            threads = f"{self.threads} thread" + "s" * (self.threads != 1)
            return f"oneDNN {self.version} ({self.isa}, {threads}) from {self.path}"
        return f"oneDNN is not used: {self.reason}"


class Library:
    """One loaded oneDNN: its functions, the cpu engine, and what this processor has.

    Attributes:
        is_usable: false in a process that was forked after loading; nothing may be called then.
        threads: on how many cores a large program runs.
        get_threads, set_threads: OpenMP's number for the calling thread. Other libraries in the
            process (PyTorch, scikit-learn) may follow the same number, so whoever sets it for a
            program puts it back afterwards.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.is_usable = True
        self.api = api = Api(path)
        version = api.version().contents
        self.version = (version.major, version.minor, version.patch)
        if version.major != 3:
            raise OneDnnError(f"version {version.major} found, 3 is needed")
        if version.cpu_runtime not in SYNCHRONOUS_RUNTIMES:
            raise OneDnnError(f"cpu runtime {version.cpu_runtime} needs a queue of its own")
        self.engine = api.new("engine_create", CPU_ENGINE, 0)
        self.attributes = api.new("primitive_attr_create")
        api.primitive_attr_set_scratchpad_mode(self.attributes, USER_SCRATCHPAD)
        self._isa = api.get_effective_cpu_isa()
        self.threads = _openmp(api)[0]() or os.cpu_count() or 1
        self.get_threads, self.set_threads = _openmp(api)

    def has_isa(self, name: str) -> bool:
        """Whether the processor has instruction set ``name`` (see ``api.ISA_NAMES``)."""
        bits = next(bits for bits, known in ISA_NAMES.items() if known == name)
        return bool(self._isa & bits == bits)

    def status(self) -> Status:
        """What :func:`status` reports for this library."""
        version = ".".join(map(str, self.version))
        isa = ISA_NAMES.get(self._isa, hex(self._isa))
        return Status(True, version, isa, self.threads, self.path)


def _openmp(api: Api) -> tuple[Callable[[], int], Callable[[int], Any]]:
    try:
        functions = ctypes.PyDLL(api.library._name)
        read, write = functions.omp_get_max_threads, functions.omp_set_num_threads
    except AttributeError:  # built for another runtime than OpenMP
        return (lambda: 0), (lambda count: None)
    read.argtypes, read.restype = (), ctypes.c_int
    write.argtypes, write.restype = (ctypes.c_int,), None
    return read, write


class _State:
    """What is known so far: nothing, a library, or the reason why there is none."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.library: Library | None = None
        self.reason: str | None = None


_state = _State()


def load() -> Library | None:
    """The library, loaded by the first call; None where it is absent or switched off."""
    state = _state
    if state.library is not None or state.reason is not None:
        return state.library
    with state.lock:
        if state.library is None and state.reason is None:
            try:
                state.library = _open()
            except (OSError, AttributeError, OneDnnError) as problem:
                state.reason = str(problem)
    return state.library


def status() -> Status:
    """Load the library if that was not tried yet, and say what came of it."""
    library = load()
    if library is not None:
        return library.status()
    return Status(False, reason=_state.reason or "unknown")


def _open() -> Library:
    wanted = os.environ.get(VARIABLE, "").strip()
    if wanted.lower() in _OFF:
        raise OneDnnError(f"switched off by {VARIABLE}={wanted}; unset it to use oneDNN")
    if wanted and wanted != "1":
        return _try(wanted)
    for path in _candidates():
        if os.path.exists(path):
            return _try(path)
    try:
        return Library(_file_name())  # wherever the system's linker finds one
    except OSError:
        raise OneDnnError(f"{_file_name()} is not installed; {_INSTALL}") from None


def _try(path: str) -> Library:
    # GNU's OpenMP lets idle threads spin for milliseconds, which starves whatever else wants the
    # core. It reads this when it is loaded; 20,000 turns are some 20 us.
    quiet = "GOMP_SPINCOUNT" not in os.environ and "OMP_WAIT_POLICY" not in os.environ
    if quiet:
        os.environ["GOMP_SPINCOUNT"] = "20000"
    try:
        return Library(path)
    except (OSError, AttributeError, OneDnnError) as problem:
        hint = "; install it (Debian: apt-get install libgomp1)" if "gomp" in str(problem) else ""
        raise OneDnnError(f"{path} cannot be loaded: {problem}{hint}") from problem
    finally:
        if quiet:
            del os.environ["GOMP_SPINCOUNT"]


def _file_name() -> str:
    return _NAMES.get(sys.platform, _NAMES["linux"])


def _candidates() -> Iterator[str]:
    name = _file_name()
    for prefix in dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix)):
        for folder in _FOLDERS:
            yield os.path.join(prefix, folder, name)
    # pip install --user and --target put it elsewhere; the distribution's own list knows.
    from importlib import metadata

    for distribution in _DISTRIBUTIONS:
        try:
            files = metadata.files(distribution) or ()
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == name:
                yield str(file.locate())


def _leave_to_numpy_in_child() -> None:
    """OpenMP's threads do not survive a fork: a parallel region in the child would hang."""
    global _state
    previous, _state = _state, _State()  # another thread may have held the old lock
    _state.reason = previous.reason
    if previous.library is not None:
        previous.library.is_usable = False
        _state.reason = (
            "this process was forked from one that had loaded it, and its threads do not survive "
            "that; start the process with the 'spawn' method to use oneDNN in it"
        )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_numpy_in_child)


def _address_by_numpy(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def _make_address() -> Callable[[np.ndarray], int]:
    """NumPy's C ABI puts the data pointer first after the object's header.

    ``array.ctypes.data`` costs 1 us, reading the field 0.15 us; a kernel needs three of them.
    Checked here once, so that an interpreter with another layout gets the slow form.
    """
    field, offset = ctypes.c_size_t.from_address, object.__basicsize__
    if sys.implementation.name != "cpython":
        return _address_by_numpy

    def by_field(array: np.ndarray) -> int:
        return field(id(array) + offset).value

    probe = np.arange(24.0).reshape(2, 3, 4)
    samples = (probe, probe[1, ::2], probe[:, ::-1].T, np.empty((0, 3)), np.ones((), np.int8))
    same = all(by_field(sample) == _address_by_numpy(sample) for sample in samples)
    return by_field if same else _address_by_numpy


address = _make_address()
"""``address(array)``: the address of its first element."""
