"""``compare``: run a function on two devices in step and find the first operator that parts."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dovetail import raw
from dovetail.autograd.grad_mode import enable_grad
from dovetail.autograd.writes import user_line
from dovetail.backend.state import state_of
from dovetail.debug.judge import Difference, difference, terms_of
from dovetail.debug.watch import OutermostCalls, described, host_values, moved, tensors
from dovetail.device import device as Device
from dovetail.device import resolve
from dovetail.generator import fork_rng, manual_seed
from dovetail.ops.schema import OpDef

__all__ = ["Comparison", "ControlFlowParted", "Parting", "compare"]


class ControlFlowParted(RuntimeError):
    """The function called other operators on the second device than on the first."""


@dataclass(frozen=True)
class Parting:
    """A call whose results part.

    Attributes:
        op: the operator's name.
        call: which call it is, from 0.
        inputs: dtype, shape and strides of each, in words.
        output: which of the results.
        difference: the worst element, both values, the tolerance.
        served_by: how each device served the call (``kernel``, ``fused``, …).
        line: the user's line, as a traceback has it.
    """

    op: str
    call: int
    inputs: tuple[str, ...]
    output: int
    difference: Difference
    served_by: tuple[str, str]
    line: str


@dataclass
class Comparison:
    """What :func:`compare` found.

    Attributes:
        devices: the two.
        calls: how many calls were held against each other.
        partings: those whose results part, in order.
        unmatched: calls that only one device made, while it did the same line (a device whose
            memory the host cannot read must count with operators, for example).
    """

    devices: tuple[str, str]
    calls: int = 0
    partings: list[Parting] = field(default_factory=list)
    unmatched: int = 0

    @property
    def agrees(self) -> bool:
        """Whether all results agree."""
        return not self.partings

    @property
    def first(self) -> Parting | None:
        """The first call whose results part; None where all agree."""
        return self.partings[0] if self.partings else None

    def __str__(self) -> str:
        one, other = self.devices
        if self.first is None:
            return f"{one} and {other} agree: {self.calls} calls compared"
        found = self.first
        which = f", result {found.output}" if found.output else ""
        rest = len(self.partings) - 1
        names = sorted({p.op for p in self.partings[1:]})
        lines = [
            f"{one} and {other} part at call {found.call} of {self.calls}: {found.op}{which}",
            f"  {found.difference}",
            f"  inputs: {'; '.join(found.inputs) or 'none'}",
            f"  served by: {found.served_by[0]} on {one}, {found.served_by[1]} on {other}",
            f"  {found.line}",
            f"  of the {self.calls - found.call - 1} calls after it, given the same inputs, "
            + (f"{rest} part too ({', '.join(names)})" if rest else "all agree"),
        ]
        return "\n".join(lines)

    __repr__ = __str__


@dataclass
class _Call:
    """What is kept of a call on the first device."""

    op: str
    outs: list[np.ndarray]
    facts: list[Any]  # shape and dtype per output
    served_by: str
    line: str
    largest: float


def _facts(result: Any) -> list[Any]:
    return [(tuple(x.shape), x.dtype) for x in tensors(result)]


class _First(OutermostCalls):
    """Keeps every call of the first device."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []
        self._largest = 0.0

    def begin(self, op: OpDef, plan: Any, inputs: tuple[Any, ...], attributes: Any) -> None:
        self._largest = 0.0
        if op.tolerance.against == "inputs":  # before a call in place writes over them
            sizes = [np.abs(host_values(x)) for x in tensors(inputs) if x.dtype.category >= 2]
            kept = [s[np.isfinite(s)].astype(float).max(initial=0.0) for s in sizes]
            self._largest = max(map(float, kept), default=0.0)

    def end(
        self, op: OpDef, plan: Any, inputs: tuple[Any, ...], attributes: Any, result: Any
    ) -> None:
        outs = [host_values(x) for x in tensors(result)]
        facts, line = _facts(result), user_line()
        self.calls.append(_Call(op.name, outs, facts, plan.served_by, line, self._largest))


