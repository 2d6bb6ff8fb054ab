"""Convolution, its two gradients and its transpose: products whose left operand is never copied.

Rows and depth of the product are tables of offsets into the image (``src/conv.cl``), so windows of
any number of dims, stride and dilation are one kernel. What has few filters in a group (depthwise
convolution) goes line by line instead.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING
from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import Array
from dovetail_kernels.conv_halves import by_float32, in_float32, is_worth_it
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.folds import accumulated
from dovetail_kernels.gather import Filters, Gathered, Lines, Map, Part, tile_for
from dovetail_kernels.gather_blocks import Blocks
from dovetail_kernels.gather_direct import FEW, Direct, DirectSum
from dovetail_kernels.gather_few import FEW_PRODUCTS, FewSum
from dovetail_kernels.gather_packed import Packed, is_packed
from dovetail_kernels.gather_padded import Padded, is_padded, reads_few
from dovetail_kernels.gather_padded_sum import PaddedSum, Windows, is_padded_sum
from dovetail_kernels.gather_planes import Planes, PlanesSum, is_cached
from dovetail_kernels.gather_sum import Sum, Summed
from dovetail_kernels.spread import SLACK, Three, grid, image_of, three
from dovetail_kernels.winograd import Winograd, pays
from dovetail_kernels.winograd_steps import WinogradSteps, pays_in_steps

__all__ = ["enter"]

PHASES = 16
"""Launches that an input gradient may take; with a stride of ``s``, each dim takes ``s`` times as
many."""

FARTHEST = 1 << 31
"""Tables of offsets have 32 bits with a sign; lines and images are counted in as many."""


def enter(table: KernelTable) -> None:
    """Enter the convolutions."""
    for name, (make, roles, phased) in {
        "conv": (_conv, _FORWARD, False),
        "conv_relu": (_conv, _FORWARD, False),
        "conv_grad_input": (_grad_input, _TRANSPOSED, True),
        "conv_transpose": (_grad_input, _TRANSPOSED, True),
        "conv_grad_weight": (_grad_weight, _OF_WEIGHT, False),
    }.items():
        table.add(
            name,
            partial(_specialised, make, roles),
            dtypes=FLOATING,
            when=partial(_fits, roles, phased),
            specialize=True,
        )


class Roles(NamedTuple):
    """Which of the tensors is which, counting inputs and then the output from the end."""

    x: int
    weight: int
    y: int


_FORWARD, _TRANSPOSED, _OF_WEIGHT = Roles(0, 1, -1), Roles(-1, 1, 0), Roles(1, -1, 0)


class Convolution:
    """One convolution with three spatial dims, whoever of its tensors is asked for.

    x: (N, C, *S); weight: (O, C / groups, *K); y: (N, O, *P).
    """

    def __init__(self, call: Any, roles: Roles) -> None:
        tensors = [*call.inputs, call.outputs[0]]
        self.x, self.weight, self.y = (ghost(tensors[i]) for i in roles)
        options = call.attributes
        self.stride = three(options["stride"], 1)
        self.padding = three(options["padding"], 0)
        self.dilation = three(options["dilation"], 1)
        self.groups: int = options["groups"]
        self.images = self.x.shape[0]
        self.given = self.weight.shape[1]
        self.made = self.weight.shape[0] // self.groups
        self.sizes = three(self.x.shape[2:], 1)
        self.kernel = three(self.weight.shape[2:], 1)
        self.places = three(self.y.shape[2:], 1)

    @property
    def work(self) -> DType:
        """What sums are gathered in."""
        return accumulated(self.y.dtype)

    @property
    def operations(self) -> int:
        """Sums and products: two for each place of y, filter and element of its window."""
        return 2 * self.y.numel * self.given * math.prod(self.kernel)

    @property
    def reach(self) -> Three:
        """How far the windows reach, from the beginning of the padding on."""
        zipped = zip(self.places, self.stride, self.kernel, self.dilation, strict=True)
        z, y, x = ((n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zipped)
        return z, y, x

    @property
    def phases(self) -> list[list[Phase]]:
        """For each dim the places of x that see the same offsets of the window."""
        found = []
        for dim in range(3):
            step, dilation = self.stride[dim], self.dilation[dim]
            of_dim = []
            for begin in range(min(step, self.sizes[dim])):
                seen = [
                    (k, (begin + self.padding[dim] - k * dilation) // step)
                    for k in range(self.kernel[dim])
                    if (begin + self.padding[dim] - k * dilation) % step == 0
                ]
                seen.reverse()  # as the places of y come
                count = -(-(self.sizes[dim] - begin) // step)
                of_dim.append(Phase(begin, count, [k for k, _ in seen], [at for _, at in seen]))
            found.append(of_dim)
        return found


class Phase(NamedTuple):
    """``length`` places ``begin``, ``begin + stride``, ... of x: which offsets of the window reach
    them, and which place of y each of these belongs to at the first of them."""

    begin: int
    length: int
    offsets: list[int]
    at: list[int]


def _fits(roles: Roles, phased: bool, call: Any) -> bool:
    """Whether offsets fit into the tables, and phases are few."""
    made = Convolution(call, roles)
    far = max(_end(array) for array in (made.x, made.weight, made.y))
    around = [
        n + 2 * abs(p) + d * k
        for n, p, d, k in zip(
            map(max, made.sizes, made.places), made.padding, made.dilation, made.kernel, strict=True
        )
    ]
    channels = max(made.x.shape[1], made.y.shape[1])
    reached = max(far, math.prod(around) * max(channels, made.images))
    lines = made.images * channels * around[0] * around[1]
    is_small = max(reached, lines) < FARTHEST
    return is_small and (not phased or math.prod(made.stride) <= PHASES)


def _end(array: Array) -> int:
    """The offset of the last element."""
    return sum(max(n - 1, 0) * s for n, s in zip(array.shape, array.element_strides, strict=True))


def _specialised(make: Any, roles: Roles, call: Any) -> Any:
    if not call.outputs[0].numel:
        return lambda *arrays: None
    convolution = Convolution(call, roles)
    device, label = device_of(call.outputs[0].device), call.op.name
    operations = convolution.operations
    run: Any = None
    if is_worth_it(device, call, operations):
        wide = in_float32(call)
        run = make(wide, Convolution(wide, roles))
        run = None if _is_general(run) else by_float32(device, call, run)
    if run is None:
        run = make(call, convolution)

    def counted(*arrays: Any) -> None:
        if device.worked is not None:
            device.worked(label, operations)
        run(*arrays)

    return counted


def _is_general(run: Any) -> bool:
    """Whether what was resolved is the kernel for all dtypes, without a way of its own."""
    return isinstance(run.run if isinstance(run, Unbiased) else run, Gathered)


def _window(channels: int, step: int, offsets: np.ndarray) -> np.ndarray:
    """Offsets of the steps of depth: channel by channel, a window in each."""
    begins = np.arange(channels, dtype=np.int64) * step
    flat: np.ndarray = np.add.outer(begins, offsets).reshape(-1)
    return flat


def _window_at(offsets: Sequence[int], dilation: Three, padding: Three) -> Three:
    """Where elements of a window at place 0 are in the image."""
    zipped = zip(offsets, dilation, padding, strict=True)
    z, y, x = (k * d - p for k, d, p in zipped)
    return z, y, x


def _times(a: Three, b: Three) -> Three:
    return (a[0] * b[0], a[1] * b[1], a[2] * b[2])


def _goes_by_lines(c: Convolution, columns: int) -> bool:
    """Whether filters are few, and a vector's elements not farther apart than there is slack."""
    return columns < FEW and c.stride[2] * 2 <= SLACK


