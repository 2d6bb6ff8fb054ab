"""One primitive on dense arrays: elementwise functions, softmax and layer normalisation.

Only those whose results have a NaN wherever PyTorch's have: oneDNN's relu, clip and softmax replace
NaN by a number, so the first two are not here, and a softmax takes finite numbers only. elu, mish
and soft_relu serve for their gradients alone: where their own results are small, the digits are
lost.
Batch normalisation of row-major arrays is not here either: its sums have too large an error.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dovetail_cpu.onednn.api import FORWARD_TRAINING, OneDnnError
from dovetail_cpu.onednn.library import address
from dovetail_cpu.onednn.program import Assembly, Program, Step, dense_strides

if TYPE_CHECKING:
    from dovetail_cpu.onednn.session import Session

__all__ = [
    "Function",
    "elementwise",
    "elementwise_backward",
    "layer_norm",
    "layer_norm_backward",
    "softmax",
    "softmax_backward",
]

ELEMENTWISE = {
    "elu": 0x22, "soft_relu": 0x27, "logistic": 0x29, "gelu_tanh": 0x2B, "swish": 0x2C,
    "gelu_erf": 0x31, "mish": 0x33,
}  # fmt: skip
SOFTMAX = {"softmax": 0x30000, "log_softmax": 0x30001}
BACKWARD = 128
SCALE_AND_SHIFT = 0x2 | 0x4

_EFFORT = {"elementwise": 24, "softmax": 24, "norm": 12}
"""Per element, in multiply-adds: what decides on how many cores a primitive runs."""

Arrays = dict[str, np.ndarray]
Describe = Callable[[Assembly, dict[str, int]], int]


class _Plan(NamedTuple):
    program: Program
    steps: tuple[Step, ...]


def _run(session: Session, key: Hashable, work: int, describe: Describe, arrays: Arrays) -> bool:
    """Run the primitive that ``describe`` makes on dense arrays, by role (see ``api.ARG``).

    ``describe`` gets a layout per role. False, with nothing done, where oneDNN cannot.
    """
    plan = session.plans.get(key)
    if plan is None:
        if key in session.plans:
            return False
        plan = session.add(key, _make, work, describe, arrays)
        if plan is None:
            return False
    program, steps = plan
    where = [address(array) for array in arrays.values()]
    misaligned = 0
    for place in where:
        misaligned |= place
    if misaligned & 3:
        return False
    previous = session.use(program.threads)
    try:
        program.point(where, session)
        program.run(steps)
    except OneDnnError:  # versions differ in which arguments a primitive wants
        session.plans[key] = None
        return False
    finally:
        session.restore(previous, program.threads)
    session.trim()
    return True


def _make(session: Session, work: int, describe: Describe, arrays: Arrays) -> _Plan:
    with Assembly(session, work) as assembly:
        layouts = {
            role: assembly.layout(array.shape, array.dtype, dense_strides(array.shape))
            for role, array in arrays.items()
        }
        memories = {role: assembly.external(layout) for role, layout in layouts.items()}
        step = assembly.step(describe(assembly, layouts), memories)
        return _Plan(assembly.finish(list(memories.values())), (step,))


def _engine(assembly: Assembly) -> int:
    return assembly.library.engine


class Function(NamedTuple):
    """An elementwise function: its name, as in ELEMENTWISE, and oneDNN's parameters."""

    name: str
    alpha: float = 1.0
    beta: float = 0.0


def elementwise(session: Session, function: Function, x: np.ndarray, out: np.ndarray) -> bool:
    """``out = f(x)`` for dense 1-D float32 arrays."""
    name, *numbers = function

    def describe(assembly: Assembly, layouts: dict[str, int]) -> int:
        kind = (_engine(assembly), FORWARD_TRAINING, ELEMENTWISE[name])
        pair = (layouts["src"], layouts["dst"])
        return assembly.describe("eltwise_forward", *kind, *pair, *numbers)

    work = x.size * _EFFORT["elementwise"]
    return _run(session, (*function, x.size), work, describe, {"src": x, "dst": out})


