"""The families that records are written in: each fills in what its members have in common.

``elementwise`` and ``compare`` broadcast and promote; ``composite`` turns a plain function over
tensors into an operator with an override point; ``primitive`` is for everything with its own rule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import observe
from dovetail.dispatch import call
from dovetail.dtypes import dtype as DType
from dovetail.factories import zeros_like
from dovetail.ops import expose
from dovetail.ops.out import finish
from dovetail.ops.schema import Facts, Inferred, OpDef, Sample, Tolerance
from dovetail.promotion import promote_specs
from dovetail.spec import Spec, ordered_strides

__all__ = [
    "broadcast_shapes",
    "composite",
    "draw",
    "elementwise",
    "elementwise_infer",
    "integers",
    "level",
    "logical",
    "of_floats",
    "pairs",
    "result_like",
    "result_strides",
    "same",
    "to_bool",
    "to_float",
    "uniform",
]


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all broadcast to, aligned at the last dim.

    Raises:
        RuntimeError: two sizes differ and neither is 1, in PyTorch's words, with both shapes.
    """
    if len(shapes) == 2 and shapes[0] == shapes[1]:
        return tuple(shapes[0])
    ndim = max((len(s) for s in shapes), default=0)
    out = [1] * ndim
    for shape in shapes:
        lead = ndim - len(shape)
        for i, n in enumerate(shape):
            have = out[lead + i]
            if n != have and n != 1:
                if have != 1:
                    raise RuntimeError(
                        f"The size of tensor a ({have}) must match the size of tensor b ({n}) at "
                        f"non-singleton dimension {lead + i} (shapes "
                        + " and ".join(str(tuple(s)) for s in shapes)
                        + " do not broadcast)"
                    )
                out[lead + i] = n
    return tuple(out)


def level(g: Any) -> Any:
    """The gradient of what is flat: 0 even where ``g`` is NaN or infinite."""
    return zeros_like(g)


# dtype rules: from operands to (dtype to compute in, dtype of the result)


def same(operands: tuple[Facts, ...]) -> tuple[DType, DType]:
    """The promoted dtype in and out."""
    kind = promote_specs(operands)
    return kind, kind


def to_float(operands: tuple[Facts, ...]) -> tuple[DType, DType]:
    """As ``same``, but integers and bool become the default float."""
    kind = promote_specs(operands)
    if kind.category < 2:
        kind = d.get_default_dtype()
    return kind, kind


def to_bool(operands: tuple[Facts, ...]) -> tuple[DType, DType]:
    """Compared in the promoted dtype; the result is bool."""
    return promote_specs(operands), d.bool_


def logical(operands: tuple[Facts, ...]) -> tuple[DType, DType]:
    """Integer and bool operands only; as ``same``."""
    return same(operands)


def elementwise_infer(
    name: str,
    rule: Callable[..., tuple[DType, DType]],
    inputs: tuple[str, ...] = ("input", "other"),
    tensors_only: bool = False,
) -> Callable[..., Inferred]:
    """The shape and dtype rule of an operator that broadcasts.

    With ``tensors_only`` a Python number is refused, as PyTorch does for some operators.
    """

    def infer(*facts: Facts, **attributes: Any) -> Inferred:
        for i, fact in enumerate(facts[: len(inputs)]):
            if fact is None or (tensors_only and isinstance(fact, type)):
                given = "NoneType" if fact is None else fact.__name__
                raise TypeError(
                    f"{name}(): argument '{inputs[i]}' (position {i + 1}) must be Tensor, not "
                    f"{given}"
                )
        compute, result = rule(facts)
        specs = [f for f in facts if isinstance(f, Spec)]
        shape: tuple[int, ...] = (
            tuple(specs[0].shape)
            if len(specs) == 1
            else broadcast_shapes(*[tuple(s.shape) for s in specs])
        )
        strides = result_strides(specs, shape)
        return Inferred((compute,) * len(facts), ((shape, result, strides),))

    return infer


