"""One line of code run by PyTorch and by dovetail: the same result, or the same kind of error."""

from __future__ import annotations

import contextlib
import copy
import math
import operator
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="the parity extra is not installed")

__all__ = ["check", "facts", "outcome", "torch"]

MODULES = {
    "copy": copy, "math": math, "operator": operator, "pickle": pickle, "np": np,
}  # fmt: skip


def facts(value: Any) -> Any:
    """What must agree: of a tensor its shape, dtype, strides, requires_grad and values."""
    if isinstance(value, (torch.Tensor, dt.Tensor)):
        kind = str(value.dtype)
        about = (tuple(value.shape), kind, tuple(value.stride()), value.requires_grad)
        if value.is_meta:
            return ("meta tensor", *about)
        here = value.detach().cpu()
        if kind == "torch.bfloat16":
            here = here.float()
        return ("tensor", *about, here.tolist())
    if isinstance(value, (torch.Size, dt.Size)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return (type(value).__name__, [facts(x) for x in value])
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.name, value.shape, value.strides, value.tolist())
    return (type(value).__name__, repr(value).replace("dovetail", "torch"))


def outcome(code: str, module: Any, where: Any = None) -> tuple[Any, str]:
    """(facts of the last expression or the builtin class of the error, the error's text).

    Statements are separated by ``;``; ``torch`` is the module, ``DEVICE`` the device's name.
    """
    space = {**MODULES, "torch": module, "DEVICE": "cpu" if where is None else str(where)}
    *before, last = code.split("; ")
    context = contextlib.nullcontext() if where is None else where
    try:
        with warnings.catch_warnings(), context:
            warnings.simplefilter("ignore")
            for statement in before:
                exec(statement, space)
            return facts(eval(last, space)), ""
    except Exception as error:
        kind = next(c for c in type(error).__mro__ if c.__module__ == "builtins")
        return kind, f"{type(error).__name__}: {error}"


# A few units in the last place; the operators' own parity tests have tighter bounds.
DIGITS = {"bfloat16": 1e-2, "float16": 2e-3, "float32": 1e-6, "complex64": 1e-6}


def agree(a: Any, b: Any, rel: float = 1e-13) -> bool:
    """Whether two outcomes are the same, floats up to rounding."""
    if isinstance(a, (list, tuple)) and type(a) is type(b) and len(a) == len(b):
        if len(a) == 6 and a[0] == "tensor":
            rel = DIGITS.get(str(a[2]).removeprefix("torch."), rel)
        return all(agree(x, y, rel) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=rel) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, complex) and isinstance(b, complex):
        return agree((a.real, a.imag), (b.real, b.imag), rel)
    return type(a) is type(b) and a == b


def check(code: str, device: Any) -> None:
    """Fail where the two differ. Of errors the class must be the same, or a subclass of it."""
    theirs, their_text = outcome(code, torch)
    ours, our_text = outcome(code, dt, device)
    if isinstance(theirs, type) and isinstance(ours, type):
        assert issubclass(ours, theirs), f"{code}: {our_text}, PyTorch: {their_text}"
    else:
        assert agree(ours, theirs), f"{code}: {ours} {our_text}, PyTorch: {theirs} {their_text}"
