"""The kinds of fault, as a table: mistakes that authors of kernels make.

Most run the good kernel and then spoil what it wrote, in the way that the mistake would.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.ops.schema import CallFacts, OpDef
from dovetail.spec import Spec, spec_of
from dovetail_conformance.compare import EPS
from dovetail_conformance.mutants.fault import (
    ELEMENTWISE,
    Fault,
    Run,
    Unmeant,
    is_float,
    outs_of,
    with_specs,
)

__all__ = ["ATTRIBUTES", "FAULTS", "attribute_fault"]

Arrays = tuple[Any, ...]


def _real(array: Any) -> bool:
    return isinstance(array, np.ndarray)


# Spoiling what was written


def _after(spoil: Callable[[np.ndarray, np.ndarray], None]) -> Callable[[Run, CallFacts], Run]:
    """Run the good kernel, then ``spoil(out, what it held before)`` for every output."""

    def change(good: Run, facts: CallFacts) -> Run:
        count = outs_of(facts)

        def kernel(*arrays: Any) -> None:
            outs = [a for a in arrays[-count:] if _real(a)]
            old = [a.copy() for a in outs]
            good(*arrays)
            with np.errstate(all="ignore"):
                for out, before in zip(outs, old, strict=True):
                    if out.size:
                        spoil(out, before)

        return kernel

    return change


def _keep(out: np.ndarray, before: np.ndarray, where: np.ndarray) -> None:
    """Leave elements (numbered row-major) as they were."""
    mask = np.zeros(out.size, bool)
    mask[where] = True
    kept = mask.reshape(out.shape)
    out[kept] = before[kept]


def _tail(out: np.ndarray, before: np.ndarray) -> None:
    _keep(out, before, np.array([out.size - 1]))


def _vector(width: int) -> Callable[[np.ndarray, np.ndarray], None]:
    def spoil(out: np.ndarray, before: np.ndarray) -> None:
        full = out.size // width * width
        if full:
            _keep(out, before, np.arange(full, out.size))

    return spoil


def _beyond(out: np.ndarray, before: np.ndarray) -> None:
    _keep(out, before, np.arange(min(out.size, 1 << 16), out.size))


def _no_scalars(out: np.ndarray, before: np.ndarray) -> None:
    if not out.ndim:
        out[...] = before


def _negated(out: np.ndarray, before: np.ndarray) -> None:
    if out.dtype == bool:
        np.logical_not(out, out=out)
    else:
        out[...] = (0 - out.astype(np.int64)).astype(out.dtype) if out.dtype.kind in "iu" else -out


def _rolled(out: np.ndarray, before: np.ndarray) -> None:
    out[...] = np.roll(out.reshape(-1), 1).reshape(out.shape)


def _no_nan(out: np.ndarray, before: np.ndarray) -> None:
    if is_float(out):
        out[np.isnan(out)] = 0


def _no_minus_zero(out: np.ndarray, before: np.ndarray) -> None:
    if is_float(out):
        out[out == 0] = 0


def _finite(out: np.ndarray, before: np.ndarray) -> None:
    if is_float(out) and out.dtype.kind != "c":
        limit = float(d.finfo(d.from_numpy_dtype(out.dtype)).max)
        wide = out.astype(np.float64)
        out[...] = np.where(np.isinf(wide), np.copysign(limit, wide), wide).astype(out.dtype)


def _no_imaginary(out: np.ndarray, before: np.ndarray) -> None:
    if out.dtype.kind == "c":
        out.imag = 0


def _added(out: np.ndarray, before: np.ndarray) -> None:
    if out.dtype == bool:
        out |= before
    else:
        kept = np.nan_to_num(before.astype(complex if out.dtype.kind == "c" else float))
        kept = kept if out.dtype.kind in "fcV" else before
        out[...] = (out + kept).astype(out.dtype)


def _imprecise(good: Run, facts: CallFacts) -> Run:
    """The result is off by ten tolerances of the record."""
    unit = max(facts.op.tolerance.ulp, 1.0) * 10

    def spoil(out: np.ndarray, before: np.ndarray) -> None:
        size = EPS.get(d.from_numpy_dtype(out.dtype).name)
        if size is not None:
            wide = out.astype(complex if out.dtype.kind == "c" else float)
            out[...] = (wide * (1 + unit * size * _spread(facts))).astype(out.dtype)

    return _after(spoil)(good, facts)


def _spread(facts: CallFacts) -> float:
    """A contraction's tolerance grows with the square root of its length; so does the error."""
    op = facts.op
    if op.tolerance.elementwise(op.kind):
        return 1.0
    sizes = [f.numel for f in facts.inputs if isinstance(f, Spec)]
    return float(max([1, *sizes]) ** 0.5)