def _conv(call: Any, c: Convolution) -> Any:
    bias = None if call.inputs[2] is None else ghost(call.inputs[2])
    device = device_of(call.outputs[0].device)
    few = _goes_by_lines(c, c.made)
    image = image_of(device, c.x, c.padding, c.reach, c.work, in_place=not few)
    to = three(c.y.element_strides[2:], 0)
    per_place = _times(c.stride, image.steps)
    weight = c.weight.element_strides
    part = Part(
        rows_at=grid(c.places, per_place),
        out_at=grid(c.places, to),
        depth_at=_window(c.given, image.channel, grid(c.kernel, _times(c.dilation, image.steps))),
        weight_at=_window(c.given, weight[1], grid(c.kernel, three(weight[2:], 0))),
        lines=Lines(c.places, per_place, to),
        window=[
            _window_at(offsets, c.dilation, c.padding)
            for offsets in itertools.product(*map(range, c.kernel))
        ],
        stride=c.stride,
    )
    made = Map(
        device=device,
        work=c.work,
        image=image,
        filters=Filters(c.weight, c.made * weight[0], weight[0]),
        out=c.y,
        bias=bias,
        images=c.images,
        groups=c.groups,
        columns=c.made,
        x_group=c.given * image.channel,
        out_group=c.made * c.y.element_strides[1],
        out_column=c.y.element_strides[1],
        label=call.op.name,
        parts=[part],
        is_rectified=call.op.name == "conv_relu",
    )
    return _resolved(made, c.x, c.padding, c)


def _resolved(made: Map, source: Array, first: Three, c: Convolution) -> Any:
    """The kernel that suits a map of ``source``, which has ``first`` zeros before it."""
    if _goes_by_lines(c, made.columns):
        given = made.x_group // made.image.channel
        if given > 1 and is_padded(made, source):
            return Padded(made, source)
        if is_cached(made.device, made.image, given, made.work, made.images * made.groups):
            return Planes(made, source, first, given)
        return Direct(made)
    if is_padded(made, source) and reads_few(made, source):
        return Padded(made, source)
    is_plain = c.kernel == (1, 3, 3) and c.dilation[1:] == (1, 1)
    if is_plain and min(first) >= 0 and pays(made, source, first):
        return Winograd(made, source, first)
    if is_plain and pays_in_steps(made, source):
        return WinogradSteps(made, source)
    if is_packed(made, source):
        return Packed(made, source)
    return Gathered(made)


