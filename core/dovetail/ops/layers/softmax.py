"""softmax and log_softmax over one dim, with their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.autocast_rules import without
from dovetail.autograd.grad_mode import mode
from dovetail.ops import expose
from dovetail.ops.families import composite, draw
from dovetail.ops.schema import REGISTRY, Inferred, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import check_dim

__all__: list[str] = []


def _as_input(spec: Spec, *_: Any, dim: int) -> Inferred:
    return Inferred((None,) * (1 + len(_)), ((spec.shape, spec.dtype),))


_SHAPES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((7,), 0), ((3, 5), 1), ((3, 5), 0), ((2, 3, 4), 1), ((2, 3, 4), 2), ((), 0), ((0, 3), 1),
)  # fmt: skip


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = [Sample((draw(rng, shape, dtype, -5, 5), dim)) for shape, dim in _SHAPES]
    if dtype.category < 2:
        return made
    far = draw(rng, (3, 4), dtype, -5, 5)
    far[0] += 1000  # a row whose exponentials overflow, and one with minus infinity
    far[1, 2] = -np.inf
    return [*made, Sample((far, 1), name="large"), Sample((far, -2), name="from the back")]


def _softmax_reference(x: Any, dim: int, dtype: Any = None) -> Any:
    if not x.size:
        return x.copy()
    e = np.exp(x - x.max(_axis(x, dim), keepdims=True))
    return e / e.sum(_axis(x, dim), keepdims=True)


def _log_softmax_reference(x: Any, dim: int, dtype: Any = None) -> Any:
    if not x.size:
        return x.copy()
    shifted = x - x.max(_axis(x, dim), keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(_axis(x, dim), keepdims=True))


def _axis(x: Any, dim: int) -> int | None:
    return dim if x.ndim else None


def _backward_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((draw(rng, shape, dtype, -2, 2), draw(rng, shape, dtype, -2, 0)), {"dim": dim})
        for shape, dim in _SHAPES
    ]


def _gradient(name: str) -> Any:
    return lambda g, out, dim: getattr(ops, name)(g, out, dim=dim)


@composite(
    "softmax_backward",
    inputs=("grad", "output"),
    infer=_as_input,
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=lambda g, y, *, dim: (g - (g * y).sum(_axis(g, dim), keepdims=True)) * y,
    samples=_backward_samples,
    tolerance=Tolerance(16),
)
def softmax_backward(grad: Any, output: Any, *, dim: int) -> Any:
    """The gradient of ``softmax`` where its value is ``output``."""
    product = grad * output
    return product - output * product.sum(dim, keepdim=True)


@composite(
    "log_softmax_backward",
    inputs=("grad", "output"),
    infer=_as_input,
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=lambda g, y, *, dim: g - np.exp(y) * g.sum(_axis(g, dim), keepdims=True),
    samples=_backward_samples,
    tolerance=Tolerance(16),
)
def log_softmax_backward(grad: Any, output: Any, *, dim: int) -> Any:
    """The gradient of ``log_softmax`` where its value is ``output``."""
    return grad - output.exp() * grad.sum(dim, keepdim=True)


@composite(
    "softmax",
    infer=_as_input,
    gradient={"input": _gradient("softmax_backward")},
    accepts=d.FLOATING,
    compute=d.float32,
    reference=_softmax_reference,
    samples=_samples,
    tolerance=Tolerance(16),
)
def _softmax(input: Any, dim: int) -> Any:
    if not input.numel():
        return input.clone()
    e = (input - input.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


@composite(
    "log_softmax",
    infer=_as_input,
    gradient={"input": _gradient("log_softmax_backward")},
    accepts=d.FLOATING,
    compute=d.float32,
    reference=_log_softmax_reference,
    samples=_samples,
    tolerance=Tolerance(16),
)
def _log_softmax(input: Any, dim: int) -> Any:
    if not input.numel():
        return input.clone()
    shifted = input - input.amax(dim, keepdim=True)
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


def _with_dtype(name: str, doc: str) -> None:
    """PyTorch's signature, ``name(input, dim, dtype=None)``, on the record of that name."""
    op = REGISTRY[name]
    plain: Any = op.function

    def function(input: Any, dim: int, dtype: Any = None) -> Any:
        if dtype is not None:
            input = input.to(dtype)
            if mode.autocast is not None:  # what the caller wants goes before
                return without(plain, input, check_dim(dim, input.ndim))
        return plain(input, check_dim(dim, input.ndim))

    function.__doc__ = doc
    expose.attach(op, function, out=True)


_with_dtype(
    "softmax",
    "``exp(input)`` divided by its sum over ``dim``; ``dtype`` converts the input first.",
)
_with_dtype(
    "log_softmax",
    "The logarithm of ``softmax`` over ``dim``; ``dtype`` converts the input first.",
)
