"""Tensors inside of a vmap: their spec tells the shape without the hidden dim.

Such a tensor is a plain :class:`~dovetail.Tensor` whose spec is a :class:`BatchedSpec`. It holds,
in place of an array, the tensor with all dims (its *value*); the hidden dim is the value's first.
Plans are found by spec, so a batched tensor meets plans of its own and no other call pays for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail import raw
from dovetail.autograd.grad_mode import mode
from dovetail.dtypes import dtype as DType
from dovetail.func.levels import Level, leads_out
from dovetail.late_binding import BATCHED
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, storage_of

__all__ = [
    "Batch", "BatchedSpec", "NotBatched", "batched_spec", "cast", "copy", "data_dependent",
    "debug_unwrap", "depth_of", "detached", "dynamic_shape", "empty", "fill",
    "level_of", "like", "move", "no_data", "not_batched", "on_value", "outside",
    "recording_outside", "spread", "value_at", "wrap",
]  # fmt: skip

new = object.__new__


class _Hidden:
    """What a BatchedSpec knows beyond a Spec.

    Attributes:
        depth: of the vmap level, counted from 1.
        size: of the hidden dim.
        value: the spec of the tensor with all dims.
        logical: the plain spec of the same shape and strides.
    """

    __slots__ = ("depth", "logical", "size", "value")

    def __init__(self, depth: int, value: Spec, logical: Spec) -> None:
        self.depth = depth
        self.size = value.shape[0]
        self.value = value
        self.logical = logical


class BatchedSpec(Spec):
    """The facts of a tensor inside of a vmap, as the mapped function sees them."""

    __slots__ = ("batch",)

    def __repr__(self) -> str:
        return f"Batched{super().__repr__()}@{self.batch.depth}"

    def to(self, *, dtype: DType | None = None, device: Any = None) -> Spec:
        """The same shape, strides and hidden dim with another dtype or device."""
        return _copy_of(self, self.batch.logical.to(dtype=dtype, device=device))

    def dense(self, dtype: DType | None = None, device: Any = None) -> Spec:
        """A dense spec of the same shape and hidden dim; see :meth:`Spec.dense`."""
        return _copy_of(self, self.batch.logical.dense(dtype, device))


def batched_spec(value: Spec, depth: int) -> BatchedSpec:
    """``value`` without its first dim, as seen inside of the vmap of that depth."""
    key = ("batched", depth)
    found: BatchedSpec | None = value.memo.get(key)
    if found is None:
        shape, strides = tuple(value.shape[1:]), value.strides[1:]
        logical = spec_of(shape, value.dtype, value.device, strides)
        found = BatchedSpec(shape, strides, value.dtype, value.device)
        found.batch = _Hidden(depth, value, logical)
        value.memo[key] = found
    return found


def _copy_of(like: BatchedSpec, logical: Spec) -> BatchedSpec:
    return batched_spec(_value_spec(like, logical), like.batch.depth)


def _value_spec(like: BatchedSpec, logical: Spec) -> Spec:
    """The spec of a new value whose rows lie as ``logical`` says, one after the other."""
    hidden = like.batch
    shape, strides = (hidden.size, *logical.shape), (max(logical.span, 1), *logical.strides)
    plain = spec_of(shape, logical.dtype, logical.device, strides)
    outer = hidden.value.batch
    if outer is None:
        return plain
    return _copy_of(hidden.value, plain)


class Batch:
    """What a batched tensor holds in place of an array; no kernel takes it."""

    __slots__ = ("level", "value")
    __array_ufunc__ = None

    def __init__(self, value: Tensor, level: Level) -> None:
        self.value = value
        self.level = level


class NotBatched(RuntimeError):
    """A batched value is to be written into a tensor that the vmap does not hide a dim of."""


def depth_of(x: Any) -> int:
    """The depth of the innermost vmap that hides a dim of ``x``; 0 for anything else."""
    if not isinstance(x, Tensor) or x._spec.batch is None:
        return 0
    depth: int = x._spec.batch.depth
    return depth


def wrap(value: Tensor, level: Level) -> Tensor:
    """``value`` (hidden dim first) as the function inside of ``level`` sees it."""
    made: Tensor = new(Tensor)
    made._spec = batched_spec(value._spec, level.depth)
    made._array = Batch(value, level)
    made._storage = storage_of(value)
    made._offset = value._offset
    made._node = made._base = None
    if value._inference:
        made._inference = True
    return made


def level_of(depth: int) -> Level:
    """The running vmap of a depth.

    Raises:
        RuntimeError: it has ended.
    """
    maps = mode.maps
    if depth > len(maps):
        raise RuntimeError(_ESCAPED)
    level: Level = maps[depth - 1]
    return level


_ESCAPED = (
    "vmap: a tensor was used outside of the vmap that it belongs to; return it from the mapped "
    "function instead of keeping it"
)


def value_at(x: Tensor, level: Level) -> Tensor:
    """The tensor behind a batched one of ``level``.

    Raises:
        RuntimeError: the vmap that it belongs to has ended.
    """
    held: Batch = x._array
    if held.level is not level:
        raise RuntimeError(_ESCAPED)
    return held.value


def outside(x: Any, level: Level) -> tuple[Any, bool]:
    """(``x`` as it is outside of ``level``, whether it has the hidden dim there).

    A tensor that is not batched loses a history that only levels inside ask for.
    """
    if not isinstance(x, Tensor):
        return x, False
    hidden = x._spec.batch
    if hidden is not None and hidden.depth == level.depth:
        return value_at(x, level), True
    node = x._node
    if node is not None and not leads_out(node, level):
        x = x._alias()
    return x, False


def spread(x: Tensor, size: int) -> Tensor:
    """A tensor without the hidden dim, repeated along a first one of stride 0."""
    made: Tensor = x.unsqueeze(0).expand(size, *x._spec.shape)
    return made


class recording_outside:
    """For the block, operations are recorded as they were outside of a vmap level."""

    __slots__ = ("kept", "level")

    def __init__(self, level: Level) -> None:
        self.level = level

    def __enter__(self) -> None:
        self.kept = mode.grad
        mode.grad = mode.asked and self.level.grad

    def __exit__(self, *exc: object) -> None:
        mode.grad = self.kept


# ----------------------- what ``dovetail.raw`` does to batched tensors (views: see views.py)


def empty(spec: Spec) -> Tensor:
    """A new, uninitialised batched tensor."""
    return wrap(raw.empty(spec.batch.value), level_of(spec.batch.depth))


def cast(x: Tensor, spec: Spec) -> Tensor:
    """As :func:`raw.cast`; the copy is recorded outside."""
    logical = spec if spec.batch is None else spec.batch.logical
    made = empty(_copy_of(x._spec, logical))  # type: ignore[arg-type]
    copy(x, made)
    return made


def copy(source: Tensor, target: Tensor) -> None:
    """As :func:`raw.copy`; the write is recorded outside.

    Raises:
        NotBatched: the source has a hidden dim that the target has not.
    """
    depth = depth_of(target)
    if depth_of(source) > depth:
        raise not_batched()
    level = level_of(depth)
    value, has_dim = outside(source, level)
    into = value_at(target, level)
    with recording_outside(level):
        into.copy_(value if has_dim else spread(value, level.size))


def move(x: Tensor, device: Any) -> Tensor:
    """As :func:`raw.move`; the copy is recorded outside."""
    return on_value(x, lambda value: value.to(device))


def fill(made: Tensor, value: Any) -> Tensor:
    """Every element ``value``, of all rows."""
    level = level_of(made._spec.batch.depth)
    with recording_outside(level):
        value_at(made, level).fill_(value)
    return made


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """The tensor with the dims that ``vmap`` hides, for looking at it; not to compute with.

    Args:
        recurse: without any hidden dim; else only the innermost one is shown.
    """
    while tensor._spec.batch is not None:
        tensor = tensor._array.value
        if not recurse:
            break
    return tensor


def like(made: Tensor, x: Tensor) -> Tensor:
    """A new tensor as one that ``x``'s vmap has a row of for each of its own."""
    missing = _depths(x) - _depths(made)
    if not missing:
        return made
    all_levels = [level_of(depth) for depth in sorted(missing | _depths(made))]
    spec = made._spec
    shape = (*[level.size for level in all_levels], *spec.shape)
    result = raw.empty(spec_of(shape, spec.dtype, spec.device))
    for level in all_levels:
        result = wrap(result, level)
    copy(made, result)
    return result


