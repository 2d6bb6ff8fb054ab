"""Expressions of operators that the table has none of: their decomposition, written out.

The decomposition is run on a device of its own, ``trace``, whose memory holds no numbers but what
would be computed there: the name of a value, or a number. Each kernel writes one line of a function
``T composed_i0(T a0)`` in the language of :mod:`dovetail.backend.expressions`. A source backend
makes one kernel of it, where the operator would be as many launches as it has lines.

What is no function of single elements is seen when its memory is used: a part of it, another
layout or dtype, what the host wrote or wants to read. There is no expression then.
"""

from __future__ import annotations

import copy
import math
import re
import threading
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dovetail import raw
from dovetail.autograd.mode import mode
from dovetail.backend import state as state_module
from dovetail.backend.api import Kernel, KernelTable, Shape
from dovetail.backend.expressions import EXPRESSIONS, POWERS, Expression, class_of
from dovetail.backend.meta import MetaRuntime
from dovetail.backend.state import DeviceState, state_of
from dovetail.device import _resolved
from dovetail.device import device as Device
from dovetail.dtypes import bfloat16, bool_, dtype, float16
from dovetail.ops.schema import REGISTRY, CallFacts
from dovetail.spec import Spec, spec_of

__all__ = ["Composition", "Step", "composable", "composed", "composition"]

_HALVES = (float16, bfloat16)
"""What is computed in float32 and rounded at the end."""

_SHAPE = (3,)
"""Of every operand: what is computed of single elements does not depend on it."""

_MOST = 1024
"""Expressions that are kept."""

_known: dict[tuple[Any, ...], Composition | None] = {}
_lock = threading.RLock()
_trace: _Trace
_place: Device | None = None


class Step(NamedTuple):
    """A line, as a call: ``result = op(*operands, **attributes)``.

    Attributes:
        op: the record; ``copy`` casts.
        operands: names, and numbers.
        kinds: per operand, its dtype.
        kind: the result's dtype.
    """

    op: Any
    operands: tuple[Any, ...]
    kinds: tuple[dtype, ...]
    attributes: dict[str, Any]
    result: str
    kind: dtype


class Composition(NamedTuple):
    """A decomposition that is one of single elements.

    Attributes:
        expression: its text.
        steps: its lines.
        given: per operand, its dtype.
        kinds: per operand, called a0, a1, ..., the dtype that it is computed in.
        result: what of the names is the result.
    """

    expression: Expression
    steps: tuple[Step, ...]
    given: tuple[dtype, ...]
    kinds: tuple[dtype, ...]
    result: str


class _NotOfElements(Exception):
    """The decomposition is no function of single elements, or of numbers that have no text here."""


def composed(facts: Any) -> Expression | None:
    """The expression of an operator that is computed element by element, from its decomposition.

    Args:
        facts: the call as a kernel's ``when`` is given it.

    Returns:
        An expression of as many operands as the call has (a Python number is one that repeats), for
        kernels with an output of the operands' dtype, or of bool; None: the operator is none of
        single elements, has no decomposition, or is of other than real floating operands.

    Example:
        >>> import dovetail as dt
        >>> from dovetail.ops.schema import REGISTRY, CallFacts
        >>> spec = dt.zeros(3)._spec
        >>> expression = composed(CallFacts(REGISTRY["frac"], (spec,), (spec,), {}))
        >>> expression.text(dt.float32)
        'composed_frac(x0)'
        >>> print(expression.helpers["composed_frac"])
        T composed_frac(T a0) {
            const T t0 = trunc(a0);
            const T t1 = a0 - t0;
            return t1;
        }
    """
    found = composition(facts)
    return None if found is None else found.expression


def composition(facts: Any) -> Composition | None:
    """What :func:`composed` is of, with the calls that it is made of."""
    op = facts.op
    if op.decompose is None or op.infer is None or len(facts.outputs) != 1 or not facts.inputs:
        return None
    compute = op.infer(*facts.inputs, **facts.attributes).compute
    kinds = tuple(
        k or getattr(f, "dtype", None) for k, f in zip(compute, facts.inputs, strict=True)
    )
    reals = {k for k in kinds if k is not bool_}
    if None in reals or len(reals) != 1 or class_of(*reals) != "float":
        return None
    (kind,) = reals
    out = facts.outputs[0].dtype
    if out not in (kind, bool_):
        return None
    values = tuple(facts.attributes.items())
    try:
        key = (op, kinds, out, values)
        if key not in _known:
            if len(_known) >= _MOST:
                _known.clear()
            _known[key] = _traced(op, kinds, out, values)
    except TypeError:  # an attribute that is not hashable is nothing that a text has
        return None
    return _known[key]


