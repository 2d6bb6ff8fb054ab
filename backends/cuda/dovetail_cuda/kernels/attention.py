"""Scaled dot-product attention of half and bfloat16 by cuDNN, and its gradients.

cuDNN takes (batch, heads, length, size) by strides, so heads that were turned out of a projection
are not copied. Masks, other dtypes and sizes stay with the kernels of ``dovetail_kernels``: a row
that a mask hides wholly has to give zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from math import prod
from typing import Any

from dovetail.backend import Kernel, KernelTable
from dovetail.dtypes import bfloat16, float16
from dovetail_cuda import dnn
from dovetail_cuda.dnn import Choice, Graph, Tensor
from dovetail_kernels.arrays import Array, dense_strides
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import device_of, known
from dovetail_kernels.elementwise import ghost

__all__ = ["enter"]

WIDEST = 256
"""Elements of a query or value at most."""

STEP = 8
"""What these are a multiple of: 16 bytes are read at once."""


class _Operand:
    """A tensor of the record as one of four dims: as it lies, or packed."""

    def __init__(self, device: Any, source: Array, rows: int, *, is_output: bool) -> None:
        size = source.itemsize
        self.view = source
        self.copy: Copy | None = None
        lead = source.ndim - rows
        steps = source.element_strides
        # Neighbours along the last dim, rows that begin at 16 bytes, and nothing repeated.
        is_plain = rows == 1 or (steps[-1] == 1 and not any(s % STEP for s in steps[:-1]))
        repeats = any(s == 0 for n, s in zip(source.shape, steps, strict=True) if n != 1)
        if repeats or (not source.is_contiguous and (not is_plain or lead > 2 or rows == 1)):
            strides = dense_strides(source.shape, size)
            self.view = Array(None, 0, source.shape, strides, source.dtype)
            pair = (self.view, source) if is_output else (source, self.view)
            self.copy = Copy(device, *pair)
        self.shape, self.strides = self._as_four(rows)

    def _as_four(self, rows: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(batch, heads, length, size or 1) and strides in elements."""
        view = self.view
        shape, steps = view.shape, view.element_strides
        lead, last = len(shape) - rows, (() if rows == 2 else (1,))
        if lead > 2:  # dense: all but the last one as one
            batch = prod(shape[: lead - 1])
            shape, steps = (batch, *shape[lead - 1 :]), (steps[lead - 2], *steps[lead - 1 :])
            lead = 2
        for _ in range(2 - lead):
            shape, steps = (1, *shape), (shape[0] * steps[0], *steps)
        return (*shape, *last), (*steps, *last)


class Attention:
    """One call resolved: ``run(*inputs, *outs)``.

    Args:
        rows: by uid, how many dims at the end are not batches: 2 of matrices, 1 of sums.
    """

    inputs: Sequence[int]
    outputs: Sequence[int]
    rows: Sequence[int]

    def __init__(self, facts: Any) -> None:
        self.label, self.options = facts.op.name, facts.attributes
        self.device: Any = device_of(facts.outputs[0].device)
        self.kind = facts.query.dtype.name
        specs = (*facts.inputs, *facts.outputs)
        self.operands = {
            uid: _Operand(
                self.device, ghost(specs[uid]), self.rows[uid], is_output=uid in self.outputs
            )
            for uid in (*self.inputs, *self.outputs)
        }
        self.packs = [uid for uid, operand in self.operands.items() if operand.copy is not None]
        self._graphs: dict[tuple[Choice, int], Graph | None] = {}
        self._shared: Any = None
        self.others: tuple[Kernel, ...] = ()
        self._facts = facts

    def draw(self, graph: Any, inputs: list[Any]) -> Sequence[Any]:
        """What is computed."""
        raise NotImplementedError

    def planned(self, wanted: Choice, aligned: int = 16) -> Graph | None:
        """The graph for these switches and addresses; None where there is no plan."""
        key = (wanted, aligned)
        if key not in self._graphs:
            self._graphs[key] = self._built(wanted, aligned) if wanted.enabled else None
        return self._graphs[key]

    def _built(self, wanted: Choice, aligned: int) -> Graph | None:
        def tensor(uid: int) -> Tensor:
            operand = self.operands[uid]
            kind = self.kind if self.rows[uid] == 2 else "float32"
            return Tensor(uid, operand.shape, operand.strides, kind, aligned)

        return dnn.build(
            self.device, self.kind, [tensor(uid) for uid in self.inputs], self.draw,
            [tensor(uid) for uid in self.outputs], wanted, self.label,
        )  # fmt: skip

    def scores(self) -> dict[str, Any]:
        """How scores are made, as the front end's arguments."""
        made: dict[str, Any] = {"attn_scale": float(self.options["scale"])}
        if self.options["is_causal"]:
            made["diagonal_alignment"] = dnn.front_end().diagonal_alignment.TOP_LEFT
            made["diagonal_band_right_bound"] = 0
        return made

    def __call__(self, *arrays: Any) -> None:
        """Queue it."""
        device, given = self.device, {uid: arrays[uid] for uid in self.operands}
        with device.lock:
            device.use()
            if not self.packs:
                self._run(arrays, given)
                return
            with ExitStack() as stack:
                back = []
                for uid in self.packs:
                    operand = self.operands[uid]
                    view, copy = operand.view, operand.copy
                    assert copy is not None
                    (block,) = stack.enter_context(device.scratch(view.numel * view.itemsize))
                    held = Array(block, 0, view.shape, view.strides, view.dtype)
                    if uid in self.outputs:
                        back.append((copy, held, given[uid]))
                    else:
                        copy(given[uid], held)
                    given[uid] = held
                if self._run(arrays, given):
                    for copy, held, target in back:
                        copy(held, target)

    def _run(self, arrays: Sequence[Any], given: dict[int, Any]) -> bool:
        """Queue the library's kernel for what is packed, or else our own."""
        pointers = {uid: a.buffer.ptr + a.offset for uid, a in given.items()}
        bits = 0
        for pointer in pointers.values():
            bits |= pointer
        bits &= 15
        graph = self.planned(dnn.choice(is_timed=False), bits & -bits or 16)
        if graph is None:
            self._spare()(*arrays)
            return False
        graph(pointers)
        return True

    def _spare(self) -> Any:
        """The kernel of our own, for switches or addresses that cuDNN has no plan for."""
        if self._shared is None:
            facts = self._facts
            entry = next(e for e in self.others if e.when is None or e.when(facts))
            self._shared = _packing(entry, facts)
        return self._shared


