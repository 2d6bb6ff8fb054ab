"""Windows of an image as columns (im2col), and columns added up to an image (col2im).

Shapes: image (N, C, *S), columns (N, C x prod(K), prod(P)). kernel_size, stride, padding and
dilation have one number per spatial dim. Arguments are read and checked in ``nn.functional.fold``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.memory_formats import contiguous_format
from dovetail.ops.families import composite, draw
from dovetail.ops.layout.windows import offsets, padded_array, padded_with, places_of, window_view
from dovetail.ops.schema import Inferred, Sample, Tolerance
from dovetail.spec import Spec, contiguous_strides

__all__: list[str] = []

Sizes = tuple[int, ...]


def _tried() -> Any:
    for shape, kernel, stride, padding, dilation in (
        ((2, 3, 5, 6), (2, 3), (1, 2), (1, 0), (2, 1)),
        ((1, 1, 4, 4), (3, 3), (1, 1), (1, 1), (1, 1)),
        ((2, 1, 3, 3), (1, 1), (2, 2), (0, 0), (1, 1)),
        ((0, 2, 4, 4), (2, 2), (1, 1), (0, 0), (1, 1)),
        ((2, 2, 7), (3,), (2,), (1,), (2,)),
    ):
        names = ("kernel_size", "stride", "padding", "dilation")
        yield shape, dict(zip(names, (kernel, stride, padding, dilation), strict=True))


def _places(size: Sizes, geometry: dict[str, Sizes]) -> Sizes:
    kernel, stride = geometry["kernel_size"], geometry["stride"]
    return places_of(size, kernel, stride, geometry["padding"], geometry["dilation"])


def _column_shape(image: Sizes, geometry: dict[str, Sizes]) -> Sizes:
    channels = image[1] * math.prod(geometry["kernel_size"])
    return (image[0], channels, math.prod(_places(tuple(image[2:]), geometry)))


def _im2col_infer(input: Spec, **geometry: Sizes) -> Inferred:
    return Inferred((None,), ((_column_shape(tuple(input.shape), geometry), input.dtype),))


def _im2col_reference(x: Any, **geometry: Sizes) -> Any:
    places, padding = _places(x.shape[2:], geometry), geometry["padding"]
    padded = padded_array(x, padding, padding)
    windows = offsets(geometry["kernel_size"], places, geometry["stride"], geometry["dilation"])
    seen = [padded[where] for _, where in windows]
    return np.stack(seen, 2).reshape(_column_shape(x.shape, geometry))


def _col2im_reference(x: Any, *, input_shape: Sizes, **geometry: Sizes) -> Any:
    places, padding = _places(input_shape[2:], geometry), geometry["padding"]
    padded = padded_array(np.zeros(input_shape), padding, padding)
    kernel = geometry["kernel_size"]
    columns = x.reshape(*input_shape[:2], math.prod(kernel), *places)
    windows = offsets(kernel, places, geometry["stride"], geometry["dilation"])
    for i, (_, where) in enumerate(windows):
        padded[where] += columns[:, :, i]
    inner = (slice(p, p + n) for p, n in zip(padding, input_shape[2:], strict=True))
    where = (Ellipsis, *inner)
    return padded[where]


def _col2im_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for shape, geometry in _tried():
        columns = draw(rng, _column_shape(shape, geometry), dtype, -3, 3)
        made.append(Sample((columns,), {"input_shape": shape, **geometry}))
    return made


def _columns_of(
    g: Any, input_shape: Sizes, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Any:
    return ops.im2col(g, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)


@composite(
    "col2im",
    inputs=("columns",),
    infer=lambda columns, input_shape, **_: Inferred((None,), ((input_shape, columns.dtype),)),
    gradient={"columns": _columns_of},
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=_col2im_reference,
    samples=_col2im_samples,
    tolerance=Tolerance(8),
)
def col2im(
    columns: Any,
    *,
    input_shape: Sizes,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
) -> Any:
    """An image of ``input_shape`` that every column's window is added to."""
    batch, channels, *size = input_shape
    places = places_of(tuple(size), kernel_size, stride, padding, dilation)
    padded = (batch, channels, *(n + 2 * p for n, p in zip(size, padding, strict=True)))
    view = window_view(padded, kernel_size, places, stride, dilation)
    whole = ops.strided_backward(
        columns.reshape(view[0]),
        shape=padded,
        rule=("strided", (*view, 0, contiguous_strides(padded))),
    )
    for i, (start, n) in enumerate(zip(padding, size, strict=True)):
        whole = whole.narrow(2 + i, start, n)
    return whole.contiguous()


def _image_of(
    g: Any, specs: Any, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Any:
    return ops.col2im(
        g,
        input_shape=tuple(specs[0].shape),
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )


@composite(
    "im2col",
    infer=_im2col_infer,
    gradient={"input": _image_of},
    accepts=d.FLOATING,
    method=False,
    public=False,
    reference=_im2col_reference,
    samples=lambda rng, dtype: [
        Sample((draw(rng, shape, dtype, -3, 3),), geometry) for shape, geometry in _tried()
    ],
    tolerance=Tolerance(0),
)
def im2col(
    input: Any, *, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Any:
    """Every window of a padded image as a column."""
    places = places_of(tuple(input.shape[2:]), kernel_size, stride, padding, dilation)
    padded = padded_with(0.0, input, padding, padding)
    view = window_view(tuple(padded.shape), kernel_size, places, stride, dilation)
    channels = input.shape[1] * math.prod(kernel_size)
    # A copy in every case: a window may be the whole image.
    whole = padded.as_strided(*view).clone(memory_format=contiguous_format)
    return whole.reshape(input.shape[0], channels, math.prod(places))
