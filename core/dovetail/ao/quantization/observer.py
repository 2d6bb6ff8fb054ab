"""Observers: modules that watch a tensor go by and say how to quantize it.

Meanings follow PyTorch's page ``torch.ao.quantization.observer``. Each records a range of numbers;
``calculate_qparams`` makes (scale, zero point) of it: tensors of shape (1,), or (C,) per channel.
"""

from __future__ import annotations

from typing import Any

import dovetail
import dovetail.dtypes as d
from dovetail.ao.quantization.partial import with_args, with_callable_args
from dovetail.nn.module import Module
from dovetail.quantized.schemes import (
    per_channel_affine,
    per_channel_affine_float_qparams,
    per_channel_symmetric,
    per_tensor_affine,
    per_tensor_symmetric,
    qscheme,
)
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = [
    "FixedQParamsObserver",
    "MinMaxObserver",
    "MovingAverageMinMaxObserver",
    "MovingAveragePerChannelMinMaxObserver",
    "NoopObserver",
    "ObserverBase",
    "PerChannelMinMaxObserver",
    "PlaceholderObserver",
    "RecordingObserver",
    "ReuseInputObserver",
    "UniformQuantizationObserverBase",
    "integer_range",
    "is_per_channel",
    "is_per_tensor",
    "is_symmetric",
]

PER_TENSOR = (per_tensor_affine, per_tensor_symmetric)
PER_CHANNEL = (per_channel_affine, per_channel_symmetric, per_channel_affine_float_qparams)
_SYMMETRIC = (per_tensor_symmetric, per_channel_symmetric)

EPS = d.finfo(d.float32).eps
inf = float("inf")

_RANGES = {
    d.qint8: (-128, 127), d.int8: (-128, 127), d.quint8: (0, 255), d.uint8: (0, 255),
    d.int16: (-(2**15), 2**15 - 1),
    d.qint32: (-(2**31), 2**31 - 1), d.int32: (-(2**31), 2**31 - 1),
}  # fmt: skip
_UNSIGNED = (d.quint8, d.uint8)


def is_per_tensor(scheme: qscheme) -> bool:
    """Whether there is one scale for all elements."""
    return scheme in PER_TENSOR


def is_per_channel(scheme: qscheme) -> bool:
    """Whether each channel has a scale of its own."""
    return scheme in PER_CHANNEL


def is_symmetric(scheme: qscheme) -> bool:
    """Whether 0 is in the middle of the range."""
    return scheme in _SYMMETRIC


