"""Weights as a length times a direction, by a hook (``torch.nn.utils.weight_norm``).

Salimans and Kingma, NeurIPS 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail import ops
from dovetail.autograd.mode import mode
from dovetail.nn.parameter import Parameter
from dovetail.ops.layers.weight_norm import norm_except_dim
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.nn.module import Module
    from dovetail.tensor import Tensor

__all__ = ["WeightNorm", "norm_except_dim", "remove_weight_norm", "weight_norm", "with_norm"]


def with_norm(v: Any, g: Any, dim: int) -> Tensor:
    """``v`` with the norms ``g``."""
    spec, lengths, ndim = v._spec, g._spec, v._spec.ndim
    place = dim if dim == -1 else dim % max(ndim, 1)
    sizes = () if dim == -1 else tuple(n if i == place else 1 for i, n in enumerate(spec.shape))
    is_record = spec.dtype.category == 2 and lengths.dtype is spec.dtype and -ndim <= dim < ndim
    made: Tensor
    if is_record and tuple(lengths.shape) == sizes and mode.autocast is None:
        made = ops.weight_norm(v, g, dim=place)
        return made
    made = v * (g / norm_except_dim(v, dim))
    return made


class WeightNorm:
    """The hook that computes a module's weight before each forward.

    Args:
        name: the parameter's name.
        dim: the dim that keeps norms of its own; None: one norm for all.
    """

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """The weight from its length and its direction."""
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return with_norm(v, g, self.dim)

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Replace a parameter by its length and its direction.

        Raises:
            RuntimeError: it has been done already.
        """
        warn(
            "`torch.nn.utils.weight_norm` is deprecated in favor of "
            "`torch.nn.utils.parametrizations.weight_norm`.",
            FutureWarning,
        )
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                raise RuntimeError(
                    f"Cannot register two weight_norm hooks on the same parameter {name}"
                )
        hook = WeightNorm(name, dim)
        weight = getattr(module, name)
        del module._parameters[name]
        norms = norm_except_dim(weight.detach(), hook.dim)
        module.register_parameter(name + "_g", Parameter(norms))
        module.register_parameter(name + "_v", Parameter(weight.data))
        setattr(module, name, hook.compute_weight(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Module) -> None:
        """Make the weight a parameter again."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"]
        del module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.data))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Let a parameter be a length (``name_g``) times a direction (``name_v``); warns: deprecated.

    Args:
        module: what has the parameter; it is changed and returned.
        name: the parameter's name.
        dim: the dim that keeps norms of its own; None: one norm for all.

    Raises:
        RuntimeError: it has been done already.
    """
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Undo :func:`weight_norm`; the weight stays what it is.

    Raises:
        ValueError: there is nothing to undo.
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
