"""Pruning: parts of parameters set to 0 by masks (``torch.nn.utils.prune``).

A pruned parameter ``name`` is kept as ``name_orig``, its mask as the buffer ``name_mask``, and a
hook multiplies the two before each forward. How sparse a model is, says :func:`sparsity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn.utils.convert_parameters import parameters_to_vector
from dovetail.nn.utils.prune_methods import (
    BasePruningMethod,
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    PruningContainer,
    RandomStructured,
    RandomUnstructured,
)
from dovetail.nn.utils.sparsity import SparsityReport, sparsity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovetail.nn.module import Module
    from dovetail.tensor import Tensor

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "SparsityReport",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
    "sparsity",
]


def identity(module: Module, name: str) -> Module:
    """Make a parameter a pruned one with a mask of ones; the module is changed and returned."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prune elements at random; the module is changed and returned.

    Args:
        module: what has the parameter.
        name: the parameter's name.
        amount: how many, or (a float) which part of those that are left.
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: float, importance_scores: Tensor | None = None
) -> Module:
    """Prune the elements of smallest absolute value; the module is changed and returned.

    Args:
        module: what has the parameter.
        name: the parameter's name.
        amount: how many, or (a float) which part of those that are left.
        importance_scores: what is compared instead of the parameter, of its shape.

    >>> import dovetail as dt
    >>> layer = dt.nn.utils.prune.l1_unstructured(dt.nn.Linear(4, 2), "weight", amount=0.5)
    >>> int(layer.weight_mask.sum())
    4
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prune slices along a dim at random; the module is changed and returned.

    Args:
        module: what has the parameter.
        name: the parameter's name.
        amount: how many slices, or (a float) which part of them.
        dim: the dim.
    """
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module,
    name: str,
    amount: float,
    n: Any,
    dim: int,
    importance_scores: Tensor | None = None,
) -> Module:
    """Prune the slices of smallest norm along a dim; the module is changed and returned.

    Args:
        module: what has the parameter.
        name: the parameter's name.
        amount: how many slices, or (a float) which part of them.
        n: the norm's order, as ``torch.norm`` takes it.
        dim: the dim.
        importance_scores: what is compared instead of the parameter, of its shape.
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune where ``mask`` is 0; the module is changed and returned."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune several parameters as if they were one vector.

    Args:
        parameters: (module, name) of each.
        pruning_method: a class of unstructured pruning.
        importance_scores: by (module, name), what is compared instead of the parameter.
        kwargs: arguments of the class, such as ``amount``.

    Raises:
        TypeError: no list, no dict, or a method that is not unstructured.
    """
    try:
        places = list(parameters)
    except TypeError:
        raise TypeError("global_unstructured(): parameters is not an Iterable") from None
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    tensors = [getattr(module, name) for module, name in places]
    given = [scores.get(place, t) for place, t in zip(places, tensors, strict=True)]
    masks = [
        getattr(module, name + "_mask", dovetail.ones_like(t))
        for (module, name), t in zip(places, tensors, strict=True)
    ]
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    method._tensor_name = "temp"
    container = PruningContainer(method)
    mask: Any = container.compute_mask(parameters_to_vector(given), parameters_to_vector(masks))
    place = 0
    for (module, name), tensor in zip(places, tensors, strict=True):
        count = tensor.numel()
        custom_from_mask(module, name, mask[place : place + count].view_as(tensor))
        place += count


def remove(module: Module, name: str) -> Module:
    """Make a pruned parameter an ordinary one again, with its zeros; the module is returned.

    Raises:
        ValueError: the parameter is not pruned.
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(
        f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
    )


def is_pruned(module: Module) -> bool:
    """Whether the module, or one below it, has a pruned parameter."""
    return any(
        isinstance(hook, BasePruningMethod)
        for part in module.modules()
        for hook in part._forward_pre_hooks.values()
    )
