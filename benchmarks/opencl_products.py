"""What ``opencl_conv_matmul.py`` measures: products, and the layers of known networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch

import dovetail as dt
from dovetail import ops

__all__ = ["Call", "Case", "cases"]

DEVICE = "opencl:0"
Call = Callable[[], Any]


class Case(NamedTuple):
    """One comparison.

    Attributes:
        goal: the ratio that was set.
        work: in floating-point operations.
        calls: makes (ours, PyTorch's).
    """

    name: str
    goal: float
    work: float
    calls: Callable[[], tuple[Call, Call]]


@cache
def on_both(*shape: int) -> tuple[Any, torch.Tensor]:
    """Equal numbers on the device and in PyTorch."""
    values = np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)
    return dt.tensor(values, device=DEVICE), torch.from_numpy(values)


PRODUCTS = (
    # what it is called, shapes, goal
    ("matmul 256", (256, 256), (256, 256), 0.65),
    ("matmul 1024", (1024, 1024), (1024, 1024), 0.65),
    ("matmul 1024, transposed", (1024, 1024), (1024, 1024), 0.65),
    ("matmul 2048", (2048, 2048), (2048, 2048), 0.65),
    ("matmul 16 of (128, 64, 128)", (16, 128, 64), (16, 64, 128), 1.0),
    ("matmul (32, 20000, 32)", (32, 20000), (20000, 32), 1.0),
)


def _product(left: tuple[int, ...], right: tuple[int, ...], is_turned: bool) -> tuple[Call, Call]:
    (a, ta), (b, tb) = on_both(*left), on_both(*right)
    if is_turned:
        b, tb = b.mT, tb.mT
    return lambda: a @ b, lambda: ta @ tb


def _linear() -> tuple[Call, Call]:
    (x, tx), (w, tw), (v, tv) = on_both(256, 1024), on_both(1024, 1024), on_both(1024)
    return (
        lambda: dt.nn.functional.linear(x, w, v),
        lambda: torch.nn.functional.linear(tx, tw, tv),
    )


class Layer(NamedTuple):
    """A convolution of a square image; windows are padded to keep its size at stride 1."""

    network: str
    images: int
    channels: int
    size: int
    filters: int
    kernel: int = 3
    stride: int = 1
    groups: int = 1

    @property
    def name(self) -> str:
        """Network, kernel and stride, shape of the image, filters."""
        shape = (self.images, self.channels, self.size, self.size)
        stride = f" stride {self.stride}" if self.stride > 1 else ""
        groups = f" in {self.groups} groups" if self.groups > 1 else ""
        k = self.kernel
        return f"{self.network} {k}x{k}{stride} {shape} to {self.filters}{groups}"


def _of(network: str, images: int, *layers: tuple[int, ...]) -> Iterator[Layer]:
    return (Layer(network, images, *layer) for layer in layers)


# Channels, size and filters; then kernel, stride and groups. ResNets have 224 pixels or 32.
LAYERS = (
    *_of("VGG16", 2, (3, 224, 64), (64, 224, 64), (64, 112, 128), (128, 112, 128)),
    *_of("VGG16", 2, (128, 56, 256), (256, 56, 256), (256, 28, 512), (512, 28, 512)),
    *_of("VGG16", 2, (512, 14, 512)),
    *_of("ResNet", 8, (64, 56, 64), (128, 28, 128), (256, 14, 256), (512, 7, 512)),
    *_of("ResNet-18", 8, (64, 56, 128, 3, 2), (128, 28, 256, 3, 2), (256, 14, 512, 3, 2)),
    *_of("ResNet-50", 8, (128, 56, 128, 3, 2), (256, 28, 256, 3, 2), (512, 14, 512, 3, 2)),
    *_of("ResNet of 32", 8, (3, 32, 64), (64, 32, 64), (128, 16, 128), (256, 8, 256)),
    *_of("ResNet of 32", 8, (512, 4, 512)),
    *_of("ResNet-18 of 32", 8, (64, 32, 128, 3, 2), (128, 16, 256, 3, 2), (256, 8, 512, 3, 2)),
    *_of("ResNet-50 of 32", 8, (128, 32, 128, 3, 2), (256, 16, 256, 3, 2), (512, 8, 512, 3, 2)),
    *_of("others", 8, (3, 224, 64, 7, 2), (64, 56, 256, 1), (256, 56, 64, 1), (64, 56, 128, 1, 2)),
    *_of("others", 16, (144, 28, 144, 3, 1, 144), (512, 7, 512)),
    *_of("others", 8, (96, 56, 96, 3, 2, 96), (128, 28, 128, 3, 1, 32)),
)


def _forward(layer: Layer) -> tuple[Call, Call]:
    (x, tx), (w, tw), _ = _tensors(layer)
    options = _options(layer)
    return lambda: ops.conv(x, w, None, **options), lambda: torch.conv2d(tx, tw, **options)


def _gradient(of_weight: bool, layer: Layer) -> tuple[Call, Call]:
    (x, tx), (w, tw), (g, tg) = _tensors(layer)
    options, x_shape, w_shape = _options(layer), tuple(x.shape), tuple(w.shape)
    rest = (None, *(options[name] for name in ("stride", "padding", "dilation")), False, (0, 0))
    wanted = (not of_weight, of_weight, False)

    def theirs() -> Any:
        return torch.ops.aten.convolution_backward(tg, tx, tw, *rest, layer.groups, wanted)

    if of_weight:
        return lambda: ops.conv_grad_weight(g, x, weight_shape=w_shape, **options), theirs
    return lambda: ops.conv_grad_input(g, w, input_shape=x_shape, **options), theirs


DIRECTIONS = {
    "forward": (1.0, _forward),
    "grad input": (1.3, partial(_gradient, False)),
    "grad weight": (1.3, partial(_gradient, True)),
}


def _places(layer: Layer) -> int:
    return (layer.size - 1) // layer.stride + 1


def _tensors(layer: Layer) -> list[Any]:
    n, k, places = layer.images, layer.kernel, _places(layer)
    return [
        on_both(n, layer.channels, layer.size, layer.size),
        on_both(layer.filters, layer.channels // layer.groups, k, k),
        on_both(n, layer.filters, places, places),
    ]


def _options(layer: Layer) -> dict[str, Any]:
    return {
        "stride": (layer.stride,) * 2,
        "padding": (layer.kernel // 2,) * 2,
        "dilation": (1, 1),
        "groups": layer.groups,
    }


def cases() -> Iterator[Case]:
    """All of them."""
    for name, left, right, goal in PRODUCTS:
        work = 2.0 * np.prod(left) * right[-1]
        yield Case(name, goal, work, partial(_product, left, right, name.endswith("transposed")))
    yield Case("linear (256, 1024) to 1024", 1.0, 2.0 * 256 * 1024 * 1024, _linear)
    for layer in LAYERS:
        each = layer.channels // layer.groups * layer.kernel**2
        work = 2.0 * layer.images * layer.filters * _places(layer) ** 2 * each
        for direction, (goal, calls) in DIRECTIONS.items():
            yield Case(f"{layer.name}: {direction}", goal, work, partial(calls, layer))
        on_both.cache_clear()
