"""Modules that hold other modules: ``Sequential``, ``ModuleList`` and ``ModuleDict``.

Meanings follow PyTorch's pages of the same names.
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.nn.module import Module
from dovetail.nn.rectified import call_in_turn
from dovetail.nn.text import indent

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, ValuesView
    from typing import TypeVar

    S = TypeVar("S", bound="Sequential")
    L = TypeVar("L", bound="ModuleList")

__all__ = ["ModuleDict", "ModuleList", "Sequential", "pairs"]


class _Listed(Module):
    """What ``Sequential`` and ``ModuleList`` share: children in order, found by position."""

    _modules: dict[str, Module]  # type: ignore[assignment]

    def _key(self, index: int) -> str:
        size = len(self._modules)
        index = operator.index(index)
        if not -size <= index < size:
            raise IndexError(f"index {index} is out of range")
        return list(self._modules)[index]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        keys = list(self._modules)[index] if isinstance(index, slice) else [self._key(index)]
        for key in keys:
            delattr(self, key)
        self._renumber(list(self._modules.values()))

    def _renumber(self, modules: list[Module]) -> None:
        self._modules = {str(i): module for i, module in enumerate(modules)}

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def pop(self, key: int | slice) -> Module:
        """Remove the module (or the slice of modules) at ``key`` and return it."""
        found = self[key]  # type: ignore[index]
        del self[key]
        return found  # type: ignore[no-any-return]


class Sequential(_Listed):
    """Modules run one after another, each fed with the output of the one before.

    Args:
        args: the modules in order, or one ``OrderedDict`` of names and modules.

    >>> import dovetail as dt
    >>> net = dt.nn.Sequential(dt.nn.Linear(4, 8), dt.nn.ReLU(), dt.nn.Linear(8, 2))
    >>> net[1:]
    Sequential(
      (1): ReLU()
      (2): Linear(in_features=8, out_features=2, bias=True)
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            named = args[0].items()
        else:
            named = ((str(i), module) for i, module in enumerate(args))  # type: ignore[assignment]
        for name, module in named:
            self.add_module(name, module)

    def __getitem__(self: S, index: int | slice) -> Any:
        """The module at a position, or a ``Sequential`` of a slice (names kept)."""
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._key(index)]

    def forward(self, input: Any) -> Any:
        """The output of the last module."""
        return call_in_turn(self._modules.values(), input)

    def append(self: S, module: Module) -> S:
        """Add ``module`` at the end."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self: S, index: int, module: Module) -> S:
        """Put ``module`` before position ``index``; those behind it move by one."""
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        size = len(self)
        if not -size <= index <= size:
            raise IndexError(f"Index out of range: {index}")
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def extend(self: S, sequential: Iterable[Module]) -> S:
        """Add every module of ``sequential`` at the end."""
        for module in list(sequential):
            self.append(module)
        return self

    @staticmethod
    def _require_sequential(other: Any) -> None:
        if not isinstance(other, Sequential):
            raise ValueError(
                "add operator supports only objects of Sequential class, "
                f"but {type(other)} is given."
            )

    def __add__(self, other: Sequential) -> Sequential:
        self._require_sequential(other)
        return Sequential(*self, *other)

    def __iadd__(self: S, other: Sequential) -> S:
        self._require_sequential(other)
        return self.extend(other)

    def _require_factor(self, other: Any) -> None:
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(other)}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for {type(self)}")

    def __mul__(self, other: int) -> Sequential:
        """The same modules ``other`` times over (shared, not copied)."""
        self._require_factor(other)
        return Sequential(*(list(self) * other))

    __rmul__ = __mul__

    def __imul__(self: S, other: int) -> S:
        self._require_factor(other)
        return self.extend(list(self) * (other - 1))


class ModuleList(_Listed):
    """A list of modules, each of them registered as a child; it has no ``forward``.

    Args:
        modules: the modules to start with.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self: L, index: int | slice) -> Any:
        """The module at a position, or a ``ModuleList`` of a slice."""
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])
        return self._modules[self._key(index)]

    def append(self: L, module: Module) -> L:
        """Add ``module`` at the end."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put ``module`` before position ``index``; those behind it move by one."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)

    def extend(self: L, modules: Iterable[Module]) -> L:
        """Add every module of ``modules`` at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                "ModuleList.extend should be called with an iterable, "
                f"but got {type(modules).__name__}"
            )
        for module in list(modules):
            self.append(module)
        return self

    def __iadd__(self: L, modules: Iterable[Module]) -> L:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        """Neighbours that print alike are printed once, as ``(0-3): 4 x ReLU()``."""
        runs: list[tuple[int, int, str]] = []
        for i, text in enumerate(repr(module) for module in self):
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        if not runs:
            return f"{self._get_name()}()"
        lines = [
            indent(
                f"({first}): {text}"
                if first == last
                else f"({first}-{last}): {last - first + 1} x {text}",
                2,
            )
            for first, last, text in runs
        ]
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


def pairs(owner: str, items: Any) -> Iterator[tuple[str, Any]]:
    """The (key, value) pairs of an iterable, checked one by one."""
    for i, item in enumerate(items):
        if not isinstance(item, Iterable):
            raise TypeError(
                f"{owner} update sequence element #{i} should be Iterable; is {type(item).__name__}"
            )
        pair = list(item)
        if len(pair) != 2:
            raise ValueError(
                f"{owner} update sequence element #{i} has length {len(pair)}; 2 is required"
            )
        yield pair[0], pair[1]


class ModuleDict(Module):
    """A dictionary of modules, each of them registered as a child; it has no ``forward``.

    Args:
        modules: a mapping of names to modules, or an iterable of (name, module).
    """

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove every module."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove the module of that name and return it."""
        return self._modules.pop(key)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Module]:
        """The (name, module) pairs."""
        return self._modules.items()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Add the modules of a mapping or of an iterable of pairs; a name present is replaced."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                "ModuleDict.update should be called with an iterable of key/value pairs, "
                f"but got {type(modules).__name__}"
            )
        if isinstance(modules, (Mapping, ModuleDict)):
            modules = modules.items()
        for key, module in pairs("ModuleDict", modules):
            self[key] = module
