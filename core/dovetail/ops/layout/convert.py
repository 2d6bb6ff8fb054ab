"""Copies and conversions: clone, contiguous, to, reshape, sum_to_size, copy_, fill_, zero_."""

from __future__ import annotations

from typing import Any

import dovetail.dtypes as d
from dovetail import observe, raw
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.inplace import after, check_writable, rebase
from dovetail.autograd.record import Recorder
from dovetail.autograd.writes import note_write
from dovetail.device import device as Device
from dovetail.device import resolve
from dovetail.factories import fill_raw
from dovetail.from_data import tensor
from dovetail.late_binding import BATCHED, QUANTIZED
from dovetail.memory_formats import (
    RANKS,
    channels_last,
    channels_last_3d,
    contiguous_format,
    format_strides,
    memory_format,
    preserve_format,
    target_spec,
)
from dovetail.ops import expose
from dovetail.ops.families import broadcast_shapes
from dovetail.ops.layout.views import apply_view, view_record
from dovetail.ops.schema import Inferred, OpDef
from dovetail.shapes import as_ints, fill_in, viewed_strides
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, storage_of

__all__ = [
    "channels_last",
    "channels_last_3d",
    "clone",
    "contiguous",
    "contiguous_format",
    "copied",
    "copy_",
    "fill",
    "fill_",
    "is_contiguous",
    "memory_format",
    "preserve_format",
    "record_copy",
    "reshape",
    "resolve_conj",
    "sum_to_size",
    "to",
    "view",
    "writable_copy",
    "zero_",
]


# One operator for every copy that autograd must see: clone, dtype, device, memory format.

COPY_TO = OpDef(
    "copy_to",
    attributes=("strides", "dtype", "device"),
    infer=lambda spec, strides, dtype, device: Inferred((None,), ((spec.shape, dtype, strides),)),
    gradient={"input": lambda g, specs: _copied_back(g, specs[0])},
    method=False,
    public=False,
    reference=lambda x, **_: x,
    samples=None,
)


def _copied_back(g: Tensor, spec: Spec) -> Tensor:
    """``g`` on the device that it came from; the engine sees to the dtype."""
    here = g._spec.device is spec.device
    return g if here else copied(g, g._spec.dense(None, spec.device))


def copied(x: Tensor, spec: Spec, name: str = "copy_to", *, non_blocking: bool = False) -> Tensor:
    """A copy of ``x`` as ``spec`` says (same shape), recorded."""
    if x._spec.dtype.category < 0 or spec.dtype.category < 0:
        if x._spec.dtype.category >= 0:
            raise RuntimeError(
                f"to: {spec.dtype!r} takes a scale and a zero point: quantize_per_tensor(x, scale, "
                f"zero_point, {spec.dtype!r}) makes it of {x.dtype!r}"
            )
        return QUANTIZED.copied(
            x, spec.dtype, lambda ints: copied(ints, spec.to(dtype=ints._spec.dtype), name)
        )
    if x._spec.device is spec.device:
        made = raw.cast(x, spec)
    else:
        here = x if x._spec.dtype is spec.dtype else raw.cast(x, x._spec.dense(spec.dtype))
        made = raw.move(here, spec.device, non_blocking=non_blocking)
        if made._spec is not spec:
            made = raw.cast(made, spec)
    record_copy(x, made, name)
    if observe.active and observe.is_watched():
        observe.run(COPY_TO, _Done(made), (x,), (spec.strides, spec.dtype, spec.device))
    return made


def record_copy(x: Tensor, made: Tensor, name: str = "copy_to") -> None:
    """Have gradients of ``made``, a copy of ``x``, go to ``x``."""
    if x._node is not None and mode.grad:
        spec = made._spec
        memo, key = x._spec.memo, (name, spec)
        recorder = memo.get(key)
        if recorder is None:
            attributes = {"strides": spec.strides, "dtype": spec.dtype, "device": spec.device}
            op = _NAMED.get(name, COPY_TO)
            recorder = memo[key] = Recorder(op, (x._spec,), attributes, (spec,))
        recorder.record((x,), (made,))


class _Done:
    served_by = "kernel"

    def __init__(self, made: Tensor) -> None:
        self.made = made

    def __call__(self, x: Tensor) -> Tensor:
        return self.made


_NAMED = {
    "clone": OpDef(
        "clone_record",
        attributes=("strides", "dtype", "device"),
        gradient=COPY_TO.gradient,
        method=False,
        public=False,
    )
}
_NAMED["clone"].name = "clone"


def clone(input: Tensor, *, memory_format: memory_format = preserve_format) -> Tensor:
    """A copy that stays in the graph."""
    return copied(input, target_spec(input._spec, memory_format), "clone")


def contiguous(input: Tensor, memory_format: memory_format = contiguous_format) -> Tensor:
    """The tensor itself if dense in this format, else a copy that is."""
    if is_contiguous(input, memory_format):
        return input
    return copied(input, target_spec(input._spec, memory_format), "clone")


