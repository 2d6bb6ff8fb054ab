"""Fused layers with fake-quantized weights (``torch.ao.nn.intrinsic.qat``)."""

from __future__ import annotations

import math
from typing import Any

import dovetail
from dovetail.ao.nn import qat
from dovetail.ao.nn.intrinsic import fused
from dovetail.ao.nn.qat.modules import Trained, conv_options, linear_options
from dovetail.nn import conv as floats
from dovetail.nn import functional as F
from dovetail.nn import init
from dovetail.nn.activation import ReLU
from dovetail.nn.linear import Linear as FloatLinear
from dovetail.nn.module import Module
from dovetail.nn.parameter import Parameter
from dovetail.nn.running_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from dovetail.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights
from dovetail.tensor import Tensor

__all__ = [
    "ConvBn1d",
    "ConvBn2d",
    "ConvBn3d",
    "ConvBnReLU1d",
    "ConvBnReLU2d",
    "ConvBnReLU3d",
    "ConvReLU1d",
    "ConvReLU2d",
    "ConvReLU3d",
    "LinearBn1d",
    "LinearReLU",
    "freeze_bn_stats",
    "update_bn_stats",
]


class LinearReLU(qat.Linear):
    """Linear with a fake-quantized weight, and ReLU. Arguments are those of ``qat.Linear``."""

    _FLOAT_MODULE: Any = fused.LinearReLU

    def forward(self, input: Tensor) -> Any:
        """(*, in_features) -> (*, out_features)."""
        return F.relu(super().forward(input))


class ConvReLU1d(qat.Conv1d):
    """Convolution with a fake-quantized weight, and ReLU. Arguments are those of ``qat.Conv1d``."""

    _FLOAT_MODULE: Any = fused.ConvReLU1d

    def forward(self, input: Tensor) -> Any:
        """(N, C, L) -> (N, O, L')."""
        return F.relu(super().forward(input))


