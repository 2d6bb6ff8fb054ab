"""Sums, products and joins that quantization can watch: in place of ``+``, ``*`` and ``cat``."""

from __future__ import annotations

from typing import Any

import dovetail
from dovetail.ao.nn.quantized.base import OutputScale, output_qparams, rescaled
from dovetail.nn import functional as F
from dovetail.nn.linear import Identity
from dovetail.nn.module import Module
from dovetail.quantized.make import need_quantized
from dovetail.quantized.tensor import PerTensor, wrap
from dovetail.tensor import Tensor

__all__ = ["FXFloatFunctional", "FloatFunctional", "QFunctional"]


class FloatFunctional(Module):
    """Operations of floats whose results are observed; ``convert`` makes it a :class:`QFunctional`.

    >>> import dovetail as dt
    >>> add = dt.ao.nn.quantized.FloatFunctional()
    >>> add.add(dt.tensor(3.0), dt.tensor(4.0))
    tensor(7.)
    """

    def __init__(self) -> None:
        super().__init__()
        self.activation_post_process: Any = Identity()

    def forward(self, x: Any) -> Any:
        """Refused: it has no operation of its own.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            "FloatFunctional is not intended to use the 'forward'. Please use the underlying "
            "operation"
        )

    def add(self, x: Tensor, y: Tensor) -> Any:
        """x + y."""
        return self.activation_post_process(dovetail.add(x, y))

    def add_scalar(self, x: Tensor, y: float) -> Any:
        """x + y, y being a number; not observed."""
        return dovetail.add(x, y)

    def mul(self, x: Tensor, y: Tensor) -> Any:
        """x · y."""
        return self.activation_post_process(dovetail.mul(x, y))

    def mul_scalar(self, x: Tensor, y: float) -> Any:
        """x · y, y being a number; not observed."""
        return dovetail.mul(x, y)

    def cat(self, x: list[Tensor], dim: int = 0) -> Any:
        """Tensors one after the other."""
        return self.activation_post_process(dovetail.cat(x, dim=dim))

    def add_relu(self, x: Tensor, y: Tensor) -> Any:
        """max(0, x + y)."""
        return self.activation_post_process(F.relu(dovetail.add(x, y)))

    def matmul(self, x: Tensor, y: Tensor) -> Any:
        """Matrix product."""
        return self.activation_post_process(dovetail.matmul(x, y))


class FXFloatFunctional(FloatFunctional):
    """The same without observers."""

    def __init__(self) -> None:
        super().__init__()
        del self.activation_post_process
        self.__dict__["activation_post_process"] = lambda x: x


class QFunctional(OutputScale):
    """Operations of quantized tensors, on a scale of their own.

    Attributes:
        scale, zero_point: of the results.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = 1.0
        self.zero_point = 0
        self.activation_post_process: Any = Identity()

    def _get_name(self) -> str:
        return "QFunctional"

    def extra_repr(self) -> str:
        return f"scale={self.scale}, zero_point={self.zero_point}"

    def forward(self, x: Any) -> Any:
        """Refused: it has no operation of its own.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            "Functional is not intended to use the 'forward'. Please use the underlying operation"
        )

    def _on_scale(self, values: Tensor, like: Any) -> Any:
        need_quantized("QFunctional", like)
        return self.activation_post_process(
            rescaled(values, self.scale, self.zero_point, like.dtype)
        )

    def add(self, x: Any, y: Any) -> Any:
        """x + y."""
        return self._on_scale(x.dequantize() + y.dequantize(), x)

    def add_scalar(self, x: Any, y: float) -> Any:
        """x + y, y being a number: the range moves, and the scale where 0 leaves it."""
        q, info = need_quantized("QFunctional", x)._quantizer, dovetail.iinfo(x.dtype)
        shift = round(y / q.scale)
        zero_point = q.zero_point - shift
        if info.min <= zero_point <= info.max:
            return wrap(x._ints.clone(), PerTensor(q.scale, zero_point))
        # 0 must be in the range: it is widened until it is.
        low, high = info.min, info.max
        steps = high - low
        if zero_point < low:
            scale = (high - zero_point) / steps * q.scale
            return rescaled(x.dequantize() + shift * q.scale, scale, low, x.dtype)
        scale = (zero_point - low) / steps * q.scale
        return rescaled(x.dequantize() + shift * q.scale, scale, high, x.dtype)

    def mul(self, x: Any, y: Any) -> Any:
        """x · y."""
        return self._on_scale(x.dequantize() * y.dequantize(), x)

    def mul_scalar(self, x: Any, y: float) -> Any:
        """x · y, y being a number: on y times the scale."""
        q, info = need_quantized("QFunctional", x)._quantizer, dovetail.iinfo(x.dtype)
        if y > 0:
            return wrap(x._ints.clone(), PerTensor(q.scale * y, q.zero_point))
        if y == 0:
            return wrap(dovetail.zeros_like(x._ints), PerTensor(1.0, 0))
        turned = (info.max + info.min) - x._ints.to(dovetail.int32)
        zero_point = info.max - (q.zero_point - info.min)
        return wrap(turned.to(x._ints.dtype), PerTensor(q.scale * -y, zero_point))

    def cat(self, x: list[Any], dim: int = 0) -> Any:
        """Tensors one after the other."""
        return self._on_scale(dovetail.cat([t.dequantize() for t in x], dim=dim), x[0])

    def add_relu(self, x: Any, y: Any) -> Any:
        """max(0, x + y)."""
        return self._on_scale(F.relu(x.dequantize() + y.dequantize()), x)

    def matmul(self, x: Any, y: Any) -> Any:
        """Matrix product."""
        return self._on_scale(dovetail.matmul(x.dequantize(), y.dequantize()), x)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> QFunctional:
        """Of an observed :class:`FloatFunctional`."""
        if type(mod) is not FloatFunctional:
            raise AssertionError(
                "QFunctional.from_float expects an instance of FloatFunctional, got "
                f"{type(mod).__name__}"
            )
        made = cls()
        made.scale, made.zero_point = output_qparams(mod.activation_post_process)
        return made
