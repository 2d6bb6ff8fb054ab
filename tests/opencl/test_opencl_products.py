"""Products and convolutions of opencl: tiles, split depth, epilogues, Winograd, code for GPUs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from products import DEVICE, compared, convolutions, laid_out, matrix_products

import dovetail as dt
from dovetail import ops
from dovetail.dispatch import clear_plans
from dovetail_kernels import conv, gemm_direct
from dovetail_kernels.winograd import Winograd

HERE = Path(__file__).parent
BATCHED = ((3, 1), (1, 2))
PRODUCTS = [  # in one launch, except where it says how
    (4, 4, 4, None),
    (70, 50, 90, None),
    (64, 48, 96, None),  # whole tiles
    (17, 40, 128, None),
    (128, 40, 17, None),
    (70, 1040, 90, None),  # packed, as all deep ones
    (8, 2500, 32, None),  # a split depth
    (33, 1100, 65, None),  # several spans of depth
    (300, 17, 40, None),
    (19, 30, 66, BATCHED),
    (3, 40, 70, BATCHED),  # element by element
    (5, 0, 6, None),
]
CONVOLUTIONS = [
    ((2, 16, 12, 12), (16, 16, 3, 3), 1, 1, 1, 1),
    ((2, 3, 17, 19), (33, 3, 7, 7), 2, 3, 1, 1),
    ((3, 32, 9, 9), (48, 32, 1, 1), 1, 0, 1, 1),
    ((2, 9, 30), (12, 9, 5), 3, 2, 2, 1),
    ((2, 16, 5, 6, 7), (10, 16, 3, 2, 3), (1, 2, 1), (1, 0, 1), 1, 1),
    ((2, 24, 11, 13), (40, 12, 3, 3), 2, (1, 0), (1, 2), 2),
    ((2, 16, 9, 70), (16, 1, 3, 3), 1, 1, 1, 16),  # depthwise
    ((1, 6, 12, 23), (12, 1, 3, 5), (2, 3), 2, 1, 6),
    ((2, 16, 8, 8), (12, 4, 3, 3), 1, 2, 2, 4),
    ((9, 2, 14, 14), (6, 2, 5, 5), 1, 2, 1, 1),  # few filters, many images
    ((1, 4, 9, 9), (6, 4, 3, 3), 1, 1, 1, 1),  # few filters, one image
    ((1, 4, 9, 9), (9, 4, 2, 2), 4, 0, 1, 1),
    ((1, 4, 20, 20), (9, 4, 5, 5), 5, 0, 1, 1),  # more phases than launches are spent on
    ((1, 2, 300), (2, 1, 1), 200, 0, 1, 2),  # neighbours that are far apart
    ((1, 8, 3, 3), (8, 8, 3, 3), 1, 3, 1, 1),  # places that see nothing but padding
]
EMPTY = [
    ((0, 3, 5, 5), (9, 3, 2, 2), 1, 0, 1, 1),
    ((2, 0, 5, 5), (9, 0, 2, 2), 1, 0, 1, 1),
    ((2, 3, 5, 5), (0, 3, 2, 2), 1, 0, 1, 1),
]
FEW_FILTERS = ((2, 0, 5, 5), (3, 0, 2, 2), 1, 0, 1, 1)
LARGE = [  # by Winograd's filtering forward and backward, with whole tiles and with ragged ones
    ((2, 64, 28, 28), (64, 64, 3, 3), 1, 1, 1, 1),
    ((3, 32, 30, 33), (96, 32, 3, 3), 1, (0, 2), 1, 1),
    ((8, 64, 5, 7), (64, 64, 3, 3), 1, 1, 1, 1),
    ((16, 160, 4, 4), (64, 160, 3, 3), 1, 1, 1, 1),  # several spans of channels
    ((2, 64, 32, 48), (64, 64, 3, 3), 2, 1, 1, 1),
    ((8, 160, 13, 19), (128, 160, 3, 3), 2, (1, 0), 1, 1),  # whose last place none sees
    ((4, 64, 21, 28), (320, 64, 3, 3), 2, (0, 2), 1, 1),
    ((2, 32, 10, 262), (32, 32, 3, 3), 1, (3, 5), 1, 1),  # lines in two pieces
    ((1, 48, 14, 531), (64, 48, 3, 3), 2, 1, 1, 1),
    ((6, 64, 22, 19), (64, 64, 3, 3), 2, (2, 1), 1, 1),  # other neighbours are reached by two taps
    ((8, 96, 31, 30), (96, 96, 3, 3), 2, 0, 1, 1),
]


@pytest.mark.usefixtures("opencl")
@pytest.mark.parametrize("layout", ["dense", "transposed", "part"])
@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_products(case: Any, layout: str) -> None:
    others = (dt.float64, dt.bfloat16, dt.int32) if layout == "dense" else ()
    for dtype in (dt.float32, *others):
        assert not matrix_products(*case, dtype, "dense" if 0 in case else layout)


@pytest.mark.usefixtures("opencl")
@pytest.mark.parametrize("layout", ["dense", "last", "part"])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolutions(case: Any, layout: str) -> None:
    is_first = case in CONVOLUTIONS[:7:3] and layout == "dense"  # of each way of computing it
    for dtype in (dt.float32, dt.float64, dt.float16) if is_first else (dt.float32,):
        assert not convolutions(case, dtype, layout)


@pytest.mark.usefixtures("opencl")
@pytest.mark.parametrize("case", [*EMPTY, FEW_FILTERS], ids=str)
def test_sums_of_nothing(case: Any) -> None:
    assert not convolutions(case, dt.float32)


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_winograd_stays_within_the_records_tolerance(
    queue: Any, case: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def winograd(*arguments: Any) -> Winograd:
        made.append(arguments)
        return Winograd(*arguments)

    monkeypatch.setattr(conv, "Winograd", winograd)
    assert not convolutions(case, dt.float32)
    if queue.is_cpu and queue.handle.native_vector_width_float == 16:
        assert len(made) >= 2


@pytest.mark.usefixtures("opencl")
def test_zeros_around_narrow_lines_are_not_written_by_two() -> None:
    """A vector reaches over several lines, and so into those that another core writes."""
    draw = np.random.default_rng(5).uniform
    x = laid_out(draw(-1, 1, (16, 160, 4, 4)), dt.float32, "dense")
    grad = laid_out(draw(-1, 1, (16, 64, 4, 4)), dt.float32, "dense")
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    options |= {"weight_shape": (64, 160, 3, 3)}
    assert not compared("conv_grad_weight", [grad, x], "narrow", **options)
    first = ops.conv_grad_weight(grad, x, **options)
    for _ in range(500):
        assert (ops.conv_grad_weight(grad, x, **options) == first).all().item()


@pytest.mark.usefixtures("opencl")
def test_a_deep_image_of_large_numbers_is_summed_directly_enough() -> None:
    """Values of one sign: sums are large, and what cancels in the transforms must not show."""
    draw = np.random.default_rng(3).uniform
    x = laid_out(draw(900, 1000, (2, 64, 28, 28)), dt.float32, "dense")
    weight = laid_out(draw(0, 1, (64, 64, 3, 3)), dt.float32, "dense")
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    assert not compared("conv", [x, weight, None], "large", **options)


def test_code_for_gpus_computes_the_same(fresh: Callable[..., str]) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import products
products.on_gpu_paths()
import dovetail as dt
wrong = []
for m, k, n, batch in [(70, 50, 90, None), (8, 2500, 32, None), (19, 30, 66, ((3, 1), (1, 2)))]:
    for layout in ("dense", "transposed"):
        wrong += products.matrix_products(m, k, n, batch, dt.float32, layout)
for case in {CONVOLUTIONS[:7] + EMPTY[1:2]}:
    wrong += products.convolutions(case, dt.float32)
print("all right" if not wrong else wrong)
"""
    assert fresh(code).strip() == "all right"


