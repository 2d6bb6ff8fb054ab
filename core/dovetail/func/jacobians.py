"""``jacrev``, ``jacfwd`` and ``hessian``: whole Jacobians, all rows or all columns at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from dovetail.factories import eye, zeros_like
from dovetail.func.derivatives import Function, chosen, linearized, vjp_of
from dovetail.func.tree import TreeSpec, flatten, unflatten
from dovetail.func.vmap import check_randomness, vmap
from dovetail.tensor import Tensor

__all__ = ["columns", "hessian", "jacfwd", "jacrev", "unit_vectors"]


def unit_vectors(like: Tensor) -> Any:
    """Every vector of the standard basis of a tensor's space: (numel, *shape)."""
    n = math.prod(like._spec.shape)
    basis: Any = eye(n, dtype=like.dtype, device=like.device)
    return basis.reshape(n, *like._spec.shape)


def _nested(rows: list[list[Any]], out_spec: TreeSpec, in_spec: TreeSpec) -> Any:
    """Per output a tree shaped as the inputs."""
    return unflatten([unflatten(row, in_spec) for row in rows], out_spec)


def jacrev(
    func: Function,
    argnums: int | tuple[int, ...] = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Function:
    """A function that computes the Jacobian of ``func``, row by row in reverse, all at once.

    Args:
        argnums: which positional argument to differentiate by; a tuple for several.
        has_aux: ``func`` returns ``(output, aux)``.
        chunk_size: so many rows at a time; None: all.

    Returns:
        A function of the same arguments. For each output, nested as the outputs are, what
        ``argnums`` names, nested as it is, holds ``(*output.shape, *input.shape)``.

    Raises:
        RuntimeError: an output that is no floating-point tensor; ``argnums`` that do not fit.
        ValueError: ``chunk_size`` is not positive.

    Example:
        >>> import dovetail as dt
        >>> dt.func.jacrev(lambda x: x * x)(dt.tensor([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
    def wrapped(*args: Any) -> Any:
        output, vjp_fn, aux = vjp_of(func, args, argnums, has_aux)
        outs, out_spec = flatten(output)
        for y in outs:
            if y._spec.dtype.category < 2:
                raise RuntimeError(
                    "vjp(f, ...): All outputs of f must be floating-point or complex Tensors, got "
                    f"Tensor with dtype {y.dtype}"
                )
        inputs, in_spec = flatten(chosen(argnums, args))
        rows = [
            _rows(functools.partial(_one, vjp_fn, outs, out_spec, i), y, inputs, chunk_size)
            for i, y in enumerate(outs)
        ]
        made = _nested(rows, out_spec, in_spec)
        return (made, aux) if has_aux else made

    return wrapped


def _one(vjp_fn: Function, outs: list[Any], out_spec: TreeSpec, i: int, vector: Any) -> list[Any]:
    """The products of a vector for output ``i`` alone."""
    vectors = [vector if k == i else zeros_like(y.detach()) for k, y in enumerate(outs)]
    return flatten(vjp_fn(unflatten(vectors, out_spec)))[0]


def _rows(
    pull: Callable[[Any], list[Any]], y: Tensor, inputs: list[Any], chunk_size: int | None
) -> list[Any]:
    if not y._spec.numel:
        return [x.new_zeros((*y._spec.shape, *x._spec.shape)) for x in inputs]
    parts = vmap(pull, chunk_size=chunk_size)(unit_vectors(y))
    return [p.reshape(*y._spec.shape, *x._spec.shape) for p, x in zip(parts, inputs, strict=True)]


def jacfwd(
    func: Function,
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Function:
    """A function that computes the Jacobian of ``func`` column by column, all at once.

    The columns are Jacobian-vector products as :func:`jvp` has them, of one call of ``func``; the
    walk back that they are the derivative of is made once.

    Args:
        argnums: which positional argument to differentiate by; a tuple for several.
        has_aux: ``func`` returns ``(output, aux)``.
        randomness: accepted for PyTorch's sake; ``func`` is called once, so that its random
            numbers are the same for every column.

    Returns:
        As :func:`jacrev`.

    Raises:
        RuntimeError: as :func:`jvp`; ``randomness`` is not one of its three words.

    Example:
        >>> import dovetail as dt
        >>> dt.func.jacfwd(lambda x: x * x)(dt.tensor([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """
    check_randomness(randomness)

    @functools.wraps(func, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
    def wrapped(*args: Any) -> Any:
        name = "jvp(f, primals, tangents)"
        output, push, aux, _ = linearized(func, args, argnums, has_aux, name)
        outs, out_spec = flatten(output)
        inputs, in_spec = flatten(chosen(argnums, args))
        found = columns(lambda vectors: flatten(push(vectors))[0], outs, inputs)
        made = _nested(found, out_spec, in_spec)
        return (made, aux) if has_aux else made

    return wrapped


def columns(
    push: Callable[[list[Any]], list[Any]], outs: list[Any], inputs: list[Any]
) -> list[list[Any]]:
    """Per output and input the Jacobian, from a function of tangents (one per input)."""
    found: list[list[Any]] = [[] for _ in outs]
    for k, x in enumerate(inputs):
        if not x._spec.numel:
            for row, y in zip(found, outs, strict=True):
                row.append(y.new_zeros((*y._spec.shape, *x._spec.shape)))
            continue

        def one(vector: Any, k: int = k) -> list[Any]:
            return push(
                [vector if i == k else zeros_like(z.detach()) for i, z in enumerate(inputs)]
            )

        for row, part, y in zip(found, vmap(one)(unit_vectors(x)), outs, strict=True):
            row.append(part.movedim(0, -1).reshape(*y._spec.shape, *x._spec.shape))
    return found


def hessian(func: Function, argnums: int | tuple[int, ...] = 0) -> Function:
    """A function that computes the Hessian of ``func``: ``jacfwd(jacrev(func))``.

    Example:
        >>> import dovetail as dt
        >>> dt.func.hessian(lambda x: (x**3).sum())(dt.tensor([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
