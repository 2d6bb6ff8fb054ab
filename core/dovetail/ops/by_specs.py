"""Functions and in-place methods that find a call's plan before its checks.

What an operator's function looks at of its arguments are specs, but for values in host memory; so a
call with such arguments as have been seen goes to the plan that was made then. The code is written
out for each function, as that of plans is (``straight_plans.py``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import observe
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.inplace import check_writable
from dovetail.autograd.writes import note_write
from dovetail.dispatch import NUMBERS, facts_of
from dovetail.fitting import fits
from dovetail.ops.schema import OpDef
from dovetail.tensor import Tensor, storage_of

__all__ = ["function_by_specs", "keep", "method_by_specs", "refuse"]

Prepare = Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]]


def refuse(*_: Any) -> None:
    """Stands among an operator's writes for calls that no kernel may write by."""
    raise AssertionError("no kernel")


def keep(
    op: OpDef, found: dict[Any, Any], key: Any, given: dict[str, Any],
    inputs: tuple[Any, ...], attributes: tuple[Any, ...],
) -> None:  # fmt: skip
    """Keep what serves a call, in ``found``, under its arguments as they were given too.

    Only where its checks saw nothing but specs, and its inputs are what was given; else it is kept
    that nothing serves them so.
    """
    same = all(given.get(name) is x for name, x in zip(op.inputs, inputs, strict=True))
    found[key] = (found.get((*facts_of(inputs), attributes)) if same else None) or refuse


def function_by_specs(
    op: OpDef, prepare: Prepare, number: str = ""
) -> Callable[[Any], Callable[..., Any]]:
    """Decorator of an operator's function, which does ``call(op, *prepare(...))`` and no more.

    Args:
        number: the argument that, where it is a number, must fit the first input's dtype.
    """

    def define(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)

        def slow(key: Any, *args: Any, **kwargs: Any) -> Any:
            made = function(*args, **kwargs)
            if key is not None and key not in op.plans:
                given = signature.bind(*args, **kwargs).arguments
                keep(op, op.plans, key, given, *prepare(*args, **kwargs))
            return made

        lines = [
            "    if _run is not None and _run is not _refuse:",
            f"        return _run({', '.join(op.inputs)})",
        ]
        made = _written_out(op, op.name, signature, slow, lines, op.plans.get, number=number)
        made.__doc__, made.__module__ = function.__doc__, function.__module__
        made.__annotations__ = function.__annotations__
        return made

    return define


def method_by_specs(
    op: OpDef,
    signature: inspect.Signature,
    slow: Callable[..., Tensor],
    label: str,
    *,
    looks_at_host: bool,
    number: str = "",
) -> Callable[..., Tensor]:
    """The in-place method of ``op``: by what is among its writes, else ``slow(key, self, ...)``.

    Args:
        label: what its writes are noted as.
        looks_at_host: among the writes there may be some of NumPy's arrays.
        number: the argument that, where it is a number, must fit the dtype written to.
    """
    rest = ", ".join(op.inputs[1:])
    lines = [
        "    if _run is not None and _run is not _refuse:",
        "        _storage = _storage_of(self)",
        f"        for _x in ({rest},):",
        "            if isinstance(_x, _Tensor) and (",
        "                _x._storage is _storage or (_x._node is not None and _mode.grad)",
        "            ): break",
        "        else:",
        f"            if self._inference: _check(self, {label!r})",
        f"            _run(self, {rest})",
        f"            _note(_storage, {label!r})",
        "            return self",
    ]
    is_free = "(self._node is None or not _mode.grad)"
    if not looks_at_host:
        is_free += " and self._array.__class__ is not _ndarray"
    return _written_out(op, label, signature, slow, lines, op.writes.get, is_free, number)


def _written_out(
    op: OpDef, name: str, signature: inspect.Signature, slow: Callable[..., Any], lines: list[str],
    known: Callable[[Any], Any], condition: str = "", number: str = "",
) -> Callable[..., Any]:  # fmt: skip
    """The function of a signature that looks for ``_run`` and goes on with ``lines``.

    Args:
        slow: takes the key (None: nothing can be kept by it) and the arguments.
        condition: what must hold before it looks.
    """
    declared, passed, facts = [], [], []
    space: dict[str, Any] = {
        "_Tensor": Tensor, "_active": observe.active, "_check": check_writable, "_fact": _fact,
        "_fits": fits, "_known": known, "_mode": mode, "_ndarray": np.ndarray,
        "_note": note_write, "_numbers": NUMBERS, "_refuse": refuse, "_slow": slow,
        "_storage_of": storage_of,
    }  # fmt: skip
    for p in signature.parameters.values():
        by_name = p.kind is p.KEYWORD_ONLY
        if by_name and "*" not in declared:
            declared.append("*")
        default = ""
        if p.default is not p.empty:
            space[f"_default_{p.name}"], default = p.default, f"=_default_{p.name}"
        declared.append(p.name + default)
        passed.append(f"{p.name}={p.name}" if by_name else p.name)
        is_tensor = f"{p.name}._spec if {p.name}.__class__ is _Tensor else _fact({p.name})"
        facts.append(is_tensor if p.name in (*op.inputs, "self") else p.name)
    conditions = ["not _active", *([condition] if condition else [])]
    if op.kind == "index":  # the host's are looked at in every call
        conditions.append(f"{next(iter(signature.parameters))}._array.__class__ is not _ndarray")
    look = "_run = _known(_key)"
    if number:  # one that does not fit is refused by ``slow``, in the operator's words
        fit = f"_fits({number}, {next(iter(signature.parameters))}._spec.dtype)"
        look = f"if {number}.__class__ not in _numbers or {fit}: {look}"
    body = [
        "_run = _key = None",
        "try:",
        f"    if {' and '.join(conditions)}:",
        f"        _key = ('given', {', '.join(facts)})",
        f"        {look}",
        "except (AttributeError, TypeError):",
        "    _run = _key = None",
        *(line[4:] for line in lines),
        f"return _slow(_key, {', '.join(passed)})",
    ]
    text = "".join(f"    {line}\n" for line in body)
    exec(
        compile(f"def {name}({', '.join(declared)}):\n{text}", f"<dovetail {name}>", "exec"), space
    )
    made: Callable[..., Any] = space[name]
    return made


def _fact(x: Any) -> Any:
    if x is None:
        return None
    if isinstance(x, Tensor):
        return x._spec
    if x.__class__ in NUMBERS:
        return x.__class__
    raise TypeError