def _traced(
    op: Any, kinds: tuple[dtype, ...], out: dtype, values: tuple[tuple[str, Any], ...]
) -> Composition | None:
    wide = [op.compute if op.compute and k in _HALVES else k for k in kinds]
    (real,) = {k for k in wide if k is not bool_}
    name = f"composed_{op.name}"
    if values:
        name += f"_{zlib.crc32(repr(values).encode()):08x}"
    with _lock, _tracing(real) as trace:
        try:
            operands = [raw.empty(spec_of(_SHAPE, k, _device())) for k in wide]
            for i, x in enumerate(operands):
                x._storage.buffer.hold(f"a{i}", x._spec.dtype, 3)
            made = op.decompose(*operands, **dict(values))
            result = trace.value(made._array, made._spec.dtype)
        except Exception:  # whatever it wanted that is not there
            return None
        if (made._spec.dtype is bool_) is not (out is bool_) or not trace.lines:
            return None
    word = {True: "B", False: "T"}
    parameters = ", ".join(f"{word[k is bool_]} a{i}" for i, k in enumerate(wide))
    lines = "".join(f"    {line}\n" for line in (*trace.lines, f"return {result};"))
    text = f"{word[out is bool_]} {name}({parameters}) {{\n{lines}}}"
    call = f"{name}({', '.join(f'x{i}' for i in range(len(wide)))})"
    kind = "bool" if out is bool_ else "same"
    expression = Expression(len(wide), {"float": call}, result=kind, helpers={name: text})
    return Composition(expression, tuple(trace.steps), kinds, tuple(wide), result)


_OF_ELEMENTS = ("angle",)
"""Composites that are computed element by element, too."""

_OTHERWISE = re.compile(r"conj_physical|frexp|nextafter|.*_polynomial_\w+")
"""What is computed of bits, of pairs, or as far as the data say."""


def composable(known: Container[str] = EXPRESSIONS) -> tuple[str, ...]:
    """Operators that :func:`composed` may have an expression of, and ``known`` has not.

    None of them refuses values, which a kernel has to tell the host of.

    Example:
        >>> "bessel_j0" in composable(), "exp" in composable(), "softmax" in composable()
        (True, False, False)
    """
    return tuple(
        name
        for name, op in REGISTRY.items()
        if (op.kind in ("elementwise", "compare") or name in _OF_ELEMENTS)
        and op.decompose is not None
        and op.infer is not None
        and name not in known
        and not (name in EXPRESSIONS and EXPRESSIONS[name].refuses)
        and not _OTHERWISE.fullmatch(name)
    )


class _Trace:
    """The lines of one function in the making."""

    def __init__(self, real: dtype) -> None:
        self.real = real
        self.lines: list[str] = []
        self.steps: list[Step] = []
        self.numbers: dict[str, Any] = {}  # by text
        self._names: dict[str, str] = {}

    def number(self, value: Any, kind: dtype) -> str:
        """A number in the table's language."""
        text = self._number(value, kind)
        self.numbers[text] = value
        return text

    def _number(self, value: Any, kind: dtype) -> str:
        if kind is bool_:
            return "1" if value else "0"
        if kind is not self.real:
            raise _NotOfElements
        with np.errstate(over="ignore"):
            value = (np.float32 if self.real in _HALVES else self.real.numpy.type)(value)
        if math.isnan(value):
            return "(T)(0.0 / 0.0)"
        if math.isinf(value):
            return f"(T)({'-' * bool(value < 0)}1.0 / 0.0)"
        digits, _, exponent = str(abs(value)).partition("e")
        text = (digits if "." in digits else f"{digits}.0") + (exponent and f"e{exponent}")
        return f"(T)({'-' * bool(np.signbit(value))}{text})"

    def value(self, given: Any, kind: dtype) -> str:
        """What an operand is called: an array, or a number."""
        if isinstance(given, _Array):
            return given.text(kind)
        return self.number(given, kind)

    def line(
        self,
        text: str,
        kind: dtype,
        op: Any,
        operands: list[str],
        kinds: list[dtype],
        attributes: dict[str, Any],
    ) -> str:
        """The name of what ``text`` computes, and what it is a call of."""
        if kind not in (bool_, self.real):
            raise _NotOfElements
        found = self._names.get(text)
        if found is None:
            found = self._names[text] = f"t{len(self.lines)}"
            self.lines.append(f"const {'B' if kind is bool_ else 'T'} {found} = {text};")
            given = tuple(self.numbers.get(x, x) for x in operands)
            self.steps.append(Step(op, given, tuple(kinds), attributes, found, kind))
        return found


class _Memory:
    """What a tensor's memory would hold.

    Attributes:
        name: of the value, or a number's text; empty: nobody knows.
        kind: its dtype.
        numel: elements that it is held for.
    """

    def __init__(self) -> None:
        self.name, self.kind, self.numel = "", bool_, 0

    def hold(self, name: str, kind: dtype, numel: int) -> None:
        """Every element has this value from here on."""
        self.name, self.kind, self.numel = name, kind, numel