def _depths(x: Tensor) -> set[int]:
    """The depths of all vmaps that hide a dim of ``x``."""
    found = set()
    while x._spec.batch is not None:
        found.add(x._spec.batch.depth)
        x = x._array.value
    return found


def on_value(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """What ``function`` makes of the tensor with the hidden dim first; recorded outside only."""
    level = level_of(x._spec.batch.depth)
    with recording_outside(level):
        return wrap(function(value_at(x, level)), level)


def detached(x: Tensor) -> Tensor:
    """``x`` without history, inside and outside."""
    return on_value(x, lambda value: value.detach())


# ------------------------------------------------------------------- errors


def no_data() -> RuntimeError:
    """The error of asking for values."""
    return RuntimeError(
        "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over "
        "calling .item() on a Tensor, please try to rewrite what you're doing with other "
        "operations (such as where)."
    )


def data_dependent() -> RuntimeError:
    """The error of asking for a truth value."""
    return RuntimeError(
        "vmap: It looks like you're attempting to use a Tensor in some data-dependent control "
        "flow. That is not possible; use where() to choose between results."
    )


def dynamic_shape(name: str) -> RuntimeError:
    """The error of an operator whose result's shape depends on values."""
    return RuntimeError(
        "vmap: We do not support batching operators that can output dynamic shape. Attempted to "
        f"vmap over {name}: each row would have a shape of its own."
    )


def not_batched() -> NotBatched:
    """The error of a write that would need a hidden dim."""
    return NotBatched(
        "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a "
        "Tensor `other` in extra_args that has more elements than `self`. This happened due to "
        "`other` being vmapped over but `self` not being vmapped over. Please try to use "
        "out-of-place operators instead of inplace arithmetic, or make `self` from a tensor that "
        "is vmapped over (x.new_zeros(…), zeros_like(x))."
    )


BATCHED.bind(
    cast=cast, copy=copy, data_dependent=data_dependent, detached=detached,
    dynamic_shape=dynamic_shape, empty=empty, fill=fill, like=like, move=move, no_data=no_data,
    on_value=on_value,
)  # fmt: skip