def elementwise_backward(
    session: Session, function: Function, grad: np.ndarray, x: np.ndarray, out: np.ndarray
) -> bool:
    """``out = grad · f'(x)``."""
    name, *numbers = function

    def describe(assembly: Assembly, layouts: dict[str, int]) -> int:
        engine, code, data = _engine(assembly), ELEMENTWISE[name], layouts["src"]
        forward = assembly.describe(
            "eltwise_forward", engine, FORWARD_TRAINING, code, data, data, *numbers
        )
        pair = (layouts["diff_src"], layouts["diff_dst"])
        return assembly.describe("eltwise_backward", engine, code, *pair, data, *numbers, forward)

    arrays = {"diff_dst": grad, "src": x, "diff_src": out}
    key = (*function, "backward", x.size)
    return _run(session, key, x.size * _EFFORT["elementwise"], describe, arrays)


def softmax(session: Session, name: str, x: np.ndarray, out: np.ndarray) -> bool:
    """Softmax, or its logarithm, of each row: x and out (R, n), contiguous float32, x finite."""

    def describe(assembly: Assembly, layouts: dict[str, int]) -> int:
        kind = (_engine(assembly), FORWARD_TRAINING, SOFTMAX[name])
        return assembly.describe("softmax_forward", *kind, layouts["src"], layouts["dst"], 1)

    work = x.size * _EFFORT["softmax"]
    return _run(session, (name, x.shape), work, describe, {"src": x, "dst": out})


def softmax_backward(
    session: Session, name: str, grad: np.ndarray, output: np.ndarray, out: np.ndarray
) -> bool:
    """The gradient of :func:`softmax` where its value is ``output``."""

    def describe(assembly: Assembly, layouts: dict[str, int]) -> int:
        engine, code, data = _engine(assembly), SOFTMAX[name], layouts["dst"]
        kinds = (FORWARD_TRAINING, code)
        forward = assembly.describe("softmax_forward", engine, *kinds, data, data, 1)
        pair = (layouts["diff_src"], layouts["diff_dst"])
        return assembly.describe("softmax_backward", engine, code, *pair, data, 1, forward)

    arrays = {"diff_dst": grad, "dst": output, "diff_src": out}
    key = (name, "backward", grad.shape)
    return _run(session, key, grad.size * _EFFORT["softmax"], describe, arrays)


def layer_norm(session: Session, arrays: Arrays, eps: float) -> bool:
    """x: (R, n) normalised per row.

    Args:
        arrays: src, dst (R, n); mean, variance (R), written; scale, shift (n).
    """

    def describe(assembly: Assembly, layouts: dict[str, int]) -> int:
        three = (layouts["src"], layouts["dst"], layouts["mean"])
        kind = (_engine(assembly), FORWARD_TRAINING)
        return assembly.describe("layer_normalization_forward", *kind, *three, eps, SCALE_AND_SHIFT)

    return _normalise(session, ("layer_norm", eps), describe, arrays)


def layer_norm_backward(session: Session, arrays: Arrays, eps: float) -> bool:
    """Its gradients.

    Args:
        arrays: src, diff_dst, diff_src (R, n); mean, variance (R); scale, shift (only its
            presence matters), diff_scale, diff_shift (n).
    """

    def describe(assembly: Assembly, layouts: dict[str, int]) -> int:
        engine, data, stat = _engine(assembly), layouts["src"], layouts["mean"]
        tail = (eps, SCALE_AND_SHIFT)
        forward = assembly.describe(
            "layer_normalization_forward", engine, FORWARD_TRAINING, data, data, stat, *tail
        )
        three = (layouts["diff_src"], layouts["diff_dst"], data)
        return assembly.describe(
            "layer_normalization_backward", engine, BACKWARD, *three, stat, *tail, forward
        )

    return _normalise(session, ("layer_norm_backward", eps), describe, arrays)


def _normalise(session: Session, key: Any, describe: Describe, arrays: Arrays) -> bool:
    data = arrays["src"]
    return _run(session, (*key, data.shape), data.size * _EFFORT["norm"], describe, arrays)
