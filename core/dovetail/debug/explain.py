"""``explain``: what an operator of a device should have given, from the host."""

from __future__ import annotations

import inspect
import linecache
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CellType, CodeType, FrameType, FunctionType, TracebackType
from typing import Any, NamedTuple

import numpy as np

from dovetail import raw
from dovetail.autograd.grad_mode import no_grad
from dovetail.autograd.writes import user_line
from dovetail.debug.judge import Difference, difference, terms_of
from dovetail.debug.watch import OutermostCalls, described, host_values, tensors
from dovetail.device import device as Device
from dovetail.factories import run_storage
from dovetail.fallback import host_device
from dovetail.ops.expose import FUNCTIONS
from dovetail.ops.schema import REGISTRY, OpDef
from dovetail.spec import spec_of
from dovetail.tensor import Tensor

__all__ = ["Explanation", "explain"]

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@dataclass(frozen=True)
class Explanation:
    """What one operator of a device did, and what it should have done.

    Attributes:
        op: the operator's name.
        device: where it ran.
        inputs: dtype, shape and strides of each, in words.
        error: what the device raised; None where it gave a wrong result.
        expected: the host's results; empty where the host raised too.
        host_error: what the host raised for the same inputs; None where it has a result.
        difference: where the device's result parts from the host's; None where it raised.
        line: the user's line, as a traceback has it.
    """

    op: str
    device: str
    inputs: tuple[str, ...]
    error: BaseException | None
    expected: tuple[np.ndarray, ...]
    host_error: BaseException | None
    difference: Difference | None
    line: str

    def __str__(self) -> str:
        if self.error is not None:
            lines = [f"{self.op} on {self.device} raised {_one_line(self.error)}"]
        else:
            lines = [f"{self.op} on {self.device} is wrong (the host's value, then the device's)"]
            lines.append(f"  {self.difference}")
        lines += [f"  inputs: {'; '.join(self.inputs) or 'none'}", f"  {self.line}"]
        if self.host_error is not None:
            lines.append(f"  the host raises for the same inputs: {_one_line(self.host_error)}")
        for i, array in enumerate(self.expected):
            text = np.array2string(array, threshold=24, edgeitems=2, prefix="    ")
            lines.append(f"  expected{f' {i}' if i else ''}: {array.dtype} {list(array.shape)}")
            lines.append(f"    {text}")
        return "\n".join(lines)

    __repr__ = __str__


def _one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def explain(
    what: BaseException | Callable[..., Any] | None = None, *args: Any, **kwargs: Any
) -> Explanation | None:
    """Re-run a device's operator on the host, with the same inputs, to say what should have come.

    * After an exception, ``explain()`` takes the one being handled, or the last that reached the
      prompt; ``explain(error)`` takes that one. It finds the operator's call in the traceback, so
      that nothing is kept while programs run.
    * After a wrong result, ``explain(fn, *args)`` runs ``fn(*args)`` once, does every operator of
      a device on the host too, and explains the first that is wrong or raises. Unlike
      :func:`compare` it needs nothing that can be moved to another device.

    Returns:
        The explanation; None where every operator of ``fn`` was right.

    Raises:
        RuntimeError: there is no exception to explain, or no operator of a device is in its
            traceback.

    Example:
        >>> import dovetail as dt
        >>> def fn():
        ...     return dt.ones(2) + 1
        >>> print(dt.debug.explain(fn))
        None
    """
    if callable(what):
        return _explain_call(lambda: what(*args, **kwargs))
    error = what or sys.exc_info()[1] or getattr(sys, "last_value", None)
    if error is None:
        raise RuntimeError(
            "explain: there must be an exception to explain, got none; call it in an except block, "
            "or pass the exception or a function"
        )
    return _explain_error(error)


# After a wrong result.


