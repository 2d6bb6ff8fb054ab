"""Saving and loading what a module holds: ``state_dict`` and ``load_state_dict``.

The functions here are methods of ``Module`` (bound in ``nn/module.py``). Meanings, texts of errors
and the order of keys follow PyTorch's ``torch.nn.Module`` page.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from dovetail.autograd.grad_mode import no_grad
from dovetail.nn.parameter import Parameter
from dovetail.nn.uninitialized import is_lazy
from dovetail.tensor import Tensor
from dovetail.utils.hooks import RemovableHandle, add_hook
from dovetail.warning import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dovetail.nn.module import Module

__all__ = [
    "IncompatibleKeys",
    "get_extra_state",
    "load_from_state_dict",
    "load_state_dict",
    "register_load_pre_hook",
    "register_load_state_dict_post_hook",
    "register_load_state_dict_pre_hook",
    "register_state_dict_hook",
    "register_state_dict_post_hook",
    "register_state_dict_pre_hook",
    "save_to_state_dict",
    "set_extra_state",
    "state_dict",
]

_EXTRA_STATE = "_extra_state"


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class IncompatibleKeys(_Keys):
    """What ``load_state_dict`` returns: the keys that were missing and those nobody expected."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys!r}, "
            f"unexpected_keys={self.unexpected_keys!r})"
        )

    __str__ = __repr__


def get_extra_state(self: Module) -> Any:
    """What more to keep in the state dict; a subclass defines it with ``set_extra_state``."""
    raise RuntimeError(
        f"{type(self).__name__}.get_extra_state: not defined; define get_extra_state and "
        "set_extra_state together in the class"
    )


def set_extra_state(self: Module, state: Any) -> None:
    """Take back what ``get_extra_state`` gave; a subclass defines both."""
    raise RuntimeError(
        f"{type(self).__name__}.set_extra_state: not defined; define get_extra_state and "
        "set_extra_state together in the class"
    )


def _persistent_buffers(module: Module) -> Iterator[tuple[str, Tensor]]:
    hidden = module._non_persistent_buffers_set
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in hidden:
            yield name, buffer


