"""Moving and casting a module's tensors in place: ``to``, ``cpu``, ``double``, ``to_empty``, ….

The functions here are methods of ``Module`` (bound in ``nn/module.py``) and follow PyTorch's
``torch.nn.Module`` page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from dovetail import dtypes
from dovetail.autograd.grad_mode import no_grad
from dovetail.factories import empty_like
from dovetail.tensor import Tensor
from dovetail.warning import warn

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from dovetail.nn.module import Module

    M = TypeVar("M", bound=Module)

__all__ = [
    "apply_to_tensors",
    "cpu",
    "cuda",
    "to",
    "to_bfloat16",
    "to_double",
    "to_empty",
    "to_float",
    "to_half",
    "to_named",
    "to_type",
]


def apply_to_tensors(self: M, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> M:
    """Replace the data of every parameter, gradient and buffer by ``fn`` of it, in place.

    Parameters stay the same objects, so an optimizer that holds them keeps working.
    """
    if recurse:
        for child in self.children():
            child._apply(fn)
    with no_grad():
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            gradient = parameter.grad
            parameter.data = fn(parameter)
            if gradient is not None:
                moved = fn(gradient).requires_grad_(gradient.requires_grad)
                parameter.grad = moved
    for name, buffer in self._buffers.items():
        if buffer is not None:
            self._buffers[name] = fn(buffer)
    return self


class _Target(NamedTuple):
    device: Any = None
    dtype: Any = None
    non_blocking: bool = False
    memory_format: Any = None


def _parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Target:
    """The three positional forms of ``to``: (device, dtype, …), (dtype, …) and (tensor, …)."""
    unknown = kwargs.keys() - {"tensor", *_Target._fields}
    if unknown:
        raise TypeError(f"to() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    found = dict(kwargs)
    names = ["device", "dtype", "non_blocking"]
    if args and isinstance(args[0], dtypes.dtype):
        names = ["dtype", "non_blocking"]
    elif args and isinstance(args[0], Tensor):
        names = ["tensor", "non_blocking"]
    if len(args) > len(names):
        raise TypeError(f"to() takes at most {len(names)} positional arguments, got {len(args)}")
    for name, value in zip(names, args, strict=False):
        if name in found:
            raise TypeError(f"to() got multiple values for argument {name!r}")
        found[name] = value
    other = found.pop("tensor", None)
    if other is not None:
        found.update(device=other.device, dtype=other.dtype)
    return _Target(**found)


def to(self: M, *args: Any, **kwargs: Any) -> M:
    """Move and cast parameters and buffers, in place; returns the module.

    Called as ``to(device, dtype, non_blocking)``, ``to(dtype, non_blocking)``,
    ``to(tensor, non_blocking)`` or ``to(memory_format=...)``. Only floating-point and complex
    tensors are cast; integer ones are only moved.

    Raises:
        TypeError: the dtype is neither floating point nor complex.

    >>> import dovetail as dt
    >>> dt.nn.Linear(2, 2).to(dt.float64).weight.dtype
    torch.float64
    """
    device, dtype, non_blocking, memory_format = _parse_to(args, kwargs)
    if dtype is not None:
        if not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                "nn.Module.to only accepts floating point or complex "
                f"dtypes, but got desired dtype={dtype}"
            )
        if dtype.is_complex:
            warn(
                "Complex modules are a new feature: some modules might not work as expected when "
                "using complex tensors as parameters or buffers.",
            )

    def convert(t: Tensor) -> Tensor:
        options: dict[str, Any] = {"non_blocking": non_blocking}
        if memory_format is not None and t.dim() in (4, 5):
            options["memory_format"] = memory_format
        if device is not None:
            options["device"] = device
        if dtype is not None and (t.is_floating_point() or t.is_complex()):
            options["dtype"] = dtype
        try:
            return t.to(**options)
        except NotImplementedError as error:
            if "meta" in str(error):
                raise NotImplementedError(
                    f"{error} Please use torch.nn.Module.to_empty() instead of "
                    "torch.nn.Module.to() when moving module from meta to a different device."
                ) from None
            raise

    return self._apply(convert)


def _cast(self: M, dtype: dtypes.dtype) -> M:
    return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)


def to_float(self: M) -> M:
    """Cast all floating-point parameters and buffers to float32."""
    return _cast(self, dtypes.float32)


def to_double(self: M) -> M:
    """Cast all floating-point parameters and buffers to float64."""
    return _cast(self, dtypes.float64)


def to_half(self: M) -> M:
    """Cast all floating-point parameters and buffers to float16."""
    return _cast(self, dtypes.float16)


def to_bfloat16(self: M) -> M:
    """Cast all floating-point parameters and buffers to bfloat16."""
    return _cast(self, dtypes.bfloat16)


def to_type(self: M, dst_type: Any) -> M:
    """Cast all parameters and buffers to ``dst_type``, integer ones too."""
    return self._apply(lambda t: t.type(dst_type))


def cpu(self: M) -> M:
    """Move all parameters and buffers to the host."""
    return self._apply(lambda t: t.cpu())


def to_named(self: M, name: str, device: Any = None) -> M:
    """Move to a device of type ``name``: the current one, or the one of that index."""
    if device is None:
        device = name
    elif isinstance(device, int):
        device = f"{name}:{device}"
    return self._apply(lambda t: t.to(device))


def cuda(self: M, device: Any = None) -> M:
    """Move all parameters and buffers to an NVIDIA GPU (the current one if None)."""
    return to_named(self, "cuda", device)


def to_empty(self: M, *, device: Any, recurse: bool = True) -> M:
    """Move to ``device`` without copying values, which are then uninitialised."""
    return self._apply(lambda t: empty_like(t, device=device), recurse=recurse)
