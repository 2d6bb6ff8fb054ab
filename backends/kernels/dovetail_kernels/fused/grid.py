"""grid_sample and its gradients: a launch each, for all modes and paddings; and read_linear, which
its second gradients are made of."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, Array, packed, placing
from dovetail_kernels.copy import Copy
from dovetail_kernels.deterministic import is_ordered
from dovetail_kernels.device import Device, device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.scatter import atomic
from dovetail_kernels.source import element, program
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = ["enter"]

TAPS = {"nearest": 1, "bilinear": 2, "bicubic": 4}
PADDINGS = ("zeros", "border", "reflection")

FEW = 1 << 12
"""Elements of an image's gradient that one work group makes 0 and then adds to."""

SOME = 8
"""Channels that a work item of a GPU reads at each of its places."""


def _macros(
    device: Device, facts: Any, part: str, width: int, *, taps: int = 0, ndim: int = 0
) -> tuple[dict[str, Any], str]:
    """(macros, what the text begins with) for work items that take ``width`` places at once.

    Args:
        taps, ndim: 0: those of the mode and of the grid.
    """
    out = facts.outputs[0]
    dtype, work = out.dtype, accumulated(out.dtype)
    kind = dialect.VALUES[work.name]
    index = "long" if width == 8 else "int"
    macros: dict[str, Any] = {
        f"IS_{part}": 1,
        "IS_CPU": int(device.is_cpu),
        "IS_PLAIN": int(dtype is work),
        "IS_APART": int(bool(ndim)),
        "TAPS": taps or TAPS[facts.attributes["mode"]],
        "NDIM": ndim or facts.grid.shape[-1],
        "T": kind,
        "W": width,
        "INDEX": index,
        **element(device, "OUT", dtype),
    }
    if width == 1:
        macros |= {"V": kind, "I": index, "TO_INDEX(x)": "(int)(x)"}
        return macros, ""
    macros |= {
        "V": f"{kind}{width}",
        "I": f"{index}{width}",
        "TO_INDEX(x)": f"CONVERT_{index}{width}(x)",
        "vloadW": f"vload{width}",
        "vstoreW": f"vstore{width}",
        **lanes(device, "OUT", dtype, width, side=False),
    }
    return macros, CONVERT + vector_helpers((dtype, work), width)


CONVERT = """
#if __has_builtin(__builtin_convertvector)
#define CONVERT_int16(v) __builtin_convertvector(v, int16)
#define CONVERT_long8(v) __builtin_convertvector(v, long8)
#else
#define CONVERT_int16(v) convert_int16(v)
#define CONVERT_long8(v) convert_long8(v)
#endif
"""


def _sized(device: Device, facts: Any) -> int:
    """Places that a work item takes at once."""
    return 64 // accumulated(facts.outputs[0].dtype).itemsize if device.is_cpu else 1


def _numbers(facts: Any, images: int, channels: int, size: Any, blocks: int) -> list[Any]:
    options = facts.attributes
    option = PADDINGS.index(options["padding"]) + 256 * options["align"]
    return _counted(images, channels, prod(facts.grid.shape[1:-1]), size, blocks, option)


def _counted(
    images: int, channels: int, places: int, size: Any, blocks: int, option: int
) -> list[Any]:
    sizes = [*[1] * (3 - len(size)), *size, 0]
    return [
        NO_OFFSETS,
        np.array([images, channels, places, blocks], np.uint32),
        np.array(sizes, np.int32),
        np.int32(option),
    ]


