"""Derivatives of functions: vjp, jvp, jacobian, hessian, vhp, hvp.

Source: PyTorch's ``torch.autograd.functional``. For ``func: x -> y`` the Jacobian has shape
``y.shape + x.shape``; the Hessian of a scalar has ``x.shape + x.shape``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.autograd.engine import grad
from dovetail.autograd.grad_mode import enable_grad
from dovetail.factories import ones_like, zeros_like
from dovetail.tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Function = Callable[..., Any]


def _inputs(given: Any, name: str, create_graph: bool) -> tuple[tuple[Tensor, ...], bool]:
    many = isinstance(given, (tuple, list))
    tensors = tuple(given) if many else (given,)
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name}: the inputs given must be either a Tensor or a tuple of Tensors, but the "
                f"value at index {i} has type {type(x).__name__}"
            )
    if create_graph:
        ready = tuple(
            x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in tensors
        )  # type: ignore[attr-defined]
    else:
        ready = tuple(x.detach().requires_grad_() for x in tensors)
    return ready, many


def _outputs(made: Any, name: str) -> tuple[tuple[Tensor, ...], bool]:
    many = isinstance(made, (tuple, list))
    outs = tuple(made) if many else (made,)
    for i, y in enumerate(outs):
        if not isinstance(y, Tensor):
            raise TypeError(
                f"{name}: the outputs of the user-provided function must be either a Tensor or a "
                f"tuple of Tensors, but the value at index {i} has type {type(y).__name__}"
            )
    return outs, many


def _vectors(v: Any, like: tuple[Tensor, ...], name: str, what: str) -> tuple[Tensor, ...]:
    if v is None:
        if len(like) == 1 and like[0].numel() == 1:
            return (ones_like(like[0]),)
        raise RuntimeError(
            f"The vector v can only be None if {what} is a single Tensor with a single element "
            f"({name})"
        )
    vectors = tuple(v) if isinstance(v, (tuple, list)) else (v,)
    for i, (a, b) in enumerate(zip(vectors, like, strict=True)):
        if tuple(a.shape) != tuple(b.shape):
            raise RuntimeError(
                f"{name}: entry {i} of v must have shape {tuple(b.shape)}, got {tuple(a.shape)}"
            )
    return vectors


def _finish(
    found: Any, like: tuple[Tensor, ...], strict: bool, create_graph: bool, name: str
) -> Any:
    made = []
    for i, (g, x) in enumerate(zip(found, like, strict=True)):
        if g is None:
            if strict:
                raise RuntimeError(f"{name}: input {i} does not influence the output (strict=True)")
            g = zeros_like(x)
        made.append(g if create_graph else g.detach())
    return tuple(made)


def _unwrap(values: tuple[Any, ...], many: bool) -> Any:
    return values if many else values[0]


def _detached(outs: tuple[Tensor, ...], create_graph: bool) -> tuple[Tensor, ...]:
    return outs if create_graph else tuple(o.detach() for o in outs)


def _pull(outputs: Any, inputs: Any, vectors: Any, create_graph: bool) -> tuple[Tensor | None, ...]:
    """``vectors^T d outputs / d inputs``, passing over outputs that nothing was recorded for."""
    live = [
        (o, v) for o, v in zip(outputs, vectors, strict=True) if o is not None and o.requires_grad
    ]
    if not live:
        return (None,) * len(inputs)
    outs, seeds = zip(*live, strict=True)
    return grad(outs, inputs, seeds, create_graph=create_graph, allow_unused=True)


def vjp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(inputs), v^T J)``."""
    with enable_grad():
        xs, many_in = _inputs(inputs, "vjp", create_graph)
        outs, many_out = _outputs(func(*xs), "vjp")
        vectors = _vectors(v, outs, "vjp", "the output of func")
        found = _pull(outs, xs, vectors, create_graph)
    result = _finish(found, xs, strict, create_graph, "vjp")
    return _unwrap(_detached(outs, create_graph), many_out), _unwrap(result, many_in)


def jvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(inputs), J v)``, by differentiating the vector-Jacobian product a second time."""
    with enable_grad():
        xs, _ = _inputs(inputs, "jvp", create_graph)
        vectors = _vectors(v, xs, "jvp", "the input to func")
        outs, many_out = _outputs(func(*xs), "jvp")
        dummies = tuple(zeros_like(o).requires_grad_() for o in outs)
        backward = _pull(outs, xs, dummies, True)
        found = _pull(backward, dummies, vectors, create_graph)
    result = _finish(found, outs, strict, create_graph, "jvp")
    return (
        _unwrap(_detached(outs, create_graph), many_out),
        _unwrap(result, many_out),
    )


def jacobian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of ``func``: per output and input a tensor of shape ``y.shape + x.shape``.

    Args:
        create_graph: record the computation, for derivatives of the Jacobian.
        strict: raise where an output does not depend on an input.
        vectorize: all rows (or columns) at once, through ``vmap``.
        strategy: ``"reverse-mode"``, row by row, or ``"forward-mode"``, column by column (with
            ``vectorize`` only).

    Raises:
        RuntimeError: an output does not depend on an input (``strict``), or ``strict`` with
            ``vectorize``.
        NotImplementedError: forward mode without ``vectorize``, or with ``create_graph``.
        AssertionError: another strategy.
    """
    _check_strategy(
        strategy,
        ' Hint: If your function has more outputs than inputs, "forward-mode" tends to be more '
        'performant. Otherwise, prefer to use "reverse-mode".',
    )
    if strategy == "forward-mode":
        return _forward_jacobian(func, inputs, create_graph, strict, vectorize)
    if strict and vectorize:
        raise RuntimeError(_NOT_STRICT)
    with enable_grad():
        xs, many_in = _inputs(inputs, "jacobian", create_graph)
        outs, many_out = _outputs(func(*xs), "jacobian")
        table = []
        for y in outs:
            if vectorize and y.requires_grad and y.numel():
                table.append(_rows_at_once(y, xs, create_graph))
                continue
            columns: list[list[Tensor]] = [[] for _ in xs]
            flat = y.reshape(-1)  # type: ignore[attr-defined]
            for k in range(y.numel()):
                found: Any = (None,) * len(xs)
                if y.requires_grad:
                    found = grad(
                        flat[k], xs, retain_graph=True, create_graph=create_graph, allow_unused=True
                    )
                row = _finish(found, xs, strict, create_graph, "jacobian")
                for column, g in zip(columns, row, strict=True):
                    column.append(g)
            table.append(
                tuple(
                    _stacked(column, y, x) if column else zeros_like(x).expand(*y.shape, *x.shape)  # type: ignore[attr-defined]
                    for column, x in zip(columns, xs, strict=True)
                )
            )
    rows = tuple(_unwrap(row, many_in) for row in table)
    return _unwrap(rows, many_out)


