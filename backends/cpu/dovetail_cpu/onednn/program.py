"""Building and running short sequences of oneDNN primitives over NumPy arrays.

An :class:`Assembly` collects memories and primitives; :meth:`Assembly.finish` turns them into a
:class:`Program`, which only needs the addresses of its arrays to run. Buffers between the
primitives lie in the arena of the thread that runs it (see ``session.py``).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ml_dtypes import bfloat16

from dovetail_cpu.onednn.api import ARG, FORMAT_ANY, QUERY, Argument, OneDnnError, dims

if TYPE_CHECKING:
    from dovetail_cpu.onednn.library import Library
    from dovetail_cpu.onednn.session import Session

__all__ = ["CODES", "Assembly", "Memory", "Program", "Step", "dense_strides", "element_strides"]

CODES = {np.dtype(np.float32): 3, np.dtype(bfloat16): 2}
"""NumPy dtype -> ``dnnl_data_type_t``."""

PARALLEL = 1 << 21
"""From this many multiply-adds on, a second core pays for waking it (50 us on a busy machine)."""

_ALIGNMENT = 64  # a cache line, and the widest vector


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Element strides of a dense row-major array."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def element_strides(
    shape: Sequence[int], strides: Sequence[int], itemsize: int
) -> tuple[int, ...] | None:
    """Byte ``strides`` in elements, or None where oneDNN cannot describe them.

    That is when an axis is repeated (stride 0), reversed, or not a multiple of the element.
    The stride of an axis of size 1 says nothing, so it becomes that of a dense array.
    """
    result = list(dense_strides(shape))
    for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
        if size > 1:
            if stride <= 0 or stride % itemsize:
                return None
            result[axis] = stride // itemsize
    return tuple(result)


class Memory(NamedTuple):
    """One ``dnnl_memory_t``, with the descriptor that says its shape and layout.

    Attributes:
        handle: the memory object.
        descriptor: its layout; belongs to the assembly or to a primitive descriptor.
        offset: where it lies in the arena; -1 for an array of the caller.
        nbytes: what it needs there.
    """

    handle: int
    descriptor: int
    offset: int
    nbytes: int


Step = Callable[[], int]
"""Executes one primitive on the memories that it was made with; the library's status."""


