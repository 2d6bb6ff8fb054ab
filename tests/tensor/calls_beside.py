"""One call, written as text, made by dovetail and by PyTorch, and the two compared."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

__all__ = ["beside"]

UNTOLD = ("empty", "rand", "uniform")
"""Parts of names of functions whose values are nobody's to compare."""


def _made(library: Any, call: str) -> tuple[Any, Exception | None, list[str]]:
    x = library.tensor([[0.5, 0.25, 0.75], [0.1, 0.2, 0.3]])
    names = {"m": library, "x": x, "np": np}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            result, error = eval(call, names), None
        except Exception as raised:
            result, error = None, raised
    return result, error, [w.category.__name__ for w in said]


def _facts(result: Any) -> Any:
    if isinstance(result, (torch.Tensor, dt.Tensor)):
        dtype = str(result.dtype).removeprefix("torch.")
        strides = tuple(result.stride()) if result.numel() else ()
        return dtype, tuple(result.shape), strides, result.requires_grad, result.is_leaf
    if result is None or isinstance(result, (int, float, str)):
        return result
    if isinstance(result, tuple):
        return tuple(map(int, result))
    return str(result)


def _values(result: Any) -> np.ndarray | None:
    if not isinstance(result, (torch.Tensor, dt.Tensor)):
        return None
    result = result.detach()
    kind = str(result.dtype)
    result = result.float() if kind.endswith(("bfloat16", "float16")) else result
    return result.numpy()  # type: ignore[no-any-return]


def beside(call: str, compares_values: bool) -> None:
    """Make ``call`` both ways and compare what came.

    Args:
        call: an expression of ``m`` (the library), ``x`` (a tensor) and ``np``.
        compares_values: and not only dtype, shape, strides and whether it requires a gradient.
    """
    theirs, refused, warned = _made(torch, call)
    if refused is not None:
        with pytest.raises(type(refused)):
            _raise(_made(dt, call)[1])
        return
    mine, error, said = _made(dt, call)
    _raise(error)
    assert _facts(mine) == _facts(theirs)
    assert said == warned
    expected = _values(theirs)
    if compares_values and expected is not None and not any(word in call for word in UNTOLD):
        rtol = 1e-3 if "float16" in str(theirs.dtype) else 1e-6
        np.testing.assert_allclose(_values(mine), expected, rtol, 1e-6)


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error
