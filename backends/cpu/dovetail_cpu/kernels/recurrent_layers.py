"""Whole recurrent layers. Per step there is the product with the state and what depends on it.

All else is done once for all steps: factors around tanh are multiplied into the gates and weights
before, and slopes of activations are computed after, in whole arrays. ``sigmoid(x) = (1 + tanh(x /
2)) / 2``. Each call of NumPy costs half a microsecond, which a step of a small layer has ten of.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.matmul import is_small, matmul

__all__ = ["enter"]

Array = np.ndarray


@functools.lru_cache(64)
def _around_tanh(marks: str, size: int, dtype: Any) -> tuple[Array, Array]:
    """(G size,) each, the factor and the term: one half for the gates marked s, else 1 and 0."""
    gates = np.array([mark == "s" for mark in marks])
    factor = np.repeat(np.where(gates, 0.5, 1.0).astype(dtype), size)
    term = np.repeat(np.where(gates, 0.5, 0.0).astype(dtype), size)
    return factor, term


def _rows(row: Array, count: int) -> Array:
    """A row as often as said: NumPy takes a fourth of the time where nothing is broadcast."""
    rows = np.empty((count, len(row)), row.dtype)
    rows[...] = row
    return rows


def _parts(a: Array, count: int) -> list[Array]:
    """Views of the gates of (T, N, count H): (T, N, H) each."""
    size = a.shape[-1] // count
    return [a[..., i * size : (i + 1) * size] for i in range(count)]


def _steps(reverse: bool, *arrays: Array) -> Any:
    """Views of each step, in the order in which the steps are made."""
    return zip(*(a[::-1] if reverse else a for a in arrays), strict=True)


def _product(rows: int, weight: Array) -> Any:
    """``product(a, b, out)`` for the product of every step."""
    return np.dot if is_small(rows, *weight.shape) else matmul


def _turned(weight: Array) -> Array:
    """A copy, also where the weight has one column and is its own transpose in memory."""
    return np.array(weight.T, order="C")


# LSTM: gates i, f, g, o


def lstm_layer(
    gates: Array, hx: Array, cx: Array, weight: Array, output: Array, cells: Array,
    activated: Array, *, reverse: bool,
) -> None:  # fmt: skip
    """(T, N, 4 H), (N, H) twice, (4 H, H) -> (T, N, H) twice, (T, N, 4 H)."""
    n, size = hx.shape
    factor, term = _around_tanh("ssts", size, gates.dtype)
    turned = _turned(weight)
    turned *= factor
    np.multiply(gates, factor, out=activated)
    factor, term = _rows(factor, n), _rows(term, n)
    product, h, c = _product(n, weight), np.ascontiguousarray(hx), cx
    added, kept = np.empty((n, 4 * size), gates.dtype), np.empty((n, size), gates.dtype)
    for a, i, f, g, o, h_out, c_out in _steps(
        reverse, activated, *_parts(activated, 4), output, cells
    ):
        product(h, turned, added)
        np.add(a, added, a)
        np.tanh(a, a)
        np.multiply(a, factor, a)
        np.add(a, term, a)
        np.multiply(f, c, c_out)
        np.multiply(i, g, kept)
        np.add(c_out, kept, c_out)
        np.tanh(c_out, kept)
        np.multiply(o, kept, h_out)
        h, c = h_out, c_out


def lstm_layer_backward(
    grad_output: Array, grad_cells: Array | None, grad_activated: Array | None, activated: Array,
    cells: Array, cx: Array, weight: Array, of_gates: Array, of_hx: Array, of_cx: Array, *,
    reverse: bool,
) -> None:  # fmt: skip
    """Gradients for the gates and both first states."""
    n, size = cx.shape
    i, f, g, o = _parts(activated, 4)
    # What the gradients of h and c are multiplied by, gate by gate, and in ``of_cell`` on the way
    # from h to c.
    slopes = np.multiply(activated, activated, order="C")
    np.subtract(activated, slopes, out=slopes)
    si, sf, sg, so = _parts(slopes, 4)
    np.multiply(g, g, out=sg)
    np.subtract(1, sg, out=sg)
    extra = None if grad_activated is None else grad_activated * slopes
    np.multiply(si, g, out=si)
    np.multiply(sg, i, out=sg)
    before = cells[1:] if reverse else cells[:-1]
    np.multiply(sf[:-1] if reverse else sf[1:], before, out=sf[:-1] if reverse else sf[1:])
    np.multiply(sf[-1 if reverse else 0], cx, out=sf[-1 if reverse else 0])
    top = np.tanh(cells)
    np.multiply(so, top, out=so)
    np.multiply(top, top, out=top)
    np.subtract(1, top, out=top)
    of_cell = np.multiply(top, o, out=top)

    product = _product(n, weight)
    weight = np.ascontiguousarray(weight)
    h, c = np.empty((n, size), cx.dtype), np.zeros((n, size), cx.dtype)
    kept, back = np.empty_like(h), np.zeros_like(h)
    three = c[:, None]
    wide = (len(cells), n, 4, size)
    views = (
        grad_output, of_gates, of_gates.reshape(wide)[:, :, :3], slopes.reshape(wide)[:, :, :3],
        of_gates[..., 3 * size :], so, of_cell, f,
    )  # fmt: skip
    others = [a for a in (grad_cells, extra) if a is not None]
    for g_out, gate, three_out, three_slope, o_out, o_slope, cell, forget, *more in _steps(
        not reverse, *views, *others
    ):
        np.add(g_out, back, h)
        np.multiply(h, cell, kept)
        np.add(c, kept, c)
        if grad_cells is not None:
            np.add(c, more[0], c)
        np.multiply(three_slope, three, three_out)
        np.multiply(o_slope, h, o_out)
        if extra is not None:
            np.add(gate, more[-1], gate)
        np.multiply(c, forget, c)
        product(gate, weight, back)
    np.copyto(of_hx, back)
    np.copyto(of_cx, c)


# GRU: gates r, z, n


def gru_layer(
    gates: Array, hx: Array, weight: Array, bias: Array | None, output: Array, activated: Array, *,
    reverse: bool,
) -> None:  # fmt: skip
    """(T, N, 3 H), (N, H), (3 H, H), (3 H,) -> (T, N, H), (T, N, 4 H)."""
    n, size = hx.shape
    factor, _ = _around_tanh("sst", size, gates.dtype)
    turned = _turned(weight)
    turned *= factor
    # The bias of r and z counts with the gates', that of n only after its product with r.
    first = np.multiply(gates, factor, out=np.empty(gates.shape, gates.dtype))
    own = None
    if bias is not None:
        first[..., : 2 * size] += bias[: 2 * size] * factor[: 2 * size]
        own = _rows(bias[2 * size :], n)
    product, h = _product(n, weight), np.ascontiguousarray(hx)
    added, kept = np.empty((n, 3 * size), gates.dtype), np.empty((n, size), gates.dtype)
    of_both, of_new = added[:, : 2 * size], added[:, 2 * size :]
    r, z, new, hidden = _parts(activated, 4)
    for g_both, g_new, both, r_out, z_out, n_out, scaled, h_out in _steps(
        reverse, first[..., : 2 * size], first[..., 2 * size :], activated[..., : 2 * size],
        r, z, new, hidden, output,
    ):  # fmt: skip
        product(h, turned, added)
        np.add(g_both, of_both, both)
        np.tanh(both, both)
        np.multiply(both, 0.5, both)
        np.add(both, 0.5, both)
        if own is None:
            np.copyto(scaled, of_new)
        else:
            np.add(of_new, own, scaled)
        np.multiply(r_out, scaled, kept)
        np.add(kept, g_new, kept)
        np.tanh(kept, n_out)
        np.subtract(h, n_out, kept)
        np.multiply(kept, z_out, kept)
        np.add(kept, n_out, h_out)
        h = h_out


def gru_layer_backward(
    grad_output: Array, grad_activated: Array | None, activated: Array, output: Array, hx: Array,
    weight: Array, of_gates: Array, of_hidden: Array, of_hx: Array, *, reverse: bool,
) -> None:  # fmt: skip
    """Gradients for the gates, the state's share of them and the first state."""
    n, size = hx.shape
    r, z, new, hidden = _parts(activated, 4)
    slopes = np.empty(of_gates.shape, of_gates.dtype)
    sr, sz, sn = _parts(slopes, 3)
    # The slopes of r, z and n; then what the gradient of h is multiplied by for each.
    both = activated[..., : 2 * size]
    np.multiply(both, both, out=slopes[..., : 2 * size])
    np.subtract(both, slopes[..., : 2 * size], out=slopes[..., : 2 * size])
    np.multiply(new, new, out=sn)
    np.subtract(1, sn, out=sn)
    extra = None
    if grad_activated is not None:
        # It reaches r also by n.
        er, ez, en, eh = _parts(grad_activated, 4)
        of_new = en * sn
        rest = np.concatenate(((of_new * hidden + er) * sr, ez * sz), 2)
        extra = np.concatenate((rest, of_new), 2), np.concatenate((rest, of_new * r + eh), 2)
    np.multiply(sn, 1 - z, out=sn)
    scaled = np.multiply(sn, hidden)
    np.multiply(sr, scaled, out=sr)
    first = np.empty(output.shape, output.dtype)
    first[1:], first[0] = output[:-1], hx
    if reverse:
        first[:-1], first[-1] = output[1:], hx
    np.subtract(first, new, out=first)
    np.multiply(sz, first, out=sz)

    product = _product(n, weight)
    weight = np.ascontiguousarray(weight)
    back, every = np.zeros((n, size), hx.dtype), first  # the gradient of h at each step
    own = np.multiply(sn, r)
    wide = (len(output), n, 3, size)
    views = [
        grad_output, every, of_hidden.reshape(wide)[:, :, :2], slopes.reshape(wide)[:, :, :2],
        of_hidden[..., 2 * size :], own, of_hidden, z,
    ]  # fmt: skip
    if extra is not None:
        views.append(extra[1])
    kept = np.empty((n, size), hx.dtype)
    for g_out, h, two_out, two_slope, n_out, n_slope, gate, keep, *more in _steps(
        not reverse, *views
    ):
        np.add(g_out, back, h)
        np.multiply(two_slope, h[:, None], two_out)
        np.multiply(n_slope, h, n_out)
        if more:
            np.add(gate, more[0], gate)
        product(gate, weight, back)
        np.multiply(h, keep, kept)
        np.add(back, kept, back)
    np.copyto(of_hx, back)
    np.copyto(of_gates[..., : 2 * size], of_hidden[..., : 2 * size])
    np.multiply(sn, every, out=of_gates[..., 2 * size :])
    if extra is not None:
        of_gates[..., 2 * size :] += extra[0][..., 2 * size :]


