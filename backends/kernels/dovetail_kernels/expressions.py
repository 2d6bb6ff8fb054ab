"""Programs of elementwise kernels: those for dense operands are compiled many at a time.

A compiler takes nearly as long for one small kernel as for twenty, so all expressions of one dtype
and one number of operands are one program, and so is ``where`` of all dtypes. For operands of which
some are a single element it is so where the host's cores are the device, whose compilers leave a
kernel's code to its first launch. A kernel for another layout, or for operands of several dtypes,
has a program of its own.
"""

from __future__ import annotations

import functools
import re

from dovetail.backend import EXPRESSIONS, Expression, Form, elementwise_source, program_source
from dovetail.dtypes import bool_, complex64, complex128, float32, float64
from dovetail.dtypes import dtype as DType
from dovetail_kernels.device import Device

__all__ = ["text_of", "with_numbers"]

_NUMBER = re.compile(r"number(\d)")


def text_of(
    device: Device,
    name: str,
    inputs: tuple[DType, ...],
    out: DType,
    form: Form,
    expression: Expression,
) -> str:
    """The text of the program that has this kernel in it."""

    def make() -> str:
        together = _together(device, name, inputs, out, form, expression)
        if together is not None:
            kind = None if name == "where" else inputs[0]
            names, text = _program(device, kind, len(inputs), together, form)
            if name in names:
                return text
        return elementwise_source(name, inputs, out, form, device.dialect, expression)

    return device.keep(("text", name, inputs, out, form, expression.parameters), make)  # type: ignore[no-any-return]


def _program(
    device: Device, kind: DType | None, inputs: int, numbers: tuple[int, ...], form: Form
) -> tuple[set[str], str]:
    """The names and the text of all kernels that are compiled together; ``kind`` None: where's."""

    def make() -> tuple[set[str], str]:
        if kind is None:
            requests = _choices(device, inputs, numbers, form)
        else:
            requests = _requests(kind, inputs, numbers, form)
        return {request[0] for request in requests}, program_source(requests, device.dialect)

    return device.keep(("program", kind, inputs, numbers, form), make)  # type: ignore[no-any-return]


def _together(
    device: Device,
    name: str,
    inputs: tuple[DType, ...],
    out: DType,
    form: Form,
    expression: Expression,
) -> tuple[int, ...] | None:
    """The places of the Python numbers of a kernel that is compiled with others; else None."""
    of_kind = inputs[1:] if name == "where" else inputs  # a condition is bool
    steps = ("0", "1") if device.is_cpu else ("1",)
    if name not in EXPRESSIONS or not of_kind or any(step not in steps for step in form.steps):
        return None
    if len({*of_kind}) > 1 or out is not _result(expression, of_kind[0]):
        return None
    return tuple(int(m[1]) for p in expression.parameters if (m := _NUMBER.fullmatch(p)))


def _result(expression: Expression, kind: DType) -> DType:
    if expression.result == "bool":
        return bool_
    if expression.result == "real" and kind.is_complex:
        return float32 if kind is complex64 else float64
    return kind


Request = tuple[str, tuple[DType, ...], DType, Form, Expression | None]


def _requests(kind: DType, inputs: int, numbers: tuple[int, ...], form: Form) -> list[Request]:
    """All expressions for ``kind`` with so many operands besides the numbers at these places."""
    found: list[Request] = []
    for name, expression in EXPRESSIONS.items():
        if expression.inputs - len(numbers) != inputs or kind not in expression.dtypes:
            continue
        if name == "where":  # its first operand is of another dtype: see _choices
            continue
        own = with_numbers(name, numbers)
        found.append((name, (kind,) * inputs, _result(expression, kind), form, own))
    return found


def _choices(device: Device, inputs: int, numbers: tuple[int, ...], form: Form) -> list[Request]:
    """``where`` of all dtypes that the device holds."""
    own = with_numbers("where", numbers)
    return [
        ("where", (bool_, *[kind] * (inputs - 1)), kind, form, own)
        for kind in EXPRESSIONS["where"].dtypes
        if device.has_double or kind not in (float64, complex128)
    ]


@functools.cache
def with_numbers(name: str, numbers: tuple[int, ...]) -> Expression:
    """The expression with the operands at these places turned into parameters ``number0``, …"""
    expression = EXPRESSIONS[name]
    if not numbers:
        return expression
    left = iter(range(expression.inputs))
    names = {
        i: f"number{i}" if i in numbers else f"x{next(left)}" for i in range(expression.inputs)
    }

    def renamed(text: str) -> str:
        return re.sub(r"\bx(\d)\b", lambda match: names[int(match.group(1))], text)

    variants = {k: renamed(text) for k, text in expression.variants.items()}
    # Numbers alone are looked at by the core, before there is a call.
    refuses = [r._replace(condition=renamed(r.condition)) for r in expression.refuses]
    return Expression(
        expression.inputs - len(numbers),
        variants,
        (*expression.parameters, *(f"number{i}" for i in numbers)),
        expression.result,
        tuple(r for r in refuses if re.search(r"\bx\d\b", r.condition)),
    )
