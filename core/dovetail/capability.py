"""What a device can do, from its table: operator and dtype -> kernel, fused, decomposed, host.

:func:`capabilities` runs every operator on its record's samples on a ghost of the device, so that
nothing is allocated and no kernel runs. What one concrete call must get is said by
``capability_rule``.
"""

from __future__ import annotations

import collections
import fnmatch
import functools
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dovetail import dtypes, observe, raw
from dovetail.autograd.grad_mode import enable_grad, no_grad
from dovetail.backend.state import DeviceState, state_of
from dovetail.device import device as Device
from dovetail.device import resolve
from dovetail.dry_run import ghost_of
from dovetail.dtypes import dtype as DType
from dovetail.ops.schema import REGISTRY, OpDef, Sample
from dovetail.spec import spec_of
from dovetail.tensor import Tensor

__all__ = ["LABELS", "Capabilities", "Capability", "capabilities"]

LABELS = {
    "kernel": "the device's own kernel",
    "fused": "the device's own kernel in place of a decomposition",
    "decomposed": "made of other operators that the device has",
    "host": "copied to the host and back, by the policy DOVETAIL_FALLBACK",
    "none": "refused: Unsupported",
}
"""What each label means, the best first."""

_ORDER = tuple(LABELS)

_STORAGE = {"arange": (*dtypes.INTEGRAL, *dtypes.FLOATING)}
"""Storage primitives that the core asks for fewer dtypes than the record says."""


def _draws(ghost: Device, kind: DType) -> None:
    """Random numbers: their records have no samples, the values being nobody's to choose."""
    from dovetail.ops.randomness import draws, laws

    spec = spec_of((4,), kind, ghost)
    if kind in dtypes.FLOATING:
        draws.draw_uniform(spec)
        draws.draw_normal(spec)
        draws.draw_noise(spec, 0.5)
        draws.draw_between(spec, 0, 2, 1)
        draws.draw_scaled(spec, 1, 2)
        laws.draw_law(spec, laws.EXPONENTIAL, {"rate": 2})
        laws.draw_law(spec, laws.CAUCHY, {"median": 1, "sigma": 2})
        laws.draw_law(spec, laws.LOG_NORMAL, {"mean": 1, "std": 2})
    if not kind.is_complex and kind is not dtypes.bool_:
        laws.draw_law(spec, laws.GEOMETRIC, {"p": 0.5})
    if not kind.is_complex:
        draws.draw_integers(spec, 0, 2)
    if kind is dtypes.int64:
        draws.draw_permutation(4, ghost)


def _counts(name: str, kinds: Sequence[DType], ghost: Device, kind: DType) -> None:
    """A draw from inputs; without a kernel it looks at values."""
    from dovetail.ops.randomness.draws import draw

    if kind in kinds:
        spec, op = spec_of((4,), kind, ghost), REGISTRY[name]
        given = raw.empty(spec)
        draw(op, spec, 0, 0, inputs=(given,) * len(op.inputs))


def _rounded_quotients(ghost: Device, kind: DType) -> None:
    x: Any = raw.empty(spec_of((4,), kind, ghost))
    for rounding in ("floor", "trunc"):
        x.div(x, rounding_mode=rounding)


_WITH_GRADIENTS = 2
"""Of so many samples per operator and dtype the graph is walked."""

_OF_SIZE = ("contract", "composite")
"""Kernels of these kinds may be for small calls only."""

_TIMES, _TIMES_MADE_OF_STEPS = 100, 32
"""Where such a kernel has a condition, each sample is tried with dims of so many times the size as
well, to see whether that goes to the host. One whose arguments name sizes is refused then, and says
nothing. What has a decomposition may fill memory of the host's with places, by its size."""

_MORE = (
    _draws,
    functools.partial(_counts, "random_poisson", dtypes.FLOATING),
    functools.partial(_counts, "random_binomial", (dtypes.float32, dtypes.float64)),
    _rounded_quotients,
)
"""Calls of records without samples, which no gradient calls either."""


