"""How a plugin's hooks are checked and reached; imported with the first plugin, as pluggy is."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pluggy

from dovetail.backend import hookspecs

__all__ = ["Hooks"]

_KNOWN = [name for name in hookspecs.__all__ if name.startswith("dovetail_")]


class Hooks:
    """The hooks of every plugin loaded so far."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._lock = threading.Lock()

    @property
    def hook(self) -> Any:
        """Call a hook of all plugins: ``hooks.hook.dovetail_report_header()``."""
        return self._manager.hook

    def adopt(self, name: str, plugin: Any) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
        """Register ``plugin`` as ``name``.

        Returns:
            Its ``dovetail_backend`` and its ``dovetail_ops``, alone.

        Raises:
            NameError: it has a hook that no specification knows, or no ``dovetail_backend``.
        """
        manager = self._manager
        with self._lock:
            try:
                manager.register(plugin, name)
                self._check(plugin)
            except Exception:
                if manager.get_name(plugin) == name:
                    manager.unregister(plugin)
                raise
            others = [p for p in manager.get_plugins() if p is not plugin]
            make = manager.subset_hook_caller("dovetail_backend", others)
            operators = manager.subset_hook_caller("dovetail_ops", others)
        return make, lambda registry: operators(registry=registry)

    def adopt_overlay(self, name: str, plugin: Any) -> Callable[[str, Any], Any]:
        """Register ``plugin`` as ``name``, and have it add the operators that it brings.

        Returns:
            Its ``dovetail_overlay``, alone.

        Raises:
            NameError: it has a hook that no specification knows, or no ``dovetail_overlay``.
        """
        manager = self._manager
        with self._lock:
            is_new = not manager.is_registered(plugin)  # one plugin may add to several devices
            if is_new:
                try:
                    manager.register(plugin, name)
                    self._check(plugin, "dovetail_overlay")
                except Exception:
                    if manager.get_name(plugin) == name:
                        manager.unregister(plugin)
                    raise
            others = [p for p in manager.get_plugins() if p is not plugin]
            overlay = manager.subset_hook_caller("dovetail_overlay", others)
            operators = manager.subset_hook_caller("dovetail_ops", others)
        if is_new:
            operators(registry=import_module("dovetail.ops"))
        return lambda device, table: overlay(device=device, table=table)

    def _check(self, plugin: Any, needed: str = "dovetail_backend") -> None:
        mine = {caller.name: caller for caller in self._manager.get_hookcallers(plugin) or ()}
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            unknown = next((n for n, caller in mine.items() if not caller.has_spec()), "")
            close = difflib.get_close_matches(unknown, _KNOWN, 1)
            guess = f", did you mean {close[0]!r}?" if close else f"; there are {', '.join(_KNOWN)}"
            raise NameError(f"unknown hook {unknown!r}{guess}") from error
        if needed not in mine:
            raise NameError(
                f"no hook {needed!r}; define it and mark it with @dovetail.backend.hookimpl"
            )
