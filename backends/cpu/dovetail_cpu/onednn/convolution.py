"""Convolution and its two gradients through oneDNN, for 1 to 3 spatial axes.

oneDNN's fast kernels work on blocked layouts (16 channels together), so the activations are
copied into one and back. Doing that for a few samples at a time keeps the copies in the cache;
that is 3 to 10 % of the whole (measured: docs/decisions/onednn.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dovetail_cpu.onednn.api import CONVOLUTION_DIRECT, FORWARD_TRAINING, OneDnnError, dims
from dovetail_cpu.onednn.library import address
from dovetail_cpu.onednn.program import (
    Assembly,
    Memory,
    Program,
    Step,
    dense_strides,
    element_strides,
)

if TYPE_CHECKING:
    from dovetail_cpu.onednn.session import Session

__all__ = ["backward_input", "backward_weight", "forward"]

_CHUNK_PER_CORE = 4 << 20
"""Bytes of blocked activations per core at a time. Fewer gain nothing more, and each part is
three more meetings of all threads, which cost on a busy machine."""

Sizes = tuple[int, ...]


class Geometry(NamedTuple):
    """The attributes of a convolution, one number per spatial axis (but ``groups``).

    The functions here take it as a plain tuple as well, which is quicker to make.
    """

    stride: Sizes
    padding: Sizes
    dilation: Sizes
    groups: int


class _Plan(NamedTuple):
    """All steps; those before all chunks, for each, after all; bytes from chunk to chunk."""

    program: Program
    whole: tuple[Step, ...]
    before: tuple[Step, ...]
    each: tuple[Step, ...]
    after: tuple[Step, ...]
    chunks: int
    x_bytes: int
    y_bytes: int
    total: slice | None = None
    """Where in the arena the sum over the chunks is (the gradient of the weight)."""
    part: slice | None = None


def forward(
    session: Session,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    out: np.ndarray,
    geometry: Geometry,
) -> bool:
    """``out = conv(x, weight) + bias``; False, with nothing done, where oneDNN cannot.

    x: (N, C, *S); weight: (O, C / groups, *K); bias: (O,); out: (N, O, *S'), all of one dtype
    (float32 or bfloat16), none empty.
    """
    return _call(session, "forward", x, weight, out, geometry, bias)


def backward_input(
    session: Session, grad_out: np.ndarray, weight: np.ndarray, out: np.ndarray, geometry: Geometry
) -> bool:
    """The gradient for ``x``, into ``out``; False, with nothing done, where oneDNN cannot."""
    return _call(session, "backward_data", out, weight, grad_out, geometry)


def backward_weight(
    session: Session, grad_out: np.ndarray, x: np.ndarray, out: np.ndarray, geometry: Geometry
) -> bool:
    """The gradient for ``weight``, into ``out``; False, with nothing done, where oneDNN cannot."""
    return _call(session, "backward_weights", x, out, grad_out, geometry)


def _call(
    session: Session,
    kind: str,
    x: np.ndarray,
    weight: np.ndarray,
    y: np.ndarray,
    geometry: Geometry,
    bias: np.ndarray | None = None,
) -> bool:
    key = (
        kind, x.dtype, x.shape, x.strides, weight.shape, weight.strides, y.shape, y.strides,
        geometry, bias is None,
    )  # fmt: skip
    plans = session.plans
    plan = (
        plans[key] if key in plans else session.add(key, _make, kind, x, weight, y, geometry, bias)
    )
    if plan is None:
        return False
    where = [address(x), address(weight), address(y)]
    misaligned = where[0] | where[1] | where[2]
    if bias is not None:
        if not bias.flags.c_contiguous:  # the kernels ignore the strides of a bias
            return False
        where.append(address(bias))
        misaligned |= where[3]
    if misaligned & (x.itemsize - 1):
        return False
    program, whole, before, each, after, chunks, x_bytes, y_bytes, total, part = plan
    previous = session.use(program.threads)
    try:
        program.point(where, session)
        if chunks == 1:
            program.run(whole)
            return True
        program.run(before)
        for index in range(chunks):
            if index:
                where[0] += x_bytes
                where[2] += y_bytes
                program.point(where, session)
            program.run(each)
            if part is not None:
                _accumulate(session.arena, total, part, index == 0)
        program.run(after)
        return True
    finally:
        session.restore(previous, program.threads)
        session.trim()


def _accumulate(arena: np.ndarray, total: Any, part: slice, is_first: bool) -> None:
    target, source = arena[total].view(np.float32), arena[part].view(np.float32)
    if is_first:
        target[...] = source
    else:
        target += source


def _make(
    session: Session,
    kind: str,
    x: np.ndarray,
    weight: np.ndarray,
    y: np.ndarray,
    geometry: tuple[Any, ...],
    bias: np.ndarray | None,
) -> _Plan:
    geometry = Geometry(*geometry)
    work = y.size * (weight.size // weight.shape[0])
    with Assembly(session, work) as assembly:
        maker = _Maker(assembly, kind, x, weight, y, geometry, bias)
        return maker.weight_gradient() if kind == "backward_weights" else maker.activations()


class _Maker:
    """Puts together the plan of one convolution."""

    def __init__(
        self,
        assembly: Assembly,
        kind: str,
        x: np.ndarray,
        weight: np.ndarray,
        y: np.ndarray,
        geometry: Geometry,
        bias: np.ndarray | None,
    ) -> None:
        self.assembly = assembly
        self.kind = kind
        self.dtype = x.dtype
        self.geometry = geometry
        budget = _CHUNK_PER_CORE * assembly.library.threads
        self.chunks = _chunks(x, y, budget, weight if kind == "backward_weights" else None)
        self.x, self.y = self._part_of_batch(x), self._part_of_batch(y)
        self.bias = bias
        self.weight_shape = weight.shape
        weight_strides = _strides(weight.shape, weight.strides, weight.itemsize)
        if geometry.groups > 1:
            outputs = weight.shape[0] // geometry.groups
            self.weight_shape = (geometry.groups, outputs, *weight.shape[1:])
            weight_strides = (weight_strides[0] * outputs, *weight_strides)
        # What the caller's arrays look like ...
        self.given = {
            "x": self._given(self.x),
            "weight": assembly.layout(self.weight_shape, self.dtype, weight_strides),
            "y": self._given(self.y),
        }
        # ... and what the primitive is asked to work on; it chooses the weight's layout.
        self.asked = self._asked()

    def _part_of_batch(self, array: np.ndarray) -> np.ndarray:
        return array[: len(array) // self.chunks]

    def _given(self, array: np.ndarray) -> int:
        strides = _strides(array.shape, array.strides, array.itemsize)
        return self.assembly.layout(array.shape, self.dtype, strides)

    def _asked(self) -> dict[str, int]:
        if _is_channels_last(self.x) and _is_channels_last(self.y):
            return {"x": self.given["x"], "y": self.given["y"]}
        plain = self.kind == "backward_data" and self._pads_mostly()
        return {
            name: self.assembly.layout(
                array.shape, self.dtype, dense_strides(array.shape) if plain else None
            )
            for name, array in (("x", self.x), ("y", self.y))
        }

    def _pads_mostly(self) -> bool:
        """A gradient for few input channels: blocks of 16 would be mostly padding."""
        outputs, channels = self.y.shape[1], self.x.shape[1]
        return self.geometry.groups == 1 and channels <= min(outputs // 8, 8)

    def _describe(self, bias: int | None = None) -> int:
        """The primitive's descriptor."""
        geometry, asked = self.geometry, self.asked
        kernel = self.weight_shape[-len(geometry.stride) :]
        after = tuple(
            (out - 1) * s + (k - 1) * d + 1 - size - p
            for out, size, k, s, p, d in zip(
                self.y.shape[2:], self.x.shape[2:], kernel, *geometry[:3], strict=True
            )
        )
        shape = [
            dims(geometry.stride),
            dims(tuple(d - 1 for d in geometry.dilation)),
            dims(geometry.padding),
            dims(after),
        ]
        engine = self.assembly.library.engine
        describe = self.assembly.describe
        free = self.assembly.layout(self.weight_shape, self.dtype)
        x, y = asked["x"], asked["y"]
        kinds = (FORWARD_TRAINING, CONVOLUTION_DIRECT)
        forward = describe("convolution_forward", engine, *kinds, x, free, bias, y, *shape)
        if self.kind == "forward":
            return forward
        # The gradients take it as a hint; that of the weight is summed in float32.
        name, head = f"convolution_{self.kind}", (engine, CONVOLUTION_DIRECT)
        if self.kind == "backward_data":
            return describe(name, *head, x, free, y, *shape, forward)
        wide = self.assembly.layout(self.weight_shape, np.dtype(np.float32))
        return describe(name, *head, x, wide, None, y, *shape, forward)

    def _place(self, handle: int, roles: dict[str, str]) -> tuple[dict[str, Memory], ...]:
        """Memories by operand: the caller's, and the primitive's own where layouts differ."""
        caller, inner = {}, {}
        for operand, role in roles.items():
            caller[operand] = self.assembly.external(self.given[operand])
            wanted = self.assembly.wants(handle, role)
            same = self.assembly.same(wanted, self.given[operand])
            inner[operand] = caller[operand] if same else self.assembly.scratch(wanted)
        return caller, inner

    def _reorder(self, source: Memory, target: Memory) -> tuple[Step, ...]:
        return () if source is target else (self.assembly.reorder(source, target),)

    def _plan(
        self,
        caller: dict[str, Memory],
        externals: list[Memory],
        *groups: tuple[Step, ...],
        total: slice | None = None,
        part: slice | None = None,
    ) -> _Plan:
        program = self.assembly.finish([caller["x"], caller["weight"], caller["y"], *externals])
        x_bytes, y_bytes = (len(a) * a.strides[0] for a in (self.x, self.y))
        before, each, after = groups
        whole = before + each + after
        numbers = (self.chunks, x_bytes, y_bytes)
        return _Plan(program, whole, before, each, after, *numbers, total, part)

    def activations(self) -> _Plan:
        """Forward, or the gradient for the input: the weight is read once, before all chunks."""
        assembly = self.assembly
        externals, used = [], {}
        layout = None
        if self.bias is not None:
            layout = assembly.layout(self.bias.shape, self.dtype, (1,))
            externals.append(assembly.external(layout))
            used["bias"] = externals[0]
        handle = self._describe(layout)
        roles = _ROLES[self.kind]
        caller, inner = self._place(handle, roles)
        source, target = ("x", "y") if self.kind == "forward" else ("y", "x")
        used |= {roles[operand]: inner[operand] for operand in roles}
        before = self._reorder(caller["weight"], inner["weight"])
        each = (
            *self._reorder(caller[source], inner[source]),
            assembly.step(handle, used),
            *self._reorder(inner[target], caller[target]),
        )
        return self._plan(caller, externals, before, each, ())

    def weight_gradient(self) -> _Plan:
        """The gradient for the weight: each chunk's is added up, in float32."""
        assembly = self.assembly
        handle = self._describe()
        roles = _ROLES[self.kind]
        caller, inner = self._place(handle, roles)
        total = inner["weight"]
        spans: dict[str, slice] = {}
        if self.chunks > 1:
            part = assembly.scratch(total.descriptor)
            if total.offset < 0:
                total = assembly.scratch(total.descriptor)
            inner["weight"] = part
            spans = {"total": _span(total), "part": _span(part)}
        used = {roles[operand]: inner[operand] for operand in roles}
        each = (
            *self._reorder(caller["x"], inner["x"]),
            *self._reorder(caller["y"], inner["y"]),
            assembly.step(handle, used),
        )
        after = self._reorder(total, caller["weight"])
        return self._plan(caller, [], (), each, after, **spans)


# Operand -> the role that it has in the primitive (the names of api.ARG and api.QUERY).
_ROLES = {
    "forward": {"x": "src", "weight": "weights", "y": "dst"},
    "backward_data": {"x": "diff_src", "weight": "weights", "y": "diff_dst"},
    "backward_weights": {"x": "src", "weight": "diff_weights", "y": "diff_dst"},
}


def _span(memory: Memory) -> slice:
    return slice(memory.offset, memory.offset + memory.nbytes)


def _strides(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> tuple[int, ...]:
    result = element_strides(shape, strides, itemsize)
    if result is None:
        raise OneDnnError("convolution: strides that oneDNN cannot describe")
    return result


def _is_channels_last(array: np.ndarray) -> bool:
    """Dense with the channels innermost, and not dense row-major as well."""
    last = np.moveaxis(array, 1, -1)
    return last.flags.c_contiguous and not array.flags.c_contiguous


def _chunks(x: np.ndarray, y: np.ndarray, budget: int, weight_gradient: np.ndarray | None) -> int:
    """Into how many equal parts to divide the batch; 1 where that would not pay."""
    batch = len(x)
    if weight_gradient is not None and weight_gradient.nbytes * 4 > budget:
        return 1  # adding up the parts would cost more than the cache gives
    most = max(budget * batch // (x.nbytes + y.nbytes), 1)
    size = next(size for size in range(min(most, batch), 0, -1) if batch % size == 0)
    return batch // size if size * 4 > most else 1
