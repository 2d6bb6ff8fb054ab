"""Products of floating-point and complex matrices by cuBLASLt.

The library knows matrices in columns; a matrix in rows is its transpose in columns, so what is
computed is ``outᵀ = bᵀ aᵀ``. A call is resolved once: how operands lie, what is packed, which loops
over batches there are. The library's plan comes when addresses are known to be aligned so or so.
Whole numbers, and a depth of 0, stay with the kernels of ``dovetail_kernels``.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from dovetail import backends
from dovetail.backend import KernelTable, StridedView, collapse
from dovetail.dtypes import FLOATING, complex64, complex128, float32
from dovetail.dtypes import dtype as DType
from dovetail_cuda import blas
from dovetail_cuda.blas import BIAS, DEFAULT, Matrix, Problem
from dovetail_cuda.kernels.matrices import Operand, batched, folded, form, turned
from dovetail_kernels import gemm
from dovetail_kernels.arrays import Array, part
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.gemm import Added

__all__ = ["Product", "enter"]

KINDS = (*FLOATING, complex64, complex128)

WORKSPACE = 32 << 20
"""Bytes that the library may work in, for each stream (as in PyTorch on these GPUs)."""

MOST = 32
"""Calls of the library that one product may take, before its operands are packed."""


MUCH = 1 << 30
"""Multiplications from which on it pays to copy rows that do not begin so."""


LEAST = 64
"""Columns and depth from which on larger matrices pay."""

PIECE = 64 << 20
"""Bytes of such copies that are made at a time: about what stays in a large GPU's cache."""

TILE = 256
"""Rows that a piece has a multiple of."""


