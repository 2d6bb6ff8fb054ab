"""The names that programs import, beside PyTorch's; what is missing is listed with its reason."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

# Graphs (fx, TorchScript), 4 bits, sparse weights, and what PyTorch itself moved to torchao.
MISSING = {
    "AffineQuantizedObserverBase", "Granularity", "MappingType", "MatchAllNode",
    "ObserverOrFakeQuantize", "Pattern", "PerAxis", "PerBlock", "PerGroup", "PerRow", "PerTensor",
    "PerToken", "QConfigDynamic", "QConfigMapping", "QuantType", "TorchAODType",
    "ZeroPointDomain", "convert_dynamic_jit", "convert_jit", "default_embedding_fake_quant_4bit",
    "default_float_qparams_observer_4bit", "fuse_conv_bn_jit", "get_block_size",
    "get_combined_dict", "get_default_compare_output_module_list",
    "get_default_dynamic_sparse_quant_module_mappings",
    "get_default_float_to_quantized_operator_mappings", "get_default_qat_qconfig_dict",
    "get_default_qat_qconfig_mapping", "get_default_qconfig_dict", "get_default_qconfig_mapping",
    "get_default_static_quant_reference_module_mappings",
    "get_default_static_sparse_quant_module_mappings", "get_fuser_method_new",
    "get_quantized_operator", "prepare_dynamic_jit", "prepare_jit", "quantize_dynamic_jit",
    "quantize_jit", "script_qconfig", "script_qconfig_dict",
}  # fmt: skip
MODULES = {
    "nn.quantized": {"LSTM", "MultiheadAttention"},
    "nn.quantized.dynamic": set(),
    "nn.qat": set(),
    "nn.qat.dynamic": set(),
    "nn.intrinsic": set(),
    "nn.intrinsic.qat": set(),
    "nn.intrinsic.quantized": set(),
    "nn.intrinsic.quantized.dynamic": set(),
    "nn.quantized.functional": {"upsample_bilinear", "upsample_nearest"},
}


def test_functions_and_classes() -> None:
    have = set(dir(dt.ao.quantization))
    assert set(torch.ao.quantization.__all__) - have - MISSING == set()
    assert {n for n in MISSING if hasattr(dt.ao.quantization, n)} == set()
    for name in dt.quantization.__all__:
        assert getattr(dt.quantization, name) is getattr(dt.ao.quantization, name)


@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str) -> None:
    theirs = importlib.import_module(f"torch.ao.{name}")
    ours = importlib.import_module(f"dovetail.ao.{name}")
    listed = getattr(theirs, "__all__", None) or [n for n in vars(theirs) if n[0].isupper()]
    assert listed
    lacking = {n for n in listed if not hasattr(ours, n)}
    assert lacking == MODULES[name]


def test_older_names() -> None:
    assert dt.nn.quantized.dynamic.Linear is dt.ao.nn.quantized.dynamic.Linear
    assert dt.nn.qat.Conv2d is dt.ao.nn.qat.Conv2d
    assert dt.nn.intrinsic.ConvReLU2d is dt.ao.nn.intrinsic.ConvReLU2d
    assert dt.backends.quantized.engine in torch.backends.quantized.supported_engines


@pytest.mark.parametrize(
    "name",
    [
        "qint8", "quint8", "qint32", "qscheme", "per_tensor_affine", "per_channel_symmetric",
        "quantize_per_tensor", "quantize_per_channel", "quantize_per_tensor_dynamic", "dequantize",
        "int_repr", "q_scale", "q_zero_point", "q_per_channel_scales", "q_per_channel_zero_points",
        "q_per_channel_axis", "fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine",
        "fused_moving_avg_obs_fake_quant",
    ],
)  # fmt: skip
def test_names_at_the_top(name: str) -> None:
    assert hasattr(torch, name)
    assert hasattr(dt, name)


def test_an_import_does_not_load_quantization() -> None:
    code = (
        "import sys, dovetail, dovetail.nn; dovetail.ones(2).relu();"
        "print([m for m in sys.modules if '.ao' in m or 'dovetail.quantiz' in m])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
