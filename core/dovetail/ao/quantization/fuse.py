"""Putting layers together that are quantized as one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from dovetail import nn
from dovetail.ao.nn import intrinsic
from dovetail.nn.module import Module
from dovetail.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from dovetail.nn.utils.parametrize import type_before_parametrizations

__all__ = [
    "fuse_conv_bn",
    "fuse_conv_bn_relu",
    "fuse_convtranspose_bn",
    "fuse_known_modules",
    "fuse_linear_bn",
    "fuse_modules",
    "fuse_modules_qat",
    "get_fuser_method",
]

_CONV_BN = {nn.Conv1d: intrinsic.ConvBn1d, nn.Conv2d: intrinsic.ConvBn2d,
            nn.Conv3d: intrinsic.ConvBn3d}  # fmt: skip
_CONV_BN_RELU = {nn.Conv1d: intrinsic.ConvBnReLU1d, nn.Conv2d: intrinsic.ConvBnReLU2d,
                 nn.Conv3d: intrinsic.ConvBnReLU3d}  # fmt: skip
_CONV_RELU = {nn.Conv1d: intrinsic.ConvReLU1d, nn.Conv2d: intrinsic.ConvReLU2d,
              nn.Conv3d: intrinsic.ConvReLU3d}  # fmt: skip


def _check_modes(*modules: Module) -> None:
    if len({m.training for m in modules}) > 1:
        names = ", ".join(type(m).__name__ for m in modules)
        raise AssertionError(
            f"Conv and BN both must be in the same mode (train or eval): {names} are not"
        )


def _check_trained(channels: int, bn: Any) -> None:
    if bn.num_features != channels:
        raise AssertionError(
            f"Output channel of Conv2d must match num_features of BatchNorm2d, got {channels} and "
            f"{bn.num_features}"
        )
    if not bn.affine:
        raise AssertionError("Only support fusing BatchNorm2d with affine set to True")
    if not bn.track_running_stats:
        raise AssertionError(
            "Only support fusing BatchNorm2d with tracking_running_stats set to True"
        )


def fuse_conv_bn(is_qat: bool, conv: Any, bn: Any) -> Any:
    """A convolution and its normalization: side by side for training, else one convolution.

    Raises:
        AssertionError: their modes or sizes do not fit.
    """
    _check_modes(conv, bn)
    if not is_qat:
        return fuse_conv_bn_eval(conv, bn)
    _check_trained(conv.out_channels, bn)
    return _CONV_BN[type(conv)](conv, bn)


def fuse_conv_bn_relu(is_qat: bool, conv: Any, bn: Any, relu: Any) -> Any:
    """The same with ReLU.

    Raises:
        AssertionError: their modes or sizes do not fit.
    """
    _check_modes(conv, bn, relu)
    if not is_qat:
        return _CONV_RELU[type(conv)](fuse_conv_bn_eval(conv, bn), relu)
    _check_trained(conv.out_channels, bn)
    return _CONV_BN_RELU[type(conv)](conv, bn, relu)


def fuse_linear_bn(is_qat: bool, linear: Any, bn: Any) -> Any:
    """A linear layer and its normalization: side by side for training, else one layer.

    Raises:
        AssertionError: their modes or sizes do not fit.
    """
    _check_modes(linear, bn)
    if not is_qat:
        return fuse_linear_bn_eval(linear, bn)
    _check_trained(linear.out_features, bn)
    return intrinsic.LinearBn1d(linear, bn)


def fuse_convtranspose_bn(is_qat: bool, convt: Any, bn: Any) -> Any:
    """A transposed convolution and its normalization as one.

    Raises:
        AssertionError: their modes do not fit.
        Exception: for training.
    """
    _check_modes(convt, bn)
    if is_qat:
        raise Exception("Fusing ConvTranspose+BatchNorm not yet supported in QAT.")
    return fuse_conv_bn_eval(convt, bn, transpose=True)


def _beside(kind: Any) -> Callable[..., Any]:
    return lambda is_qat, *modules: kind(*modules)


_METHODS: dict[tuple[Any, ...], Callable[..., Any]] = {
    (nn.Linear, nn.ReLU): _beside(intrinsic.LinearReLU),
    (nn.Linear, nn.BatchNorm1d): fuse_linear_bn,
    (nn.BatchNorm2d, nn.ReLU): _beside(intrinsic.BNReLU2d),
    (nn.BatchNorm3d, nn.ReLU): _beside(intrinsic.BNReLU3d),
}
for _conv, _bn, _transposed in (
    (nn.Conv1d, nn.BatchNorm1d, nn.ConvTranspose1d),
    (nn.Conv2d, nn.BatchNorm2d, nn.ConvTranspose2d),
    (nn.Conv3d, nn.BatchNorm3d, nn.ConvTranspose3d),
):
    _METHODS[_conv, _bn] = fuse_conv_bn
    _METHODS[_conv, _bn, nn.ReLU] = fuse_conv_bn_relu
    _METHODS[_conv, nn.ReLU] = _beside(_CONV_RELU[_conv])
    _METHODS[_transposed, _bn] = fuse_convtranspose_bn


def get_fuser_method(
    op_list: Any, additional_fuser_method_mapping: dict[Any, Any] | None = None
) -> Callable[..., Any]:
    """What puts modules of these classes together.

    Raises:
        AssertionError: nothing does.
    """
    found: Any = {**_METHODS, **(additional_fuser_method_mapping or {})}.get(tuple(op_list))
    if found is None:
        names = ", ".join(getattr(k, "__name__", str(k)) for k in op_list)
        raise AssertionError(f"did not find fuser method for: {names}")
    return found  # type: ignore[no-any-return]


def fuse_known_modules(
    mod_list: list[Module], is_qat: bool, additional_fuser_method_mapping: Any = None
) -> list[Module]:
    """Modules as one, and ``Identity`` in the place of all but the first; hooks go with them."""
    kinds = tuple(type_before_parametrizations(m) for m in mod_list)
    fused = get_fuser_method(kinds, additional_fuser_method_mapping)(is_qat, *mod_list)
    first, last = mod_list[0], mod_list[-1]
    for hook in first._forward_pre_hooks.values():
        fused.register_forward_pre_hook(hook[0] if isinstance(hook, tuple) else hook)
    first._forward_pre_hooks.clear()
    for hook in last._forward_hooks.values():
        fused.register_forward_hook(hook[0] if isinstance(hook, tuple) else hook)
    last._forward_hooks.clear()
    made = [fused]
    for _ in mod_list[1:]:
        identity = nn.Identity()
        identity.training = first.training
        made.append(identity)
    return made


def _fuse(
    model: Module, modules_to_fuse: Any, is_qat: bool, inplace: bool, fuser_func: Any, config: Any
) -> Any:
    if not inplace:
        model = copy.deepcopy(model)
    extra = (config or {}).get("additional_fuser_method_mapping", {})
    is_one = all(isinstance(name, str) for name in modules_to_fuse)
    for names in [modules_to_fuse] if is_one else modules_to_fuse:
        made = fuser_func([model.get_submodule(name) for name in names], is_qat, extra)
        for name, module in zip(names, made, strict=True):
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, module)
    return model


def fuse_modules(
    model: Module, modules_to_fuse: Any, inplace: bool = False,
    fuser_func: Any = fuse_known_modules, fuse_custom_config_dict: Any = None,
) -> Any:  # fmt: skip
    """A model in which layers are put together: convolution, normalization and ReLU, and the like.

    Args:
        model: in evaluation mode.
        modules_to_fuse: names of modules, or a list of such lists; the first of each becomes the
            fused one, the others ``Identity``.
        inplace: change ``model`` itself.
        fuser_func: puts a list of modules together.
        fuse_custom_config_dict: ``additional_fuser_method_mapping``.

    Raises:
        AssertionError: nothing puts these classes together, or their modes do not fit.

    >>> import dovetail as dt
    >>> model = dt.nn.Sequential(dt.nn.Conv2d(1, 2, 3), dt.nn.BatchNorm2d(2), dt.nn.ReLU()).eval()
    >>> dt.ao.quantization.fuse_modules(model, ["0", "1", "2"])
    Sequential(
      (0): ConvReLU2d(
        (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
        (1): ReLU()
      )
      (1): Identity()
      (2): Identity()
    )
    """
    return _fuse(model, modules_to_fuse, False, inplace, fuser_func, fuse_custom_config_dict)


def fuse_modules_qat(
    model: Module, modules_to_fuse: Any, inplace: bool = False,
    fuser_func: Any = fuse_known_modules, fuse_custom_config_dict: Any = None,
) -> Any:  # fmt: skip
    """:func:`fuse_modules` for a model that will be trained: normalizations stay."""
    return _fuse(model, modules_to_fuse, True, inplace, fuser_func, fuse_custom_config_dict)
