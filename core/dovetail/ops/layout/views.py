"""Views: other shapes and strides over the same memory. No kernel runs; aliasing is the core's.

A view operator is a rule from a Spec to (shape, strides, offset). Its gradient is the same view of
a zero tensor, written with the incoming gradient, unless the record gives a cheaper one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from weakref import ref as reference

from dovetail import observe
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import BackwardInfo, Node, next_sequence
from dovetail.ops import expose
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.ops.schema import REGISTRY, Inferred, OpDef
from dovetail.spec import Spec, contiguous_strides, spec_of
from dovetail.tensor import Tensor, check_dim, storage_of

__all__ = [
    "apply_view",
    "as_strided",
    "fill_in",
    "row",
    "view_backward",
    "view_operator",
    "view_record",
    "viewed_strides",
]

new = object.__new__
Rule = Callable[..., tuple[tuple[int, ...], tuple[int, ...], int]]


class _ViewPlan:
    """What one view operator does to one spec: the result's spec, its start, its node."""

    __slots__ = ("info", "offset", "spec")
    served_by = "view"

    def __init__(self, spec: Spec, offset: int, info: BackwardInfo) -> None:
        self.spec = spec
        self.offset = offset
        self.info = info

    def __call__(self, x: Tensor) -> Tensor:
        t = _linked(x, self.spec, self.offset)
        node = x._node
        if node is not None and mode.grad:
            n = new(Node)
            n.info = self.info
            n.sequence = next_sequence()
            n.next = (node,)
            n.saved = ()
            t._node = n
        return t


def _linked(x: Tensor, spec: Spec, offset: int) -> Tensor:
    """A view of ``x`` that its base knows of, without history."""
    storage = x._storage
    if storage is None:
        storage = storage_of(x)
    t: Tensor = new(Tensor)
    t._spec = spec
    t._array = None
    t._storage = storage
    t._offset = x._offset + offset
    t._node = None
    base = x._base
    if base is None:
        base = x
    t._base = base
    views = base._views
    if views is None:
        base._views = [reference(t)]
    else:
        if not len(views) & 63:
            views[:] = [r for r in views if r() is not None]
        views.append(reference(t))
    return t


def row(x: Tensor, index: int) -> Tensor:
    """``x[index]`` for a Python int: as ``select`` on dim 0, without a plan per index.

    Raises:
        IndexError: out of range, or a 0-d tensor.
    """
    spec = x._spec
    if not spec.ndim:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
            "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
        )
    if (x._node is not None and mode.grad) or observe.active:
        return apply_view(view_record("select"), x, _select_prepare(spec, 0, index))
    facts = spec.memo.get("row")
    if facts is None:
        if spec.batch is not None or spec.dtype.category < 0:
            return apply_view(view_record("select"), x, _select_prepare(spec, 0, index))
        shape, strides, _ = view_record("select").rule(  # type: ignore[attr-defined]
            spec, *_select_prepare(spec, 0, index)
        )
        made = spec_of(tuple(shape), spec.dtype, spec.device, tuple(strides))
        facts = spec.memo["row"] = (made, spec.strides[0], spec.shape[0])
    made, step, n = facts
    if index < 0:
        if index < -n:
            _select_prepare(spec, 0, index)
        index += n
    elif index >= n:
        _select_prepare(spec, 0, index)
    return _linked(x, made, index * step)


def apply_view(op: OpDef, x: Tensor, attributes: tuple[Any, ...] = ()) -> Tensor:
    """Make the view ``op`` of ``x``."""
    key = (op.name, attributes)
    try:
        plan = x._spec.memo.get(key)
    except AttributeError:
        raise TypeError(
            f"{op.name}(): argument 'input' must be Tensor, not {type(x).__name__}"
        ) from None
    if plan is None:
        plan = _make_plan(op, x._spec, attributes)
        if len(x._spec.memo) > 4096:
            x._spec.memo.clear()
        x._spec.memo[key] = plan
    if observe.active:
        result: Tensor = observe.run(op, plan, (x,), attributes)
        return result
    return plan(x)  # type: ignore[no-any-return]


