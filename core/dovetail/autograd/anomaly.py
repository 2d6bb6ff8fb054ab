"""``detect_anomaly``: remember where each forward call was, and look for NaN in every gradient."""

from __future__ import annotations

from dovetail import observe
from dovetail.autograd import hooks

__all__ = ["detect_anomaly", "is_anomaly_enabled", "set_detect_anomaly"]


class detect_anomaly:
    """Inside the block, an error in backward names the line of the forward call that it belongs to,
    and a NaN gradient is an error.

    Args:
        check_nan: look for NaN.

    Source: PyTorch's ``torch.autograd.detect_anomaly``.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan

    def __enter__(self) -> None:
        hooks.anomaly.append(self._check_nan)
        observe.active.append(self)

    def __exit__(self, *exc: object) -> None:
        hooks.anomaly.pop()
        observe.active.remove(self)


class set_detect_anomaly(detect_anomaly):
    """Switch anomaly detection on or off, at once; as a context, for the block."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__(check_nan)
        self._before = list(hooks.anomaly)
        _switch(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        _switch(bool(self._before), bool(self._before and self._before[-1]))


_marker = object()


def _switch(on: bool, check_nan: bool) -> None:
    hooks.anomaly[:] = [check_nan] if on else []
    observe.active[:] = [w for w in observe.active if w is not _marker]
    if on:
        observe.active.append(_marker)


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return bool(hooks.anomaly)
