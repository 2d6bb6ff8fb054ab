"""Making tensors: from data, filled, ranges, like another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import observe, raw
from dovetail.autograd.grad_mode import mode
from dovetail.backend.state import DeviceState, state_of
from dovetail.device import _thread, resolve
from dovetail.device import device as Device
from dovetail.dispatch import select_kernel
from dovetail.errors import Unsupported
from dovetail.ops.convert import contiguous_format, preserve_format, target_spec
from dovetail.ops.schema import REGISTRY, CallFacts
from dovetail.ops.views import _ints
from dovetail.plans import bind_kernel
from dovetail.spec import Size, Spec, spec_of
from dovetail.tensor import Tensor, new_tensor

new = object.__new__

__all__ = [
    "arange", "as_tensor", "asarray", "empty", "empty_like", "empty_strided", "eye", "from_numpy",
    "full", "full_like", "linspace", "logspace", "ones", "ones_like", "scalar_tensor", "tensor",
    "zeros", "zeros_like",
]  # fmt: skip


def _finish(made: Tensor, requires_grad: bool) -> Tensor:
    if mode.inference:
        made._inference = True
    return made.requires_grad_() if requires_grad else made


def _storage_kernel(name: str, spec: Spec, attributes: dict[str, Any]) -> Any:
    """The device's fill/arange/random_bits kernel with its attributes bound."""
    op = REGISTRY[name]
    facts = CallFacts(op, (), (spec,), attributes)
    state = state_of(spec.device)
    entry = select_kernel(op, facts, (), state)
    if entry is None:
        raise Unsupported(f"{name}: {state.device} has no kernel of it; every backend needs one")
    return bind_kernel(entry, facts)


def run_storage(name: str, made: Tensor, attributes: dict[str, Any]) -> Tensor:
    """Run a storage primitive into ``made``."""
    if made._spec.numel:
        kernel = _storage_kernel(name, made._spec, attributes)
        if observe.active:
            plan = lambda: kernel(made._materialize())
            plan.served_by = "kernel"  # type: ignore[attr-defined]
            observe.run(REGISTRY[name], plan, ())
        else:
            kernel(made._materialize())
    return made


def fill_raw(made: Tensor, value: Any) -> Tensor:
    """Fill without recording; the value is brought to the dtype first."""
    kind = made._spec.dtype
    if kind.category == 0:
        value = bool(value)
    elif kind.category == 1:
        value = int(np.array(int(value)).astype(kind.numpy))
    elif kind.category == 2:
        if isinstance(value, complex):
            raise RuntimeError(f"value cannot be converted to type {kind.name} without overflow")
        value = float(value)
    spec = made._spec
    if not spec.is_contiguous and not _fills_strided(spec, value):
        one = run_storage("fill", raw.empty(spec_of((), kind, spec.device)), {"value": value})
        raw.copy(one, made)
        return made
    return run_storage("fill", made, {"value": value})


def _fills_strided(spec: Spec, value: Any) -> bool:
    facts = CallFacts(REGISTRY["fill"], (), (spec,), {"value": value})
    entry = select_kernel(REGISTRY["fill"], facts, (), state_of(spec.device))
    return entry is None or entry.layout == "strided"


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    shape = _ints(size) if size else ()
    if any(n < 0 for n in shape):
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}"
        )
    return shape


def _place(dtype: Any, device: Any) -> tuple[d.dtype, Device]:
    if dtype is not None and not isinstance(dtype, d.dtype):
        names = {float: d.get_default_dtype(), int: d.int64, bool: d.bool_}
        if dtype not in names:
            raise TypeError(f"dtype must be a torch.dtype, got {dtype!r}")
        dtype = names[dtype]
    return dtype or d.get_default_dtype(), resolve(device)


def empty(
    *size: Any,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = contiguous_format,
) -> Tensor:
    """Uninitialised memory of a shape."""
    kind, place = _place(dtype, device)
    spec = target_spec(spec_of(_shape(size), kind, place), memory_format)
    return _finish(_deliver(raw.empty(spec), out), requires_grad)


