"""Parameters computed from others whenever they are read (``torch.nn.utils.parametrize``).

A parametrized module is of a class of its own, whose property computes the tensor from
``module.parametrizations.<name>``; the tensors that are trained are kept there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import dovetail
from dovetail.nn.containers import ModuleDict, ModuleList
from dovetail.nn.module import Module
from dovetail.nn.parameter import Parameter
from dovetail.tensor import Tensor

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache:
    """Computed tensors by (module, name), kept while a :func:`cached` block runs."""

    blocks = 0
    tensors: dict[tuple[int, str], Any] = {}


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor once inside the block, at its first use."""
    _Cache.blocks += 1
    try:
        yield
    finally:
        _Cache.blocks -= 1
        if not _Cache.blocks:
            _Cache.tensors = {}


def _register(module: Module, name: str, tensor: Any) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _kind(x: Any) -> str:
    return type(x).__name__


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, applied one after another, and what they start from.

    Args:
        modules: the parametrizations.
        original: the parameter or buffer; where they have ``right_inverse``, what is kept is that
            of it (as ``original``, or ``original0``, ``original1``, … if it is a sequence).
        unsafe: whether dtype and shape may change.

    Raises:
        ValueError: no modules, or results that are no tensors, or of another dtype or shape.
    """

    original: Tensor
    unsafe: bool

    def __init__(
        self, modules: Sequence[Module], original: Tensor | Parameter, unsafe: bool = False
    ) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        new: Any = original
        with dovetail.no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    with contextlib.suppress(NotImplementedError):
                        new = module.right_inverse(new)
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {_kind(new)}"
            )
        self.is_tensor = isinstance(new, Tensor)
        if isinstance(new, Tensor):
            self.ntensors = 1
            self._keep_one(original, new)
        else:
            self.ntensors = len(new)
            self._keep_many(original, new)
        if not unsafe:
            result = self()
            if not isinstance(result, Tensor):
                raise ValueError(f"A parametrization must return a tensor. Got {_kind(result)}.")
            _check_kept("dtype", dtype, result.dtype)
            _check_kept("shape", shape, result.shape)

    def _keep_one(self, original: Any, new: Any) -> None:
        for what in ("dtype", "device"):
            before, after = getattr(original, what), getattr(new, what)
            if before != after:
                raise ValueError(
                    f"When `right_inverse` outputs one tensor, it may not change the {what}.\n"
                    f"original.{what}: {before}\nright_inverse(original).{what}: {after}"
                )
        with dovetail.no_grad():
            original.set_(new)
        _register(self, "original", original)

    def _keep_many(self, original: Any, new: Sequence[Any]) -> None:
        for i, part in enumerate(new):
            if not isinstance(part, Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list, "
                    f"tuple...). Got element {i} of the sequence with type {_kind(part)}."
                )
            if isinstance(original, Parameter):
                part = Parameter(part, original.requires_grad)
            part.requires_grad_(original.requires_grad)
            _register(self, f"original{i}", part)

    def right_inverse(self, value: Tensor) -> None:
        """Set what is kept so that the parametrized tensor becomes ``value``.

        Raises:
            RuntimeError: a parametrization has no ``right_inverse``.
            ValueError: it returns what does not fit.
        """
        new: Any = value
        with dovetail.no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {_kind(module)} does not implement right_inverse."
                    )
                new = module.right_inverse(new)
            if self.is_tensor:
                if not isinstance(new, Tensor):
                    raise ValueError(f"`right_inverse` should return a tensor. Got {_kind(new)}")
                if new.dtype != self.original.dtype:
                    raise ValueError(
                        f"The tensor returned by `right_inverse` has dtype {new.dtype} while "
                        f"`original` has dtype {self.original.dtype}"
                    )
                self.original.set_(new)
                return
            self._set_many(new)

    def _set_many(self, new: Any) -> None:
        if not isinstance(new, Sequence):
            raise ValueError(
                f"'right_inverse' must return a sequence of tensors. Got {_kind(new)}."
            )
        if len(new) != self.ntensors:
            raise ValueError(
                "'right_inverse' must return a sequence of tensors of length "
                f"{self.ntensors}. Got a sequence of length {len(new)}."
            )
        for i, part in enumerate(new):
            kept = getattr(self, f"original{i}")
            if not isinstance(part, Tensor):
                raise ValueError(
                    "'right_inverse' must return a sequence of tensors. Got element "
                    f"{i} of type {_kind(part)}."
                )
            if kept.dtype != part.dtype:
                raise ValueError(
                    f"Tensor {i} returned by `right_inverse` has dtype {part.dtype} while "
                    f"`original{i}` has dtype {kept.dtype}"
                )
            kept.set_(part)

    def forward(self) -> Any:
        """The parametrized tensor."""
        modules = list(self)
        if self.is_tensor:
            x = modules[0](self.original)
        else:
            x = modules[0](*(getattr(self, f"original{i}") for i in range(self.ntensors)))
        for module in modules[1:]:
            x = module(x)
        return x


def _check_kept(what: str, before: Any, after: Any) -> None:
    if before != after:
        raise ValueError(
            f"Registering a parametrization may not change the {what} of the tensor, unless "
            f"`unsafe` flag is enabled.\nunparametrized {what}: {before}\n"
            f"parametrized {what}: {after}"
        )


# ------------------------------------------------------------ a class for each module


def _deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    copy = memo.get(id(self))
    if copy is None:
        copy = memo[id(self)] = object.__new__(type(self))
        copy.__dict__ = deepcopy(self.__dict__, memo)
    return copy


def _refuse_state(self: Any) -> Any:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(). Save that, "
        "and load it into a module that is parametrized in the same way."
    )


def _give_class(module: Module) -> None:
    """Make the module the only one of a class of its own, which may have properties."""
    cls = type(module)
    names: dict[str, Any] = {"__getstate__": _refuse_state}
    if not hasattr(cls, "__deepcopy__"):
        names["__deepcopy__"] = _deepcopy
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), names)


def _give_property(module: Module, name: str) -> None:
    key = (id(module), name)

    def get(self: Any) -> Any:
        compute = self.parametrizations[name]
        if not _Cache.blocks:
            return compute()
        found = _Cache.tensors.get(key)
        if found is None:
            found = _Cache.tensors[key] = compute()
        return found

    def put(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, put))


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute a parameter or buffer by ``parametrization`` from now on.

    Args:
        module: what has the tensor; it is changed and returned.
        tensor_name: the tensor's name. One that is parametrized already is given to this
            parametrization next.
        parametrization: a module whose forward takes the tensor; with ``right_inverse``, the
            tensor can be assigned to. That may return several tensors for forward to take.
        unsafe: skip the check that dtype and shape stay the same.

    Raises:
        ValueError: there is no such tensor, or dtype or shape change.

    >>> import dovetail as dt
    >>> from dovetail.nn.utils import parametrize
    >>> class Symmetric(dt.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).transpose(-1, -2)
    >>> layer = parametrize.register_parametrization(dt.nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_next(module, tensor_name, parametrization)
        entry = _parametrizations(module)[tensor_name]
        entry.append(parametrization)
        entry.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        entry = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _give_class(module)
            module.parametrizations = ModuleDict()
        _give_property(module, tensor_name)
        _parametrizations(module)[tensor_name] = entry
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    return module


def _parametrizations(module: Module) -> Any:
    return module.parametrizations


def _check_next(module: Module, name: str, parametrization: Any) -> None:
    """Refuse one more parametrization that changes dtype or shape, or whose inverse does."""
    before = getattr(module, name)
    after = parametrization(before)
    if not isinstance(after, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {_kind(after)}.")
    for what in ("dtype", "shape"):
        old, new = getattr(before, what), getattr(after, what)
        if old != new:
            raise ValueError(
                f"Registering a parametrization may not change the {what} of the tensor, unless "
                f"the `unsafe` flag is enabled.\nmodule.{name}.{what}: {old}\n"
                f"parametrization(module.{name}).{what}: {new}"
            )
    if not hasattr(parametrization, "right_inverse"):
        return
    try:
        back = parametrization.right_inverse(after)
    except NotImplementedError:
        return
    if not isinstance(back, Tensor):
        raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {_kind(back)}")
    for what in ("dtype", "shape"):
        old, new = getattr(before, what), getattr(back, what)
        if old != new:
            raise ValueError(
                "The tensor returned by parametrization.right_inverse must have the same "
                f"{what} as module.{name}, unless the `unsafe` flag is enabled.\n"
                f"module.{name}.{what}: {old}\nreturned {what}: {new}"
            )


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has parametrizations, or one of this tensor."""
    entries = getattr(module, "parametrizations", None)
    if not isinstance(entries, ModuleDict):
        return False
    return len(entries) > 0 if tensor_name is None else tensor_name in entries


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a parametrized tensor an ordinary parameter or buffer again.

    Args:
        module: what has the tensor; it is changed and returned.
        tensor_name: the tensor's name.
        leave_parametrized: keep the value that was computed; False: what it was computed from,
            which must be one tensor.

    Raises:
        ValueError: the tensor is not parametrized, or was computed from several.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    entries = _parametrizations(module)
    entry = entries[tensor_name]
    if entry.is_tensor:
        tensor = entry.original
        if leave_parametrized:
            with dovetail.no_grad():
                tensor.set_(getattr(module, tensor_name))
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        tensor = Parameter(value) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del entries[tensor_name]
    _register(module, tensor_name, tensor)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class without the one that parametrizations gave it."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give ``to_module`` the parametrizations of ``from_module`` and what they start from.

    Args:
        from_module: what has them.
        to_module: what gets them; it is changed and returned.
        tensor_name: of this tensor alone.
    """
    if not is_parametrized(from_module):
        return to_module
    source: Any = _parametrizations(from_module)
    for name in list(source) if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        for parametrization in source[name]:
            register_parametrization(to_module, name, parametrization)
        target = _parametrizations(to_module)[name]
        kept = source[name]
        many = [f"original{i}" for i in range(kept.ntensors)]
        for original in ["original"] if kept.is_tensor else many:
            setattr(target, original, getattr(kept, original))
    return to_module
