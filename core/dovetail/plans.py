"""Plans: closures that run one resolved call, from the leanest to the most general.

Each closure has an attribute ``served_by`` (kernel, fused, decomposed, host) and ``packs``, the
number of inputs that must be packed before the kernel runs. That of a kernel of several outputs has
``first``, the plan for who wants the first one alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import fallback, raw
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import Node, next_sequence
from dovetail.autograd.record import Recorder
from dovetail.backend.api import Kernel
from dovetail.backend.state import DeviceState
from dovetail.capture import keep, under_way
from dovetail.errors import Unsupported
from dovetail.kernels import bind_kernel
from dovetail.ops.schema import CallFacts, OpDef
from dovetail.spec import Spec
from dovetail.straight_plans import MOST, straight
from dovetail.tensor import Tensor

__all__ = [
    "host_plan",
    "kernel_plan",
]

new = object.__new__
Run = Callable[..., Any]

# NumPy reports overflow and invalid values in float results as warnings; PyTorch's operators are
# silent. A plan calls kernels from this module, so that only its own warnings are filtered.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"dovetail\.(plans|ops\.expose)")


def _constants(
    dtype: Any, entry: Kernel, out: Spec | None, state: DeviceState
) -> Callable[[Any], Any]:
    """Python number -> array of this dtype (a tensor where arrays are not the host's).

    0-d where the kernel broadcasts, else expanded to the output's shape (and packed where it takes
    contiguous arrays only). A value that comes a second time is kept: numbers that change with
    every step, such as an optimizer's, would only fill the device's memory.
    """
    kept: dict[Any, Any] = {}
    once: set[Any] = set()
    kind = dtype.numpy
    wide = None if out is None or entry.broadcasts or not out.ndim else out.to(dtype=dtype)
    is_small = wide is None or entry.layout != "contiguous" or wide.numel <= 4096

    def make(value: Any) -> Any:
        with np.errstate(all="ignore"):
            if dtype.category == 1:
                value = np.array(value).astype(kind)  # wraps around, as PyTorch does
            host = np.asarray(value, dtype=kind)
        if state.host_arrays:
            return host
        tensor = raw.from_host(host, dtype, state)
        if wide is not None:
            tensor = raw.view(tensor, raw.expanded(tensor._spec, wide.shape), 0)
            if entry.layout == "contiguous":
                tensor = raw.cast(tensor, raw.packed(wide))
        # It is kept, and the next call may be on another stream.
        if state.runtime.streams and not under_way:
            state.runtime.synchronize(state.index)
        return tensor

    def constant(value: Any) -> Any:
        found = kept.get(value)
        if found is not None:
            if under_way:
                keep(found)
            return found
        found = make(value)
        if under_way:
            keep(found)  # and not by the plan: it is written when the graph is replayed
        elif value and is_small:  # 0.0 and -0.0 are equal, so zeros are not kept
            if value in once:
                once.discard(value)
                if len(kept) >= 64:
                    kept.clear()
                kept[value] = found
            else:
                if len(once) >= 64:
                    once.clear()
                once.add(value)
        return found

    return constant


def _preparation(
    fact: Any, dtype: Any, entry: Kernel, out: Spec | None, elementwise: bool, state: DeviceState
) -> tuple[Run | None, bool]:
    """(function from input to what holds its array, whether it packs); None: the input itself.

    The caller keeps what the function returns until the kernel has been called: an array of a
    device does not keep its memory from being given to somebody else.
    """
    if fact is None:
        return None, False
    if isinstance(fact, type):
        wide = out if elementwise else None
        return (None if entry.scalars else _constants(dtype, entry, wide, state)), False
    steps: list[Callable[[Tensor], Tensor]] = []
    spec = fact
    if dtype is not None and spec.dtype is not dtype:
        target = spec.dense(dtype)
        steps.append(lambda x: raw.cast(x, target))
        spec = target
    if elementwise and out is not None and not entry.broadcasts and spec.shape != out.shape:
        wide = raw.expanded(spec, out.shape)
        steps.append(lambda x: raw.view(x, wide, 0))
        spec = wide
    packs = spec.layout != "contiguous" and (
        entry.layout == "contiguous" or (entry.layout == "broadcast" and spec.layout == "strided")
    )
    if packs:
        packed = raw.packed(spec)
        steps.append(lambda x: raw.cast(x, packed))
    if not steps:
        return None, False

    def prepare(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return prepare, packs


def kernel_plan(
    op: OpDef,
    facts: CallFacts,
    compute: tuple[Any, ...],
    entry: Kernel,
    state: DeviceState,
) -> Run:
    """The plan that calls a kernel of the device's table."""
    wanted = outs = facts.outputs
    elementwise = op.kind in ("elementwise", "compare", "select")
    if entry.layout != "strided":
        facts = CallFacts(op, facts.inputs, tuple(raw.packed(o) for o in outs), facts.attributes)
        outs = facts.outputs
    out = outs[0] if outs else None
    prepared = [
        _preparation(f, c, entry, out, elementwise, state)
        for f, c in zip(facts.inputs, compute, strict=True)
    ]
    preparations = [p for p, _ in prepared]
    packs = sum(packed for _, packed in prepared)
    kernel = bind_kernel(entry, facts)
    recorder = Recorder(op, facts.inputs, facts.attributes, wanted)
    records = op.gradient is not None and bool(recorder.positions)
    plain = not any(preparations) and all(isinstance(f, Spec) for f in facts.inputs)
    as_made = all(w is o for w, o in zip(wanted, outs, strict=True))
    run: Run
    if state.host_arrays and as_made and plain and len(outs) == 1 and len(facts.inputs) in (1, 2):
        make = state.array_maker(outs[0])
        build = _host_unary if len(facts.inputs) == 1 else _host_binary
        run = build(kernel, outs[0], make, recorder if records else None)
    elif (
        state.host_arrays
        and as_made
        and len(facts.inputs) == 2
        and len(outs) == 1
        and preparations[0] is None
        and isinstance(facts.inputs[0], Spec)
        and isinstance(facts.inputs[1], type)
        and preparations[1] is not None
    ):
        make = state.array_maker(outs[0])
        run = _host_scalar(kernel, outs[0], make, preparations[1], recorder if records else None)
    elif (
        as_made
        and len(outs) == 1
        and len(facts.inputs) in (1, 2)
        and not any(preparations)
        and isinstance(facts.inputs[0], Spec)
        and facts.inputs[-1] is not None
        and not state.host_arrays
    ):
        pooled = state.maker(outs[0])
        on_device = _unary if len(facts.inputs) == 1 else _binary
        if isinstance(facts.inputs[-1], type):
            on_device = _scalar
        run = on_device(kernel, pooled, recorder if records else None)
    else:
        known = recorder if records else None
        run = _general(kernel, facts.inputs, outs, wanted, preparations, state, known)
    run.served_by = "kernel" if op.decompose is None else "fused"  # type: ignore[attr-defined]
    run.packs = packs  # type: ignore[attr-defined]
    return run