def _deliver(made: Tensor, out: Tensor | None) -> Tensor:
    if out is None:
        return made
    from dovetail.ops.expose import finish

    result: Tensor = finish("factory", made, out)
    return result


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
    """Uninitialised memory with given strides."""
    kind, place = _place(dtype, device)
    return _finish(raw.empty(spec_of(tuple(size), kind, place, tuple(stride))), requires_grad)


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
    """Every element ``fill_value``; the dtype follows the value unless given."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    if dtype is None:
        default = d.get_default_dtype()
        dtype = {bool: d.bool_, int: d.int64, complex: default.to_complex()}.get(
            type(fill_value), default
        )
    size = (size,) if isinstance(size, int) else size
    kind, place = _place(dtype, device)
    made = fill_raw(raw.empty(spec_of(_shape((tuple(size),)), kind, place)), fill_value)
    return _finish(_deliver(made, out), requires_grad)


_fill_plans: dict[str, dict[Any, Any]] = {}


def _filled(name: str, value: int) -> Any:
    plans = _fill_plans.setdefault(name, {})
    thread = _thread

    def function(
        *size: Any,
        out: Tensor | None = None,
        dtype: d.dtype | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
    ) -> Tensor:
        if device is None and out is None and not requires_grad and not observe.active:
            try:
                plan = plans[size, dtype, thread.chosen]
            except (KeyError, TypeError):
                plan = None
            if plan is not None and (dtype is not None or plan.dtype is d._default):
                return plan()
        kind, place = _place(dtype, device)
        spec = spec_of(_shape(size), kind, place)
        made = _finish(_deliver(fill_raw(raw.empty(spec), value), out), requires_grad)
        if device is None and all(n.__class__ is int for n in size):
            if len(plans) > 1024:
                plans.clear()
            plans[size, dtype, thread.chosen] = _FillPlan(spec, value)
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

    from dovetail.backend.state import POOLED

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
        spec = input._spec
        place = spec.device if device is None else resolve(device)
        made = raw.empty(target_spec(spec, memory_format, dtype or spec.dtype, place))
        if value is not None:
            fill_raw(made, value)
        return _finish(made, requires_grad)

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
    return _finish(fill_raw(made, fill_value), requires_grad)


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
        RuntimeError: step is 0, or points away from end.
    """
    values = [b.item() if isinstance(b, Tensor) else b for b in bounds]
    if len(values) == 1:
        end = values[0]
    elif values:
        start, end = values[:2]
        step = values[2] if len(values) > 2 else step
    start, step = 0 if start is None else start, 1 if step is None else step
    if end is None:
        raise TypeError("arange(): end is missing")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype is None:
        floats = any(isinstance(v, float) for v in (start, end, step))
        dtype = d.get_default_dtype() if floats else d.int64
    kind, place = _place(dtype, device)
    count = max(0, math.ceil((end - start) / step))
    if kind.category == 1:
        start, step = int(start), int(step)
    made = raw.empty(spec_of((count,), kind, place))
    run_storage("arange", made, {"start": start, "step": step})
    return _finish(_deliver(made, out), requires_grad)


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
    """``steps`` numbers from ``start`` to ``end`` inclusive, evenly spaced."""
    start, end = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    kind, place = _place(dtype, device)
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    i = np.arange(steps)
    values = np.where(i < steps / 2, start + step * i, end - step * (steps - 1 - i))
    made = raw.from_host(_as_dtype(values, kind), kind, state_of(place))
    return _finish(_deliver(made, out), requires_grad)


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, **options: Any) -> Tensor:
    """``base`` to the power of ``linspace(start, end, steps)``."""
    dtype, requires_grad = options.pop("dtype", None), options.pop("requires_grad", False)
    exponents = linspace(start, end, steps, dtype=d.float64, device="cpu").numpy()
    kind, place = _place(dtype, options.pop("device", None))
    made = raw.from_host(_as_dtype(np.power(base, exponents), kind), kind, state_of(place))
    return _finish(made, requires_grad)


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
    made = zeros(n, n if m is None else m, dtype=dtype, device=device)
    fill_raw(made.diagonal(), 1)
    return _finish(_deliver(made, out), requires_grad)


def _as_dtype(array: np.ndarray, kind: d.dtype) -> np.ndarray:
    with np.errstate(all="ignore"):
        if array.dtype.kind == "c" and not kind.is_complex:
            array = array.real
        return np.asarray(array).astype(kind.numpy)


def _nested(data: Any) -> tuple[np.ndarray, d.dtype]:
    """A Python sequence as an array, with the dtype PyTorch would give it."""
    tensors = _contains_tensor(data)
    if tensors:
        data = _plain(data)
    try:
        array = np.array(data)
    except ValueError as error:
        raise ValueError(
            f"expected sequences of equal length at every depth, got ragged data ({error})"
        ) from None
    if array.dtype.kind in "OUSMm":
        if array.dtype.kind == "O" and _all_ints(array):
            raise RuntimeError("Overflow when unpacking long: values must fit into int64")
        raise TypeError(
            f"tensor(): could not infer dtype of {_odd_one(data)}; expected numbers or bools"
        )
    kind = array.dtype.kind
    if isinstance(data, np.generic) or _contains_numpy(data):
        return array, d.from_numpy_dtype(array.dtype)
    default = d.get_default_dtype()
    if array.size == 0 and not isinstance(data, np.ndarray):
        return array, default
    chosen = {"b": d.bool_, "i": d.int64, "u": d.int64, "f": default}
    return array, chosen.get(kind, default.to_complex())


def _all_ints(array: np.ndarray) -> bool:
    return all(isinstance(v, int) for v in array.flat)


def _contains_tensor(data: Any) -> bool:
    return isinstance(data, Tensor) or (
        isinstance(data, (list, tuple)) and any(_contains_tensor(x) for x in data)
    )


def _contains_numpy(data: Any) -> bool:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, (np.ndarray, np.generic))