class _Checker(OutermostCalls):
    """Does every call of a device on the host as well, until one is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Explanation | None = None
        self._held: tuple[Any, ...] = ()

    def begin(self, op: OpDef, plan: Any, inputs: tuple[Any, ...], attributes: Any) -> None:
        if self.found is None:
            self._held = tuple(map(_on_host, inputs))

    def end(
        self, op: OpDef, plan: Any, inputs: tuple[Any, ...], attributes: Any, result: Any
    ) -> None:
        outs = tensors(result)
        if self.found is not None or not outs or _is_host(outs[0].device):
            return
        expected, failed = _redone(op, self._held, attributes, outs)
        if failed is not None:
            return  # the host has no way to do it, so there is nothing to hold against
        terms = terms_of(op, [getattr(x, "_spec", x) for x in inputs], attributes or ())
        sizes = [np.abs(host_values(x)) for x in tensors(self._held) if x.dtype.category >= 2]
        largest = max((float(s.astype(float).max(initial=0.0)) for s in sizes), default=0.0)
        if op.tolerance.against != "inputs":
            largest = 0.0
        for wanted, x in zip(expected, outs, strict=True):
            parts = difference(op, x.dtype, wanted, host_values(x), terms=terms, largest=largest)
            if parts is not None:
                words = described(inputs)
                self.found = Explanation(
                    op.name, str(x.device), words, None, expected, None, parts, user_line()
                )
                return


def _explain_call(call: Callable[[], Any]) -> Explanation | None:
    checker = _Checker()
    with checker:
        try:
            call()
        except Exception as error:
            if checker.found is not None:
                return checker.found
            try:
                return _explain_error(error)
            except RuntimeError:
                raise error from None  # fn's own, which no operator of a device raised
    return checker.found


def _is_host(device: Device) -> bool:
    return device is host_device()


def _on_host(x: Any) -> Any:
    if isinstance(x, Tensor):
        with no_grad():
            return x.detach().to(host_device(), copy=True)
    if isinstance(x, (list, tuple)):
        return type(x)(_on_host(v) for v in x)
    return host_device() if isinstance(x, Device) else x


def _redone(
    op: OpDef, inputs: tuple[Any, ...], attributes: Any, outs: list[Tensor]
) -> tuple[tuple[np.ndarray, ...], Exception | None]:
    """The host's results of a call, or what it raises."""
    from dovetail.dispatch import call

    values = tuple(_on_host(a) for a in attributes)
    try:
        with no_grad():
            if op.name in ("copy_to", "clone", "clone_record"):
                made: Any = inputs[0].to(outs[0].dtype)
            elif inputs:
                made = call(op, inputs, values)
            else:
                made = _made(op, values, outs[0])
    except Exception as error:
        return (), error
    return tuple(host_values(x) for x in tensors(made)), None


def _made(op: OpDef, values: tuple[Any, ...], out: Tensor) -> Tensor:
    """What makes a tensor from no other: filled, ranges, random numbers."""
    from dovetail.ops.randomness.draws import draw

    spec = spec_of(tuple(out.shape), out.dtype, host_device())
    named = dict(zip(op.attributes, values, strict=True))
    if op.kind == "random":
        return draw(op, spec, named.pop("seed"), named.pop("offset"), **named)
    return run_storage(op.name, raw.empty(spec), named)


# After an exception.


class _Found(NamedTuple):
    """A call seen in a traceback.

    Attributes:
        name: the operator's.
        inputs: what it was given.
        placed: tensors that say on which device it was.
        again: does it on the host.
    """

    name: str
    inputs: tuple[Any, ...]
    placed: list[Tensor]
    again: Callable[[], Any]


def _explain_error(error: BaseException) -> Explanation:
    frames = _frames(error.__traceback__)
    for i in reversed(range(len(frames))):
        found = _call_in(frames[i][0])
        if found is None:
            continue
        device = next((x.device for x in found.placed if not _is_host(x.device)), None)
        if device is None:
            continue
        expected: tuple[np.ndarray, ...] = ()
        host_error = None
        try:
            with no_grad():
                expected = tuple(host_values(x) for x in tensors(found.again()))
        except Exception as problem:
            host_error = problem
        words, line = described(found.inputs), _line(frames[:i])
        return Explanation(found.name, str(device), words, error, expected, host_error, None, line)
    raise RuntimeError(
        "explain: an operator of a device must have raised it, but none is in the traceback of "
        f"{_one_line(error)}; where a device works asynchronously, synchronize() after each "
        "operator, or pass the function: explain(fn)"
    )


