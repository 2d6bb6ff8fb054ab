"""Every program that the suite's samples ask for is compiled by NVRTC; none of them is run."""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nvrtc
import pytest
from stand_in import StandIn, device_on

import dovetail as dt
import dovetail_kernels
from dovetail import dtypes as d
from dovetail.backend import registry
from dovetail.ops.layers.gradient_norms import unscale_all

Program = tuple[str, tuple[str, ...]]
"""(text, options)."""

NAME = "compiled"
ARCHITECTURES = {70: 12, 75: 13, 80: 13, 86: 13, 89: 13}
"""Besides sm_90: by number, the version of CUDA whose compiler knows it."""
OTHERS = (d.float64, d.float16, d.bfloat16, d.complex64, d.int64, d.int16, d.uint8, d.bool_)
STRIDED = ("add", "where", "exp", "copy", "sum", "softmax", "matmul")
"""Operators that are called until they get kernels for their layouts."""

SOURCES = {
    path.stem: path.read_text(encoding="utf-8").splitlines()[0]
    for path in (Path(dovetail_kernels.__file__).parent / "src").glob("*.cl")
}
"""The first line of every file of kernels."""


class _Zeros(StandIn):
    """Whose memory reads as zeros: loops as long as a value that nobody computed end at once."""

    def read(self, target: int, source: int, nbytes: int, stream: int) -> None:
        ctypes.memset(target, 0, nbytes)


def _needed(major: int) -> object:
    found = nvrtc.library(major)
    if found is None:
        reason = f"{nvrtc.PACKAGES[major]}, the compiler, is not installed"
        promised = os.environ.get("DOVETAIL_PROMISED_DEVICES", "").split(",")
        (pytest.fail if "nvrtc" in promised else pytest.skip)(reason)
    return found


