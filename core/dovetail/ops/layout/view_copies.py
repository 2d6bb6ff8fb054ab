"""The views, copied: ``permute_copy`` and its like; and ``slice_inverse``.

Each copy gives what the view of its name shows, row-major, in memory of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.memory_formats import contiguous_format
from dovetail.ops.expose import FUNCTIONS, publish
from dovetail.ops.indexed.index_checks import need_tensor
from dovetail.ops.layout.strided import as_strided
from dovetail.ops.layout.view_parts import _slice_prepare
from dovetail.ops.layout.views import apply_view, view_record
from dovetail.ops.out import finish
from dovetail.tensor import Tensor

__all__: list[str] = []


def _copied(view: Tensor) -> Tensor:
    made: Tensor = view.clone(memory_format=contiguous_format)
    return made


def _slice(input: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    spec = input._spec
    if not spec.ndim:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    return apply_view(view_record("slice"), input, _slice_prepare(spec, dim, start, end, step))


def _view(input: Tensor, *size: Any, dtype: Any = None) -> Any:
    return input.view(*(size if dtype is None else (dtype,)))


def _of_method(name: str) -> Callable[..., Any]:
    return lambda input, *args, **kwargs: getattr(input, name)(*args, **kwargs)


# name -> the view that is copied
_VIEWS: dict[str, Callable[..., Any]] = {
    "alias": lambda input: input,
    "detach": lambda input: input.detach(),
    "expand": lambda input, size, *, implicit=False: input.expand(size),
    "permute": lambda input, dims: input.permute(dims),
    "slice": _slice,
    "squeeze": lambda input, *dim, **named: input.squeeze(*dim, **named),
    "unfold": lambda input, dimension, size, step: input.unfold(dimension, size, step),
    "view": _view,
    **{
        name: _of_method(name)
        for name in ("as_strided", "diagonal", "select", "t", "transpose", "unsqueeze")
    },
    **{name: lambda x, n=name: FUNCTIONS[n](x) for name in ("view_as_real", "view_as_complex")},
}
_PARTS: dict[str, Callable[..., Any]] = {
    "split": lambda input, split_size, dim=0: input.split(split_size, dim),
    "split_with_sizes": _of_method("split_with_sizes"),
    "unbind": _of_method("unbind"),
}


def _copy_of(name: str) -> None:
    view, label = _VIEWS[name], f"{name}_copy"

    def function(input: Tensor, *args: Any, out: Tensor | None = None, **kwargs: Any) -> Any:
        need_tensor(label, "input", 1, input)
        return finish(label, _copied(view(input, *args, **kwargs)), out)

    function.__name__ = function.__qualname__ = label
    function.__doc__ = f"What ``{name}`` shows, copied."
    FUNCTIONS[label] = function


def _copies_of(name: str) -> None:
    view, label = _PARTS[name], f"{name}_copy"

    def function(input: Tensor, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        need_tensor(label, "input", 1, input)
        parts = tuple(_copied(part) for part in view(input, *args, **kwargs))
        if out is None:
            return parts
        if len(out) != len(parts):
            raise RuntimeError(f"{label}(): out must have {len(parts)} tensors, got {len(out)}")
        finish(label, parts, tuple(out))
        return None

    function.__name__ = function.__qualname__ = label
    function.__doc__ = f"What ``{name}`` shows, each part copied; ``out`` takes a list of tensors."
    FUNCTIONS[label] = function


for _name in _VIEWS:
    _copy_of(_name)
for _name in _PARTS:
    _copies_of(_name)


@publish()
def slice_inverse(
    input: Tensor, src: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Tensor:
    """What ``input`` was sliced from: a view of its memory with the size and strides of ``src``.

    Args:
        dim: with ``start``, ``end`` and ``step``, the slice that was taken; memory alone tells.

    Raises:
        RuntimeError: the memory is too small.
    """
    spec = need_tensor("slice_inverse", "src", 2, src)._spec
    return as_strided(input, tuple(spec.shape), spec.strides, src._offset)
