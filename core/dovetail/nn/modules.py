"""``torch.nn.modules``: layers by the files that PyTorch keeps them in.

Programs that look for a kind of layer import its base class from there
(``nn.modules.batchnorm._BatchNorm``), and ``_pair`` from ``nn.modules.utils``. Every name is the
object that ``dovetail.nn`` has.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, MutableMapping
from types import ModuleType
from typing import Any

__all__ = ["consume_prefix_in_state_dict_if_present", "fill"]

__path__: list[str] = []
"""Its files can be imported, as those of a package can; they are made below."""

_FILES = {
    "activation": """CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU
        LogSigmoid LogSoftmax Mish MultiheadAttention PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid
        Softmax Softmax2d Softmin Softplus Softshrink Softsign Tanh Tanhshrink Threshold""",
    "adaptive": "AdaptiveLogSoftmaxWithLoss",
    "batchnorm": """BatchNorm1d BatchNorm2d BatchNorm3d LazyBatchNorm1d LazyBatchNorm2d
        LazyBatchNorm3d""",
    "channelshuffle": "ChannelShuffle",
    "container": "ModuleDict ModuleList ParameterDict ParameterList Sequential",
    "conv": """Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d
        LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d""",
    "distance": "CosineSimilarity PairwiseDistance",
    "dropout": "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout",
    "flatten": "Flatten Unflatten",
    "fold": "Fold Unfold",
    "instancenorm": """InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d
        LazyInstanceNorm2d LazyInstanceNorm3d""",
    "lazy": "",
    "linear": "Bilinear Identity LazyLinear Linear",
    "loss": """BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss
        GaussianNLLLoss HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss LinearCrossEntropyLoss MSELoss
        MarginRankingLoss MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss
        PoissonNLLLoss SmoothL1Loss SoftMarginLoss TripletMarginLoss
        TripletMarginWithDistanceLoss""",
    "module": "Module",
    "normalization": "GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "padding": """CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d
        ConstantPad3d ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d
        ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d""",
    "pixelshuffle": "PixelShuffle PixelUnshuffle",
    "pooling": """AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d
        AdaptiveMaxPool2d AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d
        FractionalMaxPool3d LPPool1d LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d
        MaxUnpool2d MaxUnpool3d""",
    "rnn": "GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell RNNCellBase",
    "sparse": "Embedding EmbeddingBag",
    "transformer": """Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder
        TransformerEncoderLayer""",
    "upsampling": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
    "utils": "",
}
"""PyTorch's file -> the layers in it."""

_BASES = {
    "batchnorm": {
        "_BatchNorm": "running_norm._BatchNorm", "_NormBase": "running_norm._RunningNorm",
    },
    "conv": {"_ConvNd": "conv._ConvNd", "_ConvTransposeNd": "conv._ConvTranspose"},
    "dropout": {"_DropoutNd": "dropout._Dropout"},
    "instancenorm": {
        "_InstanceNorm": "running_norm._InstanceNorm", "_NormBase": "running_norm._RunningNorm",
    },
    "lazy": {"LazyModuleMixin": "lazy.LazyModuleMixin"},
    "loss": {"_Loss": "loss.Loss", "_WeightedLoss": "loss.WeightedLoss"},
    "rnn": {"PackedSequence": "utils.rnn.PackedSequence"},
}  # fmt: skip
"""What ``nn`` itself has not got: PyTorch's name -> where it is here."""


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    """A function that gives what is iterable as a tuple, and everything else ``n`` times."""

    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    parse.__name__ = name
    return parse


def _reverse_repeat_tuple(t: tuple[Any, ...], n: int) -> tuple[Any, ...]:
    """The elements from the last to the first, each ``n`` times: paddings as ``pad`` takes them."""
    return tuple(x for x in reversed(t) for _ in range(n))


def consume_prefix_in_state_dict_if_present(state_dict: Any, prefix: str) -> None:
    """Take a prefix, such as ``"module."``, from the keys that begin with it, in place."""
    _without_prefix(state_dict, prefix, prefix)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is not None:
        _without_prefix(metadata, prefix, prefix.replace(".", ""))


def _without_prefix(given: MutableMapping[str, Any], prefix: str, whole: str) -> None:
    for key in list(given):
        if key and (key == whole or key.startswith(prefix)):
            given[key[len(prefix) :]] = given.pop(key)


_UTILITIES: dict[str, Any] = {
    "_ntuple": _ntuple,
    "_single": _ntuple(1, "_single"),
    "_pair": _ntuple(2, "_pair"),
    "_triple": _ntuple(3, "_triple"),
    "_quadruple": _ntuple(4, "_quadruple"),
    "_reverse_repeat_tuple": _reverse_repeat_tuple,
    "consume_prefix_in_state_dict_if_present": consume_prefix_in_state_dict_if_present,
}


def fill(nn: ModuleType) -> None:
    """Make the files of ``torch.nn.modules`` from ``nn``, which has the layers."""
    layers = {layer: getattr(nn, layer) for layer in nn.__all__}
    globals().update({**layers, **{file: _made(file, nn) for file in _FILES}})


def _made(file: str, nn: ModuleType) -> ModuleType:
    name = f"{__name__}.{file}"
    made = ModuleType(name, f"PyTorch's ``torch.nn.modules.{file}``.")
    listed = _FILES[file].split()
    made.__dict__.update({layer: getattr(nn, layer) for layer in listed})
    for theirs, ours in _BASES.get(file, {}).items():
        place, _, own = ours.rpartition(".")
        made.__dict__[theirs] = getattr(importlib.import_module(f"dovetail.nn.{place}"), own)
    if file == "utils":
        made.__dict__.update(_UTILITIES)
    made.__dict__["__all__"] = listed
    sys.modules[name] = made
    return made