@pytest.mark.parametrize("tile", ["4, 1, 4", "32, 8, 4, 8, 8", "6, 2, 16"])
def test_every_tile_computes_the_same(fresh: Callable[..., str], tile: str) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import products
import dovetail as dt
from dovetail_opencl.runtime import device_of
from dovetail_kernels.tiles import Tile
device_of(0).tiles[dt.float32] = Tile({tile})
wrong = products.matrix_products(70, 300, 90, None, dt.float32, "dense")
wrong += products.matrix_products(70, 1040, 90, None, dt.float32, "dense")
for case in {[CONVOLUTIONS[0], CONVOLUTIONS[5]]}:
    wrong += products.convolutions(case, dt.float32)
print("all right" if not wrong else wrong)
"""
    assert fresh(code).strip() == "all right"


@pytest.mark.usefixtures("opencl")
def test_addmm_does_not_look_at_an_input_that_counts_for_nothing() -> None:
    a, b = dt.ones(8, 8, device=DEVICE), dt.ones(8, 8, device=DEVICE)
    lost = dt.full((8,), float("nan"), device=DEVICE)
    assert dt.addmm(lost, a, b, beta=0, alpha=2).tolist() == [[16.0] * 8] * 8


HALVES = [(8, 8, 8), (5, 7, 9), (33, 65, 40), (70, 31, 64), (16, 1, 32), (40, 300, 36)]


def _calls(
    library: Any, a: Any, b: Any, c: Any, row: Any, x: Any, y: Any
) -> list[Callable[[], Any]]:
    return [
        lambda: a @ b,
        lambda: library.addmm(c, a, b, alpha=0.5, beta=2),
        lambda: library.nn.functional.linear(a, b.mT, row),
        lambda: x @ y,
        lambda: x.mT.mT @ b,
        lambda: (b.mT @ a.mT).mT,
    ]


@pytest.mark.parametrize("layout", ["dense", "transposed", "part"])
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("size", HALVES, ids=str)
def test_small_products_of_halves(
    queue: Any, size: tuple[int, int, int], kind: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One launch, whose sums are of float32; plain, with something added, and two by two."""
    torch = pytest.importorskip("torch")
    m, k, n = size
    monkeypatch.setattr(gemm_direct, "MUCH_OF_PAIRS", 1 << 24)
    clear_plans()
    random = np.random.default_rng(k)
    found: list[list[Any]] = []
    launches: list[int] = []
    arrays = [random.standard_normal(s) for s in ((m, k), (k, n), (m, n), (n,))]
    arrays += [random.standard_normal(s) for s in ((3, m, k), (3, k, n))]
    arrays = [a.astype(np.float32) for a in arrays]  # which both round to halves once
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        dtype = getattr(library, kind)
        a, b, c, row, x, y = [library.tensor(v, dtype=dtype).to(device) for v in arrays]
        if layout == "transposed":
            a, b, x, y = (t.mT.contiguous().mT for t in (a, b, x, y))
        if layout == "part":
            a, b, x, y = (library.cat((t, t), -1)[..., : t.shape[-1]] for t in (a, b, x, y))
        if library is torch:  # of the same numbers
            a, b, c, row, x, y = (t.double() for t in (a, b, c, row, x, y))
        calls = _calls(library, a, b, c, row, x, y)
        made = [call() for call in calls]
        if library is dt:
            for call in calls:
                before = queue.launches
                call()
                launches.append(queue.launches - before)
        found.append([t.detach().cpu().double().numpy() for t in made])
    for mine, wanted in zip(*found, strict=True):
        step = 2.0**-8 if kind == "bfloat16" else 2.0**-11
        assert (np.abs(mine - wanted) <= step * np.abs(wanted) + 1e-5 * k).all()
    if queue.is_cpu and layout != "part":
        assert launches == [1] * len(launches)
    clear_plans()


def test_small_products_of_whole_numbers(queue: Any) -> None:
    a, b = (dt.arange(64, device="opencl:0").reshape(8, 8) - 20 for _ in range(2))
    a @ b
    before = queue.launches
    made = a @ b
    assert queue.launches == before + (1 if queue.is_cpu else 3)
    wanted = (np.arange(64).reshape(8, 8) - 20) @ (np.arange(64).reshape(8, 8) - 20)
    assert made.tolist() == wanted.tolist()


@pytest.mark.parametrize(("depth", "on_cores", "on_gpu"), [(64, 1, 3), (2048, 3, 4)])
def test_a_layer_is_one_product(queue: Any, depth: int, on_cores: int, on_gpu: int) -> None:
    """The bias is added where the product is written; a large product packs its operands first,
    and a GPU splits a deep one."""
    x, w = dt.ones(64, depth, device=DEVICE), dt.ones(64, depth, device=DEVICE)
    b = dt.ones(64, device=DEVICE)
    linear = dt.nn.functional.linear
    linear(x, w, b)
    before = queue.launches
    made = linear(x, w, b)
    assert queue.launches == before + (on_cores if queue.is_cpu else on_gpu)
    assert made.tolist() == [[depth + 1.0] * 64] * 64
