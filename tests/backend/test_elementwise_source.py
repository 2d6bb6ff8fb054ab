"""Kernels made from the expression table, compiled as C, against the records' references."""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import (
    COMPILER,
    Launch,
    compiled,
    compiled_source,
    elementwise_names,
    kernel_name,
    program_source,
    view_of,
)

from dovetail import dtypes as d
from dovetail.backend import C99, EXPRESSIONS, Form, elementwise_source, form_of
from dovetail.backend.dialect import Reports
from dovetail.backend.source import DENSE
from dovetail.errors import Unsupported
from dovetail.ops.schema import REGISTRY, OpDef

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler here")
inf, nan = float("inf"), float("nan")
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -0.5, -1.5, 1e-3, 5.25, -7.0, 3.0, inf, -inf, nan)
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
TINY = {"float64": 2.0**-1022, "float32": 2.0**-126, "float16": 2.0**-14, "bfloat16": 2.0**-126}

# The records' names in the table that are another form of one operator, with its attributes.
FUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("relu", {}),
    "sigmoid": ("sigmoid", {}),
    "silu": ("silu", {}),
    "gelu": ("gelu", {"approximate": "none"}),
    "gelu_tanh": ("gelu", {"approximate": "tanh"}),
    "leaky_relu": ("leaky_relu", {"negative_slope": 0.125}),
    "elu": ("elu", {"alpha": 1.5, "scale": 1.25, "input_scale": 0.5}),
    "hardtanh": ("hardtanh", {"min_val": 1, "max_val": 2}),
    "hardsigmoid": ("hardsigmoid", {}), "hardswish": ("hardswish", {}), "mish": ("mish", {}),
    "softplus": ("softplus", {"beta": 2.0, "threshold": 5.0}), "logsigmoid": ("logsigmoid", {}),
    "rsqrt": ("rsqrt", {}), "square": ("square", {}), "reciprocal": ("reciprocal", {}),
    "sign": ("sign", {}), "ceil": ("ceil", {}), "trunc": ("trunc", {}), "exp2": ("exp2", {}),
    "log2": ("log2", {}), "log10": ("log10", {}), "tan": ("tan", {}), "sinh": ("sinh", {}),
    "cosh": ("cosh", {}), "asin": ("asin", {}), "acos": ("acos", {}), "atan": ("atan", {}),
    "ne": ("ne", {}), "gt": ("gt", {}), "ge": ("ge", {}), "logical_and": ("logical_and", {}),
    "logical_or": ("logical_or", {}), "logical_xor": ("logical_xor", {}),
    "logical_not": ("logical_not", {}), "isnan": ("isnan", {}), "isinf": ("isinf", {}),
    "isfinite": ("isfinite", {}), "asinh": ("asinh", {}), "acosh": ("acosh", {}),
    "atanh": ("atanh", {}), "erfc": ("erfc", {}), "lgamma": ("lgamma", {}), "fmax": ("fmax", {}),
    "digamma": ("digamma", {}), "erfinv": ("erfinv", {}),
    "fmin": ("fmin", {}), "copysign": ("copysign", {}), "fmod": ("fmod", {}),
    "hypot": ("hypot", {}), "gcd": ("gcd", {}), "lcm": ("lcm", {}),
    "xlogy": ("xlogy", {}), "logaddexp": ("logaddexp", {}),
    "threshold": ("threshold", {"threshold": 1, "value": 2}), "softsign": ("softsign", {}),
    "hardshrink": ("hardshrink", {"lambd": 0.5}), "softshrink": ("softshrink", {"lambd": 0.5}),
}  # fmt: skip
CANCELLING = {"gelu", "gelu_tanh"}
"""Their references lose digits below -4, where the expression does not."""

NAMES = {**{name: (name, {}) for name in elementwise_names()}, **FUSED}
CASES = [
    (name, kind) for name in NAMES for kind in EXPRESSIONS[name].dtypes
    if kind in REGISTRY[NAMES[name][0]].accepts
]  # fmt: skip


def values(op: OpDef, kind: d.dtype) -> np.ndarray:
    """Values worth trying: special ones, the largest and smallest, a spread."""
    if kind is d.bool_:
        return np.array([False, True])
    if kind.category == 1:
        info = np.iinfo(kind.numpy)
        small = np.arange(-9, 10) if kind.is_signed else np.arange(0, 19)
        edge = [info.min, info.min + 1, info.max - 1, info.max, info.bits, info.bits - 1]
        return np.concatenate([small, np.array(edge, dtype=object)]).astype(kind.numpy)
    rng = np.random.default_rng(7)
    if kind.is_complex:
        z = np.exp(rng.uniform(-2, 1.5, 24)) * np.exp(1j * rng.uniform(-3, 3, 24))
        return np.append(z, [1, -2, 3j, -0.5j]).astype(kind.numpy)
    return np.concatenate([SPECIAL, rng.uniform(-4, 4, 12)]).astype(kind.numpy)


