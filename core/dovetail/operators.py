"""Python's operators on tensors: arithmetic, bits, ``@``, comparisons, and their in-place forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import observe
from dovetail.dispatch import NUMBERS, call, lift
from dovetail.ops import expose
from dovetail.ops.pointwise.arithmetic import PLAIN, check_exponent
from dovetail.ops.schema import REGISTRY, OpDef
from dovetail.tensor import Tensor

__all__: list[str] = []

_ACCEPTED = (bool, int, float, complex, np.generic, np.ndarray)

# operator method suffix -> operator
_BINARY = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "pow", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "shift_left", "rshift": "shift_right",
}  # fmt: skip
_COMPARE = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}


def _infix(op: OpDef, function: Callable[..., Any]) -> Callable[..., Any]:
    get = op.plans.get
    active = observe.active

    def operate(self: Tensor, other: Any) -> Any:
        kind = other.__class__
        if not active:
            try:
                run = get((self._spec, kind if kind in NUMBERS else other._spec))
            except AttributeError:
                run = None
            if run is not None:
                return run(self, other)
        if not isinstance(other, (Tensor, *_ACCEPTED)):
            return NotImplemented
        return function(self, other)

    return operate


def _checked(power: Callable[..., Any]) -> Callable[..., Any]:
    """The exponent's value is no part of a plan's key, so it is looked at in each call."""

    def operate(self: Tensor, other: Any) -> Any:
        if other.__class__ is int:
            check_exponent(self, other)
        return power(self, other)

    return operate


def _reflected(op: OpDef) -> Callable[..., Any]:
    def operate(self: Tensor, other: Any) -> Any:
        if not isinstance(other, (Tensor, *_ACCEPTED)):
            return NotImplemented
        return call(op, (other, self))

    return operate


def _inplace(name: str, in_place: Callable[..., Any]) -> Callable[..., Any]:
    def operate(self: Tensor, other: Any) -> Any:
        if not isinstance(other, (Tensor, *_ACCEPTED)):
            return NotImplemented
        return in_place(self, other)

    return operate


def _install() -> None:
    for suffix, name in {**_BINARY, **_COMPARE}.items():
        op = REGISTRY[name]
        plain = PLAIN.get(name)
        function = plain[0] if plain else op.function
        assert function is not None
        forward = _infix(op, function)
        if name == "pow":
            forward = _checked(forward)
        forward.__name__ = f"__{suffix}__"
        setattr(Tensor, f"__{suffix}__", forward)
        if suffix in _BINARY:
            setattr(Tensor, f"__r{suffix}__", _reflected(op))
            in_place = plain[1] if plain else getattr(Tensor, name + "_")
            setattr(Tensor, f"__i{suffix}__", _inplace(name, in_place))
    for form in ("", "r", "i"):  # PyTorch has kept these names of Python 2
        setattr(Tensor, f"__{form}div__", getattr(Tensor, f"__{form}truediv__"))


def _invert(self: Tensor) -> Tensor:
    if self._spec.dtype.category > 1:
        raise TypeError(
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors"
        )
    return call(REGISTRY["bitwise_not"], (self,))  # type: ignore[no-any-return]


def _positive(self: Tensor) -> Tensor:
    if self._spec.dtype.category == 0:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return self


def _matmul(self: Tensor, other: Any) -> Any:
    if not isinstance(other, (Tensor, np.ndarray)):
        return NotImplemented
    return expose.FUNCTIONS["matmul"](self, lift(REGISTRY["matmul"], other))


def _rmatmul(self: Tensor, other: Any) -> Any:
    if not isinstance(other, (Tensor, np.ndarray)):
        return NotImplemented
    return expose.FUNCTIONS["matmul"](lift(REGISTRY["matmul"], other), self)


_install()
Tensor.__invert__ = _invert  # type: ignore[attr-defined]
Tensor.__neg__ = REGISTRY["neg"].function  # type: ignore[attr-defined, assignment]
Tensor.__pos__ = _positive  # type: ignore[attr-defined]
Tensor.__abs__ = REGISTRY["abs"].function  # type: ignore[attr-defined, assignment]
Tensor.__matmul__ = _matmul  # type: ignore[attr-defined]
Tensor.__rmatmul__ = _rmatmul  # type: ignore[attr-defined]