class Assembly:
    """Collects what a :class:`Program` is made of. Use as a context manager.

    Temporary objects of the library are destroyed at the end of the ``with`` block, and
    everything is when it ends before :meth:`finish`.

    Args:
        session: the thread's session.
        work: how many multiply-adds the program does; a small one runs on one core.
    """

    def __init__(self, session: Session, work: int) -> None:
        self.session = session
        self.threads = session.library.threads if work >= PARALLEL else 1
        self.library = session.library
        self.api = session.library.api
        self._descriptors: list[int] = []
        self._primitive_descriptors: list[int] = []
        self._memories: list[Memory] = []
        self._primitives: list[int] = []
        self._size = 0
        self._scratchpads: list[tuple[int, Memory]] = []
        self._finished = False

    def __enter__(self) -> Assembly:
        self._previous = self.session.use(self.threads)  # primitives are made for this number
        return self

    def __exit__(self, *_: object) -> None:
        self.session.restore(self._previous, self.threads)
        for handle in self._descriptors:
            self.api.memory_desc_destroy(handle)
        for handle in self._primitive_descriptors:
            self.api.primitive_desc_destroy(handle)
        if not self._finished:
            _destroy(self.library, self._memories, self._primitives)

    def layout(
        self, shape: Sequence[int], dtype: np.dtype, strides: Sequence[int] | None = None
    ) -> int:
        """A descriptor; without ``strides`` the primitive may choose the layout."""
        form = (len(shape), dims(tuple(shape)), CODES[dtype])
        if strides is None:
            handle = self.api.new("memory_desc_create_with_tag", *form, FORMAT_ANY)
        else:
            handle = self.api.new("memory_desc_create_with_strides", *form, dims(tuple(strides)))
        self._descriptors.append(handle)
        return handle

    def external(self, descriptor: int) -> Memory:
        """A memory of the caller's: its address comes with each run."""
        return self._memory(descriptor, -1)

    def scratch(self, descriptor: int) -> Memory:
        """A memory in the arena."""
        offset = self._size
        memory = self._memory(descriptor, offset)
        self._size += -(-memory.nbytes // _ALIGNMENT) * _ALIGNMENT
        return memory

    def _memory(self, descriptor: int, offset: int) -> Memory:
        nbytes = self.api.memory_desc_get_size(descriptor)
        handle = self.api.new("memory_create", descriptor, self.library.engine, None)
        memory = Memory(handle, descriptor, offset, nbytes)
        self._memories.append(memory)
        return memory

    def describe(self, name: str, *arguments: object) -> int:
        """A primitive descriptor from ``<name>_primitive_desc_create``.

        Raises:
            OneDnnError: the library has no implementation, or only its slow reference one.
        """
        full = name + "_primitive_desc_create"
        handle = self.api.new(full, *arguments, self.library.attributes)
        self._primitive_descriptors.append(handle)
        text = ctypes.c_char_p()
        self.api.primitive_desc_query(handle, QUERY["implementation"], 0, ctypes.byref(text))
        if b"ref" in (text.value or b""):
            raise OneDnnError(f"{full}: only a reference implementation")
        return handle

    def wants(self, primitive_descriptor: int, role: str) -> int:
        """The layout that a primitive wants for ``role`` (see ``api.QUERY``)."""
        return self.api.primitive_desc_query_md(primitive_descriptor, QUERY[role], 0) or 0

    def same(self, first: int, second: int) -> bool:
        """Whether two descriptors are of the same layout."""
        return bool(self.api.memory_desc_equal(first, second))

    def step(self, primitive_descriptor: int, memories: dict[str, Memory]) -> Step:
        """A primitive on ``memories``, by role (see ``api.ARG``), with room for its scratch."""
        primitive = self.api.new("primitive_create", primitive_descriptor)
        self._primitives.append(primitive)
        used = {ARG[role]: memory.handle for role, memory in memories.items()}
        wanted = self.wants(primitive_descriptor, "scratchpad")
        size = self.api.memory_desc_get_size(wanted) if wanted else 0
        if size:
            scratchpad = self._memory(wanted, -2)
            used[ARG["scratchpad"]] = scratchpad.handle
            self._scratchpads.append((size, scratchpad))
        arguments = (Argument * len(used))(*(Argument(*pair) for pair in used.items()))
        # Converted to C here once: a conversion per call costs as much as a small primitive.
        stream = ctypes.c_void_p(self.session.stream)
        execute = self.api.primitive_execute
        return partial(execute, ctypes.c_void_p(primitive), stream, len(used), arguments)

    def reorder(self, source: Memory, target: Memory) -> Step:
        """A copy from one layout (and dtype) to another."""
        engine = self.library.engine
        handle = self.describe("reorder", source.descriptor, engine, target.descriptor, engine)
        return self.step(handle, {"src": source, "dst": target})

    def finish(self, externals: Sequence[Memory]) -> Program:
        """The program whose runs take the addresses of ``externals``, in that order."""
        # Primitives run one after the other, so all scratchpads share one place.
        start = self._size
        self._size += max((size for size, _ in self._scratchpads), default=0)
        inside = [(m.handle, m.offset) for m in self._memories if m.offset >= 0]
        inside += [(m.handle, start) for _, m in self._scratchpads]
        self._finished = True
        memories, primitives = self._memories, self._primitives
        handles = tuple(m.handle for m in externals)
        sizes = (self._size, self.threads)
        return Program(self.library, handles, inside, *sizes, memories, primitives)


class Program:
    """Memories and primitives, bound to the arena of one thread.

    Not thread-safe: each thread builds its own (see ``session.py``).
    """

    def __init__(
        self,
        library: Library,
        externals: tuple[int, ...],
        inside: list[tuple[int, int]],
        arena_size: int,
        threads: int,
        memories: list[Memory],
        primitives: list[int],
    ) -> None:
        self.arena_size = arena_size
        self.threads = threads
        self.externals = externals
        self._library = library
        self._inside = inside
        self._memories = memories
        self._primitives = primitives
        self._base = 0
        self._set_handle = library.api.memory_set_data_handle

    def __del__(self) -> None:
        _destroy(self._library, self._memories, self._primitives)

    def point(self, addresses: Sequence[int], session: Session) -> None:
        """Set the caller's arrays, and the inner buffers where the arena has moved."""
        set_handle = self._set_handle
        base = session.reserve(self.arena_size)
        if base != self._base:
            for handle, offset in self._inside:
                set_handle(handle, base + offset)
            self._base = base
        for handle, address in zip(self.externals, addresses):  # noqa: B905 (hot; equal lengths)
            set_handle(handle, address)

    def run(self, steps: Sequence[Step]) -> None:
        """Execute ``steps`` in order; they are done when this returns."""
        for step in steps:
            status = step()
            if status:
                raise OneDnnError(f"primitive_execute: status {status}")


def _destroy(library: Library, memories: Sequence[Memory], primitives: Sequence[int]) -> None:
    if not library.is_usable:
        return
    for handle in primitives:
        library.api.primitive_destroy(handle)
    for memory in memories:
        library.api.memory_destroy(memory.handle)
