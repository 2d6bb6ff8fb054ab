"""The windows at the top level of ``torch``, which are periodic unless told otherwise."""

from __future__ import annotations

from typing import Any

from dovetail import dtypes as d
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.signal.shapes import bartlett_values, cosine_sum, kaiser_values, made
from dovetail.tensor import Tensor, strided

__all__ = [
    "bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window",
]  # fmt: skip


def _made(
    name: str, length: Any, periodic: Any, options: dict[str, Any], values: Any, *rest: Any
) -> Tensor:
    if isinstance(length, bool) or not hasattr(length, "__index__"):
        raise TypeError(
            f"{name}(): argument 'window_length' (position 1) must be int, not "
            f"{type(length).__name__}"
        )
    if not isinstance(periodic, bool):
        raise TypeError(
            f"{name}(): argument 'periodic' (position 2) must be bool, not "
            f"{type(periodic).__name__}"
        )
    kind = options["dtype"]
    kind = d.get_default_dtype() if kind is None else d.as_dtype(kind)
    if options["layout"] is not None and options["layout"] is not strided:
        raise RuntimeError(f"{name}: must be strided, got layout {options['layout']}")
    if kind.category < 2:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {kind}")
    if kind.is_complex:
        raise Unsupported(f"\"{name}\" not implemented for '{type_name(kind)}'")
    if length < 0:
        raise RuntimeError(
            f"{name} requires non-negative window_length, got window_length={length}"
        )
    found = values(int(length), not periodic, *rest)
    return made(found, kind, options["device"], options["requires_grad"], options["pin_memory"])


def hann_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """``0.5 - 0.5 cos(2 pi n / N)``, N = length - 1 where not periodic: () -> (window_length,).

    Raises:
        RuntimeError: a negative length, or a dtype of whole numbers.
    """
    options = {
        "dtype": dtype, "layout": layout, "device": device, "requires_grad": requires_grad,
        "pin_memory": pin_memory,
    }  # fmt: skip
    return _made("hann_window", window_length, periodic, options, cosine_sum, (0.5, 0.5))


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """``alpha - beta cos(2 pi n / N)``, N = length - 1 where not periodic: () -> (window_length,).

    Raises:
        RuntimeError: a negative length, or a dtype of whole numbers.
    """
    options = {
        "dtype": dtype, "layout": layout, "device": device, "requires_grad": requires_grad,
        "pin_memory": pin_memory,
    }  # fmt: skip
    return _made("hamming_window", window_length, periodic, options, cosine_sum, (alpha, beta))


def blackman_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """``0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)``: () -> (window_length,).

    Raises:
        RuntimeError: a negative length, or a dtype of whole numbers.
    """
    options = {
        "dtype": dtype, "layout": layout, "device": device, "requires_grad": requires_grad,
        "pin_memory": pin_memory,
    }  # fmt: skip
    return _made("blackman_window", window_length, periodic, options, cosine_sum, (0.42, 0.5, 0.08))


def bartlett_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A triangle from 0 up to 1 and down: () -> (window_length,).

    Raises:
        RuntimeError: a negative length, or a dtype of whole numbers.
    """
    options = {
        "dtype": dtype, "layout": layout, "device": device, "requires_grad": requires_grad,
        "pin_memory": pin_memory,
    }  # fmt: skip
    return _made("bartlett_window", window_length, periodic, options, bartlett_values)


def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: d.dtype | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """``I0(beta sqrt(1 - x**2)) / I0(beta)``, x going from -1 to 1: () -> (window_length,).

    Raises:
        RuntimeError: a negative length, or a dtype of whole numbers.
    """
    options = {
        "dtype": dtype, "layout": layout, "device": device, "requires_grad": requires_grad,
        "pin_memory": pin_memory,
    }  # fmt: skip
    return _made("kaiser_window", window_length, periodic, options, kaiser_values, beta)
