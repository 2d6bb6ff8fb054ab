"""Steps of the power method on a weight's matrix, where a device has such a kernel.

A table may have

    spectral_norm_step(u, v, kept_u, kept_v, weight, *, dim, steps, eps, is_u_first) -> bool

that makes ``u`` and ``v`` so many times the direction of the product of the matrix with the other,
each over its length or ``eps``, where that is larger, and copies them; False, with nothing done:
it serves none of this size.
"""

from __future__ import annotations

from typing import Any

from dovetail import observe, raw
from dovetail.autograd.mode import mode
from dovetail.autograd.writes import note_writes
from dovetail.backend.state import state_of
from dovetail.tensor import storage_of

__all__ = ["spectral_norm_step"]

NAME = "spectral_norm_step"


def spectral_norm_step(
    weight: Any, u: Any, v: Any, *, dim: int, steps: int, eps: float, is_u_first: bool
) -> tuple[Any, Any] | None:
    """The vectors after so many steps, which stay as they are where the ones that were given are
    written; None: nothing was done, for no kernel serves these."""
    spec = weight._spec
    if observe.active and observe.is_watched():
        return None
    key = (NAME, u._spec, v._spec, dim)
    function = spec.memo.get(key)
    if function is None:
        entries = state_of(spec.device).table.entries(NAME)
        specs = (spec, u._spec, v._spec)
        rows = spec.shape[dim]
        is_matched = rows and (*u.shape, *v.shape) == (rows, spec.numel // rows)
        fits = entries and is_matched and all(
            s.is_contiguous and s.batch is None and s.dtype is spec.dtype
            and s.device is spec.device for s in specs
        ) and any(spec.dtype in (e.dtypes or ()) for e in entries)  # fmt: skip
        function = spec.memo[key] = entries[0].function if fits else False
    if function is False or any(x._node is not None or x._inference for x in (u, v)):
        return None
    # The next step writes to the vectors; a gradient needs them as they are.
    kept = [raw.empty(x._spec) for x in (u, v)] if mode.grad else [u, v]
    arrays = [x._materialize() for x in (u, v, *kept, weight)]
    if not function(*arrays, dim=dim, steps=steps, eps=eps, is_u_first=is_u_first):
        return None
    note_writes([storage_of(x) for x in (u, v)], "spectral_norm")
    return kept[0], kept[1]
