"""Losses of each element of two tensors, and their weighted sum or mean: mse_loss and its like.

Few elements are one launch, of one work group, which is what a small loss costs. More of them are a
launch that writes the terms, and those of a reduction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dovetail.backend import EXPRESSIONS, Expression, KernelTable, Refusal, StridedView
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, Array, dense_strides, placing
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import Elementwise, ghost, number
from dovetail_kernels.faults import refusals_of, reporting
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.reduce_group import reduction_of
from dovetail_kernels.source import element, program

__all__ = ["by_weights", "enter"]

FEW = 1 << 12
"""Elements that one work group adds up."""


class Term(NamedTuple):
    """The loss of an element.

    Attributes:
        text: in C, of the input ``x0``, the target ``x1`` and the parameters; whole literals only,
            which are of any type.
        parameters: their values by name, made of the call's attributes.
        expression: the name of an expression that is the same of input and target; it says what
            there is no loss of.
        refuses: what else there is no loss of.
    """

    text: str
    parameters: Callable[[Any], dict[str, float]] = lambda attributes: {}
    expression: str = ""
    refuses: tuple[Refusal, ...] = ()

    def refused(self, dtype: DType) -> tuple[Refusal, ...]:
        """What there is no loss of in a dtype."""
        return EXPRESSIONS[self.expression].refused(dtype) if self.expression else self.refuses


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
    "binary_cross_entropy_with_logits": Term("(1 - x1) * x0 + soft_plus(-x0)"),
    "kl_div": Term("(x1 == 0 ? 0 : x1 * log(x1)) - x1 * x0"),
    "hinge_embedding_loss": Term(
        "(x1 != 1 ? (width < x0 ? 0 : width - x0) : 0) + (x1 != -1 ? x0 : 0)",
        lambda a: {"width": a["margin"]},
    ),
    "soft_margin_loss": Term("log1p(exp(-x1 * x0))"),
    "margin_ranking_loss": Term(
        "width - x2 * (x0 - x1) < 0 ? 0 : width - x2 * (x0 - x1)",
        lambda a: {"width": a["margin"]},
    ),
    "poisson_nll_loss": Term("exp(x0) - x1 * x0"),
    "gaussian_nll_loss": Term(
        f"(log(at_least(x2, least)) + {_SQUARE} / at_least(x2, least)) / 2",
        lambda a: {"least": a["eps"]},
        refuses=(Refusal("float", "x2 < 0", "var has negative entry/entries", error=ValueError),),
    ),
    "weighted_loss": Term(""),
}

VARIANTS: dict[str, Callable[[Any], Term]] = {
    "kl_div": lambda a: Term("exp(x1) * (x1 - x0)") if a["log_target"] else TERMS["kl_div"],
    "poisson_nll_loss": lambda a: _counted(a),
    "gaussian_nll_loss": lambda a: _normal(a),
    "weighted_loss": lambda a: TERMS[a["loss"]],
}
"""By operator, the loss of a call's attributes, where these say which it is."""


def _counted(attributes: Any) -> Term:
    text, parameters = TERMS["poisson_nll_loss"].text, {}
    if not attributes["log_input"]:
        text, parameters = "x0 - x1 * log(x0 + least)", {"least": attributes["eps"]}
    if attributes["full"]:
        text += " + (x1 <= 1 ? 0 : x1 * log(x1) - x1 + part * log(turn * x1))"
        parameters |= {"part": 0.5, "turn": 2 * math.pi}
    return Term(text, lambda attributes: parameters)


def _normal(attributes: Any) -> Term:
    term = TERMS["gaussian_nll_loss"]
    if not attributes["full"]:
        return term
    constant = 0.5 * math.log(2 * math.pi)
    parameters = lambda attributes: {**term.parameters(attributes), "more": constant}
    return term._replace(text=f"{term.text} + more", parameters=parameters)


POSITIVE = "(1 - x1) * x0 + ((x{0} - 1) * x1 + 1) * soft_plus(-x0)"
"""The loss of logits where the positive class has a weight of its own, an operand by number."""


def _term(facts: Any) -> Term:
    """The loss of a call, without its weight."""
    name = facts.op.name
    return VARIANTS[name](facts.attributes) if name in VARIANTS else TERMS[name]


def _weighted(facts: Any, text: str) -> tuple[str, list[Any]]:
    """(the text of a call's loss, given that without weights; those that it has, ``x2`` and ``x3``
    in it)."""
    weights = facts.inputs[2:]
    there = [w for w in weights if w is not None]
    if "x2" in text:  # it is no weight
        return text, there
    if len(weights) > 1 and weights[1] is not None:
        text = POSITIVE.format(1 + len(there))
    if weights and weights[0] is not None:
        text = f"({text}) * x2"
    return text, there


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in TERMS:
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )


def _fits(facts: Any) -> bool:
    """Two tensors of one shape, with something in them, and weights for their last dims."""
    input, target, *weights = facts.inputs
    given = [w for w in weights if w is not None]
    shape = tuple(input.shape)
    if shape != tuple(target.shape) or not input.numel:
        return False
    if any(s.dtype.category != 2 for s in (input, target, *given)):
        return False
    if by_weights(facts) and not _is_few(facts):
        return False
    return all(_is_behind(tuple(w.shape), shape) for w in given)


def by_weights(facts: Any) -> bool:
    """Whether a sum of losses, or what reaches each of them, is divided by that of the weights."""
    options = facts.attributes
    is_mean = options["reduction"] == "mean"
    return is_mean and options.get("loss") in ("mse_loss", "l1_loss")


