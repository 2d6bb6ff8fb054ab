"""``x[i, j]``, read and written, and the gradient of reading: one launch, whose indices are brought
together by the kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail.backend.sentences import ALONG
from dovetail_kernels.arrays import NO_OFFSETS, Array, joined, placing
from dovetail_kernels.bits import BITS, bits_of
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import Launch, device_of, known
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.faults import fault_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.scatter import IN_ORDER, combined
from dovetail_kernels.source import element, loop_numbers, moved, places, program, runs

__all__ = ["enter"]

FEW = 1 << 12
"""Elements that are added to one after the other; of more, indices are brought together first."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    table.add("index_several", _read, when=_can_read, specialize=True)
    table.add("index_several_backward", _added_up, when=_can_add, specialize=True)
    put: dict[str, Any] = {"specialize": True, "in_place": True}
    table.add("index_several_put", _put, when=_can_put, **put)
    table.add("index_several_put", _put, when=_has_number, scalars=True, **put)


def _are_alike(call: Any) -> bool:
    """Indices of int64, and an input with something in it."""
    kinds = {i.dtype.name for i in call.inputs[-3:] if i is not None}
    sizes = call.outputs[0] if "shape" in call.attributes else call.inputs[0]
    return kinds == {"int64"} and bool(sizes.numel)


def _can_read(call: Any) -> bool:
    return _are_alike(call)


def _can_put(call: Any) -> bool:
    if call.attributes["accumulate"]:
        return not isinstance(call.values, type) and _can_add(call)
    return not isinstance(call.values, type) and _are_alike(call)


def _has_number(call: Any) -> bool:
    value, kind = call.values, call.outputs[0].dtype
    fits = isinstance(value, type) and (value is not complex or kind.is_complex)
    return fits and kind.itemsize <= 8 and not call.attributes["accumulate"] and _are_alike(call)


def _can_add(call: Any) -> bool:
    """Few elements, on the host's cores, of a dtype that adds up in itself."""
    out, device = call.outputs[0], known(call.outputs[0].device)
    if device is None or not device.is_cpu or accumulated(out.dtype) is not out.dtype:
        return False
    named = max(i.numel for i in call.inputs[-3:] if i is not None)
    is_dense = out.is_contiguous or "shape" not in call.attributes
    if not (is_dense and _are_alike(call)):
        return False
    return out.numel + named <= FEW or (_is_line(call) and device.units <= IN_ORDER)


def _is_line(call: Any) -> bool:
    """Every place is named by neighbours."""
    given = [i for i in call.inputs[-3:] if i is not None]
    more = call.g if "shape" in call.attributes else call.values
    shapes = {i.shape for i in (*given, more)}
    is_dense = all(i.is_contiguous for i in (*given, more))
    return len(shapes) == 1 and is_dense and len(given) == call.outputs[0].ndim


def _walks(
    whole: Array, indices: list[Array], positions: tuple[int, ...]
) -> tuple[tuple[int, ...], list[int], Array, list[Array]]:
    """What the loops are over: the shape that is selected, which of its dims are the indices', and
    how the whole (without them) and the indices step along it."""
    wide = np.broadcast_shapes(*(i.shape for i in indices))
    rest = [i for i in range(whole.ndim) if i not in positions]
    first = positions[0]
    is_block = positions == tuple(range(first, first + len(positions)))
    at = first if is_block else 0
    before, after = rest[:at], rest[at:]
    shape = (*(whole.shape[i] for i in before), *wide, *(whole.shape[i] for i in after))
    named = list(range(at, at + len(wide)))

    def steps(along: Any, other: Callable[[int], int]) -> tuple[int, ...]:
        return (*map(other, before), *along, *map(other, after))

    none = (0,) * len(wide)
    walk = Array(None, 0, shape, steps(none, lambda i: whole.strides[i]), whole.dtype)
    walked = [
        Array(None, 0, shape, steps(i.expand(wide).strides, lambda _: 0), i.dtype) for i in indices
    ]
    return shape, named, walk, walked