def integer_range(
    quant_min: int | None, quant_max: int | None, dtype: d.dtype, reduce_range: bool
) -> tuple[int, int]:
    """The integers that are used; ``reduce_range`` leaves their top bit free."""
    if quant_min is None or quant_max is None:
        low, high = _RANGES[dtype]
        if not reduce_range or dtype in (d.qint32, d.int32, d.int16):
            return low, high
        return low // 2, high // 2
    if not quant_min <= 0 <= quant_max:
        raise AssertionError("Used-specified quantization range must include 0.")
    if quant_min >= quant_max:
        raise AssertionError(
            "qmin must be strictly less than qmax for user-specified quantization range."
        )
    if dtype in (d.qint8, d.int8) and quant_max - quant_min + 1 > 256:
        raise AssertionError(
            "quantization range should be positive and not exceed the maximum bit range (=256)."
        )
    return (quant_min // 2, quant_max // 2) if reduce_range else (quant_min, quant_max)


class ObserverBase(Module):
    """What all observers have: ``dtype``, ``is_dynamic``, and the two methods below.

    Args:
        dtype: of what the observed tensor becomes.
        is_dynamic: whether it is quantized when it comes, on its own range.
    """

    def __init__(self, dtype: Any, is_dynamic: bool = False) -> None:
        super().__init__()
        self.dtype = dtype
        self.is_dynamic = is_dynamic

    def forward(self, x: Tensor) -> Tensor:
        """Look at ``x`` and return it."""
        return x

    def calculate_qparams(self, **kwargs: Any) -> Any:
        """(scale, zero point).

        Raises:
            Exception: this observer finds none.
        """
        raise Exception(f"calculate_qparams should not be called for {type(self).__name__}")

    with_args: Any = classmethod(with_args)
    with_callable_args: Any = classmethod(with_callable_args)


class UniformQuantizationObserverBase(ObserverBase):
    """Observers that find scale and zero point from a least and a greatest number.

    Args:
        dtype: ``qint8``, ``quint8`` or ``qint32``, or the integers themselves.
        qscheme: how; symmetric schemes put 0 in the middle.
        reduce_range: leave the integers' top bit free.
        quant_min, quant_max: the range of the integers; the dtype's where None.
        factory_kwargs: device and dtype of the buffers.
        eps: the least scale.
        is_dynamic: see :class:`ObserverBase`.

    Raises:
        AssertionError: another dtype or scheme, or a range that does not include 0.
    """

    _version = 3

    eps: Tensor

    def __init__(
        self,
        dtype: Any = d.quint8,
        qscheme: Any = per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        factory_kwargs: dict[str, Any] | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=dtype, is_dynamic=is_dynamic, **kwargs)
        self.qscheme = qscheme
        self.reduce_range = reduce_range
        self.register_buffer("eps", dovetail.tensor([eps], **(factory_kwargs or {})))
        if qscheme not in PER_TENSOR + PER_CHANNEL:
            raise AssertionError(
                "Default Observer only works for per_tensor_affine, per_tensor_symmetric, "
                "per_channel_affine, per_channel_symmetric and per_channel_float_qparams "
                f"quantization scheme, got {qscheme!r}"
            )
        if dtype not in _RANGES:
            raise AssertionError(
                f"Default Observer only works for {tuple(_RANGES)} data type, got {dtype!r}"
            )
        self.has_customized_qrange = quant_min is not None and quant_max is not None
        self.quant_min, self.quant_max = integer_range(quant_min, quant_max, dtype, reduce_range)

    def _refuse_scheme(self, allowed: Any, scheme: Any) -> None:
        if scheme not in allowed:
            names = ", ".join(repr(s) for s in allowed)
            raise NotImplementedError(
                f"{type(self).__name__}'s qscheme only support {names}, got {scheme!r}"
            )

    def _refuse_dynamic(self, is_dynamic: bool) -> None:
        if is_dynamic:
            raise NotImplementedError(f"{type(self).__name__} doesn't support dynamic quantization")

    def _refuse_reduced(self) -> None:
        if is_symmetric(self.qscheme) and self.reduce_range and self.dtype is d.quint8:
            raise NotImplementedError("Cannot reduce range for symmetric quantization for quint8")

    def _calculate_qparams(self, min_val: Tensor, max_val: Tensor) -> tuple[Tensor, Tensor]:
        if not _is_valid(min_val, max_val):
            place = min_val.device
            return dovetail.tensor([1.0], device=place), dovetail.tensor([0], device=place)
        low, high = min_val.clamp_max(0), max_val.clamp_min(0)
        steps = float(self.quant_max - self.quant_min)
        eps = self.eps.to(min_val.device)
        if is_symmetric(self.qscheme):
            scale = dovetail.maximum(dovetail.maximum(-low, high) / (steps / 2), eps)
            middle = 0
            if self.dtype in _UNSIGNED:
                middle = (
                    (self.quant_min + self.quant_max) // 2 if self.has_customized_qrange else 128
                )
            zero_point = dovetail.full(tuple(low.shape), middle, dtype=d.int64, device=low.device)
        elif self.qscheme is per_channel_affine_float_qparams:
            scale = (max_val - min_val) / steps
            scale = dovetail.where(scale > eps, scale, dovetail.ones_like(scale))
            zero_point = -1 * min_val / scale
        else:
            scale = dovetail.maximum((high - low) / steps, eps)
            zero_point = self.quant_min - (low / scale).round().to(d.int32)
            zero_point = zero_point.clamp(self.quant_min, self.quant_max)
        return scale.reshape(-1), zero_point.reshape(-1)

    def reset_min_max_vals(self) -> None:
        """Forget what was seen."""
        raise NotImplementedError("Cannot reset min/max values in the given observer.")

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any
    ) -> None:
        if local_metadata.get("version") in (None, 1):  # without the buffer
            state_dict[prefix + "eps"] = dovetail.tensor([EPS])
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


def _is_valid(min_val: Tensor, max_val: Tensor) -> bool:
    """Whether there is a range.

    Raises:
        AssertionError: its ends are exchanged.
    """
    unseen = not min_val.numel() or not max_val.numel()
    if not unseen and not min_val.dim():
        unseen = min_val.item() == inf and max_val.item() == -inf
    if unseen:
        warn(
            "must run observer before calling calculate_qparams. Returning default values.",
        )
        return False
    if bool((min_val > max_val).any()):
        raise AssertionError(f"min {min_val} should be less than max {max_val}")
    return True


