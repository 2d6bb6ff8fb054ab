"""Layers with fake-quantized weights, for training (``torch.ao.nn.qat``)."""

from __future__ import annotations

from typing import Any

from dovetail.ao.nn.intrinsic import fused
from dovetail.nn import conv as floats
from dovetail.nn import functional as F
from dovetail.nn.embedding_bag import EmbeddingBag as FloatEmbeddingBag
from dovetail.nn.linear import Embedding as FloatEmbedding
from dovetail.nn.linear import Linear as FloatLinear
from dovetail.nn.module import Module
from dovetail.nn.parameter import Parameter
from dovetail.nn.utils.parametrize import type_before_parametrizations
from dovetail.tensor import Tensor

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "Embedding",
    "EmbeddingBag",
    "Linear",
    "Trained",
    "conv_options",
    "linear_options",
]


Options = tuple[tuple[Any, ...], dict[str, Any]]


def linear_options(mod: Any) -> Options:
    """Arguments that make a linear layer like another."""
    return (mod.in_features, mod.out_features), {"bias": mod.bias is not None}


def conv_options(mod: Any) -> Options:
    """Arguments that make a convolution like another."""
    names = ("stride", "padding", "dilation", "groups", "padding_mode")
    options = {name: getattr(mod, name) for name in names}
    options["bias"] = mod.bias is not None
    return (mod.in_channels, mod.out_channels, mod.kernel_size), options


