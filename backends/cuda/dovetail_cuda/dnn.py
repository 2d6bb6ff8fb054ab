"""cuDNN through its front end: a graph of a few operations, planned once and queued with pointers.

The front end (the package ``nvidia-cudnn-frontend``) is optional; :func:`front_end` is where a test
puts another in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from dovetail import backends
from dovetail.backend import are_deterministic_algorithms_enabled
from dovetail_cuda.driver import cuda

__all__ = ["Choice", "Graph", "Tensor", "build", "choice", "declined", "front_end", "place"]

KINDS = {"float16": "HALF", "bfloat16": "BFLOAT16", "float32": "FLOAT", "float64": "DOUBLE"}

LARGEST = 1 << 30
"""Bytes of workspace that a plan may take."""

LASTING = 64 << 20
"""Bytes of workspace that a stream keeps; of what needs more, the tensors have the memory after it.
"""

declined: dict[str, str] = {}
"""What other kernels serve because cuDNN has no plan, with its reason, the latest last."""

REMEMBERED = 64


@dataclass(frozen=True, eq=False)
class Choice:
    """What ``torch.backends.cudnn`` says about plans; there is one object for each.

    Attributes:
        enabled: there may be plans at all.
        tf32: float32 factors may be rounded.
        deterministic: the same call gives the same bits.
        benchmark: this many plans are timed, the fastest is taken; 0: the library's first.
    """

    enabled: bool
    tf32: bool
    deterministic: bool
    benchmark: int


_choices: dict[tuple[Any, ...], Choice] = {}


def choice(*, is_timed: bool = True, is_enabled: bool = False) -> Choice:
    """What the switches say at the moment.

    Args:
        is_timed: plans may be timed.
        is_enabled: even where the library is turned off.
    """
    switches = backends.cudnn
    said = (
        is_enabled or switches.enabled, switches.allow_tf32,
        switches.deterministic or are_deterministic_algorithms_enabled(),
        switches.benchmark and is_timed, switches.benchmark_limit,
    )  # fmt: skip
    found = _choices.get(said)
    if found is None:
        enabled, tf32, deterministic, benchmark, limit = said
        timed = (limit or 1 << 10) if benchmark else 0
        found = Choice(bool(enabled), bool(tf32), bool(deterministic), timed)
        _choices[said] = found
    return found


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph.

    Attributes:
        uid: the number by which it is given to the graph.
        shape, strides: in elements.
        kind: its dtype's name.
        aligned: bytes that its address is a multiple of.
    """

    uid: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    kind: str
    aligned: int = 16


class Graph:
    """A graph with its plan: to be called with the address of each tensor by its uid."""

    def __init__(self, device: Any, graph: Any, label: str) -> None:
        self._device, self._graph, self._label = device, graph, label
        self._index = -1
        self._workspace = int(graph.get_workspace_size())

    def time(self, pointers: Mapping[int, int], most: int) -> None:
        """Take the fastest of the first plans; all of them compute the same."""
        times = []
        graph = self._graph
        for i in range(min(most, graph.get_execution_plan_count())):
            try:
                graph.build_plan_at_index(i)
                size = int(graph.get_workspace_size_plan_at_index(i))
                self._index, self._workspace = i, size
                self(pointers)  # once for what it loads
                start, end = (self._device.cuda.event(timing=True) for _ in range(2))
                start.record(self._device.cuda.current_stream())
                for _ in range(3):
                    self(pointers)
                end.record(self._device.cuda.current_stream())
                end.synchronize()
                times.append((self._device.cuda.elapsed(start, end), i, size))
            except (RuntimeError, _unsupported()) as error:
                decline(f"{self._label}, plan {i}", error)
        self._index = -1
        if times:
            _, self._index, self._workspace = min(times)
        else:
            self._workspace = int(graph.get_workspace_size())

    def __call__(self, pointers: Mapping[int, int]) -> None:
        """Queue it.

        Raises:
            RuntimeError: the library refuses.
        """
        device = self._device
        handle = handle_of(device)
        try:
            size = self._workspace
            if 0 < size <= LASTING and device.capture is None:
                self._queue(pointers, device.workspace(size), handle)
            elif not size:
                self._queue(pointers, 0, handle)
            elif device.captured is not None:  # the graph keeps it
                with device.scratch(self._workspace) as (block,):
                    self._queue(pointers, block.ptr, handle)
            elif self._workspace <= LASTING:
                self._queue(pointers, device.workspace(self._workspace), handle)
            else:
                with device.passing(self._workspace) as block:
                    self._queue(pointers, block.ptr, handle)
        except RuntimeError as error:
            raise RuntimeError(f"{device.name}: cuDNN's {self._label}: {error}") from error
        device.launches += 1
        device.recent.append(self._label)
        if device.watch is not None:
            device.watch(self._label, None, ())

    def _queue(self, pointers: Mapping[int, int], workspace: int, handle: int) -> None:
        if self._index < 0:
            self._graph._execute(pointers, workspace, handle)
        else:
            self._graph._execute_plan_at_index(pointers, workspace, self._index, handle)