def result_strides(specs: list[Spec], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Strides of a new result of these operands: dense, the dims ordered as theirs are.

    None for row-major. Source: PyTorch's ``TensorIterator``; where operands disagree, the first
    that tells two dims apart decides.
    """
    real = [s for s in specs if s.ndim]
    if all(s.is_contiguous for s in real) or 0 in shape:
        return None
    first = real[0]
    if first.is_dense and all(s.shape == shape and s.strides == first.strides for s in real):
        return first.strides
    rows = []
    for s in real:
        lead = len(shape) - s.ndim
        pairs = zip(s.shape, s.strides, shape[lead:], strict=True)
        rows.append((0,) * lead + tuple(0 if n == 1 and m != 1 else step for n, step, m in pairs))
    return ordered_strides(shape, rows)


def result_like(spec: Spec, dtype: d.dtype | None = None) -> tuple[Any, ...]:
    """What ``Inferred`` has of a result of a spec's shape and order, in its dtype or another."""
    shape = tuple(spec.shape)
    return shape, dtype or spec.dtype, result_strides([spec], shape)


# samples


def uniform(low: float, high: float) -> Callable[[np.random.Generator, DType], list[Sample]]:
    """One operand, values spread over an interval (whole numbers for integer dtypes)."""

    def samples(rng: np.random.Generator, dtype: DType) -> list[Sample]:
        return [Sample((draw(rng, shape, dtype, low, high),)) for shape in SHAPES]

    return samples


def pairs(
    low: float, high: float, low2: float | None = None, high2: float | None = None
) -> Callable[[np.random.Generator, DType], list[Sample]]:
    """Two operands of shapes that broadcast."""
    second = (low if low2 is None else low2, high if high2 is None else high2)

    def samples(rng: np.random.Generator, dtype: DType) -> list[Sample]:
        return [
            Sample((draw(rng, a, dtype, low, high), draw(rng, b, dtype, *second))) for a, b in PAIRS
        ]

    return samples


def integers(low: int, high: int) -> Callable[[np.random.Generator, DType], list[Sample]]:
    """Two integer operands."""
    return pairs(low, high)


SHAPES: tuple[tuple[int, ...], ...] = ((), (7,), (3, 5), (2, 3, 4), (0, 3))
PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((5,), (5,)),
    ((3, 4), (3, 4)),
    ((3, 1), (1, 4)),
    ((2, 3, 4), (4,)),
    ((2, 3), ()),
    ((0, 3), (3,)),
    ((), ()),
)


def draw(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: DType, low: float, high: float
) -> np.ndarray:
    """Random values of a dtype in an interval."""
    if dtype is d.bool_:
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.category == 1:
        low = max(low, 0) if not dtype.is_signed else low
        bounds = np.ceil(low), np.floor(high) + 1
        whole = rng.integers(int(bounds[0]), int(max(bounds[1], bounds[0] + 1)), shape)
        return np.asarray(whole).astype(dtype.numpy)
    values = rng.uniform(low, high, shape)
    if dtype.is_complex:
        values = values + 1j * rng.uniform(low, high, shape)
    return np.asarray(values).astype(dtype.numpy)


# families


def elementwise(
    name: str,
    *,
    inputs: tuple[str, ...] = ("input",),
    kind: str = "elementwise",
    rule: Callable[..., tuple[DType, DType]] = same,
    accepts: tuple[DType, ...] = d.ALL,
    gradient: Any = None,
    complex_gradient: Any = None,
    decompose: Callable[..., Any] | None = None,
    compute: DType | None = None,
    reference: Callable[..., Any] | None = None,
    samples: Callable[[np.random.Generator, DType], list[Sample]] | None = None,
    special: tuple[float, ...] = (),
    ulp: float = 4.0,
    required: bool = False,
    inplace: bool = True,
    method: bool = True,
    public: bool = True,
    doc: str = "",
    aliases: tuple[str, ...] = (),
    tensors_only: bool = False,
) -> OpDef:
    """Define an elementwise operator of one, two or three operands.

    A single gradient function belongs to the first (only) input; a dict names the input of each.
    """
    if callable(gradient):
        gradient = {inputs[0]: gradient}
    op = OpDef(
        name,
        kind=kind,
        inputs=inputs,
        infer=elementwise_infer(name, rule, inputs, tensors_only),
        gradient=gradient,
        complex_gradient=complex_gradient,
        decompose=decompose,
        compute=compute,
        accepts=accepts,
        reference=reference,
        samples=samples,
        special=special,
        tolerance=Tolerance(ulp),
        required=required,
        inplace=inplace,
        method=method,
        public=public,
    )
    hand_shaped = {
        ("input",): expose.unary_function,
        ("input", "other"): expose.binary_function,
    }
    make = hand_shaped.get(inputs)
    function = make(op) if make else _many(op)
    expose.attach(op, function, doc=doc, aliases=aliases)
    return op


