"""What ``opencl_memory.py`` calls, in groups: each row a name, a call, and the bytes it moves.

The bytes are those of the elements that are read and written; of every other element of a line,
those of the whole line, for memory has no smaller ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import dovetail as dt
from dovetail import ops
from dovetail.nn import functional as F

__all__ = ["GROUPS", "Case"]

Case = tuple[str, Callable[[], Any], int]
"""A name, what is called, and the bytes that it reads and writes."""

UNARY = (
    "relu", "abs", "neg", "sqrt", "rsqrt", "square", "reciprocal", "floor", "round",
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "tanh", "sinh",
    "cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh", "erf", "erfc", "sigmoid", "sign",
)  # fmt: skip
ACTIVATIONS = ("silu", "gelu", "softplus", "mish", "elu", "leaky_relu", "logsigmoid", "hardswish")
POSITIVE = ("sqrt", "rsqrt", "log", "log2", "log10", "log1p", "acosh")
WITHIN_ONE = ("asin", "acos", "atanh")
POWERS = (1.7, 0.75, -0.3, 1 / 3)
FOLDS = (
    "sum", "mean", "prod", "amax", "amin", "argmax", "argmin", "var", "std", "norm", "logsumexp",
)  # fmt: skip
WHOLE = {
    "a + b": lambda a, b: a + b,
    "a * 3": lambda a, b: a * 3,
    "a // b": lambda a, b: a // b,
    "a % 7": lambda a, b: a % 7,
    "a & b": lambda a, b: a & b,
    "a ^ b": lambda a, b: a ^ b,
    "a << 2": lambda a, b: a << 2,
    "~a": lambda a, b: ~a,
    "neg": lambda a, b: -a,
    "abs": lambda a, b: a.abs(),
    "maximum": dt.maximum,
    "a == b": lambda a, b: a == b,
    "clamp": lambda a, b: a.clamp(5, 50),
}
WHOLE_FOLDS = ("sum", "amax", "argmax")

SHAPES: dict[tuple[int, ...], tuple[int | tuple[int, ...], ...]] = {
    (50, -1): (0, 1),
    (10, -1): (0, 1),
    (3, -1): (0, 1),
    (10, 10, -1): (1, (0, 2)),
    (50, 200, -1): (1, (0, 2)),
    (100, 1000, -1): ((0, 2),),
    (50, 50, 64, -1): ((0, 2, 3), (0, 2)),
}
"""The last dims from the last one on, what is left being the first, and what is reduced."""

SHAPE_FOLDS = ("sum", "amax", "argmax", "max", "any", "var", "logsumexp")


def _size(x: Any) -> int:
    return int(x.element_size() * x.numel())


def _unary(x: Any, names: tuple[str, ...], moved: int) -> Iterator[Case]:
    positive, small = x.abs() + 1.0, x.clamp(-0.99, 0.99)
    for name in names:
        operand = positive if name in POSITIVE else small if name in WITHIN_ONE else x
        yield name, getattr(operand, name), moved


def elementwise(n: int, device: str) -> Iterator[Case]:
    """Float32: one element for each of the operands'."""
    x, y = dt.randn(n, device=device), dt.randn(n, device=device)
    positive, mask = x.abs() + 1.0, x > 0
    yield "clone", x.clone, 8 * n
    yield "a + b", lambda: x + y, 12 * n
    yield "a * 2.5", lambda: x * 2.5, 8 * n
    yield "a / b", lambda: x / positive, 12 * n
    yield "add_", lambda: y.add_(x, alpha=0.0), 12 * n
    yield "fill_", lambda: y.fill_(1.0), 4 * n
    yield from _unary(x, UNARY, 8 * n)
    for name in ACTIVATIONS:
        yield name, lambda name=name: getattr(F, name)(x), 8 * n
    for exponent in (2, 3, 0.5, *POWERS):
        yield f"a ** {exponent:.3g}", lambda e=exponent: positive**e, 8 * n
    yield "a ** b", lambda: positive**y, 12 * n
    yield "atan2", lambda: dt.atan2(x, y), 12 * n
    yield "hypot", lambda: dt.hypot(x, y), 12 * n
    yield "fmod", lambda: dt.fmod(x, positive), 12 * n
    yield "remainder", lambda: dt.remainder(x, positive), 12 * n
    yield "maximum", lambda: dt.maximum(x, y), 12 * n
    yield "clamp", lambda: x.clamp(-1.0, 1.0), 8 * n
    yield "addcmul", lambda: dt.addcmul(x, y, positive), 16 * n
    yield "addcdiv", lambda: dt.addcdiv(x, y, positive), 16 * n
    yield "lerp", lambda: dt.lerp(x, y, 0.3), 12 * n
    yield "where", lambda: dt.where(mask, x, y), 13 * n
    yield "where by number", lambda: dt.where(mask, x, 0.0), 9 * n
    yield "masked_fill", lambda: x.masked_fill(mask, 0.0), 9 * n