def _make_plan(op: OpDef, spec: Spec, attributes: tuple[Any, ...]) -> _ViewPlan:
    if spec.batch is not None:
        from dovetail.func.views import BatchedView, batched

        plain = _make_plan(op, spec.batch.logical, attributes)
        return BatchedView(spec, plain, lambda x: batched(x, op.name, attributes))
    if spec.dtype.category < 0:
        from dovetail.quantized.rules import quantized_view

        return quantized_view(op.name, lambda ints: apply_view(op, ints, attributes), attributes)
    rule: Rule = op.rule  # type: ignore[attr-defined]
    shape, strides, offset = rule(spec, *attributes)
    kind = op.result_dtype(spec) if hasattr(op, "result_dtype") else spec.dtype
    out = spec_of(tuple(shape), kind, spec.device, tuple(strides))
    gradient = op.gradient
    if gradient is None:
        call: Any = lambda g: view_backward(g, op, attributes, spec.shape)
    else:
        call = lambda g: gradient(g, spec, *attributes)
    name = op.name
    return _ViewPlan(out, offset, BackwardInfo(name, ((call, (0,)),), (), (spec,), None, (out,)))


def view_operator(
    name: str,
    *,
    gradient: Callable[..., Any] | None = None,
    prepare: Callable[..., tuple[Any, ...]] | None = None,
    public: bool = True,
    aliases: tuple[str, ...] = (),
    surplus: Callable[..., Exception] | None = None,
    **fields: Any,
) -> Callable[[Rule], Callable[..., Tensor]]:
    """Turn a rule ``(spec, *attributes) -> (shape, strides, offset)`` into a view operator.

    Args:
        gradient: ``gradient(g, spec, *attributes)``; spec is the input's.
        prepare: ``prepare(ndim, *arguments) -> attributes``; the default takes them as they are.
        surplus: makes the error for more arguments than there are parameters.
    """

    def define(rule: Rule) -> Callable[..., Tensor]:
        op = OpDef(
            name,
            kind="view",
            infer=lambda spec, **attributes: Inferred((None,), ()),
            gradient=gradient,
            public=public,
            method=public,
            **fields,
        )
        op.rule = rule  # type: ignore[attr-defined]

        if prepare is None:
            key = (op.name, ())

            def function(input: Tensor, *arguments: Any) -> Tensor:
                if not arguments and not observe.active:
                    try:
                        plan = input._spec.memo.get(key)
                    except AttributeError:
                        plan = None
                    if plan is not None:
                        return plan(input)  # type: ignore[no-any-return]
                return apply_view(op, input, arguments)
        else:

            def function(input: Tensor, *arguments: Any, **named: Any) -> Tensor:
                if not isinstance(input, Tensor):
                    raise TypeError(
                        f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}"
                    )
                return apply_view(op, input, prepare(input._spec, *arguments, **named))

        function.__doc__ = rule.__doc__
        function.__signature__ = _signature(prepare or rule)  # type: ignore[attr-defined]
        function.surplus = surplus  # type: ignore[attr-defined]
        expose.attach(op, function, aliases=aliases)
        return function

    return define


def _signature(reads: Callable[..., Any]) -> inspect.Signature:
    """What users see: a tensor in the place of the spec, and then what ``reads`` takes."""
    spec, *rest = inspect.signature(reads).parameters.values()
    return inspect.Signature(
        [spec.replace(name="input", annotation="Tensor"), *rest], return_annotation="Tensor"
    )


def view_record(name: str) -> OpDef:
    """The record of a view operator."""
    return REGISTRY[name]


# The gradient of views in general: an operator too, so that it has a gradient itself.

VIEW_BACKWARD = OpDef(
    "view_backward", kind="composite", attributes=("op", "arguments", "shape"),
    method=False, public=False,
)  # fmt: skip