def _many(op: OpDef) -> Callable[..., Any]:
    names = ", ".join(op.inputs)
    source = (
        f"def {op.name}({names}, *, out=None):\n"
        f"    return finish({op.name!r}, call(op, ({names},)), out)\n"
    )
    space: dict[str, Any] = {"op": op, "call": call, "finish": finish}
    exec(compile(source, f"<dovetail {op.name}>", "exec"), space)
    made: Callable[..., Any] = space[op.name]
    return made


def of_floats(ulp: float) -> Callable[..., Any]:
    """``record(name, inputs, **fields)``, a :func:`composite` of floats that is no method and not
    public, computed in float32 at least and right to ``ulp`` units of the largest input."""

    def record(name: str, inputs: tuple[str, ...], **fields: Any) -> Any:
        """A decorator: the function below is the decomposition of a record."""
        return composite(
            name,
            inputs=inputs,
            accepts=d.FLOATING,
            compute=d.float32,
            method=False,
            public=False,
            tolerance=Tolerance(ulp, against="inputs"),
            **fields,
        )

    return record


def composite(
    name: str,
    *,
    inputs: tuple[str, ...] = ("input",),
    variadic: bool = False,
    gradient: Any = None,
    prepare: Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]] | None = None,
    inplace: bool = False,
    method: bool = True,
    public: bool = True,
    out: bool = False,
    aliases: tuple[str, ...] = (),
    **fields: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turn a function over tensors into an operator that a backend may override.

    The decorated function is the decomposition; its parameters that ``inputs`` names are tensors,
    the others attributes (they must be hashable once ``prepare`` has seen them). The public
    function has the same signature.

    Args:
        prepare: ``prepare(*all arguments) -> (inputs, attributes)``: checks and normalises.
        out: the public function takes ``out=``.
    """

    def define(decompose: Callable[..., Any]) -> Callable[..., Any]:
        parameters = inspect.signature(decompose).parameters
        attributes = tuple(p for p in parameters if p not in inputs)
        op = OpDef(
            name,
            inputs=inputs,
            attributes=attributes,
            variadic=variadic,
            gradient=gradient,
            decompose=_from_list(decompose) if variadic else decompose,
            inplace=inplace,
            method=method,
            public=public,
            **fields,
        )
        function = _like(op, decompose, prepare)
        function.__doc__ = decompose.__doc__
        function.__module__ = decompose.__module__
        function.__annotations__ = decompose.__annotations__
        return expose.attach(op, function, out=out, aliases=aliases)

    return define


def _from_list(decompose: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *tensors, **attributes: decompose(tensors, **attributes)


def _like(op: OpDef, decompose: Callable[..., Any], prepare: Any) -> Callable[..., Any]:
    """A function with decompose's signature that dispatches ``op``."""
    signature = inspect.signature(decompose)
    declared, defaults = [], {}
    starred = False
    for p in signature.parameters.values():
        if p.kind is p.KEYWORD_ONLY and not starred:
            declared.append("*")
            starred = True
        if p.default is p.empty:
            declared.append(p.name)
        else:
            defaults[f"_default_{p.name}"] = p.default
            declared.append(f"{p.name}=_default_{p.name}")
    everything = ", ".join(signature.parameters)
    if prepare is not None:
        body = f"    return call(op, *prepare({everything}))"
    elif op.variadic:
        rest = "".join(f"{a}, " for a in op.attributes)
        body = f"    return call(op, tuple({op.inputs[0]}), ({rest}))"
    else:
        tensors = "".join(f"{i}, " for i in op.inputs)
        rest = "".join(f"{a}, " for a in op.attributes)
        specs = "".join(f"{i}._spec, " for i in op.inputs)
        body = (  # what `call` does, where all inputs are tensors and nobody watches
            "    if not _active:\n"
            "        try:\n"
            f"            _run = _plan(({specs}({rest})))\n"
            "        except (AttributeError, TypeError):\n"
            "            _run = None\n"
            f"        if _run is not None:\n            return _run({tensors})\n"
            f"    return call(op, ({tensors}), ({rest}))"
        )
    source = f"def {op.name}({', '.join(declared)}):\n{body}\n"
    space: dict[str, Any] = {
        "op": op, "call": call, "prepare": prepare, "_active": observe.active,
        "_plan": op.plans.get, **defaults,
    }  # fmt: skip
    exec(compile(source, f"<dovetail {op.name}>", "exec"), space)
    made: Callable[..., Any] = space[op.name]
    return made