class Capability(NamedTuple):
    """One cell of the table.

    Attributes:
        op: the operator's name.
        dtype: of the numbers that its samples are made of.
        label: how the device serves it; the weakest where samples differ (see :data:`LABELS`).
        others: the better labels that some samples got; empty where all are served alike.
    """

    op: str
    dtype: DType
    label: str
    others: tuple[str, ...] = ()


class Capabilities(Sequence[Capability]):
    """The table of one device: a sequence of :class:`Capability`, by operator and dtype.

    Attributes:
        device: whose table it is.
        unseen: operators that no sample and no gradient calls, so that nothing is known of them.
    """

    def __init__(self, device: Device, rows: Sequence[Capability], unseen: Sequence[str]) -> None:
        self.device = device
        self.unseen = tuple(unseen)
        self._rows = tuple(rows)
        self._cells = {(row.op, row.dtype): row for row in rows}

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {label}" for label, n in self.counts().items())
        return f"Capabilities({self.device}: {len(self.operators())} operators; {counts})"

    def operators(self) -> list[str]:
        """The operators' names, sorted."""
        return sorted({row.op for row in self._rows})

    def cell(self, op: str, dtype: DType) -> Capability:
        """What is known of an operator for a dtype.

        Raises:
            KeyError: no operator of that name is in the table.
        """
        return self._cells[op, dtype]

    def counts(self) -> dict[str, int]:
        """How many cells have each label."""
        counted = collections.Counter(row.label for row in self._rows)
        return {label: counted[label] for label in LABELS}


class _Frame:
    """A call that has begun: its label, and whether anything inside it goes to the host."""

    __slots__ = ("dtype", "label", "op", "touches_host")

    def __init__(self, op: str, label: str, dtype: DType | None) -> None:
        self.op = op
        self.label = label
        self.dtype = dtype
        self.touches_host = False

    def final(self) -> str:
        return "host" if self.touches_host else self.label


class _Recorder(observe.Watcher):
    """Collects ``(operator, first dtype, label)`` of every call on the ghost, in this thread."""

    def __init__(self) -> None:
        self.ghost: Device | None = None
        self.done: list[tuple[str, DType | None, str]] = []
        self.cut: list[tuple[str, DType | None, str]] = []
        self._stack: list[_Frame] = []
        self._thread = threading.get_ident()

    def on_host(self) -> None:
        """The call that has begun last goes to the host, and so does whatever it is inside of."""
        for frame in self._stack:
            frame.touches_host = True

    def enter(self, op: OpDef, plan: Any, inputs: tuple[Any, ...], attributes: Any) -> None:
        """Note a call's label."""
        if threading.get_ident() != self._thread:
            return
        first = next((x._spec for x in inputs if isinstance(x, Tensor)), None)
        label = plan.served_by
        if first is not None and first.device is not self.ghost:
            label = ""  # the decomposition on meta that tells the shape of a composite
        self._stack.append(_Frame(op.name, label, None if first is None else first.dtype))

    def leave(self, op: OpDef, result: Any) -> None:
        """Keep what was noted; apart from the others where the call did not end."""
        if threading.get_ident() != self._thread:
            return
        frame = self._stack.pop()
        if isinstance(result, Tensor) and frame.dtype is None:
            frame.dtype = result.dtype
        if frame.label:
            kept = self.cut if result is None else self.done
            kept.append((frame.op, frame.dtype, frame.final()))

    def taken(self) -> list[tuple[str, DType | None, str]]:
        """What was seen since the last time."""
        seen = self.done
        self.done, self.cut = [], []
        return seen


