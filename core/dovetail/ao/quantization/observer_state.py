"""What the observers of a model have seen, as a state dict of its own."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from dovetail.ao.quantization.fake_quantize import FakeQuantizeBase
from dovetail.ao.quantization.observer import ObserverBase
from dovetail.nn.module import Module

__all__ = ["default_eval_fn", "get_observer_state_dict", "load_observer_state_dict"]


def default_eval_fn(model: Any, calib_data: Any) -> None:
    """Run a model on pairs of data and target, for calibration."""
    for data, _ in calib_data:
        model(data)


def get_observer_state_dict(mod: Module) -> dict[str, Any]:
    """The entries of observers in a model's state dict."""
    made: dict[str, Any] = OrderedDict()
    for key, value in mod.state_dict().items():
        if "observer" in key or "activation_post_process" in key:
            made[key] = value
    return made


def load_observer_state_dict(mod: Module, obs_dict: dict[str, Any]) -> None:
    """Load what :func:`get_observer_state_dict` gave.

    Raises:
        Exception: something is missing, or nobody expects it.
    """
    missing: list[str] = []
    unexpected: list[str] = []
    for name, module in mod.named_modules():
        if isinstance(module, (ObserverBase, FakeQuantizeBase)):
            module._load_from_state_dict(obs_dict, f"{name}.", {}, False, missing, unexpected, [])
    for word, keys in (("Missing", missing), ("Unexpected", unexpected)):
        for key in keys:
            if "observer" in key or "activation_post_process" in key:
                raise Exception(f"{word} keys for observer {key} in state_dict")
