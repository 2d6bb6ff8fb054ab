"""Wrong arguments told in PyTorch's words, found out only after a call has failed.

A call that succeeds pays for one more Python frame; what an operator does not look at itself, is
explained here from its failure.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from dovetail.dtypes import dtype
from dovetail.tensor import Tensor

__all__ = ["explained", "guarded", "told"]

_RAISE = dis.opmap["RAISE_VARARGS"]
_PLAIN = (Tensor, bool, int, float, complex, dtype, type(None), str)


def explained(
    name: str, tensors: tuple[str, ...], function: Callable[..., Any], args: Any, kwargs: Any,
    error: Exception,
) -> Exception:  # fmt: skip
    """The TypeError that PyTorch raises for these arguments; ``error`` where they look right.

    Args:
        tensors: names of the parameters that want tensors.
    """
    if _is_told(error):
        return error
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError as wrong:
        return TypeError(f"{name}() {wrong}")
    for position, (label, value) in enumerate(bound.arguments.items(), 1):
        wants = label in tensors
        if wants and not isinstance(value, (Tensor, bool, int, float, complex)):
            given = [v for v in value if not isinstance(v, Tensor)] if _is_list(value) else [value]
            if given:
                return TypeError(
                    f"{name}(): argument '{label}' (position {position}) must be Tensor, not "
                    f"{type(given[0]).__name__}"
                )
    strange = [v for k, v in bound.arguments.items() if k not in tensors and not _is_plain(v)]
    texts = [v for k, v in bound.arguments.items() if k not in tensors and isinstance(v, str)]
    if isinstance(error, AttributeError) and not strange and not texts:
        unlikely = (type(None), float, list, tuple)
        if not any(isinstance(v, unlikely) for v in bound.arguments.values()):
            return error
    kinds = ", ".join(
        f"{k}={type(v).__name__}" for k, v in bound.arguments.items() if k not in ("args", "kwargs")
    )
    return TypeError(f"{name}() received an invalid combination of arguments - got ({kinds})")


def _is_told(error: Exception) -> bool:
    """Whether a ``raise`` statement raised it: somebody has found the words already."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISE


def _is_list(value: Any) -> bool:
    return isinstance(value, (tuple, list))


def _is_plain(value: Any) -> bool:
    if _is_list(value):
        return all(_is_plain(v) for v in value)
    return isinstance(value, _PLAIN) or hasattr(value, "__index__")


def guarded(
    name: str, tensors: tuple[str, ...], function: Callable[..., Any]
) -> Callable[..., Any]:
    """``function`` with the same signature, whose TypeErrors are explained.

    Its code is made in the first call: compiling that of all operators would take longer than
    everything else that an import does.
    """
    if getattr(function, "is_guarded", False):
        return function

    def make() -> Callable[..., Any]:
        real = _compiled(name, function, space)
        # The code last: another thread may be on its way in here.
        made.__defaults__, made.__kwdefaults__ = real.__defaults__, real.__kwdefaults__
        made.__code__ = real.__code__
        return made

    space: dict[str, Any] = {
        "_function": function,
        "_explain": lambda error, *args, **kwargs: explained(
            name, tensors, function, args, kwargs, error
        ),
        "_make": make,
    }
    made: Any = FunctionType(_unmade.__code__, space, name)
    made.__qualname__ = name
    made.__doc__, made.__module__ = function.__doc__, function.__module__
    made.__wrapped__ = function
    made.is_guarded = True
    return made  # type: ignore[no-any-return]


def _unmade(*args: Any, **kwargs: Any) -> Any:
    """The code of a guarded function before its first call; ``_make`` is among its globals."""
    return _make()(*args, **kwargs)  # type: ignore[name-defined] # noqa: F821


def _compiled(name: str, function: Callable[..., Any], space: dict[str, Any]) -> Any:
    """The function that a guarded one becomes; ``space`` is its globals.

    ``function.surplus``, where there is one, makes the error for more arguments than it takes.
    """
    parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    declared, passed = [], []
    starred = False
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            starred = True
        if p.kind is p.KEYWORD_ONLY and not starred:
            declared.append("*")
            starred = True
        prefix = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        default = ""
        if p.default is not p.empty:
            space[f"_default_{p.name}"] = p.default
            default = f"=_default_{p.name}"
        declared.append(f"{prefix}{p.name}{default}")
        passed.append(f"{p.name}={p.name}" if p.kind is p.KEYWORD_ONLY else f"{prefix}{p.name}")
    arguments = ", ".join(passed)
    surplus = getattr(function, "surplus", None)
    refuse = ""
    if surplus is not None:
        space["_surplus_error"] = surplus
        declared.append("*_surplus")
        refuse = f"    if _surplus:\n        raise _surplus_error({arguments}, *_surplus)\n"
    source = (
        f"def {name}({', '.join(declared)}):\n"
        f"{refuse}"
        "    try:\n"
        f"        return _function({arguments})\n"
        "    except (AttributeError, TypeError, ValueError) as _error:\n"
        f"        _why = _explain(_error, {arguments})\n"
        "        if _why is _error:\n"
        "            raise\n"
        "        raise _why from None\n"
    )
    exec(compile(source, f"<dovetail {name}>", "exec"), space)
    return space.pop(name)


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """:func:`guarded`, with the parameters that are annotated as tensors."""
    parameters = inspect.signature(function).parameters
    tensors = tuple(n for n, p in parameters.items() if p.annotation in ("Tensor", Tensor))
    return guarded(function.__name__, tensors, function)
