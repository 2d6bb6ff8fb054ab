"""The frequencies of a spectrum, and moving the lowest to its middle and back."""

from __future__ import annotations

from typing import Any

from dovetail import dtypes
from dovetail.factories import arange
from dovetail.ops.out import finish
from dovetail.ops.reduction.reducing import numpy_names
from dovetail.tensor import Tensor, check_dim

__all__ = ["fftfreq", "fftshift", "ifftshift", "rfftfreq"]

Dims = int | tuple[int, ...] | list[int] | None


def _frequencies(name: str, n: Any, spacing: Any, numbers: Any, out: Any, options: Any) -> Tensor:
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(
            f"fft_{name}(): argument 'n' (position 1) must be int, not {type(n).__name__}"
        )
    kind = options["dtype"] if out is None else out.dtype
    kind = kind or dtypes.get_default_dtype()
    if kind.category < 2:
        raise RuntimeError(f"{name} requires a floating point or complex dtype, got {kind.name}")
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    needs = options.pop("requires_grad")
    if out is not None and options["device"] is None:
        options["device"] = out.device
    options["dtype"] = kind
    step = n * spacing
    made = numbers(int(n), options) * (1 / step if step else float("inf"))
    if out is not None:
        return finish(f"fft_{name}", made, out)  # type: ignore[no-any-return]
    return made.requires_grad_(needs)


def fftfreq(
    n: int,
    d: float = 1.0,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """The frequencies of ``fft`` of n points ``d`` apart: () -> (n,), those from 0 on first.

    Raises:
        RuntimeError: n is negative, or the dtype holds whole numbers.

    Example:
        >>> fftfreq(4)
        tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """

    def numbers(n: int, options: Any) -> Tensor:
        return ifftshift(arange(-(n // 2), n - n // 2, **options))

    options = {"dtype": dtype, "layout": layout, "device": device, "pin_memory": pin_memory}
    options["requires_grad"] = requires_grad
    return _frequencies("fftfreq", n, d, numbers, out, options)


def rfftfreq(
    n: int,
    d: float = 1.0,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """The frequencies of ``rfft`` of n points ``d`` apart: () -> (n // 2 + 1,).

    Raises:
        RuntimeError: n is negative, or the dtype holds whole numbers.

    Example:
        >>> rfftfreq(4)
        tensor([0.0000, 0.2500, 0.5000])
    """

    def numbers(n: int, options: Any) -> Tensor:
        return arange(0, n // 2 + 1, **options)

    options = {"dtype": dtype, "layout": layout, "device": device, "pin_memory": pin_memory}
    options["requires_grad"] = requires_grad
    return _frequencies("rfftfreq", n, d, numbers, out, options)


def _shifted(input: Tensor, dim: Any, share: Any) -> Tensor:
    if dim is None:
        dim = tuple(range(input.ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    check = [check_dim(i, input.ndim) for i in dims]
    return input.roll(tuple(share(input.shape[i]) for i in check), dims)


@numpy_names
def fftshift(input: Tensor, dim: Dims = None) -> Tensor:
    """Frequency 0 moved from the start to the middle of each of ``dim`` (all): (*) -> (*).

    Raises:
        IndexError: a dim is out of range.

    Example:
        >>> fftshift(fftfreq(4))
        tensor([-0.5000, -0.2500,  0.0000,  0.2500])
    """
    return _shifted(input, dim, lambda n: n // 2)


@numpy_names
def ifftshift(input: Tensor, dim: Dims = None) -> Tensor:
    """Frequency 0 moved back from the middle to the start: (*) -> (*); undoes ``fftshift``.

    Raises:
        IndexError: a dim is out of range.
    """
    return _shifted(input, dim, lambda n: (n + 1) // 2)
