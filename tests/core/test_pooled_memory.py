"""Memory lent by the pool stays lent as long as anything can see it."""

from __future__ import annotations

from typing import Any

import dovetail as dt
from dovetail.backend.state import POOLED, state_of


def test_views_keep_their_memory(device: Any) -> None:
    count = POOLED  # elements of float32, so four times the least size of pooled memory
    pool = state_of(device).pool
    x = dt.full((count,), 3.0, device=device)
    view = x.as_strided((2, 4), (count // 2, 1))
    lent = pool.stats()["allocated"]
    assert lent >= 4 * count
    del x
    others = [dt.zeros(count, device=device) for _ in range(3)]
    assert view.sum().item() == 24.0
    del others
    assert pool.stats()["allocated"] >= lent
    del view
    assert pool.stats()["allocated"] < lent


def test_exported_arrays_keep_their_memory() -> None:
    array = dt.full((POOLED,), 3.0).numpy()[5:9]
    others = [dt.zeros(POOLED) for _ in range(3)]
    assert array.tolist() == [3.0] * 4
    del others
