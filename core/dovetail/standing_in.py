"""dovetail in the place of PyTorch: ``import torch`` gives dovetail, ``torch.nn`` its ``nn``.

A finder goes before all others and answers for ``torch`` and what is below it: the module of that
name in dovetail, the same object, so that ``torch.nn.Linear is dovetail.nn.Linear``. What dovetail
lacks is a ``ModuleNotFoundError`` that says so, never the real PyTorch's. ``import torch_NAME``
gives the plugin that offers the device NAME.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from dovetail.backend.loader import HOST, registry
from dovetail.device import ALWAYS
from dovetail.near_names import meant

__all__ = ["choose_device", "run_program", "stand_in_for_torch"]

TORCH = "torch"
RELEASE = "2.13.0"
"""The release of PyTorch whose names and meanings are here: programs ask for one or later."""
_PYTORCHS = sorted(ALWAYS - {HOST})
"""Names of accelerators that a program for PyTorch may say."""


class _Alias(Loader):
    """Puts what is there already in the place of the module that is loaded.

    It need not be a module: a device's functions are an object.
    """

    def __init__(self, found: Any) -> None:
        self._found = found

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = self._found


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        top, _, rest = fullname.partition(".")
        found = _counterpart(rest) if top == TORCH else _plugin(fullname)
        if found is None:
            return None
        return ModuleSpec(fullname, _Alias(found), is_package=hasattr(found, "__path__"))


def _counterpart(name: str) -> Any:
    import dovetail

    if not name:
        return dovetail
    try:
        return importlib.import_module(f"dovetail.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or not f"dovetail.{name}".startswith(error.name):
            raise
    found: Any = dovetail
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise ModuleNotFoundError(
            f"No module named 'torch.{name}': dovetail stands in for torch here and has no "
            f"'{name}'{meant('dovetail', name.partition('.')[0])}",
            name=f"torch.{name}",
        )
    return found


def _plugin(name: str) -> Any:
    """For ``torch_NAME``, where PyTorch's vendors keep a device: the plugin that offers NAME."""
    device = name.removeprefix(f"{TORCH}_")
    if device == name:
        return None
    modules = {record.name: record.module for record in registry.report(load=False)}
    return importlib.import_module(modules[device]) if device in modules else None


def stand_in_for_torch() -> None:
    """From here on ``import torch`` gives dovetail, in this process.

    Its version is PyTorch's then, with its own behind a plus sign.

    Raises:
        RuntimeError: the real PyTorch has been imported already.
    """
    import dovetail

    if sys.modules.get(TORCH, dovetail) is not dovetail:
        raise RuntimeError(
            "torch has been imported in this process already; dovetail must take its place before"
        )
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
        dovetail.__version__ = f"{RELEASE}+dovetail.{dovetail.__version__}"


def run_program(words: Sequence[str], is_module: bool = False) -> None:
    """Run a script or module as ``__main__``, with dovetail for torch.

    Args:
        words: the script's path, or the module's name, and its arguments.
        is_module: ``words[0]`` is a module's name, as after ``python -m``.

    Raises:
        FileNotFoundError: there is no such script.
    """
    stand_in_for_torch()
    program, *rest = words
    if is_module:
        sys.argv = [program, *rest]
        sys.path.insert(0, "")
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        return
    path = Path(program)
    if not path.exists():
        raise FileNotFoundError(f"there is no script {program!r}")
    sys.argv = [program, *rest]
    sys.path.insert(0, str(path.resolve().parent))
    runpy.run_path(program, run_name="__main__")


def choose_device(device: str, *, only_names: bool = False) -> str:
    """New tensors go to ``device``; other names for an accelerator mean it too, if it is one.

    Args:
        only_names: new tensors go where the program says, to the cpu where it says nothing.

    Returns:
        What was changed, in a sentence; empty where nothing was.

    Raises:
        RuntimeError: there is no such device.
        BackendUnavailable: its backend is absent, broken or has no hardware.
    """
    from dovetail.device import means, resolve, set_current_index, set_default_device

    chosen = resolve(device)
    if not only_names:
        set_default_device(chosen)
    if chosen.type != HOST:
        for name in _PYTORCHS:
            means(name, chosen.type)
        if chosen.index is not None:
            set_current_index(chosen.type, chosen.index)
        return f"{' and '.join(_PYTORCHS)} stands for {chosen} in this program"
    return ""