class _Second(OutermostCalls):
    """Holds every call of the second device against the first's, and then gives it its values."""

    def __init__(self, calls: list[_Call], report: Comparison, tolerance: dict[str, Any]) -> None:
        super().__init__()
        self.calls = calls
        self.report = report
        self.tolerance = tolerance
        self.position = 0
        self.has_parted = False

    def end(
        self, op: OpDef, plan: Any, inputs: tuple[Any, ...], attributes: Any, result: Any
    ) -> None:
        if self.has_parted:
            return
        line = user_line()
        call = self._match(op.name, _facts(result), line)
        if call is None:
            return
        number = self.report.calls
        self.report.calls += 1
        outs = tensors(result)
        terms = terms_of(op, [getattr(x, "_spec", x) for x in inputs], attributes or ())
        for i, (x, wanted) in enumerate(zip(outs, call.outs, strict=True)):
            came = host_values(x)
            found = difference(
                op, x.dtype, wanted, came, terms=terms, largest=call.largest, **self.tolerance
            )
            if found is not None:
                served = (call.served_by, plan.served_by)
                self.report.partings.append(
                    Parting(op.name, number, described(inputs), i, found, served, line)
                )
            if x.numel() and not np.array_equal(wanted, came):
                raw.copy(raw.from_host(wanted, x.dtype, state_of(x.device)), x)

    def _match(self, name: str, facts: list[Any], line: str) -> _Call | None:
        """The first device's call that this one is the same as; None: a helper of this device.

        Raises:
            ControlFlowParted: neither.
        """
        at = self.position
        here = self.calls[at - 1].line if at else line
        while at < len(self.calls):
            call = self.calls[at]
            if call.op == name and call.facts == facts and call.line == line:
                self.report.unmatched += at - self.position
                self.position = at + 1
                return call
            if call.line != here and call.line != line:
                break
            at += 1
        if line == here or (self.position < len(self.calls) and line == self._next().line):
            self.report.unmatched += 1
            return None
        self._part(f"{self.report.devices[1]} called {name} from\n  {line}")
        return None

    def _next(self) -> _Call:
        return self.calls[self.position]

    def finish(self) -> None:
        """The function has returned: nothing may be left of what the first device did.

        Raises:
            ControlFlowParted: something is.
        """
        here = self.calls[self.position - 1].line if self.position else ""
        left = self.calls[self.position :]
        self.report.unmatched += len(left)
        if not self.has_parted and any(c.line != here for c in left):
            self._part(f"{self.report.devices[1]} was done")

    def _part(self, what: str) -> None:
        self.has_parted = True
        if self.report.partings:  # a wrong value came first, and that is what to mend
            return
        after = "the end"
        if self.position < len(self.calls):
            after = f"{self._next().op} from\n  {self._next().line}"
        raise ControlFlowParted(
            f"compare: fn must call the same operators on both devices, but after "
            f"{self.report.calls} calls that agree {what}\nwhere {self.report.devices[0]} went to "
            f"{after}\nLook for a branch on the device, on data or on a random number in fn."
        )


def compare(
    fn: Callable[..., Any],
    *args: Any,
    devices: Sequence[Device | str | int],
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
    **kwargs: Any,
) -> Comparison:
    """Run ``fn`` on two devices and say where their results part first, backward included.

    The second run is kept in step: each operator's result is held against the first device's and
    then replaced by it. So each operator is judged with the same inputs, rounding does not pile up,
    and one wrong operator is one finding. Both runs start from the same random numbers: those of
    this library, of ``random`` and of NumPy's global generator.

    Args:
        fn: a function or module. Given ``args``, it is called with copies of them on each device
            (tensors with their ``requires_grad``, modules, and lists, tuples and dicts of them).
            Without ``args``, it is called with the device if it takes an argument, else with none.
            Tensors that it makes without ``device=`` are made on the device.
        devices: two; the first is taken as right.
        rtol, atol: ``atol + rtol * abs(first)`` may part them. By default each operator's own
            tolerance decides, twice over, since both devices may be off.
        seed: what the random numbers start from.

    Raises:
        ControlFlowParted: fn called other operators on the second device.
        ValueError: not two devices.

    Example:
        >>> import dovetail as dt
        >>> def loss(model, x):
        ...     model(x).square().mean().backward()
        >>> model = dt.nn.Linear(3, 2)
        >>> print(dt.debug.compare(loss, model, dt.ones(4, 3), devices=("cpu", "cpu")))
        cpu and cpu agree: 9 calls compared
    """
    if len(devices) != 2:
        raise ValueError(f"compare: devices must be two, got {len(devices)}: {tuple(devices)}")
    one, other = (resolve(place) for place in devices)
    report = Comparison((str(one), str(other)))
    first = _First()
    second = _Second(first.calls, report, {"rtol": rtol, "atol": atol})
    python, legacy = random.getstate(), np.random.get_state()
    try:
        for place, watcher in ((one, first), (other, second)):
            random.setstate(python)
            np.random.set_state(legacy)
            call = _bound(fn, args, kwargs, place)
            with fork_rng(), enable_grad():
                manual_seed(seed)
                with place, watcher:
                    call()
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
    second.finish()
    return report


def _bound(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], device: Device
) -> Callable[[], Any]:
    """``fn`` with its arguments on ``device``."""
    known: dict[int, Any] = {}
    here = moved(fn, device, known)
    if args or kwargs:
        given = [moved(a, device, known) for a in args]
        named = {k: moved(v, device, known) for k, v in kwargs.items()}
        return lambda: here(*given, **named)
    return (lambda: here(device)) if _takes_one(fn) else here


def _takes_one(fn: Callable[..., Any]) -> bool:
    needed = [
        p
        for p in inspect.signature(fn).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return bool(needed)
