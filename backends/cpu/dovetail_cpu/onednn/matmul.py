"""Matrix products through oneDNN's matmul primitive: float32 and bfloat16, batched, strided."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dovetail_cpu.onednn.api import OneDnnError
from dovetail_cpu.onednn.library import address
from dovetail_cpu.onednn.program import Assembly, Memory, Program, Step, element_strides

if TYPE_CHECKING:
    from dovetail_cpu.onednn.session import Session

__all__ = ["matmul"]

_BLOCKED = 1 << 30
"""From this many multiply-adds on, copying the operands to blocked layouts pays for itself."""


class _Operand(NamedTuple):
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Plan(NamedTuple):
    program: Program
    steps: tuple[Step, ...]
    swap: bool
    """Compute ``out.T = b.T @ a.T``, because ``out`` is dense along its columns."""


def matmul(session: Session, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> bool:
    """``out = a @ b``; False, with nothing done, where oneDNN cannot.

    a: (*, M, K); b: (*, K, N); out: (*, M, N), all of one dtype, none empty. The leading axes
    of ``a`` and ``b`` broadcast to those of ``out``.
    """
    key = ("matmul", a.dtype, a.shape, a.strides, b.shape, b.strides, out.shape, out.strides)
    plans = session.plans
    plan = plans[key] if key in plans else session.add(key, _make, a, b, out)
    if plan is None:
        return False
    program, steps, swap = plan
    where = (address(a), address(b), address(out))
    mask = out.itemsize - 1
    if (where[0] | where[1] | where[2]) & mask:
        return False
    previous = session.use(program.threads)
    try:
        program.point((where[1], where[0], where[2]) if swap else where, session)
        program.run(steps)
    finally:
        session.restore(previous, program.threads)
    session.trim()
    return True


def _make(session: Session, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> _Plan:
    swap = out.strides[-1] != out.itemsize and out.shape[-1] > 1
    if swap:
        a, b, out = b.swapaxes(-1, -2), a.swapaxes(-1, -2), out.swapaxes(-1, -2)
    operands = [_operand(array, out.ndim) for array in (a, b, out)]
    if not all(map(_has_unit_stride, operands[:2])) or operands[2].strides[-1] != 1:
        raise OneDnnError("matmul: an operand is dense along neither axis")
    work = out.size * a.shape[-1]
    with Assembly(session, work) as assembly:
        given = [assembly.layout(o.shape, out.dtype, o.strides) for o in operands]
        wanted = list(given)
        if work >= _BLOCKED and min(operands[2].shape[-2:]) >= 256:
            wanted[:2] = [assembly.layout(o.shape, out.dtype) for o in operands[:2]]
        handle = assembly.describe("matmul", session.library.engine, *wanted[:2], None, wanted[2])
        steps: list[Step] = []
        externals = [assembly.external(layout) for layout in given]
        used: list[Memory] = list(externals)
        for index, role in enumerate(("src", "weights")):
            layout = assembly.wants(handle, role)
            if not assembly.same(layout, given[index]):
                used[index] = assembly.scratch(layout)
                steps.append(assembly.reorder(externals[index], used[index]))
        roles = dict(zip(("src", "weights", "dst"), used, strict=True))
        steps.append(assembly.step(handle, roles))
        return _Plan(assembly.finish(externals), tuple(steps), swap)


def _operand(array: np.ndarray, ndim: int) -> _Operand:
    """Shape and element strides over ``ndim`` axes; a repeated leading axis gets size 1."""
    missing = ndim - array.ndim
    shape = [1] * missing + list(array.shape)
    strides = [0] * missing + list(array.strides)
    for axis in range(ndim - 2):
        if strides[axis] == 0:
            shape[axis] = 1
    result = element_strides(shape, strides, array.itemsize)
    if result is None:
        raise OneDnnError("matmul: strides that oneDNN cannot describe")
    return _Operand(tuple(shape), result)


def _has_unit_stride(o: _Operand) -> bool:
    return 1 in o.strides[-2:]
