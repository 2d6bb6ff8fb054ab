"""Every operator against its own record: reference values, data-free shapes, variants, text.

These need no PyTorch; the parity tests check the references themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import dtypes as d
from dovetail.fallback import permitted
from dovetail.ops.schema import REGISTRY, OpDef, Sample

PUBLIC = [
    op
    for name, op in sorted(REGISTRY.items())
    if op.function is not None and (op.public or name in dt.special.__all__)
]
SAMPLED = [op for op in PUBLIC if op.samples is not None]
REFERENCED = [op for op in SAMPLED if op.reference is not None]
VARIANTS = [op for op in SAMPLED if op.inplace]
SPECIAL = [op for op in REFERENCED if op.special]

PRIMITIVES = """
fill copy arange random_bits
neg abs floor round exp expm1 log log1p sqrt sin cos tanh erf bitwise_not
add sub mul div floor_divide remainder pow maximum minimum atan2
bitwise_and bitwise_or bitwise_xor shift_left shift_right
eq lt le where sum prod amax amin argmax argmin cumsum cumprod sort
gather scatter scatter_add nonzero matmul
"""

# relative error allowed per dtype for results of one elementwise step; records scale it by ulp
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


@pytest.fixture(autouse=True)
def optional_kernels() -> Iterator[None]:
    """A device need not have them; the host's serve without a warning."""
    with permitted(op.name for op in REGISTRY.values() if op.is_optional):
        yield


def convert(value: Any, device: Any) -> Any:
    if isinstance(value, np.ndarray):
        return dt.tensor(value, device=device)
    if isinstance(value, (list, tuple)):
        return type(value)(convert(v, device) for v in value)
    return value