class Product:
    """One product resolved: ``run(a, b, out)`` or, with something added, ``run(a, b, out, input)``.

    Args:
        a, b, out: ghosts, (*, M, K), (*, K, N) and (*, M, N); leading dims broadcast. Halves may
            be multiplied into float32.
        added: what is added to it.
        alpha: what the product is multiplied by, where nothing is added.
    """

    def __init__(
        self, device: Any, a: Any, b: Any, out: Any, added: Added | None = None, alpha: Any = 1
    ) -> None:
        self.device, self.kind, self.added = device, out.dtype, added
        self.alpha = alpha if added is None else added.alpha
        self._ghosts = (a, b, out)
        self.a, self.b, self.out = Operand(a), Operand(b), Operand(out)
        self._shared: Any = None
        self._plans: dict[Any, Any] = {}
        self._can_round = out.dtype in (float32, complex64)
        self._resolve()

    # how it lies

    def _resolve(self) -> None:
        a, b, out = self.a, self.b, self.out
        for operand in (a, b, out):
            if form(operand.view) is None:
                operand.pack()
        depth = a.view.shape[-1]
        if a.view.itemsize == 2 and out.view.numel * depth >= MUCH:
            for operand in (a, b, out):
                operand.pad()
        lies = form(out.view)
        assert lies is not None
        self.swapped = lies.turned
        self._lay(packs_input=out.is_packed)
        if len(self.places) > MOST:
            lead = out.view.shape[:-2]
            for operand in (a, b):
                operand.pack((*lead, *operand.source.shape[-2:]))
            if not out.view.is_contiguous:
                out.pack()
            self.swapped = False
            self._lay(packs_input=True)
        operands = [(a, 0), (b, 1), (out, 2)]
        self.packs = [(i, x) for x, i in operands if x.is_packed]
        self._copies = {i: Copy(self.device, x.source, x.view) for i, x in self.packs if i < 2}
        if out.is_packed:
            self._copies[2] = Copy(self.device, out.view, out.source)

    def _lay(self, *, packs_input: bool = False) -> None:
        """The matrices as the library sees them, and the loops over batches."""
        a, b, out = self.a.view, self.b.view, self.out.view
        c = None if self.added is None else self.added.input
        if self.swapped:
            a, b, out = turned(b), turned(a), turned(out)
            c = None if c is None else turned(c)
        self.bias = self._is_bias(c)
        self.direct = False
        if c is not None and not self.bias and not packs_input:
            lies = form(c)
            self.direct = lies is not None and not lies.turned
        if c is None or not self.direct:
            c = out
        views = [out, a.expand((*out.shape[:-2], *a.shape[-2:]))]
        views += [b.expand((*out.shape[:-2], *b.shape[-2:])), c]
        views = folded(*views)
        loops = collapse(*(part(v, range(v.ndim - 2)) for v in views), keep_order=True)
        self._matrices(views, *batched(loops))

    def _matrices(
        self, views: list[StridedView], count: int, steps: list[int], outer: list[list[int]]
    ) -> None:
        forms = [form(view) for view in views]
        made = []
        for view, lies, step in zip(views, forms, steps, strict=True):
            assert lies is not None
            across, down = view.shape[-2:] if lies.turned else view.shape[:-3:-1]
            made.append(Matrix(across, down, lies.lead, step))
        assert forms[1] is not None
        assert forms[2] is not None
        first = DEFAULT if not self.bias else BIAS
        self.problem = Problem(
            self._ghosts[0].dtype.name, self.kind.name, made[2], made[1], made[3], made[0],
            forms[2].turned, forms[1].turned, count, first,
        )  # fmt: skip
        sizes = [view.itemsize for view in views]
        self.places = [
            tuple(size * n for size, n in zip(sizes, place, strict=True)) for place in outer
        ]
        bits = 0
        for place in self.places:
            for n in place:
                bits |= n
        self._bits = bits

    def _is_bias(self, c: StridedView | None) -> bool:
        """Whether what is added is one row for all of them, as it is."""
        if c is None or self.added is None or self.added.beta != 1 or self.kind.is_complex:
            return False
        return not any(s for n, s in zip(c.shape[:-1], c.strides[:-1], strict=True) if n != 1) and (
            c.shape[-1] == 1 or c.strides[-1] == c.itemsize
        )

    # running it

    def __call__(self, a: Any, b: Any, out: Any, input: Any = None) -> None:
        """Queue it."""
        given = [a, b, out]
        with self.device.lock:
            self.device.use()
            if not self.packs:
                self._run(given, input)
                return
            with ExitStack() as stack:
                for i, operand in self.packs:
                    view = operand.view
                    (block,) = stack.enter_context(self.device.scratch(view.span))
                    given[i] = Array(block, 0, view.shape, view.strides, view.dtype)
                    if i < 2:
                        self._copies[i]((a, b)[i], given[i])
                self._run(given, input)
                if self.out.is_packed:
                    self._copies[2](given[2], out)

    def _run(self, given: list[Any], input: Any) -> None:
        a, b, out = given
        at_a, at_b = a.buffer.ptr + a.offset, b.buffer.ptr + b.offset
        at_c = at_out = out.buffer.ptr + out.offset
        at_bias = 0
        if self.swapped:
            at_a, at_b = at_b, at_a
        if input is not None and self.added is not None:
            at_input = input.buffer.ptr + input.offset
            if self.bias:
                at_bias = at_input
            elif self.direct:
                at_c = at_input
        bits = (at_a | at_b | at_c | at_out | at_bias | self._bits) & 255
        aligned = bits & -bits
        tf32 = self._can_round and backends.cuda.matmul.allow_tf32
        plan = self._plans.get((aligned, tf32))
        if plan is None:
            plan = self._plans[aligned, tf32] = self._planned(aligned or 256, tf32)
        if plan is _SHARED:
            self._by_shared(given, input)
            return
        device = self.device
        copies, plan = plan
        if copies is not None:
            copies(input, out)
        stream = device.stream
        workspace = _workspace(device, stream) if plan.workspace else 0
        for to, from_a, from_b, from_c in self.places:
            # A matrix in rows is its transpose in columns: the factors change places.
            plan(
                at_b + from_b, at_a + from_a, at_c + from_c, at_out + to, at_bias, workspace,
                stream,
            )  # fmt: skip
        device.launches += len(self.places)
        device.recent.append("matmul")
        if device.watch is not None:
            device.watch("matmul", None, [x.buffer for x in given])

    # the library's plan

    def _planned(self, aligned: int, tf32: bool) -> Any:
        """(what copies the input into the output, plan); the kernels of our own where there is
        none."""
        library, device = blas.library(), self.device
        handle = device.handles.get("cublasLt")
        if handle is None:
            handle = device.handles["cublasLt"] = library.handle()
        beta = 0 if self.added is None or self.bias else self.added.beta
        problem = replace(self.problem, aligned=aligned, tf32=tf32)
        copies = None
        if self.added is not None and not self.bias and not self.direct:
            copies = self._copied()
        plan = library.plan(handle, problem, WORKSPACE)
        if plan is None and self.added is not None and (self.bias or self.direct):
            # As a matrix that lies in the output already, which every algorithm takes.
            problem = replace(problem, c=problem.d, epilogue=DEFAULT)
            self.bias = self.direct = False
            beta, copies = self.added.beta, self._copied()
            self.places = [(to, x, y, to) for to, x, y, _ in self.places]
            self._plans.clear()
            plan = library.plan(handle, problem, WORKSPACE)
        if plan is None:
            return _SHARED
        plan.scaled(self.alpha, beta)
        return copies, plan

    def _copied(self) -> Copy:
        assert self.added is not None
        out = self.out.view
        return Copy(self.device, self.added.input, out)

    def _by_shared(self, given: list[Any], input: Any) -> None:
        if self._shared is None:
            added = self.added
            if added is None and self.alpha != 1:  # never seen: it takes every shape
                raise RuntimeError(f"{self.device.name}: cuBLASLt has no algorithm for this call")
            views = (self.a.view, self.b.view, self.out.view)
            self._shared = gemm.Product(self.device, *views, added)
        self._shared(*given, *([] if self.added is None else [input]))