def _grad_input(call: Any, c: Convolution) -> Any:
    """A convolution of the gradient with stride 1, for each phase of the places of x."""
    bias = call.inputs[2] if len(call.inputs) > 2 else None
    device = device_of(call.outputs[0].device)
    few = _goes_by_lines(c, c.given)
    phases = c.phases
    # Where the first place of the gradient's image is, so that all windows lie in it.
    first, extents = [], []
    for dim in phases:
        reached = [at + i for p in dim for at in p.at for i in (0, p.length - 1)] or [0]
        first.append(-min(reached))
        extents.append(max(reached) - min(reached) + 1)
    image = image_of(device, c.y, three(first, 0), three(extents, 1), c.work, in_place=not few)
    out, weight = c.x.element_strides, c.weight.element_strides
    out_steps, weight_steps = three(out[2:], 0), three(weight[2:], 0)
    parts = []
    for phase in itertools.product(*phases):
        counts = three([p.length for p in phase], 1)
        to = _times(c.stride, out_steps)
        depth = weight_offsets = np.zeros(1, np.int64)
        for p, begin, step, weight_step in zip(
            phase, first, image.steps, weight_steps, strict=True
        ):
            at = (np.array(p.at, np.int64) + begin) * step
            depth = np.add.outer(depth, at).reshape(-1)
            at = np.array(p.offsets, np.int64) * weight_step
            weight_offsets = np.add.outer(weight_offsets, at).reshape(-1)
        parts.append(
            Part(
                rows_at=grid(counts, image.steps),
                out_at=grid(counts, to),
                depth_at=_window(c.made, image.channel, depth),
                weight_at=_window(c.made, weight[0], weight_offsets),
                lines=Lines(counts, image.steps, to),
                window=[three(at, 0) for at in itertools.product(*(p.at for p in phase))],
                stride=(1, 1, 1),
                offset=sum(p.begin * s for p, s in zip(phase, out_steps, strict=True)),
            )
        )
    made = Map(
        device=device,
        work=c.work,
        image=image,
        filters=Filters(c.weight, c.made * weight[0], weight[1]),
        out=c.x,
        bias=None if bias is None else ghost(bias),
        images=c.images,
        groups=c.groups,
        columns=c.given,
        x_group=c.made * image.channel,
        out_group=c.given * out[1],
        out_column=out[1],
        label=call.op.name,
        parts=parts,
    )
    run = _resolved(made, c.y, three(first, 0), c)
    if len(call.inputs) > 2:
        return run
    return Unbiased(run)


class Unbiased:
    """``run(grad, weight, out)`` of a map that takes a bias."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def __call__(self, grad: Any, weight: Any, out: Any) -> None:
        """Queue it."""
        self.run(grad, weight, None, out)


def _grad_weight(call: Any, c: Convolution) -> Any:
    device = device_of(call.outputs[0].device)
    if c.operations <= 2 * FEW_PRODUCTS:
        return FewSum(device, c, call.op.name)
    few = _goes_by_lines(c, c.made) and device.is_cpu
    out = c.weight.element_strides
    image = image_of(device, c.x, c.padding, c.reach, c.work, in_place=not few)
    offsets = grid(c.kernel, _times(c.dilation, image.steps))
    made = Sum(
        device=device,
        work=c.work,
        image=image,
        grad=c.y,
        out=c.weight,
        rows_at=_window(c.given, image.channel, offsets),
        out_at=_window(c.given, out[1], grid(c.kernel, three(out[2:], 0))),
        depth_at=grid(c.places, _times(c.stride, image.steps)),
        grad_at=grid(c.places, three(c.y.element_strides[2:], 0)),
        images=c.images,
        groups=c.groups,
        columns=c.made,
        x_group=c.given * image.channel,
    )
    windows = Windows(c.kernel, c.stride, c.padding, c.dilation, c.places)
    if c.given * c.made > 1 and is_padded_sum(made, c.x, windows):
        return PaddedSum(made, c.x, windows)
    if not few:
        is_local = tile_for(device, c.work, c.made).is_local
        return Summed(made) if is_local else Blocks(made)
    if is_cached(device, image, c.given, c.work, c.groups):
        return PlanesSum(made, c.x, c.padding, c.given, c.stride, c.places)
    grad = image_of(device, c.y, (0, 0, 0), c.places, c.work, in_place=False)
    return DirectSum(made, grad, c.stride, c.places)