def view_backward(g: Tensor, op: OpDef, arguments: tuple[Any, ...], shape: Any) -> Tensor:
    """Zeros of ``shape`` whose view ``op`` holds ``g``."""
    from dovetail.dispatch import call

    result: Tensor = call(VIEW_BACKWARD, (g,), (op.name, arguments, tuple(shape)))
    return result


def _view_backward(g: Tensor, *, op: str, arguments: tuple[Any, ...], shape: Any) -> Tensor:
    from dovetail import raw
    from dovetail.factories import zeros

    whole = zeros(shape, dtype=g.dtype, device=g.device)
    spec = whole._spec
    record = view_record(op)
    part, strides, offset = record.rule(spec, *arguments)  # type: ignore[attr-defined]
    target = raw.view(whole, spec_of(tuple(part), spec.dtype, spec.device, tuple(strides)), offset)
    raw.copy(g, target)
    return whole


VIEW_BACKWARD.decompose = _view_backward
VIEW_BACKWARD.infer = lambda spec, op, arguments, shape: Inferred((None,), ((shape, spec.dtype),))
VIEW_BACKWARD.gradient = {
    "input": lambda g, op, arguments: apply_view(view_record(op), g, arguments)
}


# Rules.


def _ints(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence, as ints.

    Raises:
        TypeError: something is not an integer.
    """
    try:
        if len(sizes) == 1 and not hasattr(sizes[0], "__index__"):
            sizes = tuple(sizes[0])
        return tuple(n.__index__() for n in sizes)
    except (AttributeError, TypeError):
        raise TypeError(f"sizes must be integers or one sequence of them, got {sizes}") from None


def fill_in(shape: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """A target shape with its -1 worked out.

    Raises:
        RuntimeError: two -1, or the sizes do not fit.
    """
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    known = 1
    for n in shape:
        if n < -1:
            raise RuntimeError(f"invalid shape dimension {n}")
        known *= n if n != -1 else 1
    if -1 in shape:
        if known == 0:
            if numel == 0:
                raise RuntimeError(
                    f"cannot reshape tensor of 0 elements into shape {list(shape)} because the "
                    "unspecified dimension size -1 can be any value and is ambiguous"
                )
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
        if numel % known == 0:
            return tuple(numel // known if n == -1 else n for n in shape)
    elif known == numel:
        return shape
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")


def viewed_strides(spec: Spec, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides of ``spec`` seen as ``shape``, or None where memory would have to move.

    Source: the same question is answered by PyTorch's ``computeStride``.
    """
    if spec.numel == 0 or spec.is_contiguous:
        if spec.is_contiguous and spec.numel:
            return contiguous_strides(shape)
        return spec.strides if tuple(spec.shape) == shape else contiguous_strides(shape)
    out: list[int] = []
    at = len(shape) - 1
    chunk, step, numel = 1, spec.strides[-1], 1
    for i in range(spec.ndim - 1, -1, -1):
        numel *= spec.shape[i]
        joins = i > 0 and (spec.shape[i - 1] == 1 or spec.strides[i - 1] == numel * step)
        if joins:
            continue
        chunk = 1
        while at >= 0 and (chunk < numel or shape[at] == 1):
            out.append(chunk * step)
            chunk *= shape[at]
            at -= 1
        if chunk != numel:
            return None
        if i > 0:
            step, numel = spec.strides[i - 1], 1
    return tuple(reversed(out)) if at == -1 else None


def _reshape_back(g: Tensor, spec: Spec, *_: Any) -> Tensor:
    return g.reshape(spec.shape)


def _view_prepare(spec: Spec, *shape: Any) -> tuple[Any, ...]:
    return (fill_in(_ints(shape), spec.numel),)


@view_operator("view", prepare=_view_prepare, gradient=_reshape_back, public=False)
def _view(spec: Spec, shape: tuple[int, ...]) -> Any:
    """The same elements under another shape, without copying."""
    strides = viewed_strides(spec, shape)
    if strides is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return shape, strides, 0


def _dims(dims: tuple[Any, ...], ndim: int) -> tuple[int, ...]:
    return tuple(check_dim(n, ndim) for n in _ints(dims))


def _permute_prepare(spec: Spec, *order: Any, dims: Any = None) -> tuple[Any, ...]:
    if dims is not None and order:
        raise TypeError("permute() got multiple values for argument 'dims'")
    order = _ints(order if dims is None else (dims,))
    if len(order) != spec.ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {spec.ndim} is not "
            f"equal to len(dims) = {len(order)}"
        )
    order = tuple(check_dim(n, spec.ndim) for n in order)
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return (order,)


