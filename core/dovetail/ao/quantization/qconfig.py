"""QConfig: which observers watch a layer's activations and weights, and PyTorch's defaults.

``x86``, ``fbgemm``, ``onednn`` and ``qnnpack`` are names of PyTorch's engines. Here they only
choose ranges: x86 and fbgemm leave the top bit of activations free. Every device computes all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import dovetail.dtypes as d
from dovetail.ao.quantization import default_observers as observers
from dovetail.ao.quantization import fake_quantize as fakes
from dovetail.ao.quantization.histogram import HistogramObserver
from dovetail.ao.quantization.observer import (
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    NoopObserver,
    PlaceholderObserver,
)
from dovetail.nn.linear import Identity
from dovetail.nn.module import Module

__all__ = [
    "QConfig",
    "QConfigAny",
    "default_activation_only_qconfig",
    "default_debug_qconfig",
    "default_dynamic_qat_qconfig",
    "default_dynamic_qconfig",
    "default_embedding_qat_qconfig",
    "default_per_channel_qconfig",
    "default_per_channel_symmetric_qnnpack_qat_qconfig",
    "default_per_channel_symmetric_qnnpack_qconfig",
    "default_qat_qconfig",
    "default_qat_qconfig_v2",
    "default_qconfig",
    "default_quint8_weight_qconfig",
    "default_reuse_input_qconfig",
    "default_symmetric_qnnpack_qat_qconfig",
    "default_symmetric_qnnpack_qconfig",
    "default_weight_only_qconfig",
    "float16_dynamic_qconfig",
    "float16_static_qconfig",
    "float_qparams_weight_only_qconfig",
    "get_default_qat_qconfig",
    "get_default_qconfig",
    "is_memoryless",
    "per_channel_dynamic_qconfig",
    "qconfig_equals",
]


class _Pair(NamedTuple):
    activation: Any
    weight: Any


class QConfig(_Pair):
    """Factories of the observers of a layer's output and of its weight.

    Args:
        activation, weight: classes, or what ``Observer.with_args(...)`` gives.

    Raises:
        ValueError: an observer in the place of a factory.

    >>> import dovetail as dt
    >>> q = dt.ao.quantization
    >>> config = q.QConfig(activation=q.MinMaxObserver, weight=q.default_weight_observer)
    """

    __slots__ = ()

    def __new__(cls, activation: Any, weight: Any) -> QConfig:
        if isinstance(activation, Module) or isinstance(weight, Module):
            raise ValueError(
                "QConfig received observer instance, please pass observer class instead. "
                "Use MyObserver.with_args(x=1) to override arguments to constructor if needed"
            )
        return super().__new__(cls, activation, weight)


QConfigAny = QConfig | None

_HALF = PlaceholderObserver.with_args(dtype=d.float16)
_SIGNED_HISTOGRAM = HistogramObserver.with_args(dtype=d.qint8, reduce_range=False, eps=2**-12)
_SIGNED_FAKE = fakes.FusedMovingAvgObsFakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver, quant_min=-128, quant_max=127, dtype=d.qint8,
    reduce_range=False, eps=2**-12,
)  # fmt: skip

default_qconfig = QConfig(observers.default_observer, observers.default_weight_observer)
default_debug_qconfig = QConfig(observers.default_debug_observer, observers.default_weight_observer)
default_per_channel_qconfig = QConfig(
    observers.default_observer, observers.default_per_channel_weight_observer
)
default_dynamic_qconfig = QConfig(
    observers.default_dynamic_quant_observer, observers.default_weight_observer
)
float16_dynamic_qconfig = QConfig(
    PlaceholderObserver.with_args(dtype=d.float16, is_dynamic=True), _HALF
)
float16_static_qconfig = QConfig(_HALF, _HALF)
per_channel_dynamic_qconfig = QConfig(
    observers.default_dynamic_quant_observer, observers.default_per_channel_weight_observer
)
float_qparams_weight_only_qconfig = QConfig(
    observers.default_placeholder_observer, observers.default_float_qparams_observer
)
default_qat_qconfig = QConfig(fakes.default_fake_quant, fakes.default_weight_fake_quant)
default_dynamic_qat_qconfig = QConfig(
    fakes.default_dynamic_fake_quant, fakes.default_weight_fake_quant
)
default_weight_only_qconfig = QConfig(Identity, fakes.default_weight_fake_quant)
default_activation_only_qconfig = QConfig(fakes.default_fake_quant, Identity)
default_qat_qconfig_v2 = QConfig(
    fakes.default_fused_act_fake_quant, fakes.default_fused_wt_fake_quant
)
default_reuse_input_qconfig = QConfig(observers.default_reuse_input_observer, NoopObserver)
default_symmetric_qnnpack_qconfig = QConfig(
    _SIGNED_HISTOGRAM, observers.weight_observer_range_neg_127_to_127
)
default_per_channel_symmetric_qnnpack_qconfig = QConfig(
    _SIGNED_HISTOGRAM, observers.per_channel_weight_observer_range_neg_127_to_127
)
default_embedding_qat_qconfig = QConfig(
    NoopObserver.with_args(dtype=d.float32), fakes.default_embedding_fake_quant
)
default_quint8_weight_qconfig = QConfig(HistogramObserver, MinMaxObserver)
default_symmetric_qnnpack_qat_qconfig = QConfig(
    _SIGNED_FAKE, fakes.fused_wt_fake_quant_range_neg_127_to_127
)
default_per_channel_symmetric_qnnpack_qat_qconfig = QConfig(
    _SIGNED_FAKE, fakes.fused_per_channel_wt_fake_quant_range_neg_127_to_127
)

_REDUCES = {"x86": True, "fbgemm": True, "onednn": False, "qnnpack": False}
"""An engine -> whether the top bit of activations stays free."""


def _reduces(backend: str) -> bool:
    if backend not in _REDUCES:
        raise AssertionError(
            f"backend: {backend} not supported. backend must be one of {list(_REDUCES)}"
        )
    return _REDUCES[backend]


def get_default_qconfig(backend: str = "x86", version: int = 0) -> QConfig:
    """Histograms for activations; weights per channel (per tensor for ``qnnpack``).

    Raises:
        AssertionError: no such engine or version.
    """
    reduces = _reduces(backend)
    if version != 0:
        raise AssertionError(
            f"Version number: {version} in get_default_qconfig is not supported. Version number "
            "must be 0"
        )
    weight = observers.default_per_channel_weight_observer
    if backend == "qnnpack":
        weight = observers.default_weight_observer
    return QConfig(HistogramObserver.with_args(reduce_range=reduces), weight)


def get_default_qat_qconfig(backend: str = "x86", version: int = 1) -> QConfig:
    """Moving averages for activations; weights per channel (per tensor for ``qnnpack``).

    Args:
        backend: see :mod:`dovetail.ao.quantization.qconfig`.
        version: 1: fused modules; 0: an observer and a fake quantizer.

    Raises:
        AssertionError: no such engine or version.
    """
    reduces = _reduces(backend)
    if version not in (0, 1):
        raise AssertionError(
            f"Version number: {version}in get_default_qat_qconfig is not supported. Version number "
            "must be 0 or 1"
        )
    kinds: Any = {
        0: (fakes.FakeQuantize, fakes.default_weight_fake_quant,
            fakes.default_per_channel_weight_fake_quant),
        1: (fakes.FusedMovingAvgObsFakeQuantize, fakes.default_fused_wt_fake_quant,
            fakes.default_fused_per_channel_wt_fake_quant),
    }  # fmt: skip
    kind, of_tensor, of_channel = kinds[version]
    options: dict[str, Any] = {} if backend == "onednn" else {"reduce_range": reduces}
    activation = kind.with_args(
        observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255, **options
    )
    return QConfig(activation, of_tensor if backend == "qnnpack" else of_channel)


def _is_same(a: Any, b: Any) -> bool:
    if hasattr(a, "p") and hasattr(b, "p"):
        mine, others = dict(a.p.keywords), dict(b.p.keywords)
        within = _is_same(mine.pop("observer", None), others.pop("observer", None))
        return bool(a.p.func == b.p.func and a.p.args == b.p.args and mine == others and within)
    return bool(a == b)


def qconfig_equals(q1: Any, q2: Any) -> bool:
    """Whether two make the same observers."""
    if q1 is None or q2 is None:
        return q1 is q2
    return _is_same(q1.activation, q2.activation) and _is_same(q1.weight, q2.weight)


def is_memoryless(qconfig: Any) -> bool:
    """Whether a qconfig's activations are quantized on each tensor's own range."""
    observer = qconfig.activation()
    if isinstance(observer, fakes.FakeQuantizeBase):
        observer = getattr(observer, "activation_post_process", observer)
    return getattr(observer, "averaging_constant", None) == 1
