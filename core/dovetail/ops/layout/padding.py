"""``pad``: more (or fewer) places at the ends of the last dims, filled in four ways."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import raw
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.factories import fill_raw
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import composite, draw
from dovetail.ops.schema import Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__ = ["constant_pad_nd", "pad"]

Sides = tuple[tuple[int, int], ...]
"""(before, after) of each of the last dims, in the order of the dims; negative: cut off."""


def _padded_infer(spec: Spec, sides: Sides, value: Any) -> Inferred:
    shape = list(spec.shape)
    first = spec.ndim - len(sides)
    for i, (before, after) in enumerate(sides, first):
        is_cut_too_far = shape[i] + min(before, 0) + min(after, 0) < 0
        shape[i] += before + after
        if is_cut_too_far:
            raise RuntimeError("narrow(): length must be non-negative.")
    strides = None
    if not spec.is_contiguous and spec.is_dense and spec.ndim > 3:
        # Channels-last stays channels-last.
        strides = _strides_in_order(tuple(shape), spec)
    return Inferred((None,), ((tuple(shape), spec.dtype, strides),))


def _strides_in_order(shape: tuple[int, ...], spec: Spec) -> tuple[int, ...]:
    strides, step = [0] * len(shape), 1
    for i in sorted(range(len(shape)), key=lambda i: (spec.strides[i], -i)):
        strides[i] = step
        step *= max(shape[i], 1)
    return tuple(strides)


def _constant(input: Tensor, sides: Sides, value: Any) -> Tensor:
    spec = input._spec
    shape, kind, strides = _padded_infer(spec, sides, value).outs[0]
    made = raw.empty(spec_of(shape, kind, spec.device, strides))
    fill_raw(made, value)
    inner, source, target = list(spec.shape), 0, 0
    for i, (before, after) in enumerate(sides, spec.ndim - len(sides)):
        inner[i] += min(before, 0) + min(after, 0)
        source += max(-before, 0) * spec.strides[i]
        target += max(before, 0) * made._spec.strides[i]
    if min(inner, default=1) > 0:
        part = tuple(inner)
        raw.copy(
            raw.view(input, spec_of(part, kind, spec.device, spec.strides), source),
            raw.view(made, spec_of(part, kind, spec.device, made._spec.strides), target),
        )
    return made


def _constant_gradient(g: Any, specs: Any, sides: Sides) -> Any:
    if any(n < 0 for side in sides for n in side):
        return call(PAD, (g,), (tuple((-a, -b) for a, b in sides), 0))
    spec = specs[0]
    for i, (before, _) in enumerate(sides, spec.ndim - len(sides)):
        g = g.narrow(i, before, spec.shape[i])
    return g


def _reference(x: np.ndarray, pad: Sequence[int], mode: str = "constant", value: Any = 0) -> Any:
    sides = [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    grow = [(max(a, 0), max(b, 0)) for a, b in sides]
    names = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    extra: dict[str, Any] = {"constant_values": value or 0} if mode == "constant" else {}

    def cut(of: np.ndarray) -> np.ndarray:
        ends = zip(sides, of.shape, strict=True)
        return of[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in ends)]

    function: Any = np.pad
    if mode == "circular":  # what is cut off does not come again
        return function(cut(x), grow, names[mode], **extra)
    return cut(function(x, grow, names[mode], **extra))


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases: tuple[tuple[tuple[int, ...], tuple[Any, ...]], ...] = (
        ((4,), ((1, 2),)),
        ((2, 3), ((1, 0, 2, 1), "constant", 3)),
        ((2, 4), ((-1, 2),)),
        ((2, 3, 4), ((0, 0, 1, 1),)),
        ((0, 3), ((1, 1, 1, 1),)),
        ((2, 4), ((2, 1), "reflect")),
        ((1, 2, 3, 3), ((1, 2, 2, 1), "reflect")),
        ((2, 3), ((2, 4), "replicate")),
        ((1, 2, 3, 3), ((3, 1, 2, 1), "circular")),
    )
    return [Sample((draw(rng, shape, dtype, -5, 5), *rest)) for shape, rest in cases]


PAD = OpDef(
    "pad",
    attributes=("sides", "value"),
    infer=_padded_infer,
    decompose=_constant,
    gradient={"input": _constant_gradient},
    reference=_reference,
    samples=_samples,
    method=False,
    public=False,
    node_name=lambda *_, **__: "constant_pad_nd",
)
"""Padding with one value."""


def _ends_infer(spec: Spec, sides: Sides, mode: str) -> Inferred:
    shape = list(spec.shape)
    for dim, (before, after) in enumerate(sides, spec.ndim - len(sides)):
        if before or after:
            size, name = shape[dim] + before + after, "WHD"[spec.ndim - 1 - dim]
            if mode != "circular" and size < 1 <= shape[dim]:
                raise RuntimeError(
                    f"input ({name}: {shape[dim]}) is too small. Calculated output {name}: {size}"
                )
            shape[dim] = len(_PLACES[mode](shape, dim, before, after))
    return Inferred((None,), ((tuple(shape), spec.dtype),))


def _ends_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases: tuple[tuple[tuple[int, ...], tuple[Any, ...]], ...] = (
        ((2, 4), (((2, 3),), "reflect")),
        ((2, 4, 5), (((1, 2), (4, 0)), "reflect")),
        ((2, 3), (((2, 4),), "replicate")),
        ((1, 2, 3, 4), (((0, 1), (6, 2)), "replicate")),
        ((1, 2, 3, 3), (((3, 1), (2, 1)), "circular")),
        ((2, 5), (((-1, 4),), "circular")),
        ((2, 4), (((3, -5),), "replicate")),
        ((1, 3, 3), (((-4, 2), (2, -4)), "reflect")),
    )
    return [Sample((draw(rng, shape, dtype, -5, 5), *rest)) for shape, rest in cases]


def _ends_reference(x: np.ndarray, sides: Sides, mode: str) -> Any:
    return _reference(x, [n for side in reversed(sides) for n in side], mode)


def _unpadded(shape: Sequence[int], sides: Sides) -> tuple[int, ...]:
    ahead = len(shape) - len(sides)
    ends = (n - before - after for n, (before, after) in zip(shape[ahead:], sides, strict=True))
    return (*shape[:ahead], *ends)


def _back_infer(grad: Spec, sides: Sides, mode: str) -> Inferred:
    return Inferred((None,), ((_unpadded(grad.shape, sides), grad.dtype),))


def _back_reference(g: np.ndarray, sides: Sides, mode: str) -> Any:
    shape = _unpadded(g.shape, sides)
    places = _ends_reference(np.arange(math.prod(shape)).reshape(shape), sides, mode)
    made = np.zeros(math.prod(shape), g.dtype)
    np.add.at(made, places.reshape(-1), g.reshape(-1))
    return made.reshape(shape)


def _back_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for (x, *rest), _, _ in _ends_samples(rng, dtype):
        made.append(Sample((draw(rng, _ends_reference(x, *rest).shape, dtype, -5, 5), *rest)))
    return made


@composite(
    "pad_ends_backward",
    inputs=("grad",),
    infer=_back_infer,
    gradient={"grad": lambda g, sides, mode: pad_ends(g, sides, mode)},
    accepts=tuple(k for k in d.ALL if k.category >= 2),
    compute=d.float32,
    reference=_back_reference,
    samples=_back_samples,
    tolerance=Tolerance(16),
    method=False,
    public=False,
    named="pad",
)
def pad_ends_backward(grad: Any, sides: Sides, mode: str) -> Any:
    """The gradient of ``pad_ends``: each element has the sum over the places that it stands at."""
    shape = _unpadded(grad._spec.shape, sides)
    for dim, (before, after) in enumerate(sides, grad._spec.ndim - len(sides)):
        if before or after:
            places = _PLACES[mode](shape, dim, before, after)
            index = raw.from_host(places, d.int64, state_of(grad._spec.device))
            part = (*grad._spec.shape[:dim], shape[dim], *grad._spec.shape[dim + 1 :])
            grad = grad.new_zeros(part).index_add(dim, index, grad)
    return grad


@composite(
    "pad_ends",
    infer=_ends_infer,
    gradient={"input": lambda g, sides, mode: pad_ends_backward(g, sides, mode)},
    reference=_ends_reference,
    samples=_ends_samples,
    method=False,
    public=False,
    named="pad",
)
def pad_ends(input: Any, sides: Sides, mode: str) -> Any:
    """Padding with elements of the input: ``reflect``, ``replicate`` or ``circular``."""
    for dim, (before, after) in enumerate(sides, input._spec.ndim - len(sides)):
        if before or after:
            places = _PLACES[mode](input._spec.shape, dim, before, after)
            index = raw.from_host(places, d.int64, state_of(input._spec.device))
            input = input.index_select(dim, index)
    return input


@operator(PAD)
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Tensor:
    """The last dims made longer at both ends; a negative number cuts off.

    Args:
        pad: (left, right, top, bottom, …), the last dim first.
        mode: ``constant``, ``reflect``, ``replicate`` or ``circular``; all but the first pad the
            last one to three dims, with one or two dims before them.
        value: what ``constant`` fills in, 0 if None.

    Raises:
        RuntimeError: the pads do not fit the input.
        NotImplementedError: an unknown mode, or a number of dims that it does not pad.
    """
    if not isinstance(mode, str):
        raise TypeError(f"pad(): argument 'mode' must be str, not {type(mode).__name__}")
    amounts = [n.__index__() for n in pad]
    ndim = input._spec.ndim
    if len(amounts) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(amounts) > 2 * ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(amounts)} and input of dimension {ndim}"
        )
    sides = tuple(zip(amounts[::2], amounts[1::2], strict=True))[::-1]
    if mode == "constant":
        return call(PAD, (input,), (sides, 0 if value is None else value))
    if mode not in _PLACES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value not in (None, 0):
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if len(sides) > 3 or ndim not in (len(sides) + 1, len(sides) + 2):
        raise NotImplementedError(
            f"Padding size {len(amounts)} is not supported for {ndim}D input tensor.\n"
            "Supported combinations for non-constant padding:\n"
            "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
            "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
            "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
        )
    return pad_ends(input, sides, mode) if any(amounts) else input


# Which element stands at each place of a padded dim.


def _reflected(shape: Sequence[int], dim: int, before: int, after: int) -> np.ndarray:
    n = shape[dim]
    if max(before, after) >= n:
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but "
            f"got: padding ({before}, {after}) at dimension {dim} of input {list(shape)}"
        )
    at = np.abs(np.arange(-before, n + after))
    return np.where(at < n, at, 2 * (n - 1) - at)


def _replicated(shape: Sequence[int], dim: int, before: int, after: int) -> np.ndarray:
    n = shape[dim]
    if not n:
        raise RuntimeError(
            "Expected at least one element to repeat in every padded dimension, but got input of "
            f"shape {list(shape)}"
        )
    return np.clip(np.arange(-before, n + after), 0, n - 1)


def _wrapped(shape: Sequence[int], dim: int, before: int, after: int) -> np.ndarray:
    n = shape[dim]
    if max(before, after) > n:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    first, last = max(-before, 0), n - max(-after, 0)
    if last < first or (last == first and max(before, after) > 0):
        raise RuntimeError("Negative padding value is resulting in an empty dimension")
    places = np.arange(-max(before, 0), last - first + max(after, 0))
    return first + places % max(last - first, 1)


_PLACES = {"reflect": _reflected, "replicate": _replicated, "circular": _wrapped}


@publish(method=False, out=True)
def constant_pad_nd(input: Tensor, pad: Sequence[int], value: Any = 0) -> Tensor:
    """``pad`` with one value, of any dims.

    Args:
        pad: (left, right, top, bottom, …), the last dim first.
        value: what is filled in.

    Raises:
        RuntimeError: the pads do not fit the input.
    """
    ndim = input._spec.ndim
    if len(pad) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(pad)}")
    if len(pad) > 2 * ndim:
        raise RuntimeError(
            "Length of pad should be no more than twice the number of dimensions of the input. Pad "
            f"length is {len(pad)} while the input has {ndim} dimensions."
        )
    return _pad(input, pad, "constant", value)


_pad: Any = pad  # the function above has a parameter of that name
