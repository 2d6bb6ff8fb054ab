"""``grad``, ``vjp``, ``jvp`` and ``linearize``: derivatives of functions as functions.

All of them record one graph and walk it back. Forward mode is a walk back through a walk back (the
vector-Jacobian product is linear in its vector, and its derivative for that is the
Jacobian-vector product), so every operator that has a gradient has it, and ``jvp`` costs about
three times what the function does.

Each transform puts an entry in front of what it differentiates (see ``levels``), so nested
transforms over variables of each other do not mix theirs up. Source: PyTorch's ``torch.func``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from dovetail.autograd.engine import _roots, run
from dovetail.autograd.grad_mode import enable_grad, mode
from dovetail.factories import zeros_like
from dovetail.func.levels import Level, any_lives, entered, settled
from dovetail.func.tree import TreeSpec, flatten, tree_map, unflatten
from dovetail.tensor import Tensor

__all__ = [
    "chosen",
    "grad",
    "grad_and_value",
    "jvp",
    "linearize",
    "linearized",
    "pulled",
    "replaced",
    "value_and_grad",
    "vjp",
    "vjp_of",
]  # fmt: skip

Function = Callable[..., Any]


# ---------------------------------------------------------------- arguments


def _checked_argnum(argnum: Any, count: int) -> int:
    if not isinstance(argnum, int):
        raise RuntimeError(f"argnum must be int, got: {type(argnum)}")
    if not -count <= argnum < count:
        raise RuntimeError(f"Got argnum={argnum}, but only {count} positional inputs")
    return argnum % count


def chosen(argnums: Any, args: tuple[Any, ...]) -> Any:
    """The arguments that ``argnums`` names: one, or a tuple of them.

    Raises:
        RuntimeError: no int and no tuple of different ints in range.
    """
    count = len(args)
    if isinstance(argnums, int):
        return args[_checked_argnum(argnums, count)]
    if not isinstance(argnums, tuple):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    if not argnums:
        raise RuntimeError("argnums must be non-empty")
    places = tuple(_checked_argnum(n, count) for n in argnums)
    if len(set(places)) != len(places):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return tuple(args[n] for n in places)


def replaced(argnums: Any, args: tuple[Any, ...], values: Any) -> tuple[Any, ...]:
    """``args`` with ``values`` at the places that ``argnums`` names."""
    made = list(args)
    pairs = [(argnums, values)] if isinstance(argnums, int) else zip(argnums, values, strict=True)
    for n, value in pairs:
        made[n] = value
    return tuple(made)


def _variables(tree: Any, level: Level) -> tuple[list[Tensor], TreeSpec]:
    """Every tensor of ``tree`` as a variable of ``level``."""
    found, spec = flatten(tree)
    for x in found:
        if not isinstance(x, Tensor):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")
    return [entered(x, level) for x in found], spec


def _only_tensors(name: str, made: list[Any]) -> None:
    if not made:
        raise RuntimeError(f"{name}: expected f to be a function that has non-empty output")
    for y in made:
        if not isinstance(y, Tensor):
            raise RuntimeError(
                f"{name}: expected f(*primals) to return only tensors, got unsupported type "
                f"{type(y)}"
            )


def _apart(name: str, result: Any, has_aux: bool) -> tuple[Any, Any]:
    """(output, aux) of what the function returned."""
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(
            f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    return result


def _settled_tree(tree: Any, keep: bool) -> Any:
    return tree_map(lambda x: settled(x, keep) if isinstance(x, Tensor) else x, tree)


# ---------------------------------------------------------------- the walks


def pulled(
    outs: Sequence[Tensor], vectors: Sequence[Any], variables: Sequence[Tensor], create: bool
) -> list[Any]:
    """Vector-Jacobian products: per variable the sum over ``outs``, None where there is no way.

    Args:
        vectors: per output, shaped as it; None for a scalar's 1.
        create: record the walk, and keep the graph for others.
    """
    live = [i for i, o in enumerate(outs) if o._node is not None]
    roots = _roots([outs[i] for i in live], [vectors[i] for i in live], "vjp")
    capture: dict[Any, Any] = {x._node: None for x in variables}
    run(roots, keep_graph=True, create_graph=create, capture=capture, accumulate=False)
    return [capture[x._node] for x in variables]


def _or_zeros(found: list[Any], like: Sequence[Tensor]) -> list[Any]:
    return [zeros_like(x) if g is None else g for g, x in zip(found, like, strict=True)]


# --------------------------------------------------------------------- grad


def grad(func: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """A function that computes the gradient of ``func``, which returns a 0-d tensor.

    Args:
        argnums: which positional argument to differentiate by (a tensor, or tensors nested in
            tuples, lists, dicts); a tuple for several.
        has_aux: ``func`` returns ``(output, aux)``; aux is passed on.

    Returns:
        A function of the same arguments: gradients nested as the argument is (a tuple of them for
        a tuple of ``argnums``), with aux ``(gradients, aux)``.

    Raises:
        RuntimeError: the output is no 0-d floating-point tensor, or ``argnums`` do not fit.

    ``no_grad`` inside of ``func`` is respected; around the call it only keeps the result from
    being recorded.

    Example:
        >>> import dovetail as dt
        >>> dt.func.grad(dt.func.grad(dt.sin))(dt.tensor(0.0))
        tensor(-0.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def grad_and_value(
    func: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Function:
    """As :func:`grad`, but the function returns ``(gradients, output)``, or with aux
    ``(gradients, (output, aux))``.

    Example:
        >>> import dovetail as dt
        >>> dt.func.grad_and_value(lambda x: (x * x).sum())(dt.ones(2))
        (tensor([2., 2.]), tensor(2.))
    """
    name = "grad_and_value(f)(*args)"

    @functools.wraps(func, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        keep = mode.grad
        level = Level()
        try:
            with enable_grad():
                variables, spec = _variables(chosen(argnums, args), level)
                inside = replaced(argnums, args, unflatten(variables, spec))
                output, aux = _apart(name, func(*inside, **kwargs), has_aux)
                _need_scalar(name, output)
                level.alive = False
                create = keep and any_lives((output,))
                found = _or_zeros(pulled((output,), (None,), variables, create), variables)
        finally:
            level.alive = False
        gradient = unflatten([settled(g, keep) for g in found], spec)
        value = settled(output, keep)
        return gradient, (value, _settled_tree(aux, keep)) if has_aux else value

    return wrapped


def value_and_grad(
    func: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Function:
    """:func:`grad_and_value` in JAX's order: the function returns ``(output, gradients)``, or with
    aux ``((output, aux), gradients)``.

    Example:
        >>> import dovetail as dt
        >>> dt.func.value_and_grad(lambda x: (x * x).sum())(dt.ones(2))
        (tensor(2.), tensor([2., 2.]))
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(both)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return value, gradient

    return wrapped


def _need_scalar(name: str, output: Any) -> None:
    if not isinstance(output, Tensor):
        raise RuntimeError(f"{name}: Expected f(*args) to return a Tensor, got {type(output)}")
    if output._spec.ndim:
        raise RuntimeError(
            f"{name}: Expected f(*args) to return a scalar Tensor, got tensor with "
            f"{output._spec.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
        )


# ---------------------------------------------------------------------- vjp


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> Any:
    """The output of ``func`` at ``primals``, and a function for vector-Jacobian products.

    Args:
        primals: tensors, or tensors nested in tuples, lists, dicts.
        has_aux: ``func`` returns ``(output, aux)``.

    Returns:
        ``(output, vjp_fn)``, with aux ``(output, vjp_fn, aux)``. ``vjp_fn(vectors)`` takes vectors
        nested as the output is and returns a tuple with a product per primal.

    Raises:
        RuntimeError: ``func`` returns something that is no tensor; vectors that do not fit.

    Example:
        >>> import dovetail as dt
        >>> output, vjp_fn = dt.func.vjp(dt.sin, dt.zeros(2))
        >>> vjp_fn(dt.ones(2))
        (tensor([1., 1.]),)
    """
    found = vjp_of(func, primals, None, has_aux)
    return found if has_aux else found[:2]


def vjp_of(func: Function, args: tuple[Any, ...], argnums: Any, has_aux: bool) -> Any:
    """As :func:`vjp` for the arguments that ``argnums`` names (None: all): always with aux."""
    name = "vjp(f, *primals)"
    keep = mode.grad
    level = Level()
    try:
        with enable_grad():
            picked = args if argnums is None else chosen(argnums, args)
            variables, spec = _variables(picked, level)
            inside = unflatten(variables, spec)
            if argnums is not None:
                inside = replaced(argnums, args, inside)
            output, aux = _apart(name, func(*inside), has_aux)
            outs, out_spec = flatten(output)
            _only_tensors(name, outs)
    finally:
        level.alive = False

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        vectors, have = flatten(cotangents)
        if have != out_spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of "
                f"outputs to the function. cotangents: {have}, primal output: {out_spec}"
            )
        keep = mode.grad
        create = (keep and any_lives((*outs, *vectors))) if create_graph is None else create_graph
        with enable_grad():
            found = _or_zeros(pulled(outs, vectors, variables, create), variables)
        return unflatten([settled(g, keep) for g in found], spec)

    result = unflatten([settled(y, keep) for y in outs], out_spec)
    return result, vjp_fn, _settled_tree(aux, keep)


# ---------------------------------------------------------------------- jvp


def jvp(
    func: Function, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> Any:
    """The output of ``func`` at ``primals``, and the Jacobian times ``tangents``.

    Computed by walking the graph back twice, not forward: about three times the cost of ``func``.

    Args:
        primals: a tuple of arguments: tensors, or tensors nested in tuples, lists, dicts.
        tangents: nested as ``primals``.
        strict: raise where an output does not depend on the primals.
        has_aux: ``func`` returns ``(output, aux)``.

    Returns:
        ``(output, product)``, with aux ``(output, product, aux)``; the product is nested as the
        output is.

    Raises:
        RuntimeError: primals and tangents do not fit together, or something is no tensor.

    Example:
        >>> import dovetail as dt
        >>> dt.func.jvp(dt.sin, (dt.zeros(2),), (dt.ones(2),))
        (tensor([0., 0.]), tensor([1., 1.]))
    """
    name = "jvp(f, primals, tangents)"
    for label, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple):
            extra = " E.g. it should be valid to call f(*primals)." if label == "primals" else ""
            raise RuntimeError(f"{name}: Expected {label} to be a tuple.{extra}")
    _, spec = flatten(primals)
    vectors, have = flatten(tangents)
    if have != spec:
        raise RuntimeError(
            f"{name}: Expected primals and tangents to have the same python structure. For "
            "example, if primals is a tuple of 3 tensors, tangents also must be. Got primals with "
            f"structure {spec} and tangents with structure {have}"
        )
    for label, given in (("primals", flatten(primals)[0]), ("tangents", vectors)):
        if not given:
            raise RuntimeError(f"{name}: Expected {label} to contain at least one Tensor.")
        for x in given:
            if not isinstance(x, Tensor):
                raise RuntimeError(
                    f"{name}: Expected {label} to contain only Tensors, got unsupported type "
                    f"{type(x)}"
                )
    output, push, aux, unused = linearized(func, primals, None, has_aux, name)
    if strict and unused:
        raise RuntimeError(
            "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. "
            "This is not allowed with strict=True."
        )
    product = push(vectors)
    return (output, product, aux) if has_aux else (output, product)


def linearize(func: Function, *primals: Any) -> tuple[Any, Function]:
    """The output of ``func`` at ``primals``, and the linear function nearest to it there.

    Returns:
        ``(output, jvp_fn)``; ``jvp_fn(*tangents)`` is what :func:`jvp` gives for them, without
        calling ``func`` again.

    Example:
        >>> import dovetail as dt
        >>> output, jvp_fn = dt.func.linearize(dt.sin, dt.zeros(2))
        >>> jvp_fn(dt.ones(2))
        tensor([1., 1.])
    """
    output, push, _, _ = linearized(func, primals, None, False, "linearize(f, *primals)")
    spec = flatten(primals)[1]

    def jvp_fn(*tangents: Any) -> Any:
        vectors, have = flatten(tangents)
        if have != spec:
            raise RuntimeError(
                f"linearize: expected tangents with the structure of the primals, {spec}, got "
                f"{have}"
            )
        return push(vectors)

    return output, jvp_fn


def linearized(
    func: Function, args: tuple[Any, ...], argnums: Any, has_aux: bool, name: str
) -> tuple[Any, Callable[[Sequence[Any]], Any], Any, bool]:
    """(output, function from tangents to products, aux, whether an output depends on nothing)."""
    keep = mode.grad
    level, second = Level(), Level()
    try:
        with enable_grad():
            variables, spec = _variables(args if argnums is None else chosen(argnums, args), level)
            inside = unflatten(variables, spec)
            if argnums is not None:
                inside = replaced(argnums, args, inside)
            output, aux = _apart(name, func(*inside), has_aux)
            outs, out_spec = flatten(output)
            _only_tensors(name, outs)
            level.alive = False
            # The products for these vectors are what is differentiated by them.
            dummies = [
                entered(zeros_like(y.detach()), second) if y._node is not None else None
                for y in outs
            ]
            back = pulled(outs, dummies, variables, True)
    finally:
        level.alive = second.alive = False

    def push(tangents: Sequence[Any]) -> Any:
        keep = mode.grad
        pairs = [(x, b, t) for x, b, t in zip(variables, back, tangents, strict=True)]
        for x, _, t in pairs:
            if t._spec.shape != x._spec.shape:
                raise RuntimeError(
                    "Trying to set a forward gradient that has a different size than that of the "
                    f"original Tensor, this is not supported. Tensor is of size "
                    f"{list(x._spec.shape)} while the given forward gradient is of size "
                    f"{list(t._spec.shape)}."
                )
        ways = [(b, t) for _, b, t in pairs if b is not None and b._node is not None]
        real = [u for u in dummies if u is not None]
        found: dict[int, Any] = {}
        if ways and real:
            products, vectors = zip(*ways, strict=True)
            create = keep and any_lives((*products, *vectors))
            with enable_grad():
                parts = pulled(products, vectors, real, create)
            found = {id(u): p for u, p in zip(real, parts, strict=True)}
        made = [
            zeros_like(y.detach()) if found.get(id(u)) is None else settled(found[id(u)], keep)
            for y, u in zip(outs, dummies, strict=True)
        ]
        return unflatten(made, out_spec)

    unused = any(u is None for u in dummies)
    result = unflatten([settled(y, keep) for y in outs], out_spec)
    return result, push, _settled_tree(aux, keep), unused
