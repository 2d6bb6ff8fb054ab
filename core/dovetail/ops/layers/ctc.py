"""Connectionist temporal classification: the likelihood of a sequence of labels, all alignments.

A sequence of S labels has 2 S + 1 states: a blank before, between and after the labels. Shapes:
log_probs (T, N, C), targets (N, S) padded by anything, both lengths (N).

Source: Graves et al., "Connectionist temporal classification", 2006.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.factories import arange
from dovetail.ops.families import composite, draw
from dovetail.ops.schema import Inferred, Sample, Tolerance
from dovetail.spec import Spec

__all__: list[str] = []

_NEVER = -1e30
"""The logarithm of what cannot be: finite, so that differences of two such are numbers."""

_KINDS = (d.float32, d.float64)
_TOLERANCE = Tolerance(256, against="inputs")


def _alignments(labels: Any, blank: int) -> tuple[list[int], list[bool]]:
    """The states of a sequence of labels, and which of them can be reached past the one before."""
    states = [blank]
    for label in labels:
        states += [int(label), blank]
    skips = [s > 1 and states[s] not in (blank, states[s - 2]) for s in range(len(states))]
    return states, skips


def _forward_reference(p: Any, states: list[int], skips: list[bool]) -> Any:
    """(T, L): the likelihood of being in each state, having said all before."""
    alpha = np.zeros((len(p), len(states)))
    for t in range(len(p)):
        for s, state in enumerate(states):
            if t == 0:
                before = float(s < 2)
            else:
                reached = [s, s - 1, s - 2] if skips[s] else [s, s - 1]
                before = sum(alpha[t - 1, r] for r in reached if r >= 0)
            alpha[t, s] = before * p[t, state]
    return alpha


def _one_reference(log_p: Any, labels: Any, blank: int) -> tuple[float, Any]:
    """The likelihood of labels, and its derivative by each log-probability."""
    p = np.exp(log_p)
    states, skips = _alignments(labels, blank)
    if not len(p):
        return float(not len(labels)), np.zeros_like(p)
    alpha = _forward_reference(p, states, skips)
    back, back_skips = _alignments(labels[::-1], blank)
    beta = _forward_reference(p[::-1], back, back_skips)[::-1, ::-1]
    total = alpha[-1, -2:].sum()
    share = np.zeros_like(p)
    for t in range(len(p)):
        for s, state in enumerate(states):
            if p[t, state]:
                share[t, state] += alpha[t, s] * beta[t, s] / p[t, state]
    return total, share


def _each(log_probs: Any, targets: Any, steps: Any, labels: Any, blank: int) -> Any:
    for n in range(log_probs.shape[1]):
        yield n, _one_reference(log_probs[: int(steps[n]), n], targets[n, : int(labels[n])], blank)


def _loss_reference(
    log_probs: Any, targets: Any, steps: Any, labels: Any,
    *, blank: int, zero_infinity: bool, normalised: bool = False,
) -> Any:  # fmt: skip
    out = np.zeros(log_probs.shape[1])
    for n, (total, _) in _each(log_probs, targets, steps, labels, blank):
        out[n] = -np.log(total) if total else np.inf
    return out


def _gradient_reference(
    grad: Any, log_probs: Any, targets: Any, steps: Any, labels: Any, losses: Any,
    *, blank: int, zero_infinity: bool, normalised: bool = False,
) -> Any:  # fmt: skip
    out = np.zeros(log_probs.shape)
    for n, (_, share) in _each(log_probs, targets, steps, labels, blank):
        if np.isfinite(losses[n]):
            chances = np.exp(log_probs[: len(share), n]) if normalised else 0
            out[: len(share), n] = (chances - share * np.exp(losses[n])) * grad[n]
        elif not zero_infinity:
            out[: len(share), n] = np.nan
    return out


def _drawn(rng: np.random.Generator, dtype: d.dtype) -> Any:
    """Log-probabilities, targets, both lengths and the blank."""
    for steps, labels, width, classes, blank in (
        ((5, 4), (2, 1), 2, 4, 0),
        ((6, 6, 3), (3, 0, 2), 3, 3, 2),
        ((7,), (3,), 5, 4, 1),
        ((3, 2), (1, 0), 1, 2, 0),
    ):
        x = draw(rng, (max(steps), len(steps), classes), dtype, -2, 2)
        log_probs = x - np.log(np.exp(x.astype(np.float64)).sum(-1, keepdims=True)).astype(x.dtype)
        others = [c for c in range(classes) if c != blank]
        targets = rng.choice(others, (len(steps), width))
        if width > 2:
            targets[:, 1] = targets[:, 0]  # a repeated label needs a blank between
        lengths = (np.array(steps, np.int64), np.array(labels, np.int64))
        yield log_probs, targets.astype(np.int64), *lengths, blank


def _loss_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((*arrays,), {"blank": blank, "zero_infinity": False})
        for *arrays, blank in _drawn(rng, dtype)
    ]


def _gradient_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for *arrays, blank in _drawn(rng, dtype):
        losses = _loss_reference(
            arrays[0].astype(np.float64), *arrays[1:], blank=blank, zero_infinity=False
        )
        grad = draw(rng, losses.shape, dtype, -2, 2)
        inputs = (grad, *arrays, losses.astype(dtype.numpy))
        options = {"blank": blank, "zero_infinity": False}
        made.append(Sample(inputs, options))
        made.append(Sample(inputs, {**options, "normalised": True}))
    # Two equal labels do not fit into two steps.
    x = np.log(np.full((2, 1, 3), 1 / 3)).astype(dtype.numpy)
    lengths = np.array([2], np.int64), np.array([2], np.int64)
    never = np.array([np.inf]).astype(dtype.numpy)
    grad = np.ones(1, dtype.numpy)
    inputs = (grad, x, np.array([[1, 1]], np.int64), *lengths, never)
    made.append(Sample(inputs, {"blank": 0, "zero_infinity": True}, "impossible"))
    return made


class _Trellis:
    """The states of a batch: their labels (N, L), and log-probabilities (T, N, L)."""

    def __init__(self, log_probs: Any, targets: Any, blank: int) -> None:
        count, width = targets.shape
        blanks = targets.new_full((count, width + 1, 1), blank)
        padded = ops.pad(targets, (0, 1)).unsqueeze(-1)
        self.labels = ops.cat([blanks, padded], 2).reshape(count, -1)[:, : 2 * width + 1]
        steps = log_probs.shape[0]
        self.index = self.labels.unsqueeze(0).expand(steps, count, 2 * width + 1)
        seen = log_probs.gather(2, self.index).clamp(min=_NEVER)
        self.seen = seen.unbind(0)
        self.all_seen = seen
        past = ops.pad(self.labels, (2, 0), value=blank)[:, : 2 * width + 1]
        can_skip = (self.labels != blank) & (self.labels != past)
        can_skip = can_skip & (_places(self.labels) > 1)
        self.skip = ops.where(can_skip, 0.0, _NEVER).to(log_probs.dtype)

    def forward(self, steps: Any) -> list[Any]:
        """Per step (N, L): the likelihood of having come to each state; rows that end keep it."""
        places = _places(self.labels)
        alpha = ops.where(places < 2, self.seen[0], _NEVER)
        made = [alpha]
        for t in range(1, len(self.seen)):
            come = _joined(alpha, _moved(alpha, 1), _moved(alpha, 2) + self.skip)
            alpha = ops.where((steps > t).unsqueeze(1), come + self.seen[t], alpha)
            made.append(alpha)
        return made

    def backward(self, steps: Any, labels: Any) -> list[Any]:
        """Per step (N, L): the likelihood of what is said from each state on."""
        places = _places(self.labels)
        last = (2 * labels).unsqueeze(1)
        ends = (places == last) | (places == last - 1)
        beta = self.seen[0] * 0 + _NEVER
        ahead = _moved(self.skip, -2)
        made = []
        for t in reversed(range(len(self.seen))):
            go = _joined(beta, _moved(beta, -1), _moved(beta, -2) + ahead) + self.seen[t]
            start = ops.where(ends, self.seen[t], _NEVER)
            beta = ops.where((steps - 1 == t).unsqueeze(1), start, go)
            beta = ops.where((steps > t).unsqueeze(1), beta, _NEVER)
            made.append(beta)
        return made[::-1]


def _places(x: Any, dim: int = 1) -> Any:
    return arange(x.shape[dim], device=x.device)


def _moved(x: Any, by: int) -> Any:
    """(N, L) with every state moved on; what comes in cannot be."""
    size = x.shape[1]
    sides = (by, 0) if by > 0 else (0, -by)
    padded = ops.pad(x, sides, value=_NEVER)
    return padded[:, :size] if by > 0 else padded[:, -by : size - by]


def _joined(*likelihoods: Any) -> Any:
    """log(exp(a) + exp(b) + …)."""
    return ops.stack(list(likelihoods)).logsumexp(0)


def _total(last: Any, steps: Any, labels: Any) -> Any:
    """(N,): minus the logarithm of the likelihood of all labels; infinity where it is 0."""
    ends = (2 * labels).unsqueeze(1)
    at_blank = last.gather(1, ends)
    at_label = last.gather(1, (ends - 1).clamp(min=0))
    at_label = ops.where(ends > 0, at_label, _NEVER)
    found = _joined(at_blank, at_label).squeeze(1)
    found = ops.where(steps > 0, found, ops.where(labels == 0, 0.0, _NEVER).to(found.dtype))
    return ops.where(found > _NEVER / 2, -found, math.inf)


def _infer(log_probs: Spec, targets: Spec, *others: Any, **_: Any) -> Inferred:
    return Inferred((None,) * 4, (((log_probs.shape[1],), log_probs.dtype),))


def _gradient(
    g: Any, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, out: Any,
    blank: int, zero_infinity: bool, normalised: bool,
) -> tuple[Any, ...]:  # fmt: skip
    inputs = (g, log_probs, targets, input_lengths, target_lengths, out)
    found = ops.ctc_loss_backward(
        *inputs, blank=blank, zero_infinity=zero_infinity, normalised=normalised
    )
    return found, None, None, None


@composite(
    "ctc_loss_backward",
    inputs=("grad", "log_probs", "targets", "input_lengths", "target_lengths", "losses"),
    infer=lambda grad, log_probs, *others, **_: Inferred(
        (None,) * 6, ((log_probs.shape, log_probs.dtype),)
    ),
    accepts=_KINDS,
    method=False,
    public=False,
    reference=_gradient_reference,
    samples=_gradient_samples,
    tolerance=_TOLERANCE,
)
def ctc_loss_backward(
    grad: Any, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, losses: Any,
    *, blank: int, zero_infinity: bool, normalised: bool = False,
) -> Any:  # fmt: skip
    """The gradient of ``ctc_losses``: how likely each class is at each step, given all labels."""
    trellis = _Trellis(log_probs, targets, blank)
    alpha = ops.stack(trellis.forward(input_lengths))
    beta = ops.stack(trellis.backward(input_lengths, target_lengths))
    possible = ops.isfinite(losses)
    finite = ops.where(possible, losses, 0.0)
    share = (alpha + beta - trellis.all_seen + finite.reshape(1, -1, 1)).exp()
    of_classes = (log_probs * 0).scatter_add(2, trellis.index, share)
    steps = _places(log_probs, 0)
    inside = (steps.unsqueeze(1) < input_lengths).unsqueeze(2)
    lost = 0.0 if zero_infinity else math.nan
    slope = log_probs.exp() - of_classes if normalised else -of_classes
    found = ops.where(possible.reshape(1, -1, 1), slope, lost)
    return ops.where(inside, found * grad.reshape(1, -1, 1), 0.0)


@composite(
    "ctc_losses",
    inputs=("log_probs", "targets", "input_lengths", "target_lengths"),
    infer=_infer,
    gradient=_gradient,
    accepts=_KINDS,
    method=False,
    public=False,
    reference=_loss_reference,
    samples=_loss_samples,
    tolerance=_TOLERANCE,
)
def ctc_losses(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any,
    *, blank: int, zero_infinity: bool, normalised: bool = False,
) -> Any:  # fmt: skip
    """(N,): minus the log-likelihood of each sequence of labels; infinity where there is no way.

    ``zero_infinity`` and ``normalised`` are for the gradient: zeros where there is no way, else
    NaN; and the probabilities are part of it, as of PyTorch's, which ``log_softmax`` takes away.
    """
    trellis = _Trellis(log_probs, targets, blank)
    return _total(trellis.forward(input_lengths)[-1], input_lengths, target_lengths)