def _quiet(kernel: Run, arrays: tuple[Any, ...]) -> None:
    """Call a kernel again where a caller has turned NumPy's warnings into errors."""
    with np.errstate(all="ignore"):
        kernel(*arrays)


def _host_unary(kernel: Run, spec: Spec, make: Run, recorder: Recorder | None) -> Run:
    info = recorder.info(1) if recorder else None
    if info is not None and not info.has_gradients:
        info = None

    def run(a: Tensor) -> Tensor:
        x = a._array
        if x is None:
            x = a._materialize()
        out = make()
        try:
            kernel(x, out)
        except (RuntimeWarning, FloatingPointError):
            _quiet(kernel, (x, out))
        t: Tensor = new(Tensor)
        t._spec = spec
        t._array = out
        t._storage = None
        t._base = None
        node = a._node
        if node is None or info is None or not mode.grad:
            t._node = None
            return t
        n = new(Node)
        n.info = info
        n.sequence = next_sequence()
        n.next = (node,)
        t._node = None
        keep = info.keep
        n.saved = () if keep is None else keep(info, a, t)
        t._node = n
        return t

    return run


def _host_binary(kernel: Run, spec: Spec, make: Run, recorder: Recorder | None) -> Run:
    infos: Any = None
    if recorder:  # by which inputs need a gradient: the node's info, and what it saves
        infos = [(None, None), *((i, i.keep) for i in map(recorder.info, (1, 2, 3)))]

    def run(a: Tensor, b: Tensor) -> Tensor:
        x = a._array
        if x is None:
            x = a._materialize()
        y = b._array
        if y is None:
            y = b._materialize()
        out = make()
        try:
            kernel(x, y, out)
        except (RuntimeWarning, FloatingPointError):
            _quiet(kernel, (x, y, out))
        t: Tensor = new(Tensor)
        t._spec = spec
        t._array = out
        t._storage = None
        t._base = None
        t._node = None
        first = a._node
        second = b._node
        if (first is None and second is None) or infos is None or not mode.grad:
            return t
        info, keep = infos[(first is not None) + 2 * (second is not None)]
        n = new(Node)
        n.info = info
        n.sequence = next_sequence()
        n.next = (first, second)
        n.saved = () if keep is None else keep(info, a, b, t)
        t._node = n
        return t

    return run


