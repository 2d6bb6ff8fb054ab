"""Complex numbers: their parts as views, conjugate, angle, and making them from real ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import observe, raw
from dovetail.autograd.graph import BackwardInfo
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.late_binding import BATCHED
from dovetail.ops.expose import FUNCTIONS, operator, publish
from dovetail.ops.families import broadcast_shapes, draw
from dovetail.ops.layout.views import _ViewPlan
from dovetail.ops.linear_algebra.operands import need_tensors
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.spec import Spec, real_layout, spec_of
from dovetail.tensor import Tensor

__all__ = [
    "angle", "complex", "conj", "imag", "isreal", "polar", "real", "view_as_complex",
    "view_as_real",
]  # fmt: skip


# -------------------------------------------------------- parts, as views


class _OtherUnit(_ViewPlan):
    """A view whose elements are half or twice as large, so that its offset counts otherwise."""

    __slots__ = ("halves",)

    def __init__(self, spec: Spec, info: BackwardInfo, halves: bool) -> None:
        super().__init__(spec, 0, info)
        self.halves = halves

    def __call__(self, x: Tensor) -> Tensor:
        made = super().__call__(x)
        made._offset = x._offset * 2 if self.halves else x._offset // 2
        return made


def _complex_layout(spec: Spec) -> Spec:
    """Pairs of real numbers as complex ones."""
    strides = tuple(s // 2 for s in spec.strides[:-1])
    return spec_of(tuple(spec.shape[:-1]), spec.dtype.to_complex(), spec.device, strides)


def _view_record(name: str) -> OpDef:
    return OpDef(
        name,
        kind="view",
        infer=lambda spec: Inferred((None,), ()),
        method=False,
        public=False,
    )


_AS_REAL, _AS_COMPLEX = _view_record("view_as_real"), _view_record("view_as_complex")


def _view(op: OpDef, x: Tensor, layout: Any, back: Any, halves: bool) -> Tensor:
    plan = x._spec.memo.get(op.name)
    if plan is None:
        plan = x._spec.memo[op.name] = _view_plan(op, x._spec, layout, back, halves)
    return observe.run(op, plan, (x,)) if observe.active else plan(x)


def _view_plan(op: OpDef, spec: Spec, layout: Any, back: Any, halves: bool) -> Any:
    if spec.batch is not None:
        plain = _view_plan(op, spec.batch.logical, layout, back, halves)
        return BATCHED.view_plan(spec, plain, lambda value: _view(op, value, layout, back, halves))
    out = layout(spec)
    info = BackwardInfo(op.name, ((back, (0,)),), (), (spec,), None, (out,))
    return _OtherUnit(out, info, halves)


@publish(method=False)
def view_as_real(input: Tensor) -> Tensor:
    """A complex tensor as pairs of real numbers: (*) -> (*, 2), a view.

    Raises:
        RuntimeError: not complex.
    """
    if not input._spec.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    back = lambda g: view_as_complex(g.contiguous())
    return _view(_AS_REAL, input, real_layout, back, halves=True)


@publish(method=False)
def view_as_complex(input: Tensor) -> Tensor:
    """Pairs of real numbers as complex ones: (*, 2) -> (*), a view.

    Raises:
        RuntimeError: no pairs, or pairs that do not lie in memory as complex numbers do.
    """
    spec = input._spec
    if spec.dtype not in (d.float32, d.float64):
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a "
            f"tensor of scalar type: {type_name(spec.dtype)}"
        )
    if not spec.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if spec.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if spec.strides[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(s % 2 for s in spec.strides[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if input.storage_offset() % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    return _view(_AS_COMPLEX, input, _complex_layout, lambda g: view_as_real(g), halves=False)


Tensor._as_reals = view_as_real  # type: ignore[attr-defined]
Tensor._as_complex = view_as_complex  # type: ignore[attr-defined]


def real(input: Tensor) -> Tensor:
    """The real parts, a view; a real tensor itself."""
    if not input._spec.dtype.is_complex:
        return input
    return view_as_real(input).select(-1, 0)


def imag(input: Tensor) -> Tensor:
    """The imaginary parts, a view.

    Raises:
        RuntimeError: not complex.
    """
    if not input._spec.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return view_as_real(input).select(-1, 1)


FUNCTIONS["real"], FUNCTIONS["imag"] = real, imag


def _part(get: Any) -> property:
    def put(self: Tensor, value: Any) -> None:
        part = get(self)
        if isinstance(value, Tensor):
            part.copy_(value)
        else:
            part.fill_(value)

    return property(get, put)


Tensor.real = _part(real)  # type: ignore[attr-defined]
Tensor.imag = _part(imag)  # type: ignore[attr-defined]


# ------------------------------------------------------------ making them


def _complex_infer(real: Spec, imag: Spec) -> Inferred:
    if real.dtype not in (d.float32, d.float64) or imag.dtype not in (d.float32, d.float64):
        raise RuntimeError(
            "Expected both inputs to be Half, Float or Double tensors but got "
            f"{type_name(real.dtype)} and {type_name(imag.dtype)}"
        )
    if real.dtype is not imag.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {type_name(real.dtype)} but got scalar type "
            f"{type_name(imag.dtype)} for second argument"
        )
    shape = broadcast_shapes(tuple(real.shape), tuple(imag.shape))
    return Inferred((None, None), ((shape, real.dtype.to_complex()),))


def _complex(real: Any, imag: Any) -> Any:
    shape, kind = _complex_infer(real._spec, imag._spec).outs[0]
    made = raw.empty(spec_of(shape, kind, real._spec.device))
    layout = real_layout(made._spec)
    part = spec_of(shape, layout.dtype, layout.device, layout.strides[:-1])
    for i, x in enumerate((real, imag)):
        raw.copy(x, raw.view(made, part, i))
    return made


def _pair_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    shapes: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
        ((3,), (3,)), ((2, 1), (3,)), ((), ()), ((0,), (0,)),
    )  # fmt: skip
    return [Sample((draw(rng, a, dtype, -3, 3), draw(rng, b, dtype, -3, 3))) for a, b in shapes]


COMPLEX = OpDef(
    "complex",
    inputs=("real", "imag"),
    infer=_complex_infer,
    decompose=_complex,
    gradient={"real": lambda g: real(g), "imag": lambda g: imag(g)},
    accepts=(d.float32, d.float64),
    reference=lambda re, im: re + 1j * im,
    samples=_pair_samples,
    method=False,
)


@operator(COMPLEX, out=True)
def complex(real: Tensor, imag: Tensor) -> Tensor:
    """Complex numbers of real and imaginary parts, which broadcast.

    Raises:
        RuntimeError: not both float32 or both float64.
    """
    need_tensors("complex", real=real, imag=imag)
    _complex_infer(real._spec, imag._spec)
    return call(COMPLEX, (real, imag))


@publish(method=False, out=True)
def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """Complex numbers of absolute values and angles.

    Raises:
        RuntimeError: not both float32 or both float64.
    """
    need_tensors("polar", abs=abs, angle=angle)
    if abs._spec.dtype is angle._spec.dtype is d.float16:
        raise Unsupported("\"polar\" not implemented for 'Half'")
    _complex_infer(abs._spec, angle._spec)
    return complex(abs * angle.cos(), abs * angle.sin())


# --------------------------------------------------------- conj, angle, isreal


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    shapes: tuple[tuple[int, ...], ...] = ((5,), (2, 3), (), (0,))
    return [Sample((draw(rng, shape, dtype, -3, 3),)) for shape in shapes]


CONJ = OpDef(
    "conj_physical",
    kind="elementwise",
    infer=lambda spec: Inferred((None,), ((tuple(spec.shape), spec.dtype, spec.dense().strides),)),
    accepts=d.COMPLEX,
    decompose=lambda input: complex(real(input), imag(input).neg()),
    gradient={"input": lambda g: conj(g)},
    reference=np.conj,
    samples=lambda rng, dtype: _samples(rng, dtype if dtype.is_complex else d.complex64),
    inplace=True,
)


@operator(CONJ, out=True)
def conj(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor itself."""
    if not input._spec.dtype.is_complex:
        return input
    return call(CONJ, (input,))


