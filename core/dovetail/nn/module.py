"""``Module``: the base class of everything that holds parameters and computes with them.

Meanings follow PyTorch's ``torch.nn.Module`` page. The class is put together here from functions
that each have their own file: ``hooks`` (calls with hooks), ``state`` (state dicts), ``traversal``
(walking over children and tensors) and ``conversion`` (moving and casting).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any

from dovetail.backend.loader import registry
from dovetail.nn import conversion, hooks, state, traversal
from dovetail.nn.parameter import Buffer, Parameter, clear_gradient
from dovetail.nn.text import indent, typename
from dovetail.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Self = TypeVar("Self", bound="Module")

__all__ = ["Module"]

_HOOK_TABLES = (
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


class Module:
    """Base class of all neural-network modules.

    A subclass calls ``super().__init__()``, assigns its parameters, buffers and child modules as
    attributes, and defines ``forward``. Calling the module runs ``forward`` and the hooks.

    >>> import dovetail as dt
    >>> class Affine(dt.nn.Module):
    ...     def __init__(self, n):
    ...         super().__init__()
    ...         self.w = dt.nn.Parameter(dt.ones(n))
    ...     def forward(self, x):
    ...         return x * self.w + 1
    >>> Affine(3)(dt.ones(3)).tolist()
    [2.0, 2.0, 2.0]
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _non_persistent_buffers_set: set[str]
    _modules: dict[str, Module | None]
    _forward_pre_hooks: OrderedDict[int, Any]
    _forward_pre_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks: OrderedDict[int, Any]
    _forward_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks_always_called: OrderedDict[int, bool]
    _backward_pre_hooks: OrderedDict[int, Any]
    _backward_hooks: OrderedDict[int, Any]
    _state_dict_pre_hooks: OrderedDict[int, Any]
    _state_dict_hooks: OrderedDict[int, Any]
    _load_state_dict_pre_hooks: OrderedDict[int, Any]
    _load_state_dict_post_hooks: OrderedDict[int, Any]

    #: Number of the state dict's layout, kept in its metadata; a subclass raises it on change.
    _version: int = 1
    #: Whether ``__init__`` passes its arguments on to the next class of a multiple inheritance.
    call_super_init: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init and (args or kwargs):
            problem = (
                f"got an unexpected keyword argument '{next(iter(kwargs))}'"
                if kwargs
                else f"takes 1 positional argument but {len(args) + 1} were given"
            )
            raise TypeError(f"{type(self).__name__}.__init__() {problem}")
        # Straight into __dict__: __setattr__ would look for tables that are not there yet.
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _non_persistent_buffers_set=set(),
            **{table: OrderedDict() for table in _HOOK_TABLES},
            _modules={},
        )
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *input: Any) -> Any:
        """The computation; every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
            or hooks.call_hooks
        ):
            return hooks.HookedCall(self, args, kwargs).run()
        return self.forward(*args, **kwargs)

    # Registration of parameters, buffers and children

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under ``name`` (None: the name is reserved, nothing is saved).

        Raises:
            TypeError: it is not a ``Parameter``.
            ValueError: it is the result of a computation.
            KeyError: the name is empty, has a dot, or is taken.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, self._parameters)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{typename(param)}' object to parameter '{name}' "
                    "(torch.nn.Parameter or None required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must "
                    f"be created explicitly. To express '{name}' as a function of another Tensor, "
                    "compute the value in the forward() method."
                )
            param = hooks.registered("parameter", self, name, param)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter, such as a running mean.

        Args:
            name: its attribute name.
            tensor: its value (None: the name is reserved, nothing is saved).
            persistent: whether ``state_dict`` holds it.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' "
                "(torch Tensor or None required)"
            )
        self._buffers[name] = hooks.registered("buffer", self, name, tensor)
        change = self._non_persistent_buffers_set
        (change.discard if persistent else change.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under ``name``."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{typename(module)} is not a Module subclass")
        self._check_name("module", name, self._modules)
        self._modules[name] = hooks.registered("module", self, name, module)

    register_module = add_module

    def _check_name(self, kind: str, name: str, table: dict[str, Any]) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
        if "." in name:
            got = f", got: {name}" if kind == "module" else ""
            raise KeyError(f'{kind} name can\'t contain "."{got}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        taken = name in self.__dict__ or hasattr(type(self), name)
        taken = taken or any(name in t for t in (self._parameters, self._buffers, self._modules))
        if taken and name not in table:
            raise KeyError(f"attribute '{name}' already exists")

    # Attributes: parameters, buffers and children live in tables, everything else in __dict__.
    # The name of a registered device is a method that moves the module there.

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        if name in own.get("_parameters", ()):  # written out: every layer asks at every call
            return own["_parameters"][name]
        if name in own.get("_buffers", ()):
            return own["_buffers"][name]
        if name in own.get("_modules", ()):
            return own["_modules"][name]
        if name in registry:
            return partial(conversion.to_named, self, name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, Parameter):
            if "_parameters" not in own:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, own, self._buffers, self._modules)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if "_modules" not in own:
                raise AttributeError("cannot assign module before Module.__init__() call")
            if name in self._parameters:
                self._refuse("parameter", name, value)
            self._forget(name, own, self._buffers)
            self._modules[name] = hooks.registered("module", self, name, value)
        elif name in own.get("_parameters", ()):
            if value is not None:
                self._refuse("parameter", name, value)
            self.register_parameter(name, None)
        elif name in own.get("_modules", ()):
            if value is not None:
                self._refuse("child module", name, value)
            self._modules[name] = hooks.registered("module", self, name, None)
        elif isinstance(value, Tensor) and isinstance(value, Buffer):
            self.register_buffer(name, value, value.persistent)  # type: ignore[attr-defined]
        elif name in own.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                self._refuse("buffer", name, value)
            self.register_buffer(name, value, name not in self._non_persistent_buffers_set)
        else:
            object.__setattr__(self, name, value)

    def _forget(self, name: str, *tables: dict[str, Any]) -> None:
        for table in tables:
            table.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def _refuse(self, kind: str, name: str, value: Any) -> None:
        expected = {
            "parameter": "torch.nn.Parameter",
            "child module": "torch.nn.Module",
            "buffer": "torch.nn.Buffer, torch.Tensor",
        }[kind]
        raise TypeError(
            f"cannot assign '{typename(value)}' as {kind} '{name}' ({expected} or None expected)"
        )

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__}
        names.update(self._parameters, self._buffers, self._modules)
        return sorted(name for name in names if not name[0].isdigit())

    # Modes and gradients

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Have calls run compiled: they run as they are, see :func:`dovetail.compile`."""
        from dovetail.compiler import compile

        compile(self, *args, **kwargs)

    def apply(self: Self, fn: Callable[[Module], None]) -> Self:
        """Call ``fn`` with every module below this one, then with this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode (dropout drops, batch norm uses the batch) here and below."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Set evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Ask, or stop asking, for gradients of every parameter here and below."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop every parameter's gradient, or fill it with zeros if not ``set_to_none``."""
        for parameter in self.parameters():
            clear_gradient(parameter, set_to_none)

    # Printing

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What to print of this module beside its children; a subclass defines it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        children = [
            f"({name}): {indent(repr(module), 2)}" for name, module in self._modules.items()
        ]
        if len(extra_lines) == 1 and not children:
            return f"{self._get_name()}({extra_lines[0]})"
        lines = [*extra_lines, *children]
        body = "\n  " + "\n  ".join(lines) + "\n" if lines else ""
        return f"{self._get_name()}({body})"

    # Methods that have their own files

    register_forward_pre_hook = hooks.register_forward_pre_hook
    register_forward_hook = hooks.register_forward_hook
    register_full_backward_pre_hook = hooks.register_full_backward_pre_hook
    register_full_backward_hook = hooks.register_full_backward_hook

    named_modules = traversal.named_modules
    modules = traversal.modules
    named_children = traversal.named_children
    children = traversal.children
    named_parameters = traversal.named_parameters
    parameters = traversal.parameters
    named_buffers = traversal.named_buffers
    buffers = traversal.buffers

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path (``"layer1.0.conv"``); this one for the empty path.

        Raises:
            AttributeError: the path leads nowhere, or to something that is no module.
        """
        module = self
        for name in target.split(".") if target else ():
            module = _child(module, name)
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` at a dotted path; with ``strict`` there must be one already.

        Raises:
            ValueError: the path is empty, or ``module`` is no module.
            AttributeError: the path leads nowhere, or to something that is no module.
        """
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict or hasattr(parent, name):
            _child(parent, name)
        setattr(parent, name, module)

    get_parameter = traversal.get_parameter
    get_buffer = traversal.get_buffer
    _named_members = traversal.named_members

    state_dict = state.state_dict
    load_state_dict = state.load_state_dict
    get_extra_state = state.get_extra_state
    set_extra_state = state.set_extra_state
    register_state_dict_pre_hook = state.register_state_dict_pre_hook
    register_state_dict_post_hook = state.register_state_dict_post_hook
    register_load_state_dict_pre_hook = state.register_load_state_dict_pre_hook
    register_load_state_dict_post_hook = state.register_load_state_dict_post_hook
    _register_state_dict_hook = state.register_state_dict_hook
    _register_load_state_dict_pre_hook = state.register_load_pre_hook
    _save_to_state_dict = state.save_to_state_dict
    _load_from_state_dict = state.load_from_state_dict

    to = conversion.to
    cpu = conversion.cpu
    cuda = conversion.cuda
    to_empty = conversion.to_empty
    half = conversion.to_half
    float = conversion.to_float
    double = conversion.to_double
    bfloat16 = conversion.to_bfloat16
    type = conversion.to_type
    _apply = conversion.apply_to_tensors


def _child(module: Module, name: str) -> Module:
    found = traversal.attribute(module, name)
    if not isinstance(found, Module):
        raise AttributeError(f"`{name}` is not an nn.Module")
    return found