# Plain cells


def rnn_layer(
    gates: Array, hx: Array, weight: Array, output: Array, *, reverse: bool, relu: bool
) -> None:
    """(T, N, H), (N, H), (H, H) -> (T, N, H)."""
    turned, product, h = _turned(weight), _product(len(hx), weight), np.ascontiguousarray(hx)
    for gate, out in _steps(reverse, gates, output):
        product(h, turned, out)
        np.add(out, gate, out)
        if relu:
            np.maximum(out, 0, out=out)
        else:
            np.tanh(out, out)
        h = out


def rnn_layer_backward(
    grad: Array, output: Array, weight: Array, of_gates: Array, of_hx: Array, *, reverse: bool,
    relu: bool,
) -> None:  # fmt: skip
    """Gradients for the gates and the first state."""
    if relu:
        slopes = np.greater(output, 0)
    else:
        slopes = np.multiply(output, output)
        np.subtract(1, slopes, out=slopes)
    product, weight = _product(len(of_hx), weight), np.ascontiguousarray(weight)
    back = np.zeros(of_hx.shape, of_hx.dtype)
    for g_out, gate, slope in _steps(not reverse, grad, of_gates, slopes):
        np.add(g_out, back, gate)
        np.multiply(gate, slope, gate)
        product(gate, weight, back)
    np.copyto(of_hx, back)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    kernels: Sequence[Any] = (
        lstm_layer, lstm_layer_backward, gru_layer, gru_layer_backward, rnn_layer,
        rnn_layer_backward,
    )  # fmt: skip
    for function in kernels:
        table.add(function.__name__, function, dtypes=(float32, float64), when=_outputs_are_dense)


def _outputs_are_dense(call: Any) -> bool:
    return all(spec.is_contiguous for spec in call.outputs)
