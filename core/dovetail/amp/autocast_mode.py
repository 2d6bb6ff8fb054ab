"""``autocast``: where it is on, for which kind of device, and with which dtype.

Everything here is of one thread. What it does to a call is in ``dovetail.autocast_rules``.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from dovetail import observe
from dovetail.autograd.grad_mode import mode
from dovetail.backend.loader import HOST, registry
from dovetail.backend.state import state_of
from dovetail.device import device, get_default_device, meaning
from dovetail.dtypes import bfloat16, float16, float64
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = [
    "autocast",
    "autocast_decrement_nesting",
    "autocast_increment_nesting",
    "clear_autocast_cache",
    "custom_bwd",
    "custom_fwd",
    "get_autocast_cpu_dtype",
    "get_autocast_dtype",
    "is_autocast_available",
    "is_autocast_cache_enabled",
    "is_autocast_cpu_enabled",
    "is_autocast_enabled",
    "restored",
    "set_autocast_cache_enabled",
    "set_autocast_cpu_dtype",
    "set_autocast_cpu_enabled",
    "set_autocast_dtype",
    "set_autocast_enabled",
]


class _Settings(threading.local):
    """What has been set; ``mode.autocast`` is what of it is on."""

    def __init__(self) -> None:
        self.dtypes: dict[str, Any] = {}
        self.keeps_casts = True
        self.nesting = 0


_settings = _Settings()
_states: dict[tuple[tuple[str, Any], ...], dict[str, Any]] = {}


def _switch(state: dict[str, Any] | None) -> None:
    """Make ``state`` what is on; calls are watched while anything is."""
    if mode.autocast is None and state:
        observe.active.append(observe.AUTOCAST)
    elif mode.autocast is not None and not state:
        observe.active.remove(observe.AUTOCAST)
    # One object for each state: what follows from it is kept under its id.
    mode.autocast = _states.setdefault(tuple(sorted(state.items())), dict(state)) if state else None


@contextlib.contextmanager
def restored(state: dict[str, Any] | None) -> Iterator[None]:
    """Have on in the block what was on when ``state`` was ``mode.autocast``."""
    before = mode.autocast
    _switch(state)
    try:
        yield
    finally:
        _switch(before)


def _check(device_type: Any) -> str:
    """The kind of device that a name means in this process."""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    return meaning(device_type)


def is_autocast_available(device_type: str) -> bool:
    """Whether there is a backend of this name, installed or built in."""
    device_type = meaning(device_type)
    return device_type != "meta" and device_type in registry


def _has_device(device_type: str) -> bool:
    """Whether there is hardware; None or a broken plugin counts as none."""
    loaded = registry.load(device_type)
    return loaded is not None and loaded.count > 0


def _dtypes_of(device_type: str) -> tuple[Any, ...]:
    """The lower precisions that a kind of device has."""
    if not _has_device(device_type):
        return (float16, bfloat16)
    have = state_of(device(device_type)).info.dtypes
    return tuple(dtype for dtype in (bfloat16, float16) if dtype in have)


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether autocast is on for a kind of device, in this thread; None: for the accelerator."""
    if device_type is None:
        device_type = registry.accelerator(get_default_device().type)
    if mode.autocast is None or device_type is None:
        return False
    return meaning(device_type) in mode.autocast


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Turn autocast on or off for a kind of device, in this thread."""
    device_type = meaning(device_type)
    state = dict(mode.autocast or {})
    state.pop(device_type, None)
    if enabled:
        state[device_type] = get_autocast_dtype(device_type)
    _switch(state)


def get_autocast_dtype(device_type: str) -> Any:
    """The dtype of lower precision: bfloat16 on the host, float16 elsewhere, unless it was set."""
    device_type = meaning(device_type)
    found = _settings.dtypes.get(device_type)
    if found is not None:
        return found
    if device_type == HOST:
        return bfloat16
    if not is_autocast_available(device_type):
        raise RuntimeError(f"unsupported scalarType for autocast: no device {device_type!r}")
    lower = _dtypes_of(device_type)
    return float16 if float16 in lower or not lower else lower[0]


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Set the dtype of lower precision of a kind of device, in this thread."""
    device_type = meaning(device_type)
    _settings.dtypes[device_type] = dtype
    if is_autocast_enabled(device_type):
        _switch({**mode.autocast, device_type: dtype})


def is_autocast_cpu_enabled() -> bool:
    """``is_autocast_enabled("cpu")``, under its older name."""
    return is_autocast_enabled(HOST)


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """``set_autocast_enabled("cpu", …)``, under its older name."""
    set_autocast_enabled(HOST, enabled)


def get_autocast_cpu_dtype() -> Any:
    """``get_autocast_dtype("cpu")``, under its older name."""
    return get_autocast_dtype(HOST)


def set_autocast_cpu_dtype(dtype: Any) -> None:
    """``set_autocast_dtype("cpu", …)``, under its older name."""
    set_autocast_dtype(HOST, dtype)