class Forward(Attention):
    """(query, key, value, mask, out, sums)."""

    inputs, outputs, rows = (0, 1, 2), (4, 5), (2, 2, 2, 2, 2, 1)

    def draw(self, graph: Any, inputs: list[Any]) -> Sequence[Any]:
        query, key, value = inputs
        made: Sequence[Any] = graph.sdpa(
            q=query, k=key, v=value, generate_stats=True, **self.scores()
        )
        return made


class Backward(Attention):
    """(grad, query, key, value, mask, out, sums, grad of sums, three gradients)."""

    inputs, outputs, rows = (0, 1, 2, 3, 5, 6), (8, 9, 10), (2, 2, 2, 2, 2, 2, 1, 1, 2, 2, 2)

    def draw(self, graph: Any, inputs: list[Any]) -> Sequence[Any]:
        grad, query, key, value, out, sums = inputs
        made: Sequence[Any] = graph.sdpa_backward(
            q=query, k=key, v=value, o=out, dO=grad, stats=sums,
            use_deterministic_algorithm=bool(dnn.choice().deterministic), **self.scores(),
        )  # fmt: skip
        return made


def _packing(entry: Kernel, facts: Any) -> Any:
    """An entry for dense tensors, for those that may lie otherwise."""
    device = device_of(facts.outputs[0].device)
    run = entry.function(facts)
    specs = (*facts.inputs, *facts.outputs)
    sparse = {
        i: ghost(x) for i, x in enumerate(specs) if x is not None and not ghost(x).is_contiguous
    }
    first = len(facts.inputs)
    dense = {
        i: Array(None, 0, x.shape, dense_strides(x.shape, x.itemsize), x.dtype)
        for i, x in sparse.items()
    }
    copies = {
        i: Copy(device, dense[i], x) if i >= first else Copy(device, x, dense[i])
        for i, x in sparse.items()
    }

    def packed(*arrays: Any) -> None:
        given = list(arrays)
        with ExitStack() as stack:
            for i, view in dense.items():
                (block,) = stack.enter_context(device.scratch(view.numel * view.itemsize))
                given[i] = Array(block, 0, view.shape, view.strides, view.dtype)
                if i < first:
                    copies[i](arrays[i], given[i])
            run(*given)
            for i in dense:
                if i >= first:
                    copies[i](given[i], arrays[i])

    return packed if sparse else run


def _fits(make: type[Attention], others: tuple[Kernel, ...], call: Any) -> bool:
    """No mask, sizes that cuDNN takes, and it has a plan."""
    query, key, value = call.query, call.key, call.value
    tensors = [x for x in (*call.inputs, *call.outputs) if x is not None]
    sizes = (query.shape[-1], value.shape[-1])
    if call.mask is not None or not all(x.numel for x in tensors):
        return False
    if any(n % STEP or n > WIDEST for n in sizes) or {query.dtype, key.dtype, value.dtype} != {
        query.dtype
    }:
        return False
    if make is Backward and call.grad_logsumexp is not None:
        return False
    if (
        known(call.outputs[0].device) is None
        or dnn.front_end() is None
        or not any(e.when is None or e.when(call) for e in others)
    ):
        return False
    wanted = dnn.choice(is_timed=False, is_enabled=True)
    return _resolved(make, call).planned(wanted) is not None


def _resolved(make: type[Attention], call: Any) -> Attention:
    """The call, resolved once for the question and the answer."""
    device = device_of(call.outputs[0].device)
    key = ("cudnn", call.op.name, *call.inputs, *call.outputs, tuple(call.attributes.items()))
    made: Attention = device.keep(key, lambda: make(call))
    return made


def _specialised(make: type[Attention], others: tuple[Kernel, ...], call: Any) -> Any:
    made = _resolved(make, call)
    made.others = others
    return made


def enter(table: KernelTable) -> None:
    """Enter them, before those that are there."""
    for name, make in {
        "scaled_dot_product_attention": Forward,
        "scaled_dot_product_attention_backward": Backward,
    }.items():
        others = table.entries(name)
        table.add(
            name,
            partial(_specialised, make, others),
            dtypes=(float16, bfloat16),
            when=partial(_fits, make, others),
            specialize=True,
        )
