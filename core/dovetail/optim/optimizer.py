"""``Optimizer``: parameter groups, state, hooks and state dicts that every optimizer shares.

Meanings and texts of errors follow PyTorch's ``torch.optim.Optimizer`` page.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.capture import under_way
from dovetail.nn.parameter import clear_gradient
from dovetail.nn.text import typename
from dovetail.optim.scalars import scalar_of
from dovetail.tensor import Tensor
from dovetail.utils.hooks import RemovableHandle, add_hook
from dovetail.warning import warn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Optimizer",
    "check_flags",
    "check_lr",
    "check_options",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
    "required",
]


class _Required:
    """Stands for an option that every parameter group must state."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()

_LATER: dict[str, Any] = {
    "amsgrad": False, "capturable": False, "centered": False, "decoupled_weight_decay": False,
    "differentiable": False, "foreach": None, "fused": None, "maximize": False, "nesterov": False,
}  # fmt: skip
"""Options that groups of an old state dict do not have, and what they were before they came."""

_HOOK_TABLES = tuple(
    f"_optimizer_{event}_{place}_hooks"
    for event in ("step", "state_dict", "load_state_dict")
    for place in ("pre", "post")
)
_global_pre_hooks: OrderedDict[int, Any] = OrderedDict()
_global_post_hooks: OrderedDict[int, Any] = OrderedDict()


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(optimizer, args, kwargs)`` before the step of every optimizer."""
    return add_hook(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(optimizer, args, kwargs)`` after the step of every optimizer."""
    return add_hook(_global_post_hooks, hook)


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` with the hooks before and after it; it records a graph only if differentiable."""

    @functools.wraps(step)
    def run(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        pre = self._optimizer_step_pre_hooks
        if pre or _global_pre_hooks:
            # Hooks see the optimizer among the arguments, as PyTorch's do.
            passed: tuple[Any, ...] = (self, *args)
            for hook in (*_global_pre_hooks.values(), *pre.values()):
                replaced = hook(self, passed, kwargs)
                if replaced is not None:
                    if not (isinstance(replaced, tuple) and len(replaced) == 2):
                        raise RuntimeError(
                            f"{step} must return None or a tuple of (new_args, new_kwargs), "
                            f"but got {replaced}."
                        )
                    passed, kwargs = replaced
            args = passed[1:]
        with dovetail.set_grad_enabled(self.defaults.get("differentiable", False)):
            result = step(self, *args, **kwargs)
        for hook in (*self._optimizer_step_post_hooks.values(), *_global_post_hooks.values()):
            hook(self, (self, *args), kwargs)
        return result

    run._has_hooks = True  # type: ignore[attr-defined]
    return run


class Optimizer:
    """Base class of optimizers.

    A subclass passes ``params`` and a dict of default options on, and defines ``step``.

    Args:
        params: parameters (or (name, parameter) pairs), or dicts with a list ``params`` and
            options of that group.
        defaults: options of the groups that do not state them.

    Raises:
        ValueError: no parameters; a non-leaf; a parameter in two groups; a missing option.
        TypeError: ``params`` is one tensor or a set, or holds something that is no tensor.
    """

    defaults: dict[str, Any]
    state: defaultdict[Any, Any]
    param_groups: list[dict[str, Any]]
    _optimizer_step_pre_hooks: OrderedDict[int, Any]
    _optimizer_step_post_hooks: OrderedDict[int, Any]
    #: Whether each parameter's state has a tensor ``step``.
    _counts_steps = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if step is not None and not hasattr(step, "_has_hooks"):
            cls.step = _with_hooks(step)  # type: ignore[method-assign]

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be "
                f"an iterable of Tensors or dicts, but got {typename(params)}"
            )
        self.defaults = defaults
        for table in _HOOK_TABLES:
            setattr(self, table, OrderedDict())
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns what ``closure`` returned.

        Args:
            closure: computes the loss and its gradients again, and returns the loss.
        """
        raise NotImplementedError

    def _loss(self, closure: Callable[[], Any] | None) -> Any:
        """What ``closure`` returns, run with gradients on; None without one.

        Raises:
            RuntimeError: a graph is captured, and the optimizer counts its steps on the host.
        """
        if under_way and self._counts_steps and not self.param_groups[0].get("capturable"):
            self._refuse_capture()
        if closure is None:
            return None
        with dovetail.enable_grad():
            return closure()

    def _refuse_capture(self) -> None:
        from dovetail.graphs import capturing

        devices = {p.device for group in self.param_groups for p in group["params"]}
        if any(map(capturing, devices)):
            raise RuntimeError(
                "Attempting graph capture of step() for an instance of "
                f"{type(self).__name__} but param_groups' capturable is False."
            )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop every parameter's gradient, or fill it with zeros if not ``set_to_none``."""
        for group in self.param_groups:
            for parameter in group["params"]:
                clear_gradient(parameter, set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimise more parameters, with options of their own.

        Args:
            param_group: ``params`` and any options; the rest comes from the defaults.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        entries = [params] if isinstance(params, Tensor) else list(params)
        names = [entry[0] for entry in entries if isinstance(entry, tuple)]
        if names:
            if len(names) != len(entries):
                raise ValueError(
                    "all optimizer params should be with/without names. "
                    "Some param names are missing"
                )
            entries = [entry[1] for entry in entries]
            param_group["param_names"] = names
        param_group["params"] = entries
        for parameter in entries:
            self._check_parameter(parameter)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization "
                    f"parameter {name}"
                )
            param_group.setdefault(name, default)
        self._check_against_groups(param_group)
        self.param_groups.append(param_group)

    def _check_parameter(self, parameter: Any) -> None:
        if not isinstance(parameter, Tensor):
            raise TypeError(
                "optimizer can only optimize Tensors, "
                f"but one of the params is {typename(parameter)}"
            )
        if not self.defaults.get("differentiable") and not (
            parameter.is_leaf or parameter.retains_grad
        ):
            raise ValueError("can't optimize a non-leaf Tensor")

    def _check_against_groups(self, group: dict[str, Any]) -> None:
        ids = {id(parameter) for parameter in group["params"]}
        if len(ids) != len(group["params"]):
            warn(
                "optimizer contains a parameter group with duplicate parameters; "
                "in future, this will cause an error",
            )
        has_names = "param_names" in group
        for other in self.param_groups:
            if has_names != ("param_names" in other):
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param "
                    f"group {'with names' if has_names else 'without names'} to the optimizer"
                )
            if any(id(parameter) in ids for parameter in other["params"]):
                raise ValueError("some parameters appear in more than one parameter group")

    # Saving and loading

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {index: …}, "param_groups": [{…, "params": [indices]}]}``.

        Parameters are named by their place in the groups, so that the dict can be loaded in
        another process. Tensors are the optimizer's own, not copies.
        """
        for hook in self._hooks("state_dict_pre"):
            hook(self)
        index: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for parameter in group["params"]:
                index.setdefault(id(parameter), len(index))
            packed = {name: value for name, value in group.items() if name != "params"}
            packed["params"] = [index[id(parameter)] for parameter in group["params"]]
            groups.append(packed)
        state = {
            index[id(key)] if isinstance(key, Tensor) else key: value
            for key, value in self.state.items()
        }
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._hooks("state_dict_post"):
            replaced = hook(self, result)
            result = result if replaced is None else replaced
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave; tensors go to the parameters' devices and dtypes.

        Raises:
            ValueError: the groups are not of the same number and sizes.
        """
        from copy import deepcopy

        state_dict = state_dict.copy()
        for hook in self._hooks("load_state_dict_pre"):
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        saved = deepcopy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        by_index: dict[Any, tuple[Tensor, dict[str, Any]]] = {}
        for group, new in zip(self.param_groups, saved, strict=True):
            if len(group["params"]) != len(new["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group "
                    "that doesn't match the size of optimizer's group"
                )
            for index, parameter in zip(new["params"], group["params"], strict=True):
                by_index[index] = (parameter, new)
            new["params"] = group["params"]
            if "param_names" in group:
                new.setdefault("param_names", group["param_names"])
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in by_index:
                parameter, new = by_index[key]
                state[parameter] = _matched(value, parameter, new)
            else:
                state[key] = value
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._hooks("load_state_dict_post"):
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("defaults", "state", "param_groups")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for table in _HOOK_TABLES:
            self.__dict__.setdefault(table, OrderedDict())
        for group in self.param_groups:
            for name, value in _LATER.items():
                if name in self.defaults:
                    group.setdefault(name, value)
            if self._counts_steps:
                self._restore_counts(group)

    def _restore_counts(self, group: dict[str, Any]) -> None:
        """Make tensors of counts that an old state has as numbers."""
        fused = bool(group.get("fused"))
        for p in group["params"]:
            count = self.state[p].get("step") if p in self.state else None
            if isinstance(count, (int, float)):
                on_device = fused or group.get("capturable")
                device = p.device if on_device else "cpu"
                self.state[p]["step"] = scalar_of(count, device, fused)

    # Hooks

    def _hooks(self, event: str) -> Iterable[Any]:
        return tuple(getattr(self, f"_optimizer_{event}_hooks").values())

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Run ``hook(optimizer, args, kwargs)`` before ``step``; it may return new arguments."""
        return add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Run ``hook(optimizer, args, kwargs)`` after ``step``."""
        return add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Run ``hook(optimizer)`` before ``state_dict``."""
        return self._register("state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Run ``hook(optimizer, state_dict)`` after it; it may return another dict."""
        return self._register("state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Run ``hook(optimizer, state_dict)`` before loading; it may return another dict."""
        return self._register("load_state_dict_pre", hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Run ``hook(optimizer)`` after loading."""
        return self._register("load_state_dict_post", hook, prepend)

    def _register(self, event: str, hook: Callable[..., Any], prepend: bool) -> RemovableHandle:
        return add_hook(getattr(self, f"_optimizer_{event}_hooks"), hook, prepend=prepend)

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            options = (f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params")
            text += f"\nParameter Group {i}\n" + "".join(options)
        return text + ")"


def _matched(value: Any, parameter: Tensor, group: dict[str, Any], key: Any = None) -> Any:
    """A loaded piece of state as its parameter wants it: device and floating-point dtype."""
    if isinstance(value, Tensor):
        if key == "step":  # counted on the host unless the update runs as one kernel
            on_device = group.get("fused") or group.get("capturable")
            moved = value.to(parameter.device, dovetail.float32) if on_device else value
        elif parameter.is_floating_point():
            moved = value.to(parameter.device, parameter.dtype)
        else:
            moved = value.to(parameter.device)
        # Never shared with the dict: the steps of this optimizer write to its state in place.
        return moved.detach().clone() if moved is value else moved
    if isinstance(value, dict):
        return {name: _matched(item, parameter, group, name) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return type(value)(_matched(item, parameter, group) for item in value)  # type: ignore[call-arg]
    return value


def check_lr(lr: Any, text: str = "Invalid learning rate: {}") -> None:
    """Refuse a learning rate that is negative, or a tensor of more than one element."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not float(lr) >= 0.0:
        raise ValueError(text.format(lr))


def check_options(**options: Any) -> None:
    """Refuse options below 0, in PyTorch's words; ``betas`` must lie in [0, 1)."""
    for name, value in options.items():
        if name == "betas":
            for i, beta in enumerate(value):
                if not 0.0 <= beta < 1.0:
                    raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        elif not value >= 0.0:
            label = "epsilon" if name == "eps" else name
            raise ValueError(f"Invalid {label} value: {value}")


def check_flags(foreach: bool | None, fused: bool | None, differentiable: bool) -> None:
    """Refuse the combinations of PyTorch's three ways of running a step that exclude each other."""
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
