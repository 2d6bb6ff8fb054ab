"""``vmap``: a function of single examples as a function of a batch of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dovetail.autograd.grad_mode import mode
from dovetail.func.batched import outside, spread, wrap
from dovetail.func.levels import Level, opened
from dovetail.func.randomness import repeated
from dovetail.func.tree import TreeSpec, broadcast_prefix, flatten, unflatten
from dovetail.ops.layout.joining import cat
from dovetail.tensor import Tensor

__all__ = ["check_randomness", "vmap"]


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """``func`` mapped over a dim of its inputs, in one call of each operator for all of them.

    Args:
        func: takes tensors (and anything else) and returns tensors, in nested tuples, lists,
            dicts. It sees its inputs without the mapped dim.
        in_dims: the dim to map over per positional argument, an int or None (not mapped), nested
            as the arguments are; one entry may stand for a whole argument. Keyword arguments are
            not mapped.
        out_dims: where the mapped dim is put in the results; None for a result without it.
        randomness: what random operators inside do: ``"error"``, ``"different"`` (numbers of its
            own for each example) or ``"same"``.
        chunk_size: so many examples at a time; None: all.

    Returns:
        A function of the batched arguments.

    Raises:
        ValueError: ``in_dims`` or ``out_dims`` do not fit, sizes differ, nothing to map over, or
            a result is no tensor.
        RuntimeError: ``func`` asks for values (``item``, ``if``), or for random numbers while
            ``randomness`` is ``"error"``, or writes batched values into a tensor that is not.

    An operator without a batching rule and a decomposition is called row by row, with a warning.

    Source: PyTorch's ``torch.func.vmap``.

    Example:
        >>> import dovetail as dt
        >>> x, y = dt.ones(2, 5), dt.ones(2, 5)
        >>> dt.vmap(dt.dot)(x, y)
        tensor([5., 5.])
    """
    check_randomness(randomness)
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        given, spec, dims, size = _inputs(func, in_dims, args)
        if chunk_size is None or chunk_size >= size:
            return _mapped(func, given, spec, dims, size, out_dims, randomness, kwargs)
        return _in_chunks(func, given, spec, dims, size, out_dims, randomness, kwargs, chunk_size)

    return wrapped


def check_randomness(randomness: str) -> None:
    """Raise RuntimeError where ``randomness`` is none of its three words."""
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            "Only allowed values for randomness are 'error', 'different', or 'same'. Got "
            f"{randomness}"
        )


def _name(func: Any) -> str:
    return getattr(func, "__name__", None) or repr(func)


def _inputs(
    func: Any, in_dims: Any, args: tuple[Any, ...]
) -> tuple[list[Any], TreeSpec, list[Any], int]:
    """(leaves of the arguments, their structure, a dim or None per leaf, the size)."""
    where = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if type(in_dims) is not int and not isinstance(in_dims, tuple):
        raise ValueError(
            f"{where}: expected `in_dims` to be int or a (potentially nested) tuple matching the "
            f"structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({_name(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you "
            "are trying to vmap over a function with no inputs. The latter is unsupported."
        )
    given, spec = flatten(args)
    dims = broadcast_prefix(in_dims, spec)
    if dims is None:
        raise ValueError(
            f"{where}: in_dims is not compatible with the structure of `inputs`. in_dims has "
            f"structure {flatten(in_dims)[1]} but inputs has structure {spec}."
        )
    found = [_checked_dim(where, x, dim) for x, dim in zip(given, dims, strict=True)]
    sizes = [x._spec.shape[dim] for x, dim in zip(given, found, strict=True) if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if any(n != sizes[0] for n in sizes):
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    return given, spec, found, sizes[0]


def _checked_dim(where: str, x: Any, dim: Any) -> int | None:
    if dim is None:
        return None
    if not isinstance(dim, int):
        raise ValueError(
            f"{where}: Got in_dim={dim} for an input but in_dim must be either an integer dimension"
            " or None."
        )
    if not isinstance(x, Tensor):
        raise ValueError(
            f"{where}: Got in_dim={dim} for an input but the input is of type {type(x)}. We cannot "
            "vmap over non-Tensor arguments, please use None as the respective in_dim"
        )
    ndim = x._spec.ndim
    if not -ndim <= dim < ndim:
        raise ValueError(
            f"{where}: Got in_dim={dim} for some input, but that input is a Tensor of "
            f"dimensionality {ndim} so expected in_dim to satisfy -{ndim} <= in_dim < {ndim}."
        )
    return dim % ndim


def _mapped(
    func: Any,
    given: list[Any],
    spec: TreeSpec,
    dims: list[Any],
    size: int,
    out_dims: Any,
    randomness: str,
    kwargs: dict[str, Any],
) -> Any:
    values = [x.movedim(dim, 0) if dim else x for x, dim in zip(given, dims, strict=True)]
    with opened(size, mode.grad, randomness) as level:
        seen = [v if dim is None else wrap(v, level) for v, dim in zip(values, dims, strict=True)]
        result = func(*unflatten(seen, spec), **kwargs)
        return _outputs(func, result, out_dims, level)


def _outputs(func: Any, result: Any, out_dims: Any, level: Level) -> Any:
    made, spec = flatten(result)
    if any(not isinstance(d, int) and d is not None for d in flatten(out_dims)[0]):
        raise ValueError(
            f"vmap({_name(func)}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a "
            "python collection of ints representing where in the outputs the vmapped dimension "
            "should appear."
        )
    single = spec.kind is None and type(out_dims) is tuple and len(out_dims) == 1
    dims = broadcast_prefix(out_dims[0] if single else out_dims, spec)
    if dims is None:
        raise ValueError(
            f"vmap({_name(func)}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible "
            f"with the structure of `outputs`. out_dims has structure {flatten(out_dims)[1]} but "
            f"outputs has structure {spec}."
        )
    return unflatten(
        [_revealed(func, x, dim, level) for x, dim in zip(made, dims, strict=True)], spec
    )


def _revealed(func: Any, x: Any, dim: int | None, level: Level) -> Any:
    """A result with its hidden dim at ``dim``."""
    if not isinstance(x, Tensor):
        if dim is None:
            return x
        raise ValueError(
            f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type "
            f"{type(x)}. Did you mean to set out_dims= to None for output?"
        )
    value, has_dim = outside(x, level)
    if dim is None:
        if has_dim:
            raise ValueError(
                f"vmap({_name(func)}, ...): `{_name(func)}` can not return a BatchedTensor when "
                "out_dim is None"
            )
        return value
    value = value if has_dim else spread(value, level.size)
    return value.movedim(0, dim) if dim else value


def _in_chunks(
    func: Any,
    given: list[Any],
    spec: TreeSpec,
    dims: list[Any],
    size: int,
    out_dims: Any,
    randomness: str,
    kwargs: dict[str, Any],
    chunk_size: int,
) -> Any:
    parts: list[list[Any]] = []
    structure = spec
    device = next(x.device for x, dim in zip(given, dims, strict=True) if dim is not None)
    again = repeated(device) if randomness == "same" else None
    for start in range(0, size, chunk_size):
        count = min(chunk_size, size - start)
        if again is not None:
            again()
        part = [
            x if dim is None else x.narrow(dim, start, count)
            for x, dim in zip(given, dims, strict=True)
        ]
        result = _mapped(func, part, spec, dims, count, out_dims, randomness, kwargs)
        some, structure = flatten(result)
        parts.append(some)
    single = structure.kind is None and type(out_dims) is tuple and len(out_dims) == 1
    places = broadcast_prefix(out_dims[0] if single else out_dims, structure)
    assert places is not None
    joined = [
        column[0] if dim is None else cat(list(column), dim)
        for column, dim in zip(zip(*parts, strict=True), places, strict=True)
    ]
    return unflatten(joined, structure)
