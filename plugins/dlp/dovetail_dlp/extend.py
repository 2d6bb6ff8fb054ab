"""A user's kernels: in place of the device's own, or as operators of their own with gradients."""

from __future__ import annotations

import importlib
import inspect
import os
import runpy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dovetail.backend import KernelTable, registry
from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32
from dovetail_dlp.machine.kernel import Kernel, kernel

__all__ = ["forget_plans", "install", "load_named", "operator"]

VARIABLE = "DOVETAIL_DLP_KERNELS"
"""Modules, or files, that are loaded with the device; what they install is there in every
process."""

_ops: list[Any] = []  # the module dovetail.ops, once the core has handed it over
_waiting: list[Callable[[], None]] = []
_tables: list[KernelTable] = []


def install(name: str, function: Callable[..., Any], **options: Any) -> None:
    """Have ``function`` serve operator ``name`` from here on, where ``options`` fit.

    Args:
        name: as ``dovetail capabilities dlp`` lists it.
        function: a kernel, or a function that launches some.
        options: ``dtypes``, ``when``, … as of ``KernelTable.add``; float32 unless they say more.

    Example:
        >>> import dovetail as dt, dovetail_dlp, dovetail_dlp.lang as dlp
        >>> @dlp.kernel
        ... def relu(x, out):
        ...     for start, stop in dlp.parts(x.size, dlp.room(x.dtype)):
        ...         tile = dlp.nram(stop - start, x.dtype)
        ...         dlp.load(tile, x.flat[start:stop])
        ...         dlp.vector_maximum(tile, tile, 0.0)
        ...         dlp.store(out.flat[start:stop], tile)
        >>> dovetail_dlp.install("relu", relu)
        >>> dt.tensor([-1.0, 2.0]).dlp().relu().tolist()
        [0.0, 2.0]
    """
    options.setdefault("dtypes", (float32,))
    if _tables:
        _add(name, function, options)
    else:
        _waiting.append(lambda: _add(name, function, options))


def _add(name: str, function: Callable[..., Any], options: dict[str, Any]) -> None:
    for table in _tables:
        table.add(name, function, **options)
    if _ops and name in _ops[0].schema.REGISTRY:  # calls seen before must be resolved again
        op = _ops[0].schema.REGISTRY[name]
        for resolved in (op, *op.parts.values()):
            resolved.plans.clear()


def entered(table: KernelTable) -> None:
    """Called with the device's table, once."""
    _tables[:] = [table]
    load_named()
    for act in _waiting:
        act()
    _waiting.clear()


def load_named() -> None:
    """Import what DOVETAIL_DLP_KERNELS names."""
    for name in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        if name.endswith(".py"):
            runpy.run_path(name)
        else:
            importlib.import_module(name)


def handed_over(ops: Any) -> None:
    """Called with the module ``dovetail.ops``, once."""
    _ops[:] = [ops]


def forget_plans() -> None:
    """Have every call be resolved again: plans keep numbers in device memory."""
    for ops in _ops:
        for op in ops.schema.REGISTRY.values():
            op.plans.clear()
            op.writes.clear()


def operator(
    *,
    shapes: Callable[..., Sequence[tuple[tuple[int, ...], DType]]],
    outputs: int = 1,
    gradient: Any = None,
    decompose: Callable[..., Any] | None = None,
    dtypes: Iterable[DType] = (float32,),
    differentiable: tuple[int, ...] | None = None,
    **record: Any,
) -> Callable[[Any], Callable[..., Any]]:
    """Decorator: a kernel becomes an operator on tensors, with autograd.

    The kernel's positional parameters are the inputs, then the outputs; keywords are attributes.

    Args:
        shapes: of the inputs (objects with ``shape`` and ``dtype``) and the attributes by keyword:
            a list of ``(shape, dtype)``, one per output.
        outputs: how many there are.
        gradient: as in the core's records: per input a function whose parameter names say what it
            needs (``g``, inputs, ``out0``, …, attributes), or one function for all that returns a
            tuple.
        decompose: the same in tensor operations, for other devices, and for gradients where
            ``gradient`` is None; without both, there is no gradient.
        dtypes: of the first input.
        differentiable: the outputs with a gradient; None: all of a floating dtype.
        record: more fields of the record, such as ``reference``, ``samples``, ``tolerance``, with
            which
            the conformance suite grades it.

    Returns:
        A function of tensors and keywords. Inputs that are numbers are refused.
    """

    def define(function: Any) -> Callable[..., Any]:
        made = function if isinstance(function, Kernel) else kernel(function)
        registry.get("dlp")  # the core hands over its operators with the device
        ops, name = _ops[0], made.name
        parameters = inspect.signature(made.function).parameters.values()
        names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        attributes = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        inputs = tuple(names[: len(names) - outputs])

        def infer(*facts: Any, **values: Any) -> Any:
            outs = tuple((tuple(shape), kind) for shape, kind in shapes(*facts, **values))
            return ops.schema.Inferred((None,) * len(facts), outs)

        op = ops.schema.OpDef(
            name, inputs=inputs, attributes=tuple(attributes), outputs=outputs, infer=infer,
            gradient=gradient, decompose=decompose, accepts=tuple(dtypes), method=False,
            public=False, differentiable=differentiable or tuple(range(outputs)), **record,
        )  # fmt: skip
        install(name, made, dtypes=tuple(dtypes))

        def call(*tensors: Any, **given: Any) -> Any:
            if len(tensors) != len(inputs):
                raise TypeError(
                    f"{name}(): takes {len(inputs)} tensors ({', '.join(inputs)}), got "
                    f"{len(tensors)}"
                )
            unknown = set(given) - set(attributes)
            if unknown:
                raise TypeError(f"{name}() got an unexpected keyword argument '{min(unknown)}'")
            values = {**attributes, **given}
            missing = [key for key, value in values.items() if value is inspect.Parameter.empty]
            if missing:
                raise TypeError(f"{name}() missing required keyword argument '{missing[0]}'")
            return ops.families.call(op, tensors, tuple(values.values()))

        call.__name__ = call.__qualname__ = name
        call.__doc__ = made.function.__doc__
        op.function = call
        return call

    return define
