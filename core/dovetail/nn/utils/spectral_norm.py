"""Weights with the largest singular value 1, by a hook (``torch.nn.utils.spectral_norm``).

Miyato et al., ICLR 2018. The singular vectors are found by the power method, a step per forward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail import ops
from dovetail.autograd.mode import mode
from dovetail.nn.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from dovetail.nn.functional import normalize
from dovetail.nn.parameter import Parameter
from dovetail.ops.layers.spectral_norm_step import spectral_norm_step
from dovetail.ops.layers.weight_norm import as_matrix

if TYPE_CHECKING:
    from dovetail.nn.module import Module
    from dovetail.tensor import Tensor

__all__ = [
    "SpectralNorm",
    "SpectralNormLoadStateDictPreHook",
    "SpectralNormStateDictHook",
    "output_dim",
    "over_form",
    "remove_spectral_norm",
    "spectral_norm",
]


def output_dim(module: Module) -> int:
    """The dim of a weight that counts outputs: 1 for transposed convolutions, else 0."""
    return int(isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)))


def over_form(weight: Any, u: Any, v: Any, dim: int) -> Tensor:
    """The weight over the product of its matrix with two vectors."""
    made: Tensor
    if weight._spec.dtype.category == 2 and mode.autocast is None:
        made = ops.spectral_norm(weight, u, v, dim=dim)
    else:
        made = weight / u.dot(as_matrix(weight, dim).mv(v))
    return made


class SpectralNorm:
    """The hook that computes a module's weight before each forward.

    Args:
        name: the parameter's name.
        n_power_iterations: steps of the power method per forward in training.
        dim: the dim that becomes the matrix's rows.
        eps: the smallest norm that is divided by.

    Raises:
        ValueError: no iterations.
    """

    _version: int = 1

    def __init__(
        self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        self.name = name
        self.dim = dim
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.n_power_iterations = n_power_iterations
        self.eps = eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight over its largest singular value; the vectors' buffers are written in place."""
        weight: Any = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        if do_power_iteration:
            steps = self.n_power_iterations
            made = spectral_norm_step(
                weight, u, v, dim=self.dim, steps=steps, eps=self.eps, is_u_first=False
            )
            u, v = made or self._stepped(as_matrix(weight, self.dim), u, v)
        return over_form(weight, u, v, self.dim)

    @dovetail.no_grad()
    def _stepped(self, matrix: Any, u: Any, v: Any) -> tuple[Any, Any]:
        for _ in range(self.n_power_iterations):
            v.copy_(normalize(matrix.t().mv(u), dim=0, eps=self.eps))
            u.copy_(normalize(matrix.mv(v), dim=0, eps=self.eps))
        # The next forward writes to the buffers; backward needs them as they are.
        return u.clone(), v.clone()

    def remove(self, module: Module) -> None:
        """Make the weight a parameter again."""
        with dovetail.no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        for suffix in ("", "_u", "_v", "_orig"):
            delattr(module, self.name + suffix)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))

    @staticmethod
    def apply(
        module: Module, name: str, n_power_iterations: int, dim: int, eps: float
    ) -> SpectralNorm:
        """Replace a parameter by the quotient.

        Raises:
            RuntimeError: it has been done already.
            ValueError: the parameter is None, or no iterations.
        """
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm) and hook.name == name:
                raise RuntimeError(
                    f"Cannot register two spectral_norm hooks on the same parameter {name}"
                )
        hook = SpectralNorm(name, n_power_iterations, dim, eps)
        weight: Any = module._parameters[name]
        if weight is None:
            raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
        with dovetail.no_grad():
            height, width = as_matrix(weight, dim).shape
            u = normalize(weight.new_empty(height).normal_(0, 1), dim=0, eps=eps)
            v = normalize(weight.new_empty(width).normal_(0, 1), dim=0, eps=eps)
        delattr(module, name)
        module.register_parameter(name + "_orig", weight)
        # A plain attribute: the weight is computed, and yet there before the first forward.
        setattr(module, name, weight.data)
        module.register_buffer(name + "_u", u)
        module.register_buffer(name + "_v", v)
        module.register_forward_pre_hook(hook)
        module._register_state_dict_hook(SpectralNormStateDictHook(hook))
        module._register_load_state_dict_pre_hook(SpectralNormLoadStateDictPreHook(hook))
        return hook


class SpectralNormLoadStateDictPreHook:
    """Makes ``name_v`` where an old state dict has none.

    Args:
        fn: the hook that computes the weight.
    """

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: Any,
        unexpected_keys: Any, error_msgs: Any,
    ) -> None:  # fmt: skip
        name, key = self.fn.name, prefix + self.fn.name
        version = local_metadata.get("spectral_norm", {}).get(f"{name}.version")
        if version is not None and version >= 1:
            return
        parts = (key + "_orig", key + "_u", key + "_v")
        if version is None and key not in state_dict and all(p in state_dict for p in parts):
            return
        absent = [k for k in (key + "_orig", key, key + "_u") if k not in state_dict]
        if absent:
            if strict:
                missing_keys.extend(absent)
            return
        with dovetail.no_grad():
            original, u = state_dict[key + "_orig"], state_dict[key + "_u"]
            sigma = (original / state_dict.pop(key)).mean()
            matrix = as_matrix(original, self.fn.dim)
            v = (matrix.t().mm(matrix)).pinverse().mm(matrix.t()).mv(u)
            state_dict[key + "_v"] = v * (sigma / u.dot(matrix.mv(v)))


class SpectralNormStateDictHook:
    """Notes the layout's version in a state dict's metadata.

    Args:
        fn: the hook that computes the weight.
    """

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(
        self, module: Module, state_dict: Any, prefix: str, local_metadata: dict[str, Any]
    ) -> None:
        versions = local_metadata.setdefault("spectral_norm", {})
        key = self.fn.name + ".version"
        if key in versions:
            raise RuntimeError(f"Unexpected key in metadata['spectral_norm']: {key}")
        versions[key] = self.fn._version


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a parameter by its largest singular value before each forward.

    Args:
        module: what has the parameter; it is changed and returned.
        name: the parameter's name.
        n_power_iterations: steps of the power method per forward in training.
        eps: the smallest norm that is divided by.
        dim: the dim that becomes the matrix's rows; None: the one that counts outputs.

    Raises:
        RuntimeError: it has been done already.
        ValueError: the parameter is None, or no iterations.
    """
    SpectralNorm.apply(
        module, name, n_power_iterations, output_dim(module) if dim is None else dim, eps
    )
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Undo :func:`spectral_norm`; the weight stays what it is.

    Raises:
        ValueError: there is nothing to undo.
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            break
    else:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    for table in (module._state_dict_hooks, module._load_state_dict_pre_hooks):
        for key, entry in list(table.items()):
            function = entry[0]
            kinds = (SpectralNormStateDictHook, SpectralNormLoadStateDictPreHook)
            if isinstance(function, kinds) and function.fn.name == name:
                del table[key]
    return module
