"""Products and convolutions on ``opencl:0`` beside the float64 references of their records.

Functions return what is wrong, as text, so that programs of their own can print it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail as dt
from dovetail import ops
from dovetail_conformance.compare import tolerance_of

DEVICE = "opencl:0"


def on_gpu_paths() -> None:
    """Have ``opencl:0`` treated as a GPU from here on, whatever it is."""
    from dovetail_kernels import dialect
    from dovetail_opencl.runtime import device_of

    device = device_of(0)
    device.is_cpu = False
    device.dialect = dialect.GPU


def laid_out(values: np.ndarray, dtype: dt.dtype, layout: str) -> Any:
    """A tensor with these values: dense, with its dims in another order, or part of a larger."""
    if layout == "last":
        order = (0, *range(2, values.ndim), 1)
        back = (0, values.ndim - 1, *range(1, values.ndim - 1))
        dense = dt.tensor(np.ascontiguousarray(values.transpose(order)), dtype=dtype, device=DEVICE)
        return dense.permute(back)
    if layout == "part":
        wide = np.pad(values, [(1, 1)] * values.ndim, constant_values=np.nan)
        x = dt.tensor(wide, dtype=dtype, device=DEVICE)
        for dim, n in enumerate(values.shape):
            x = x.narrow(dim, 1, n)
        return x
    return dt.tensor(values, dtype=dtype, device=DEVICE)


def wide(x: Any) -> np.ndarray:
    """A tensor's values in float64."""
    return np.asarray(x.detach().cpu().to(dt.float64).numpy())


def compared(name: str, inputs: list[Any], what: str, **options: Any) -> list[str]:
    """Call an operator, and its reference with the values that the inputs really have."""
    record = ops.REGISTRY[name]
    values = [None if x is None else wide(x) for x in inputs]
    wanted = np.asarray(record.reference(*values, **options))
    made = getattr(ops, name)(*inputs, **options)
    result = wide(made)
    if result.shape != wanted.shape:
        return [f"{name} {what}: shape {result.shape}, not {wanted.shape}"]
    given = [v for v in values if v is not None]
    exact = not made.dtype.is_floating_point
    allowed = 0 if exact else tolerance_of(record, made.dtype, wanted, given)
    error = np.abs(result - wanted)
    if not (error <= allowed).all():
        return [f"{name} {what}: off by {error.max()}, allowed {np.max(allowed)}"]
    return []


def convolutions(case: Any, dtype: dt.dtype, layout: str = "dense") -> list[str]:
    """One geometry in all directions: with a bias and without, both gradients, transposed."""
    shape, weight_shape, stride, padding, dilation, groups = case
    rank = len(shape) - 2
    spread = [v if isinstance(v, tuple) else (v,) * rank for v in (stride, padding, dilation)]
    options = {
        **dict(zip(("stride", "padding", "dilation"), spread, strict=True)),
        "groups": groups,
    }
    places = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(shape[2:], weight_shape[2:], *spread, strict=True)
    )
    draw = np.random.default_rng(sum(shape)).uniform
    x, weight, bias, grad = (
        laid_out(draw(-1, 1, size), dtype, layout if len(size) > 1 else "dense")
        for size in (
            shape,
            weight_shape,
            weight_shape[:1],
            (*shape[:1], *weight_shape[:1], *places),
        )
    )
    what = f"{case} {dtype} {layout}"
    wrong = compared("conv", [x, weight, None], what, **options)
    wrong += compared("conv", [x, weight, bias], f"{what} with bias", **options)
    wrong += compared("conv_grad_input", [grad, weight], what, input_shape=shape, **options)
    wrong += compared("conv_grad_weight", [grad, x], what, weight_shape=weight_shape, **options)
    ends = dict(options, output_padding=tuple(s - 1 for s in spread[0]))
    shift = laid_out(draw(-1, 1, weight_shape[1] * groups), dtype, "dense")
    with dt.no_grad():
        wrong += compared("conv_transpose", [grad, weight, shift], what, **ends)
    return wrong


def matrix_products(m: int, k: int, n: int, batch: Any, dtype: dt.dtype, layout: str) -> list[str]:
    """One size: the product alone, and what adds something to it."""
    draw = np.random.default_rng(m + k + n).uniform
    one, many = ((), ()) if batch is None else batch
    sizes = ((*one, m, k), (*many, k, n))
    low, high = (-9, 9) if dtype.is_floating_point else (0, 9)
    a, b = (
        laid_out(
            draw(low, high, size).round(), dtype, "dense" if layout == "transposed" else layout
        )
        for size in sizes
    )
    if layout == "transposed":
        a, b = a.mT.contiguous().mT, b.mT.contiguous().mT
    what = f"{m} {k} {n} {batch} {dtype} {layout}"
    wrong = compared("matmul", [a, b], what)
    if not dtype.is_floating_point or batch is not None:
        return wrong
    for size in ((n,), (m, 1), (), (m, n)):
        given = laid_out(draw(-1, 1, size), dtype, "dense")
        scales = {"beta": 0.5, "alpha": 2.0}
        wrong += compared("addmm", [given, a, b], f"{what} plus {size}", **scales)
    weight = b.mT
    wrong += compared("linear", [a, weight, laid_out(draw(-1, 1, n), dtype, "dense")], what)
    wrong += compared("linear", [a, weight, None], what)
    return wrong