def is_contiguous(input: Tensor, memory_format: memory_format = contiguous_format) -> bool:
    """Whether the elements are dense in memory in the given order."""
    spec = input._spec
    if memory_format in (contiguous_format, preserve_format):
        return spec.is_contiguous
    if spec.ndim != RANKS[memory_format]:
        return False
    strides = format_strides(tuple(spec.shape), memory_format)
    assert strides is not None
    return all(n == 1 or a == b for n, a, b in zip(spec.shape, spec.strides, strides, strict=True))


def _suggests(spec: Spec) -> memory_format:
    """The memory format that strides speak of, as PyTorch's ``suggest_memory_format`` has it."""
    for form, rank in RANKS.items():
        if spec.ndim == rank and spec.strides[1]:
            least = 0
            for dim in (1, *range(rank - 1, 1, -1), 0):
                n, step = spec.shape[dim], spec.strides[dim]
                if not n or step < least or (dim == 0 and least == spec.strides[1]):
                    break
                least = step * n if n > 1 else step
            else:
                return form
    return contiguous_format


def _parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, bool, bool, Any]:
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    non_blocking = kwargs.pop("non_blocking", False)
    copy = kwargs.pop("copy", False)
    form = kwargs.pop("memory_format", None)
    other = kwargs.pop("tensor", None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument {next(iter(kwargs))!r}")
    rest = list(args)
    if rest and isinstance(rest[0], Tensor):
        other = rest.pop(0)
    if other is not None:
        device, dtype = other._spec.device, other._spec.dtype
    if rest and (isinstance(rest[0], (str, Device, int)) or rest[0] is None):
        device = rest.pop(0)
    if rest and (isinstance(rest[0], (d.dtype, type)) or rest[0] is None):
        dtype = rest.pop(0) or dtype
    if rest:
        non_blocking = rest.pop(0)
    if rest:
        copy = rest.pop(0)
    if rest or not isinstance(non_blocking, bool):
        raise TypeError(
            "to() received an invalid combination of arguments; expected (dtype), (device, dtype) "
            f"or (other), got {args}"
        )
    return device, dtype, non_blocking, copy, form


def to(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Another dtype, device or memory format: ``to(dtype)``, ``to(device, dtype)``, ``to(other)``.

    Returns the tensor itself when nothing changes (unless ``copy=True``).
    """
    spec = input._spec
    if len(args) == 1 and not kwargs and args[0].__class__ is d.dtype:
        if args[0] is spec.dtype:
            return input
        return copied(input, spec.dense(args[0]))
    device, dtype, non_blocking, copy, form = _parse_to(args, kwargs)
    target = spec.device if device is None else resolve(device)
    dtype = spec.dtype if dtype is None else d.as_dtype(dtype)
    stays = form is None or form is preserve_format or _suggests(spec) is form
    if dtype is spec.dtype and target is spec.device and stays and not copy:
        return input
    return copied(input, target_spec(spec, form, dtype, target), non_blocking=non_blocking)


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """The sum over broadcast dims, so that the result has shape ``size``."""
    shape = as_ints(size)
    have = tuple(input._spec.shape)
    if have == shape:
        return input
    lead = len(have) - len(shape)
    if lead < 0 or any(m not in (1, n) for n, m in zip(have[lead:], shape, strict=True)):
        raise RuntimeError(f"size {{{list(shape)}}} is not expandable to size {{{list(have)}}}.")
    rest = [lead + i for i, n in enumerate(shape) if n == 1 and have[lead + i] != 1]
    if not rest:
        return input.sum(tuple(range(lead)))
    result = input.sum((*range(lead), *rest), keepdim=True)
    return result.reshape(shape) if lead else result


def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The same elements under another shape: a view where possible, else a copy."""
    target = fill_in(as_ints(sizes if shape is None else (shape,)), input._spec.numel)
    if viewed_strides(input._spec, target) is None:
        input = copied(input, raw.packed(input._spec), "clone")
    return apply_view(view_record("view"), input, (target,))


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Write ``src`` (broadcast, cast, from any device) into this tensor."""
    check_writable(self, "copy_")
    if not isinstance(src, Tensor):
        if not isinstance(src, (bool, int, float, complex)):
            raise TypeError(f"copy_(): argument 'other' must be Tensor, not {type(src).__name__}")
        src = tensor(src, device=self.device)
    spec = self._spec
    recording = mode.grad and (self._node is not None or src._node is not None)
    value = src
    if value._spec.shape != spec.shape:
        if broadcast_shapes(tuple(spec.shape), tuple(value._spec.shape)) != tuple(spec.shape):
            raise RuntimeError(
                f"output with shape {list(spec.shape)} doesn't match the broadcast shape "
                f"{list(broadcast_shapes(tuple(spec.shape), tuple(value._spec.shape)))}"
            )
        value = value.expand(spec.shape)
    if value._spec.device is not spec.device or (recording and value._spec.dtype is not spec.dtype):
        wanted = value._spec.dense(spec.dtype, spec.device)
        value = copied(value, wanted, non_blocking=non_blocking)
    if value._storage is not None and value._storage is self._storage and value is not self:
        value = copied(value, raw.packed(value._spec), "clone")  # source and target may overlap
    storage = storage_of(self)
    raw.copy(value, self)
    note_write(storage, "copy_")
    if recording:
        rebase(self, after(value))
    return self


def fill_(self: Tensor, value: Any) -> Tensor:
    """Make every element ``value`` (a number or a 0-d tensor)."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value.ndim} dimensions."
            )
        return copy_(self, value)
    check_writable(self, "fill_", each_once=False)
    storage = storage_of(self)
    fill_raw(self, value)
    note_write(storage, "fill_")
    if mode.grad and self._node is not None:
        rebase(self, None)
    return self


def zero_(self: Tensor) -> Tensor:
    """Make every element 0."""
    return fill_(self, 0)


def _laid_out_as(self: Tensor, spec: Spec) -> Tensor:
    """This tensor with exactly the strides of ``spec`` (same shape), starting at offset 0."""
    if self._spec.strides == spec.strides:
        return self
    return copied(self, spec.to(dtype=self._spec.dtype, device=self._spec.device), "clone")


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like ``input`` whose every element is ``value`` (a number or a 0-d tensor)."""
    return fill_(writable_copy(input, value), value)


def writable_copy(input: Tensor, *values: Any) -> Tensor:
    """A copy that stays in the graph, and that ``values`` can be written into inside of a vmap."""
    copy = clone(input)
    if any(isinstance(v, Tensor) and v._spec.batch is not None for v in values):
        for value in values:
            copy = BATCHED.like(copy, value) if isinstance(value, Tensor) else copy
    return copy


def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: conjugation is never lazy here."""
    return input


def view(input: Tensor, *shape: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """The same elements under another shape, or the same bytes as another dtype.

    Raises:
        RuntimeError: the elements cannot be seen so without moving them.
    """
    if size is not None or dtype is not None:
        shape = (size if dtype is None else d.as_dtype(dtype),)
    if len(shape) == 1 and isinstance(shape[0], d.dtype):
        return _view_dtype(input, shape[0])
    spec = input._spec
    if shape and shape[0].__class__ is int:
        plan = spec.memo.get(shape)
        if plan is not None and not observe.active:
            return plan(input)  # type: ignore[no-any-return]
    target = fill_in(as_ints(shape), spec.numel)
    op = view_record("view")
    result = apply_view(op, input, (target,))
    if all(n.__class__ is int for n in shape):
        spec.memo[shape] = spec.memo[op.name, (target,)]
    return result


def _view_dtype(input: Tensor, dtype: d.dtype) -> Tensor:
    spec = input._spec
    if dtype is spec.dtype:
        return view(input, spec.shape)
    if spec.batch is not None:
        return BATCHED.on_value(input, lambda value: _view_dtype(value, dtype))
    a, b = spec.dtype.itemsize, dtype.itemsize
    shape, strides = list(spec.shape), list(spec.strides)
    offset = input.storage_offset()
    if a != b:
        if not spec.ndim or strides[-1] != 1 or (shape[-1] * a) % b or (offset * a) % b:
            raise RuntimeError(
                f"view(dtype): the last dim of shape {tuple(shape)} must be dense and divisible to "
                f"see {spec.dtype} as {dtype}"
            )
        shape[-1] = shape[-1] * a // b
        strides = [s * a // b for s in strides[:-1]] + [1]
    made = raw.view(input, spec_of(tuple(shape), dtype, spec.device, tuple(strides)), 0)
    made._offset = offset * a // b
    return made


_METHODS = {
    "clone": clone, "contiguous": contiguous, "is_contiguous": is_contiguous, "to": to,
    "sum_to_size": sum_to_size, "reshape": reshape, "copy_": copy_, "fill_": fill_, "zero_": zero_,
    "view": view, "_laid_out_as": _laid_out_as,
    "resolve_conj": resolve_conj, "resolve_neg": resolve_conj,
}  # fmt: skip
for _name, _function in _METHODS.items():
    setattr(Tensor, _name, _function)
expose.FUNCTIONS["fill"] = fill
for _name in ("clone", "reshape", "resolve_conj", "resolve_neg", "fill_", "zero_"):
    expose.FUNCTIONS[_name] = _METHODS[_name]

for _name, _kind in (
    ("float", d.float32), ("double", d.float64), ("half", d.float16), ("bfloat16", d.bfloat16),
    ("long", d.int64), ("int", d.int32), ("short", d.int16), ("char", d.int8), ("byte", d.uint8),
    ("bool", d.bool_), ("cfloat", d.complex64), ("cdouble", d.complex128),
):  # fmt: skip

    def _convert(self: Tensor, memory_format: Any = None, _kind: d.dtype = _kind) -> Tensor:
        return to(self, dtype=_kind, memory_format=memory_format)

    _convert.__doc__ = f"As {_kind.name}."
    _convert.__name__ = _name
    setattr(Tensor, _name, _convert)
