"""``GradScaler``: a loss times a number, so that small gradients do not vanish in float16.

Micikevicius et al., "Mixed precision training", ICLR 2018; PyTorch's ``torch.amp.GradScaler``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from dovetail import dtypes as d
from dovetail import ops
from dovetail.amp.autocast_mode import _has_device, is_autocast_available
from dovetail.autograd.grad_mode import no_grad
from dovetail.backend.loader import registry
from dovetail.device import get_default_device, meaning
from dovetail.factories import full, zeros, zeros_like
from dovetail.ops.layers.gradient_norms import unscale_all
from dovetail.tensor import Tensor
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.optim.optimizer import Optimizer

__all__ = ["GradScaler", "OptState"]


class OptState(Enum):
    """How far an optimizer has come since the last ``update``."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _fresh() -> dict[str, Any]:
    return {"stage": OptState.READY, "found_inf_per_device": {}}


def _unscaled(gradients: list[Any], factor: Any) -> Any:
    """Multiply gradients of a device and dtype, in place; 1 where one was not finite, else 0."""
    if factor is not None and all(g.numel() for g in gradients):
        found = zeros((), dtype=d.float32, device=factor.device)
        if unscale_all(gradients, found, factor):
            return found
    found = None
    for gradient in gradients:
        bad = gradient.isfinite().all().logical_not().float()
        found = bad if found is None else found.maximum(bad)
        if factor is not None:
            gradient.mul_(factor)
    return found


