"""Every record under vmap: the result is the loop's, whatever dims are mapped."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import dtypes as d
from dovetail.func import grad, vmap
from dovetail.ops.schema import REGISTRY, OpDef, Sample

SIZE = 2

# Called row by row: what they do with each row's values has no form for all rows at once.
LOOPED = frozenset[str]()

# Their results' shapes depend on values.
DYNAMIC = {"bincount", "nonzero", "unique"}

# Of masks and equal rows, whose count is read; ``vmap`` never comes to them (see
# test_masks_under_transforms).
COUNTED = {"kinds_counted", "put_under_mask", "rows_counted"}


def operators() -> list[OpDef]:
    return [
        op
        for _, op in sorted(REGISTRY.items())
        if op.samples is not None and op.function is not None and op.name not in COUNTED
    ]


def dtypes_of(op: OpDef) -> list[Any]:
    found = [k for k in (d.float64, d.complex128) if k in op.accepts][:1]
    if d.int64 in op.accepts and op.kind in ("elementwise", "compare", "select", "reduce", "index"):
        found.append(d.int64)
    return found or [op.accepts[0]]


def arrays_in(sample: Sample) -> list[tuple[Any, ...]]:
    """Where the arrays are: an index into args (and into a list there), or a keyword."""
    found: list[tuple[Any, ...]] = []
    for i, value in enumerate(sample.args):
        if isinstance(value, np.ndarray):
            found.append((i,))
        elif isinstance(value, (list, tuple)):
            found += [(i, k) for k, v in enumerate(value) if isinstance(v, np.ndarray)]
    found += [(name,) for name, value in sample.kwargs.items() if isinstance(value, np.ndarray)]
    return found


def array_at(sample: Sample, place: tuple[Any, ...]) -> np.ndarray:
    value = sample.kwargs[place[0]] if isinstance(place[0], str) else sample.args[place[0]]
    return value[place[1]] if len(place) == 2 else value


def call(op: OpDef, sample: Sample, places: list[Any], tensors: tuple[Any, ...]) -> Any:
    args, kwargs = list(sample.args), dict(sample.kwargs)
    for place, x in zip(places, tensors, strict=True):
        if isinstance(place[0], str):
            kwargs[place[0]] = x
        elif len(place) == 2:
            args[place[0]] = [x if k == place[1] else v for k, v in enumerate(args[place[0]])]
        else:
            args[place[0]] = x
    assert op.function is not None
    return op.function(*args, **kwargs)


def function_of(op: OpDef, sample: Sample, places: list[Any]) -> Any:
    return lambda *x: tuple(outs(call(op, sample, places, x)))


def pairs(op: OpDef, dtype: Any) -> Iterator[tuple[Sample, Sample]]:
    """Samples of two seeds that differ in nothing but the arrays' values."""
    assert op.samples is not None
    many = [op.samples(np.random.default_rng(seed), dtype) for seed in (0, 1)]
    for first, second in zip(*many, strict=True):
        same = [array_at(first, p).shape for p in arrays_in(first)] == [
            array_at(second, p).shape for p in arrays_in(second)
        ]
        yield first, second if same else first


def mappings(count: int) -> list[tuple[int | None, ...]]:
    """Which dim of each input is mapped: all in front, all at the end, in the middle, some."""
    found: list[tuple[int | None, ...]] = [(0,) * count, (-1,) * count]
    if count > 1:
        found += [tuple(1 if i == k else None for i in range(count)) for k in range(min(count, 3))]
    else:
        found.append((1,))
    return found


def placed(rows: list[Any], dim: int | None) -> Any:
    if dim is None:
        return rows[0]
    return dt.stack(rows, min(dim, rows[0].ndim) if dim > 0 else dim)


def outs(result: Any) -> list[Any]:
    if isinstance(result, (list, tuple)):
        return [x for r in result for x in outs(r)]
    return [result]


def same(ours: Any, wanted: Any, what: str) -> None:
    assert ours.dtype is wanted.dtype, f"{what}: dtype {ours.dtype}, want {wanted.dtype}"
    assert ours.shape == wanted.shape, f"{what}: shape {ours.shape}, want {wanted.shape}"
    a, b = ours.cpu().numpy(), wanted.cpu().numpy()
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11, equal_nan=True, err_msg=what)