def is_autocast_cache_enabled() -> bool:
    """Whether casts of parameters are kept until the outermost block ends."""
    return _settings.keeps_casts


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep casts of parameters until the outermost block ends, or not."""
    _settings.keeps_casts = enabled
    mode.autocast_casts = (mode.autocast_casts or {}) if enabled else None


def clear_autocast_cache() -> None:
    """Forget the casts that are kept."""
    mode.autocast_casts = {} if _settings.keeps_casts else None


def autocast_increment_nesting() -> int:
    """Enter a block; how many there are."""
    _settings.nesting += 1
    return _settings.nesting


def autocast_decrement_nesting() -> int:
    """Leave a block; how many there still are."""
    _settings.nesting -= 1
    return _settings.nesting


class autocast:
    """Run operators in the precision that suits them: ``with autocast("cpu"):``, or a decorator.

    Products of matrices and convolutions run in ``dtype``, losses and other sums in float32; what
    PyTorch's lists do not name runs in the dtypes that it is given. Backward runs in the dtypes
    that forward has used; it belongs outside of the block.

    Args:
        device_type: a kind of device, such as ``cpu``; every backend's name will do.
        dtype: bfloat16 or float16; None: see :func:`get_autocast_dtype`.
        enabled: False turns autocast off for the block.
        cache_enabled: cast each parameter once; None: as it is set.

    Raises:
        ValueError: ``device_type`` is no string.
        RuntimeError: there is no such device.

    Source: PyTorch's page "Automatic Mixed Precision package - torch.amp".

    >>> import dovetail as dt
    >>> layer = dt.nn.Linear(3, 2)
    >>> with dt.autocast("cpu"):
    ...     y = layer(dt.ones(1, 3))
    >>> y.dtype
    torch.bfloat16
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        self.device = device_type = _check(device_type)
        if not is_autocast_available(device_type):
            raise RuntimeError(
                f"User specified an unsupported autocast device_type '{device_type}'"
            )
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = (
            is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        )
        self._enabled = enabled and self._is_possible()
        self._outer: list[tuple[Any, ...]] = []

    def _is_possible(self) -> bool:
        label = self.device.upper()
        if not _has_device(self.device):
            warn(f"{label} is not available. Disabling autocast.")
            return False
        lower = _dtypes_of(self.device)
        if self.fast_dtype not in lower:
            names = ", ".join(map(str, lower)) or "none"
            warn(
                f"In {label} autocast, but the target dtype is not supported. Disabling autocast."
                f"\n{label} Autocast only supports dtypes of {names} currently.",
            )
            return False
        return True

    def __enter__(self) -> autocast:
        kind = self.device
        before = (is_autocast_enabled(kind), _settings.dtypes.get(kind), _settings.keeps_casts)
        self._outer.append(before)
        _settings.dtypes[kind] = self.fast_dtype
        set_autocast_enabled(kind, self._enabled)
        autocast_increment_nesting()
        set_autocast_cache_enabled(self._cache_enabled)
        return self

    def __exit__(self, *error: object) -> None:
        kind = self.device
        enabled, dtype, keeps_casts = self._outer.pop()
        if autocast_decrement_nesting() == 0:
            clear_autocast_cache()
        if dtype is None:
            _settings.dtypes.pop(kind, None)
        else:
            _settings.dtypes[kind] = dtype
        set_autocast_enabled(kind, enabled)
        set_autocast_cache_enabled(keeps_casts)
        if _settings.nesting == 0:
            mode.autocast_casts = None

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """``func`` inside of such a block.

        Raises:
            TypeError: it is no function.
        """
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. Did you "
                "mean to use autocast as a context manager? For example:\n"
                "    with torch.autocast(device_type=...):\n        output = model(input)"
            )

        @functools.wraps(func)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return run


def _cast(value: Any, device_type: str, dtype: Any) -> Any:
    """The real tensors of a kind of device in ``value``, however deep, in another dtype."""
    if isinstance(value, Tensor):
        here = value.device.type == device_type and value.dtype is not float64
        return value.to(dtype) if here and value.is_floating_point() else value
    if isinstance(value, (str, bytes, np.ndarray)):
        return value
    if isinstance(value, Mapping):
        pairs = value.items()
        return {_cast(k, device_type, dtype): _cast(v, device_type, dtype) for k, v in pairs}
    if isinstance(value, Iterable):
        parts = (_cast(v, device_type, dtype) for v in value)
        return type(value)(parts) if isinstance(value, (list, tuple)) else parts
    return value


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: Any = None
) -> Any:
    """Decorate the ``forward`` of a ``Function`` for use with autocast.

    Args:
        fwd: the function; None: the decorator is returned.
        device_type: the kind of device that autocast is on for.
        cast_inputs: cast the real inputs to this dtype and run with autocast off; None: run with
            autocast as it is.
    """
    _check(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    function = fwd

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        ctx = args[0]
        ctx._dtype = get_autocast_dtype(device_type)
        is_on = is_autocast_enabled(device_type)
        if cast_inputs is None:
            ctx._fwd_used_autocast = is_on
            return function(*args, **kwargs)
        ctx._fwd_used_autocast = False
        if not is_on:
            return function(*args, **kwargs)
        with autocast(device_type=device_type, enabled=False):
            here = meaning(device_type)
            given = _cast(args, here, cast_inputs)
            return function(*given, **_cast(kwargs, here, cast_inputs))

    return run


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Any:
    """Decorate the ``backward`` of a ``Function``: autocast is as it was in forward.

    Args:
        bwd: the function; None: the decorator is returned.
        device_type: as of ``custom_fwd``.
    """
    _check(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    function = bwd

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        ctx = args[0]
        with autocast(device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return function(*args, **kwargs)

    return run