def _frames(traceback: TracebackType | None) -> list[tuple[FrameType, int]]:
    frames: list[tuple[FrameType, int]] = []
    while traceback is not None:
        frames.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    return frames


def _call_in(frame: FrameType) -> _Found | None:
    """The operator's call that a frame is of, if it is of one."""
    module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
    finder = _FINDERS.get((module, name))
    if finder is None and module.startswith(("dovetail.ops.", "dovetail.operators")):
        finder = _function
    return None if finder is None else finder(frame)


def _dispatched(frame: FrameType) -> _Found:
    from dovetail.dispatch import call

    held = frame.f_locals
    op, inputs = held["op"], tuple(held["inputs"])
    here, values = tuple(map(_on_host, inputs)), tuple(map(_on_host, held["attributes"]))
    return _Found(op.name, inputs, tensors(inputs), lambda: call(op, here, values))


def _filled(frame: FrameType) -> _Found:
    held = frame.f_locals
    op, made = REGISTRY[held["name"]], held["made"]
    values = tuple(held["attributes"][n] for n in op.attributes)
    return _Found(op.name, (), [made], lambda: _made(op, values, made))


def _copied(frame: FrameType) -> _Found:
    source, target = frame.f_locals["source"], frame.f_locals["target"]
    here: Any = _on_host(source)
    kind = target._spec.dtype
    return _Found("copy", (source,), [target], lambda: here.to(kind))


def _function(frame: FrameType) -> _Found | None:
    """A public function that found its plan without the dispatcher: the same code, called again."""
    held, code = frame.f_locals, frame.f_code
    name = _name_of(held, code)
    if name is None:
        return None
    count, keywords = code.co_argcount, code.co_kwonlyargcount
    given = [held[n] for n in code.co_varnames[:count]]
    named = {n: _on_host(held[n]) for n in code.co_varnames[count : count + keywords]}
    rest = iter(code.co_varnames[count + keywords :])
    if code.co_flags & inspect.CO_VARARGS:
        given += held[next(rest)]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        named.update((k, _on_host(v)) for k, v in held[next(rest)].items())
    cells = tuple(CellType(held[n]) for n in code.co_freevars)
    again = FunctionType(code, frame.f_globals, name, None, cells)
    here = [_on_host(x) for x in given]
    inputs = tuple(x for x in given if x is not None)
    return _Found(name, inputs, tensors(inputs), lambda: again(*here, **named))


def _name_of(held: dict[str, Any], code: CodeType) -> str | None:
    for candidate in ("op", "whole"):
        if isinstance(held.get(candidate), OpDef):
            return str(held[candidate].name)
    if callable(held.get("function")):
        return getattr(held["function"], "__name__", None)
    return code.co_name if code.co_name in FUNCTIONS else None


_FINDERS: dict[tuple[str, str], Callable[[FrameType], _Found | None]] = {
    ("dovetail.dispatch", "call"): _dispatched,
    ("dovetail.factories", "run_storage"): _filled,
    ("dovetail.raw", "copy"): _copied,
}
"""Where calls go through, by module and function."""


def _line(frames: list[tuple[FrameType, int]]) -> str:
    """The user's line: the last of these frames outside this package."""
    for frame, number in reversed(frames):
        file = frame.f_code.co_filename
        if not file.startswith((_HOME, "<dovetail")):
            text = linecache.getline(file, number).strip()
            where = f'File "{file}", line {number}, in {frame.f_code.co_name}'
            return where + (f"\n    {text}" if text else "")
    return "an unknown line"