_NOT_STRICT = (
    "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported "
    "together. Please either set `strict=False` or `vectorize=False`."
)


def _check_strategy(strategy: str, hint: str = "") -> None:
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            f'Expected strategy to be either "forward-mode" or "reverse-mode".{hint}'
        )


def _rows_at_once(y: Tensor, xs: tuple[Tensor, ...], create_graph: bool) -> tuple[Any, ...]:
    from dovetail.func.jacobians import unit_vectors

    options: dict[str, Any] = {"allow_unused": True, "materialize_grads": True}
    rows = grad(
        y, xs, unit_vectors(y), True, create_graph=create_graph, is_grads_batched=True, **options
    )
    return tuple(
        (g if create_graph else g.detach()).reshape(*y.shape, *x.shape)
        for g, x in zip(rows, xs, strict=True)
    )


def _forward_jacobian(
    func: Function, inputs: Any, create_graph: bool, strict: bool, vectorize: bool
) -> Any:
    from dovetail.func.derivatives import linearized
    from dovetail.func.jacobians import columns

    for refused, problem in ((strict, "strict"), (create_graph, "create_graph")):
        if refused:
            kind = RuntimeError if strict else NotImplementedError
            raise kind(
                f"torch.autograd.functional.jacobian: `{problem}=True` and "
                '`strategy="forward-mode"` are not supported together (yet). Please either set '
                f"`{problem}=False` or "
                '`strategy="reverse-mode"`.'
            )
    if not vectorize:
        raise NotImplementedError(
            "Computing Jacobian using forward-AD or forward-over-reverse Hessian is only "
            "implemented for `vectorize=True`."
        )
    xs, many_in = _inputs(inputs, "jacobian", False)
    plain = tuple(x.detach() for x in xs)
    many_out = False

    def listed(*xs: Tensor) -> list[Tensor]:
        nonlocal many_out
        outs, many_out = _outputs(func(*xs), "jacobian")
        return list(outs)

    outs, push, _, _ = linearized(listed, plain, None, False, "jacobian")
    found = columns(push, outs, list(plain))
    return _unwrap(
        tuple(_unwrap(tuple(g.detach() for g in row), many_in) for row in found), many_out
    )


def _stacked(column: list[Tensor], y: Tensor, x: Tensor) -> Any:
    from dovetail.ops import stack

    return stack(column).reshape(*y.shape, *x.shape)


def hessian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a scalar function: per pair of inputs a tensor of shape ``x.shape + z.shape``.

    Args:
        vectorize, outer_jacobian_strategy: of the Jacobian of the gradient; see :func:`jacobian`.

    Raises:
        RuntimeError: the function returns more than one number; and as :func:`jacobian`.
    """
    _check_strategy(outer_jacobian_strategy)
    if strict and vectorize:
        raise RuntimeError(_NOT_STRICT)
    many = isinstance(inputs, (tuple, list))

    def gradient(*xs: Tensor) -> Any:
        outs, _ = _outputs(func(*xs), "hessian")
        if len(outs) != 1 or outs[0].numel() != 1:
            raise RuntimeError(
                "The Tensor returned by the function given to hessian should contain a single "
                f"element, got shape {tuple(outs[0].shape)}"
            )
        found: Any = (None,) * len(xs)
        if outs[0].requires_grad:
            found = grad(outs[0].reshape(()), xs, create_graph=True, allow_unused=True)  # type: ignore[attr-defined]
        return _unwrap(_finish(found, xs, strict, True, "hessian"), many)

    return jacobian(
        gradient,
        inputs,
        create_graph=create_graph,
        vectorize=vectorize,
        strategy=outer_jacobian_strategy,
    )


def vhp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(inputs), v^T H)`` of a scalar function."""
    with enable_grad():
        xs, many = _inputs(inputs, "vhp", create_graph)
        vectors = _vectors(v, xs, "vhp", "the input to func")
        outs, many_out = _outputs(func(*xs), "vhp")
        first = grad(outs[0].reshape(()), xs, create_graph=True, allow_unused=True)  # type: ignore[attr-defined]
        found = _pull(first, xs, vectors, create_graph)
    result = _finish(found, xs, strict, create_graph, "vhp")
    return _unwrap(_detached(outs, create_graph), many_out), _unwrap(result, many)


def hvp(
    func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``(func(inputs), H v)`` of a scalar function; H is symmetric, so this is :func:`vhp`."""
    return vhp(func, inputs, v, create_graph, strict)