def build(
    device: Any,
    kind: str,
    tensors: Sequence[Tensor],
    draw: Callable[[Any, list[Any]], Sequence[Any]],
    outputs: Sequence[Tensor],
    wanted: Choice,
    label: str,
) -> Graph | None:
    """A graph with its plan; None where the library has none (see :data:`declined`).

    Args:
        kind: the dtype of what is computed with: its sums are at least float32.
        tensors: its inputs.
        draw: given the graph and its inputs, says what is computed; returns its outputs.
        outputs: what these are to be.
        wanted: what kinds of plans may be taken.
    """
    library = front_end()
    kinds = library.data_type
    wide = kinds.DOUBLE if kind == "float64" else kinds.FLOAT
    with device.lock:
        device.use()
        try:
            graph = library.pygraph(
                io_data_type=getattr(kinds, KINDS[kind]),
                intermediate_data_type=wide,
                compute_data_type=wide,
                handle=handle_of(device),
            )
            inputs = []
            for t in tensors:
                made = graph.tensor(
                    dim=list(t.shape), stride=list(t.strides),
                    data_type=getattr(kinds, KINDS[t.kind]), name=f"t{t.uid}",
                )  # fmt: skip
                made.set_uid(t.uid)
                made.set_alignment(t.aligned)
                inputs.append(made)
            for t, made in zip(outputs, draw(graph, inputs), strict=True):
                made.set_output(True).set_dim(list(t.shape)).set_stride(list(t.strides))
                made.set_data_type(getattr(kinds, KINDS[t.kind]))
                made.set_uid(t.uid)
                made.set_alignment(t.aligned)
            graph.validate()
            graph.build_operation_graph()
            graph.create_execution_plans([library.heur_mode.A, library.heur_mode.FALLBACK])
            notes = _unwanted(library, kind, wanted)
            if notes:
                graph.deselect_numeric_notes(notes)
            graph.deselect_workspace_greater_than(LARGEST)
            graph.check_support()
            graph.build_plans(library.build_plan_policy.HEURISTICS_CHOICE)
        except (RuntimeError, ValueError, _unsupported()) as error:
            decline(label, error)
            return None
        return Graph(device, graph, label)


def _unwanted(library: Any, kind: str, wanted: Choice) -> list[Any]:
    """Notes of the plans that may not be taken."""
    notes = library.numerical_note
    found = []
    if wanted.deterministic:
        found.append(notes.NONDETERMINISTIC)
    if kind == "float32":
        found.append(notes.DOWN_CONVERT_INPUTS)
        if not wanted.tf32:
            found.append(notes.TENSOR_CORE)
    return found


def decline(label: str, error: Exception) -> None:
    """Remember why something goes to other kernels."""
    while len(declined) >= REMEMBERED:
        declined.pop(next(iter(declined)))
    declined[label] = str(error).splitlines()[0] if str(error) else repr(error)


def handle_of(device: Any) -> int:
    """The library's context on a device, which works on this thread's stream."""
    handles = device.handles
    handle: int | None = handles.get("cudnn")
    if handle is None:
        handle = handles["cudnn"] = front_end().create_handle()
    stream = device.stream
    if handles.get("cudnn stream") != stream:
        front_end().set_stream(handle=handle, stream=stream)
        handles["cudnn stream"] = stream
    return handle


def _unsupported() -> type[Exception]:
    found: type[Exception] = front_end().cudnnGraphNotSupportedError
    return found


_placed: Any = None


@cache
def _loaded() -> Any:
    try:
        import cudnn

        if cuda().is_real:
            cudnn.destroy_handle(cudnn.create_handle())  # it loads without the library behind it
            return cudnn
    except (ImportError, OSError, RuntimeError) as error:
        decline("all", error)
    return None


def front_end() -> Any:
    """The front end's module; None where it or the library is not there."""
    return _placed if _placed is not None else _loaded()


def place(other: Any) -> None:
    """Put another front end in its place, or None: for tests without a GPU."""
    global _placed
    _placed = other
