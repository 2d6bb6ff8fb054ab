"""Elementwise kernels: the core's expressions, filled into its template when a call is resolved.

A Python number is an argument of the kernel, so that it costs no memory and no transfer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dovetail.backend import (
    EXPRESSIONS,
    POWERS,
    Expression,
    Form,
    KernelTable,
    StridedView,
    broadcast,
    composable,
    composed,
    form_of,
    kernel_name,
    pack_width,
)
from dovetail.dtypes import FLOATING, INTEGRAL, bfloat16, float16
from dovetail.dtypes import dtype as DType
from dovetail_kernels.any_layout import AnyLayout, any_layout
from dovetail_kernels.arrays import Array, packed, part
from dovetail_kernels.bits import remembering
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import Device, Launch, device_of
from dovetail_kernels.expressions import text_of, with_numbers
from dovetail_kernels.faults import refusals_of

__all__ = ["Elementwise", "enter", "ghost", "number", "operands_of"]

WORD_ATTRIBUTES = {"gelu": "approximate", "gelu_backward": "approximate"}
"""Operators with one expression per word: ``name`` for "none", ``name`` with the word inside."""

NOT_HERE = ("copy", "fill", "gelu_tanh", "gelu_tanh_backward")
"""Words of other operators, and what :mod:`.storage` enters."""


def enter(table: KernelTable) -> None:
    """Enter every expression that is an operator."""
    for name, expression in EXPRESSIONS.items():
        if name in NOT_HERE:
            continue
        if name == "where":  # the class of the expression is that of its last operand
            table.add(name, _specialised(name, takes_numbers=False), specialize=True)
            table.add(name, _specialised(name), scalars=True, specialize=True, when=_has_tensor)
        else:
            kinds = expression.dtypes
            made = _power if name == "pow" else _specialised(name)
            table.add(name, made, dtypes=kinds, scalars=True, specialize=True, in_place=True)
    for name in composable():
        table.add(name, _composed, when=_is_composed, specialize=True, in_place=True)
    options: dict[str, Any] = {"scalars": True, "specialize": True, "in_place": True}
    for name in ("clamp", "clamp_min", "clamp_max"):
        for when in (_is_by_numbers, _is_by_tensors):
            table.add(name, _clamp, dtypes=(*FLOATING, *INTEGRAL), when=when, **options)


def _power(facts: Any) -> Any:
    """pow, whose exponents are known well where they are numbers."""
    general = _specialised("pow")(facts)
    base, exponent = facts.inputs
    (out,) = facts.outputs
    if isinstance(base, type) or not isinstance(exponent, type) or out.dtype.category != 2:
        return general
    views = [ghost(out), ghost(seen(facts)[0])]
    made: dict[float, Elementwise] = {}

    def run(x: Any, number: Any, y: Any) -> None:
        if number not in POWERS:
            general(x, number, y)
            return
        call = made.get(number)
        if call is None:
            word, text = POWERS[number]
            expression = Expression(1, {"float": text})
            call = Elementwise(
                device_of(out.device), f"pow_{word}", expression, views, (), out.dtype
            )
            made[number] = call
        call(x, y)

    return run


BOUNDS = {
    "low": "at_least(x0, low)",
    "high": "at_most(x0, high)",
    "both": "at_most(at_least(x0, low), high)",
}
"""clamp by numbers: below, above, both."""

TENSOR_BOUNDS = {
    "low": "at_least(x0, x1)",
    "high": "at_most(x0, x1)",
    "both": "at_most(at_least(x0, x1), x2)",
}
"""By tensors, which hand on NaN too."""


def _bounds(name: str, given: Sequence[Any]) -> dict[str, Any]:
    """By ``low`` and ``high``, those bounds of clamp, clamp_min or clamp_max that there are."""
    words = {"clamp_min": ("low",), "clamp_max": ("high",)}.get(name, ("low", "high"))
    pairs = zip(words, given, strict=True)
    return {word: bound for word, bound in pairs if bound is not None}


def _is_by_numbers(call: Any) -> bool:
    first, *bounds = call.inputs
    if isinstance(first, type) or not all(b is None or isinstance(b, type) for b in bounds):
        return False
    return first.dtype.category > 1 or float not in bounds  # else the result is of another dtype


def _is_by_tensors(call: Any) -> bool:
    first, *bounds = call.inputs
    given = [b for b in bounds if b is not None]
    return all(not isinstance(b, type) and b.dtype is first.dtype for b in given)


def _clamp(facts: Any) -> Any:
    (out,) = facts.outputs
    source, *given_ = facts.inputs
    bounds = _bounds(facts.op.name, given_)
    by_tensors = _is_by_tensors(facts)
    word = "both" if len(bounds) > 1 else next(iter(bounds))
    texts, parameters = (TENSOR_BOUNDS, ()) if by_tensors else (BOUNDS, tuple(bounds))
    views = [ghost(out), ghost(source), *(map(ghost, bounds.values()) if by_tensors else ())]
    call = Elementwise(
        device_of(out.device), f"clamp_{word}{'_tensors' * by_tensors}",
        Expression(len(views) - 1, {"number": texts[word]}, parameters), views, (), source.dtype,
    )  # fmt: skip

    def run(x: Any, *more: Any) -> None:
        *bounds, y = more
        numbers = [given(n, source.dtype) for n in bounds if n is not None]
        call.run((x, y), list(enumerate(numbers)))

    def run_by_tensors(*arrays: Any) -> None:
        call.run([array for array in arrays if array is not None], ())

    return run_by_tensors if by_tensors else run


def _has_tensor(call: Any) -> bool:
    return not all(isinstance(fact, type) for fact in call.inputs[1:])


def seen(facts: Any) -> list[Any]:
    """The inputs' specs as the kernel gets them: brought to the dtype that is computed in."""
    if facts.op.infer is None:  # a composite: its inputs come as they are
        return list(facts.inputs)
    compute = facts.op.infer(*facts.inputs, **facts.attributes).compute
    found = []
    for fact, kind in zip(facts.inputs, compute, strict=True):
        if isinstance(fact, type):
            found.append(fact)
        else:
            found.append(fact if kind in (None, fact.dtype) else fact.dense(kind))
    return found