def _forward(facts: Any) -> Callable[..., None]:
    image, out = facts.input, facts.outputs[0]
    device, name = device_of(out.device), facts.op.name
    width = _sized(device, facts)
    macros, helpers = _macros(device, facts, "FORWARD", width)
    text = program(device, "grid", macros, (out.dtype,), text=helpers)
    images, channels = image.shape[:2]
    places = prod(out.shape[2:])
    blocks = 1 if device.is_cpu else -(-channels // SOME)
    items = images * blocks * -(-places // width)
    each = channels * macros["TAPS"] ** macros["NDIM"] * width
    size = device.workers(items, max(1, 4096 // each))
    numbers = _numbers(facts, images, channels, image.shape[2:], blocks)
    launch = device.launch(text, "grid_sample", 3, numbers, size, name)
    place, queue = placing(3), launch.with_numbers

    def run(image: Any, grid: Any, out: Any) -> None:
        queue(*place(out, image, grid))

    return run


def _read(facts: Any) -> Callable[..., None]:
    """read_linear: an array of places for each dim."""
    (out,), size = facts.outputs, facts.attributes["sizes"]
    device, ndim = device_of(out.device), len(size)
    width = _sized(device, facts)
    macros, helpers = _macros(device, facts, "FORWARD", width, taps=2, ndim=ndim)
    arrays = ", ".join(f"global const OUT_MEMORY *place{d}" for d in range(ndim))
    loaded = [f"x[{ndim - 1 - d}] = PLACE(place{d}, begin.s{2 + d});" for d in range(ndim)]
    macros |= {"PLACES_GIVEN": arrays, "PLACES_LOADED": " ".join(loaded)}
    text = program(device, "grid", macros, (out.dtype,), text=helpers)
    images, channels, places = out.shape
    blocks = 1 if device.is_cpu else -(-channels // SOME)
    items = images * blocks * -(-places // width)
    workers = device.workers(items, max(1, 4096 // (channels * 2**ndim * width)))
    numbers = _counted(images, channels, places, size, blocks, 0)
    launch = device.launch(text, "grid_sample", 2 + ndim, numbers, workers, facts.op.name)
    place, queue = placing(2 + ndim), launch.with_numbers

    def run(*arrays: Any) -> None:
        queue(*place(arrays[-1], *arrays[:-1]))

    return run


def _for_grid(facts: Any) -> Callable[..., None]:
    image, out = facts.input, facts.outputs[0]
    device, name = device_of(out.device), facts.op.name
    width = _sized(device, facts)
    macros, helpers = _macros(device, facts, "GRID", width)
    text = program(device, "grid", macros, (out.dtype,), text=helpers)
    images, channels = image.shape[:2]
    items = images * -(-prod(out.shape[1:-1]) // width)
    each = channels * macros["TAPS"] ** macros["NDIM"] * width
    size = device.workers(items, max(1, 4096 // each))
    numbers = _numbers(facts, images, channels, image.shape[2:], 1)
    launch = device.launch(text, "grid_gradient", 4, numbers, size, name)
    place, queue = placing(4), launch.with_numbers

    def run(g: Any, image: Any, grid: Any, out: Any) -> None:
        queue(*place(out, g, image, grid))

    return run


def _for_input(facts: Any) -> Callable[..., None]:
    out = facts.outputs[0]
    device, work = device_of(out.device), accumulated(out.dtype)
    can = work.itemsize == 4 or device.has_long_atomics
    make = _by_atomics if not device.is_cpu and can and not is_ordered() else _in_order
    run = make(device, facts)
    if work is out.dtype:
        return run
    dense = packed(ghost(out))
    wide = packed(dense, work)
    narrow = Copy(device, wide, dense)

    def run_wide(g: Any, grid: Any, out: Any) -> None:
        with device.scratch(wide.numel * work.itemsize) as (block,):
            held = Array(block, 0, wide.shape, wide.strides, work)
            run(g, grid, held)
            narrow(held, out)

    return run_wide


def _in_order(device: Device, facts: Any) -> Callable[..., None]:
    out = facts.outputs[0]
    width = _sized(device, facts)
    macros, helpers = _macros(device, facts, "INPUT", width)
    text = program(device, "grid", macros, (out.dtype,), text=helpers)
    images, channels = out.shape[:2]
    planes = images * channels
    places = prod(facts.grid.shape[1:-1])
    each = out.numel // planes + places * macros["TAPS"] ** macros["NDIM"]
    size = device.workers(planes, max(1, 4096 // each))
    numbers = _numbers(facts, images, channels, out.shape[2:], 1)
    launch = device.launch(text, "image_gradient", 3, numbers, size, facts.op.name)
    place, queue = placing(3), launch.with_numbers

    def run(g: Any, grid: Any, out: Any) -> None:
        queue(*place(out, g, grid))

    return run


def _by_atomics(device: Device, facts: Any) -> Callable[..., None]:
    out, name = facts.outputs[0], facts.op.name
    macros, _ = _macros(device, facts, "ATOMIC", 1)
    text = program(device, "grid", macros | atomic(accumulated(out.dtype)), (out.dtype,))
    images, channels = out.shape[:2]
    blocks = -(-channels // SOME)
    items = images * blocks * prod(facts.grid.shape[1:-1])
    is_few = out.numel <= FEW and items <= FEW
    size = ((device.group,), (device.group,)) if is_few else device.workers(items)
    numbers = [*_numbers(facts, images, channels, out.shape[2:], blocks), np.int32(is_few)]
    launch = device.launch(text, "image_gradient_atomic", 3, numbers, size, name)
    place, queue = placing(3), launch.with_numbers

    def run(g: Any, grid: Any, out: Any) -> None:
        queue(*place(out, g, grid))

    if is_few:
        return run
    numbers = [NO_OFFSETS, np.uint64(out.numel)]
    zeros = device.launch(text, "zeros", 1, numbers, device.workers(out.numel), name)
    place_zeros = placing(1)

    def in_two(g: Any, grid: Any, out: Any) -> None:
        zeros.with_numbers(*place_zeros(out))
        queue(*place(out, g, grid))

    return in_two


def _fits(facts: Any) -> bool:
    """32 bits count the elements of every tensor, and there are some, or nothing to compute."""
    out, tensors = facts.outputs[0], (*facts.inputs, *facts.outputs)
    if any(t.dtype is not out.dtype for t in tensors):
        return False
    return not out.numel or all(0 < t.numel < 1 << 31 for t in tensors)


def _or_nothing(make: Callable[[Any], Callable[..., None]]) -> Callable[[Any], Callable[..., None]]:
    return lambda facts: make(facts) if facts.outputs[0].numel else lambda *arrays: None


def enter(table: KernelTable) -> None:
    """Enter them."""
    table.add(
        "read_linear", _or_nothing(_read), dtypes=FLOATS, layout="contiguous", specialize=True,
        when=lambda call: len(call.attributes["sizes"]) in (2, 3) and _fits(call),
    )  # fmt: skip
    for name, make in (
        ("grid_sample", _forward),
        ("grid_sample_backward_input", _for_input),
        ("grid_sample_backward_grid", _for_grid),
    ):
        table.add(
            name, _or_nothing(make), dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )
