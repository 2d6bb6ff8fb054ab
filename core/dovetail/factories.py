"""Making tensors: filled, ranges, like another; those from data are in ``from_data``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import observe, raw
from dovetail.backend.state import POOLED, DeviceState, state_of
from dovetail.device import _thread, resolve
from dovetail.device import device as Device
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.factory_arguments import finish as _finish
from dovetail.factory_arguments import number_for, whole
from dovetail.factory_arguments import place as _place
from dovetail.factory_arguments import shape_of as _shape
from dovetail.fitting import check_fits, held
from dovetail.from_data import (
    as_tensor,
    asarray,
    elements,
    from_numpy,
    frombuffer,
    scalar_tensor,
    tensor,
    warn_of_copy,
)
from dovetail.kernels import bind_kernel, find_kernel, select_kernel
from dovetail.late_binding import BATCHED
from dovetail.memory_formats import contiguous_format, preserve_format, target_spec
from dovetail.ops.out import deliver as _deliver
from dovetail.ops.schema import REGISTRY, CallFacts
from dovetail.promotion import number_dtype
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

new = object.__new__

__all__ = [
    "arange",
    "as_tensor",
    "asarray",
    "clear_factory_plans",
    "empty",
    "empty_like",
    "empty_strided",
    "eye",
    "fill_raw",
    "from_numpy",
    "frombuffer",
    "full",
    "full_like",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "run_storage",
    "scalar_tensor",
    "tensor",
    "zeros",
    "zeros_like",
]

_KEPT = 1 << 12
"""Kernels that are kept with their values, before all are forgotten."""


def _storage_kernel(name: str, spec: Spec, attributes: dict[str, Any]) -> Any:
    """The device's fill/arange/random_bits kernel with its attributes bound."""
    op = REGISTRY[name]
    facts = CallFacts(op, (), (spec,), attributes)
    state = state_of(spec.device)
    entry = select_kernel(op, facts, (), state)
    if entry is None:
        raise Unsupported(f"{name}: {state.device} has no kernel of it; every backend needs one")
    return bind_kernel(entry, facts)


def _bound(name: str, spec: Spec, attributes: dict[str, Any]) -> Any:
    """As :func:`_storage_kernel`, kept for values whose equals are the same number."""
    value = attributes.get("value")
    kind = value.__class__
    if name != "fill" or kind is complex or value != value or (value == 0 and str(value)[0] == "-"):
        return _storage_kernel(name, spec, attributes)
    plans = REGISTRY[name].plans
    key = (_storage_kernel, spec, kind, value)
    kernel = plans.get(key)
    if kernel is None:
        if len(plans) >= _KEPT:
            plans.clear()
        kernel = plans[key] = _storage_kernel(name, spec, attributes)
    return kernel


def run_storage(name: str, made: Tensor, attributes: dict[str, Any]) -> Tensor:
    """Run a storage primitive into ``made``."""
    if made._spec.numel:
        kernel = _bound(name, made._spec, attributes)
        if observe.active:

            def plan() -> Tensor:
                kernel(made._materialize())
                return made

            plan.served_by = "kernel"  # type: ignore[attr-defined]
            observe.run(REGISTRY[name], plan, (), tuple(attributes.values()))
        else:
            kernel(made._materialize())
    return made


def fill_raw(made: Tensor, value: Any) -> Tensor:
    """Fill without recording; the value is brought to the dtype first.

    Raises:
        RuntimeError: the dtype cannot hold the value.
    """
    kind = made._spec.dtype
    value = number_for(kind, value)
    spec = made._spec
    if spec.batch is not None:
        return BATCHED.fill(made, value)
    if not spec.is_contiguous and not _fills_strided(spec, value):
        one = run_storage("fill", raw.empty(spec_of((), kind, spec.device)), {"value": value})
        raw.copy(one, made)
        return made
    return run_storage("fill", made, {"value": value})


def _fills_strided(spec: Spec, value: Any) -> bool:
    facts = CallFacts(REGISTRY["fill"], (), (spec,), {"value": value})
    entry = select_kernel(REGISTRY["fill"], facts, (), state_of(spec.device))
    return entry is None or entry.layout == "strided"


def empty(
    *sizes: Any,
    size: Any = None,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = contiguous_format,
) -> Tensor:
    """Uninitialised memory of a shape."""
    kind, place = _place(dtype, device, out, layout, pin_memory)
    if memory_format is preserve_format:
        raise RuntimeError("unsupported memory format Preserve (there is nothing to preserve)")
    spec = target_spec(spec_of(_shape(sizes, size), kind, place), memory_format)
    return _finish(_deliver(raw.empty(spec), out), requires_grad, pin_memory and out is None)


def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Uninitialised memory with given strides.

    Raises:
        RuntimeError: not one stride per dim, or a negative one.
    """
    kind, place = _place(dtype, device, None, layout, pin_memory)
    shape = _shape((tuple(size),))
    strides = tuple(whole("empty_strided", "stride", n) for n in stride)
    if len(shape) != len(strides):
        raise RuntimeError(
            f"empty_strided: dimensionality of sizes ({len(shape)}) must match dimensionality of "
            f"strides ({len(strides)})"
        )
    if any(n < 0 for n in strides):
        raise RuntimeError(f"empty_strided: strides must not be negative, got {list(strides)}")
    return _finish(raw.empty(spec_of(shape, kind, place, strides)), requires_grad, pin_memory)


def full(
    size: Any,
    fill_value: Any,
    *,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Every element ``fill_value``; the dtype follows the value unless given.

    Raises:
        TypeError: ``size`` is no sequence, or ``fill_value`` no number.
        RuntimeError: the dtype cannot hold the value.
    """
    if hasattr(size, "__index__") and not hasattr(size, "__len__"):
        raise TypeError(
            f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}"
        )
    fill_value = _number("full", 2, fill_value)
    if dtype is None and out is None:
        dtype = number_dtype(type(fill_value))
    kind, place = _place(dtype, device, out, layout, pin_memory)
    made = fill_raw(raw.empty(spec_of(_shape((tuple(size),)), kind, place)), fill_value)
    return _finish(_deliver(made, out), requires_grad, pin_memory and out is None)


def _number(function: str, position: int, value: Any) -> Any:
    """A Python number from a number, a NumPy scalar or a tensor of one element."""
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and not value._spec.ndim):
        value = value.item()  # type: ignore[union-attr]
    if not isinstance(value, (bool, int, float, complex)):
        raise TypeError(
            f"{function}(): argument 'fill_value' (position {position}) must be Number, not "
            f"{type(value).__name__}"
        )
    return value


_fill_plans: dict[str, dict[Any, Any]] = {}


def _filled(name: str, value: int) -> Any:
    plans = _fill_plans.setdefault(name, {})
    thread = _thread

    def function(
        *sizes: Any,
        size: Any = None,
        out: Tensor | None = None,
        dtype: d.dtype | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
    ) -> Tensor:
        where = thread.chosen if device is None else device
        if (
            out is None
            and size is None
            and not requires_grad
            and layout is None
            and not pin_memory
            and not observe.active
        ):
            try:
                plan = plans.get((sizes, dtype, where))
            except TypeError:
                plan = None
            if (
                plan is not None
                and (dtype is not None or plan.dtype is d._default)
                and sizes[0].__class__ is not bool  # True finds the plan of 1
            ):
                return plan()
        kind, place = _place(dtype, device, out, layout, pin_memory)
        spec = spec_of(_shape(sizes, size), kind, place)
        made = _finish(
            _deliver(fill_raw(raw.empty(spec), value), out),
            requires_grad,
            pin_memory and out is None,
        )
        is_known = device is None or (device.__class__ is str and ":" in device)
        if is_known and out is None and all(n.__class__ is int for n in sizes) and sizes:
            if len(plans) > 1024:
                plans.clear()
            plans[sizes, dtype, where] = _FillPlan(spec, value)
        return made

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Every element {value}; the default dtype unless given."
    return function


class _FillPlan:
    """A factory call resolved: new memory of one spec, filled with one number."""

    __slots__ = ("dtype", "fill", "make", "make_array", "spec")

    def __init__(self, spec: Spec, value: int) -> None:
        state = state_of(spec.device)
        self.spec = spec
        self.dtype = spec.dtype
        self.make = state.maker(spec)
        self.make_array = _zeros_maker(state, spec) if value == 0 else None
        self.fill = _storage_kernel("fill", spec, {"value": value})

    def __call__(self) -> Tensor:
        make = self.make_array
        if make is not None:
            made: Tensor = new(Tensor)
            made._spec = self.spec
            made._array = make()
            made._storage = made._node = made._base = None
            return made
        made = self.make()
        if self.spec.numel:
            self.fill(made._array)
        return made


def _zeros_maker(state: DeviceState, spec: Spec) -> Any:
    """Small zeros of host arrays come cleared from NumPy in one step."""
    from functools import partial

    if not state.host_arrays or spec.nbytes >= POOLED:
        return None
    return partial(np.zeros, tuple(spec.shape), spec.dtype.numpy)


def clear_factory_plans() -> None:
    """Forget resolved factory calls."""
    for plans in _fill_plans.values():
        plans.clear()


zeros = _filled("zeros", 0)
ones = _filled("ones", 1)


def _like(function: str, value: Any) -> Any:
    def like(
        input: Tensor,
        *,
        dtype: d.dtype | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        memory_format: Any = preserve_format,
        pin_memory: bool = False,
    ) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(
                f"{function}_like(): argument 'input' (position 1) must be Tensor, not "
                f"{type(input).__name__}"
            )
        spec = input._spec
        place = spec.device if device is None else resolve(device)
        kind = spec.dtype if dtype is None else d.as_dtype(dtype)
        made = raw.empty(target_spec(spec, memory_format, kind, place))
        if value is not None:
            fill_raw(made, value)
        return _finish(made, requires_grad, pin_memory)

    like.__name__ = like.__qualname__ = function + "_like"
    like.__doc__ = f"As :func:`{function}`, with the shape, dtype and device of ``input``."
    return like


zeros_like = _like("zeros", 0)
ones_like = _like("ones", 1)
empty_like = _like("empty", None)


def full_like(input: Tensor, fill_value: Any, **options: Any) -> Tensor:
    """As :func:`full`, with the shape, dtype and device of ``input``."""
    requires_grad = options.pop("requires_grad", False)
    made: Tensor = empty_like(input, **options)
    return _finish(fill_raw(made, _number("full_like", 2, fill_value)), requires_grad)


def arange(
    *bounds: Any,
    start: Any = None,
    end: Any = None,
    step: Any = None,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Numbers from ``start`` (0) up to but not including ``end``, ``step`` (1) apart.

    Raises:
        RuntimeError: step is 0, or points away from end, or the range has no end.
        Unsupported: a bool or complex dtype.
    """
    if len(bounds) > 3:
        raise TypeError(f"arange(): expected (start=0, end, step=1), got {len(bounds)} numbers")
    values = [b.item() if isinstance(b, (Tensor, np.generic)) else b for b in bounds]  # type: ignore[union-attr]
    if len(values) == 1 and end is None:
        end = values[0]
    else:
        for value, name in zip(values, ("start", "end", "step"), strict=False):
            if name == "start":
                start = value
            elif name == "end":
                end = value
            else:
                step = value
    start, step = 0 if start is None else start, 1 if step is None else step
    if end is None:
        raise TypeError("arange(): end is missing")
    if any(isinstance(v, complex) for v in (start, end, step)):
        raise RuntimeError("value cannot be converted to type double without overflow (arange)")
    if not all(math.isfinite(v) for v in (start, end, step)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype is None and out is None:
        floats = any(isinstance(v, float) for v in (start, end, step))
        dtype = d.get_default_dtype() if floats else d.int64
    kind, place = _place(dtype, device, out, layout, pin_memory)
    if kind not in (*d.INTEGRAL, *d.FLOATING):
        raise Unsupported(f"\"arange\" not implemented for '{type_name(kind)}'")
    if kind is d.int64:  # PyTorch counts in the dtype itself here, and in float64 for all others
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise RuntimeError("step must be nonzero")
    count = max(0, math.ceil((end - start) / step))
    if kind.category == 1:
        start, step = int(start), int(step)
    made = raw.empty(spec_of((count,), kind, place))
    run_storage("arange", made, {"start": start, "step": step})
    return _finish(_deliver(made, out), requires_grad, pin_memory and out is None)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """``steps`` numbers from ``start`` to ``end`` inclusive, evenly spaced.

    Of an integer dtype, the ends are cut off first.

    Raises:
        TypeError: ``steps`` is no integer.
        RuntimeError: it is negative, the numbers are complex and the dtype is not, or an end does
            not fit it.
    """
    kind, place = _spaced("linspace", start, end, steps, dtype, device, out, layout, pin_memory)
    start, end = _ends(kind, start, end, steps)
    made = _on_device("linspace", kind, place, start, end, steps)
    if made is None:
        made = raw.from_host(elements(_spread(start, end, steps), kind), kind, state_of(place))
    return _finish(_deliver(made, out), requires_grad, pin_memory and out is None)


def _spaced(
    name: str, start: Any, end: Any, steps: Any, dtype: Any, device: Any, out: Any, *memory: Any
) -> tuple[d.dtype, Device]:
    """The dtype and device of evenly spaced numbers, checked."""
    if whole(name, "steps", steps) < 0:
        raise RuntimeError("number of steps must be non-negative")
    kind, place = _place(dtype, device, out, *memory)
    if any(isinstance(_scalar(v), complex) for v in (start, end)) and not kind.is_complex:
        if dtype is not None or out is not None:
            raise RuntimeError(
                f"torch.{name}(): inferred dtype {kind.to_complex()} can't be safely cast to "
                f"passed dtype {kind}"
            )
        kind = kind.to_complex()
    if kind is d.bool_:
        raise Unsupported(f"\"{name}\" not implemented for '{type_name(kind)}'")
    return kind, place


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value  # type: ignore[attr-defined]


def _ends(kind: d.dtype, start: Any, end: Any, steps: int) -> tuple[Any, Any]:
    """Both ends as numbers; those of integers are of their dtype, as in PyTorch.

    Raises:
        RuntimeError: one that the dtype has not.
    """
    start, end = _scalar(start), _scalar(end)
    if kind.category != 1 or steps < 2:
        return start, end
    check_fits(start, kind)
    check_fits(end, kind)
    cut = np.array([held(start, kind), held(end, kind)]).astype(kind.numpy)
    return cut[0].item(), cut[1].item()


def _spread(start: Any, end: Any, steps: int) -> Any:
    start, end = _scalar(start), _scalar(end)
    step, half = _step(start, end, steps), (steps + 1) // 2
    i = np.arange(half)
    return np.concatenate([start + step * i, (end - step * i[: steps - half])[::-1]])


def _step(start: Any, end: Any, steps: int) -> Any:
    return (end - start) / (steps - 1) if steps > 1 else 0.0


SPACED = ("linspace", "logspace")
"""Kernels that a table may have though they are no operators: see :func:`_on_device`."""


def _on_device(
    name: str, kind: d.dtype, place: Device, start: Any, end: Any, steps: int, **more: Any
) -> Tensor | None:
    """Evenly spaced numbers by a kernel of the device, where its table has one.

    ``linspace(out, *, start, step, stop)`` writes ``start + i * step`` into the first half of n
    elements and ``stop - (n - 1 - i) * step`` into the others, in float64 (complex dtypes in
    complex128), sums rounded apart from products; ``logspace`` the powers of ``base`` by these.
    """
    state = state_of(place)
    if not state.table.entries(name):
        return None
    spec = spec_of((int(steps),), kind, place)
    start, stop = _scalar(start), _scalar(end)
    attributes = {"start": start, "step": _step(start, stop, spec.numel), "stop": stop, **more}
    facts = CallFacts(REGISTRY["arange"], (), (spec,), attributes)
    entry = find_kernel(name, facts, kind, state)
    if entry is None:
        return None
    made = raw.empty(spec)
    if spec.numel:
        bind_kernel(entry, facts)(made._materialize())
    return made


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """``base`` to the power of ``linspace(start, end, steps)``.

    Raises:
        TypeError: ``steps`` is no integer.
        RuntimeError: it is negative, or the numbers are complex and the dtype is not.
    """
    kind, place = _spaced("logspace", start, end, steps, dtype, device, out, layout, pin_memory)
    start, end = _ends(kind, start, end, steps)
    made = None
    # Powers of a device may be off by the last place: too far for whole numbers, which are cut off.
    if kind.category == 2 and isinstance(base, (int, float)):
        made = _on_device("logspace", kind, place, start, end, steps, base=base)
    if made is None:
        with np.errstate(all="ignore"):
            values = np.power(base, np.asarray(_spread(start, end, steps)))
        made = raw.from_host(elements(values, kind), kind, state_of(place))
    return _finish(_deliver(made, out), requires_grad, pin_memory and out is None)


def eye(
    n: int,
    m: int | None = None,
    *,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """The n by m matrix with ones on the diagonal."""
    kind, place = _place(dtype, device, out, layout, pin_memory)
    rows = whole("eye", "n", n)
    columns = rows if m is None else whole("eye", "m", m)
    if rows == columns and state_of(place).table.entries("diag_embed"):  # no filling of a view
        made = ones(1, dtype=kind, device=place).expand(rows).diag_embed()  # type: ignore[attr-defined]
    else:
        made = zeros(rows, columns, dtype=kind, device=place)
        fill_raw(made.diagonal(), 1)
    return _finish(_deliver(made, out), requires_grad, pin_memory and out is None)


def _new(name: str) -> Any:
    functions = {"empty": empty, "zeros": zeros, "ones": ones, "empty_strided": empty_strided,
                 "full": full}  # fmt: skip

    def method(self: Tensor, *arguments: Any, **options: Any) -> Tensor:
        for option in ("dtype", "device"):
            if options.get(option) is None:
                options[option] = getattr(self, option)
        made: Tensor = functions[name](*arguments, **options)
        if self._spec.batch is not None:
            made = BATCHED.like(made, self)
        return made

    method.__doc__ = f"``{name}`` with this tensor's dtype and device."
    method.__name__ = f"new_{name}"
    return method


def _new_tensor(self: Tensor, data: Any, **options: Any) -> Tensor:
    """``tensor`` with this tensor's dtype and device."""
    for option in ("dtype", "device"):
        if options.get(option) is None:
            options[option] = getattr(self, option)
    if isinstance(data, Tensor):
        warn_of_copy()
        where, kind = resolve(options["device"]), options["dtype"]
        made = data.detach().to(where, kind, copy=True)  # type: ignore[attr-defined]
        return _finish(made, options.get("requires_grad", False))
    return tensor(data, **options)


for _name in ("empty", "zeros", "ones", "empty_strided", "full"):
    setattr(Tensor, f"new_{_name}", _new(_name))
Tensor.new_tensor = _new_tensor  # type: ignore[attr-defined]