def _beside() -> Iterator[Callable[[str], Any]]:
    """Calls that no operator's samples make: draws, also captured ones, steps of optimizers, and
    sizes that have kernels of their own."""
    for dtype in (dt.float32, dt.float64, dt.bfloat16):
        yield lambda device, dtype=dtype: dt.rand(5, device=device, dtype=dtype)
        yield lambda device, dtype=dtype: dt.randn(5, device=device, dtype=dtype)
        yield lambda device, dtype=dtype: dt.nn.functional.dropout(
            dt.ones(5, device=device, dtype=dtype)
        )
        yield lambda device, dtype=dtype: dt.nn.functional.feature_alpha_dropout(
            dt.ones(2, 3, 5, device=device, dtype=dtype), training=True
        )
        yield lambda device, dtype=dtype: dt.ones(5, device=device, dtype=dtype).uniform_(-1, 2)
        yield lambda device, dtype=dtype: dt.ones(5, device=device, dtype=dtype).normal_(1, 2)
        yield lambda device, dtype=dtype: dt.ones(5, device=device, dtype=dtype).random_(9)
        yield lambda device, dtype=dtype: dt.ones(5, device=device, dtype=dtype).bernoulli()
        for law in ("exponential_", "cauchy_", "log_normal_"):
            yield lambda device, dtype=dtype, law=law: getattr(
                dt.ones(5, device=device, dtype=dtype), law
            )()
        yield lambda device, dtype=dtype: dt.ones(5, device=device, dtype=dtype).geometric_(0.5)
        yield lambda device, dtype=dtype: dt.poisson(dt.ones(5, device=device, dtype=dtype))
        for replacement in (False, True):
            yield lambda device, dtype=dtype, r=replacement: dt.ones(
                5, device=device, dtype=dtype
            ).multinomial(2, r)
    yield lambda device: dt.randint(0, 9, (5,), device=device)
    yield lambda device: dt.randperm(5, device=device)
    yield lambda device: dt.ones(5, device=device, dtype=dt.int64).geometric_(0.5)
    for dtype in (dt.float32, dt.float64):
        yield lambda device, dtype=dtype: dt.binomial(
            dt.ones(5, device=device, dtype=dtype), dt.ones(5, device=device, dtype=dtype)
        )
    yield lambda device: dt.nn.functional.rrelu(dt.ones(5, device=device), training=True)

    def captured(device: str) -> None:
        module = getattr(dt, NAME)
        with module.graph(module.CUDAGraph()):
            dt.rand(5, device=device)
            dt.randn(5, device=device)
            dt.nn.functional.dropout(dt.ones(5, device=device))
            dt.full((5,), 0.5, device=device).bernoulli()

    def lost(device: str) -> None:
        x = dt.ones(4, 200, device=device, requires_grad=True)
        target = dt.zeros(4, dtype=dt.int64, device=device)
        dt.nn.functional.cross_entropy(x, target).backward()

    def attended(device: str, dtype: Any, size: int, offset: int) -> None:
        flat = dt.ones(offset + 2 * 70 * size, device=device, dtype=dtype, requires_grad=True)
        x = flat[offset:].view(2, 70, size)
        dt.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True).sum().backward()

    def spectral(device: str) -> None:
        layer = dt.nn.utils.parametrizations.spectral_norm(dt.nn.Linear(5, 6)).to(device)
        layer(dt.ones(2, 5, device=device))

    yield captured
    yield spectral
    for size, offset in ((64, 0), (64, 1), (128, 0), (33, 0)):
        yield lambda device, s=size, o=offset: attended(device, dt.float32, s, o)
    for dtype in (dt.float64, dt.bfloat16, dt.float16):
        yield lambda device, dtype=dtype: attended(device, dtype, 64, 0)

    def dropped(device: str, dtype: Any, rows: int) -> None:
        q = dt.ones(2, 4, rows, 8, device=device, dtype=dtype, requires_grad=True)
        k = dt.ones(2, 2, 70, 8, device=device, dtype=dtype, requires_grad=True)
        dt.nn.functional.scaled_dot_product_attention(
            q, k, k, dropout_p=0.1, is_causal=True, enable_gqa=True
        ).sum().backward()

    for dtype, rows in ((dt.float32, 5), (dt.float32, 70), (dt.bfloat16, 5), (dt.float64, 70)):
        yield lambda device, dtype=dtype, rows=rows: dropped(device, dtype, rows)
    yield lost
    yield lambda device: dt.linspace(0, 1, 5, device=device)
    yield lambda device: dt.logspace(0, 1, 5, device=device)
    yield lambda device: dt.ones(5000, device=device).cummax(0)
    yield lambda device: dt.ones(4, 200, device=device).softmax(-1)
    yield lambda device: dt.ones(4, 200, device=device).sum(-1)
    yield lambda device: dt.nn.functional.batch_norm(
        dt.ones(64, 8, 64, 64, device=device), None, None, training=True
    )
    yield lambda device: dt.nn.functional.batch_norm(
        dt.ones(4, 3, device=device), *(dt.ones(3, device=device) for _ in range(2)), training=True
    )

    def pooled(device: str) -> None:
        x = dt.ones(2, 4, 64, 65, device=device, requires_grad=True)
        for kind in ("max", "avg"):
            getattr(dt.nn.functional, f"{kind}_pool2d")(x, 3, 2, 1).sum().backward()

    yield pooled
    yield lambda device: dt.nn.functional.conv2d(  # by Winograd's filtering
        dt.ones(2, 128, 28, 28, device=device), dt.ones(128, 128, 3, 3, device=device), padding=1
    )

    def normalised(device: str, dtype: Any, name: str, shape: tuple[int, ...], size: Any) -> None:
        x = dt.ones(shape, device=device, dtype=dtype, requires_grad=True)
        getattr(dt.nn.functional, name)(x, size).sum().backward()

    for dtype in (dt.float32, dt.float64, dt.bfloat16):
        for name in ("layer_norm", "rms_norm"):
            yield lambda device, k=dtype, n=name: normalised(device, k, n, (4, 200), (200,))
        yield lambda device, k=dtype: normalised(device, k, "group_norm", (4, 8, 40, 40), 2)
    for layer, shape in ((dt.nn.BatchNorm1d, (4, 3)), (dt.nn.BatchNorm2d, (64, 3, 64, 64))):
        yield lambda device, layer=layer, shape=shape: layer(3, device=device)(
            dt.ones(shape, device=device)
        )
    rules = (
        ("SGD", {}), ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        ("Adam", {}), ("Adam", {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
        ("AdamW", {"capturable": True}), ("AdamW", {"fused": True, "amsgrad": True}),
        ("Adamax", {}), ("NAdam", {}), ("RAdam", {}), ("Adagrad", {}), ("Adadelta", {}),
        ("RMSprop", {"centered": True, "momentum": 0.9}), ("Rprop", {}), ("ASGD", {}),
    )  # fmt: skip

    def stepped(device: str, dtype: Any, kind: str, options: Any) -> None:
        x = dt.ones(5, device=device, dtype=dtype, requires_grad=True)
        x.grad = dt.ones(5, device=device, dtype=dtype)
        rule = getattr(dt.optim, kind)([x], lr=0.1, **options)
        for _ in range(2):
            rule.step()

    def clipped(device: str, dtype: Any, count: int, size: int) -> None:
        made = [dt.ones(size, device=device, dtype=dtype) for _ in range(count)]
        for x in made:
            x.grad = dt.ones(size, device=device, dtype=dtype)
        for order in (1.0, 2.0, float("inf")):
            dt.nn.utils.clip_grad_norm_(made, 1.0, order)
        dt.nn.utils.clip_grad_value_(made, 1.0)
        unscale_all([x.grad for x in made], *(dt.zeros((), device=device) for _ in range(2)))

    for dtype in (dt.float32, dt.float64, dt.bfloat16, dt.float16):
        for count, size in ((3, 5), (40, 5), (2, 90000)):
            yield lambda device, d=dtype, c=count, s=size: clipped(device, d, c, s)
    yield lambda device: dt.nn.InstanceNorm1d(3, track_running_stats=True, device=device)(
        dt.ones(4, 3, 5, device=device)
    )
    for shape in ((4, 3), (64, 1, 300)):  # one weight of few elements and of many
        yield (
            lambda device, shape=shape: (
                dt.nn.PReLU(device=device)(dt.ones(shape, device=device)).sum().backward()
            )
        )

    for kind, options in rules:
        for dtype in (dt.float32, dt.float64):
            yield lambda device, k=kind, o=options, dtype=dtype: stepped(device, dtype, k, o)


def _collected() -> dict[str, list[Program]]:
    """Programs by what asked for them: ``float32`` for all of its samples, ``others``."""
    from dovetail_conformance.calls import Call, operators, samples_of

    programs: dict[str, list[Program]] = {"float32": [], "others": []}
    seen: set[Program] = set()
    kind = "float32"

    def note(text: str, options: tuple[str, ...]) -> None:
        if (text, options) not in seen:
            seen.add((text, options))
            programs[kind].append((text, options))

    patch = pytest.MonkeyPatch()
    device = device_on(_Zeros(total=1 << 36, compiler=note), patch, NAME)
    calls = 0
    try:
        for each in _beside():
            each(f"{NAME}:0")
        for number, op in enumerate(operators()):
            work = []
            if d.float32 in op.accepts:
                work += [("float32", s, "contiguous") for s in samples_of(op, d.float32)]
            taken = [dtype for dtype in OTHERS if dtype in op.accepts]
            for dtype in {taken[(number + i) % len(taken)] for i in range(2) if taken}:
                work += [("others", s, "contiguous") for s in samples_of(op, dtype)[:1]]
            if op.name in STRIDED:
                work += [("patient", s, "transposed") for s in samples_of(op, d.float32)[:2]]
            for asked, sample, layout in work:
                kind = "float32" if asked == "patient" else asked
                device.patience = 0 if asked == "patient" else 1 << 30
                # Nothing is computed, so an operator that looks at a value may well refuse it.
                try:
                    Call.placed(op, sample, layout, f"{NAME}:0").run()
                except (RuntimeError, ValueError, IndexError, TypeError, ArithmeticError):
                    continue
                calls += 1
    finally:
        patch.undo()
        registry.unregister(NAME)
    assert calls > 2500
    return programs


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, list[Program]]]:
    """What the samples ask for."""
    _needed(13)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch = pytest.MonkeyPatch()
        patch.setenv("DOVETAIL_FALLBACK", "error")
        try:
            yield _collected()
        finally:
            patch.undo()


