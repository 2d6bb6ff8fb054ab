"""Connectionist temporal classification (PyTorch's ``ctc_loss``)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

import dovetail
from dovetail import ops, raw
from dovetail.backend.state import state_of
from dovetail.device import device as Device
from dovetail.dtypes import dtype as DType
from dovetail.dtypes import int64
from dovetail.nn.functional.arguments import check_reduction
from dovetail.ops.calling import told
from dovetail.ops.indexed.index_checks import INDICES
from dovetail.spec import spec_of

if TYPE_CHECKING:
    from dovetail.nn.functional.arguments import Reduction
    from dovetail.tensor import Tensor

__all__ = ["ctc_loss"]


def _lengths(label: str, given: Any, batch: int) -> list[int]:
    """Lengths, from a tensor or numbers.

    Raises:
        RuntimeError: not whole numbers, or not one per sequence.
    """
    if isinstance(given, dovetail.Tensor):
        if given.dtype.category >= 2:
            raise RuntimeError(f"{label} must be integral")
        given = given.reshape(-1).tolist()
    lengths = [int(n) for n in given]
    if len(lengths) != batch:
        raise RuntimeError(f"{label} must be of size batch_size")
    for n in lengths:
        if n < 0:
            raise RuntimeError(f"Expected {label} to have value at least 0, but got value {n}")
    return lengths


def _padded(targets: Tensor, lengths: list[int]) -> Tensor:
    """(N, S): what was given so, or one after the other.

    Raises:
        RuntimeError: too few labels, or too many.
    """
    width = max(lengths)
    if targets.dim() == 2:
        if targets.shape[0] != len(lengths):
            raise RuntimeError(
                f"Expected tensor to have size {len(lengths)} at dimension 0, but got size "
                f"{targets.shape[0]} for argument #2 'targets' (ctc_loss)"
            )
        if targets.shape[1] < width:
            raise RuntimeError(
                f"Expected tensor to have size at least {width} at dimension 1, but got size "
                f"{targets.shape[1]} for argument #2 'targets' (ctc_loss)"
            )
        return targets if targets.shape[1] == width else targets[:, :width]
    if targets.dim() != 1 or targets.shape[0] != sum(lengths):
        raise RuntimeError(
            f"Expected tensor to have size {sum(lengths)} at dimension 0, but got shape "
            f"{tuple(targets.shape)} for argument #2 'targets' (ctc_loss)"
        )
    parts = targets.split(lengths)
    rows = [dovetail.nn.functional.pad(part, (0, width - part.shape[0])) for part in parts]
    return dovetail.stack(rows)


@functools.lru_cache(maxsize=64)
def _on_device(values: tuple[int, ...], kind: DType, device: Device) -> Tensor:
    """Numbers on a device: batches of an epoch have the same ones again, and nobody writes to
    them."""
    if device.type == "meta":
        return raw.empty(spec_of((len(values),), kind, device))
    return raw.from_host(np.array(values, kind.numpy), kind, state_of(device))


@told
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: Reduction = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Minus the log-likelihood of sequences of labels, over all their alignments.

    Args:
        log_probs: (T, N, C) or (T, C), from a ``log_softmax`` over C: the gradient takes that for
            granted.
        targets: (N, S) or (S), or all labels one after the other, (sum of target_lengths).
        input_lengths: (N) or (), at most T.
        target_lengths: (N) or (), at most S.
        blank: the class that says nothing.
        reduction: ``mean`` divides by the target lengths first.
        zero_infinity: 0 instead of infinity, where labels do not fit into the steps.

    Raises:
        RuntimeError: shapes, lengths or classes that do not fit together.
    """
    check_reduction(reduction)
    is_batched = log_probs.dim() == 3
    if not is_batched:
        log_probs = log_probs.unsqueeze(1)
        targets = targets.unsqueeze(0) if targets.dim() == 1 else targets
    if log_probs.dim() != 3:
        raise RuntimeError(
            f"ctc_loss: log_probs must be (T, N, C) or (T, C), got {tuple(log_probs.shape)}"
        )
    if not log_probs.numel():
        raise RuntimeError("log_probs tensor must not be empty")
    longest, batch, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    steps = _lengths("input_lengths", input_lengths, batch)
    labels = _lengths("target_lengths", target_lengths, batch)
    if max(steps) > longest:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {longest}, but got value {max(steps)} "
            "(ctc_loss)"
        )
    if targets.dtype not in INDICES:
        targets = targets.to(dovetail.int64)
    padded = _padded(targets, labels).to(log_probs.device, dovetail.int64)
    device = log_probs._spec.device
    losses = ops.ctc_losses(
        log_probs,
        padded,
        _on_device(tuple(steps), int64, device),
        _on_device(tuple(labels), int64, device),
        blank=blank,
        zero_infinity=bool(zero_infinity),
        normalised=True,
    )
    if zero_infinity:
        losses = losses.masked_fill(losses.isinf(), 0.0)
    if reduction == "mean":
        many = _on_device(tuple([max(n, 1) for n in labels]), losses._spec.dtype, device)
        return (losses / many).mean()  # type: ignore[no-any-return]
    if reduction == "sum":
        return losses.sum()  # type: ignore[no-any-return]
    return losses if is_batched else losses.squeeze(0)  # type: ignore[no-any-return]
