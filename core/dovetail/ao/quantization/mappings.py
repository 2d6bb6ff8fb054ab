"""Which module takes the place of which, for each way of quantizing."""

from __future__ import annotations

from typing import Any

from dovetail import nn
from dovetail.ao.nn import intrinsic, qat, quantized
from dovetail.ao.nn.intrinsic import qat as intrinsic_qat
from dovetail.ao.nn.intrinsic import quantized as intrinsic_quantized
from dovetail.ao.nn.intrinsic.quantized import dynamic as intrinsic_dynamic
from dovetail.ao.nn.qat import dynamic as qat_dynamic
from dovetail.ao.nn.quantized import dynamic
from dovetail.ao.quantization import fake_quantize as fakes
from dovetail.ao.quantization.stubs import DeQuantStub, QuantStub
from dovetail.nn.attention import NonDynamicallyQuantizableLinear

__all__ = [
    "get_default_dynamic_quant_module_mappings",
    "get_default_qat_module_mappings",
    "get_default_qconfig_propagation_list",
    "get_default_static_quant_module_mappings",
    "get_dynamic_quant_module_class",
    "get_embedding_qat_module_mappings",
    "get_embedding_static_quant_module_mappings",
    "get_static_quant_module_class",
    "no_observer_set",
]

Mapping = dict[Any, Any]


def _by_name(names: tuple[str, ...], source: Any, target: Any) -> Mapping:
    return {getattr(source, name): getattr(target, name) for name in names}


_CONVS = ("Conv1d", "Conv2d", "Conv3d")
_TRANSPOSED = ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
_CONV_BN = ("ConvBn1d", "ConvBn2d", "ConvBn3d")
_CONV_BN_RELU = ("ConvBnReLU1d", "ConvBnReLU2d", "ConvBnReLU3d")
_CONV_RELU = ("ConvReLU1d", "ConvReLU2d", "ConvReLU3d")

_STATIC: Mapping = {
    QuantStub: quantized.Quantize,
    DeQuantStub: quantized.DeQuantize,
    quantized.FloatFunctional: quantized.QFunctional,
    NonDynamicallyQuantizableLinear: quantized.Linear,
    **_by_name(
        ("BatchNorm2d", "BatchNorm3d", "Dropout", "ELU", "Embedding", "EmbeddingBag", "GroupNorm",
         "Hardswish", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LayerNorm",
         "LeakyReLU", "Linear", "PReLU", "ReLU6", "Softmax", *_CONVS, *_TRANSPOSED),
        nn, quantized,
    ),
    **_by_name(
        ("BNReLU2d", "BNReLU3d", "ConvAdd2d", "ConvAddReLU2d", "LinearLeakyReLU", "LinearReLU",
         "LinearTanh", *_CONV_RELU), intrinsic, intrinsic_quantized,
    ),
    # trained
    **_by_name(("Linear", *_CONVS), qat, quantized),
    **_by_name(("LinearReLU", *_CONV_RELU), intrinsic_qat, intrinsic_quantized),
    intrinsic_qat.LinearBn1d: quantized.Linear,
    **{getattr(intrinsic_qat, name): getattr(quantized, f"Conv{name[-2:]}") for name in _CONV_BN},
    **{
        getattr(intrinsic_qat, name): getattr(intrinsic_quantized, f"ConvReLU{name[-2:]}")
        for name in _CONV_BN_RELU
    },
}  # fmt: skip

_TRAINED: Mapping = {
    NonDynamicallyQuantizableLinear: qat.Linear,
    **_by_name(("Linear", *_CONVS), nn, qat),
    **_by_name(
        ("LinearBn1d", "LinearReLU", *_CONV_BN, *_CONV_BN_RELU, *_CONV_RELU), intrinsic,
        intrinsic_qat,
    ),
}  # fmt: skip

_DYNAMIC: Mapping = {
    qat_dynamic.Linear: dynamic.Linear,
    NonDynamicallyQuantizableLinear: dynamic.Linear,
    intrinsic.LinearReLU: intrinsic_dynamic.LinearReLU,
    **_by_name(
        ("GRU", "GRUCell", "LSTM", "LSTMCell", "Linear", "RNN", "RNNCell", *_CONVS, *_TRANSPOSED),
        nn, dynamic,
    ),
    **_by_name(("Embedding", "EmbeddingBag"), nn, quantized),
}  # fmt: skip

FIXED_RANGE: Mapping = {
    nn.Hardsigmoid: fakes.default_fixed_qparams_range_0to1_fake_quant,
    nn.Sigmoid: fakes.default_fixed_qparams_range_0to1_fake_quant,
    nn.Softmax: fakes.default_fixed_qparams_range_0to1_fake_quant,
    nn.Tanh: fakes.default_fixed_qparams_range_neg1to1_fake_quant,
}
"""Modules whose range is known, and the fake quantizer of their output in training."""


def get_default_static_quant_module_mappings() -> Mapping:
    """Observed or trained module -> the one that computes in integers."""
    return dict(_STATIC)


def get_embedding_static_quant_module_mappings() -> Mapping:
    """The same, with tables that were trained."""
    return {**_STATIC, **_by_name(("Embedding", "EmbeddingBag"), qat, quantized)}


def get_default_qat_module_mappings() -> Mapping:
    """Float module -> the one that trains with a fake-quantized weight."""
    return dict(_TRAINED)


def get_embedding_qat_module_mappings() -> Mapping:
    """The same, with tables."""
    return {**_TRAINED, **_by_name(("Embedding", "EmbeddingBag"), nn, qat)}


def get_default_dynamic_quant_module_mappings() -> Mapping:
    """Float module -> the one that quantizes its input as it comes.

    Convolutions are among them, which PyTorch leaves as they are.
    """
    return dict(_DYNAMIC)


def get_default_qconfig_propagation_list() -> set[Any]:
    """The modules whose outputs ``prepare`` observes."""
    return {*_STATIC, *_TRAINED, *_DYNAMIC, nn.Sequential}


def _class_of(mapping: Mapping, float_module_class: Any, more: Mapping | None) -> Any:
    found = {**mapping, **(more or {})}.get(float_module_class)
    if found is None:
        raise AssertionError(
            f"Floating point module class {float_module_class} does not have a corresponding "
            "quantized module class"
        )
    return found


def get_static_quant_module_class(
    float_module_class: Any, additional_static_quant_mapping: Mapping | None = None,
    is_reference: bool = False,
) -> Any:  # fmt: skip
    """The class that computes in integers in the place of another.

    Raises:
        AssertionError: there is none.
    """
    return _class_of(_STATIC, float_module_class, additional_static_quant_mapping)


def get_dynamic_quant_module_class(
    float_module_class: Any, additional_dynamic_quant_mapping: Mapping | None = None
) -> Any:
    """The class that quantizes its input as it comes in the place of another.

    Raises:
        AssertionError: there is none.
    """
    return _class_of(_DYNAMIC, float_module_class, additional_dynamic_quant_mapping)


def no_observer_set() -> set[Any]:
    """Modules that take no observers: none."""
    return set()
