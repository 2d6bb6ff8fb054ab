"""Hooks of modules: the tables common to all modules, and a call that has hooks to run.

A module's own tables live in the module; the ones here apply to every module and run first.
Meanings follow PyTorch's ``torch.nn.Module`` page (``register_*_hook``).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from dovetail.nn.backward_hooks import BackwardHook
from dovetail.utils.hooks import RemovableHandle, add_hook
from dovetail.warning import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dovetail.nn.module import Module

__all__ = [
    "HookedCall",
    "register_forward_hook",
    "register_forward_pre_hook",
    "register_full_backward_hook",
    "register_full_backward_pre_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
    "registered",
]

Table = OrderedDict  # id of the hook -> the hook; an OrderedDict because handles hold it weakly

forward_pre: Table[int, Any] = Table()
forward: Table[int, Any] = Table()
forward_with_kwargs: Table[int, bool] = Table()
forward_always_called: Table[int, bool] = Table()
backward_pre: Table[int, Any] = Table()
backward: Table[int, Any] = Table()
#: ids of all hooks in the tables above: one truth test tells a call that there is none.
call_hooks: Table[int, bool] = Table()
#: hooks that run when a module gets a parameter, a buffer or a child.
registration: dict[str, Table[int, Any]] = {
    "parameter": Table(),
    "buffer": Table(),
    "module": Table(),
}


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, args)`` before every module's forward; it may return new arguments."""
    return add_hook(forward_pre, hook, flags=[call_hooks])


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Run ``hook(module, args, output)`` after every module's forward; it may change the output.

    Args:
        hook: called as ``hook(module, args, kwargs, output)`` if ``with_kwargs``.
        with_kwargs: pass the keyword arguments of the call too.
        always_call: run it although the forward raised.
    """
    flags = [call_hooks]
    if with_kwargs:
        flags.append(forward_with_kwargs)
    if always_call:
        flags.append(forward_always_called)
    return add_hook(forward, hook, flags=flags)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, grad_output)`` before the gradients of every module are computed."""
    return add_hook(backward_pre, hook, flags=[call_hooks])


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, grad_input, grad_output)`` once every module's gradients are computed."""
    return add_hook(backward, hook, flags=[call_hooks])


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, name, buffer)`` when any module gets a buffer; it may return another."""
    return add_hook(registration["buffer"], hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, name, child)`` when any module gets a child; it may return another."""
    return add_hook(registration["module"], hook)


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, name, parameter)`` when any module gets a parameter; it may replace it."""
    return add_hook(registration["parameter"], hook)


def registered(kind: str, module: Module, name: str, value: Any) -> Any:
    """``value`` after the registration hooks of its kind (parameter, buffer, module) saw it."""
    for hook in registration[kind].values():
        replacement = hook(module, name, value)
        if replacement is not None:
            value = replacement
    return value


# Methods of Module (bound in nn/module.py)


def register_forward_pre_hook(
    self: Module, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
) -> RemovableHandle:
    """Run ``hook(module, args)`` before ``forward``; it may return new arguments.

    Args:
        hook: with ``with_kwargs`` it is called as ``hook(module, args, kwargs)`` and returns
            None or ``(new_args, new_kwargs)``.
        prepend: run it before the hooks already registered.
        with_kwargs: pass the keyword arguments of the call too.
    """
    flags = [self._forward_pre_hooks_with_kwargs] if with_kwargs else []
    return add_hook(self._forward_pre_hooks, hook, prepend=prepend, flags=flags)


def register_forward_hook(
    self: Module,
    hook: Callable[..., Any],
    *,
    prepend: bool = False,
    with_kwargs: bool = False,
    always_call: bool = False,
) -> RemovableHandle:
    """Run ``hook(module, args, output)`` after ``forward``; it may return a new output.

    Args:
        hook: with ``with_kwargs`` it is called as ``hook(module, args, kwargs, output)``.
        prepend: run it before the hooks already registered.
        with_kwargs: pass the keyword arguments of the call too.
        always_call: run it although ``forward`` raised.
    """
    flags = [self._forward_hooks_with_kwargs] if with_kwargs else []
    if always_call:
        flags.append(self._forward_hooks_always_called)
    return add_hook(self._forward_hooks, hook, prepend=prepend, flags=flags)


def register_full_backward_pre_hook(
    self: Module, hook: Callable[..., Any], prepend: bool = False
) -> RemovableHandle:
    """Run ``hook(module, grad_output)`` on the outputs' gradients; it may return others."""
    return add_hook(self._backward_pre_hooks, hook, prepend=prepend)