def operands(name: str, kind: d.dtype) -> list[np.ndarray]:
    """Every combination of the values, one row per operand, but for what the host refuses."""
    op = REGISTRY[NAMES[name][0]]
    count = EXPRESSIONS[name].inputs
    row = values(op, kind)
    if name == "sign":  # of NaN it is 0, and NumPy's is NaN
        row = row[row == row]
    if count == 3:
        truth = np.array([True, False, True, False])
        grid = np.meshgrid(np.arange(4), *[np.arange(len(row))] * 2, indexing="ij")
        return [truth[grid[0].ravel()], row[grid[1].ravel()], row[grid[2].ravel()]]
    picks = np.array(list(itertools.product(range(len(row)), repeat=count))).reshape(-1, count).T
    made = [row[pick] for pick in picks]
    if count == 2 and kind.category == 1 and name in ("floor_divide", "remainder", "pow"):
        kept = made[1] > 0 if name == "pow" else made[1] != 0
        made = [x[kept] for x in made]
    if name == "lcm":  # what does not fit is undefined
        kept = np.all(np.abs(np.asarray(made, np.float64)) <= 11, axis=0)
        made = [x[kept] for x in made]
    return made


def expected(name: str, arrays: list[np.ndarray], kind: d.dtype) -> np.ndarray:
    """The record's reference, in float64 for floats and as it is for whole numbers."""
    op_name, attributes = NAMES[name]
    op = REGISTRY[op_name]
    wide: Any = np.complex128 if kind.is_complex else np.float64
    with np.errstate(all="ignore"):
        if kind.category >= 2:
            arrays = [a if a.dtype == bool else a.astype(wide) for a in arrays]
        assert op.reference is not None
        if name == "remainder" and kind.category == 2:
            return np.asarray(np.where(np.isinf(arrays[1]) & np.isfinite(arrays[0]),
                                       _endless(*arrays), op.reference(*arrays)))  # fmt: skip
        return np.asarray(op.reference(*arrays, **attributes))


