"""The running statistics of instance_norm: one kernel, where a device has such a kernel.

A table may have

    instance_norm_step(mean, var, of_means, of_roots, *, share, keep, eps, unbiased)

whose first two are running statistics (C), which keep ``keep`` of themselves and take in the mean
over images of the batch's means and variances (N, C, 1), the latter as the roots of
``1 / (variance + eps)``, by ``share`` and by ``unbiased``.
"""

from __future__ import annotations

from typing import Any

from dovetail import observe
from dovetail.autograd.writes import note_writes
from dovetail.backend.state import state_of
from dovetail.tensor import Tensor, storage_of

__all__ = ["instance_norm_step"]

NAME = "instance_norm_step"


def instance_norm_step(
    mean: Tensor, var: Tensor, of_means: Tensor, of_roots: Tensor, momentum: float, eps: float
) -> Any:
    """What takes a batch's statistics, of so many places each, into running ones:
    ``step(places)``; None where no kernel serves them."""
    spec, batch = mean._spec, of_means._spec
    if observe.active and observe.is_watched():
        return None
    function = batch.memo.get((NAME, spec, var._spec))
    if function is None:
        entries = state_of(spec.device).table.entries(NAME)
        fits = (
            var._spec is spec and batch.batch is None and spec.batch is None
            and of_roots._spec is batch and spec.dtype is batch.dtype
            and tuple(spec.shape) == tuple(batch.shape[1:2])
            and spec.device is batch.device and spec.is_contiguous and batch.is_contiguous
            and any(spec.dtype in (e.dtypes or ()) for e in entries)
        )  # fmt: skip
        function = batch.memo[NAME, spec, var._spec] = entries[0].function if fits else False
    if function is False or mean._node is not None or var._node is not None:
        return None
    if mean._inference or var._inference:
        return None

    def step(places: int) -> None:
        function(
            mean._materialize(), var._materialize(), of_means._materialize(),
            of_roots._materialize(), share=momentum, keep=1 - momentum, eps=eps,
            unbiased=momentum * places / (places - 1),
        )  # fmt: skip
        note_writes([storage_of(mean), storage_of(var)], "instance_norm")

    return step