class Trained(Module):
    """A float layer whose weight is rounded in each call; a subclass names the layer.

    Attributes:
        qconfig: as given.
        weight_fake_quant: rounds the weight.
    """

    _FLOAT_MODULE: Any
    _FLOAT_LAYER: Any

    def _watch(self, qconfig: Any, device: Any = None, dtype: Any = None) -> None:
        if not qconfig:
            raise AssertionError("qconfig must be provided for QAT module")
        self.qconfig = qconfig
        options = {"device": device, "dtype": dtype}
        given = {k: v for k, v in options.items() if v is not None}
        self.weight_fake_quant = qconfig.weight(factory_kwargs=given or None)

    @classmethod
    def _options(cls, mod: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments that make a layer like a float one."""
        raise NotImplementedError

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of a float layer with a qconfig, whose parameters it takes over.

        Raises:
            AssertionError: another module, or one without a qconfig.
        """
        kind = type_before_parametrizations(mod)
        if kind is not cls._FLOAT_MODULE:
            raise AssertionError(
                f"qat.{cls.__name__}.from_float only works for {cls._FLOAT_MODULE.__name__}, got "
                f"{kind.__name__}"
            )
        if not hasattr(mod, "qconfig"):
            raise AssertionError("Input float module must have qconfig defined")
        if not mod.qconfig:
            raise AssertionError("Input float module must have a valid qconfig")
        qconfig = mod.qconfig
        if isinstance(mod, fused._FusedModule):
            mod = mod[0]
        args, options = cls._options(mod)
        made = cls(*args, **options, qconfig=qconfig)
        made.weight = mod.weight
        if hasattr(mod, "bias"):
            made.bias = mod.bias
        made.weight_fake_quant.to(mod.weight.device)
        return made

    def to_float(self) -> Any:
        """The float layer with its parameters as they are trained."""
        args, options = self._options(self)
        made = self._FLOAT_LAYER(*args, **options)
        made.weight = Parameter(self.weight.detach())
        if getattr(self, "bias", None) is not None:
            made.bias = Parameter(self.bias.detach())
        made.train(self.training)
        if issubclass(self._FLOAT_MODULE, fused._FusedModule):
            from dovetail.nn.activation import ReLU

            made = self._FLOAT_MODULE(made, ReLU())
            made.train(self.training)
        return made


class Linear(Trained, FloatLinear):
    """Linear with a fake-quantized weight.

    Args:
        in_features, out_features, bias, device, dtype: the float layer's.
        qconfig: whose ``weight`` makes the fake quantizer.
    """

    _FLOAT_MODULE: Any = FloatLinear
    _FLOAT_LAYER = FloatLinear

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, qconfig: Any = None,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self._watch(qconfig, device, dtype)

    def forward(self, input: Tensor) -> Any:
        """(*, in_features) -> (*, out_features)."""
        return F.linear(input, self.weight_fake_quant(self.weight), self.bias)

    @classmethod
    def _options(cls, mod: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return linear_options(mod)


class _Conv(Trained):
    """A convolution with a fake-quantized weight.

    Args:
        args, kwargs: the float layer's.
        qconfig: whose ``weight`` makes the fake quantizer.
    """

    def __init__(
        self, *args: Any, qconfig: Any = None, device: Any = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, device=device, dtype=dtype, **kwargs)
        self._watch(qconfig, device, dtype)

    def forward(self, input: Tensor) -> Any:
        """(N, C, *) -> (N, O, *)."""
        weight = self.weight_fake_quant(self.weight)
        return self._conv_forward(input, weight, self.bias)

    @classmethod
    def _options(cls, mod: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return conv_options(mod)


class Conv1d(_Conv, floats.Conv1d):
    __doc__ = _Conv.__doc__
    _FLOAT_MODULE: Any = floats.Conv1d
    _FLOAT_LAYER = floats.Conv1d


class Conv2d(_Conv, floats.Conv2d):
    __doc__ = _Conv.__doc__
    _FLOAT_MODULE: Any = floats.Conv2d
    _FLOAT_LAYER = floats.Conv2d


class Conv3d(_Conv, floats.Conv3d):
    __doc__ = _Conv.__doc__
    _FLOAT_MODULE: Any = floats.Conv3d
    _FLOAT_LAYER = floats.Conv3d


def _check_table(qconfig: Any) -> None:
    from dovetail.quantized.schemes import per_channel_affine_float_qparams

    observer = qconfig.weight()
    if observer.qscheme is not per_channel_affine_float_qparams:
        raise AssertionError(
            "Embedding weights requires a qscheme of torch.per_channel_affine_float_qparams Got "
            f"{observer.qscheme}"
        )


class Embedding(Trained, FloatEmbedding):
    """A table with fake-quantized rows.

    Args:
        args, kwargs: the float layer's.
        qconfig: whose ``weight`` makes the fake quantizer, with float zero points.
    """

    _FLOAT_MODULE: Any = FloatEmbedding
    _FLOAT_LAYER = FloatEmbedding

    def __init__(self, *args: Any, qconfig: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if qconfig:
            _check_table(qconfig)
        self._watch(qconfig)

    def forward(self, input: Tensor) -> Any:
        """(*) integers -> (*, embedding_dim)."""
        return F.embedding(
            input, self.weight_fake_quant(self.weight), self.padding_idx, self.max_norm,
            self.norm_type, self.scale_grad_by_freq, self.sparse,
        )  # fmt: skip

    @classmethod
    def _options(cls, mod: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        names = ("padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse")
        options = {name: getattr(mod, name) for name in names}
        return (mod.num_embeddings, mod.embedding_dim), options


class EmbeddingBag(Trained, FloatEmbeddingBag):
    """Sums of fake-quantized rows.

    Args:
        args, kwargs: the float layer's.
        qconfig: whose ``weight`` makes the fake quantizer, with float zero points.
    """

    _FLOAT_MODULE: Any = FloatEmbeddingBag
    _FLOAT_LAYER = FloatEmbeddingBag

    def __init__(self, *args: Any, qconfig: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if qconfig:
            _check_table(qconfig)
        self._watch(qconfig)

    def forward(
        self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Any = None
    ) -> Any:
        """Bags of indices -> (bags, embedding_dim)."""
        return F.embedding_bag(
            input, self.weight_fake_quant(self.weight), offsets, self.max_norm, self.norm_type,
            self.scale_grad_by_freq, self.mode, self.sparse, per_sample_weights,
            self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    @classmethod
    def _options(cls, mod: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        names = ("max_norm", "norm_type", "scale_grad_by_freq", "mode", "sparse",
                 "include_last_offset", "padding_idx")  # fmt: skip
        options = {name: getattr(mod, name) for name in names}
        return (mod.num_embeddings, mod.embedding_dim), options