def _parameters(module: Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield name, parameter


def save_to_state_dict(
    self: Module, destination: dict[str, Any], prefix: str, keep_vars: bool
) -> None:
    """Put this module's own parameters, persistent buffers and extra state in ``destination``."""
    for name, tensor in (*_parameters(self), *_persistent_buffers(self)):
        destination[prefix + name] = tensor if keep_vars else tensor.detach()
    if type(self).get_extra_state is not get_extra_state:
        destination[prefix + _EXTRA_STATE] = self.get_extra_state()


def state_dict(
    self: Module,
    *args: Any,
    destination: Any = None,
    prefix: str = "",
    keep_vars: bool = False,
) -> dict[str, Any]:
    """Every parameter and persistent buffer of the module and its children, by dotted name.

    Args:
        args: destination, prefix, keep_vars by position, which PyTorch deprecates.
        destination: a dict to fill, instead of a fresh ``OrderedDict``.
        prefix: put before every key.
        keep_vars: keep the parameters themselves rather than detached tensors that share storage.

    >>> import dovetail as dt
    >>> list(dt.nn.Linear(2, 3).state_dict())
    ['weight', 'bias']
    """
    if args:
        warn(
            "state_dict: positional arguments are deprecated, pass destination=, prefix= and "
            "keep_vars= by name",
            FutureWarning,
        )
        destination = args[0] if destination is None else destination
        prefix = args[1] if len(args) > 1 and prefix == "" else prefix
        keep_vars = args[2] if len(args) > 2 and keep_vars is False else keep_vars
    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()
    local_metadata = {"version": self._version}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = local_metadata

    for hook in self._state_dict_pre_hooks.values():
        hook(self, prefix, keep_vars)
    self._save_to_state_dict(destination, prefix, keep_vars)
    for name, child in self._modules.items():
        if child is not None:
            child.state_dict(
                destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
            )
    for hook, may_replace in self._state_dict_hooks.values():
        replaced = hook(self, destination, prefix, local_metadata)
        if replaced is not None:
            if not may_replace:
                raise RuntimeError("state_dict post-hook must return None")
            destination = replaced
    return destination  # type: ignore[no-any-return]


def load_from_state_dict(
    self: Module,
    state_dict: dict[str, Any],
    prefix: str,
    local_metadata: dict[str, Any],
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
    error_msgs: list[str],
) -> None:
    """Load this module's own parameters and buffers; what is wrong goes in the three lists."""
    for hook, with_module in self._load_state_dict_pre_hooks.values():
        hook(
            *((self,) if with_module else ()),
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )
    assign = local_metadata.get("assign_to_params_buffers", False)
    local_state = dict((*_parameters(self), *_persistent_buffers(self)))
    for name, tensor in local_state.items():
        key = prefix + name
        if key in state_dict:
            message = _load_tensor(self, name, tensor, key, state_dict[key], assign)
            if message:
                error_msgs.append(message)
        elif strict:
            missing_keys.append(key)

    extra_key = prefix + _EXTRA_STATE
    if type(self).set_extra_state is not set_extra_state:
        if extra_key in state_dict:
            self.set_extra_state(state_dict[extra_key])
        elif strict:
            missing_keys.append(extra_key)
    elif strict and extra_key in state_dict:
        unexpected_keys.append(extra_key)
    if strict:
        for key in state_dict:
            if key.startswith(prefix) and key != extra_key:
                name, dot, _ = key[len(prefix) :].partition(".")
                if name not in (self._modules if dot else local_state):
                    unexpected_keys.append(key)


def _load_tensor(
    module: Module, name: str, tensor: Tensor, key: str, source: Any, assign: bool
) -> str | None:
    """Copy (or assign) one tensor; the sentence for the user if that cannot be done."""
    if not isinstance(source, Tensor):
        return (
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
            f"object from checkpoint but received {type(source)}"
        )
    if is_lazy(source) and is_lazy(tensor):
        return None
    if tensor.dim() == 0 and source.dim() == 1 and source.shape[0] == 1:
        source = source[0]  # checkpoints older than 0-d tensors
    if source.shape != tensor.shape:
        return (
            f"size mismatch for {key}: copying a param with shape {source.shape} from checkpoint, "
            f"the shape in current model is {tensor.shape}."
        )
    if tensor.device.type == "meta" and source.device.type != "meta" and not assign:
        warn(
            f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter "
            "in the current model, which is a no-op. (Did you mean to pass `assign=True` to assign "
            "items in the state dictionary to their corresponding key in the module instead of "
            "copying them in place?)",
        )
    try:
        with no_grad():
            if not assign:
                tensor.copy_(source)
            elif not isinstance(tensor, Parameter):
                setattr(module, name, source)
            elif isinstance(source, Parameter):
                setattr(module, name, source.requires_grad_(tensor.requires_grad))
            else:
                setattr(module, name, Parameter(source, tensor.requires_grad))
    except Exception as error:
        return (
            f'While copying the parameter named "{key}", whose dimensions in the model are '
            f"{tensor.size()} and whose dimensions in the checkpoint are {source.size()}, "
            f"an exception occurred : {error.args}."
        )
    return None


def load_state_dict(
    self: Module, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
) -> IncompatibleKeys:
    """Copy the tensors of ``state_dict`` into this module and its children.

    Args:
        state_dict: names and tensors, as ``state_dict()`` gives them.
        strict: the keys must match this module's exactly.
        assign: put the given tensors in place of the module's instead of copying values
            (``requires_grad`` of the module's parameters is kept).

    Raises:
        RuntimeError: names every missing key, unexpected key and wrong shape.
        TypeError: ``state_dict`` is not a mapping.
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    missing: list[str] = []
    unexpected: list[str] = []
    errors: list[str] = []
    metadata = getattr(state_dict, "_metadata", None)
    # A copy, so that hooks may rename keys.
    copied: Any = OrderedDict(state_dict)
    if metadata is not None:
        copied._metadata = metadata

    def load(module: Module, local: dict[str, Any], prefix: str) -> None:
        local_metadata = {} if metadata is None else metadata.get(prefix[:-1], {})
        if assign:
            local_metadata["assign_to_params_buffers"] = assign
        module._load_from_state_dict(
            local, prefix, local_metadata, True, missing, unexpected, errors
        )
        for name, child in module._modules.items():
            if child is not None:
                start = f"{prefix}{name}."
                load(child, {k: v for k, v in local.items() if k.startswith(start)}, start)
        keys = IncompatibleKeys(missing, unexpected)
        for hook in module._load_state_dict_post_hooks.values():
            if hook(module, keys) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected "
                    "to return new values, if incompatible_keys need to be modified, it should be "
                    "done inplace."
                )

    load(self, copied, "")
    if strict:
        for label, keys in (("Unexpected", unexpected), ("Missing", missing)):
            if keys:
                quoted = ", ".join(f'"{key}"' for key in keys)
                errors.insert(0, f"{label} key(s) in state_dict: {quoted}. ")
    if errors:
        raise RuntimeError(
            "Error(s) in loading state_dict for {}:\n\t{}".format(
                type(self).__name__, "\n\t".join(errors)
            )
        )
    return IncompatibleKeys(missing, unexpected)


def register_state_dict_pre_hook(self: Module, hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, prefix, keep_vars)`` before ``state_dict`` collects this module."""
    return add_hook(self._state_dict_pre_hooks, hook)


def register_state_dict_post_hook(self: Module, hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, state_dict, prefix, local_metadata)`` after it, to change it in place."""
    return add_hook(self._state_dict_hooks, (hook, False))  # type: ignore[arg-type]


def register_state_dict_hook(self: Module, hook: Callable[..., Any]) -> RemovableHandle:
    """As the post-hook, but the hook may return another dict (kept for code that uses it)."""
    return add_hook(self._state_dict_hooks, (hook, True))  # type: ignore[arg-type]


def register_load_state_dict_pre_hook(self: Module, hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
    unexpected_keys, error_msgs)`` before this module loads."""
    return register_load_pre_hook(self, hook, with_module=True)


def register_load_pre_hook(
    self: Module, hook: Callable[..., Any], with_module: bool = False
) -> RemovableHandle:
    """As ``register_load_state_dict_pre_hook``; the module is passed only if ``with_module``."""
    return add_hook(self._load_state_dict_pre_hooks, (hook, with_module))  # type: ignore[arg-type]


def register_load_state_dict_post_hook(self: Module, hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, incompatible_keys)`` after loading; it may change the two lists."""
    return add_hook(self._load_state_dict_post_hooks, hook)