@dataclass(frozen=True)
class _Array:
    """An array as kernels are given it."""

    memory: _Memory
    offset: int
    shape: Shape
    strides: Shape
    dtype: dtype

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its memory in order."""
        return not self.offset and self.strides == (self.dtype.itemsize,) * len(self.shape)

    def text(self, kind: dtype) -> str:
        """The value of an element."""
        memory = self.memory
        repeats = memory.numel == 1 and not self.offset and not any(self.strides)
        if not memory.name or memory.kind is not self.dtype or self.dtype is not kind:
            raise _NotOfElements
        if not repeats and not (self.is_whole and math.prod(self.shape) == memory.numel):
            raise _NotOfElements
        return memory.name

    def hold(self, name: str) -> None:
        """Write a value."""
        if not self.is_whole or len(self.shape) > 1:
            raise _NotOfElements
        self.memory.hold(name, self.dtype, math.prod(self.shape))


class _Runtime(MetaRuntime):
    """Memory of names."""

    def alloc(self, nbytes: int, index: int) -> Any:
        return _Memory()

    def h2d(self, buffer: Any, offset: int, source: memoryview) -> None:
        raise _NotOfElements

    def d2h(self, target: memoryview, buffer: Any, offset: int) -> None:
        raise _NotOfElements

    def view(self, buffer: Any, offset: int, shape: Shape, strides: Shape, dtype: dtype) -> Any:
        return _Array(buffer, offset, shape, strides, dtype)

    def kernels(self) -> KernelTable:
        return _Table()


_WORD = re.compile(r"[A-Za-z_]\w*")


class _Table(KernelTable):
    """A kernel that writes a line, for each operator of the table of expressions."""

    def entries(self, name: str) -> tuple[Kernel, ...]:
        if name == "copy":
            return (Kernel(_copied),)
        if name == "fill":
            return (Kernel(_filled),)
        if name in EXPRESSIONS:
            return (Kernel(_writes, specialize=True, scalars=True),)
        op = REGISTRY.get(name)
        return () if op is None or op.decompose is not None else (Kernel(_refused),)


def _refused(*arrays: Any, **attributes: Any) -> None:
    raise _NotOfElements


def _copied(source: _Array, target: _Array) -> None:
    value = source.text(source.dtype)
    if target.dtype is not source.dtype:
        text = _cast(value, source.dtype, target.dtype)
        copying = REGISTRY["copy"]
        value = _trace.line(text, target.dtype, copying, [value], [source.dtype], {})
    target.hold(value)


def _cast(value: str, kind: dtype, wanted: dtype) -> str:
    if kind is bool_:
        return f"{value} ? (T)1.0 : (T)0.0"
    return f"{value} != 0.0"


def _filled(target: _Array, *, value: Any) -> None:
    target.hold(_trace.number(value, target.dtype))


def _writes(facts: CallFacts) -> Any:
    """The kernel of one call: a line of text."""
    name, attributes = facts.op.name, dict(facts.attributes)
    if attributes.pop("approximate", "none") == "tanh":
        name = name.replace("gelu", "gelu_tanh")
    expression = EXPRESSIONS[name]
    compute = facts.op.infer(*facts.inputs, **facts.attributes).compute  # type: ignore[misc]
    kinds = [
        k or (f.dtype if isinstance(f, Spec) else facts.outputs[0].dtype)
        for k, f in zip(compute, facts.inputs, strict=True)
    ]

    def run(*arrays: Any) -> None:
        *operands, out = arrays
        text = expression.text(kinds[-1])
        if name == "pow" and not isinstance(operands[1], _Array) and operands[1] in POWERS:
            text = POWERS[operands[1]][1]
        values = [_trace.value(x, k) for x, k in zip(operands, kinds, strict=True)]
        words = {f"x{i}": value for i, value in enumerate(values)}
        words |= {p: _trace.number(attributes[p], kinds[-1]) for p in expression.parameters}
        text = _WORD.sub(lambda match: words.get(match.group(), match.group()), text)
        out.hold(_trace.line(text, out.dtype, facts.op, values, kinds, facts.attributes))

    return run


def _device() -> Device:
    """The device of traces, made at the first one. No registry has it; all states are forgotten
    when one changes."""
    global _place
    if _place is None:
        _place = object.__new__(Device)
        for field, value in (("type", "meta"), ("index", None), ("_text", "trace")):
            object.__setattr__(_place, field, value)
    if _place not in state_module._states:
        _resolved[_place] = _place
        state_module._states[_place] = _state(_place)
    return _place


def _state(place: Device) -> DeviceState:
    made = copy.copy(state_of(Device("meta")))
    runtime = made.runtime = _Runtime()
    made.device, made.table = place, runtime.kernels()
    made.pool = state_module.Pool(
        lambda nbytes: runtime.alloc(nbytes, 0), runtime.free, lambda: None, "trace", caching=False
    )
    return made


@contextmanager
def _tracing(real: dtype) -> Iterator[_Trace]:
    """Write lines, with no gradient recorded, nothing cast or mapped, and nobody looking."""
    global _trace
    before = mode.grad, mode.autocast, mode.maps, mode.unseen
    mode.grad, mode.autocast, mode.maps, mode.unseen = False, None, (), True
    _trace = _Trace(real)
    try:
        yield _trace
    finally:
        mode.grad, mode.autocast, mode.maps, mode.unseen = before
