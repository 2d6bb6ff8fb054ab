"""Walking over what a module holds: children, parameters and buffers, by name or dotted path.

The functions here are methods of ``Module`` (bound in ``nn/module.py``) and follow PyTorch's
``torch.nn.Module`` page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.nn.parameter import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dovetail.nn.module import Module
    from dovetail.tensor import Tensor

__all__ = [
    "attribute",
    "buffers",
    "children",
    "get_buffer",
    "get_parameter",
    "modules",
    "named_buffers",
    "named_children",
    "named_members",
    "named_modules",
    "named_parameters",
    "parameters",
]


def named_modules(
    self: Module,
    memo: set[Module] | None = None,
    prefix: str = "",
    remove_duplicate: bool = True,
) -> Iterator[tuple[str, Module]]:
    """This module and all below it, depth first, with dotted names (its own is ``prefix``)."""
    memo = set() if memo is None else memo
    if self in memo:
        return
    if remove_duplicate:
        memo.add(self)
    yield prefix, self
    for name, module in self._modules.items():
        if module is not None:
            path = f"{prefix}.{name}" if prefix else name
            yield from module.named_modules(memo, path, remove_duplicate)


def modules(self: Module, remove_duplicate: bool = True) -> Iterator[Module]:
    """This module and all below it, depth first, each once."""
    for _, module in self.named_modules(remove_duplicate=remove_duplicate):
        yield module


def named_children(self: Module) -> Iterator[tuple[str, Module]]:
    """The direct children with their names, each once."""
    memo: set[Module] = set()
    for name, module in self._modules.items():
        if module is not None and module not in memo:
            memo.add(module)
            yield name, module


def children(self: Module) -> Iterator[Module]:
    """The direct children, each once."""
    for _, module in self.named_children():
        yield module


def named_members(
    self: Module,
    get_members_fn: Callable[[Module], Iterable[tuple[str, Any]]],
    prefix: str = "",
    recurse: bool = True,
    remove_duplicate: bool = True,
) -> Iterator[tuple[str, Any]]:
    """What ``get_members_fn`` gives for this module (and those below), with dotted names."""
    # By identity: ``==`` of tensors compares their elements.
    memo: set[int] = set()
    owners = (
        self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        if recurse
        else ((prefix, self),)
    )
    for path, module in owners:
        for name, member in get_members_fn(module):
            if member is None or id(member) in memo:
                continue
            if remove_duplicate:
                memo.add(id(member))
            yield (f"{path}.{name}" if path else name), member


def named_parameters(
    self: Module, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
) -> Iterator[tuple[str, Parameter]]:
    """The parameters with their dotted names.

    Args:
        prefix: put before every name.
        recurse: include those of the modules below.
        remove_duplicate: give a shared parameter once only.
    """
    yield from self._named_members(
        lambda module: module._parameters.items(), prefix, recurse, remove_duplicate
    )


def parameters(self: Module, recurse: bool = True) -> Iterator[Parameter]:
    """The parameters; those of the modules below too if ``recurse``."""
    for _, parameter in self.named_parameters(recurse=recurse):
        yield parameter


def named_buffers(
    self: Module, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
) -> Iterator[tuple[str, Tensor]]:
    """The buffers with their dotted names; arguments as for ``named_parameters``."""
    yield from self._named_members(
        lambda module: module._buffers.items(), prefix, recurse, remove_duplicate
    )


def buffers(self: Module, recurse: bool = True) -> Iterator[Tensor]:
    """The buffers; those of the modules below too if ``recurse``."""
    for _, buffer in self.named_buffers(recurse=recurse):
        yield buffer


def attribute(module: Module, name: str) -> Any:
    """What a module has under a name; PyTorch's error where that is nothing."""
    if not hasattr(module, name):
        raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
    return getattr(module, name)


def get_parameter(self: Module, target: str) -> Parameter:
    """The parameter at a dotted path.

    Raises:
        AttributeError: the path leads nowhere, or to something that is no parameter.
    """
    path, _, name = target.rpartition(".")
    found = attribute(self.get_submodule(path), name)
    if not isinstance(found, Parameter):
        raise AttributeError(f"`{name}` is not an nn.Parameter")
    return found


def get_buffer(self: Module, target: str) -> Tensor:
    """The buffer at a dotted path.

    Raises:
        AttributeError: the path leads nowhere, or to something that is no buffer.
    """
    path, _, name = target.rpartition(".")
    module = self.get_submodule(path)
    found = attribute(module, name)
    if name not in module._buffers:
        raise AttributeError(f"`{name}` is not a buffer")
    return found  # type: ignore[no-any-return]