class MinMaxObserver(UniformQuantizationObserverBase):
    """The least and the greatest number ever seen.

    Args:
        dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic: see
            :class:`UniformQuantizationObserverBase`; schemes per tensor only.

    >>> import dovetail as dt
    >>> observer = dt.ao.quantization.MinMaxObserver()
    >>> _ = observer(dt.tensor([-1.0, 1.55]))
    >>> observer.calculate_qparams()
    (tensor([0.0100]), tensor([100], dtype=torch.int32))
    """

    min_val: Tensor
    max_val: Tensor

    def __init__(
        self,
        dtype: Any = d.quint8,
        qscheme: Any = per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        factory_kwargs: dict[str, Any] | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
        **kwargs: Any,
    ) -> None:
        self._refuse_scheme(PER_TENSOR, qscheme)
        super().__init__(
            dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic,
            **kwargs,
        )  # fmt: skip
        self.register_buffer("min_val", dovetail.tensor(inf, **(factory_kwargs or {})))
        self.register_buffer("max_val", dovetail.tensor(-inf, **(factory_kwargs or {})))
        self._refuse_reduced()

    def _seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        least, most = dovetail.aminmax(x.detach().to(self.min_val.dtype))
        return least, most

    def forward(self, x_orig: Tensor) -> Tensor:
        """Widen the range by ``x_orig``."""
        if x_orig.numel():
            least, most = self._seen(x_orig)
            self.min_val.copy_(dovetail.minimum(least, self.min_val))
            self.max_val.copy_(dovetail.maximum(most, self.max_val))
        return x_orig

    def calculate_qparams(self, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """(scale, zero point) for what was seen."""
        return self._calculate_qparams(self.min_val, self.max_val)

    def reset_min_max_vals(self) -> None:
        """Forget what was seen."""
        self.min_val.fill_(inf)
        self.max_val.fill_(-inf)


class MovingAverageMinMaxObserver(MinMaxObserver):
    """Moving averages of the least and the greatest number of each tensor.

    Args:
        averaging_constant: the part of each new range.
        dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic: see
            :class:`UniformQuantizationObserverBase`; schemes per tensor only.
        kwargs: ``factory_kwargs``.
    """

    def __init__(
        self,
        averaging_constant: float = 0.01,
        dtype: Any = d.quint8,
        qscheme: Any = per_tensor_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
        **kwargs: Any,
    ) -> None:
        if is_dynamic and averaging_constant != 1:
            raise NotImplementedError(
                "MovingAverageMinMaxObserver doesn't support dynamic quantization for averaging "
                f"constant of {averaging_constant}"
            )
        super().__init__(
            dtype, qscheme, reduce_range, quant_min, quant_max, eps=eps, is_dynamic=is_dynamic,
            **kwargs,
        )  # fmt: skip
        self.averaging_constant = averaging_constant

    def forward(self, x_orig: Tensor) -> Tensor:
        """Move the range towards that of ``x_orig``."""
        if x_orig.numel():
            least, most = self._seen(x_orig)
            if not (self.min_val.item() == inf and self.max_val.item() == -inf):
                least = self.min_val + self.averaging_constant * (least - self.min_val)
                most = self.max_val + self.averaging_constant * (most - self.max_val)
            self.min_val.copy_(least)
            self.max_val.copy_(most)
        return x_orig


class PerChannelMinMaxObserver(UniformQuantizationObserverBase):
    """The least and the greatest number ever seen, per index of a dim.

    Args:
        ch_axis: the dim.
        dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic: see
            :class:`UniformQuantizationObserverBase`; schemes per channel only, not dynamic.
    """

    min_val: Tensor
    max_val: Tensor

    def __init__(
        self,
        ch_axis: int = 0,
        dtype: Any = d.quint8,
        qscheme: Any = per_channel_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        factory_kwargs: dict[str, Any] | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
        **kwargs: Any,
    ) -> None:
        self._refuse_scheme(PER_CHANNEL, qscheme)
        self._refuse_dynamic(is_dynamic)
        super().__init__(
            dtype, qscheme, reduce_range, quant_min, quant_max, factory_kwargs, eps, is_dynamic,
            **kwargs,
        )  # fmt: skip
        self.ch_axis = ch_axis
        self.register_buffer("min_val", dovetail.tensor([], **(factory_kwargs or {})))
        self.register_buffer("max_val", dovetail.tensor([], **(factory_kwargs or {})))
        self._refuse_reduced()

    def _seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().to(self.min_val.dtype)
        others = [i for i in range(x.dim()) if i != self.ch_axis % x.dim()]
        return (x.amin(others), x.amax(others)) if others else (x, x)

    def _merged(self, least: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
        return dovetail.minimum(least, self.min_val), dovetail.maximum(most, self.max_val)

    def forward(self, x_orig: Tensor) -> Tensor:
        """Take in the ranges of ``x_orig``."""
        if x_orig.numel():
            least, most = self._seen(x_orig)
            if self.min_val.numel() and self.max_val.numel():
                least, most = self._merged(least, most)
            self.min_val, self.max_val = least.clone(), most.clone()
        return x_orig

    def calculate_qparams(self, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """(scales, zero points) for what was seen."""
        return self._calculate_qparams(self.min_val, self.max_val)

    def reset_min_max_vals(self) -> None:
        """Forget what was seen."""
        self.min_val, self.max_val = self.min_val.new_empty(0), self.max_val.new_empty(0)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any
    ) -> None:
        for name in ("min_val", "max_val"):
            old = f"{prefix}{name}s"  # its name before version 3
            if old in state_dict:
                state_dict[prefix + name] = state_dict.pop(old)
            found = state_dict.get(prefix + name)
            if found is not None:
                setattr(self, name, getattr(self, name).new_empty(tuple(found.shape)))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class MovingAveragePerChannelMinMaxObserver(PerChannelMinMaxObserver):
    """Moving averages of the least and the greatest number, per index of a dim.

    Args:
        averaging_constant: the part of each new range.
        ch_axis, dtype, qscheme, reduce_range, quant_min, quant_max, eps, is_dynamic: see
            :class:`PerChannelMinMaxObserver`.
        kwargs: ``factory_kwargs``.
    """

    def __init__(
        self,
        averaging_constant: float = 0.01,
        ch_axis: int = 0,
        dtype: Any = d.quint8,
        qscheme: Any = per_channel_affine,
        reduce_range: bool = False,
        quant_min: int | None = None,
        quant_max: int | None = None,
        eps: float = EPS,
        is_dynamic: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            ch_axis, dtype, qscheme, reduce_range, quant_min, quant_max, eps=eps,
            is_dynamic=is_dynamic, **kwargs,
        )  # fmt: skip
        self.averaging_constant = averaging_constant

    def _merged(self, least: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
        return (
            self.min_val + self.averaging_constant * (least - self.min_val),
            self.max_val + self.averaging_constant * (most - self.max_val),
        )


class FixedQParamsObserver(ObserverBase):
    """A scale and a zero point that are known: of a sigmoid, whose range is [0, 1].

    Args:
        scale, zero_point: what ``calculate_qparams`` says.
        dtype, qscheme, quant_min, quant_max: as for the others.
        is_dynamic: must be False.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(
        self,
        scale: float,
        zero_point: int,
        dtype: Any = d.quint8,
        qscheme: Any = per_tensor_affine,
        quant_min: int = 0,
        quant_max: int = 255,
        is_dynamic: bool = False,
        **kwargs: Any,
    ) -> None:
        if is_dynamic:
            raise NotImplementedError("FixedQParamsObserver doesn't support dynamic quantization")
        super().__init__(dtype=dtype, is_dynamic=is_dynamic, **kwargs)
        self.quant_min = quant_min
        self.quant_max = quant_max
        self.register_buffer("scale", dovetail.tensor([scale], dtype=d.float32))
        self.register_buffer("zero_point", dovetail.tensor([zero_point], dtype=d.int32))
        self.qscheme = qscheme

    def calculate_qparams(self, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """The two that were given."""
        return self.scale, self.zero_point


class PlaceholderObserver(ObserverBase):
    """Looks at nothing: carries a dtype and a range to ``from_float`` of a quantized module.

    Args:
        dtype: of what the tensor becomes; float16 is only cast.
        custom_op_name: kept.
        compute_dtype: PyTorch's old way to say ``is_dynamic``.
        quant_min, quant_max, qscheme, eps: kept.
        is_dynamic: whether it is quantized when it comes.
    """

    def __init__(
        self,
        dtype: Any = d.float32,
        custom_op_name: str = "",
        compute_dtype: Any = None,
        quant_min: int | None = None,
        quant_max: int | None = None,
        qscheme: Any = None,
        eps: float | None = None,
        is_dynamic: bool = False,
    ) -> None:
        super().__init__(dtype=dtype, is_dynamic=is_dynamic or bool(compute_dtype))
        self.qscheme = per_tensor_affine if qscheme is None else qscheme
        self.quant_min = quant_min
        self.quant_max = quant_max
        self.eps = EPS if eps is None else eps
        self.custom_op = custom_op_name

    def extra_repr(self) -> str:
        return f"dtype={self.dtype}, is_dynamic={self.is_dynamic}"


class RecordingObserver(ObserverBase):
    """Keeps a copy of every tensor that it sees, for debugging."""

    def __init__(self, dtype: Any = d.quint8) -> None:
        super().__init__(dtype=dtype)
        self.tensor_val: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Keep ``x``."""
        self.tensor_val.append(x.clone())
        return x

    def get_tensor_value(self) -> list[Tensor]:
        """What was seen, in order."""
        return self.tensor_val


class NoopObserver(ObserverBase):
    """Looks at nothing.

    Args:
        dtype: of what the tensor becomes.
        custom_op_name: kept.
    """

    def __init__(self, dtype: Any = d.float16, custom_op_name: str = "") -> None:
        super().__init__(dtype=dtype)
        self.custom_op = custom_op_name


class ReuseInputObserver(ObserverBase):
    """Says that a tensor is on the scale of what it was made of."""

    def __init__(self) -> None:
        super().__init__(d.quint8)
