"""Late binding: what a low room asks of a room above it.

The low room calls ``BATCHED.copy(…)``; the room above, which imports the low one, enters its
function when it is imported: ``BATCHED.bind(copy=copy)``. So imports go one way only, and a room
that is loaded on demand may come late: before it, there is nothing to ask it about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovetail.backend.state import DeviceState
    from dovetail.device import device as Device
    from dovetail.ops.schema import OpDef
    from dovetail.spec import Spec
    from dovetail.tensor import Tensor

__all__ = ["BATCHED", "DEVICES", "MODULES", "PLANS", "QUANTIZED", "TENSORS", "LateBound"]

Run = Callable[..., Any]


class LateBound:
    """Functions by name, each of them declared in the subclass."""

    def bind(self, **functions: Callable[..., Any]) -> None:
        """Enter functions.

        Raises:
            AttributeError: nobody asks for one of that name.
        """
        for name, function in functions.items():
            if name not in type(self).__annotations__:
                raise AttributeError(f"{type(self).__name__} has no place for {name!r}")
            setattr(self, name, function)


class _Devices(LateBound):
    """Of ``backend.state``: devices in use."""

    state_of: Callable[[Device], DeviceState]
    small_bytes: Callable[[Any], int]


class _Plans(LateBound):
    """Of ``dispatch``: what it keeps of resolved calls."""

    clear: Callable[[], None]


class _Tensors(LateBound):
    """Of ``autograd.engine`` and ``facts``: what methods of a tensor do."""

    backward: Callable[..., None]
    construct: Callable[..., Tensor]  # Tensor(2, 3)


class _Modules(LateBound):
    """Of ``nn``; there is no module before it is loaded."""

    unmoved: Callable[[Sequence[Any]], str] = staticmethod(lambda inputs: "")


class _Batched(LateBound):
    """Of ``func``: tensors inside of a vmap, whose ``spec.batch`` is not None."""

    plan: Callable[[OpDef, tuple[Any, ...], dict[str, Any]], Run]
    view_plan: Callable[[Spec, Any, Callable[[Tensor], Any]], Any]
    view_of: Callable[[Tensor, str, tuple[Any, ...]], Tensor]  # of every row of a value
    forward: Callable[[Any, tuple[Any, ...]], Run]  # of an autograd.Function
    empty: Callable[[Spec], Tensor]
    view: Callable[[Tensor, Spec, int], Tensor]
    copy: Callable[[Tensor, Tensor], None]
    cast: Callable[[Tensor, Spec], Tensor]
    move: Callable[[Tensor, Device], Tensor]
    fill: Callable[[Tensor, Any], Tensor]
    like: Callable[[Tensor, Tensor], Tensor]
    on_value: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
    detached: Callable[[Tensor], Tensor]
    drawn: Callable[[Spec, Callable[[Spec], Tensor]], Tensor]  # random numbers
    no_data: Callable[[], RuntimeError]
    data_dependent: Callable[[], RuntimeError]
    dynamic_shape: Callable[[str], RuntimeError]


class _Quantized(LateBound):
    """Of ``quantized``: tensors whose dtype's category is below 0."""

    plan: Callable[[OpDef, tuple[Any, ...]], Run]
    view_plan: Callable[..., Run]
    copied: Callable[..., Tensor]


DEVICES = _Devices()
PLANS = _Plans()
TENSORS = _Tensors()
MODULES = _Modules()
BATCHED = _Batched()
QUANTIZED = _Quantized()
