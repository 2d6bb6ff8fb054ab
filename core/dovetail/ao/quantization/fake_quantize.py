"""FakeQuantize: modules that round what passes as quantization will, for training.

Meanings follow PyTorch's page ``torch.ao.quantization.fake_quantize``. Gradients pass straight
through (``fake_quantize_per_tensor_affine``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail
import dovetail.dtypes as d
from dovetail import ops
from dovetail.ao.quantization.default_observers import (
    default_fixed_qparams_range_0to1_observer,
    default_fixed_qparams_range_neg1to1_observer,
)
from dovetail.ao.quantization.histogram import HistogramObserver
from dovetail.ao.quantization.observer import (
    FixedQParamsObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    inf,
    is_per_channel,
    is_per_tensor,
    is_symmetric,
)
from dovetail.ao.quantization.partial import with_args
from dovetail.nn.module import Module
from dovetail.quantized.make import choose_qparams
from dovetail.quantized.schemes import (
    per_channel_affine_float_qparams,
    per_channel_symmetric,
    per_tensor_affine,
    per_tensor_symmetric,
)
from dovetail.tensor import Tensor

__all__ = [
    "FakeQuantize",
    "FakeQuantizeBase",
    "FixedQParamsFakeQuantize",
    "FusedMovingAvgObsFakeQuantize",
    "default_affine_fixed_qparams_fake_quant",
    "default_dynamic_fake_quant",
    "default_embedding_fake_quant",
    "default_fake_quant",
    "default_fixed_qparams_range_0to1_fake_quant",
    "default_fixed_qparams_range_neg1to1_fake_quant",
    "default_fused_act_fake_quant",
    "default_fused_per_channel_wt_fake_quant",
    "default_fused_wt_fake_quant",
    "default_histogram_fake_quant",
    "default_per_channel_weight_fake_quant",
    "default_symmetric_fixed_qparams_fake_quant",
    "default_weight_fake_quant",
    "disable_fake_quant",
    "disable_observer",
    "enable_fake_quant",
    "enable_observer",
    "fused_moving_avg_obs_fake_quant",
    "fused_per_channel_wt_fake_quant_range_neg_127_to_127",
    "fused_wt_fake_quant_range_neg_127_to_127",
]


class FakeQuantizeBase(Module):
    """What all fake quantizers have: two switches, kept as buffers."""

    fake_quant_enabled: Tensor
    observer_enabled: Tensor
    _switch_dtype = d.uint8

    def __init__(self) -> None:
        super().__init__()
        for name in ("fake_quant_enabled", "observer_enabled"):
            self.register_buffer(name, dovetail.tensor([1], dtype=self._switch_dtype))

    def calculate_qparams(self, **kwargs: Any) -> Any:
        """(scale, zero point)."""
        raise NotImplementedError

    def enable_fake_quant(self, enabled: bool = True) -> None:
        """Round from now on, or do not."""
        self.fake_quant_enabled.fill_(int(enabled))

    def disable_fake_quant(self) -> None:
        """Let tensors pass as they are."""
        self.enable_fake_quant(False)

    def enable_observer(self, enabled: bool = True) -> None:
        """Watch from now on, or keep scale and zero point."""
        self.observer_enabled.fill_(int(enabled))

    def disable_observer(self) -> None:
        """Keep scale and zero point."""
        self.enable_observer(False)

    with_args: Any = classmethod(with_args)


class FakeQuantize(FakeQuantizeBase):
    """Watch a tensor with an observer, and round it as the observer says.

    Args:
        observer: makes the observer.
        quant_min, quant_max: the range of the integers.
        is_dynamic: whether the tensor will be quantized on its own range.
        observer_kwargs: for the observer.

    Attributes:
        activation_post_process: the observer.
        scale, zero_point: buffers of shape (1,), or (C,) per channel.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(
        self,
        observer: Any = MovingAverageMinMaxObserver,
        quant_min: int | None = None,
        quant_max: int | None = None,
        is_dynamic: bool = False,
        **observer_kwargs: Any,
    ) -> None:
        super().__init__()
        if quant_min is not None and quant_max is not None:
            _check_range(observer, quant_min, quant_max, observer_kwargs)
            observer_kwargs.update({"quant_min": quant_min, "quant_max": quant_max})
        observer_kwargs["is_dynamic"] = is_dynamic
        watching = self.activation_post_process = observer(**observer_kwargs)
        self.quant_min, self.quant_max = watching.quant_min, watching.quant_max
        self.is_dynamic = watching.is_dynamic
        is_float = watching.qscheme is per_channel_affine_float_qparams
        self.register_buffer("scale", dovetail.tensor([1.0], dtype=d.float32))
        self.register_buffer(
            "zero_point", dovetail.tensor([0], dtype=d.float32 if is_float else d.int32)
        )
        self.dtype = watching.dtype
        self.qscheme = watching.qscheme
        self.ch_axis = getattr(watching, "ch_axis", -1)
        if not (is_per_channel(self.qscheme) or is_per_tensor(self.qscheme)):
            raise AssertionError(
                "Only per channel and per tensor quantization are supported in fake quantize got "
                f"qscheme: {self.qscheme}"
            )
        self.is_per_channel = is_per_channel(self.qscheme)

    def calculate_qparams(self, **kwargs: Any) -> Any:
        """(scale, zero point) that the observer has found."""
        return self.activation_post_process.calculate_qparams()

    def _keep(self, scale: Tensor, zero_point: Tensor) -> None:
        for name, value in (("scale", scale), ("zero_point", zero_point)):
            have = getattr(self, name)
            value = value.detach().to(device=have.device, dtype=have.dtype)
            if have.shape == value.shape:
                have.copy_(value)
            else:
                setattr(self, name, value)

    def _rounded(self, X: Tensor) -> Tensor:
        watching = self.activation_post_process
        low, high = watching.quant_min, watching.quant_max
        if self.is_per_channel:
            return ops.fake_quantize_per_channel_affine(  # type: ignore[no-any-return]
                X, self.scale, self.zero_point, self.ch_axis % X.dim(), low, high
            )
        return ops.fake_quantize_per_tensor_affine(  # type: ignore[no-any-return]
            X, self.scale, self.zero_point, low, high
        )

    def forward(self, X: Tensor) -> Tensor:
        """Watch ``X`` and round it, as far as the switches say."""
        if self.observer_enabled.item() == 1:
            self.activation_post_process(X.detach())
            self._keep(*self.calculate_qparams())
        return self._rounded(X) if self.fake_quant_enabled.item() == 1 else X

    def extra_repr(self) -> str:
        watching = self.activation_post_process
        return (
            f"fake_quant_enabled={self.fake_quant_enabled}, "
            f"observer_enabled={self.observer_enabled}, "
            f"quant_min={watching.quant_min}, quant_max={watching.quant_max}, dtype={self.dtype}, "
            f"qscheme={self.qscheme}, ch_axis={self.ch_axis}, scale={self.scale}, "
            f"zero_point={self.zero_point}"
        )

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name in ("scale", "zero_point"):  # their shapes are known with the first tensor only
            found, have = state_dict.get(prefix + name), getattr(self, name)
            if found is not None and found.shape != have.shape:
                setattr(self, name, have.new_zeros(tuple(found.shape)))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _check_range(
    observer: Any, quant_min: int, quant_max: int, observer_kwargs: dict[str, Any]
) -> None:
    if quant_min > quant_max:
        raise AssertionError("quant_min must be less than or equal to quant_max")
    dtype = observer_kwargs.get("dtype", d.quint8)
    given = getattr(getattr(observer, "p", None), "keywords", {})
    info = d.iinfo(given.get("dtype", dtype))
    if info.min > quant_min:
        raise AssertionError(f"quant_min out of bound: {quant_min} is less than {info.min}")
    if quant_max > info.max:
        raise AssertionError(f"quant_max out of bound: {quant_max} is greater than {info.max}")


