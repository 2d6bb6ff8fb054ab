"""Gradients of losses of each element (see :mod:`.element_loss`): one launch each.

They are elementwise, but for the number that the gradient is where a loss has been added up, and
for weights of some last dims.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from dovetail.backend import Expression, KernelTable
from dovetail_kernels.arrays import Array, dense_strides
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import Elementwise, ghost, number
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.element_loss import by_weights
from dovetail_kernels.fused.team import FLOATS

__all__ = ["enter"]


class Slope(NamedTuple):
    """The gradient of a loss for one of its tensors.

    Attributes:
        text: in C, of ``part``, which is what reaches the element, of the loss's inputs ``x1``,
            ``x2``, ..., and of the parameters; whole literals only, which are of any type. Elements
            may come as vectors, and what is chosen between is then of their type.
        parameters: their values by name, made of the call's attributes.
    """

    text: str
    parameters: Callable[[Any], dict[str, float]] = lambda attributes: {}


_DIFFERENCE = "(x1 - x2)"
_OF_MARGIN = lambda attributes: {"width": attributes["margin"]}
_OF_EPS = lambda attributes: {"least": attributes["eps"]}
_SIGMOID = "(1 / (1 + exp(-x1)))"

SLOPES = {
    "mse_loss_backward": Slope(f"{_DIFFERENCE} * (part * 2)"),
    "l1_loss_backward": Slope("x1 > x2 ? part : x1 < x2 ? -part : part * 0"),
    "smooth_l1_loss_backward": Slope(
        f"at_most(at_least({_DIFFERENCE} * near, -1), 1) * part", lambda a: {"near": 1 / a["beta"]}
    ),
    "huber_loss_backward": Slope(
        f"at_most(at_least({_DIFFERENCE}, -width), width) * part", lambda a: {"width": a["delta"]}
    ),
    "binary_cross_entropy_backward": Slope(
        f"{_DIFFERENCE} / at_least((1 - x1) * x1, least) * part", lambda a: {"least": 1e-12}
    ),
    "binary_cross_entropy_with_logits_backward": Slope(f"({_SIGMOID} - x2) * part"),
    "kl_div_backward": Slope("-x2 * part"),
    "hinge_embedding_loss_backward": Slope(
        "(x2 != -1 ? part : part * 0) - (x2 != 1 ? (x1 <= width ? part : part * 0) : part * 0)",
        _OF_MARGIN,
    ),
    "soft_margin_loss_backward": Slope("-x2 / (1 + exp(x2 * x1)) * part"),
    "margin_ranking_loss_backward": Slope(
        f"width - x3 * {_DIFFERENCE} >= 0 ? -x3 * part : part * 0", _OF_MARGIN
    ),
    "poisson_nll_loss_backward": Slope("(exp(x1) - x2) * part"),
    "gaussian_nll_loss_backward": Slope(f"{_DIFFERENCE} / at_least(x3, least) * part", _OF_EPS),
    "gaussian_nll_loss_var_backward": Slope(
        f"(1 - {_DIFFERENCE} * {_DIFFERENCE} / at_least(x3, least)) / at_least(x3, least)"
        " * part / 2",
        _OF_EPS,
    ),
}

VARIANTS: dict[tuple[str, str], tuple[bool, Slope]] = {
    ("kl_div_backward", "log_target"): (True, Slope("-exp(x2) * part")),
    ("poisson_nll_loss_backward", "log_input"): (
        False, Slope("(1 - x2 / (x1 + least)) * part", _OF_EPS),
    ),
}  # fmt: skip
"""By operator and attribute, the value of that for which the gradient is another, and that."""

WEIGHTED = (
    "binary_cross_entropy_backward", "binary_cross_entropy_with_logits_backward",
    "weighted_loss_backward",
)  # fmt: skip
"""Those whose third input is a weight; the fourth is one of the positive class."""

POSITIVE = f"((x{{0}} * x2 + 1 - x2) * {_SIGMOID} - x{{0}} * x2) * part"


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in (*SLOPES, "weighted_loss_backward"):
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )


def _fits(facts: Any) -> bool:
    """All of one dtype, with something in them, and the loss's tensors of one shape but for
    weights."""
    grad, *others = facts.inputs
    (out,) = facts.outputs
    given = [s for s in others if s is not None]
    tensors = others[:2] if facts.op.name in WEIGHTED else given
    if not out.numel or any(s.dtype is not out.dtype for s in (grad, *given)):
        return False
    if by_weights(facts):
        return False
    shape = tuple(out.shape)
    if any(tuple(s.shape) != shape for s in tensors):
        return False
    return all(_broadcasts(tuple(s.shape), shape) for s in (grad, *given))


def _broadcasts(part: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a shape becomes another by repeating elements."""
    behind = shape[len(shape) - len(part) :]
    return len(part) <= len(shape) and all(n in (1, m) for n, m in zip(part, behind, strict=True))


def _slope(facts: Any) -> tuple[str, Slope]:
    """(a word for it, the gradient of a call)."""
    name = facts.op.name
    if "loss" in facts.attributes:
        loss = facts.attributes["loss"]
        return f"weighted_{loss}", SLOPES[f"{loss}_backward"]
    for (op, key), (value, slope) in VARIANTS.items():
        if op == name and facts.attributes[key] is value:
            return f"{name}_{key}", slope
    return name, SLOPES[name]


def _text(facts: Any, slope: Slope) -> str:
    """The gradient, with the weights that there are."""
    name, text = facts.op.name, slope.text
    if name not in WEIGHTED:
        return text
    weight, *positive = facts.inputs[3:]
    if positive and positive[0] is not None:
        text = POSITIVE.format(3 + (weight is not None))
    return text if weight is None else f"({text}) * x3"


def _specialised(facts: Any) -> Callable[..., None]:
    (out,), name = facts.outputs, facts.op.name
    (word, slope), work = _slope(facts), accumulated(out.dtype)
    divisor = {"mean": out.numel, "batchmean": out.shape[0] if out.ndim else 1}.get(
        facts.attributes["reduction"], 1
    )
    text, parameters = _text(facts, slope), slope.parameters(facts.attributes)
    if divisor != 1:
        text = text.replace("part", "(x0 * share)")
        parameters = {**parameters, "share": 1 / divisor}
    else:
        text = text.replace("part", "x0")
    there = [i for i, s in enumerate(facts.inputs) if s is not None]

    def dense(spec: Any) -> Any:
        """A view of what comes dense, whatever its facts, of the output's shape."""
        shape = tuple(spec.shape)
        array = Array(None, 0, shape, dense_strides(shape, out.dtype.itemsize), out.dtype)
        return array.expand(tuple(out.shape))

    views = [ghost(out), *(dense(facts.inputs[i]) for i in there)]
    parts = [word, *(op for i, op in enumerate(facts.op.inputs) if i > 2 and i in there)]
    parts += ["shared"] * ("share" in parameters)
    expression = Expression(len(there), {"float": text}, tuple(parameters))
    values = [number(value, work) for value in parameters.values()]
    # Weights that repeat are those of a training: a kernel for their layout is made at once.
    made = Elementwise(
        device_of(out.device), "_".join(parts), expression, views, values, out.dtype, 0, name
    )
    call = made.kernel
    if len(there) == len(facts.inputs):
        return call
    if len(there) == 3 and there == [0, 1, 2]:
        return lambda grad, input, target, *given: call(grad, input, target, given[-1])
    return lambda *arrays: call(*[a for a in arrays if a is not None])
