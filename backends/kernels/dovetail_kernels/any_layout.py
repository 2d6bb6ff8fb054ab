"""Small calls of two operands in any layout: one kernel per dtype has the usual expressions.

A layout that the kernels for dense operands do not serve has a program of its own, whose compiling
takes as long as thousands of small calls, and packing an operand is a launch. Here strides are
arguments, and so is which expression it is: rows, columns and tables of two vectors are one launch.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from dovetail.backend import (
    EXPRESSIONS,
    Expression,
    Form,
    StridedView,
    collapse,
    elementwise_source,
    kernel_name,
)
from dovetail.dtypes import FLOATING, bool_, int64
from dovetail.dtypes import dtype as DType
from dovetail_kernels.device import Device

__all__ = ["FEW", "AnyLayout", "any_layout"]

FEW = 1 << 8
"""Elements up to which a kernel for their layout would save nothing."""

SOME = 1 << 14
"""Elements up to which this is better than to pack what is not dense."""

LOOPS = 4

NAMES = {
    "same": ("add", "sub", "mul", "div", "maximum", "minimum"),
    "bool": ("eq", "ne", "lt", "le", "gt", "ge"),
}
"""By the kind of result, what the kernel chooses from."""

DTYPES = (*FLOATING, int64)

_FORM = Form(("s" * LOOPS,) * 3, True)


@functools.cache
def _choice(result: str, kind: DType) -> tuple[tuple[str, ...], Expression]:
    """What there is for a dtype, and the expression that chooses by ``which``, a number of it."""
    names = tuple(name for name in NAMES[result] if kind in EXPRESSIONS[name].dtypes)
    *others, last = (f"({EXPRESSIONS[name].text(kind)})" for name in names)
    text = "".join(f"which == {i} ? {own} : " for i, own in enumerate(others)) + last
    return names, Expression(2, {"number": text}, ("which",), result)


class AnyLayout:
    """A call of two operands resolved; see :class:`.elementwise._Packing`, in whose place it is."""

    def __init__(
        self, device: Device, name: str, result: str, views: Sequence[StridedView]
    ) -> None:
        out, *inputs = views
        kind = inputs[0].dtype
        names, expression = _choice(result, kind)
        loops = collapse(*views)
        self.is_best = loops.numel <= FEW
        pad = LOOPS - len(loops.shape)
        strides = [n for row in loops.strides for n in (*(0,) * pad, *row)]
        integers = [loops.numel, 0, 0, 0, *((1,) * pad + loops.shape)[1:], *strides]
        which = np.asarray(names.index(name), kind.numpy)
        kinds = (kind, kind)
        word = f"any_{result}"
        self._launch = device.launch(
            elementwise_source(word, kinds, out.dtype, _FORM, device.dialect, expression),
            kernel_name(word, kinds, out.dtype, _FORM),
            3,
            [np.float32(which) if kind.itemsize < 4 else which[()], *map(np.uint32, integers)],
            device.workers(loops.numel),
            name,
        )

    def run(self, arrays: Sequence[Any], values: Any) -> None:
        """Queue it for (left, right, out); there are no values."""
        x, y, out = arrays
        self.kernel(x, y, out)

    def kernel(self, x: Any, y: Any, out: Any) -> None:
        """Queue it."""
        if x.offset or y.offset or out.offset:
            self._launch.with_numbers(
                (out.buffer, x.buffer, y.buffer),
                [
                    (i, (a.offset // a.dtype.itemsize).to_bytes(4, "little"))
                    for i, a in enumerate((out, x, y), 2)
                ],
            )
        else:
            self._launch.with_numbers((out.buffer, x.buffer, y.buffer), _AT_START)


_AT_START = [(i, bytes(4)) for i in range(2, 5)]


def any_layout(
    device: Device, name: str, expression: Expression, views: Sequence[StridedView], form: Form
) -> AnyLayout | None:
    """The call of an expression of the core's table, where it is one of these and small."""
    if EXPRESSIONS.get(name) is not expression or name not in NAMES.get(expression.result, ()):
        return None
    out, *inputs = views
    kind = inputs[0].dtype
    target = bool_ if expression.result == "bool" else kind
    if kind not in DTYPES or inputs[1].dtype is not kind or out.dtype is not target:
        return None
    if form.is_wide or len(form.steps[0]) > LOOPS or out.numel > SOME:
        return None
    return AnyLayout(device, name, expression.result, views)
