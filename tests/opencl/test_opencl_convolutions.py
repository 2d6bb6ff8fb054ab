"""Convolutions of opencl on the host's cores: which kernels a geometry gets, and what they compute.

GPU-class code of the same geometries: :mod:`test_opencl_products`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from products import convolutions, laid_out, wide

import dovetail as dt
from dovetail import ops
from dovetail.dispatch import clear_plans

HERE = Path(__file__).parent
PACKED = [  # the weight is read where it lies, the image packed in a cache
    ((3, 40, 14, 14), (48, 40, 3, 3), 2, 1, 1, 1),  # several spans of channels
    ((5, 24, 7, 7), (44, 12, 3, 3), 1, 1, 1, 2),  # several images at once, rows past the edge
    ((1, 8, 20, 70), (12, 8, 3, 3), 2, 1, 1, 1),  # lines of more than two vectors
    ((2, 8, 9, 41), (24, 8, 5, 3), (1, 2), (2, 1), 1, 1),  # and of two
    ((2, 8, 24, 31), (16, 8, 3, 5), (2, 1), (1, 2), (1, 2), 1),  # all places of a block at once
    ((1, 10, 41, 40), (130, 10, 3, 3), 1, 1, 1, 1),  # several blocks of lines
    ((2, 12, 17, 19), (16, 12, 3, 3), (3, 2), 1, 1, 1),  # phases of unequal sizes
    ((2, 9, 6, 1), (8, 9, 3, 2), (2, 2), (1, 1), 1, 1),  # of one place
    ((2, 32, 9, 1), (32, 32, 3, 3), 2, 1, 1, 1),  # and of an odd number of lines
    ((2, 16, 40), (24, 16, 3), 2, 1, 1, 1),
    ((1, 8, 3, 3), (8, 8, 3, 3), 1, 3, 1, 1),  # windows that see nothing but padding
    ((1, 8, 5, 5), (8, 8, 2, 2), 3, 0, 1, 1),  # places that no window sees
]
SUMMED = [  # the weight's gradient, block by block
    (((5, 16, 24, 24), (40, 16, 3, 3), 1, 1, 1, 1), False),  # blocks with parts of images
    (((9, 16, 24, 24), (20, 16, 3, 3), 1, 1, 1, 1), True),  # one panel, in parts that are added
    (((12, 5, 7, 7), (70, 5, 3, 3), 1, 1, 1, 1), True),  # three panels
    (((4, 12, 9, 9), (96, 6, 1, 1), 2, 0, 1, 2), False),
]
DEPTHWISE = [  # by planes in a cache
    ((5, 6, 21, 37), (6, 1, 3, 3), 2, 1, 1, 6),  # phases in pairs
    ((4, 4, 12, 75), (8, 1, 5, 4), 2, 2, 1, 4),  # of several vectors
    ((6, 4, 13, 13), (4, 1, 4, 4), 3, 1, 1, 4),  # phases without pairs
    ((5, 6, 9, 5), (6, 1, 7, 7), 1, 3, 1, 6),
]
PADDED = [  # few planes are read or made, lines of them with zeros around them
    ((3, 3, 32, 32), (64, 3, 3, 3), 1, 1, 1, 1),
    ((2, 3, 40, 43), (20, 3, 5, 5), 1, 2, 1, 1),  # lines whose end is less than a vector
    ((2, 1, 19, 37), (9, 1, 3, 5), 1, (0, 4), (2, 2), 1),
    ((2, 8, 17, 24), (16, 2, 3, 3), 1, 1, 1, 4),
    ((3, 5, 70), (16, 5, 3), 1, 2, 1, 1),
    ((1, 4, 30, 150), (72, 4, 3, 3), 1, 1, 1, 1),  # spans of planes on the way back, several blocks
]
MADE_OF_MANY = [  # an input's gradient of few planes, in phases
    ((2, 3, 41, 40), (16, 3, 7, 7), 2, 3, 1, 1),  # which are woven
    ((2, 2, 21, 23), (12, 2, 3, 5), 3, 1, 1, 1),
    ((2, 3, 7, 7), (9, 3, 2, 2), 3, 0, 1, 1),  # some of which no window sees
]
IN_THREE_VECTORS = [  # a line of the gradient, with vectors of 16, 8 and 4 elements
    ((2, 3, 4, 41), (2, 3, 3, 3), 1, 1, 1, 1),
    ((2, 3, 4, 21), (2, 3, 3, 3), 1, 1, 1, 1),
    ((2, 3, 4, 11), (2, 3, 3, 3), 1, 1, 1, 1),
]


@pytest.fixture
def made(queue: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[str]]:
    """Names of the kernels that were asked for since the test began, of small weights too."""
    clear_plans()  # another test may have asked for the same
    monkeypatch.setattr("dovetail_kernels.conv.FEW_PRODUCTS", 0)
    monkeypatch.setattr(queue, "_kernels", {})
    return lambda: {key[1] for key in queue._kernels}


def _is_wide(queue: Any) -> bool:
    return bool(queue.is_cpu and queue.handle.native_vector_width_float == 16)


@pytest.mark.parametrize("layout", ["dense", "last", "part"])
@pytest.mark.parametrize("case", PACKED, ids=str)
def test_the_image_is_packed(queue: Any, made: Any, case: Any, layout: str) -> None:
    assert not convolutions(case, dt.float32, layout)
    if _is_wide(queue) and layout == "dense":
        assert "packed" in made()


@pytest.mark.parametrize("layout", ["dense", "last", "part"])
@pytest.mark.parametrize(
    "case", [PACKED[0], ((2, 64, 14, 14), (64, 64, 3, 3), 1, 1, 1, 1)], ids=str
)
def test_halves_go_by_way_of_float32(queue: Any, made: Any, case: Any, layout: str) -> None:
    for dtype in (dt.float16, dt.bfloat16):
        assert not convolutions(case, dtype, layout)
    if _is_wide(queue):
        assert made() & {"packed", "winograd"}
        assert "blocks" in made()


@pytest.mark.parametrize(("case", "is_added"), SUMMED, ids=str)
def test_the_gradient_of_a_weight_goes_by_blocks(
    queue: Any, made: Any, case: Any, is_added: bool
) -> None:
    for dtype in (dt.float32, dt.float16):
        assert not convolutions(case, dtype)
    if queue.is_cpu and queue.units == 2:
        assert "blocks" in made()
        assert ("finish" in made()) == is_added


@pytest.mark.parametrize("case", DEPTHWISE, ids=str)
def test_planes_are_read_once_for_all_phases(queue: Any, made: Any, case: Any) -> None:
    for dtype in (dt.float32, dt.float64, dt.bfloat16):
        assert not convolutions(case, dtype)
    if queue.is_cpu and queue.units <= 2:
        assert {"planes", "planes_sum"} <= made()


@pytest.mark.parametrize("layout", ["dense", "last", "part"])
@pytest.mark.parametrize("case", PADDED, ids=str)
def test_few_planes_are_padded_lines(queue: Any, made: Any, case: Any, layout: str) -> None:
    for dtype in (dt.float32, dt.float64):
        assert not convolutions(case, dtype, layout)
    if _is_wide(queue) and layout == "dense":
        assert "padded" in made()
        if queue.units <= 4:
            assert "padded_sum" in made()


@pytest.mark.parametrize("case", MADE_OF_MANY, ids=str)
def test_few_planes_are_made_in_phases(queue: Any, made: Any, case: Any) -> None:
    for dtype in (dt.float32, dt.float64):
        assert not convolutions(case, dtype)
    if _is_wide(queue):
        assert "padded" in made()


@pytest.mark.parametrize("case", IN_THREE_VECTORS, ids=str)
def test_all_lanes_are_added_up(queue: Any, made: Any, case: Any) -> None:
    for dtype in (dt.float32, dt.float64, dt.float16):
        assert not convolutions(case, dtype)
    if queue.is_cpu:
        assert "direct_sum" in made()


@pytest.mark.parametrize("case", IN_THREE_VECTORS[:1], ids=str)
def test_the_gradient_of_a_small_weight_is_one_launch(queue: Any, case: Any) -> None:
    clear_plans()
    assert not convolutions(case, dt.float32)
    assert "few" in {key[1] for key in queue._kernels}


@pytest.mark.usefixtures("opencl")
@pytest.mark.parametrize("width", [11, 21])
@pytest.mark.parametrize("groups", [1, 4, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_an_infinite_element_reaches_those_that_see_it(
    stride: int, groups: int, width: int
) -> None:
    """Padding is no product of zero and what lies beside a line."""
    shape, weight_shape = (8, 8, 10, width), (8, 8 // groups, 3, 3)
    options = {
        "stride": (stride, stride), "padding": (1, 1), "dilation": (1, 1), "groups": groups,
    }  # fmt: skip
    places = tuple((n - 1) // stride + 1 for n in shape[2:])
    x, weight = np.zeros(shape), np.ones(weight_shape)
    grad = np.zeros((8, 8, *places))
    x[1, 2, :, 0] = x[3, 5, 9, width - 1] = grad[2, 3, :, places[1] - 1] = 1
    # Where the end of a line is read again, and no window of it sees padding.
    inner = np.zeros_like(grad)
    x[5, 7, 3, width // 2] = inner[4, 6, 2, places[1] // 2] = 1
    calls: list[tuple[str, list[np.ndarray], dict[str, Any]]] = [
        ("conv", [x, weight], {}),
        ("conv_grad_input", [grad, weight], {"input_shape": shape}),
        ("conv_grad_weight", [np.ones_like(grad), x], {"weight_shape": weight_shape}),
        ("conv_grad_weight", [inner, np.ones_like(x)], {"weight_shape": weight_shape}),
    ]
    for name, values, more in calls:
        rest = [None] if name == "conv" else []
        expected = ops.REGISTRY[name].reference(*values, *rest, **more, **options) > 0
        given = [
            laid_out(np.where((v == 1) & (v.mean() < 1), np.inf, v), dt.float32, "dense")
            for v in values
        ]
        result = wide(getattr(ops, name)(*given, *rest, **more, **options))
        assert np.array_equal(np.isinf(result), expected), name
        assert not np.isnan(result).any(), name


def test_code_for_gpus_computes_the_same(fresh: Callable[..., str]) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import products
products.on_gpu_paths()
import dovetail as dt
wrong = []
for case in {[*PACKED[::3], SUMMED[1][0], DEPTHWISE[0]]}:
    wrong += products.convolutions(case, dt.float32)
print("all right" if not wrong else wrong)
"""
    assert fresh(code).strip() == "all right"
