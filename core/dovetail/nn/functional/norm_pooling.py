"""Pooling by p-norms over one to three spatial dims (``torch.nn.functional``)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dovetail import ops
from dovetail.nn.functional import pooling
from dovetail.nn.functional.arguments import ntuple

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["lp_pool1d", "lp_pool2d", "lp_pool3d"]


def _norm_pooling(n: int) -> Callable[..., Tensor]:
    largest, average = (getattr(pooling, f"{kind}_pool{n}d") for kind in ("max", "avg"))

    def lp_pool(
        input: Tensor,
        norm_type: float,
        kernel_size: Any,
        stride: Any = None,
        ceil_mode: bool = False,
    ) -> Tensor:
        if math.isinf(norm_type):
            sign = math.copysign(1, norm_type)
            made: Tensor = largest(sign * input.abs(), kernel_size, stride, 0, 1, ceil_mode)
            return sign * made
        mean = average(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
        # A window's mean below 0 has no root: NaN, through the sign.
        signed = ops.sign(mean) * ops.relu(mean.abs())
        return (signed * math.prod(ntuple(kernel_size, n))).pow(1.0 / norm_type)  # type: ignore[no-any-return]

    lp_pool.__name__ = lp_pool.__qualname__ = f"lp_pool{n}d"
    dims = f"{n} spatial dim{'s' * (n > 1)}"
    lp_pool.__doc__ = f"""(sum of x ** p) ** (1 / p) of each window, over {dims}.

    Args:
        input: (N, C, *) or (C, *).
        norm_type: p; infinity for the largest modulus.
        kernel_size: size of the window, one number or {n}.
        stride: step of the window; the window's size if None.
        ceil_mode: a window may hang over the end.

    Raises:
        RuntimeError: shapes or options that do not fit together.
    """
    return lp_pool


lp_pool1d, lp_pool2d, lp_pool3d = (_norm_pooling(n) for n in (1, 2, 3))