def register_full_backward_hook(
    self: Module, hook: Callable[..., Any], prepend: bool = False
) -> RemovableHandle:
    """Run ``hook(module, grad_input, grad_output)`` when both are known.

    It may return a new ``grad_input``. Entries for arguments that are no tensors are None.
    """
    return add_hook(self._backward_hooks, hook, prepend=prepend)


class HookedCall:
    """One call of a module that has hooks: what came in, what goes out, which hooks have run."""

    __slots__ = ("args", "called", "kwargs", "module", "result")

    def __init__(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module = module
        self.args = args
        self.kwargs = kwargs
        self.result: Any = None
        self.called: set[int] = set()

    def run(self) -> Any:
        """The module's output, with every hook run in PyTorch's order."""
        try:
            self._run_forward_pre_hooks()
            backward_hook = self._backward_hook()
            if backward_hook is not None:
                self.args = backward_hook.wrap_inputs(self.args)
            self.result = self.module.forward(*self.args, **self.kwargs)
            self._run_forward_hooks()
            if backward_hook is not None:
                self.result = backward_hook.wrap_outputs(self.result)
            return self.result
        except Exception:
            self._run_always_called_hooks()
            raise

    def _run_forward_pre_hooks(self) -> None:
        module = self.module
        with_kwargs = module._forward_pre_hooks_with_kwargs
        for key, hook in (*forward_pre.items(), *module._forward_pre_hooks.items()):
            if key in with_kwargs:
                replaced = hook(module, self.args, self.kwargs)
                if replaced is None:
                    continue
                if not (isinstance(replaced, tuple) and len(replaced) == 2):
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple "
                        f"of (new_args, new_kwargs), but got {replaced}."
                    )
                self.args, self.kwargs = replaced
            else:
                replaced = hook(module, self.args)
                if replaced is not None:
                    self.args = replaced if isinstance(replaced, tuple) else (replaced,)

    def _backward_hook(self) -> BackwardHook | None:
        module = self.module
        hooks = [*backward.values(), *module._backward_hooks.values()]
        pre_hooks = [*backward_pre.values(), *module._backward_pre_hooks.values()]
        return BackwardHook(module, hooks, pre_hooks) if hooks or pre_hooks else None

    def _forward_hooks(self) -> Iterator[tuple[int, Any, bool, bool]]:
        """(id, hook, takes keyword arguments, is always called) of every forward hook, in order."""
        module = self.module
        for key, hook in tuple(forward.items()):
            yield key, hook, key in forward_with_kwargs, key in forward_always_called
        with_kwargs, always = (
            module._forward_hooks_with_kwargs,
            module._forward_hooks_always_called,
        )
        for key, hook in tuple(module._forward_hooks.items()):
            yield key, hook, key in with_kwargs, key in always

    def _call_forward_hook(self, hook: Any, with_kwargs: bool) -> None:
        extra = (self.kwargs,) if with_kwargs else ()
        replaced = hook(self.module, self.args, *extra, self.result)
        if replaced is not None:
            self.result = replaced

    def _run_forward_hooks(self) -> None:
        for key, hook, with_kwargs, _ in self._forward_hooks():
            self.called.add(key)
            self._call_forward_hook(hook, with_kwargs)

    def _run_always_called_hooks(self) -> None:
        """After an error: the hooks that asked for it; their own errors may not hide the first."""
        for key, hook, with_kwargs, always in self._forward_hooks():
            if not always or key in self.called:
                continue
            try:
                self._call_forward_hook(hook, with_kwargs)
            except Exception as error:
                warn(
                    "module forward hook with ``always_call=True`` raised an exception "
                    f"that was silenced as another error was raised in forward: {error}",
                )