# Reading the inputs wrongly


def _before(spoil: Callable[[np.ndarray], np.ndarray]) -> Callable[[Run, CallFacts], Run]:
    """The good kernel on inputs that are read wrongly."""

    def change(good: Run, facts: CallFacts) -> Run:
        count = outs_of(facts)

        def kernel(*arrays: Any) -> None:
            with np.errstate(all="ignore"):
                inputs = [spoil(a) if _real(a) else a for a in arrays[:-count]]
            good(*inputs, *arrays[-count:])

        return kernel

    return change


def _memory(array: np.ndarray) -> tuple[np.ndarray, int]:
    """The block that an array lies in, as bytes, and where in it the array starts."""
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    flat = base.reshape(-1).view(np.uint8) if base.flags.c_contiguous else array.view(np.uint8)
    return flat, array.__array_interface__["data"][0] - flat.__array_interface__["data"][0]


def _at(array: np.ndarray, offset: int, strides: tuple[int, ...]) -> np.ndarray:
    """Elements of array's block from another place, with other strides; the block's end wraps."""
    block, _ = _memory(array)
    places = np.full(array.shape, offset, np.int64)
    for axis, step in enumerate(strides):
        shape = [1] * array.ndim
        shape[axis] = -1
        places += (np.arange(array.shape[axis]) * step).reshape(shape)
    size = array.itemsize
    whole = block[: block.size // size * size].view(array.dtype)
    return whole[places // size % max(whole.size, 1)] if whole.size else array


def _dense(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    strides: list[int] = []
    for n in reversed(shape):
        strides.insert(0, size)
        size *= n
    return tuple(strides)


def _no_offset(array: np.ndarray) -> np.ndarray:
    return _at(array, 0, array.strides)


def _no_strides(array: np.ndarray) -> np.ndarray:
    return _at(array, _memory(array)[1], _dense(array.shape, array.itemsize))


def _dense_zero(array: np.ndarray) -> np.ndarray:
    if 0 not in array.strides:
        return array
    dense = _dense(array.shape, array.itemsize)
    strides = tuple(m if s == 0 else s for s, m in zip(array.strides, dense, strict=True))
    return _at(array, _memory(array)[1], strides)


def _narrow(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.float64:
        return array.astype(np.float32).astype(np.float64)
    if array.dtype == np.complex128:
        return array.astype(np.complex64).astype(np.complex128)
    return array


def _halved(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.complex64:
        parts = np.ascontiguousarray(array).view(np.float32).astype(np.float16)
        return parts.astype(np.float32).view(np.complex64).reshape(array.shape)
    return array.astype(np.float16).astype(np.float32) if array.dtype == np.float32 else array


def _through_float(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.int64:
        return np.clip(array.astype(np.float64), -(2.0**63), 2.0**63 - 1024).astype(np.int64)
    return array.astype(np.float32).astype(np.int32) if array.dtype == np.int32 else array


# Whole kernels


def _swapped(good: Run, facts: CallFacts) -> Run:
    def kernel(*arrays: Any) -> None:
        x, y, *rest = arrays
        if not _real(x) or not _real(y) or (facts.op.kind == "contract" and x.shape != y.shape):
            good(*arrays)
        else:
            good(y, x, *rest)

    return kernel


def _writes_input(good: Run, facts: CallFacts) -> Run:
    count = outs_of(facts)

    def kernel(*arrays: Any) -> None:
        good(*arrays)
        outs = arrays[-count:]
        for x in arrays[:-count]:
            if _real(x) and x.size and x.flags.writeable and not _share(x, outs):
                first = (0,) * x.ndim
                x[first] = not x[first] if x.dtype == bool else x[first] + x.dtype.type(1)
                return

    return kernel


def _share(x: np.ndarray, outs: Arrays) -> bool:
    return any(_real(o) and np.may_share_memory(x, o) for o in outs)


def _cached(good: Run, facts: CallFacts) -> Run:
    count = outs_of(facts)
    kept: list[np.ndarray] = []

    def kernel(*arrays: Any) -> None:
        outs = arrays[-count:]
        if kept and all(a.shape == b.shape for a, b in zip(kept, outs, strict=True)):
            for out, old in zip(outs, kept, strict=True):
                out[...] = old
            return
        good(*arrays)
        kept[:] = [o.copy() for o in outs]

    return kernel


def _clears_first(good: Run, facts: CallFacts) -> Run:
    count = outs_of(facts)

    def kernel(*arrays: Any) -> None:
        for out in arrays[-count:]:
            if _real(out):
                out[...] = 0
        good(*arrays)

    return kernel


def _writes_dense(good: Run, facts: CallFacts) -> Run:
    """Outputs are taken for dense: the elements go to the block from the output's start on."""

    def kernel(*arrays: Any) -> None:
        out = arrays[-1]
        if not _real(out) or out.flags.c_contiguous or not out.size:
            good(*arrays)
            return
        made = np.empty(out.shape, out.dtype)
        good(*arrays[:-1], made)
        block, start = _memory(out)
        data = made.reshape(-1).view(np.uint8)[: block.size - start]
        block[start : start + data.size] = data

    return kernel


def _fails_on(is_so: Callable[[np.ndarray], bool], text: str) -> Callable[[Run, CallFacts], Run]:
    def change(good: Run, facts: CallFacts) -> Run:
        def kernel(*arrays: Any) -> None:
            if any(_real(a) and is_so(a) for a in arrays):
                raise RuntimeError(text)
            good(*arrays)

        return kernel

    return change


def _saturates(good: Run, facts: CallFacts) -> Run:
    """Whole numbers stop at the ends of their range instead of wrapping around."""

    def kernel(*arrays: Any) -> None:
        out = arrays[-1]
        good(*arrays)
        if not _real(out) or out.dtype.kind not in "iu" or not out.size:
            return
        info = np.iinfo(out.dtype)
        wide = [np.asarray(a).astype(object) for a in arrays[:-1]]
        exact = _EXACT[facts.op.name](*wide)
        out[...] = np.clip(np.broadcast_to(exact, out.shape), info.min, info.max).astype(out.dtype)

    return kernel


_EXACT: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "abs": abs,
}


def _half_up(good: Run, facts: CallFacts) -> Run:
    def kernel(*arrays: Any) -> None:
        x, out = arrays[0], arrays[-1]
        if is_float(x):
            out[...] = np.floor(x.astype(np.float64) + 0.5).astype(out.dtype)
        else:
            good(*arrays)

    return kernel


def _other_compare(good: Run, facts: CallFacts) -> Run:
    wrong = {"lt": np.less_equal, "le": np.less, "eq": np.less_equal}[facts.op.name]

    def kernel(x: Any, y: Any, out: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            if np.iscomplexobj(x):
                good(x, y, out)
            else:
                out[...] = wrong(x, y)

    return kernel


def _index_off(good: Run, facts: CallFacts) -> Run:
    """Indices are one too large, and wrap around."""
    count = outs_of(facts)

    def kernel(*arrays: Any) -> None:
        dim = facts.attributes.get("dim", 0)
        size = arrays[0].shape[dim] if arrays[0].ndim else 1
        rest = [
            (a + 1) % max(size, 1) if _real(a) and i and a.dtype == np.int64 else a
            for i, a in enumerate(arrays[:-count])
        ]
        good(*rest, *arrays[-count:])

    return kernel


def _collisions(good: Run, facts: CallFacts) -> Run:
    """Of several values for one place only the last arrives."""

    def kernel(x: Any, index: np.ndarray, src: np.ndarray, out: np.ndarray) -> None:
        dim = facts.attributes["dim"]
        if not x.ndim:
            good(x, index, src, out)
            return
        part = src[tuple(slice(n) for n in index.shape)]
        old = x.copy()
        out[...] = old
        taken = np.take_along_axis(old, np.clip(index, 0, None), dim) if index.size else part
        np.put_along_axis(out, index, (taken + part).astype(out.dtype), dim)

    def guarded(*arrays: Any) -> None:
        x, index = arrays[0], arrays[1]
        same = x.ndim and all(
            n == m for i, (n, m) in enumerate(zip(x.shape, index.shape, strict=True))
            if i != facts.attributes["dim"] % max(x.ndim, 1)
        )  # fmt: skip
        (kernel if same else good)(*arrays)

    return guarded


def _unstable(good: Run, facts: CallFacts) -> Run:
    """Equal elements come out in the reverse of the order in which they came."""

    def kernel(x: np.ndarray, values: np.ndarray, places: np.ndarray) -> None:
        dim = facts.attributes["dim"]
        if not x.ndim:
            good(x, values, places)
            return
        good(np.flip(x, dim), values, places)
        np.subtract(x.shape[dim] - 1, places, out=places)

    return kernel


def _last_tie(good: Run, facts: CallFacts) -> Run:
    """Of equal extremes the last is found."""

    def kernel(x: np.ndarray, out: np.ndarray) -> None:
        dim = facts.attributes.get("dim")
        if not x.ndim or not x.size:
            good(x, out)
        elif dim is None:
            good(np.ascontiguousarray(x.reshape(-1)[::-1]).reshape(x.shape), out)
            np.subtract(x.size - 1, out, out=out)
        else:
            axis = dim[0] if isinstance(dim, tuple) else dim
            good(np.flip(x, axis), out)
            np.subtract(x.shape[axis] - 1, out, out=out)

    return kernel


def _nan_least(good: Run, facts: CallFacts) -> Run:
    """NaN is taken for the smallest number."""

    def kernel(x: np.ndarray, values: np.ndarray, places: np.ndarray) -> None:
        good(x, values, places)
        dim = facts.attributes["dim"]
        if is_float(x) and x.ndim and np.isnan(x).any():
            order = np.argsort(~np.isnan(values), axis=dim, kind="stable")
            if facts.attributes["descending"]:
                order = np.flip(order, dim)
            values[...] = np.take_along_axis(values, order, dim)
            places[...] = np.take_along_axis(places, order, dim)

    return kernel


def _rounds(good: Run, facts: CallFacts) -> Run:
    """Conversion to whole numbers rounds instead of truncating."""

    def kernel(x: np.ndarray, out: np.ndarray) -> None:
        if is_float(x) and out.dtype.kind in "iu" and x.dtype.kind != "c":
            with np.errstate(all="ignore"):
                good(np.round(x.astype(np.float64)), out)
        else:
            good(x, out)

    return kernel


def _truncates_to_bool(good: Run, facts: CallFacts) -> Run:
    """0.5 becomes False."""

    def kernel(x: np.ndarray, out: np.ndarray) -> None:
        if is_float(x) and out.dtype == bool and x.dtype.kind != "c":
            out[...] = np.trunc(x.astype(np.float64)) != 0
        else:
            good(x, out)

    return kernel


def _one_dtype(good: Run, facts: CallFacts) -> Run:
    """Right for float32 and wrong for the other floats."""

    def spoil(out: np.ndarray, before: np.ndarray) -> None:
        if is_float(out) and out.dtype != np.float32:
            out[...] = (out.astype(complex if out.dtype.kind == "c" else float) * 1.5 + 1).astype(
                out.dtype
            )

    return _after(spoil)(good, facts)


def _rounds_each(good: Run, facts: CallFacts) -> Run:
    """Sums of float16 and bfloat16 are rounded after every term."""

    def kernel(*arrays: Any) -> None:
        x, out = arrays[0], arrays[-1]
        low = is_float(x) and x.itemsize == 2 and x.ndim and x.size
        if not low:
            good(*arrays)
            return
        with np.errstate(all="ignore"):
            if facts.op.name == "matmul":
                y = arrays[1]
                total = np.zeros(out.shape, x.dtype)
                for k in range(x.shape[-1]):
                    total = total + x[..., :, k : k + 1] * y[..., k : k + 1, :]
                out[...] = total
                return
            dim, op = facts.attributes["dim"], np.multiply if "prod" in facts.op.name else np.add
            if facts.op.kind == "scan":
                op.accumulate(x, axis=dim, dtype=x.dtype, out=out)
                return
            axes = tuple(dim)
            rest = [i for i in range(x.ndim) if i not in axes]
            flat = x.transpose(*rest, *axes).reshape(*[x.shape[i] for i in rest], -1)
            out[...] = op.accumulate(flat, axis=-1, dtype=x.dtype)[..., -1].reshape(out.shape)

    return kernel


def _seedless(name: str, value: Callable[[int], int]) -> Callable[[Run, CallFacts], Run]:
    def change(good: Run, facts: CallFacts) -> Run:
        return _again(facts, name, value(facts.attributes[name]))

    return change


def _again(facts: CallFacts, name: str, value: Any) -> Run:
    """The host's own kernel with one attribute changed.

    Raises:
        Unmeant: no entry of the table is ever given this value.
    """
    from dovetail.backend import registry
    from dovetail.kernels import bind_kernel

    changed = CallFacts(facts.op, facts.inputs, facts.outputs, {**facts.attributes, name: value})
    entries = registry.get("cpu").table.entries(facts.op.name)
    fitting = [e for e in entries if e.when is None or e.when(changed)]
    if not fitting:
        raise Unmeant(f"the table's `when` admits no other {name}")
    return bind_kernel(fitting[0], changed)


def _other_value(value: Any) -> Any:
    """Another value of the same type, for an attribute that is not heeded."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 2 + 0.5
    if isinstance(value, tuple) and value and all(type(v) is int for v in value):
        return (value[0] + 1, *value[1:]) if len(set(value)) == 1 else tuple(reversed(value))
    if isinstance(value, str):
        return {"mean": "sum", "sum": "mean", "none": "tanh", "tanh": "none"}.get(value, value)
    return value


def attribute_fault(name: str) -> Fault:
    """The attribute ``name`` has another value than the caller gave."""

    def change(good: Run, facts: CallFacts) -> Run:
        value = facts.attributes[name]
        other = _other_value(value)
        if other == value:
            raise Unmeant(f"{name} can have no other value than {value!r}")
        return _again(facts, name, other)

    return Fault(
        f"wrong-{name}", f"takes another {name} than it was given", lambda op: True, change
    )


ATTRIBUTES = frozenset((
    "alpha", "approximate", "beta", "ceil_mode", "correction", "count_include_pad", "descending",
    "diagonal", "dilation", "dim", "dims", "eps", "groups", "ignore_index", "k", "keepdim",
    "kernel_size", "label_smoothing", "largest", "momentum", "negative_slope", "offset", "p",
    "padding", "reduction", "right", "shifts", "start", "step", "stride", "threshold", "value",
    "weight_decay",
))  # fmt: skip
"""Attributes that a kernel may fail to heed."""


# Where a fault has a meaning


_WIDE = frozenset((d.float64, d.complex128))
_SINGLE = frozenset((d.float32, d.complex64))
_OTHERS = frozenset((*d.FLOATING, *d.COMPLEX)) - {d.float32}


def _any(op: OpDef) -> bool:
    return True


def _kinds(*kinds: str) -> Callable[[OpDef], bool]:
    return lambda op: op.kind in kinds


def _named(*names: str) -> Callable[[OpDef], bool]:
    return lambda op: op.name in names


def _takes_tensors(op: OpDef) -> bool:
    return bool(op.inputs)


def _makes_floats(op: OpDef) -> bool:
    return op.kind != "compare" and bool(set(op.accepts) & set(d.FLOATING)) and op.name not in (
        "argmax", "argmin", "nonzero", "one_hot", "random_bits", "count_nonzero", "isnan", "isinf",
        "isfinite", "signbit", "any", "all", "searchsorted", "fill", "arange", "copy",
        "random_integers",
    )  # fmt: skip


def _reads_floats(op: OpDef) -> bool:
    return bool(op.inputs) and _makes_floats(op)


@functools.cache
def _special_results(op: OpDef) -> tuple[float, ...]:
    """What the reference gives for the record's special values."""
    if not op.special or op.reference is None:
        return ()
    grids = np.meshgrid(*[np.array(op.special)] * len(op.inputs), indexing="ij")
    with np.errstate(all="ignore"):
        made = op.reference(*grids)
    return tuple(np.asarray(made, float).reshape(-1)) if np.isrealobj(made) else ()


def _gives(test: Callable[[np.ndarray], Any]) -> Callable[[OpDef], bool]:
    return lambda op: (
        op.kind == "elementwise" and bool(np.any(test(np.array(_special_results(op)))))
    )


def _of_shape(*shape: int) -> Callable[[CallFacts], CallFacts]:
    """A call like another, with tensors of this shape."""
    return functools.partial(with_specs, lambda s: spec_of(shape, s.dtype, s.device))


def _with_steps(times: int) -> Callable[[CallFacts], CallFacts]:
    """A call like another, whose inputs have so many times their strides."""

    def change(facts: CallFacts) -> CallFacts:
        inputs = with_specs(
            lambda s: spec_of(s.shape, s.dtype, s.device, tuple(n * times for n in s.strides)),
            facts,
        ).inputs
        return CallFacts(facts.op, inputs, facts.outputs, facts.attributes)

    return change


_IRREVERSIBLE = ("sub", "div", "pow", "floor_divide", "remainder", "atan2", "lt", "le",
                 "shift_left", "shift_right", "matmul")  # fmt: skip

FAULTS: tuple[Fault, ...] = (
    Fault("tail-unwritten", "the last element is not written", _any, _after(_tail)),
    Fault("vector-of-4", "what is left after vectors of 4 is not written", _any,
          _after(_vector(4))),
    Fault("blocks-of-64", "right only at multiples of 64", _kinds(*ELEMENTWISE),
          _after(_vector(64))),
    Fault("beyond-65536", "elements past 65536 are not written",
          lambda op: op.kind in ELEMENTWISE or op.name in ("copy", "arange"), _after(_beyond)),
    Fault("no-0-d", "a 0-d result is not written", _kinds(*ELEMENTWISE, "reduce"),
          _after(_no_scalars), shown_by=_of_shape()),
    Fault("no-empty", "fails where an array is empty", _kinds(*ELEMENTWISE, "scan", "contract"),
          _fails_on(lambda a: a.size == 0, "the grid is empty"), shown_by=_of_shape(0)),
    Fault("sign-flip", "the result is negated", _any, _after(_negated)),
    Fault("off-by-one", "results are one place further on", _any, _after(_rolled)),
    Fault("accumulates-into-out", "adds to what the output held", _any, _after(_added)),
    Fault("ten-tolerances", "relative error of ten tolerances", _makes_floats, _imprecise),
    Fault("one-dtype", "right for float32 only", _makes_floats, _one_dtype, _OTHERS),
    Fault("narrow", "float64 is computed in float32", _reads_floats, _before(_narrow), _WIDE),
    Fault("half-inputs", "float32 is computed in float16", _reads_floats, _before(_halved),
          _SINGLE),
    Fault("no-imaginary", "the imaginary part is dropped",
          lambda op: op.kind in ("elementwise", "reduce", "scan", "contract")
          and d.complex64 in op.accepts and op.name not in ("abs",),
          _after(_no_imaginary), frozenset(d.COMPLEX)),
    Fault("nan-swallowed", "NaN becomes 0",
          lambda op: _gives(np.isnan)(op) or op.name in ("sum", "prod", "amax", "amin", "cumsum",
                                                         "cumprod", "sort"), _after(_no_nan)),
    Fault("minus-zero-lost", "-0.0 becomes 0.0",
          lambda op: op.name not in ("maximum", "minimum", "relu")
          and _gives(lambda v: (v == 0) & np.signbit(v))(op), _after(_no_minus_zero)),
    Fault("infinity-lost", "an infinity becomes the largest number", _gives(np.isinf),
          _after(_finite)),
    Fault("saturates", "whole numbers do not wrap around", _named(*_EXACT), _saturates),
    Fault("through-float", "whole numbers pass through floats",
          _named("add", "sub", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor",
                 "bitwise_not", "eq", "lt", "le", "neg", "abs", "mul"), _before(_through_float)),
    Fault("ignores-offset", "inputs are read from the start of their memory", _takes_tensors,
          _before(_no_offset)),
    Fault("ignores-strides", "inputs are read as if dense", _takes_tensors, _before(_no_strides),
          shown_by=_with_steps(2)),
    Fault("stride-0-dense", "a stride of 0 is taken for a dense one",
          lambda op: op.kind in (*ELEMENTWISE, "reduce", "contract") or op.name == "copy",
          _before(_dense_zero), shown_by=_with_steps(0)),
    Fault("writes-dense", "outputs are written as if dense",
          _named("fill", "copy"), _writes_dense),
    Fault("swapped", "the operands are swapped", _named(*_IRREVERSIBLE), _swapped),
    Fault("writes-to-input", "an input is changed", _takes_tensors, _writes_input),
    Fault("cached-result", "the first result is given again", _takes_tensors, _cached),
    Fault("clears-first", "the output is cleared before the inputs are read",
          lambda op: op.kind == "elementwise" and op.inplace and op.required,
          _clears_first),
    Fault("half-up", "rounds halves up", _named("round"), _half_up),
    Fault("other-comparison", "< for <= and the like", _named("lt", "le", "eq"), _other_compare),
    Fault("index-off-by-one", "indices are one too large",
          _named("gather", "scatter", "scatter_add"), _index_off),
    Fault("collisions-lost", "of several values for one place one arrives",
          _named("scatter_add"), _collisions),
    Fault("unstable", "equal elements change their order", _named("sort"), _unstable),
    Fault("nan-first", "NaN sorts before all numbers", _named("sort"), _nan_least),
    Fault("last-tie", "of equal extremes the last", _named("argmax", "argmin"), _last_tie),
    Fault("rounds-each-term", "accumulates in the dtype of the input",
          _named("sum", "matmul", "cumsum"), _rounds_each),
    Fault("rounds", "float to integer rounds", _named("copy"), _rounds),
    Fault("bool-by-truncation", "0.5 becomes False", _named("copy"), _truncates_to_bool),
    Fault("offset-not-advanced", "every draw is the first", _named("random_bits"),
          _seedless("offset", lambda value: 0)),
    Fault("seed-cut", "only the low half of the seed counts", _named("random_bits"),
          _seedless("seed", lambda value: value & 0xFFFFFFFF)),
    Fault("offset-cut", "only the low 32 bits of the offset count", _named("random_bits"),
          _seedless("offset", lambda value: value & 0xFFFFFFFF)),
)  # fmt: skip