class GradScaler:
    """Scales losses, unscales gradients, and leaves out steps whose gradients are not finite.

    Args:
        device: the kind of device that is trained on; None: the accelerator.
        init_scale: the first factor.
        growth_factor: of the factor, after ``growth_interval`` steps without infinities; above 1.
        backoff_factor: of the factor, after a step with some; below 1.
        growth_interval: see ``growth_factor``.
        enabled: False makes all methods pass through.

    Raises:
        AssertionError: factors on the wrong side of 1.

    >>> import dovetail as dt
    >>> w = dt.ones(1, requires_grad=True)
    >>> optimizer = dt.optim.SGD([w], lr=0.5)
    >>> scaler = dt.amp.GradScaler("cpu", init_scale=4.0)
    >>> scaler.scale((w * 2).sum()).backward()
    >>> scaler.step(optimizer); scaler.update(); w, scaler.get_scale()
    (tensor([0.], requires_grad=True), 4.0)
    """

    def __init__(
        self,
        device: str | None = None,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if device is None:
            device = registry.accelerator(get_default_device().type)
        self._device = device = device and meaning(device)
        self._enabled = enabled
        if enabled and not (device and is_autocast_available(device) and _has_device(device)):
            label = "an accelerator" if device is None else device.upper()
            warn(f"GradScaler is enabled, but {label} is not available.  Disabling.")
            self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale = init_scale
        self._scale: Any = None  # made at the first use, on the device of what is scaled
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._init_growth_tracker = 0
        self._growth_tracker: Any = None
        self._per_optimizer_states: defaultdict[int, dict[str, Any]] = defaultdict(_fresh)

    def _need_scale(self, name: str) -> None:
        fix = (
            "This may indicate your script did not use scaler.scale(loss or outputs) earlier in "
            "the iteration."
        )
        for label in ("_scale", "_growth_tracker"):
            if getattr(self, label) is None:
                raise AssertionError(f"Attempted {name} but {label} is None.  {fix}")

    def scale(self, outputs: Any) -> Any:
        """A tensor, or tensors in lists and other iterables, times the factor.

        Raises:
            ValueError: something else.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                place = outputs.device
                self._scale = full((), self._init_scale, dtype=d.float32, device=place)
                self._growth_tracker = full(
                    (), self._init_growth_tracker, dtype=d.int32, device=place
                )
            return outputs * self._scale.to(outputs.device)
        if isinstance(outputs, Iterable):
            parts = map(self.scale, outputs)
            return type(outputs)(parts) if isinstance(outputs, (list, tuple)) else parts
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    @no_grad()
    def _unscale(self, optimizer: Optimizer, factor: Any, allow_half: bool) -> dict[Any, Any]:
        """Gradients times ``factor``, in place; per device, 1 where one was not finite, else 0."""
        gradients: dict[Any, list[Tensor]] = {}
        for group in optimizer.param_groups:
            for p in group["params"]:
                gradient = p.grad
                if gradient is None:
                    continue
                if gradient.dtype is d.float16 and not allow_half:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                gradients.setdefault((gradient.device, gradient.dtype), []).append(gradient)
        found: dict[Any, Any] = {}
        for (device, _), alike in gradients.items():
            bad = _unscaled(alike, None if factor is None else factor.to(device))
            # No look at the value: that would wait for the device.
            found[device] = found[device].maximum(bad) if device in found else bad
        return found

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the optimizer's gradients by the factor, in place; to clip them before ``step``.

        Raises:
            RuntimeError: it has been done since the last ``update``, or ``step`` has.
            ValueError: float16 gradients.
        """
        if not self._enabled:
            return
        self._need_scale("unscale_")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        inverse = self._scale.reciprocal()
        state["found_inf_per_device"] = self._unscale(optimizer, inverse, allow_half=False)
        state["stage"] = OptState.UNSCALED

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args)`` if all gradients are finite; what it returned.

        Raises:
            RuntimeError: with a ``closure``, or a second time since the last ``update``.
            AssertionError: the optimizer has no gradients.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._need_scale("step")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        if not state["found_inf_per_device"]:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None
        if not sum(bad.item() for bad in state["found_inf_per_device"].values()):
            result = optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    @no_grad()
    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Set the factor for the next iteration, by what the steps have found or to a value.

        Raises:
            AssertionError: nothing was scaled, no step was made, or a tensor that does not fit.
        """
        if not self._enabled:
            return
        self._need_scale("update")
        if new_scale is None:
            self._adapt()
        elif isinstance(new_scale, float):
            self._scale.fill_(new_scale)
        else:
            given: Any = new_scale
            fits = isinstance(given, Tensor) and given.device.type == self._device
            if not fits or given.numel() != 1 or given.requires_grad:
                raise AssertionError(
                    "new_scale should be a float or a 1-element tensor on the scaler's kind of "
                    "device with requires_grad=False."
                )
            self._scale.copy_(given.reshape(()))
        self._per_optimizer_states = defaultdict(_fresh)

    def _adapt(self) -> None:
        found = [
            bad.to(self._scale.device)
            for state in self._per_optimizer_states.values()
            for bad in state["found_inf_per_device"].values()
        ]
        if not found:
            raise AssertionError("No inf checks were recorded prior to update.")
        bad = ops.stack(found).amax() > 0
        count = self._growth_tracker + 1
        grows = count >= self._growth_interval
        larger = self._scale * self._growth_factor
        # A factor that would overflow stays what it is.
        grown = ops.where(grows & larger.isfinite(), larger, self._scale)
        self._scale.copy_(ops.where(bad, self._scale * self._backoff_factor, grown))
        self._growth_tracker.copy_(ops.where(bad | grows, zeros_like(count), count))

    def get_scale(self) -> float:
        """The factor; 1 if not enabled. Waits for the device."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale.item())

    def get_growth_factor(self) -> float:
        """See ``growth_factor``."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """See ``growth_factor``."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """See ``backoff_factor``."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """See ``backoff_factor``."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """See ``growth_interval``."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """See ``growth_interval``."""
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        tracker = self._growth_tracker
        return self._init_growth_tracker if tracker is None else int(tracker.item())

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The factor and how it changes; empty if not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave.

        Raises:
            RuntimeError: it is empty.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled "
                "instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._scale is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning of an iteration, "
                    "or at the end after scaler.update()."
                )
            state["_init_scale"] = self.get_scale()
            state["_init_growth_tracker"] = self._get_growth_tracker()
            state["_scale"] = state["_growth_tracker"] = None
        return state