def _host_scalar(
    kernel: Run, spec: Spec, make: Run, constant: Run, recorder: Recorder | None
) -> Run:
    info = recorder.info(1) if recorder else None

    def run(a: Tensor, b: Any) -> Tensor:
        x = a._array
        if x is None:
            x = a._materialize()
        out = make()
        y = constant(b)
        try:
            kernel(x, y, out)
        except (RuntimeWarning, FloatingPointError):
            _quiet(kernel, (x, y, out))
        t: Tensor = new(Tensor)
        t._spec = spec
        t._array = out
        t._storage = None
        t._base = None
        t._node = None
        node = a._node
        if node is None or info is None or not mode.grad:
            return t
        n = new(Node)
        n.info = info
        n.sequence = next_sequence()
        n.next = (node, None)
        keep = info.keep  # type: ignore[union-attr]
        n.saved = () if keep is None else keep(info, a, b, t)
        t._node = n
        return t

    return run


def _unary(kernel: Run, make: Run, recorder: Recorder | None) -> Run:
    """As :func:`_host_unary`, for memory that a device's pool hands out."""
    info = recorder.info(1) if recorder else None
    if info is not None and not info.has_gradients:
        info = None

    def run(a: Tensor) -> Tensor:
        x = a._array
        if x is None:
            x = a._materialize()
        t: Tensor = make()
        kernel(x, t._array)
        node = a._node
        if node is None or info is None or not mode.grad:
            return t
        n = new(Node)
        n.info = info
        n.sequence = next_sequence()
        n.next = (node,)
        keep = info.keep
        n.saved = () if keep is None else keep(info, a, t)
        t._node = n
        return t

    return run


def _binary(kernel: Run, make: Run, recorder: Recorder | None) -> Run:
    """As :func:`_host_binary`, for memory that a device's pool hands out."""
    infos: Any = None
    if recorder:  # by which inputs need a gradient: the node's info, and what it saves
        infos = [(None, None), *((i, i.keep) for i in map(recorder.info, (1, 2, 3)))]

    def run(a: Tensor, b: Tensor) -> Tensor:
        x = a._array
        if x is None:
            x = a._materialize()
        y = b._array
        if y is None:
            y = b._materialize()
        t: Tensor = make()
        kernel(x, y, t._array)
        first = a._node
        second = b._node
        if (first is None and second is None) or infos is None or not mode.grad:
            return t
        info, keep = infos[(first is not None) + 2 * (second is not None)]
        n = new(Node)
        n.info = info
        n.sequence = next_sequence()
        n.next = (first, second)
        n.saved = () if keep is None else keep(info, a, b, t)
        t._node = n
        return t

    return run