class _Several:
    """What the launches of one call have in common."""

    def __init__(self, facts: Any, whole: Any) -> None:
        self.device, self.op = device_of(facts.outputs[0].device), facts.op
        self.whole = ghost(whole)
        self.indices = [ghost(i) for i in facts.inputs[-3:] if i is not None]
        self.count = len(self.indices)
        self.positions = tuple(facts.attributes["positions"])
        self.dims = facts.attributes["dims"]
        self.shape, self.named, self.walk, self.walked = _walks(
            self.whole, self.indices, self.positions
        )
        self.numel = int(np.prod(self.shape, dtype=np.int64))

    def launch(
        self, to: Array, origin: Array, how: dict[str, Any], more: list[Any], last: list[Any],
        size: Any, order: list[int] | None = None,
    ) -> Launch:  # fmt: skip
        """The launch; ``order``: of the dims, in which they are gone through."""
        device, many = self.device, range(self.count)
        arrays = [to, origin, *self.walked]
        if order is not None:
            arrays = [
                Array(
                    None, 0, tuple(a.shape[i] for i in order), tuple(a.strides[i] for i in order),
                    a.dtype,
                )
                for a in arrays
            ]  # fmt: skip
        loops = collapse(*arrays, keep_order=order is not None)
        names = ("to", "from", *(f"place{k}" for k in many))
        macros = {
            "IS_READ": 0, "IS_ADD": 0, "HAS_NUMBER": 0,
            "EACH_INDEX(DO)": " ".join(f"DO({k})" for k in many),
            "INDICES": " ".join(f"global const long *index{k}," for k in many),
            "BEGIN": "out += begin.s0; in += begin.s1;"
            + "".join(f" index{k} += begin.s{k + 2};" for k in many),
            "IS_ROW": " && ".join(f"place{k}_step == 0" for k in many),
            "ON(k)": "place##k += place##k##_step;",
            "BACK(k)": "place##k -= run * place##k##_step;",
            **how,
            **places("PLACES", loops, "p", names),
            **runs(device, "PLACES", loops, "p", names),
        }  # fmt: skip
        whole = self.whole
        sizes = joined([whole.shape[p] for p in self.positions], 8, np.uint64)
        steps = [whole.strides[p] // whole.itemsize % 2**64 for p in self.positions]
        codes = [int(fault_of(self.op, ALONG, dim)) for dim in self.dims]
        numbers = [NO_OFFSETS, *more, *loop_numbers(loops), sizes]
        numbers += [joined(steps, 8, np.uint64), joined(codes, 8, np.uint64), *last]
        dtypes = (whole.dtype,) if macros["IS_ADD"] else ()
        text = program(device, "several", macros, dtypes, ("fault",))
        self.numbers = len(numbers)
        return device.launch(text, "several", 3 + self.count, numbers, size, self.op.name)


def _read(facts: Any) -> Callable[..., None]:
    made, out = _Several(facts, facts.inputs[0]), ghost(facts.outputs[0])
    if not out.numel:
        return lambda *arrays: None
    device, faults = made.device, made.device.faults
    how = {"IS_READ": 1, **moved("X", itemsize=out.itemsize)}
    count = np.uint64(out.numel)
    launch = made.launch(out, made.walk, how, [count], [], device.workers(out.numel, 2048))
    queue, place = launch.with_numbers, placing(2 + made.count)

    def by_two(x: Any, i: Any, j: Any, _: Any, out: Any) -> None:
        arrays, begins = place(out, x, i, j)
        queue((*arrays, faults), begins)
        device.suspect = True

    def by_three(x: Any, i: Any, j: Any, k: Any, out: Any) -> None:
        arrays, begins = place(out, x, i, j, k)
        queue((*arrays, faults), begins)
        device.suspect = True

    return by_two if made.count == 2 else by_three


def _put(facts: Any) -> Callable[..., None]:
    made, out = _Several(facts, facts.outputs[0]), ghost(facts.outputs[0])
    device, faults, value, kind = made.device, made.device.faults, facts.inputs[1], out.dtype
    is_number, copy = isinstance(value, type), Copy(device, ghost(facts.inputs[0]), out)
    if not made.numel:
        return lambda x, values, i, j, k, out: None if _is_in_place(x, out) else copy(x, out)
    source = made.walk if is_number else _expanded(ghost(value), made.shape)
    if facts.attributes["accumulate"]:
        launch = _adding(made, source, 0)
    else:
        how = {"HAS_NUMBER": int(is_number), **moved("X", itemsize=out.itemsize)}
        last = [BITS[out.itemsize][1](0)] if is_number else []
        size = device.workers(made.numel, 2048)
        launch = made.launch(made.walk, source, how, [np.uint64(made.numel)], last, size)
    queue, place = launch.with_numbers, placing(2 + made.count)
    number_at, count = made.numbers - 1, made.count

    def run(x: Any, values: Any, i: Any, j: Any, k: Any, out: Any) -> None:
        if not _is_in_place(x, out):
            copy(x, out)
        more = () if count == 2 else (k,)
        arrays, begins = place(out, out if is_number else values, i, j, *more)
        if is_number:
            begins = (*begins, (number_at, bits_of(values, kind)))
        queue((*arrays, faults), begins)
        device.suspect = True

    return run


def _is_in_place(x: Any, out: Any) -> bool:
    return x.buffer is out.buffer and x.offset == out.offset


def _expanded(array: Array, shape: tuple[int, ...]) -> Array:
    wide = array.expand(shape)
    return Array(None, 0, wide.shape, wide.strides, wide.dtype)


def _adding(made: _Several, source: Array, fresh: int) -> Launch:
    """In order; ``fresh``: elements of the output that are zero before."""
    kind, device = made.whole.dtype, made.device
    length = int(np.prod([made.shape[i] for i in made.named], dtype=np.int64))
    lines = made.numel // max(length, 1)
    how = {
        "IS_ADD": 1,
        "SUM(a, b)": combined("sum", kind),
        "ZERO": "(X_VALUE)(0)",
        **element(device, "X", kind),
    }
    order = [i for i in range(len(made.shape)) if i not in made.named] + made.named
    size = ((1,), (1,)) if fresh else device.workers(lines, max(1, 1024 // length))
    more = [np.uint64(n) for n in (lines, length, fresh)]
    return made.launch(made.walk, source, how, more, [], size, order)


def _added_up(facts: Any) -> Callable[..., None]:
    out = ghost(facts.outputs[0])
    made = _Several(facts, facts.outputs[0])
    device, faults = made.device, made.device.faults
    launch = _adding(made, ghost(facts.inputs[0]), out.numel)
    queue, place, count = launch.with_numbers, placing(2 + made.count), made.count

    def run(g: Any, i: Any, j: Any, k: Any, out: Any) -> None:
        arrays, begins = place(out, g, i, j) if count == 2 else place(out, g, i, j, k)
        queue((*arrays, faults), begins)
        device.suspect = True

    return run