def _unpermute(g: Tensor, spec: Spec, order: tuple[int, ...]) -> Tensor:
    return g.permute(sorted(range(len(order)), key=order.__getitem__))


@view_operator("permute", prepare=_permute_prepare, gradient=_unpermute)
def permute(spec: Spec, dims: tuple[int, ...]) -> Any:
    """Dims in another order: ``dims[i]`` is the old dim at place i."""
    return tuple(spec.shape[n] for n in dims), tuple(spec.strides[n] for n in dims), 0


def _transpose_prepare(spec: Spec, dim0: int, dim1: int) -> tuple[Any, ...]:
    return check_dim(dim0, spec.ndim), check_dim(dim1, spec.ndim)


def _not_two_dims(input: Tensor, *dims: Any) -> Exception:
    return TypeError(
        f"transpose() takes 2 dims but {len(dims)} were given: it exchanges two; "
        f"permute({', '.join(map(str, dims))}) puts all of them in an order"
    )


@view_operator(
    "transpose",
    prepare=_transpose_prepare,
    gradient=lambda g, spec, a, b: g.transpose(a, b),
    aliases=("swapaxes", "swapdims"),
    surplus=_not_two_dims,
)
def transpose(spec: Spec, dim0: int, dim1: int) -> Any:
    """Two dims exchanged."""
    order = list(range(spec.ndim))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return tuple(spec.shape[n] for n in order), tuple(spec.strides[n] for n in order), 0


@view_operator("t", gradient=lambda g, spec: g.t())
def t(spec: Spec) -> Any:
    """A matrix transposed; tensors of fewer dims as they are.

    Raises:
        RuntimeError: more than two dims.
    """
    if spec.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {spec.ndim}D")
    return tuple(spec.shape[::-1]), spec.strides[::-1], 0


@view_operator("mT", gradient=lambda g, spec: g.mT, public=False)
def _mT(spec: Spec) -> Any:
    if spec.ndim < 2:
        raise RuntimeError(
            "tensor.mT is only supported on matrices or batches of matrices. Got "
            f"{spec.ndim}-D tensor."
        )
    order = (*range(spec.ndim - 2), spec.ndim - 1, spec.ndim - 2)
    return tuple(spec.shape[n] for n in order), tuple(spec.strides[n] for n in order), 0


def _expand_prepare(spec: Spec, *sizes: Any) -> tuple[Any, ...]:
    target = _ints(sizes)
    lead = len(target) - spec.ndim
    if lead < 0:
        raise RuntimeError(
            f"expand(): the number of sizes provided ({len(target)}) must be greater or equal to "
            f"the number of dimensions in the tensor ({spec.ndim})"
        )
    shape = []
    for i, n in enumerate(target):
        have = spec.shape[i - lead] if i >= lead else 1
        if n == -1 and i >= lead:
            n = have
        if n < 0 or (have not in (1, n)):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at "
                f"non-singleton dimension {i}.  Target sizes: {list(target)}.  Tensor sizes: "
                f"{list(spec.shape)}"
            )
        shape.append(n)
    return (tuple(shape),)


@view_operator(
    "expand", prepare=_expand_prepare, gradient=lambda g, spec, shape: g.sum_to_size(spec.shape)
)
def expand(spec: Spec, shape: tuple[int, ...]) -> Any:
    """Dims of size 1 (and new leading dims) repeated without copying; -1 keeps a size."""
    lead = len(shape) - spec.ndim
    strides = (0,) * lead + tuple(
        s if n == m else 0 for n, s, m in zip(spec.shape, spec.strides, shape[lead:], strict=True)
    )
    return shape, strides, 0


