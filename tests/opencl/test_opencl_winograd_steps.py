"""Winograd's filtering in steps, for GPUs: what it computes, and which convolutions get it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
FORCED = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import numpy as np
import products
import dovetail as dt
from dovetail import ops
from dovetail.dispatch import clear_plans
from dovetail_kernels import conv, winograd_steps
from dovetail_opencl.runtime import device_of

winograd_steps.CHANNELS = 4
asked = []

def forced(*arguments):
    asked.append(winograd_steps._is_possible(*arguments))
    return asked[-1]

conv.pays_in_steps = forced
"""
"""Begins a program that has all convolutions that may go this way go it."""

CASES = [
    (((2, 40, 13, 18), (70, 40, 3, 3), 1, 1, 1, 1), "dense"),  # panels that are not full
    (((1, 12, 57, 57), (9, 12, 3, 3), 1, (0, 2), 1, 1), "last"),
    (((5, 9, 1, 1), (8, 9, 3, 3), 1, 1, 1, 1), "dense"),
    (((2, 8, 5, 9), (64, 8, 3, 3), 1, (2, 4), 1, 1), "part"),  # windows of nothing but padding
]
DILATED = ((2, 8, 5, 9), (9, 8, 3, 3), 1, 2, 2, 1)  # which may not go it
CHOSEN = [  # a layer, and whether it goes this way
    ((2, 128, 28, 28), (128, 128, 3, 3), {}, True),
    ((4, 64, 56, 56), (64, 64, 3, 3), {}, True),
    ((1, 128, 7, 7), (128, 128, 3, 3), {}, False),
    ((2, 16, 28, 28), (128, 16, 3, 3), {}, False),
    ((2, 128, 28, 28), (16, 128, 3, 3), {}, False),
    ((2, 256, 28, 28), (256, 128, 3, 3), {"groups": 2}, False),
    ((2, 128, 28, 28), (128, 128, 3, 3), {"stride": 2}, False),
    ((2, 128, 28, 28), (128, 128, 3, 1), {}, False),
    ((1, 128, 3, 28, 28), (128, 128, 1, 3, 3), {}, False),
    ((2, 4096, 28, 28), (4096, 4096, 3, 3), {}, False),  # whose filters are too many
]


def test_geometries_and_layouts(fresh: Callable[..., str]) -> None:
    code = f"""{FORCED}
wrong = []
for case, layout in {CASES}:
    wrong += products.convolutions(case, dt.float32, layout)
wrong += products.convolutions({DILATED}, dt.float32)
print("all right" if not wrong else wrong, all(asked), len(asked))
"""
    assert fresh(code, DOVETAIL_OPENCL_CLASS="gpu").strip() == f"all right True {4 * len(CASES)}"


def test_pieces_within_a_bound_and_what_follows_a_sum(fresh: Callable[..., str]) -> None:
    code = f"""{FORCED}
options = {{"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}}
draw = np.random.default_rng(5).uniform
x, weight, bias = (
    products.laid_out(draw(-1, 1, size), dt.float32, "dense")
    for size in ((3, 24, 31, 33), (20, 24, 3, 3), 20)
)
wrong = products.compared("conv_relu", [x, weight, bias], "whole", **options)
whole = ops.conv_relu(x, weight, bias, **options)
winograd_steps.ROOM = 4 * 36 * 44 * 64
clear_plans()
before = device_of(0).launches
pieces = ops.conv_relu(x, weight, bias, **options)
launches = device_of(0).launches - before
print(wrong, (whole == pieces).all().item(), launches)
x[1, 3, 4, 5] = float("nan")
lost = np.isnan(products.wide(ops.conv_relu(x, weight, bias, **options)))
print(lost[1, :, 3:6, 4:7].all(), lost.sum() == lost[1, :, 0:8, 4:8].sum())
"""
    said = fresh(code, DOVETAIL_OPENCL_CLASS="gpu").split("\n")
    assert said[:2] == ["[] True 16", "True True"]


def test_the_choice(fresh: Callable[..., str]) -> None:
    """Of layers with many channels and places, which are not computed."""
    code = f"""
from types import SimpleNamespace
import dovetail as dt
from dovetail_kernels import conv

def resolved(made, source, *others):
    found.update([conv.pays_in_steps(made, source)])
    return lambda *arrays: None

conv._resolved = resolved
right = []
for shape, weight_shape, options, chosen in {CHOSEN}:
    found = set()
    x = dt.empty(shape, device="opencl:0", requires_grad=True)
    weight = dt.empty(weight_shape, device="opencl:0")
    name = f"conv{{len(shape) - 2}}d"
    getattr(dt.nn.functional, name)(x, weight, **options).sum().backward()
    right.append(found == {{chosen}})
print(right)
"""
    said = fresh(code, DOVETAIL_OPENCL_CLASS="gpu").strip()
    assert said == str([True] * len(CHOSEN))
    said = fresh(code, DOVETAIL_OPENCL_CLASS="cpu").strip()
    assert said == str([not chosen for *_, chosen in CHOSEN])