class Pieces:
    """A product some rows at a time: less memory for copies, which are read again while they are in
    the cache.

    Args:
        rows: of one piece.
    """

    def __init__(
        self, device: Any, a: Any, b: Any, out: Any, added: Added | None, alpha: Any, rows: int
    ) -> None:
        self._added = None if added is None else added.input
        self._steps = [x.strides[0] for x in (a, out, self._added or out)]
        self._pieces = []
        made: dict[int, Product] = {}
        for first in range(0, out.shape[0], rows):
            count = min(rows, out.shape[0] - first)
            if count not in made:
                part_of = None
                if added is not None:
                    part_of = Added(_rows(added.input, count), added.alpha, added.beta)
                some, target = _rows(a, count), _rows(out, count)
                made[count] = Product(device, some, b, target, part_of, alpha)
            self._pieces.append((first, made[count]))

    def __call__(self, a: Any, b: Any, out: Any, input: Any = None) -> None:
        """Queue it."""
        of_a, of_out, of_input = self._steps
        for first, product in self._pieces:
            given = None if input is None else _from(input, first * of_input)
            product(_from(a, first * of_a), b, _from(out, first * of_out), given)


def _rows(array: StridedView, count: int) -> Array:
    return Array(None, 0, (count, *array.shape[1:]), array.strides, array.dtype)


def _from(array: Any, nbytes: int) -> Array:
    where = array.offset + nbytes
    return Array(array.buffer, where, array.shape, array.strides, array.dtype)


def _is_odd(a: Any, b: Any, out: Any) -> bool:
    """A large product of halves that lie well, of columns or a depth that are no multiple of 8."""
    depth, columns = b.shape[-2:]
    is_large = a.itemsize == 2 and out.numel * depth >= MUCH and min(depth, columns) >= LEAST
    return is_large and bool(depth % 8 or columns % 8) and form(b) is not None


