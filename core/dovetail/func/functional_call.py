"""``functional_call``: a module's forward with other parameters than its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.tensor import Tensor

if TYPE_CHECKING:
    from dovetail.nn.module import Module

__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with tensors in place of its parameters and buffers.

    Args:
        parameter_and_buffer_dicts: tensors by dotted name; several such dicts are joined.
        args: the positional arguments; one that is no tuple is the only one.
        kwargs: the keyword arguments.
        tie_weights: a tensor also takes the place of those that were one with what it replaces.
        strict: raise where a name is missing, or is none of the module's.

    The module is as before afterwards. What it writes in place (running statistics) goes into the
    tensors that were given.

    Raises:
        RuntimeError: names that do not fit, where ``strict``.
        ValueError: a name comes twice, or tied names get different tensors.

    Source: PyTorch's ``torch.func.functional_call``.

    Example:
        >>> import dovetail as dt
        >>> model = dt.nn.Linear(2, 1, bias=False)
        >>> dt.func.functional_call(model, {"weight": dt.ones(1, 2)}, dt.ones(3, 2))
        tensor([[2.],
                [2.],
                [2.]])
    """
    tensors = _joined(parameter_and_buffer_dicts)
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with _swapped(module, tensors, tie_weights, strict):
        return module(*args, **(kwargs or {}))


def _joined(dicts: Any) -> dict[str, Any]:
    if isinstance(dicts, Mapping):
        return dict(dicts)
    if not isinstance(dicts, Sequence):
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
            f"{type(dicts)}"
        )
    if not all(isinstance(d, Mapping) for d in dicts):
        raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
    joined: dict[str, Any] = {}
    for entries in dicts:
        for name, tensor in entries.items():
            if name in joined:
                raise ValueError(f"{name} appears in multiple dictionaries; behavior is ambiguous")
            joined[name] = tensor
    return joined


def _places(module: Module) -> dict[str, tuple[dict[str, Any], str]]:
    """Where each parameter and buffer is kept: the table and the name in it, by dotted name."""
    found = {}
    for prefix, child in module.named_modules(remove_duplicate=False):
        for table in (child._parameters, child._buffers):
            for name in table:
                found[f"{prefix}.{name}" if prefix else name] = (table, name)
    return found


@contextlib.contextmanager
def _swapped(module: Module, tensors: dict[str, Any], tie: bool, strict: bool) -> Iterator[None]:
    places = _places(module)
    own = {name: table[key] for name, (table, key) in places.items()}
    if tie:
        tensors = _with_tied(own, tensors)
    if strict:
        missing = [n for n, x in own.items() if x is not None and n not in tensors]
        unexpected = [n for n in tensors if n not in own]
        problems = []
        if unexpected:
            problems.append(f"Unexpected key(s): {', '.join(unexpected)}.")
        if missing:
            problems.append(f"Missing key(s): {', '.join(missing)}.")
        if problems:
            raise RuntimeError(
                f"Error(s) in reparametrizing for {type(module).__name__}:\n\t"
                + "\n\t".join(problems)
            )
    swapped = [n for n in tensors if n in places]
    for name in tensors:
        if name not in places:
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        if not isinstance(tensors[name], Tensor) and tensors[name] is not None:
            raise TypeError(f"{tensors[name]} is not an instance of torch.Tensor")
    try:
        for name in swapped:
            table, key = places[name]
            table[key] = tensors[name]
        yield
    finally:
        for name in swapped:
            table, key = places[name]
            # A module that set its buffer anew has made the tensor that was given obsolete.
            tensors[name] = table.get(key)
            table[key] = own[name]


def _with_tied(own: dict[str, Any], tensors: dict[str, Any]) -> dict[str, Any]:
    groups: dict[int, list[str]] = {}
    for name, x in own.items():
        if x is not None:
            groups.setdefault(id(x), []).append(name)
    made = dict(tensors)
    for names in groups.values():
        given = [n for n in names if n in tensors]
        if len({id(tensors[n]) for n in given}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(given)}, which are tied. "
                "Consider using tie_weights=False"
            )
        if given:
            made.update(dict.fromkeys(names, tensors[given[0]]))
    return made


def stack_module_state(
    models: Sequence[Module] | Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and buffers of several modules of one class, stacked along a new first dim.

    Returns:
        ``(parameters, buffers)``, dicts by name, to be mapped over with ``vmap`` and given to
        :func:`functional_call`. Stacked parameters are leaves that require grad as theirs do.

    Raises:
        RuntimeError: no models, of several classes, or not all in the same mode.

    Example:
        >>> import dovetail as dt
        >>> models = [dt.nn.Linear(2, 3) for _ in range(4)]
        >>> parameters, buffers = dt.func.stack_module_state(models)
        >>> parameters["weight"].shape
        torch.Size([4, 3, 2])
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if any(m.training != models[0].training for m in models):
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return (
        {k: _stacked([p[k] for p in parameters]) for k in parameters[0]},
        {k: _stacked([b[k] for b in buffers]) for k in buffers[0]},
    )


def _stacked(tensors: list[Tensor]) -> Any:
    from dovetail.ops.layout.joining import stack

    needs = {x.requires_grad for x in tensors}
    if len(needs) > 1:
        raise RuntimeError("Expected parameters from each model to have the same .requires_grad")
    made = stack(tensors).detach()
    return made.requires_grad_() if needs == {True} else made


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Let every batch norm under ``root`` use its batch's statistics and keep none of its own.

    Running statistics are written in place, which a ``vmap`` over examples cannot do. Changes the
    modules and returns ``root``.
    """
    from dovetail.nn.running_norm import _BatchNorm

    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