def _is_few(facts: Any) -> bool:
    return bool(facts.attributes["reduction"] != "none" and facts.inputs[0].numel <= FEW)


def _is_behind(part: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a shape is another's last dims, so that elements come round and round."""
    while part[:1] == (1,):
        part = part[1:]
    return not part or shape[-len(part) :] == part


def _specialised(facts: Any) -> Any:
    made: Callable[..., None] = _few(facts) if _is_few(facts) else _many(facts)
    if all(s is not None for s in facts.inputs):
        return made
    if all(s is None for s in facts.inputs[2:]):
        return lambda input, target, *given: made(input, target, given[-1])
    return lambda *arrays: made(*[a for a in arrays if a is not None])


def _few(facts: Any) -> Callable[..., None]:
    (out,), name = facts.outputs, facts.op.name
    device, count, work = device_of(out.device), facts.inputs[0].numel, accumulated(out.dtype)
    term = _term(facts)
    text, weights = _weighted(facts, term.text)
    parameters = term.parameters(facts.attributes)
    refused = term.refused(out.dtype)
    group = 1 if device.is_cpu else device.group
    macros = {
        "T": dialect.VALUES[work.name],
        "GROUP": group,
        "TERM(x0, x1, x2, x3)": f"({text})",
        "WEIGHTS": len(weights),
        "BY_WEIGHTS": int(by_weights(facts)),
        "PARAMETERS": "".join(f", T {p}" for p in parameters),
        "REFUSED(x0, x1, x2)": " | ".join(
            f"({refusal.condition}) << {k}" for k, refusal in enumerate(refused)
        ),
        "REFUSALS": len(refused),
        **element(device, "IN", out.dtype),
        **element(device, "OUT", out.dtype),
    }
    text = program(device, "element_loss", macros, (out.dtype, work), before=("fault",))
    shape, reduction = facts.inputs[0].shape, facts.attributes["reduction"]
    divisor = {"mean": count, "batchmean": shape[0] if shape else 1}.get(reduction, 1)
    numbers: list[Any] = [NO_OFFSETS, np.uint32(count), work.numpy.type(divisor)]
    numbers += [np.uint32(w.numel) for w in weights]
    numbers += [number(value, work) for value in parameters.values()]
    if refused:
        numbers.append(refusals_of(name, refused))
    operands = 3 + len(weights)
    buffers = operands + bool(refused)
    launch = device.launch(text, "element_loss", buffers, numbers, ((group,), (group,)), name)
    place = placing(operands)
    queue = launch.with_numbers
    run: Callable[..., None]
    if not weights:

        def run(input: Any, target: Any, out: Any) -> None:
            queue(*place(out, input, target))

    else:

        def run(*arrays: Any) -> None:
            queue(*place(arrays[-1], *arrays[:-1]))

    return reporting(device, launch, place) if refused else run


def _word(facts: Any, name: str) -> str:
    """The name of an elementwise kernel, by which it is known: another for each text."""
    parts = [name, *[key for key, value in facts.attributes.items() if value is True]]
    parts += [facts.attributes.get("loss", "")] * ("loss" in facts.attributes)
    parts += ["batch"] * (facts.attributes["reduction"] == "batchmean")
    optional = zip(facts.op.inputs[2:], facts.inputs[2:], strict=True)
    return "_".join([*parts, *[key for key, fact in optional if fact is not None]])


def _many(facts: Any) -> Callable[..., None]:
    (out,), name = facts.outputs, facts.op.name
    input = facts.inputs[0]
    device, work = device_of(out.device), accumulated(out.dtype)
    term, reduction = _term(facts), facts.attributes["reduction"]
    parameters = term.parameters(facts.attributes)
    known = EXPRESSIONS[term.expression] if term.expression else None
    text, weights = _weighted(facts, known.text(out.dtype) if known else term.text)
    refuses = known.refuses if known else term.refuses
    if reduction == "batchmean":
        text, reduction = f"({text}) / batch", "sum"
        parameters |= {"batch": input.shape[0]}
    expression = Expression(2 + len(weights), {"float": text}, tuple(parameters), refuses=refuses)
    values = [number(value, out.dtype) for value in parameters.values()]
    shape = tuple(input.shape)
    kind = out.dtype if reduction == "none" else work

    def dense(kind: Any, shape: tuple[int, ...] = shape) -> Array:
        return Array(None, 0, shape, dense_strides(shape, kind.itemsize), kind)

    first = ghost(out) if reduction == "none" else dense(kind)
    views: list[StridedView] = [first, dense(out.dtype), dense(out.dtype)]
    # Arrays come dense, whatever their facts.
    views += [dense(out.dtype, tuple(w.shape)).expand(shape) for w in weights]
    word = _word(facts, term.expression or name)
    made = Elementwise(device, word, expression, views, values, out.dtype, title=name).kernel

    def weighted(input: Any, target: Any, *others: Any) -> None:
        made(input, target, *[w.expand(shape) for w in others[:-1]], others[-1])

    terms = weighted if weights else made
    if reduction == "none":
        return terms
    dims = tuple(range(input.ndim))
    fold = reduction_of(device)(device, reduction, first, ghost(out), dims, work)

    room = input.numel * work.itemsize

    def run(*arrays: Any) -> None:
        with device.scratch(room) as (block,):
            between = Array(block, 0, shape, first.strides, work)
            terms(*arrays[:-1], between)
            fold(between, arrays[-1])

    return run