class FixedQParamsFakeQuantize(FakeQuantize):
    """Round on a scale that is known.

    Args:
        observer: makes a ``FixedQParamsObserver``.
    """

    def __init__(self, observer: Any) -> None:
        super().__init__(observer=observer)
        if type(self.activation_post_process) is not FixedQParamsObserver:
            raise AssertionError(
                f"{type(self).__name__}'s observer must be a {FixedQParamsObserver.__name__}"
            )
        self._observer_ctr = observer
        self.scale = self.activation_post_process.scale
        self.zero_point = self.activation_post_process.zero_point
        if not is_per_tensor(self.qscheme):
            raise AssertionError(
                "Only per tensor quantization is supported FixedQParamsFakeQuantize module, got "
                f"qscheme:{self.qscheme}"
            )

    def calculate_qparams(self, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """The two that are known."""
        return self.scale, self.zero_point

    def extra_repr(self) -> str:
        watching = self.activation_post_process
        return (
            f"fake_quant_enabled={self.fake_quant_enabled}, "
            f"observer_enabled={self.observer_enabled}, scale={self.scale}, "
            f"zero_point={self.zero_point}, dtype={self.dtype}, quant_min={watching.quant_min}, "
            f"quant_max={watching.quant_max}, qscheme={self.qscheme}"
        )


class FusedMovingAvgObsFakeQuantize(FakeQuantize):
    """:class:`FakeQuantize` with moving averages, by ``fused_moving_avg_obs_fake_quant``.

    Args:
        observer: makes a moving-average observer.
        quant_min, quant_max: the range of the integers.
        observer_kwargs: for the observer.
    """

    _switch_dtype = d.int64

    def __init__(
        self,
        observer: Any = MovingAverageMinMaxObserver,
        quant_min: int = 0,
        quant_max: int = 255,
        **observer_kwargs: Any,
    ) -> None:
        super().__init__(observer, quant_min, quant_max, **observer_kwargs)
        averaging = (MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver)
        if not isinstance(self.activation_post_process, averaging):
            raise AssertionError(
                "Fused observer+fake_quant module only works with MovingAverageMinMaxObserver"
            )
        self.is_symmetric_quant = is_symmetric(self.activation_post_process.qscheme)

    def forward(self, X: Tensor) -> Tensor:
        """Watch ``X`` and round it, as far as the switches say."""
        watching = self.activation_post_process
        if self.is_per_channel and not watching.min_val.numel() and self.observer_enabled.item():
            count = (X.shape[self.ch_axis],)
            watching.min_val = watching.min_val.new_full(count, inf)
            watching.max_val = watching.max_val.new_full(count, -inf)
            self._keep(self.scale.new_ones(count), self.zero_point.new_zeros(count))
        return fused_moving_avg_obs_fake_quant(
            X, self.observer_enabled, self.fake_quant_enabled, watching.min_val, watching.max_val,
            self.scale, self.zero_point, watching.averaging_constant, watching.quant_min,
            watching.quant_max, self.ch_axis, self.is_per_channel, self.is_symmetric_quant,
        )  # fmt: skip

    def extra_repr(self) -> str:
        watching = self.activation_post_process
        return (
            f"fake_quant_enabled={self.fake_quant_enabled}, "
            f"observer_enabled={self.observer_enabled}, scale={self.scale}, "
            f"zero_point={self.zero_point}, dtype={self.dtype}, quant_min={watching.quant_min}, "
            f"quant_max={watching.quant_max}, qscheme={self.qscheme}, "
            f"reduce_range={watching.reduce_range}"
        )


def fused_moving_avg_obs_fake_quant(
    input: Tensor,
    observer_on: Tensor,
    fake_quant_on: Tensor,
    running_min: Tensor,
    running_max: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    averaging_const: float,
    quant_min: int,
    quant_max: int,
    ch_axis: int,
    per_row_fake_quant: bool = False,
    symmetric_quant: bool = False,
) -> Tensor:
    """Follow the range of ``input`` with moving averages and round it, all in place but the result.

    Args:
        input: any shape; its gradient passes straight through.
        observer_on, fake_quant_on: switches, of one element.
        running_min, running_max: averages so far, of one element; (C,) with ``per_row_fake_quant``.
        scale, zero_point: written.
        averaging_const: the part of each new range.
        quant_min, quant_max: the range of the integers.
        ch_axis: the dim that has C.
        per_row_fake_quant: a range per index of ``ch_axis``.
        symmetric_quant: put 0 in the middle.
    """
    # Both are asked for now, while nothing of this call is queued that they would wait for.
    observes, rounds = observer_on.item() == 1, fake_quant_on.item() == 1
    if observes and input.numel():
        x = input.detach()
        if per_row_fake_quant:
            others = [i for i in range(x.dim()) if i != ch_axis % x.dim()]
            least, most = x.amin(others), x.amax(others)
        else:
            least, most = dovetail.aminmax(x)
        _follow(
            (running_min, running_max, scale, zero_point), (least, most), averaging_const,
            quant_min, quant_max, symmetric_quant,
        )  # fmt: skip
    if not rounds:
        return input
    if per_row_fake_quant:
        return ops.fake_quantize_per_channel_affine(  # type: ignore[no-any-return]
            input, scale, zero_point, ch_axis % input.dim(), quant_min, quant_max
        )
    return ops.fake_quantize_per_tensor_affine(  # type: ignore[no-any-return]
        input, scale, zero_point, quant_min, quant_max
    )


def _follow(
    state: tuple[Tensor, Tensor, Tensor, Tensor],
    seen: tuple[Tensor, Tensor],
    averaging_const: float,
    quant_min: int,
    quant_max: int,
    symmetric: bool,
) -> None:
    """Move averages to the range ``seen`` and write them, the scale and the zero point.

    The range and the averages come to the host together: a device waits once, not for each.
    """
    shape, dtype = state[0].shape, state[0].dtype
    both = [x.reshape(shape).to(dtype) for x in (*state[:2], *seen)]
    ranges = dovetail.stack(both).cpu().numpy()
    least, most = ranges[2:]
    if not (np.isposinf(ranges[0]).any() or np.isneginf(ranges[1]).any()):
        least, most = ranges[:2] + ranges.dtype.type(averaging_const) * (ranges[2:] - ranges[:2])
    found = choose_qparams(least, most, quant_min, quant_max, preserve_sparsity=symmetric)
    for target, value in zip(state, (least, most, *found), strict=True):
        if target.numel() == 1:
            target.fill_(np.asarray(value).item())  # a number needs no transfer
        else:
            target.copy_(dovetail.tensor(value, dtype=target.dtype).reshape(target.shape))


def enable_fake_quant(mod: Module) -> None:
    """Have a fake quantizer round; for ``module.apply``."""
    if isinstance(mod, FakeQuantizeBase):
        mod.enable_fake_quant()


def disable_fake_quant(mod: Module) -> None:
    """Have a fake quantizer let tensors pass; for ``module.apply``."""
    if isinstance(mod, FakeQuantizeBase):
        mod.disable_fake_quant()


def enable_observer(mod: Module) -> None:
    """Have a fake quantizer watch; for ``module.apply``."""
    if isinstance(mod, FakeQuantizeBase):
        mod.enable_observer()


def disable_observer(mod: Module) -> None:
    """Have a fake quantizer keep its scale; for ``module.apply``."""
    if isinstance(mod, FakeQuantizeBase):
        mod.disable_observer()


# PyTorch's ready-made factories

_ACTIVATION = {
    "observer": MovingAverageMinMaxObserver, "quant_min": 0, "quant_max": 255, "dtype": d.quint8,
}  # fmt: skip
_WEIGHT = {
    "observer": MovingAverageMinMaxObserver, "quant_min": -128, "quant_max": 127,
    "dtype": d.qint8, "qscheme": per_tensor_symmetric,
}  # fmt: skip
_CHANNEL_WEIGHT = {
    **_WEIGHT, "observer": MovingAveragePerChannelMinMaxObserver, "qscheme": per_channel_symmetric,
}  # fmt: skip
_TO_127 = {"quant_min": -127, "quant_max": 127, "eps": 2**-12}

default_fake_quant: Any = FakeQuantize.with_args(
    **_ACTIVATION, qscheme=per_tensor_affine, reduce_range=True
)
default_weight_fake_quant: Any = FakeQuantize.with_args(**_WEIGHT, reduce_range=False)
default_dynamic_fake_quant: Any = FakeQuantize.with_args(
    **_ACTIVATION, is_dynamic=True, averaging_constant=1
)
default_fixed_qparams_range_neg1to1_fake_quant: Any = FixedQParamsFakeQuantize.with_args(
    observer=default_fixed_qparams_range_neg1to1_observer
)
default_fixed_qparams_range_0to1_fake_quant: Any = FixedQParamsFakeQuantize.with_args(
    observer=default_fixed_qparams_range_0to1_observer
)
default_symmetric_fixed_qparams_fake_quant = default_fixed_qparams_range_neg1to1_fake_quant
default_affine_fixed_qparams_fake_quant = default_fixed_qparams_range_0to1_fake_quant
default_per_channel_weight_fake_quant: Any = FakeQuantize.with_args(
    **_CHANNEL_WEIGHT, reduce_range=False, ch_axis=0
)
default_embedding_fake_quant: Any = FakeQuantize.with_args(
    observer=MovingAveragePerChannelMinMaxObserver, qscheme=per_channel_affine_float_qparams,
    dtype=d.quint8, quant_min=0, quant_max=255, ch_axis=0, averaging_constant=1,
)  # fmt: skip
default_histogram_fake_quant: Any = FakeQuantize.with_args(
    observer=HistogramObserver, quant_min=0, quant_max=255, dtype=d.quint8,
    qscheme=per_tensor_affine, reduce_range=True,
)  # fmt: skip
default_fused_act_fake_quant: Any = FusedMovingAvgObsFakeQuantize.with_args(**_ACTIVATION)
default_fused_wt_fake_quant: Any = FusedMovingAvgObsFakeQuantize.with_args(**_WEIGHT)
default_fused_per_channel_wt_fake_quant: Any = FusedMovingAvgObsFakeQuantize.with_args(
    **_CHANNEL_WEIGHT
)
fused_wt_fake_quant_range_neg_127_to_127: Any = FusedMovingAvgObsFakeQuantize.with_args(
    **{**_WEIGHT, **_TO_127}
)
fused_per_channel_wt_fake_quant_range_neg_127_to_127: Any = FusedMovingAvgObsFakeQuantize.with_args(
    **{**_CHANNEL_WEIGHT, **_TO_127}
)
