"""A product or a convolution and the ReLU behind it, as one operator.

What a kernel of them saves is memory: a sum is rectified where it is written, in place of being
written, read and written again. Who asks for them: ``nn.rectified``, for layers with a ReLU behind.

    linear_relu(x, w, b)    relu(linear(x, w, b))
    conv_relu(x, w, b)      relu(conv(x, w, b))

Their gradient needs their output alone, for where that is 0 the ReLU's is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.ops.families import composite
from dovetail.ops.schema import REGISTRY, OpDef, Sample

__all__: list[str] = []

CONV, LINEAR = REGISTRY["conv"], REGISTRY["linear"]


def _rectified(base: OpDef, gradient: Any) -> Any:
    """The decorator of an operator that is ``base`` and a ReLU."""

    def reference(*arrays: Any, **attributes: Any) -> Any:
        assert base.reference is not None
        return np.maximum(base.reference(*arrays, **attributes), 0)

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        assert base.samples is not None
        return base.samples(rng, dtype)

    return composite(
        f"{base.name}_relu",
        inputs=base.inputs,
        infer=base.infer,
        gradient=gradient,
        accepts=d.FLOATING,
        compute=base.compute,
        reference=reference,
        samples=samples,
        tolerance=base.tolerance,
        method=False,
        public=False,
        node_name=lambda *facts, **attributes: "relu",
    )


def _linear_gradient(
    g: Any, input: Any, weight: Any, out: Any, specs: Any, needs: Any
) -> tuple[Any, ...]:
    g, rules = ops.threshold_backward(g, out, threshold=0.0), LINEAR.gradient
    return (
        rules["input"](g, weight, specs) if needs[0] else None,
        rules["weight"](g, input) if needs[1] else None,
        rules["bias"](g, specs) if needs[2] else None,
    )


def _conv_gradient(
    g: Any, input: Any, weight: Any, out: Any, specs: Any, needs: Any, stride: Any, padding: Any,
    dilation: Any, groups: int,
) -> tuple[Any, ...]:  # fmt: skip
    g, rules = ops.threshold_backward(g, out, threshold=0.0), CONV.gradient
    options = (stride, padding, dilation, groups)
    return (
        rules["input"](g, weight, specs, *options) if needs[0] else None,
        rules["weight"](g, input, specs, *options) if needs[1] else None,
        rules["bias"](g) if needs[2] else None,
    )


@_rectified(LINEAR, _linear_gradient)
def linear_relu(input: Any, weight: Any, bias: Any = None) -> Any:
    """``relu(linear(input, weight, bias))``."""
    return ops.linear(input, weight, bias).relu()


@_rectified(CONV, _conv_gradient)
def conv_relu(
    input: Any, weight: Any, bias: Any = None, *, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> Any:  # fmt: skip
    """``relu(conv(input, weight, bias))``."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return ops.conv(input, weight, bias, **options).relu()