def _errors(major: int, architecture: str, programs: list[Program]) -> list[str]:
    """What the compiler says of those that it refuses."""
    compiler = _needed(major)

    def tried(program: Program) -> str:
        text, options = program
        try:
            code = nvrtc.compiled(compiler, text, (f"-arch={architecture}", *options))
        except nvrtc.CompileError as error:
            return f"{_source_of(text)}: {str(error)[:600]}"
        return "" if code else f"{_source_of(text)}: there is no code"

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return [said for said in pool.map(tried, programs) if said]


def _source_of(text: str) -> str:
    """The file of kernels that a program is made of; the last one is the main one."""
    found = [(text.rfind(line), name) for name, line in SOURCES.items() if line in text]
    return max(found)[1] if found else "expressions"


def _of_each_source(programs: dict[str, list[Program]]) -> dict[str, Program]:
    """The longest program of each file."""
    kept: dict[str, Program] = {}
    for program in programs["float32"] + programs["others"]:
        name = _source_of(program[0])
        if name not in kept or len(program[0]) > len(kept[name][0]):
            kept[name] = program
    return kept


def test_every_file_is_asked_for(programs: dict[str, list[Program]]) -> None:
    asked = set(_of_each_source(programs))
    assert asked >= {*SOURCES, "expressions"} - NOT_ASKED
    assert not asked & NOT_ASKED, "the list is stale"


