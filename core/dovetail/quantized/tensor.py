"""QTensor: an integer tensor and what its integers stand for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import dovetail.dtypes as d
from dovetail import ops
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.factories import full
from dovetail.printing import format_array
from dovetail.quantized.schemes import per_channel_affine, per_tensor_affine, qscheme
from dovetail.spec import spec_of
from dovetail.tensor import Tensor

__all__ = [
    "INTEGERS",
    "PerChannel",
    "PerTensor",
    "QTensor",
    "like",
    "moved",
    "wrap",
]

new = object.__new__

INTEGERS = {d.qint8: d.int8, d.quint8: d.uint8, d.qint32: d.int32}
"""A quantized dtype -> that of the integers."""

_QUANTIZED = {v: k for k, v in INTEGERS.items()}


class PerTensor(NamedTuple):
    """One scale and zero point for all elements.

    Attributes:
        scale: of one step.
        zero_point: the integer that stands for 0.
    """

    scale: float
    zero_point: int
    scheme: qscheme = per_tensor_affine

    def arguments(self, device: Any) -> tuple[Any, Any, int | None]:
        """(scale, zero point, axis) as the operators take them."""
        return self.scale, self.zero_point, None

    def is_same(self, other: Any) -> bool:
        """Whether equal integers mean equal numbers."""
        return isinstance(other, PerTensor) and tuple(self)[:2] == tuple(other)[:2]


class PerChannel:
    """A scale and zero point per index of one dim.

    They are kept in host memory, the scales in float64, for a device may have no float64; kernels
    get float32 copies on their device.

    Attributes:
        scales: (C,) float64.
        zero_points: (C,) int64; float32 with the scheme of float parameters.
        axis: the dim that has C.
    """

    __slots__ = ("_on_device", "axis", "scales", "scheme", "zero_points")

    def __init__(
        self, scales: Tensor, zero_points: Tensor, axis: int, scheme: qscheme = per_channel_affine
    ) -> None:
        self.scales = scales.detach().cpu().to(d.float64)
        kind = d.float32 if zero_points.is_floating_point() else d.int64
        self.zero_points = zero_points.detach().cpu().to(kind)
        self.axis = axis
        self.scheme = scheme
        self._on_device: dict[Any, tuple[Tensor, Tensor]] = {}

    def arguments(self, device: Any) -> tuple[Any, Any, int | None]:
        """(scales, zero points, axis) as the operators take them."""
        found = self._on_device.get(device)
        if found is None:
            whole = self.zero_points
            if not whole.is_floating_point():
                whole = whole.to(d.int32)
            scales = self.scales.to(d.float32).to(device)
            found = self._on_device[device] = (scales, whole.to(device))
        return (*found, self.axis)

    def is_same(self, other: Any) -> bool:
        """Whether equal integers mean equal numbers."""
        return (
            isinstance(other, PerChannel)
            and self.axis == other.axis
            and self.scales.tolist() == other.scales.tolist()
            and self.zero_points.tolist() == other.zero_points.tolist()
        )


Quantizer = PerTensor | PerChannel


class QTensor(Tensor):
    """A quantized tensor: ``(int_repr() - zero_point) * scale`` (see :mod:`dovetail.quantized`).

    Made by ``quantize_per_tensor`` and its like. Operators that can work on the integers, or that
    have a result on the same scale, do; others raise and say to ``dequantize()`` first.
    """

    is_quantized = True
    _ints: Tensor
    _quantizer: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("QTensor: made by quantize_per_tensor and quantize_per_channel")

    @property
    def _storage(self) -> Any:  # type: ignore[override]
        # Kernels and views work on what this would give; none may see integers as numbers.
        raise _refused("this operation")

    def _materialize(self) -> Any:
        raise _refused("this operation")

    @property
    def _version(self) -> int:
        return self._ints._version

    def storage_offset(self) -> int:
        """Elements from the start of the storage to this tensor's first."""
        return self._ints.storage_offset()

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self._ints.data_ptr()

    def untyped_storage(self) -> Any:
        """The memory that the integers share with their views."""
        return self._ints.untyped_storage()

    def detach(self) -> Tensor:
        """The same memory; there is no history."""
        return moved(self, Tensor.detach)

    @property  # type: ignore[misc]
    def data(self) -> Tensor:
        """The same memory."""
        return moved(self, lambda x: x.data)

    def dequantize(self) -> Tensor:
        """The numbers in float32."""
        scale, zero_point, axis = self._quantizer.arguments(self.device)
        return ops.dequantize_affine(self._ints, scale, zero_point, axis=axis)  # type: ignore[no-any-return]

    def mean(self, *args: Any, **kwargs: Any) -> QTensor:
        """The mean, of all or along dims, on the scale of this."""
        return like(self.dequantize().mean(*args, **kwargs), self)

    def topk(self, *args: Any, **kwargs: Any) -> Any:
        """The largest numbers, quantized as this is, and where they are."""
        made = self._ints.topk(*args, **kwargs)
        return type(made)(wrap(made[0], self._quantizer), made[1])

    def copy_(self, src: Any, non_blocking: bool = False) -> QTensor:
        """Take over values: of another quantized tensor with their scale, of floats on the own.

        Raises:
            RuntimeError: another quantized dtype, or shapes that do not fit.
        """
        if isinstance(src, QTensor):
            if src.dtype is not self.dtype:
                raise RuntimeError(
                    f"copy_: Quantized copy only works with the same dtype, got {src.dtype} into "
                    f"{self.dtype}"
                )
            self._quantizer = src._quantizer
        else:
            src = like(src, self)
        self.__dict__.pop("_prepared", None)
        self._ints.copy_(src._ints)
        return self

    def fill_(self, value: Any) -> QTensor:
        """Set every element to ``value``, rounded to the scale of this."""
        self[...] = value
        return self

    def __bool__(self) -> bool:
        return bool(self.dequantize())

    def item(self) -> float:
        """The number of a tensor of one element."""
        return self.dequantize().item()

    def tolist(self) -> Any:
        """The numbers as nested lists."""
        return self.dequantize().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Refused: NumPy has no quantized arrays.

        Raises:
            TypeError: always, with what to call instead.
        """
        raise TypeError(
            f"Got unsupported ScalarType {_name(self)}: take int_repr().numpy() or "
            "dequantize().numpy()"
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.numpy()

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(value, Tensor):
            value = full((), value, dtype=d.float32, device=self.device)
        self.__dict__.pop("_prepared", None)
        self._ints[index] = like(value, self)._ints

    def __copy__(self) -> QTensor:
        return moved(self, lambda x: x)

    def __deepcopy__(self, memo: dict[int, Any]) -> QTensor:
        made = memo.get(id(self))
        if made is None:
            made = memo[id(self)] = wrap(copy.deepcopy(self._ints, memo), self._quantizer)
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        q = self._quantizer
        if isinstance(q, PerTensor):
            return _per_tensor_again, (self._ints, *q[:2])
        return _per_channel_again, (self._ints, q.scales, q.zero_points, q.axis, q.scheme.name)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        q = self._quantizer
        notes = [f"quantization_scheme={q.scheme!r}"]
        if isinstance(q, PerTensor):
            notes += [f"scale={q.scale}", f"zero_point={q.zero_point}"]
        else:
            notes += [f"scale={q.scales}", f"zero_point={q.zero_points}", f"axis={q.axis}"]
        return format_array(
            None if self.is_meta else self.dequantize().cpu().numpy(),
            dtype=self.dtype,
            shape=self.shape,
            device="" if self.is_cpu else str(self.device),
            contents=tensor_contents,
            notes=notes,
        )


def wrap(ints: Tensor, quantizer: Any) -> QTensor:
    """Integers with their meaning; the memory is shared.

    Args:
        ints: of int8, uint8 or int32.
        quantizer: a :class:`PerTensor` or :class:`PerChannel`.
    """
    made: QTensor = new(QTensor)
    spec = ints._spec
    made._spec = spec_of(tuple(spec.shape), _QUANTIZED[spec.dtype], spec.device, spec.strides)
    made._array = None
    made._offset = 0
    made._node = made._base = None
    made._ints = ints
    made._quantizer = quantizer
    return made


def moved(x: QTensor, move: Callable[[Tensor], Tensor]) -> QTensor:
    """What ``move`` makes of the integers, on the same scale."""
    return wrap(move(x._ints), x._quantizer)


def like(values: Tensor, x: QTensor) -> QTensor:
    """Floats quantized on the scale of ``x``."""
    info = d.iinfo(INTEGERS[x.dtype])
    scale, zero_point, axis = x._quantizer.arguments(x.device)
    ints = ops.quantize_affine(
        values.to(x.device), scale, zero_point, axis=axis, out_dtype=INTEGERS[x.dtype],
        quant_min=info.min, quant_max=info.max,
    )  # fmt: skip
    return wrap(ints, x._quantizer)


def _name(x: Tensor) -> str:
    return type_name(x.dtype)


def _refused(what: str) -> Unsupported:
    return Unsupported(
        f"{what} is not implemented for quantized tensors: work on dequantize() (numbers) or "
        "int_repr() (integers) and quantize again, or use a module of dovetail.ao.nn.quantized"
    )


def _per_tensor_again(ints: Tensor, scale: float, zero_point: int) -> QTensor:
    return wrap(ints, PerTensor(scale, zero_point))


def _per_channel_again(
    ints: Tensor, scales: Tensor, zero_points: Tensor, axis: int, scheme: str
) -> QTensor:
    from dovetail.quantized import schemes

    return wrap(ints, PerChannel(scales, zero_points, axis, getattr(schemes, scheme)))