def truths(n: int, device: str) -> Iterator[Case]:
    """Comparisons, results and operands of bool; casts."""
    x, y = dt.randn(n, device=device), dt.randn(n, device=device)
    mask, other = x > 0, y > 0
    whole = x.int()
    half, brain = x.half(), x.bfloat16()
    for name, call in (
        ("a > b", lambda: x > y),
        ("a == b", lambda: x == y),
    ):
        yield name, call, 9 * n
    for name, call in (
        ("a > 0", lambda: x > 0),
        ("isnan", lambda: dt.isnan(x)),
        ("isfinite", lambda: dt.isfinite(x)),
        ("logical_not", lambda: dt.logical_not(x)),
    ):
        yield name, call, 5 * n
    yield "~mask", lambda: ~mask, 2 * n
    yield "mask & mask", lambda: mask & other, 3 * n
    yield "mask ^ mask", lambda: mask ^ other, 3 * n
    yield "to bool", x.bool, 5 * n
    yield "to bfloat16", x.bfloat16, 6 * n
    yield "to float16", x.half, 6 * n
    yield "to float64", x.double, 12 * n
    yield "to int8", x.char, 5 * n
    yield "to uint8", x.byte, 5 * n
    yield "to int32", x.int, 8 * n
    yield "to int64", x.long, 12 * n
    yield "bool to float", mask.float, 5 * n
    yield "bool to int64", mask.long, 9 * n
    yield "int32 to float", whole.float, 8 * n
    yield "int32 to int64", whole.long, 12 * n
    yield "float16 to float", half.float, 6 * n
    yield "bfloat16 to float", brain.float, 6 * n
    yield "float16 to bfloat16", half.bfloat16, 4 * n
    yield "any", mask.any, n
    yield "all", (x > -10).all, n
    for name in ("any", "all"):
        operand = (mask if name == "any" else x > -10).view(2500, -1)
        for dim in (0, 1):
            call = lambda name=name, dim=dim, operand=operand: getattr(operand, name)(dim)
            yield f"{name} dim {dim}", call, n
    yield "bool sum", mask.sum, n
    for dim in (0, 1):
        yield f"bool sum dim {dim}", lambda dim=dim: mask.view(2500, -1).sum(dim), n
    yield "count_nonzero", lambda: dt.count_nonzero(x), 4 * n


def integers(n: int, device: str) -> Iterator[Case]:
    """Arithmetic, bits and folds of whole numbers."""
    for dtype in (dt.int32, dt.int64, dt.int16, dt.int8, dt.uint8):
        kind = str(dtype).rpartition(".")[2]
        a, b = (dt.randint(1, 100, (n,), device=device, dtype=dtype) for _ in range(2))
        for name, call in WHOLE.items():
            made = call(a, b)
            operands = 2 if "b" in name.split() or name == "maximum" else 1
            bound = lambda call=call, a=a, b=b: call(a, b)
            yield f"{kind} {name}", bound, operands * _size(a) + _size(made)
        for name in WHOLE_FOLDS:
            yield f"{kind} {name}", getattr(a, name), _size(a)
            for dim in (0, 1):
                flat = a.view(2500, -1)
                call = lambda name=name, dim=dim, flat=flat: getattr(flat, name)(dim=dim)
                yield f"{kind} {name} dim {dim}", call, _size(a)
        if dtype in (dt.int32, dt.int64):
            yield f"{kind} cumsum", lambda a=a: a.cumsum(0), _size(a) + 8 * n


def folds(n: int, device: str) -> Iterator[Case]:
    """Float32: reductions to one element and over dims of two and three; scans; softmax."""
    x = dt.randn(n, device=device)
    flat, cube = x.view(2500, -1), x.view(100, 250, -1)
    for name in FOLDS:
        whole = (0,) if name == "logsumexp" else ()
        yield name, lambda name=name, whole=whole: getattr(x, name)(*whole), 4 * n
        for dim in (0, 1):
            call = lambda name=name, dim=dim: getattr(flat, name)(dim=dim)
            yield f"{name} dim {dim}", call, 4 * n
    for name in ("sum", "mean", "amax", "argmax", "var", "norm"):
        for dims in (0, 1, 2, (0, 2), (0, 1), (1, 2)):
            if name == "argmax" and isinstance(dims, tuple):
                continue
            call = lambda name=name, dims=dims: getattr(cube, name)(dim=dims)
            yield f"{name} of three, {dims}", call, 4 * n
    yield "max dim 0", lambda: flat.max(0), 4 * n
    yield "max dim 1", lambda: flat.max(1), 4 * n
    yield "cumsum", lambda: x.cumsum(0), 8 * n
    for dim in (0, 1):
        yield f"cumsum dim {dim}", lambda dim=dim: flat.cumsum(dim), 8 * n
    yield "cumprod dim 1", lambda: flat.cumprod(1), 8 * n
    for name in ("softmax", "log_softmax"):
        for dim in (0, 1):
            call = lambda name=name, dim=dim: getattr(flat, name)(dim)
            yield f"{name} dim {dim}", call, 8 * n
            call = lambda name=name, dim=dim: getattr(ops, f"{name}_backward")(flat, flat, dim=dim)
            yield f"{name}_backward dim {dim}", call, 8 * n