def capabilities(device: Device | str | int, op: str = "*") -> Capabilities:
    """How ``device`` serves each operator, for each dtype, from a dry run.

    Views are left out: they need no kernel, and every device has them for all its dtypes.

    Args:
        device: any device; only its table and its facts are asked, nothing is allocated or run.
        op: only operators whose name fits this pattern of a shell, such as ``conv*``. Records that
            only gradients call are known where the operators that call them are tried.

    Raises:
        BackendUnavailable: the backend is absent, broken, disabled or has no hardware.

    Example:
        >>> import dovetail as dt
        >>> table = dt.capabilities("cpu", "[ae]*")
        >>> table.cell("add", dt.float32).label, table.cell("add", dt.float32).others
        ('kernel', ())
        >>> table.cell("erf", dt.complex64).label, table.counts()["host"]
        ('none', 0)
    """
    where = resolve(device)
    recorder = _Recorder()
    found: dict[tuple[str, DType], set[str]] = collections.defaultdict(set)
    with (
        warnings.catch_warnings(),
        ghost_of(where, recorder.on_host) as ghost,
        enable_grad(),
    ):
        warnings.simplefilter("ignore")
        recorder.ghost = ghost
        observe.active.append(recorder)
        try:
            for kind in dtypes.ALL:
                for more in _MORE:
                    _try_more(more, kind, ghost, recorder, found)
                for name, record in list(REGISTRY.items()):
                    if record.samples is not None and fnmatch.fnmatchcase(name, op):
                        _try(record, kind, state_of(where), ghost, recorder, found)
        finally:
            observe.active[:] = [w for w in observe.active if w is not recorder]
    return _table(where, found, op)