def _plain(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data.tolist()
    return [_plain(x) for x in data] if isinstance(data, (list, tuple)) else data


def _odd_one(data: Any) -> str:
    while isinstance(data, (list, tuple)) and data:
        data = next((x for x in data if not isinstance(x, (int, float, bool, complex))), data[0])
    return type(data).__name__


def tensor(
    data: Any,
    *,
    dtype: d.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new tensor holding a copy of ``data``: numbers, nested sequences, an array or a tensor.

    Raises:
        TypeError: something in it is not a number.
        ValueError: sequences of unequal length.
    """
    if isinstance(data, Tensor):
        import warnings

        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach()."
            "clone() or sourceTensor.detach().clone().requires_grad_(True), rather than "
            "tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        place = data.device if device is None else resolve(device)
        made = data.detach().to(place, dtype or data.dtype, copy=True)
        return _finish(made, requires_grad)
    return _finish(_from_data(data, dtype, device), requires_grad)


def _from_data(data: Any, dtype: d.dtype | None, device: Any) -> Tensor:
    if isinstance(data, np.ndarray):
        array, kind = data, d.from_numpy_dtype(data.dtype)
    else:
        array, kind = _nested(data)
    kind = dtype or kind
    _, place = _place(kind, device)
    return raw.from_host(_as_dtype(array, kind), kind, state_of(place))


def from_numpy(array: np.ndarray) -> Tensor:
    """A cpu tensor that shares the array's memory, in both directions.

    Raises:
        TypeError: not an array, or of a dtype that has no counterpart.
        ValueError: negative strides.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    kind = d.from_numpy_dtype(array.dtype)
    size = kind.itemsize
    if any(s < 0 for s in array.strides) and array.size:
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array  with array.copy().) "
        )
    if any(s % size for s in array.strides):
        raise ValueError(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy "
            "array to reallocate the memory."
        )
    if not array.flags.writeable:
        import warnings

        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable "
            "tensors. Copy the array first: from_numpy(array.copy()).",
            UserWarning,
            stacklevel=2,
        )
        array = array.copy()
    if array.__class__ is not np.ndarray:
        array = array.view(np.ndarray)
    strides = tuple(s // size for s in array.strides) if array.size else None
    return new_tensor(spec_of(array.shape, kind, Device("cpu"), strides), array)


def as_tensor(data: Any, dtype: d.dtype | None = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, sharing memory where that is possible."""
    if isinstance(data, Tensor):
        place = data.device if device is None else resolve(device)
        return data.to(place, dtype or data.dtype)  # type: ignore[no-any-return,attr-defined]
    if isinstance(data, np.ndarray) and data.flags.writeable:
        kind = dtype or d.from_numpy_dtype(data.dtype)
        _, place = _place(kind, device)
        return from_numpy(data).to(place, kind)  # type: ignore[no-any-return,attr-defined]
    return _from_data(data, dtype, device)


def asarray(
    obj: Any,
    *,
    dtype: d.dtype | None = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """As :func:`as_tensor`; ``copy=True`` always copies."""
    made = as_tensor(obj, dtype, device)
    return _finish(made.clone() if copy else made, requires_grad)  # type: ignore[attr-defined]


def scalar_tensor(s: Any, *, dtype: d.dtype | None = None, device: Any = None) -> Tensor:
    """A 0-d tensor of the default dtype unless given."""
    return _from_data(s, dtype or d.get_default_dtype(), device)


def on_meta(spec: Spec) -> Tensor:
    """A tensor of the same facts without data."""
    return raw.empty(spec.to(device=Device("meta")))


def legacy_tensor(*args: Any, device: Any = None) -> Tensor:
    """``Tensor(2, 3)`` or ``Tensor([1, 2])``: the old constructor, in the default dtype."""
    if not args:
        return empty(0, device=device)
    if len(args) == 1 and isinstance(args[0], Size):
        return empty(args[0], device=device)
    if len(args) == 1 and isinstance(args[0], (list, tuple, np.ndarray)):
        return _from_data(args[0], d.get_default_dtype(), device)
    if len(args) == 1 and isinstance(args[0], Tensor):
        return args[0].detach()
    return empty(*args, device=device)


def _new(name: str) -> Any:
    functions = {"empty": empty, "zeros": zeros, "ones": ones}

    def method(self: Tensor, *size: Any, **options: Any) -> Tensor:
        options.setdefault("dtype", self.dtype)
        if options.get("device") is None:
            options["device"] = self.device
        options["dtype"] = options["dtype"] or self.dtype
        return functions[name](*size, **options)  # type: ignore[no-any-return]

    method.__doc__ = f"``{name}`` with this tensor's dtype and device."
    method.__name__ = f"new_{name}"
    return method


def _new_full(self: Tensor, size: Sequence[int], fill_value: Any, **options: Any) -> Tensor:
    """``full`` with this tensor's dtype and device."""
    options["dtype"] = options.get("dtype") or self.dtype
    options["device"] = options.get("device") or self.device
    return full(size, fill_value, **options)


def _new_tensor(self: Tensor, data: Any, **options: Any) -> Tensor:
    """``tensor`` with this tensor's dtype and device."""
    options["dtype"] = options.get("dtype") or self.dtype
    options["device"] = options.get("device") or self.device
    if isinstance(data, Tensor):
        data = data.detach().cpu().numpy()  # type: ignore[attr-defined]
    return tensor(data, **options)


for _name in ("empty", "zeros", "ones"):
    setattr(Tensor, f"new_{_name}", _new(_name))
Tensor.new_full = _new_full  # type: ignore[attr-defined]
Tensor.new_tensor = _new_tensor  # type: ignore[attr-defined]