def _endless(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Remainder by infinity, as IEEE 754 and PyTorch have it: x, or y where the signs differ."""
    return np.where((x == 0) | (np.sign(x) == np.sign(y)), x, y)


def result_dtype(name: str, kind: d.dtype) -> d.dtype:
    rule = EXPRESSIONS[name].result
    return d.bool_ if rule == "bool" else kind.to_real() if rule == "real" else kind


def spread(array: np.ndarray, how: int) -> np.ndarray:
    """The same values with gaps, an offset and (for ``how`` 1) the dims' order reversed."""
    n = len(array) // 6 * 6
    block = array[:n].reshape(2, 3, -1)
    if how == 2:
        return block
    order = (2, 1, 0) if how else (0, 1, 2)
    shape = [block.shape[i] for i in order]
    room = np.zeros((shape[0], shape[1] + 1, 2 * shape[2]), array.dtype)
    inside = room[:, 1:, ::2].transpose(np.argsort(order).tolist())
    inside[...] = block
    return inside


class Trial:
    """Both launches of a case: dense, and strided with offsets."""

    def __init__(self, name: str, kind: d.dtype) -> None:
        attributes = tuple(NAMES[name][1].get(p) for p in EXPRESSIONS[name].parameters)
        dense = operands(name, kind)
        out_type = result_dtype(name, kind).numpy
        laid = [spread(x, how) for how, x in enumerate(dense)]
        self.launches = [
            Launch(name, xs, out, attributes)
            for xs, out in (
                (dense, np.zeros(dense[0].shape, out_type)),
                (laid, spread(np.zeros(dense[0].shape, out_type), 0)),
            )
        ]
        self.expected = [expected(name, list(x.inputs), kind) for x in self.launches]


TRIALS = {(name, kind.name): Trial(name, kind) for name, kind in CASES}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    launches = [launch for trial in TRIALS.values() for launch in trial.launches]
    return compiled(launches, tmp_path_factory.mktemp("kernels"))


@needs_compiler
@pytest.mark.parametrize(("name", "kind"), [(n, k.name) for n, k in CASES])
def test_values(name: str, kind: str, library: Any) -> None:
    trial = TRIALS[name, kind]
    forms = [launch.form for launch in trial.launches]
    assert set(forms[0].steps) == {"1"}
    assert kind == "bool" or forms[1].has_offsets
    op = REGISTRY[NAMES[name][0]]
    for launch, reference in zip(trial.launches, trial.expected, strict=True):
        before = [x.copy() for x in launch.inputs]
        launch.run(library)
        for x, was in zip(launch.inputs, before, strict=True):
            assert x.tobytes() == was.tobytes(), "an input was written to"
        check(name, launch, reference, op, kind)


def check(name: str, launch: Launch, reference: np.ndarray, op: OpDef, kind: str) -> None:
    out = launch.out
    if out.dtype.kind in "biu":
        assert out.tolist() == reference.astype(out.dtype).tolist()
        return
    real = kind.replace("complex128", "float64").replace("complex64", "float32")
    made = out.astype(reference.dtype)
    factor = 8 if reference.dtype.kind == "c" else 1
    with np.errstate(all="ignore"):
        rounded = reference.astype(out.dtype).astype(reference.dtype)  # overflow as the dtype does
        ok = (made == rounded) | (np.isnan(made) & np.isnan(rounded))
        size = np.maximum(np.abs(reference), TINY[real])
        if name in CANCELLING:
            size = np.maximum(size, 1.0)
        ok |= np.abs(made - reference) <= factor * max(op.tolerance.ulp, 1.0) * EPS[real] * size
    wrong = [tuple(x[i] for x in launch.inputs) for i in zip(*np.nonzero(~ok), strict=True)]
    first = tuple(np.argwhere(~ok)[0]) if wrong else ()
    assert not wrong, (wrong[0], made[first], reference[first], len(wrong))


@needs_compiler
def test_copy_casts(tmp_path: Path) -> None:
    kinds = [d.bool_, d.uint8, d.int8, d.int64, d.float16, d.bfloat16, d.float64, d.complex64]
    launches = []
    for source, target in itertools.product(kinds, kinds):
        x = np.array([0, 1, 2, 100, 1.5, 0.25], np.float64).astype(source.numpy)
        if source.is_signed and source.category:
            x[2] = -2
        launches.append(Launch("copy", [x], np.zeros(len(x), target.numpy)))
    library = compiled(launches, tmp_path)
    for launch in launches:
        launch.run(library)
        source, target = launch.inputs[0], launch.out.dtype
        if target.kind == "b":
            wanted = source != 0
        else:
            real = source.real if source.dtype.kind == "c" and target.kind != "c" else source
            if target == np.uint8:  # -2.0 becomes 254, as PyTorch has it
                real = real.astype(np.int64)
            wanted = real.astype(target)
        assert launch.out.tolist() == wanted.tolist(), launch.request


@needs_compiler
def test_whole_numbers_divided_by_zero_do_not_stop_the_program(tmp_path: Path) -> None:
    x, zero = np.array([5, -5, 0], np.int32), np.zeros(3, np.int32)
    launches = [Launch(n, [x, zero], np.zeros(3, np.int32)) for n in ("floor_divide", "remainder")]
    library = compiled(launches, tmp_path)
    for launch in launches:
        launch.run(library)
    assert launches[0].out.tolist() == [-1, -1, -1]
    assert launches[1].out.tolist() == [5, -5, 0]


@needs_compiler
def test_powers_of_whole_numbers(tmp_path: Path) -> None:
    x = np.array([2, 1, -1, -1, -2, 3, 0], np.int64)
    y = np.array([-1, -3, -3, -2, 63, 41, 0], np.int64)
    launch = Launch("pow", [x, y], np.zeros(7, np.int64))
    launch.run(compiled([launch], tmp_path))
    assert launch.out.tolist() == [0, 1, -1, 1, -(2**63), 3**41 - 2**64 * round(3**41 / 2**64), 1]


@needs_compiler
def test_half_precision_of_every_number(tmp_path: Path) -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    for kind in (d.float16, d.bfloat16):
        numbers = every.view(kind.numpy)
        wide = np.zeros(len(every), np.float32)
        up = Launch("copy", [numbers], wide)
        # Halfway between two neighbours: ties must go to the even one.
        low = np.sort(wide_of(numbers))
        ties = ((low[:-1].astype(np.float64) + low[1:]) / 2).astype(np.float32)
        near = np.concatenate([ties, np.nextafter(ties, -inf), np.nextafter(ties, inf)])
        near = np.concatenate([near, [65519.0, 65520.0, 3e38, inf, -inf]]).astype(np.float32)
        down = Launch("copy", [near], np.zeros(len(near), kind.numpy))
        folder = tmp_path / kind.name
        folder.mkdir()
        library = compiled([up, down], folder)
        up.run(library)
        np.testing.assert_array_equal(wide, numbers.astype(np.float32))
        down.run(library)
        with np.errstate(all="ignore"):
            wanted = near.astype(kind.numpy)
        assert down.out.tobytes() == wanted.tobytes()


def wide_of(numbers: np.ndarray) -> np.ndarray:
    """The finite ones as float32."""
    wide = numbers.astype(np.float32)
    return wide[np.isfinite(wide)]


@needs_compiler
def test_an_output_may_be_its_input(tmp_path: Path) -> None:
    x = np.arange(10.0)
    launch = Launch("mul", [x, x], x)
    launch.run(compiled([launch], tmp_path))
    assert x.tolist() == [i * i for i in range(10)]


@needs_compiler
def test_wide_indices_and_several_loops(tmp_path: Path) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)[:, :, ::2]
    out = np.zeros((2, 3, 2))
    launch = Launch("neg", [x], out)
    form = Form(launch.form.steps, launch.form.has_offsets, is_wide=True)
    launch.form = form
    source = program_source([launch.request], C99)
    assert "unsigned long long i = 0" in source
    assert kernel_name("neg", (d.float64,), d.float64, form) in source
    launch.run(compiled_source(source, tmp_path))
    assert out.tolist() == (-x).tolist()


