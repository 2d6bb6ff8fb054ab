"""Rows under a mask in function transforms: the mask is the same for all rows, or vmap refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dovetail as dt
from dovetail.func import jacfwd, jacrev, vmap


def _read(mask: Any) -> Callable[[Any, Any], Any]:
    return lambda x, rows: x[mask] ** 2 + rows


def _written(mask: Any) -> Callable[[Any, Any], Any]:
    def f(x: Any, rows: Any) -> Any:
        y = x.clone()
        y[mask] = rows * rows
        return y

    return f


def _scattered(mask: Any) -> Callable[[Any, Any], Any]:
    return lambda x, rows: x.masked_scatter(mask, rows * rows)


@pytest.mark.parametrize("make", [_read, _written, _scattered])
def test_one_mask_for_all_rows(make: Any, device: dt.device) -> None:
    mask = dt.tensor([[True, False, True], [False, True, True]], device=device)
    x = dt.arange(6.0, device=device).reshape(2, 3)
    rows = dt.arange(4.0, device=device) + 1
    f = make(mask)
    assert jacrev(f, (0, 1))(x, rows)[0].tolist() == jacfwd(f, (0, 1))(x, rows)[0].tolist()
    assert jacrev(f, (0, 1))(x, rows)[1].tolist() == jacfwd(f, (0, 1))(x, rows)[1].tolist()
    second = jacrev(jacrev(f, 1), 1)(x, rows)
    wanted = 0.0 if make is _read else 2.0
    for k in range(4):
        assert second[..., k, k].sum().item() == wanted
    many = vmap(f)(dt.stack([x, x + 1]), dt.stack([rows, rows + 1]))
    assert many.tolist() == [f(x, rows).tolist(), f(x + 1, rows + 1).tolist()]


@pytest.mark.parametrize("make", [_read, _written, _scattered])
def test_a_mask_for_each_row_is_refused(make: Any, device: dt.device) -> None:
    masks = dt.tensor([[True, False], [False, True]], device=device)
    x, rows = dt.ones(2, 2, device=device), dt.ones(2, 2, device=device)
    with pytest.raises(RuntimeError, match="dynamic shape"):
        vmap(lambda m, a, r: make(m)(a, r))(masks, x, rows)
