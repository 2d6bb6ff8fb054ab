"""The forwarding table: the cpu's kernels, each behind a check of what the core promised.

No entry advertises ``broadcasts`` or ``scalars``, so the core must expand inputs and make 0-d
tensors of numbers itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from dovetail.backend import Kernel, KernelTable, Layout
from dovetail_loopback.arrays import Array
from dovetail_loopback.indices import INDEXED, check_indices, wrapped_index

__all__ = ["ELEMENTWISE", "forwarding_table", "is_dense", "layout_of"]

STRICTNESS: tuple[Layout, ...] = ("contiguous", "broadcast", "strided")

ELEMENTWISE = {
    *("neg", "abs", "floor", "round", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos"),
    *("tanh", "erf", "bitwise_not", "add", "sub", "mul", "div", "floordiv", "remainder", "pow"),
    *("maximum", "minimum", "atan2", "bitwise_and", "bitwise_or", "bitwise_xor"),
    *("shift_left", "shift_right", "eq", "lt", "le", "where"),
}
"""The primitives whose inputs all arrive in the shape of their one output."""


def forwarding_table(cpu: KernelTable, layout: Layout) -> KernelTable:
    """A table with every entry of ``cpu``, accepting ``layout`` or what is stricter."""
    table = KernelTable(contract=(1, 0), layout=layout)
    for name in cpu:
        # The latest entry is preferred, so the cpu's own order is kept by adding its last first.
        for kernel in reversed(cpu.entries(name)):
            accepts = min(layout, kernel.layout, key=STRICTNESS.index)
            if name == "copy":  # the kernel that packs for the others
                accepts = kernel.layout
            is_late = kernel.specialize or name in INDEXED
            forward = _forward_specialized if is_late else _forward
            function = kernel.function if kernel.specialize or not is_late else _bound(kernel)
            table.add(
                name,
                forward(name, function, accepts),
                dtypes=kernel.dtypes,
                layout=accepts,
                when=kernel.when,
                specialize=is_late,
            )
    table.add("wrapped_index", wrapped_index, layout="contiguous", specialize=True)
    return table


def _bound(kernel: Kernel) -> Callable[[Any], Any]:
    """A kernel that takes attributes, made with those of a call."""
    return lambda facts: functools.partial(kernel.function, **facts.attributes)


def _forward_specialized(
    name: str, function: Callable[..., Any], accepts: Layout
) -> Callable[[Any], Any]:
    return lambda facts: _forward(
        name, function(facts), accepts, facts.attributes, facts.op.sentence
    )


def _forward(
    name: str,
    function: Callable[..., Any],
    accepts: Layout,
    resolved: Mapping[str, Any] = MappingProxyType({}),
    sentence: str = "",
) -> Callable[..., None]:
    accepted = STRICTNESS[: STRICTNESS.index(accepts) + 1]
    is_elementwise = name in ELEMENTWISE

    def kernel(*arrays: Any, **attributes: Any) -> None:
        devices: set[int] = set()
        opened = [_open(name, array, accepted, devices) for array in arrays]
        assert len(devices) <= 1, f"{name}: arrays of devices {sorted(devices)} in one call"
        if is_elementwise:
            shapes = {array.shape for array in opened}
            assert len(shapes) == 1, f"{name}: inputs were not expanded, got shapes {shapes}"
            assert layout_of(opened[-1]) != "broadcast", f"{name}: output elements share memory"
        check_indices(name, opened, resolved or attributes, sentence)
        with np.errstate(all="ignore"):  # a device has no floating-point warnings
            function(*opened, **attributes)

    return kernel


def _open(name: str, given: Any, accepted: tuple[Layout, ...], devices: set[int]) -> Any:
    """What the cpu's kernel takes for ``given``: an array, a list of them, or None."""
    if given is None:  # an optional input that was not given
        return None
    if isinstance(given, (list, tuple)):  # kernels over many tensors at once
        return [_open(name, one, accepted, devices) for one in given]
    assert isinstance(given, Array), f"{name}: got {type(given).__name__}, not an Array"
    devices.add(given.index)
    array = given.open()
    came = layout_of(array)
    assert came in accepted, (
        f"{name}: an argument is {came} (shape {array.shape}, strides {array.strides}), the "
        f"table accepts {accepted[-1]}"
    )
    return array


def is_dense(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> bool:
    """Whether a shape with strides in bytes is row-major without gaps."""
    step = itemsize
    for n, stride in reversed(list(zip(shape, strides, strict=True))):
        if n != 1 and stride != step:
            return False
        step *= n
    return True


def layout_of(array: np.ndarray) -> Layout:
    """The strictest layout that describes ``array``."""
    if array.size == 0 or array.flags.c_contiguous:
        return "contiguous"
    moving = [(n, s) for n, s in zip(array.shape, array.strides, strict=True) if s]
    shape, strides = (tuple(part) for part in zip(*moving, strict=True)) if moving else ((), ())
    return "broadcast" if is_dense(shape, strides, array.itemsize) else "strided"