def loop(op: OpDef, sample: Sample, places: list[Any], rows: list[Any]) -> Any:
    """What each row gives; None where a row is refused, or needs its values to be read."""
    if op.name == "one_hot" and len(sample.args) == 1:
        return None
    try:
        return [outs(call(op, sample, places, r)) for r in rows]
    except (RuntimeError, TypeError):
        return None


@pytest.mark.parametrize("op", operators(), ids=lambda op: op.name)
def test_rows(op: OpDef, device: dt.device) -> None:
    if op.name in DYNAMIC:
        with pytest.raises(RuntimeError, match="dynamic shape"):
            vmap(op.function)(dt.ones(2, 3, dtype=d.int64, device=device))
        return
    tried = 0
    for dtype in dtypes_of(op):
        for number, (first, second) in enumerate(pairs(op, dtype)):
            places = arrays_in(first)
            if not places:
                continue
            rows = [
                [dt.tensor(array_at(s, p), device=device) for p in places] for s in (first, second)
            ]
            for dims in mappings(len(places)):
                given = [placed([r[i] for r in rows], n) for i, n in enumerate(dims)]
                real = tuple(
                    n if n is None or n <= 0 else min(n, rows[0][i].ndim)
                    for i, n in enumerate(dims)
                )
                what = f"{op.name} {dtype} sample {number} in_dims {real}"
                picked = [
                    tuple(r[i] if n is not None else rows[0][i] for i, n in enumerate(dims))
                    for r in rows
                ]
                wanted = loop(op, first, places, picked)
                if wanted is None:
                    continue
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    made = vmap(function_of(op, first, places), in_dims=real)(*given)
                slow = [w for w in caught if "performance drop" in str(w.message)]
                assert not slow or op.name in LOOPED, f"{what}: no rule ({slow[0].message})"
                for ours, each in zip(made, zip(*wanted, strict=True), strict=True):
                    same(ours, dt.stack(list(each)), what)
                tried += 1
    assert tried


def with_inplace() -> list[OpDef]:
    """Those with an in-place method; some have an in-place function alone, ``F.elu_``."""
    return [
        op
        for op in operators()
        if op.inplace and op.name not in DYNAMIC and hasattr(dt.Tensor, f"{op.name}_")
    ]


@pytest.mark.parametrize("op", with_inplace(), ids=lambda op: op.name)
def test_in_place(op: OpDef, device: dt.device) -> None:
    """A write to a row is the write to each row, and is refused where rows do not fit."""
    name = op.name + "_"
    dtype = dtypes_of(op)[0]
    for number, (first, second) in enumerate(pairs(op, dtype)):
        places = arrays_in(first)
        if not places or places[0] != (0,):
            continue
        rows = [[dt.tensor(array_at(s, p), device=device) for p in places] for s in (first, second)]

        def write(*inputs: Any, sample: Sample = first, places: Any = places) -> Any:
            target, *rest = inputs
            args, kwargs = list(sample.args), dict(sample.kwargs)
            for place, x in zip(places[1:], rest, strict=True):
                (kwargs if isinstance(place[0], str) else args)[place[0]] = x
            made = target.clone()
            assert getattr(made, name)(*args[1:], **kwargs) is made
            return made

        try:
            wanted = [write(*r) for r in rows]
        except (RuntimeError, TypeError):
            continue
        given = [dt.stack(list(column)) for column in zip(*rows, strict=True)]
        same(vmap(write)(*given), dt.stack(wanted), f"{name} sample {number}")
        if len(places) > 1 and given[0].numel():
            with pytest.raises(RuntimeError, match="inplace arithmetic"):
                vmap(write, (None, *[0] * (len(places) - 1)))(rows[0][0], *given[1:])


def with_gradient() -> list[OpDef]:
    return [op for op in operators() if d.float64 in op.accepts and op.name not in DYNAMIC]


def floats(made: list[Any]) -> list[Any]:
    return [y for y in made if y.dtype.is_floating_point]


def gradients(op: OpDef, sample: Sample, places: list[Any]) -> Any:
    """A function from inputs to the gradients of what is differentiable of them."""

    def function(*inputs: Any) -> Any:
        real = tuple(i for i, x in enumerate(inputs) if x.dtype.is_floating_point)

        def scalar(*inputs: Any) -> Any:
            made = floats(outs(call(op, sample, places, inputs)))
            nothing = dt.zeros((), dtype=d.float64, device=inputs[0].device)
            return sum(((y * weights(y)).sum() for y in made), nothing)

        return grad(scalar, real)(*inputs)

    return function


def weights(y: Any) -> Any:
    n = y.numel()
    return (dt.arange(n, dtype=d.float64, device=y.device).reshape(y.shape) * 0.37 + 0.5).cos()


@pytest.mark.parametrize("op", with_gradient(), ids=lambda op: op.name)
def test_gradients(op: OpDef, device: dt.device) -> None:
    """vmap(grad(f)) is the loop's, and so is the gradient of what vmap computes."""
    for number, (first, second) in enumerate(pairs(op, d.float64)):
        places = arrays_in(first)
        rows = [[dt.tensor(array_at(s, p), device=device) for p in places] for s in (first, second)]
        if not places or not any(x.dtype.is_floating_point for x in rows[0]):
            continue
        function = gradients(op, first, places)
        for dims in mappings(len(places))[::2]:
            dims = tuple(n if n is None else 0 for n in dims)
            picked = [
                tuple(r[i] if n is not None else rows[0][i] for i, n in enumerate(dims))
                for r in rows
            ]
            if loop(op, first, places, picked) is None:
                continue
            try:
                wanted = [function(*r) for r in picked]
            except RuntimeError:
                continue
            given = [placed([r[i] for r in rows], n) for i, n in enumerate(dims)]
            what = f"{op.name} sample {number} in_dims {dims}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = vmap(function, in_dims=dims)(*given)
                through = outer_gradients(op, first, places, dims, given)
            for ours, each in zip(made, zip(*wanted, strict=True), strict=True):
                same(ours, dt.stack(list(each)), what)
            mapped = [n for x, n in zip(rows[0], dims, strict=True) if x.dtype.is_floating_point]
            for ours, each, n in zip(through, zip(*wanted, strict=True), mapped, strict=True):
                total = dt.stack(list(each))
                same(ours, total if n is not None else total.sum(0), f"{what}, through")


def outer_gradients(
    op: OpDef, sample: Sample, places: list[Any], dims: Any, given: list[Any]
) -> Any:
    real = tuple(i for i, x in enumerate(given) if x.dtype.is_floating_point)

    def scalar(*inputs: Any) -> Any:
        rows = vmap(lambda *x: tuple(floats(outs(call(op, sample, places, x)))), in_dims=dims)
        total = dt.zeros((), dtype=d.float64, device=inputs[0].device)
        for y in rows(*inputs):
            total = total + (y * weights(y[0])).sum()
        return total

    return grad(scalar, real)(*given)


@pytest.mark.parametrize("op", operators(), ids=lambda op: op.name)
def test_nested(op: OpDef, device: dt.device) -> None:
    """vmap of vmap is the loop over vmap, and so is the gradient through both."""
    if op.name in DYNAMIC:
        return
    dtype = dtypes_of(op)[0]
    for number, (first, second) in enumerate(list(pairs(op, dtype))[:3]):
        places = arrays_in(first)
        rows = [[dt.tensor(array_at(s, p), device=device) for p in places] for s in (first, second)]
        if not places or loop(op, first, places, rows) is None:
            continue
        pair = [dt.stack(list(column)) for column in zip(*rows, strict=True)]
        given = [dt.stack([x, x.flip(0)]) for x in pair]
        inner = vmap(function_of(op, first, places))
        made = vmap(inner)(*given)
        wanted = [inner(*[x[i] for x in given]) for i in range(2)]
        for ours, each in zip(made, zip(*wanted, strict=True), strict=True):
            same(ours, dt.stack(list(each)), f"{op.name} sample {number}")
        real = tuple(i for i, x in enumerate(given) if x.dtype is d.float64)
        if not real or not floats(list(made)):
            continue

        def scalar(f: Any, *x: Any) -> Any:
            made = [y for y in f(*x) if y.dtype is d.float64]
            return sum((y * weights(y)).sum() for y in made) + 0 * x[0].sum()

        def looped(*x: Any, inner: Any = inner) -> Any:
            parts = zip(*[inner(*[t[i] for t in x]) for i in range(2)], strict=True)
            return [dt.stack(list(p)) for p in parts]

        which = tuple(i + 1 for i in real)
        try:
            wants = grad(scalar, which)(looped, *given)
        except RuntimeError:
            continue
        for ours, want in zip(grad(scalar, which)(vmap(inner), *given), wants, strict=True):
            same(ours, want, f"{op.name} sample {number}, gradient")
