"""Cells of LSTM and GRU: all activations in one pass, as tanh of scaled gates.

``sigmoid(x) = (1 + tanh(x / 2)) / 2``, and NumPy has a fast tanh but no sigmoid.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.blocks import scratch

__all__ = ["enter"]

Array = np.ndarray


@functools.lru_cache(64)
def _rows(size: int, dtype: Any) -> tuple[Array, Array]:
    """(4 size,) each: the factors and terms around tanh, of gates i, f, g, o."""
    factor = np.full(4 * size, 0.5, dtype)
    factor[2 * size : 3 * size] = 1
    term = np.full(4 * size, 0.5, dtype)
    term[2 * size : 3 * size] = 0
    return factor, term


def _activated(gates: Array) -> Array:
    """The four gates of an LSTM after their activations, in scratch memory."""
    factor, term = _rows(gates.shape[1] // 4, gates.dtype)
    a = np.multiply(gates, factor, out=scratch(gates.dtype, gates.size).reshape(gates.shape))
    np.tanh(a, out=a)
    np.multiply(a, factor, out=a)
    return np.add(a, term, out=a)


def _columns(a: Array, n: int) -> list[Array]:
    size = a.shape[1] // n
    return [a[:, i * size : (i + 1) * size] for i in range(n)]


def fused_lstm_cell(gates: Array, cx: Array, h: Array, c: Array) -> None:
    """(N, 4 H), (N, H) -> h and c, (N, H)."""
    i, f, g, o = _columns(_activated(gates), 4)
    np.multiply(f, cx, out=c)
    np.multiply(i, g, out=h)
    np.add(c, h, out=c)
    np.tanh(c, out=h)
    np.multiply(h, o, out=h)


def fused_lstm_cell_backward(
    grad_h: Array, grad_c: Array, gates: Array, cx: Array, of_gates: Array, of_cell: Array
) -> None:
    """Gradients for the gates and the old c."""
    activated = _activated(gates)
    i, f, g, o = _columns(activated, 4)
    di, df, dg, do = _columns(of_gates, 4)
    t = np.multiply(f, cx, out=scratch(cx.dtype, cx.size, 1).reshape(cx.shape))
    np.multiply(i, g, out=di)
    np.add(t, di, out=t)
    np.tanh(t, out=t)
    np.multiply(grad_h, t, out=do)
    np.multiply(t, t, out=t)
    np.subtract(1, t, out=t)
    np.multiply(t, grad_h, out=t)
    np.multiply(t, o, out=t)
    np.add(t, grad_c, out=t)
    np.multiply(t, g, out=di)
    np.multiply(t, cx, out=df)
    np.multiply(t, i, out=dg)
    np.multiply(t, f, out=of_cell)
    # a (1 - a) of the sigmoids, 1 - a² of the tanh
    slope = scratch(gates.dtype, gates.size, 2).reshape(gates.shape)
    np.multiply(activated, activated, out=slope)
    g.fill(1)
    np.subtract(activated, slope, out=slope)
    np.multiply(of_gates, slope, out=of_gates)


def _gru_gates(input_gates: Array, hidden_gates: Array) -> tuple[Array, Array, Array]:
    """r, z and the new state, in scratch memory."""
    rows, width = input_gates.shape
    size, dtype = width // 3, input_gates.dtype
    both = scratch(dtype, rows * 2 * size).reshape(rows, 2 * size)
    np.add(input_gates[:, : 2 * size], hidden_gates[:, : 2 * size], out=both)
    np.multiply(both, 0.5, out=both)
    np.tanh(both, out=both)
    np.multiply(both, 0.5, out=both)
    np.add(both, 0.5, out=both)
    r, z = _columns(both, 2)
    n = scratch(dtype, rows * size, 1).reshape(rows, size)
    np.multiply(r, hidden_gates[:, 2 * size :], out=n)
    np.add(n, input_gates[:, 2 * size :], out=n)
    return r, z, np.tanh(n, out=n)


def fused_gru_cell(input_gates: Array, hidden_gates: Array, hx: Array, h: Array) -> None:
    """(N, 3 H) twice, (N, H) -> h, (N, H)."""
    _, z, n = _gru_gates(input_gates, hidden_gates)
    np.subtract(hx, n, out=h)
    np.multiply(h, z, out=h)
    np.add(h, n, out=h)


def fused_gru_cell_backward(
    grad: Array,
    input_gates: Array,
    hidden_gates: Array,
    hx: Array,
    of_input: Array,
    of_hidden: Array,
    of_state: Array,
) -> None:
    """Gradients for the gates and the old state."""
    r, z, n = _gru_gates(input_gates, hidden_gates)
    dr, dz, dn = _columns(of_input, 3)
    hr, hz, hn = _columns(of_hidden, 3)
    np.multiply(grad, z, out=of_state)
    spare = np.subtract(1, z, out=hr)
    np.subtract(hx, n, out=dz)
    np.multiply(dz, of_state, out=dz)
    np.multiply(dz, spare, out=dz)
    np.multiply(n, n, out=dn)
    np.subtract(1, dn, out=dn)
    np.multiply(dn, spare, out=dn)
    np.multiply(dn, grad, out=dn)
    np.multiply(dn, r, out=hn)
    np.subtract(1, r, out=dr)
    np.multiply(dr, hn, out=dr)
    np.multiply(dr, hidden_gates[:, 2 * hx.shape[1] :], out=dr)
    np.copyto(hr, dr)
    np.copyto(hz, dz)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    for function in (
        fused_lstm_cell,
        fused_lstm_cell_backward,
        fused_gru_cell,
        fused_gru_cell_backward,
    ):
        table.add(function.__name__, function, dtypes=(float32, float64))