def test_forms() -> None:
    x = np.zeros((3, 4), np.float32)
    assert form_of(view_of(x), view_of(x)) == (DENSE[2], (12,))
    one = np.broadcast_to(x[0, :1], (3, 4))
    assert form_of(view_of(x), view_of(one)) == (Form(("1", "0")), (12,))
    assert form_of(view_of(x.T), view_of(x.T))[0] == DENSE[2]
    assert form_of(view_of(x[:, 1:]), view_of(x[:, 1:]))[0] == Form(("s1", "s1"), True)
    dense = elementwise_source("exp", (d.float32,), d.float32, DENSE[2], C99)
    body = dense[dense.index("void exp") :]
    assert "stride" not in body
    assert "rest" not in body


def test_mistakes() -> None:
    with pytest.raises(Unsupported, match=r"must be for one of .*float32.*, got int32"):
        elementwise_source("exp", (d.int32,), d.int32, DENSE[2], C99)
    with pytest.raises(ValueError, match="got 'nonsense'"):
        elementwise_source("nonsense", (d.int32,), d.int32, DENSE[2], C99)
    with pytest.raises(ValueError, match="must have 2 inputs and a form of one more, got 1 and 2"):
        elementwise_source("add", (d.int32,), d.int32, DENSE[2], C99)


TELLING = replace(
    C99,
    reports=Reports(
        "static void tell(unsigned int *faults, unsigned int of) { faults[of] += 1; }",
        "if ({wrong}) tell(faults, refused + {which});",
    ),
)
"""A dialect in which kernels count what they refuse, by the refusal."""


def _told(folder: Path, name: str, x: np.ndarray, y: np.ndarray) -> list[int]:
    """How often a kernel told of each refusal; its first has the number 1."""
    kind = d.from_numpy_dtype(x.dtype)
    folder.mkdir()
    library = compiled_source(
        program_source([(name, (kind, kind), kind, DENSE[3], None)], TELLING), folder
    )
    out, faults = np.zeros_like(x), np.zeros(4, np.uint32)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (out, x, y, faults)]
    kernel = getattr(library, kernel_name(name, (kind, kind), kind, DENSE[3]))
    kernel(*pointers, ctypes.c_uint32(x.size), ctypes.c_uint32(1))
    return faults.tolist()


@needs_compiler
@pytest.mark.parametrize("name", ["floor_divide", "remainder"])
def test_divisors_that_are_zero_are_told_of(name: str, tmp_path: Path) -> None:
    x, y = np.arange(40, dtype=np.int32), np.arange(1, 41, dtype=np.int32)
    assert _told(tmp_path / "none", name, x, y) == [0, 0, 0, 0]
    y[[3, 39]] = 0
    assert _told(tmp_path / "two", name, x, y) == [0, 1, 0, 0]
    assert "tell" not in elementwise_source(name, (d.float32,) * 2, d.float32, DENSE[3], TELLING)
    assert "faults" not in elementwise_source(name, (d.int32,) * 2, d.int32, DENSE[3], C99)


@needs_compiler
@pytest.mark.parametrize("wrong", [-0.25, 1.25, nan, inf])
def test_no_probabilities_are_told_of(wrong: float, tmp_path: Path) -> None:
    good, bad = np.array([0.0, 0.5, 1.0]), np.array([0.0, wrong, 1.0])
    name = "binary_cross_entropy_terms"
    assert _told(tmp_path / "none", name, good, good) == [0, 0, 0, 0]
    assert _told(tmp_path / "input", name, bad, good) == [0, 1, 0, 0]
    assert _told(tmp_path / "target", name, good, bad) == [0, 0, 1, 0]
    assert _told(tmp_path / "both", name, bad, bad) == [0, 1, 1, 0]
