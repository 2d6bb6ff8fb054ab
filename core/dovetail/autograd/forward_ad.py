"""Dual numbers: a tensor with a tangent, for Jacobian-vector products along a computation.

``make_dual`` puts an entry in front of a tensor and remembers its tangent; ``unpack_dual`` walks
the graph that was recorded since back twice (see ``dovetail.func.derivatives``). So a tangent is
computed when it is asked for, a dual tensor requires grad, and what runs under ``no_grad`` has no
tangent. Source: PyTorch's ``torch.autograd.forward_ad``.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from dovetail.autograd.grad_mode import enable_grad
from dovetail.autograd.graph import Node
from dovetail.factories import zeros_like
from dovetail.func.derivatives import pulled
from dovetail.func.levels import Entry, Level, entered, settled
from dovetail.tensor import Tensor

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual",
           "unpack_dual"]  # fmt: skip


class UnpackedDualTensor(NamedTuple):
    """A tensor and its tangent (None where it has none)."""

    primal: Tensor
    tangent: Tensor | None


class _Dual(Level):
    """A level of dual numbers."""

    __slots__ = ("duals",)

    def __init__(self) -> None:
        super().__init__()
        self.duals: dict[Entry, tuple[Tensor, Tensor]] = {}
        """The dual tensor and its tangent, by the tensor's entry."""


class _Current(threading.local):
    level: _Dual | None = None


_current = _Current()


def enter_dual_level() -> int:
    """Begin a level; there is one at a time.

    Raises:
        RuntimeError: one has begun already.
    """
    if _current.level is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _current.level = _Dual()
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the level; its tangents are forgotten.

    Raises:
        RuntimeError: none has begun, or another one is named.
    """
    if _current.level is None or level not in (None, 0):
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is "
            "not supported."
        )
    _current.level.alive = False
    _current.level.duals.clear()
    _current.level = None


class dual_level:
    """A level for the block.

    Example:
        >>> import dovetail as dt
        >>> from dovetail.autograd import forward_ad
        >>> with forward_ad.dual_level():
        ...     x = forward_ad.make_dual(dt.zeros(2), dt.ones(2))
        ...     print(forward_ad.unpack_dual(x.sin()).tangent)
        tensor([1., 1.])
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc: object) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """``tensor`` with a tangent: the same memory, a variable of the running level.

    Raises:
        RuntimeError: no level has begun, or the shapes differ.
        ValueError: not floating-point or complex.
    """
    here = _current.level
    if here is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to "
            "enter_dual_level() first."
        )
    for label, x in (("primal", tensor), ("tangent", tangent)):
        if x._spec.dtype.category < 2:
            raise ValueError(
                f"Expected {label} to be floating point or complex, but got: {x.dtype}"
            )
    if tangent._spec.shape != tensor._spec.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original "
            f"Tensor, this is not supported. Tensor is of size {list(tensor.shape)} while the "
            f"given forward gradient is of size {list(tangent.shape)}."
        )
    made = entered(tensor, here)
    here.duals[made._node] = (made, tangent)
    return made


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """A tensor without and its tangent; the tangent is None where none of its inputs has one."""
    here = _current.level
    if here is None:
        return UnpackedDualTensor(tensor, None)
    found = _entries(tensor._node, here)
    if not found:
        return UnpackedDualTensor(tensor, None)
    primal = _outside(tensor, here)
    if tensor._node in here.duals:
        return UnpackedDualTensor(primal, here.duals[tensor._node][1])
    second = Level()
    with enable_grad():
        dummy = entered(zeros_like(tensor.detach()), second)
        pairs = [here.duals[node] for node in found]
        products = pulled((tensor,), (dummy,), [x for x, _ in pairs], True)
        ways = [
            (p, t) for p, (_, t) in zip(products, pairs, strict=True) if p is not None and p._node
        ]
        second.alive = False
        if not ways:
            return UnpackedDualTensor(primal, None)
        outs, vectors = zip(*ways, strict=True)
        (tangent,) = pulled(outs, vectors, (dummy,), True)
    if tangent is None:
        return UnpackedDualTensor(primal, None)
    return UnpackedDualTensor(primal, _outside(tangent, here))


def _outside(x: Tensor, level: Level) -> Tensor:
    """``x`` without the history that only the level asks for."""
    level.alive = False
    try:
        return settled(x)
    finally:
        level.alive = True


def _entries(node: Node | None, level: _Dual) -> list[Entry]:
    """The level's entries that ``node`` leads to."""
    found: list[Entry] = []
    seen: set[Any] = set()
    stack = [] if node is None else [node]
    while stack:
        here = stack.pop()
        if here in seen:
            continue
        seen.add(here)
        if type(here) is Entry and here.level is level:
            found.append(here)
        stack.extend(n for n in here.next if n is not None)
    return found