def _grown_sample(sample: Sample, times: int) -> Sample:
    def grown(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.broadcast_to(np.zeros((), value.dtype), [times * n for n in value.shape])
        if isinstance(value, (list, tuple)):
            return type(value)(grown(v) for v in value)
        return value

    return Sample(grown(sample.args), {name: grown(v) for name, v in sample.kwargs.items()})


def _try_more(
    call: Callable[[Device, DType], None],
    kind: DType,
    ghost: Device,
    recorder: _Recorder,
    found: dict[tuple[str, DType], set[str]],
) -> None:
    recorder.taken()
    try:
        call(ghost, kind)
    except (RuntimeError, TypeError) as error:
        if _wants_data(error):
            recorder.done += recorder.cut
        recorder.cut.clear()  # refused for this dtype
    _keep_unsampled(recorder.taken(), found)


def _wants_data(error: Exception) -> bool:
    """Whether a call ended because data decides from there on, which the ghost has not."""
    return isinstance(error, NotImplementedError) and "meta" in str(error)


def _keep_unsampled(
    seen: list[tuple[str, DType | None, str]], found: dict[tuple[str, DType], set[str]]
) -> None:
    """Keep the labels of records that have no samples of their own."""
    for name, first, label in seen:
        if first is not None and name in REGISTRY and REGISTRY[name].samples is None:
            found[name, first].add(label)


def _try(
    op: OpDef,
    kind: DType,
    state: DeviceState,
    ghost: Device,
    recorder: _Recorder,
    found: dict[tuple[str, DType], set[str]],
) -> None:
    """Run an operator's samples of one dtype on the ghost, and gradients of the floating ones."""
    assert op.samples is not None
    if kind not in op.accepts or kind not in state.dtypes:
        return
    without_it = None
    samples = list(op.samples(np.random.default_rng(0), kind))
    for i, sample in enumerate(samples):
        seen, works = _seen(op, sample, ghost, recorder, i < _WITH_GRADIENTS)
        _keep_unsampled(seen, found)
        if not works or op.kind == "view":
            continue
        own = [label for name, _, label in seen if name == op.name]
        if own:
            found[op.name, kind].add(max(own, key=_ORDER.index))
        else:
            without_it = seen
    if without_it is not None and not found[op.name, kind]:
        found[op.name, kind].add(_guessed(op, without_it, kind, state))
    if op.kind in _OF_SIZE and any(entry.when for entry in state.table.entries(op.name)):
        times = _TIMES if op.decompose is None else _TIMES_MADE_OF_STEPS
        for sample in samples:
            seen, _ = _seen(op, _grown_sample(sample, times), ghost, recorder, False)
            if any(name == op.name and label == "host" for name, _, label in seen):
                found[op.name, kind].add("host")


def _seen(
    op: OpDef, sample: Sample, ghost: Device, recorder: _Recorder, with_gradients: bool
) -> tuple[list[tuple[str, DType | None, str]], bool]:
    """The calls that a sample makes, and whether it is served."""
    recorder.taken()
    works = True
    try:
        arguments = _on(ghost, sample.args, with_gradients)
        keywords = {k: _on(ghost, v, with_gradients) for k, v in sample.kwargs.items()}
        result = _function(op)(*arguments, **keywords)
    except NotImplementedError as error:
        works = _wants_data(error)
        recorder.done += recorder.cut
        return recorder.taken(), works
    except (RuntimeError, TypeError, ValueError, IndexError):
        return recorder.taken(), False
    forward = recorder.taken()
    _backward(result)
    return forward + recorder.taken(), works


def _function(op: OpDef) -> Any:
    from dovetail import ops

    return op.function or getattr(ops, op.name)


def _on(ghost: Device, value: Any, requires_grad: bool) -> Any:
    if isinstance(value, np.ndarray):
        made = raw.empty(spec_of(value.shape, dtypes.from_numpy_dtype(value.dtype), ghost))
        return made.requires_grad_(requires_grad and made.dtype.category >= 2)
    if isinstance(value, (list, tuple)):
        return type(value)(_on(ghost, v, requires_grad) for v in value)
    return value


def _backward(result: Any) -> None:
    """Walk the graph, for the operators that only gradients call."""
    outs = [
        x
        for x in (result if isinstance(result, (tuple, list)) else (result,))
        if isinstance(x, Tensor) and x.requires_grad and not x.is_leaf
    ]
    if outs:
        with no_grad():
            seeds = [raw.empty(x._spec) for x in outs]
        from dovetail.autograd import backward

        try:
            backward(outs, seeds)
        except (RuntimeError, TypeError, ValueError, IndexError):
            return  # a gradient that needs data; what was seen until then counts


def _guessed(
    op: OpDef, seen: list[tuple[str, DType | None, str]], kind: DType, state: DeviceState
) -> str:
    """The label of an operator that none of its samples comes to, by what one of them calls."""
    if any(label == "host" for _, _, label in seen):
        return "host"
    # Data is needed before the operator is called; the table says it as far as it can.
    if _has_entry(op, kind, state):
        return "kernel" if op.decompose is None else "fused"
    if op.required and op.decompose is None:
        return "none" if state.host_arrays else "host"
    return "decomposed"


def _has_entry(op: OpDef, kind: DType, state: DeviceState) -> bool:
    return any(k.dtypes is None or kind in k.dtypes for k in state.table.entries(op.name))


def _table(device: Device, found: dict[tuple[str, DType], set[str]], pattern: str) -> Capabilities:
    state = state_of(device)
    rows: list[Capability] = []
    unseen: list[str] = []
    for name, op in sorted(REGISTRY.items()):
        if op.kind == "view" or not fnmatch.fnmatchcase(name, pattern):
            continue
        if op.name != name:  # another name for a node in the graph
            continue
        if op.kind == "storage":
            cells = [(kind, _storage_labels(op, kind, state)) for kind in dtypes.ALL]
        else:
            cells = [(kind, found.get((name, kind), set())) for kind in dtypes.ALL]
            if op.samples is None and not any(labels for _, labels in cells):
                unseen.append(name)
                continue
        for kind, labels in cells:
            ranked = sorted(labels, key=_ORDER.index)
            weakest = ranked[-1] if ranked else "none"
            rows.append(Capability(name, kind, weakest, tuple(ranked[:-1])))
    return Capabilities(device, rows, unseen)


def _storage_labels(op: OpDef, kind: DType, state: DeviceState) -> set[str]:
    """The storage primitives have no call of their own to try; their table entries say it."""
    if kind not in state.dtypes or kind not in _STORAGE.get(op.name, op.accepts):
        return set()
    return {"kernel"} if _has_entry(op, kind, state) else set()