def ghost(spec: Any) -> Array:
    """A spec as a view without memory, for what depends on shapes and strides only."""
    size = spec.dtype.itemsize
    strides = tuple(s * size for s in spec.strides)
    return Array(None, 0, tuple(spec.shape), strides, spec.dtype)


def _one(spec: Any) -> Array:
    """A single element as an array of the spec's shape, without memory."""
    return Array(None, 0, tuple(spec.shape), (0,) * spec.ndim, spec.dtype)


def number(value: Any, dtype: DType) -> Any:
    """A Python number as the argument of a kernel that computes in ``dtype``."""
    with np.errstate(all="ignore"):
        if dtype.category == 1:
            made = np.array(value).astype(dtype.numpy)
            wide = np.int64 if made.dtype.itemsize == 8 else None
            return made[()] if wide is None or made.dtype.kind == "u" else wide(made)
        made = np.asarray(value, dtype.numpy)
        if dtype in (float16, bfloat16):
            return np.float32(made)
        return np.uint8(made) if dtype.category == 0 else made[()]


@remembering
def given(value: Any, dtype: DType) -> Any:
    """A Python number that comes with a call, as :func:`number` makes it or as its bytes."""
    return number(value, dtype)


def _specialised(name: str, takes_numbers: bool = True) -> Callable[[Any], Any]:
    """What ``specialize`` calls.

    Args:
        takes_numbers: Python numbers come as they are; else each is an array of the output's shape.
    """

    def specialise(facts: Any) -> Any:
        word = facts.attributes.get(WORD_ATTRIBUTES.get(name, ""), "none")
        own = name if word == "none" else name.replace("gelu", f"gelu_{word}")
        expression = EXPRESSIONS[own]
        (out,) = facts.outputs
        inputs = seen(facts)
        numbers = [i for i, fact in enumerate(facts.inputs) if isinstance(fact, type)]
        if takes_numbers:
            views = [ghost(s) for i, s in enumerate(inputs) if i not in numbers]
        else:
            views = [_one(out) if i in numbers else ghost(s) for i, s in enumerate(inputs)]
            numbers = []
        views.insert(0, ghost(out))
        kind = views[-1].dtype
        values = [number(facts.attributes[p], kind) for p in expression.parameters]
        made = Elementwise(
            device_of(out.device),
            own,
            with_numbers(own, tuple(numbers)),
            views,
            values,
            kind,
            title=facts.op.named or own,
        )
        return made.with_numbers(numbers) if numbers else made.kernel

    return specialise


def operands_of(facts: Any) -> list[Array]:
    """The ghosts of a call's output and inputs, of which a Python number is an array of one."""
    (out,) = facts.outputs
    return [ghost(out), *(_one(out) if isinstance(s, type) else ghost(s) for s in seen(facts))]


