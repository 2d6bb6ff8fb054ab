"""Random numbers inside of a vmap: an error, numbers per example, or the same for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.autograd.grad_mode import mode
from dovetail.func.batched import wrap
from dovetail.generator import default_generator
from dovetail.late_binding import BATCHED
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__ = ["drawn", "repeated"]


def drawn(spec: Spec, draw: Callable[[Spec], Tensor]) -> Tensor:
    """What ``draw`` makes of ``spec``, with a hidden dim for each vmap that wants numbers apart.

    Raises:
        RuntimeError: a running vmap has the randomness mode ``error``.
    """
    different = []
    for level in mode.maps:
        if level.randomness == "error":
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use "
                "the 'same' or 'different' randomness flags on vmap or perform the randomness "
                "operation out of vmap"
            )
        if level.randomness == "different":
            different.append(level)
    logical = spec if spec.batch is None else spec.batch.logical
    shape = (*[level.size for level in different], *logical.shape)
    made = draw(spec_of(shape, logical.dtype, logical.device))
    for level in different:
        made = wrap(made, level)
    return made


def repeated(device: Any) -> Callable[[], None]:
    """A function that takes a device's default generator back to where it is."""
    generator = default_generator(device)
    state = generator.get_state()
    return lambda: generator.set_state(state)


BATCHED.bind(drawn=drawn)