def _squeeze_prepare(spec: Spec, dim: Any = None) -> tuple[Any, ...]:
    if dim is None:
        dims = tuple(range(spec.ndim))
    elif isinstance(dim, (tuple, list)):
        dims = tuple(check_dim(n, spec.ndim) for n in dim)
        twice = [n for n in dims if dims.count(n) > 1]
        if twice:
            raise RuntimeError(f"dim {twice[0]} appears multiple times in the list of dims")
    else:
        dims = (check_dim(dim, spec.ndim),)
    return (tuple(n for n in dims if n < spec.ndim and spec.shape[n] == 1),)


@view_operator("squeeze", prepare=_squeeze_prepare, gradient=_reshape_back)
def squeeze(spec: Spec, dims: tuple[int, ...]) -> Any:
    """Without dims of size 1: all of them, or those named."""
    keep = [i for i in range(spec.ndim) if i not in dims]
    return tuple(spec.shape[i] for i in keep), tuple(spec.strides[i] for i in keep), 0


@view_operator(
    "unsqueeze",
    prepare=lambda spec, dim: (check_dim(dim, spec.ndim + 1),),
    gradient=lambda g, spec, dim: g.squeeze(dim),
)
def unsqueeze(spec: Spec, dim: int) -> Any:
    """A new dim of size 1 at ``dim``."""
    step = spec.shape[dim] * spec.strides[dim] if dim < spec.ndim else 1
    shape = (*spec.shape[:dim], 1, *spec.shape[dim:])
    return shape, (*spec.strides[:dim], step, *spec.strides[dim:]), 0


def _select_prepare(spec: Spec, dim: int, index: int) -> tuple[Any, ...]:
    if not spec.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = check_dim(dim, spec.ndim)
    n = spec.shape[dim]
    index = index.__index__()
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {n}")
    return dim, index % n


@view_operator("select", prepare=_select_prepare)
def select(spec: Spec, dim: int, index: int) -> Any:
    """One index of one dim, without that dim."""
    return (
        spec.shape[:dim] + spec.shape[dim + 1 :],
        spec.strides[:dim] + spec.strides[dim + 1 :],
        index * spec.strides[dim],
    )


def _narrow_prepare(spec: Spec, dim: int, start: Any, length: int) -> tuple[Any, ...]:
    if not spec.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = check_dim(dim, spec.ndim)
    n = spec.shape[dim]
    start = whole_number("narrow", "start", start)
    if not -n <= start <= n:
        raise IndexError(
            f"start out of range (expected to be in range of [{-n}, {n}], but got {start})"
        )
    start = start + n if start < 0 else start
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return dim, start, length


@view_operator("narrow", prepare=_narrow_prepare)
def narrow(spec: Spec, dim: int, start: int, length: int) -> Any:
    """``length`` indices of one dim from ``start`` on."""
    shape = (*spec.shape[:dim], length, *spec.shape[dim + 1 :])
    return shape, spec.strides, (start if length else 0) * spec.strides[dim]


