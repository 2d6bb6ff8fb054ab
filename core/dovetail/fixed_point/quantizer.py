"""One operand in fixed point: a tensor in, the nearest tensor of scaled integers out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.autograd.function import Function
from dovetail.dtypes import float32, float64
from dovetail.fixed_point.adjustment import FURTHEST, WIDEST, Adjustment, quantization_error
from dovetail.nn.module import Module

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["Quantizer", "quantize"]


class _Quantize(Function):
    """Rounds forward; backward lets the gradient pass, as if nothing had been rounded."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, position: int, bits: int) -> Tensor:
        top = 2 ** (bits - 1)
        integers = (x * 2.0**-position).round_().clamp_(-top, top - 1)
        # An infinity would end at the edge, and an overflow go unseen: infinity times 0 is NaN.
        return integers.mul_(2.0**position).add_(x * 0)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g, None, None


def quantize(x: Tensor, position: int, bits: int) -> Tensor:
    """Each element of ``x`` as 2^position · I with I an integer of ``bits`` bits, I the nearest.

    Halves go to the even integer; what is out of range becomes −2^(bits−1) or 2^(bits−1) − 1; NaN
    and infinities become NaN. The gradient passes unchanged (straight-through).

    Args:
        x: (*), float32 or float64.
        position: the exponent of the step between two neighbours, −126 to 126.
        bits: width of the integers, sign included, 2 to 24: the result is exact in float32.

    Raises:
        TypeError: another dtype, which could not hold the integers, or no whole numbers.
        ValueError: ``position`` or ``bits`` out of range.

    >>> import dovetail as dt
    >>> dt.fixed_point.quantize(dt.tensor([0.3, 0.625, 40.0]), position=-2, bits=8)
    tensor([ 0.2500,  0.5000, 31.7500])
    """
    for name, value in (("position", position), ("bits", bits)):
        if not isinstance(value, int):
            raise TypeError(f"quantize: {name} must be an int, got {value!r}")
    if x.dtype not in (float32, float64):
        raise TypeError(f"quantize: x must be float32 or float64, got {x.dtype}")
    if not (2 <= bits <= WIDEST and abs(position) <= FURTHEST):
        raise ValueError(
            f"quantize: bits must be 2 to 24 and position -126 to 126, got bits={bits}, "
            f"position={position}"
        )
    return _Quantize.apply(x, position, bits)  # type: ignore[no-any-return]


class Quantizer(Module):
    """Quantizes what passes through it, and adjusts itself to what it sees while training.

    A call in training is a step. At the steps that the :class:`Adjustment` asks for, the tensor is
    measured, which waits for the device; at the others nothing is read back. In evaluation nothing
    is adjusted, and a quantizer that has never been adjusted uses what fits the tensor, without
    keeping it. A tensor of zeros, or with a NaN or an infinity, says nothing about the range: the
    parameters stay, and the next step asks again.

    Args:
        adjustment: the rule.

    Attributes:
        bits: width of the integers now.
        position: the exponent of their step; None before the first adjustment.
        average: moving average of ``position``.
        error: what the last adjustment measured.
        step: steps so far.
        next: the step that adjusts next.
        adjustments: how many steps have adjusted.
        began: the step at which each width began, for the widths so far.

    The state dict holds these eight as one float64 tensor, ``_extra_state``.

    >>> import dovetail as dt
    >>> quantizer = dt.fixed_point.Quantizer(dt.fixed_point.Adjustment())
    >>> quantizer(dt.tensor([1.0, 0.3]))
    tensor([1.0000, 0.2969])
    >>> quantizer
    Quantizer(int8, step 2^-6)
    """

    def __init__(self, adjustment: Adjustment) -> None:
        super().__init__()
        self.adjustment = adjustment
        self.bits = adjustment.bits
        self.position: int | None = None
        self.average = 0.0
        self.error = 0.0
        self.step = 0
        self.next = 0
        self.adjustments = 0
        self.began = [0]

    def forward(self, x: Tensor) -> Tensor:
        """(*) -> (*), quantized."""
        bits, position = self.bits, self.position
        if self.training:
            if self.step >= self.next:
                self._adjust(x)
                bits, position = self.bits, self.position
            self.step += 1
        elif position is None:
            fitting = self._measure(x)
            if fitting is not None:
                bits, position, _ = fitting
        return x if position is None else quantize(x, position, bits)

    def _measure(self, x: Tensor) -> tuple[int, int, float] | None:
        """Bits, position and error that suit ``x``; None where it says nothing."""
        if x.numel() == 0:
            return None
        with dovetail.no_grad():
            size = x.detach().abs()
            peak, total = dovetail.stack([size.amax(), size.sum()]).tolist()
            if not (0 < peak < math.inf and total < math.inf):
                return None
            bits = self.bits
            while True:
                position = self.adjustment.position(peak, bits)
                lost = (size - quantize(size, position, bits)).sum().item()
                error = quantization_error(total, lost)
                wider = self.adjustment.wider(bits, error)
                if wider == bits:
                    return bits, position, error
                bits = wider

    def _adjust(self, x: Tensor) -> None:
        fitting = self._measure(x)
        if fitting is None:
            self.next = self.step + 1
            return
        bits, position, error = fitting
        grown = bits - self.bits
        # With n more bits the point of the same range lies n places lower: that is no movement.
        before = position if self.position is None else self.average - grown
        self.average = self.adjustment.moved(before, position)
        self.began += [self.step] * (grown // self.adjustment.step_bits)
        self.bits, self.position, self.error = bits, position, error
        self.adjustments += 1
        move = abs(self.average - before)
        self.next = self.step + self.adjustment.interval(self.step, move, error)

    def get_extra_state(self) -> Tensor:
        """The eight numbers, ``began`` last, as a float64 tensor on the host."""
        position = math.nan if self.position is None else self.position
        numbers = [
            self.bits, position, self.average, self.error, self.step, self.next, self.adjustments,
            *self.began,
        ]  # fmt: skip
        return dovetail.tensor(numbers, dtype=float64, device="cpu")

    def set_extra_state(self, state: Any) -> None:
        """Take back what :meth:`get_extra_state` gave.

        Raises:
            ValueError: it is no such tensor; nothing has changed then.
        """
        if not isinstance(state, dovetail.Tensor) or state.dim() != 1 or len(state) < 8:
            raise ValueError(
                f"Quantizer.set_extra_state: must be a 1-D tensor of 8 numbers or more, got {state}"
            )
        bits, position, average, error, *counts = state.tolist()
        if not (
            2 <= bits <= WIDEST and not abs(position) > FURTHEST and all(n >= 0 for n in counts)
        ):
            raise ValueError(
                f"Quantizer.set_extra_state: must have 2 to {WIDEST} bits, a position within "
                f"{FURTHEST} of 0 and counts that are not negative, got {state}"
            )
        self.bits, self.average, self.error = int(bits), average, error
        self.position = None if math.isnan(position) else int(position)
        self.step, self.next, self.adjustments, *self.began = map(int, counts)

    def extra_repr(self) -> str:
        place = "not adjusted" if self.position is None else f"step 2^{self.position}"
        return f"int{self.bits}, {place}"