class ConvReLU2d(qat.Conv2d):
    """Convolution with a fake-quantized weight, and ReLU. Arguments are those of ``qat.Conv2d``."""

    _FLOAT_MODULE: Any = fused.ConvReLU2d

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) -> (N, O, H', W')."""
        return F.relu(super().forward(input))


class ConvReLU3d(qat.Conv3d):
    """Convolution with a fake-quantized weight, and ReLU. Arguments are those of ``qat.Conv3d``."""

    _FLOAT_MODULE: Any = fused.ConvReLU3d

    def forward(self, input: Tensor) -> Any:
        """(N, C, D, H, W) -> (N, O, D', H', W')."""
        return F.relu(super().forward(input))


class _WithBatchNorm(Trained):
    """A layer and its batch normalization: what is rounded is the weight that both make.

    The layer runs with ``weight * bn.weight / running_std`` rounded, its output is divided by the
    same factor, and the normalization follows. Source: PyTorch's ``ConvBn2d``; Krishnamoorthi,
    "Quantizing deep convolutional networks for efficient inference", 2018, section 3.2.2.

    Attributes:
        bn: the normalization.
        freeze_bn: whether its statistics stay as they are.
    """

    _version = 2
    _BN: Any

    def _join(
        self, channels: int, bias: bool, eps: float, momentum: Any, freeze_bn: bool, qconfig: Any
    ) -> None:
        self.freeze_bn = freeze_bn if self.training else True
        self.bn = self._BN(channels, eps, momentum, True, True)
        self._watch(qconfig)
        if bias:
            self.bias = Parameter(dovetail.empty(channels))
        else:
            self.register_parameter("bias", None)
        self.reset_bn_parameters()
        self.freeze_bn_stats() if self.freeze_bn else self.update_bn_stats()

    def reset_running_stats(self) -> None:
        """Forget the statistics."""
        self.bn.reset_running_stats()

    def reset_bn_parameters(self) -> None:
        """Draw the normalization's parameters (and the layer's bias) again."""
        self.bn.reset_running_stats()
        init.uniform_(self.bn.weight)
        init.zeros_(self.bn.bias)
        if self.bias is not None:
            bound = 1 / math.prod(self.weight.shape[1:]) ** 0.5
            init.uniform_(self.bias, -bound, bound)

    def update_bn_stats(self) -> Any:
        """Have the statistics follow the batches."""
        self.freeze_bn = False
        self.bn.training = True
        return self

    def freeze_bn_stats(self) -> Any:
        """Keep the statistics as they are."""
        self.freeze_bn = True
        self.bn.training = False
        return self

    def train(self, mode: bool = True) -> Any:
        """As ``Module.train``; frozen statistics stay frozen."""
        self.training = mode
        if not self.freeze_bn:
            for module in self.children():
                module.train(mode)
        return self

    def _layer(self, input: Tensor, weight: Tensor) -> Tensor:
        """The layer without its bias."""
        raise NotImplementedError

    def forward(self, input: Tensor) -> Any:
        """The layer and its normalization."""
        factor = self.bn.weight / dovetail.sqrt(self.bn.running_var + self.bn.eps)
        rows = (-1, *[1] * (self.weight.dim() - 1))
        weight = self.weight_fake_quant(self.weight * factor.reshape(rows))
        made = self._layer(input, weight)
        columns = [1] * made.dim()
        columns[1] = -1
        made = made / factor.reshape(columns)
        if self.bias is not None:
            made = made + self.bias.reshape(columns)
        return self.bn(made)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of a fused float module with a qconfig, whose parameters and statistics it takes over.

        Raises:
            AssertionError: another module, or one without a qconfig.
        """
        if type(mod) is not cls._FLOAT_MODULE:
            raise AssertionError(
                f"qat.{cls.__name__}.from_float only works for {cls._FLOAT_MODULE.__name__}"
            )
        if not hasattr(mod, "qconfig"):
            raise AssertionError("Input float module must have qconfig defined")
        if not mod.qconfig:
            raise AssertionError("Input float module must have a valid qconfig")
        layer, bn = mod[0], mod[1]
        args, options = cls._options(layer)
        made = cls(
            *args, **options, eps=bn.eps, momentum=bn.momentum, freeze_bn=False, qconfig=mod.qconfig
        )
        made.weight, made.bias = layer.weight, layer.bias
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            setattr(made.bn, name, getattr(bn, name))
        made.weight_fake_quant.to(layer.weight.device)
        return made

    def to_float(self) -> Any:
        """The float layer, the normalization folded into its weight."""
        args, options = self._options(self)
        made = self._FLOAT_LAYER(*args, **options)
        fuse = fuse_linear_bn_weights if isinstance(made, FloatLinear) else fuse_conv_bn_weights
        made.weight, made.bias = fuse(
            self.weight, self.bias, self.bn.running_mean, self.bn.running_var, self.bn.eps,
            self.bn.weight, self.bn.bias,
        )  # fmt: skip
        made.train(self.training)
        return made


class _ConvBn(_WithBatchNorm):
    """Convolution and batch normalization with one fake-quantized weight.

    Args:
        args, kwargs: the convolution's.
        eps, momentum: the normalization's.
        freeze_bn: keep its statistics as they are.
        qconfig: whose ``weight`` makes the fake quantizer.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: Any = None,
        padding_mode: str = "zeros", eps: float = 1e-05, momentum: Any = 0.1,
        freeze_bn: bool = False, qconfig: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, False,
            padding_mode,
        )  # fmt: skip
        self._join(out_channels, bool(bias), eps, momentum, freeze_bn, qconfig)

    def _layer(self, input: Tensor, weight: Tensor) -> Tensor:
        made: Tensor = self._conv_forward(input, weight, None)
        return made

    @classmethod
    def _options(cls, mod: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return conv_options(mod)


class ConvBn1d(_ConvBn, floats.Conv1d):
    __doc__ = _ConvBn.__doc__
    _FLOAT_MODULE: Any = fused.ConvBn1d
    _FLOAT_LAYER = floats.Conv1d
    _BN = BatchNorm1d


class ConvBn2d(_ConvBn, floats.Conv2d):
    __doc__ = _ConvBn.__doc__
    _FLOAT_MODULE: Any = fused.ConvBn2d
    _FLOAT_LAYER = floats.Conv2d
    _BN = BatchNorm2d


class ConvBn3d(_ConvBn, floats.Conv3d):
    __doc__ = _ConvBn.__doc__
    _FLOAT_MODULE: Any = fused.ConvBn3d
    _FLOAT_LAYER = floats.Conv3d
    _BN = BatchNorm3d


class _ThenReLU(Module):
    def forward(self, input: Tensor) -> Any:
        """As without, and ReLU."""
        return F.relu(super().forward(input))

    def to_float(self) -> Any:
        """The float layer, the normalization folded into its weight, and ReLU."""
        layer = super().to_float()  # type: ignore[misc]
        kinds = {1: fused.ConvReLU1d, 2: fused.ConvReLU2d, 3: fused.ConvReLU3d}
        made = kinds[self._dims](layer, ReLU())
        made.train(self.training)
        return made


class ConvBnReLU1d(_ThenReLU, ConvBn1d):
    __doc__ = _ConvBn.__doc__
    _FLOAT_MODULE: Any = fused.ConvBnReLU1d


class ConvBnReLU2d(_ThenReLU, ConvBn2d):
    __doc__ = _ConvBn.__doc__
    _FLOAT_MODULE: Any = fused.ConvBnReLU2d


class ConvBnReLU3d(_ThenReLU, ConvBn3d):
    __doc__ = _ConvBn.__doc__
    _FLOAT_MODULE: Any = fused.ConvBnReLU3d


class LinearBn1d(_WithBatchNorm, FloatLinear):
    """Linear and batch normalization with one fake-quantized weight.

    Args:
        in_features, out_features, bias: the layer's.
        eps, momentum: the normalization's.
        freeze_bn: keep its statistics as they are.
        qconfig: whose ``weight`` makes the fake quantizer.
    """

    _FLOAT_MODULE: Any = fused.LinearBn1d
    _FLOAT_LAYER = FloatLinear
    _BN = BatchNorm1d

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, eps: float = 1e-05,
        momentum: Any = 0.1, freeze_bn: bool = False, qconfig: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, False)
        self._join(out_features, bias, eps, momentum, freeze_bn, qconfig)

    def _layer(self, input: Tensor, weight: Tensor) -> Tensor:
        return F.linear(input, weight)

    @classmethod
    def _options(cls, mod: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return linear_options(mod)


def update_bn_stats(mod: Module) -> None:
    """Have a fused normalization follow the batches; for ``module.apply``."""
    if isinstance(mod, _WithBatchNorm):
        mod.update_bn_stats()


def freeze_bn_stats(mod: Module) -> None:
    """Have a fused normalization keep its statistics; for ``module.apply``."""
    if isinstance(mod, _WithBatchNorm):
        mod.freeze_bn_stats()