def _scalar(kernel: Run, make: Run, recorder: Recorder | None) -> Run:
    """As :func:`_host_scalar`, for memory of a pool and kernels that take numbers."""
    info = recorder.info(1) if recorder else None

    def run(a: Tensor, b: Any) -> Tensor:
        x = a._array
        if x is None:
            x = a._materialize()
        t: Tensor = make()
        kernel(x, b, t._array)
        node = a._node
        if node is None or info is None or not mode.grad:
            return t
        n = new(Node)
        n.info = info
        n.sequence = next_sequence()
        n.next = (node, None)
        keep = info.keep
        n.saved = () if keep is None else keep(info, a, b, t)
        t._node = n
        return t

    return run


def _general(
    kernel: Run,
    inputs: tuple[Any, ...],
    outs: tuple[Spec, ...],
    wanted: tuple[Spec, ...],
    preparations: list[Run | None],
    state: DeviceState,
    recorder: Recorder | None,
) -> Run:
    makers = [state.maker(o) for o in outs]
    # A kernel that writes dense rows only, where the result has other strides.
    relaid = None if wanted == outs else (wanted, outs)
    host = state.host_arrays
    if not host and relaid is None and not any(preparations):
        are_tensors = tuple([isinstance(f, Spec) for f in inputs])
        if outs and len(inputs) + len(outs) <= MOST:
            return straight(kernel, makers, are_tensors, recorder)

    def first(*inputs: Any) -> Any:
        return run(*inputs)[0]

    def run(*inputs: Any) -> Any:
        held = [x if p is None else p(x) for p, x in zip(preparations, inputs, strict=True)]
        arrays = [x._materialize() if isinstance(x, Tensor) else x for x in held]
        made = [make() for make in makers]
        arrays += [t._array for t in made]
        if host:
            with np.errstate(all="ignore"):
                kernel(*arrays)
        else:
            kernel(*arrays)
        if relaid:
            made = [t if w is o else raw.cast(t, w) for t, w, o in zip(made, *relaid, strict=True)]
        if recorder is not None and mode.grad:
            for x in inputs:
                if isinstance(x, Tensor) and x._node is not None:
                    recorder.record(inputs, tuple(made))
                    break
        return made[0] if len(made) == 1 else tuple(made)

    if len(outs) > 1:
        run.first = first  # type: ignore[attr-defined]
    return run


def host_plan(op: OpDef, facts: CallFacts, state: DeviceState, resolve: Run) -> Run:
    """The plan that copies to the host, runs there and copies back, if the policy allows.

    Args:
        resolve: makes the plan on the host, as ``dispatch.resolve`` does.

    Raises:
        Unsupported: the host has no way either, or the operator may not run there.
    """
    if state.host_arrays or op.kind in ("view", "storage", "random"):
        raise Unsupported(
            f"{op.name}: {state.device} has no kernel of it for "
            f"{', '.join(f.dtype.name for f in facts.inputs if isinstance(f, Spec))}; "
            "the backend must add one to its table"
        )
    recorder = Recorder(op, facts.inputs, facts.attributes, facts.outputs)
    values = tuple(facts.attributes[name] for name in op.attributes)
    host = fallback.host_device()

    def run(*inputs: Any) -> Any:
        with fallback.counted(op, state, inputs):
            outer = mode.grad
            mode.grad = False
            try:
                here = tuple(x.to(host) if isinstance(x, Tensor) else x for x in inputs)
                result = resolve(op, here, values)(*here)
                many = isinstance(result, tuple)
                made = tuple(o.to(state.device) for o in (result if many else (result,)))
            finally:
                mode.grad = outer
        if outer and any(isinstance(x, Tensor) and x._node is not None for x in inputs):
            recorder.record(inputs, made)
        return made if many else made[0]

    run.served_by = "host"  # type: ignore[attr-defined]
    return run