def wide(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "fcV" or value.dtype == d.bfloat16.numpy:
            return value.astype(np.complex128 if value.dtype.kind == "c" else np.float64)
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(wide(v) for v in value)
    return value


def run(op: OpDef, sample: Sample, device: Any) -> Any:
    kwargs = {k: convert(v, device) for k, v in sample.kwargs.items()}
    assert op.function is not None
    return op.function(*convert(sample.args, device), **kwargs)


def outputs(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def host(x: Any) -> np.ndarray:
    x = x.detach().cpu()
    return (x.double() if x.dtype.category == 2 else x).numpy()


def usual(op: OpDef) -> d.dtype:
    """float32, or int64 for operators on whole numbers."""
    return d.float32 if d.float32 in op.accepts else d.int64


def samples(op: OpDef, dtype: d.dtype) -> list[Sample]:
    assert op.samples is not None
    return op.samples(np.random.default_rng(7), dtype)


def close(op: OpDef, ours: Any, expected: Any, what: str) -> None:
    expected = np.asarray(expected)
    made = host(ours)
    assert made.shape == expected.shape, f"{what}: shape {made.shape}, reference {expected.shape}"
    eps = EPS.get(ours.dtype.name)
    if eps is None:
        if made.dtype.kind == "c":
            np.testing.assert_allclose(made, expected, 1e-5, 1e-6, err_msg=what)
        else:
            np.testing.assert_array_equal(made, expected.astype(made.dtype), err_msg=what)
        return
    rtol = max(op.tolerance.ulp, 1.0) * eps * (8 if op.tolerance.contraction else 1)
    scale = float(np.nanmax(np.abs(expected[np.isfinite(expected)]), initial=1.0))
    np.testing.assert_allclose(made, expected, rtol, rtol * scale, err_msg=what)


@pytest.mark.parametrize("dtype", [d.float64, d.float32, d.bfloat16, d.int64, d.bool_], ids=str)
@pytest.mark.parametrize("op", REFERENCED, ids=lambda op: op.name)
def test_reference(op: OpDef, dtype: d.dtype, device: Any) -> None:
    if dtype not in op.accepts:
        return
    assert op.reference is not None
    for i, sample in enumerate(samples(op, dtype)):
        try:
            result = run(op, sample, device)
        except (RuntimeError, TypeError, IndexError) as error:
            if dtype.category >= 2:
                raise AssertionError(f"{op.name} sample {i}: {error}") from error
            continue  # integers and bools that the operator refuses; parity checks the refusal
        kwargs = {k: wide(v) for k, v in sample.kwargs.items() if not isinstance(v, d.dtype)}
        with np.errstate(all="ignore"):
            arguments = wide(sample.args)
            if op.kind in ("elementwise", "compare") and outputs(result)[0].dtype.category == 2:
                arguments = tuple(np.asarray(a, np.float64) for a in arguments)
            expected = op.reference(*arguments, **kwargs)
        expected = expected if isinstance(expected, (tuple, list)) else (expected,)
        for j, (a, b) in enumerate(zip(outputs(result), expected, strict=False)):
            close(op, a, b, f"{op.name}, {dtype.name}, sample {i} {sample.name}, output {j}")


@pytest.mark.parametrize("op", SPECIAL, ids=lambda op: op.name)
def test_special_values(op: OpDef, device: Any) -> None:
    assert op.reference is not None
    values = np.array(op.special, np.float64)
    grids = np.meshgrid(*[values] * len(op.inputs), indexing="ij")
    arguments = [np.ascontiguousarray(g) for g in grids]
    with np.errstate(all="ignore"):
        expected = op.reference(*arguments)
    result = run(op, Sample(tuple(arguments)), device)
    made = host(result)
    expected = np.asarray(expected)
    np.testing.assert_allclose(
        made.astype(np.float64), expected.astype(np.float64), 1e-12, 1e-12, err_msg=op.name
    )
    if result.dtype.category == 2:
        zero = (expected == 0) & ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(made[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("op", SAMPLED, ids=lambda op: op.name)
def test_shapes_without_data(op: OpDef, device: Any) -> None:
    if op.needs_data or op.kind == "random":
        return
    for i, sample in enumerate(samples(op, usual(op))):
        result = outputs(run(op, sample, device))
        try:
            ghost = outputs(run(op, sample, "meta"))
        except NotImplementedError as error:
            if "meta" not in str(error):
                raise
            continue  # its decomposition looks at data
        for a, b in zip(result, ghost, strict=True):
            if isinstance(a, dt.Tensor):
                assert (tuple(a.shape), a.dtype) == (tuple(b.shape), b.dtype), f"sample {i}"
                assert b.device.type == "meta"


@pytest.mark.parametrize("op", VARIANTS, ids=lambda op: op.name)
def test_in_place_equals_out_of_place(op: OpDef, device: Any) -> None:
    executed = 0
    for i, sample in enumerate(samples(op, usual(op))):
        expected = run(op, sample, device)
        arguments = convert(sample.args, device)
        target = arguments[0]
        fits = isinstance(target, dt.Tensor) and target.shape == expected.shape
        if not fits or not dt.can_cast(expected.dtype, target.dtype):
            continue
        kwargs = {k: convert(v, device) for k, v in sample.kwargs.items()}
        version = target._version
        in_place = getattr(dt.Tensor, op.name + "_", None) or getattr(dt, op.name + "_")
        made = in_place(target, *arguments[1:], **kwargs)
        assert made is target
        assert target._version > version
        np.testing.assert_array_equal(
            host(made), host(expected.to(target.dtype)), err_msg=f"{op.name} sample {i}"
        )
        executed += 1
    assert executed, f"{op.name}: no sample fits in place"


@pytest.mark.parametrize("op", PUBLIC, ids=lambda op: op.name)
def test_documented(op: OpDef) -> None:
    assert op.function is not None
    assert (op.function.__doc__ or "").strip(), f"{op.name} has no docstring"
    assert hasattr(dt if op.public else dt.special, op.name) or op.name in (
        "shift_left",
        "shift_right",
    )


def test_every_required_primitive_is_there() -> None:
    required = {op.name for op in REGISTRY.values() if op.required}
    expected = set(PRIMITIVES.split())
    assert len(expected) == 51
    assert required == expected
