"""Losses of each element of two tensors, and their sum or mean: mse_loss and its like.

Few elements are one launch, of one work group, which is what a small loss costs. More of them are a
launch that writes the terms, and those of a reduction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dovetail.backend import EXPRESSIONS, Expression, KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, Array, dense_strides, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import Elementwise, ghost, number
from dovetail_kernels.faults import refusals_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.reduce_group import reduction_of
from dovetail_kernels.source import element, program

__all__ = ["enter"]

FEW = 1 << 12
"""Elements that one work group adds up."""


class Term(NamedTuple):
    """The loss of an element.

    Attributes:
        text: in C, of the input ``x0``, the target ``x1`` and the parameters; whole literals only,
            which are of any type.
        parameters: their values by name, made of the call's attributes.
        expression: the name of an expression that is the same; it says what there is no loss of.
    """

    text: str
    parameters: Callable[[Any], dict[str, float]] = lambda attributes: {}
    expression: str = ""


_SQUARE = "(x0 - x1) * (x0 - x1)"
_NEAR = "fabs(x0 - x1) < width"

TERMS = {
    "mse_loss": Term(_SQUARE),
    "l1_loss": Term("fabs(x0 - x1)"),
    "smooth_l1_loss": Term(
        f"{_NEAR} ? {_SQUARE} * near : fabs(x0 - x1) - far",
        lambda a: {"width": a["beta"], "near": 0.5 / a["beta"], "far": 0.5 * a["beta"]},
    ),
    "huber_loss": Term(
        f"{_NEAR} ? {_SQUARE} * near : (fabs(x0 - x1) - far) * width",
        lambda a: {"width": a["delta"], "near": 0.5, "far": 0.5 * a["delta"]},
    ),
    "binary_cross_entropy": Term(
        "(x1 - 1) * at_least(log(1 - x0), -100) - x1 * at_least(log(x0), -100)",
        expression="binary_cross_entropy_terms",
    ),
    "kl_div": Term("(x1 == 0 ? 0 : x1 * log(x1)) - x1 * x0"),
    "kl_div_log": Term("exp(x1) * (x1 - x0)"),
    "binary_cross_entropy_with_logits": Term("(1 - x1) * x0 + soft_plus(-x0)"),
}


_OF_LOGARITHMS = {"kl_div": "kl_div_log"}
"""Whose targets may be logarithms, and the name of the term then."""


def _term_name(facts: Any) -> str:
    name: str = facts.op.name
    return _OF_LOGARITHMS[name] if facts.attributes.get("log_target") else name


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in TERMS.keys() - _OF_LOGARITHMS.values():
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )


def _fits(facts: Any) -> bool:
    """Two tensors of one shape, with something in them, and no weights."""
    input, target, *weights = facts.inputs
    one_kind = input.dtype.category == 2 == target.dtype.category
    same = tuple(input.shape) == tuple(target.shape) and one_kind
    return bool(same and input.numel and all(w is None for w in weights))


def _specialised(facts: Any) -> Any:
    is_small = facts.attributes["reduction"] != "none" and facts.inputs[0].numel <= FEW
    made: Callable[..., None] = _few(facts) if is_small else _many(facts)
    if len(facts.inputs) == 2:
        return made
    return lambda input, target, *given: made(input, target, given[-1])


def _few(facts: Any) -> Callable[..., None]:
    (out,), name = facts.outputs, facts.op.name
    device, count, work = device_of(out.device), facts.inputs[0].numel, accumulated(out.dtype)
    term = TERMS[_term_name(facts)]
    parameters = term.parameters(facts.attributes)
    refused = EXPRESSIONS[term.expression].refused(out.dtype) if term.expression else ()
    group = 1 if device.is_cpu else device.group
    macros = {
        "T": dialect.VALUES[work.name],
        "GROUP": group,
        "TERM(x0, x1)": f"({term.text})",
        "PARAMETERS": "".join(f", T {p}" for p in parameters),
        "REFUSED(x0, x1)": " | ".join(
            f"({refusal.condition}) << {k}" for k, refusal in enumerate(refused)
        ),
        "REFUSALS": len(refused),
        **element(device, "IN", out.dtype),
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "element_loss", macros, (out.dtype, work), before=("fault",))
    divisor = count if facts.attributes["reduction"] == "mean" else 1
    numbers = [NO_OFFSETS, np.uint32(count), work.numpy.type(divisor)]
    numbers += [number(value, work) for value in parameters.values()]
    if refused:
        numbers.append(refusals_of(name, refused))
    buffers = 3 + bool(refused)
    launch = device.launch(text, "element_loss", buffers, numbers, ((group,), (group,)), name)
    place = placing(3)
    queue = launch.with_numbers

    def run(input: Any, target: Any, out: Any) -> None:
        queue(*place(out, input, target))

    def reporting(input: Any, target: Any, out: Any) -> None:
        arrays, begins = place(out, input, target)
        queue((*arrays, device.faults), begins)
        device.suspect = True

    return reporting if refused else run


def _many(facts: Any) -> Callable[..., None]:
    (out,), input = facts.outputs, facts.inputs[0]
    device, work = device_of(out.device), accumulated(out.dtype)
    term, reduction = TERMS[_term_name(facts)], facts.attributes["reduction"]
    parameters = term.parameters(facts.attributes)
    expression = Expression(2, {"float": term.text}, tuple(parameters))
    if term.expression:
        expression = EXPRESSIONS[term.expression]
    values = [number(value, out.dtype) for value in parameters.values()]
    shape = tuple(input.shape)
    kind = out.dtype if reduction == "none" else work

    def dense(kind: Any) -> Array:
        return Array(None, 0, shape, dense_strides(shape, kind.itemsize), kind)

    first = ghost(out) if reduction == "none" else dense(kind)
    views = [first, dense(out.dtype), dense(out.dtype)]
    terms = Elementwise(
        device, term.expression or _term_name(facts), expression, views, values, out.dtype
    ).kernel
    if reduction == "none":
        return terms
    dims = tuple(range(input.ndim))
    fold = reduction_of(device)(device, reduction, first, ghost(out), dims, work)

    def run(input: Any, target: Any, out: Any) -> None:
        with device.scratch(input.numel * work.itemsize) as (block,):
            between = Array(block, 0, shape, first.strides, work)
            terms(input, target, between)
            fold(between, out)

    return run
