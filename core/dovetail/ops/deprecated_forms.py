"""Calls with the factors before the tensors, as PyTorch took them up to 1.4 and still does.

``x.add_(alpha, other)``, ``x.addcmul_(value, a, b)``, ``addmm(beta, x, alpha, a, b)``: optimizers
and models of that time are full of them. Source: PyTorch's ``tools/autograd/deprecated.yaml``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dovetail.ops.expose import FUNCTIONS
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__: list[str] = []

_Places = dict[tuple[int, ...], tuple[str, ...]]

_FACTORS: dict[str, tuple[int, _Places, _Places]] = {}
"""Name -> how many tensors it takes, and the factors' names by where they stand: in calls of the
function and of the method."""

for _name in ("add", "sub"):
    _FACTORS[_name] = 2, {(1,): ("alpha",)}, {(1,): ("alpha",)}
for _name in ("addcmul", "addcdiv"):
    _FACTORS[_name] = 3, {(1,): ("value",)}, {(1,): ("value",)}
for _name in ("addbmm", "addmm", "addmv", "addr", "baddbmm"):
    _FACTORS[_name] = (
        3,
        {(0,): ("beta",), (0, 2): ("beta", "alpha")},
        {(1,): ("beta",), (1, 2): ("beta", "alpha")},
    )


def _sorted_out(
    label: str, count: int, forms: _Places, args: tuple[Any, ...]
) -> tuple[Any, dict[str, Any]] | None:
    """The tensors, and the factors by name; None where these are no such arguments."""
    places = tuple(i for i, a in enumerate(args) if not isinstance(a, Tensor))
    factors = forms.get(places)
    if factors is None or len(args) != count + len(places):
        return None
    if not all(isinstance(args[i], (int, float, complex)) for i in places):
        return None
    warn(
        f"This overload of {label} is deprecated: give {' and '.join(factors)} by keyword, after "
        "the tensors",
        UserWarning,
    )
    tensors = tuple(a for a in args if isinstance(a, Tensor))
    return tensors, dict(zip(factors, (args[i] for i in places), strict=True))


def _accepting(
    label: str, count: int, forms: _Places, function: Callable[..., Any]
) -> Callable[..., Any]:
    """``function``, which takes the old form too."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if len(args) > count:
            found = _sorted_out(label, count, forms, args)
            if found is not None:
                return function(*found[0], **found[1], **kwargs)
        return function(*args, **kwargs)

    return wrapped


for _name, (_count, _calls, _methods) in _FACTORS.items():
    _plain = FUNCTIONS[_name]
    _wrapped = _accepting(_name, _count, _calls, _plain)
    FUNCTIONS.update((other, _wrapped) for other, f in FUNCTIONS.items() if f is _plain)
    for _label in (_name, _name + "_"):
        setattr(Tensor, _label, _accepting(_label, _count, _methods, getattr(Tensor, _label)))