NOT_ASKED = {
    "winograd", "reduce", "paired", "exponentials", "sides", "softmax_rows", "softmax_columns",
    "both_parts", "bytes", "gemm_direct", "conv_packed", "conv_padded", "conv_planes", "keys",
    "radix", "topk", "pick", "pool_max", "pool_average", "pool_divisor", "gemm_pairs", "nonzero",
    "conv_sum", "attention_rows", "attention_scores", "recurrent", "recurrent_values",
    "recurrent_cells", "recurrent_panels", "team", "lines", "fold", "powers", "mathematics",
    "mathematics_angles", "mathematics_powers", "mathematics_half", "mathematics_double",
    "mathematics_double_angles",
    "members", "mathematics_double_powers", "mathematics_gamma", "mathematics_double_gamma",
    "row_distances", "row_margins", "matrices", "lu_lanes", "lanes", "reflections", "rotations",
    "bincount", "found", "under_mask", "attention_blocks", "attention_noise",
    "attention_operands", "philox", "drawn", "step_rules", "binned", "ends",
}  # fmt: skip
"""For the host's cores alone; beside products of a library; and parts of others."""


def test_float32_compiles(programs: dict[str, list[Program]]) -> None:
    """All, optimized less, which halves the time; ``test_architectures`` optimizes as users do."""
    assert len(programs["float32"]) > 150
    quickly = [(text, (*options, "-Ofc=mid")) for text, options in programs["float32"]]
    assert _errors(13, "sm_90", quickly) == []


def test_other_dtypes_compile(programs: dict[str, list[Program]]) -> None:
    """As far as the language goes; making the machine code of all takes a minute more."""
    assert len(programs["others"]) > 150
    checked = [(text, (*options, "-fdevice-syntax-only")) for text, options in programs["others"]]
    assert _errors(13, "compute_90", checked) == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architectures(programs: dict[str, list[Program]], architecture: int) -> None:
    """One program of each file."""
    chosen = list(_of_each_source(programs).values())
    assert _errors(ARCHITECTURES[architecture], f"sm_{architecture}", chosen) == []


def test_a_broken_text_is_found(programs: dict[str, list[Program]]) -> None:
    text, options = _of_each_source(programs)["softmax"]
    broken = text.replace("get_global_id(0)", "get_global_idd(0)").replace(
        "get_group_id(0)", "get_group_idd(0)"
    )
    assert broken != text
    (said,) = _errors(13, "compute_90", [(broken, options)])
    assert said.startswith("softmax: ")
    assert "is undefined" in said