_conjugate_in_place = Tensor.conj_physical_  # type: ignore[attr-defined]


def _conj_physical_(self: Tensor) -> Tensor:
    """The conjugate in place; a real tensor stays as it is."""
    return _conjugate_in_place(self) if self._spec.dtype.is_complex else self  # type: ignore[no-any-return]


Tensor.conj_physical_ = _conj_physical_  # type: ignore[attr-defined]
FUNCTIONS["conj"] = conj
Tensor.conj = conj  # type: ignore[attr-defined]


def _angle_gradient(g: Any, input: Any) -> Any:
    if not input._spec.dtype.is_complex:
        return input.new_zeros(tuple(input._spec.shape))
    size = (input * conj(input)).real
    slope = complex(imag(input).neg() / size, real(input) / size)
    return (slope * g).masked_fill(input.eq(0), 0)


def _angle(input: Any) -> Any:
    from dovetail import ops

    if input._spec.dtype.is_complex:
        return imag(input).atan2(real(input))
    kind = input._spec.dtype if input._spec.dtype.category == 2 else d.get_default_dtype()
    wide = input.to(kind)
    turned = ops.where(wide.lt(0), wide.new_full((), math.pi), wide.new_zeros(()))
    return ops.where(wide.ne(wide), wide, turned)


def _angle_infer(spec: Spec) -> Inferred:
    kind = spec.dtype.to_real()
    if kind.category < 2:
        kind = d.get_default_dtype()
    strides = None if spec.dtype.is_complex else spec.dense().strides
    return Inferred((None,), ((tuple(spec.shape), kind, strides),))


ANGLE = OpDef(
    "angle",
    infer=_angle_infer,
    decompose=_angle,
    gradient={"input": _angle_gradient},
    reference=lambda x: np.angle(x if np.iscomplexobj(x) else np.asarray(x, np.float64)),
    samples=_samples,
)


@operator(ANGLE, out=True)
def angle(input: Tensor) -> Tensor:
    """The angle of each number in radians: 0 or pi for real ones, NaN for NaN; gradient 0 at 0."""
    return call(ANGLE, (input,))


@publish()
def isreal(input: Tensor) -> Tensor:
    """Whether the imaginary part is 0."""
    if input._spec.dtype.is_complex:
        return imag(input).eq(0)
    return input.new_ones(tuple(input._spec.shape), dtype=d.bool_)


@publish()
def is_conj(input: Tensor) -> bool:
    """Always False: conjugation is never lazy here."""
    return False


@publish()
def is_neg(input: Tensor) -> bool:
    """Always False: negation is never lazy here."""
    return False