def _composed(facts: Any) -> Any:
    """What ``specialize`` calls for an operator that is what its decomposition says."""
    expression = composed(facts)
    assert expression is not None
    (name,) = expression.helpers
    views = operands_of(facts)
    device = device_of(facts.outputs[0].device)
    return Elementwise(device, name, expression, views, (), views[-1].dtype).kernel


def _is_composed(facts: Any) -> bool:
    return composed(facts) is not None


def _in_order(views: Sequence[StridedView]) -> tuple[StridedView, ...]:
    """The same elements with the output's dims in the order of its memory."""
    dims = sorted(range(views[0].ndim), key=lambda d: -views[0].strides[d])
    return tuple(part(view, dims) for view in views)


class Elementwise:
    """One elementwise call resolved: ``kernel(*inputs, out)``.

    Args:
        device: where it runs.
        name: a word for the kernel's name.
        expression: what it computes.
        views: the operands' ghosts, the output's first.
        values: the parameters' values; those that are missing come with each call.
        kind: the dtype that the parameters have.
        patience: for how long operands that are not dense are packed, before a kernel is compiled
            for their layout. None: the device's.
        title: what errors call the operator; empty: ``name``.
    """

    def __init__(
        self,
        device: Device,
        name: str,
        expression: Expression,
        views: Sequence[StridedView],
        values: Sequence[Any],
        kind: DType,
        patience: int | None = None,
        title: str = "",
    ) -> None:
        self.device, self.name, self.expression = device, name, expression
        self.title = title or name
        self.kind = kind
        self.patience = device.patience if patience is None else patience
        self.views: tuple[StridedView, ...] = tuple(views)
        if any(v.shape != views[0].shape for v in views):
            self.views = broadcast(*views)
        if not self.views[0].is_contiguous:
            self.views = _in_order(self.views)
        form, integers = form_of(*self.views)
        self.form, self.count = form, integers[0]
        wide = np.uint64 if form.is_wide else np.uint32
        missing = len(expression.parameters) - len(values)
        self._values = [*values, *[number(0, kind)] * missing]
        self._integers = [wide(n) for n in integers]
        self._wide = wide
        self._free = len(values)  # the first parameter that comes with the call
        refused = expression.refused((self.views[1:] or self.views)[-1].dtype)
        # Numbers of its kernel.
        self._reported = [refusals_of(self.title, refused)] if refused else []
        self._faults = device.faults if refused else None
        self._plain: Launch | None = None
        self._offset: Launch | None = None
        self._packing: _Packing | AnyLayout | None = None
        if self.patience and any(step not in ("0", "1") for step in form.steps):
            self._packing = any_layout(device, name, expression, self.views, form) or _Packing(self)

    def _launch(self) -> Launch:
        form = Form(self.form.steps, True, self.form.is_wide)
        inputs = tuple(v.dtype for v in self.views[1:])
        out = self.views[0].dtype
        zeros = [self._wide(0)] * len(self.views)
        integers = [self._integers[0], *zeros, *self._integers[1:]]
        steps = len(form.steps[0])
        least = 4096 if steps <= 1 or not self.device.is_cpu else max(1, 4096 // self._inner)
        items = self.count if steps <= 1 or not self.device.is_cpu else self.count // self._inner
        width = pack_width(self.expression, inputs, out, form, self.device.dialect)
        items = -(-items // max(1, width))
        return self.device.launch(
            text_of(self.device, self.name, inputs, out, form, self.expression),
            kernel_name(self.name, inputs, out, form),
            len(self.views) + len(self._reported),
            [*self._values, *integers, *self._reported],
            self.device.workers(items, least),
            self.name,
        )

    @property
    def _inner(self) -> int:
        return int(self._integers[len(self.form.steps[0]) - 1]) or 1

    def __call__(self, *arrays: Any) -> None:
        """Queue it for inputs and output."""
        self.run(arrays, ())

    @property
    def kernel(self) -> Callable[..., None]:
        """What :meth:`__call__` does, for its number of inputs: most of a small call's time."""
        if isinstance(self._packing, AnyLayout) and self._packing.is_best:
            return self._packing.kernel
        made: dict[int, Callable[..., None]] = {1: self._unary, 2: self._binary}
        if self._reported:
            made = {2: self._reporting}
        return made.get(len(self.views) - 1, self.__call__)

    def _unary(self, x: Any, out: Any) -> None:
        launch = self._plain
        if launch is None or x.offset or out.offset:
            self.run((x, out), ())
        else:
            launch(out.buffer, x.buffer)

    def _binary(self, x: Any, y: Any, out: Any) -> None:
        launch = self._plain
        if launch is None or x.offset or y.offset or out.offset:
            self.run((x, y, out), ())
        else:
            launch(out.buffer, x.buffer, y.buffer)

    def _reporting(self, x: Any, y: Any, out: Any) -> None:
        launch = self._plain
        if launch is None or x.offset or y.offset or out.offset:
            self.run((x, y, out), ())
        else:
            launch(out.buffer, x.buffer, y.buffer, self._faults)
            self.device.suspect = True

    def with_numbers(self, places: Sequence[int]) -> Callable[..., None]:
        """A kernel that takes Python numbers at these places among its inputs."""
        kind, first = self.kind, self._free
        if tuple(places) == (1,) and len(self.views) == 2:

            def scaled(x: Any, value: Any, out: Any) -> None:
                self.run((x, out), ((first, given(value, kind)),))

            return scaled

        def run(*arrays: Any) -> None:
            values = [(first + i, given(arrays[at], kind)) for i, at in enumerate(places)]
            self.run(tuple(a for i, a in enumerate(arrays) if i not in places), values)

        return run

    def run(self, arrays: Sequence[Any], values: Sequence[tuple[int, Any]]) -> None:
        """Queue it, with the parameters' values that come with this call."""
        if not self.count:
            return
        if self._packing is not None:
            self._packing.run(arrays, values)
            if self._packing.is_best:
                return
            self.patience -= self.device.weight(self.count)
            if self.patience <= 0:
                self._packing = None
            return
        places = (arrays[-1], *arrays[:-1])
        buffers, shifted = [], 0
        for a in places:
            buffers.append(a.buffer)
            shifted |= a.offset
        if not shifted:
            launch = self._plain
            if launch is None:
                launch = self._plain = self._launch()
        else:
            launch = self._offset
            if launch is None:  # a launch of its own, so that zeros need not be set again
                launch = self._offset = self._launch()
            first, size = len(self._values) + 1, self._wide().itemsize
            values = [
                *values,
                *[
                    (first + i, (a.offset // a.dtype.itemsize).to_bytes(size, "little"))
                    for i, a in enumerate(places)
                ],
            ]
        if not self._reported:
            launch.with_numbers(buffers, values)
            return
        launch.with_numbers((*buffers, self._faults), values)
        self.device.suspect = True


class _Packing:
    """An elementwise call on packed copies of its operands.

    Every layout has a kernel of its own, and compiling one takes as long as thousands of calls:
    what is called a few times only is packed, and served by the kernel for dense operands; so is
    what is transposed, always (``is_best``).
    """

    def __init__(self, call: Elementwise) -> None:
        device = call.device
        self.device = device
        out, *inputs = call.views
        dense = [packed(v) for v in call.views]
        self.core = Elementwise(
            device, call.name, call.expression, dense, call._values[: call._free], call.kind, 0,
            call.title,
        )  # fmt: skip
        self.copies = [
            None if v.is_contiguous else Copy(device, v, d)
            for v, d in zip(inputs, dense[1:], strict=True)
        ]
        self.back = None if out.is_contiguous else Copy(device, dense[0], out)
        self.dense = dense
        self.is_best = any(copy is not None and copy.is_turned for copy in self.copies)
        moved = [self.back, *self.copies]
        self.sizes = [
            d.numel * d.itemsize for d, c in zip(dense, moved, strict=True) if c is not None
        ]

    def run(self, arrays: Sequence[Any], values: Sequence[tuple[int, Any]]) -> None:
        """Queue the copies and the kernel."""
        *inputs, out = arrays
        with self.device.scratch(*self.sizes) as blocks:
            free = iter(blocks)
            target = out if self.back is None else self._at(self.dense[0], next(free))
            held = []
            for x, copy, dense in zip(inputs, self.copies, self.dense[1:], strict=True):
                if copy is None:
                    held.append(x)
                else:
                    held.append(self._at(dense, next(free)))
                    copy(x, held[-1])
            self.core.run((*held, target), values)
            if self.back is not None:
                self.back(target, out)

    @staticmethod
    def _at(dense: Array, block: Any) -> Array:
        return Array(block, 0, dense.shape, dense.strides, dense.dtype)