def shapes(n: int, device: str) -> Iterator[Case]:
    """Float32: reductions over dims that are short or far apart, or leave few or far ones."""
    x = dt.randn(n, device=device)
    for sizes, every in SHAPES.items():
        *rest, _ = sizes
        shape = (n // math.prod(rest), *reversed(rest))
        y = x[: math.prod(shape)].view(shape)
        for name in SHAPE_FOLDS:
            for dims in every:
                if name in ("argmax", "max") and isinstance(dims, tuple):
                    continue
                call = lambda y=y, name=name, dims=dims: getattr(y, name)(dim=dims)
                made = call()
                written = sum(map(_size, made if isinstance(made, tuple) else (made,)))
                yield f"{name} {' x '.join(map(str, shape))}, {dims}", call, _size(y) + written


def _of_type(dtype: Any, n: int, device: str) -> Iterator[Case]:
    x, y = dt.randn(n, device=device).to(dtype), dt.randn(n, device=device).to(dtype)
    positive, mask, flat = x.abs() + 1.0, x > 0, x.view(2500, -1)
    row, column = flat[0].clone(), flat[:, :1].clone()
    size = x.element_size()
    yield "a + b", lambda: x + y, 3 * size * n
    yield "a * 2.5", lambda: x * 2.5, 2 * size * n
    yield "a / b", lambda: x / positive, 3 * size * n
    yield "a + row", lambda: flat + row, 2 * size * n
    yield "a + column", lambda: flat + column, 2 * size * n
    yield "maximum", lambda: dt.maximum(x, y), 3 * size * n
    yield "clamp", lambda: x.clamp(-1.0, 1.0), 2 * size * n
    yield "where", lambda: dt.where(mask, x, y), 3 * size * n + n
    yield "masked_fill", lambda: x.masked_fill(mask, 0.0), 2 * size * n + n
    yield "lerp", lambda: dt.lerp(x, y, 0.3), 3 * size * n
    yield "addcmul", lambda: dt.addcmul(x, y, positive), 4 * size * n
    yield "a > b", lambda: x > y, 2 * size * n + n
    yield "isnan", lambda: dt.isnan(x), size * n + n
    yield from _unary(x, UNARY, 2 * size * n)
    for name in ACTIVATIONS:
        yield name, lambda name=name: getattr(F, name)(x), 2 * size * n
    for exponent in (2, 0.5, *POWERS[:2]):
        yield f"a ** {exponent:.3g}", lambda e=exponent: positive**e, 2 * size * n
    yield "a ** b", lambda: positive**y, 3 * size * n
    for name in ("atan2", "hypot", "fmod", "remainder"):
        yield name, lambda name=name: getattr(dt, name)(x, positive), 3 * size * n
    for name in FOLDS:
        whole = (0,) if name == "logsumexp" else ()
        yield name, lambda name=name, whole=whole: getattr(x, name)(*whole), size * n
        for dim in (0, 1):
            call = lambda name=name, dim=dim: getattr(flat, name)(dim=dim)
            yield f"{name} dim {dim}", call, size * n
    yield "cumsum", lambda: x.cumsum(0), 2 * size * n
    for dim in (0, 1):
        yield f"cumsum dim {dim}", lambda dim=dim: flat.cumsum(dim), 2 * size * n
        yield f"softmax dim {dim}", lambda dim=dim: flat.softmax(dim), 2 * size * n
    yield "transposed clone", flat.t().contiguous, 2 * size * n
    turned = x.view(flat.shape[1], flat.shape[0])
    yield "a + b.T", lambda: turned + flat.t(), 3 * size * n


def typed(dtype: str) -> Callable[[int, str], Iterator[Case]]:
    """Each class of operators on elements of this dtype."""

    def made(n: int, device: str) -> Iterator[Case]:
        for name, call, moved in _of_type(getattr(dt, dtype), n, device):
            yield f"{dtype} {name}", call, moved

    return made


def layouts(n: int, device: str) -> Iterator[Case]:
    """Float32: broadcasting, operands that are not dense, and what moves elements."""
    x, y = dt.randn(n, device=device), dt.randn(n, device=device)
    flat, other = x.view(2500, -1), y.view(2500, -1)
    rows, columns = flat.shape
    cube = x.view(100, 250, -1)
    row, column = dt.randn(columns, device=device), dt.randn(rows, 1, device=device)
    turned, square = y.view(columns, rows), y[: 3000 * 3000].view(3000, 3000)
    yield "a + row", lambda: flat + row, 8 * n
    yield "a + column", lambda: flat + column, 8 * n
    yield "row + column", lambda: row + column, 4 * n
    yield "a + plane", lambda: cube + cube[:1], 8 * n
    yield "a + middle", lambda: cube + cube[:, :1], 8 * n
    yield "a * channels", lambda: cube * cube[:1, :, :1], 8 * n
    yield "transposed clone", flat.t().contiguous, 8 * n
    yield "transposed, lines of 10 kB", turned.t().contiguous, 8 * n
    yield "clone of three, 0 2 1", cube.permute(0, 2, 1).contiguous, 8 * n
    yield "clone of three, 2 0 1", cube.permute(2, 0, 1).contiguous, 8 * n
    yield "clone of three, 1 0 2", cube.permute(1, 0, 2).contiguous, 8 * n
    yield "a + b.T", lambda: turned + flat.t(), 12 * n
    yield "a.T + b", lambda: flat.t() + turned, 12 * n
    yield "a.T + b.T", lambda: flat.t() + other.t(), 12 * n
    yield "a + a.T", lambda: square + square.t(), 12 * square.numel()
    yield "a.T + 1", lambda: flat.t() + 1.0, 8 * n
    yield "a[:, ::2] + 1", lambda: flat[:, ::2] + 1.0, 6 * n
    yield "a[::2] + 1", lambda: flat[::2] + 1.0, 4 * n
    yield "a[:, 5:-5] + 1", lambda: flat[:, 5:-5] + 1.0, 8 * n
    yield "a[:, ::2] * b[:, 1::2]", lambda: flat[:, ::2] * other[:, 1::2], 10 * n
    yield "exp(a[:, ::2])", lambda: flat[:, ::2].exp(), 6 * n
    yield "a[:, ::2].sum(1)", lambda: flat[:, ::2].sum(1), 4 * n
    yield "a.T.sum(0)", lambda: flat.t().sum(0), 4 * n
    yield "a[:, ::2] = b", lambda: flat[:, ::2].copy_(other[:, : columns // 2]), 6 * n
    yield "flip 0", lambda: flat.flip(0), 8 * n
    yield "flip 1", lambda: flat.flip(1), 8 * n
    yield "roll 0", lambda: flat.roll(7, 0), 8 * n
    yield "roll 1", lambda: flat.roll(7, 1), 8 * n
    yield "cat 0", lambda: dt.cat([flat, other]), 16 * n
    yield "cat 1", lambda: dt.cat([flat, other], 1), 16 * n
    yield "stack 2", lambda: dt.stack([flat, other], 2), 16 * n
    yield "repeat 2 1", lambda: flat.repeat(2, 1), 12 * n
    yield "repeat 1 2", lambda: flat.repeat(1, 2), 12 * n
    yield "repeat_interleave", lambda: x.repeat_interleave(2), 12 * n
    yield "pad", lambda: F.pad(flat, (3, 3)), 8 * n
    yield "tril", lambda: dt.tril(flat), 6 * n
    yield "diff", lambda: dt.diff(flat), 8 * n
    places = dt.randint(0, rows, (rows,), device=device)
    yield "index_select 0", lambda: flat.index_select(0, places), 8 * n
    within = dt.randint(0, columns, (rows, columns), device=device)
    yield "gather 1", lambda: flat.gather(1, within), 16 * n
    near = dt.randint(0, rows, (rows, columns), device=device)
    yield "gather 0", lambda: flat.gather(0, near), 16 * n
    some = dt.randint(0, columns, (columns,), device=device)
    yield "index_select 1", lambda: flat.index_select(1, some), 8 * n


def draws(elements: int, name: str) -> Iterator[Case]:
    """Random numbers, which read nothing, and dropout, which keeps its noise for the gradient."""
    x = dt.randn(elements, device=name)
    out = _size(x)
    yield "rand", lambda: dt.rand(elements, device=name), out
    yield "randn", lambda: dt.randn(elements, device=name), out
    yield "rand float64", lambda: dt.rand(elements, device=name, dtype=dt.float64), 2 * out
    yield "rand bfloat16", lambda: dt.rand(elements, device=name, dtype=dt.bfloat16), out // 2
    yield "randint", lambda: dt.randint(0, 1000, (elements,), device=name), 2 * out
    yield "bernoulli", lambda: dt.bernoulli(x.abs().clamp_(0, 1)), 5 * out
    yield "dropout", lambda: F.dropout(x, 0.1), 3 * out


GROUPS: dict[str, Callable[[int, str], Iterator[Case]]] = {
    "elementwise": elementwise,
    "truths": truths,
    "integers": integers,
    "folds": folds,
    "shapes": shapes,
    "layouts": layouts,
    "draws": draws,
    **{dtype: typed(dtype) for dtype in ("float64", "float16", "bfloat16")},
}
"""By name, the rows of a group for so many elements on a device."""