def _slice_prepare(
    spec: Spec, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> tuple[Any, ...]:
    dim = check_dim(dim, spec.ndim)
    if step <= 0:
        raise ValueError("step must be greater than zero")
    first, last, _ = slice(start, end, step).indices(spec.shape[dim])
    return dim, first, max(0, -(-(last - first) // step)), step


@view_operator("slice", prepare=_slice_prepare, public=False)
def _slice(spec: Spec, dim: int, start: int, length: int, step: int) -> Any:
    shape = (*spec.shape[:dim], length, *spec.shape[dim + 1 :])
    strides = (*spec.strides[:dim], spec.strides[dim] * step, *spec.strides[dim + 1 :])
    return shape, strides, (start if length else 0) * spec.strides[dim]


def _diagonal_prepare(spec: Spec, offset: int = 0, dim1: int = 0, dim2: int = 1) -> tuple[Any, ...]:
    one, two = check_dim(dim1, spec.ndim), check_dim(dim2, spec.ndim)
    if one == two:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return whole_number("diagonal", "offset", offset), one, two


@view_operator("diagonal", prepare=_diagonal_prepare)
def diagonal(spec: Spec, offset: int, dim1: int, dim2: int) -> Any:
    """The diagonal of dims dim1 and dim2, as a new last dim."""
    rows, columns = spec.shape[dim1], spec.shape[dim2]
    length = min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns)
    length = max(length, 0)
    start = offset * spec.strides[dim2] if offset >= 0 else -offset * spec.strides[dim1]
    keep = [i for i in range(spec.ndim) if i not in (dim1, dim2)]
    return (
        (*[spec.shape[i] for i in keep], length),
        (*[spec.strides[i] for i in keep], spec.strides[dim1] + spec.strides[dim2]),
        start if length else 0,
    )


def _unfold_prepare(spec: Spec, dimension: int, size: int, step: int) -> tuple[Any, ...]:
    dim = check_dim(dimension, spec.ndim)
    n = spec.shape[dim] if spec.ndim else 1
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if size > n:
        raise RuntimeError(
            f"maximum size for tensor at dimension {dimension} is {n} but size is {size}"
        )
    return dim, size, step


def _unfold_back(g: Tensor, spec: Spec, dim: int, size: int, step: int) -> Tensor:
    from dovetail import ops

    return ops.strided_backward(
        g,
        shape=tuple(spec.shape),
        rule=("unfold", (dim, size, step)),
    )


@view_operator("unfold", prepare=_unfold_prepare, gradient=_unfold_back)
def unfold(spec: Spec, dim: int, size: int, step: int) -> Any:
    """Windows of ``size`` every ``step`` along one dim; the window is a new last dim."""
    if not spec.ndim:
        return (size,), (1,), 0
    count = (spec.shape[dim] - size) // step + 1
    shape = (*spec.shape[:dim], count, *spec.shape[dim + 1 :], size)
    strides = (*spec.strides[:dim], spec.strides[dim] * step, *spec.strides[dim + 1 :])
    return shape, (*strides, spec.strides[dim]), 0


def _strided_prepare(spec: Spec, size: Any, stride: Any, storage_offset: Any = None) -> Any:
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError(
            f"mismatch in length of strides and shape: {len(size)} sizes, {len(stride)} strides"
        )
    if any(s < 0 for s in stride):
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(stride)}"
        )
    return size, stride, storage_offset


def _strided_back(
    g: Tensor, spec: Spec, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> Tensor:
    from dovetail import ops

    return ops.strided_backward(
        g,
        shape=tuple(spec.shape),
        rule=("strided", (size, stride, offset, spec.strides)),
    )


@view_operator("strided", gradient=_strided_back, public=False)
def _strided(
    spec: Spec, size: tuple[int, ...], stride: tuple[int, ...], offset: int, *_: Any
) -> Any:
    return size, stride, offset


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """Any shape and strides over the input's storage; ``storage_offset`` counts from its start.

    Raises:
        RuntimeError: negative strides, or the view reaches past the storage.
    """
    size, stride, at = _strided_prepare(input._spec, size, stride, storage_offset)
    storage = storage_of(input)
    at = input._offset if at is None else at
    reach = at + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1
    item = input._spec.dtype.itemsize
    if 0 not in size and storage.buffer is not None and reach * item > max(storage.nbytes, item):
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {at}, and "
            f"itemsize {item} requiring a storage size of {reach * item} are out of bounds for "
            f"storage of size {storage.nbytes}"
        )
    return apply_view(view_record("strided"), input, (size, stride, at - input._offset))


expose.FUNCTIONS["as_strided"] = as_strided
Tensor.as_strided = as_strided  # type: ignore[attr-defined]
