"""Lazy modules: what they do not know of their shapes, they learn from their first input.

Meanings follow PyTorch's pages ``LazyLinear`` …. After the first call a lazy module is of the class
that it stands for.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from dovetail.nn.linear import Linear
from dovetail.nn.running_norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from dovetail.nn.uninitialized import UninitializedBuffer, UninitializedParameter, is_lazy

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
    "LazyLinear",
    "LazyModuleMixin",
]


class LazyModuleMixin:
    """Makes a module lazy: its parameters get their shapes before the first ``forward``.

    A subclass puts ``UninitializedParameter`` s in place, gives them their shapes in
    ``initialize_parameters``, and may name the class that it is from then on in ``cls_to_become``.
    """

    cls_to_become: type[Any] | None = None
    _size_name: str
    """The attribute that is 0 until the shapes are known."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(
            self._infer_parameters, with_kwargs=True
        )

    def _save_to_state_dict(self: Any, destination: Any, prefix: str, keep_vars: bool) -> None:
        kept = {n: b for n, b in self._buffers.items() if n not in self._non_persistent_buffers_set}
        for name, tensor in {**self._parameters, **kept}.items():
            if tensor is not None:
                is_kept = keep_vars or is_lazy(tensor)
                destination[prefix + name] = tensor if is_kept else tensor.detach()

    def _lazy_load_hook(self: Any, state_dict: Any, prefix: str, *others: Any) -> None:
        """Shapes from a state dict, before it is loaded."""
        for name, tensor in itertools.chain(self._parameters.items(), self._buffers.items()):
            given = state_dict.get(prefix + name)
            if given is not None and is_lazy(tensor) and not is_lazy(given):
                with dovetail.no_grad():
                    tensor.materialize(given.shape)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give parameters their shapes, from what ``forward`` gets; a subclass defines it."""
        raise NotImplementedError(
            f"initialize_parameters is not implemented for {type(self).__name__}"
        )

    def has_uninitialized_params(self: Any) -> bool:
        """Whether there are parameters or buffers without a shape."""
        tensors = itertools.chain(self._parameters.values(), self._buffers.values())
        return any(is_lazy(tensor) for tensor in tensors)

    def _infer_parameters(self: Any, module: Any, args: Any, kwargs: Any = None) -> None:
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {type(self).__name__} has not been fully initialized")
        for name in ("_initialize_hook", "_load_hook"):
            getattr(module, name).remove()
            delattr(module, name)
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become

    def reset_parameters(self: Any) -> None:
        """Draw the start values again, once the shapes are known."""
        if not self.has_uninitialized_params() and getattr(self, self._size_name) != 0:
            super().reset_parameters()  # type: ignore[misc]


class LazyLinear(LazyModuleMixin, Linear):
    """A ``Linear`` whose ``in_features`` is the size of its first input's last dim.

    Args:
        out_features: size of each output.
        bias: whether b is learned.
        device: where the parameters are.
        dtype: their dtype.
    """

    cls_to_become = Linear
    _size_name = "in_features"

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, 0, False)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def initialize_parameters(self, input: Tensor) -> None:  # type: ignore[override]
        """Shapes from an input (*, in_features)."""
        if self.has_uninitialized_params():
            with dovetail.no_grad():
                self.in_features = input.shape[-1]
                self.weight.materialize((self.out_features, self.in_features))
                if self.bias is not None:
                    self.bias.materialize((self.out_features,))
                self.reset_parameters()
        if self.in_features == 0:
            if input.shape[-1] != self.weight.shape[-1]:
                raise AssertionError(
                    f"The in_features inferred from input: {input.shape[-1]} is not equal to "
                    f"in_features from self.weight: {self.weight.shape[-1]}"
                )
            self.in_features = input.shape[-1]


class _LazyConv(LazyModuleMixin):
    """What lazy convolutions have in common."""

    _size_name = "in_channels"

    def _make_lazy(self: Any, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_channels = out_channels
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def initialize_parameters(self: Any, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Shapes from an input (N, C, *) or (C, *)."""
        if not self.has_uninitialized_params():
            return
        n = self._dims
        if input.dim() not in (n + 1, n + 2):
            raise RuntimeError(
                f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to "
                f"{type(self).__name__}, but got input of size: {input.shape}"
            )
        self.in_channels = input.shape[-n - 1]
        if self.in_channels % self.groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        pair = (self.out_channels, self.in_channels // self.groups)
        if self._is_transposed:
            pair = (self.in_channels, self.out_channels // self.groups)
        self.weight.materialize((*pair, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


class _LazyConvNd(_LazyConv):
    """A convolution whose ``in_channels`` is its first input's number of channels.

    Args:
        out_channels: channels of the output.
        kernel_size: size of the window, one number or one per spatial dim.
        stride: step of the window.
        padding: as the convolution's.
        dilation: distance between the window's elements.
        groups: channels are in so many groups that do not mix.
        bias: whether there is one.
        padding_mode: as the convolution's.
        device: where the parameters are.
        dtype: their dtype.
    """

    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        geometry = (kernel_size, stride, padding, dilation, groups)
        super().__init__(0, 0, *geometry, False, padding_mode, device=device, dtype=dtype)
        self._make_lazy(out_channels, bias, device, dtype)


class _LazyConvTranspose(_LazyConv):
    """A transposed convolution whose ``in_channels`` is its first input's number of channels.

    Args:
        out_channels: channels of the output.
        kernel_size: size of the window, one number or one per spatial dim.
        stride: step of the window.
        padding: as the convolution's.
        output_padding: as the convolution's.
        groups: channels are in so many groups that do not mix.
        bias: whether there is one.
        dilation: distance between the window's elements.
        padding_mode: must be ``zeros``.
        device: where the parameters are.
        dtype: their dtype.
    """

    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        geometry = (kernel_size, stride, padding, output_padding, groups)
        options = (False, dilation, padding_mode)
        super().__init__(0, 0, *geometry, *options, device=device, dtype=dtype)
        self._make_lazy(out_channels, bias, device, dtype)


class LazyConv1d(_LazyConvNd, Conv1d):  # type: ignore[misc]  # both have reset_parameters
    __doc__ = _LazyConvNd.__doc__
    cls_to_become = Conv1d


class LazyConv2d(_LazyConvNd, Conv2d):  # type: ignore[misc]
    __doc__ = _LazyConvNd.__doc__
    cls_to_become = Conv2d


class LazyConv3d(_LazyConvNd, Conv3d):  # type: ignore[misc]
    __doc__ = _LazyConvNd.__doc__
    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):  # type: ignore[misc]
    __doc__ = _LazyConvTranspose.__doc__
    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):  # type: ignore[misc]
    __doc__ = _LazyConvTranspose.__doc__
    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):  # type: ignore[misc]
    __doc__ = _LazyConvTranspose.__doc__
    cls_to_become = ConvTranspose3d


class _LazyNorm(LazyModuleMixin):
    """A normalisation whose ``num_features`` is its first input's number of channels.

    Args:
        eps: added to the variance.
        momentum: weight of a batch in the running values.
        affine: learn a scale and a shift per channel.
        track_running_stats: keep running means and variances.
        device: where the parameters are.
        dtype: their dtype.
        bias: whether there is a shift, given ``affine``.
    """

    _size_name = "num_features"

    def __init__(
        self: Any,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(0, eps, momentum, False, False, **place, bias=False)
        self.affine = affine
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = UninitializedParameter(**place)
            if bias:
                self.bias = UninitializedParameter(**place)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**place)
            self.running_var = UninitializedBuffer(**place)
            self.num_batches_tracked = dovetail.zeros((), dtype=dovetail.int64, device=device)

    def initialize_parameters(self: Any, input: Tensor) -> None:  # type: ignore[override]
        """Shapes from an input (N, C, *)."""
        if not self.has_uninitialized_params():
            return
        self.num_features = input.shape[1]
        for tensor in (self.weight, self.bias, self.running_mean, self.running_var):
            if is_lazy(tensor):
                tensor.materialize((self.num_features,))
        self.reset_parameters()


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):  # type: ignore[misc]
    __doc__ = f"{_LazyNorm.__doc__}"
    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):  # type: ignore[misc]
    __doc__ = f"{_LazyNorm.__doc__}"
    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):  # type: ignore[misc]
    __doc__ = f"{_LazyNorm.__doc__}"
    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):  # type: ignore[misc]
    __doc__ = f"{_LazyNorm.__doc__}"
    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):  # type: ignore[misc]
    __doc__ = f"{_LazyNorm.__doc__}"
    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):  # type: ignore[misc]
    __doc__ = f"{_LazyNorm.__doc__}"
    cls_to_become = InstanceNorm3d