def product_of(
    device: Any, a: Any, b: Any, out: Any, added: Added | None = None, alpha: Any = 1
) -> Any:
    """A product; of larger matrices where sizes are odd, or in pieces where much is copied."""
    if added is None and _is_odd(a, b, out):
        every = b.expand((*out.shape[:-2], *b.shape[-2:]))
        views = folded(out, a, every, out)
        if views[0].ndim == 2:
            from dovetail_cuda.kernels.widened import Widened

            return Widened(device, views[1], views[2], views[0], alpha, PIECE)
    whole = Product(device, a, b, out, added, alpha)
    copied = sum(x.view.span for x in (whole.a, whole.out) if x.is_padded)
    if copied <= PIECE or whole.b.is_packed:
        return whole
    every = b.expand((*out.shape[:-2], *b.shape[-2:]))
    out, a, b, c = folded(out, a, every, out if added is None else added.input)
    if out.ndim > 2:
        return whole
    if added is not None:
        added = Added(c, added.alpha, added.beta)
    rows = max(1, out.shape[0] * PIECE // copied // TILE) * TILE
    return Pieces(device, a, b, out, added, alpha, rows)


_SHARED: Any = object()


def _workspace(device: Any, stream: int) -> int:
    """The library's memory for this stream, or for a graph that is captured on it: what may run at
    once must not share it. The caller holds the device's lock until it has queued."""
    if device.captured is not None:
        with device.scratch(WORKSPACE) as (block,):
            graphs: int = block.ptr
            return graphs
    found = device.handles.get(("cublasLt", stream))
    if found is None:
        found = device.handles["cublasLt", stream] = device.alloc(WORKSPACE)
    pointer: int = found.ptr
    return pointer


# entries


def _fits(call: Any) -> bool:
    """Of one dtype, not empty, with a depth; and the library is there."""
    tensors = [x for x in (*call.inputs, *call.outputs) if x is not None]
    kinds: set[DType] = {x.dtype for x in tensors}
    (out,) = call.outputs
    is_whole = bool(out.numel) and all(x.numel for x in tensors)
    return len(kinds) == 1 and is_whole and blas.library() is not None


def _matmul(facts: Any) -> Any:
    a, b = map(ghost, facts.inputs)
    return product_of(device_of(facts.outputs[0].device), a, b, ghost(facts.outputs[0]))


def _affine(facts: Any) -> Any:
    """``beta * input + alpha * (a @ b)``; with beta 0 the input is not looked at."""
    input, a, b = map(ghost, facts.inputs)
    out = ghost(facts.outputs[0])
    alpha, beta = facts.attributes["alpha"], facts.attributes["beta"]
    device = device_of(facts.outputs[0].device)
    if not beta:
        product = product_of(device, a, b, out, alpha=alpha)
        return lambda input, a, b, out: product(a, b, out)
    product = product_of(device, a, b, out, Added(input.expand(out.shape), alpha, beta))
    return lambda input, a, b, out: product(a, b, out, input)


def _linear(facts: Any) -> Any:
    """(*, K) by (N, K), plus what expands to the output."""
    input, weight, bias = facts.inputs
    device = device_of(facts.outputs[0].device)
    a, out = _as_matrix(ghost(input)), _as_matrix(ghost(facts.outputs[0]))
    b = turned(ghost(weight))
    if bias is None:
        product = product_of(device, a, b, out)
        return lambda input, weight, bias, out: product(input, weight, out)
    product = product_of(device, a, b, out, Added(ghost(bias).expand(out.shape)))
    return lambda input, weight, bias, out: product(input, weight, out, bias)


def _as_matrix(array: Array) -> Array:
    """A row as a matrix of one."""
    if array.ndim > 1:
        return array
    return Array(None, 0, (1, *array.shape), (0, *array.strides), array.dtype)


def enter(table: KernelTable) -> None:
    """Enter the products."""
    for name, function in {
        "matmul": _matmul, "mm": _matmul, "bmm": _matmul, "linear": _linear,
        "addmm": _affine, "baddbmm": _affine,
    }.items():  # fmt: skip
        table.add(name, function, dtypes=KINDS, when=_fits, specialize=True)
