"""``gradcheck`` and ``gradgradcheck``: analytic gradients against central differences.

The numerical derivative is ``(f(x + eps) - f(x - eps)) / (2 eps)``, element by element. Source:
PyTorch's ``torch.autograd.gradcheck``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import raw
from dovetail.autograd.engine import grad
from dovetail.autograd.grad_mode import enable_grad, no_grad
from dovetail.factories import from_numpy, tensor, zeros_like
from dovetail.memory_formats import contiguous_format
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """An analytic gradient differs from the numerical one."""


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _differentiable(outputs: Any) -> list[Tensor]:
    return [o for o in _tuple(outputs) if isinstance(o, Tensor) and o.requires_grad]


def _check_inputs(inputs: tuple[Any, ...], eps: float) -> list[int]:
    positions = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not positions:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them "
            "have requires_grad=True."
        )
    for i in positions:
        x = inputs[i]
        if x.dtype.to_real().itemsize < 8:
            better = {4: 1e-2, 2: 1e-1}[x.dtype.to_real().itemsize]
            warn(
                f"Input #{i} requires gradient and is not a double precision floating point or "
                f"complex (it is {x.dtype}). This check will likely fail with eps={eps}: use "
                f".double() inputs, or eps={better} with atol={better}.",
                UserWarning,
            )
        if 0 in x.stride() and x.numel() > 1:
            raise RuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs "
                "that are non-overlapping to be able to compute the numerical gradients correctly. "
                "You should call .contiguous on the input before passing it to gradcheck."
            )
    return positions


def _host(x: Tensor) -> np.ndarray:
    wide = np.complex128 if x.dtype.is_complex else np.float64
    return np.array(raw.to_host(x.detach())).astype(wide)


def _numerical(
    function: Callable[..., Any], inputs: tuple[Any, ...], position: int, eps: float
) -> list[np.ndarray]:
    """Per output, d output / d input as (input elements, output elements).

    For a complex input the column is ``d/dx + i d/dy`` of the output's real and imaginary parts.
    """
    x = inputs[position]
    values = np.array(raw.to_host(x.detach()))
    steps = (eps, 1j * eps) if x.dtype.is_complex else (eps,)
    rows: list[list[Any]] = []

    def run(changed: np.ndarray) -> list[np.ndarray]:
        with no_grad():
            x.data.copy_(from_numpy(changed))  # type: ignore[attr-defined]
            made = function(*inputs)
            return [_host(o).reshape(-1) for o in _tuple(made) if isinstance(o, Tensor)]

    try:
        for at in np.ndindex(values.shape):
            parts = []
            for step in steps:
                up, down = values.copy(), values.copy()
                up[at] += step
                down[at] -= step
                pairs = zip(run(up), run(down), strict=True)
                parts.append([(a - b) / (2 * eps) for a, b in pairs])
            rows.append(parts)
    finally:
        with no_grad():
            x.data.copy_(from_numpy(values))  # type: ignore[attr-defined]
    count = len(rows[0][0]) if rows else 0
    return [
        np.array([[part[k] for part in parts] for parts in rows]).swapaxes(0, 1)
        if rows
        else np.zeros((len(steps), 0, 0))
        for k in range(count)
    ]


def _analytic(output: Tensor, inputs: list[Tensor], seed: complex) -> list[np.ndarray]:
    """Per input, the gradient of ``Re(conj(seed) * output)``, (input elements, output elements)."""
    columns: list[list[np.ndarray]] = [[] for _ in inputs]
    for k in range(output.numel()):
        v = zeros_like(output, memory_format=contiguous_format)
        v.view(-1)[k] = seed if output.dtype.is_complex else seed.real
        found = grad(output, inputs, v, retain_graph=True, allow_unused=True)
        for column, x, g in zip(columns, inputs, found, strict=True):
            if g is None:
                column.append(np.zeros(x.numel(), _host(x).dtype))
                continue
            if tuple(g.shape) != tuple(x.shape):
                raise GradcheckError(
                    f"Analytical gradient has incorrect size: {tuple(g.shape)} for an input of "
                    f"shape {tuple(x.shape)}"
                )
            column.append(_host(g).reshape(-1))
    return [
        np.stack(c, axis=1) if c else np.zeros((x.numel(), 0))
        for c, x in zip(columns, inputs, strict=True)
    ]


def _mismatch(
    output: int, input: int, numerical: np.ndarray, analytic: np.ndarray, wrong: np.ndarray
) -> str:
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"Jacobian mismatch for output {output} with respect to input {input},\n"
        f"numerical:{numerical}\nanalytical:{analytic}\n"
        f"The first wrong element is d output[{at[1]}] / d input[{at[0]}]: numerical "
        f"{numerical[at]}, analytical {analytic[at]} ({int(wrong.sum())} of {wrong.size} are wrong)"
    )


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Check ``func``'s gradients at ``inputs`` against central differences of step ``eps``.

    Inputs should be float64 or complex128; a warning says which ``eps`` to use otherwise.
    ``fast_mode`` is accepted; the full check is always done.

    Raises:
        RuntimeError: they differ by more than ``atol + rtol * |numerical|`` (unless
            ``raise_exception`` is False), or backward is not deterministic.
        ValueError: no input requires grad.
    """
    inputs = _tuple(inputs)
    positions = _check_inputs(inputs, eps)
    try:
        return _check(func, inputs, positions, eps, atol, rtol, nondet_tol, check_grad_dtypes)
    except GradcheckError:
        if raise_exception:
            raise
        return False


def _check(
    func: Callable[..., Any],
    inputs: tuple[Any, ...],
    positions: list[int],
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    check_dtypes: bool,
) -> bool:
    wanted = [inputs[i] for i in positions]
    with enable_grad():
        made = [o for o in _tuple(func(*inputs)) if isinstance(o, Tensor)]
    numerical = [_numerical(func, inputs, i, eps) for i in positions]
    if not any(o.requires_grad for o in made):
        for i, per_output in zip(positions, numerical, strict=True):
            if any(np.any(np.abs(p) > atol) for p in per_output):
                raise GradcheckError(
                    "Numerical gradient for function expected to be zero: no output requires "
                    f"grad, but input {i} changes them"
                )
        return True
    for k, output in enumerate(made):
        if not output.requires_grad:
            continue
        seeds = (1 + 0j, 1j) if output.dtype.is_complex else (1 + 0j,)
        for seed in seeds:
            analytic = _analytic(output, wanted, seed)
            again = _analytic(output, wanted, seed)
            for one, two in zip(analytic, again, strict=True):
                if one.size and np.max(np.abs(one - two)) > nondet_tol:
                    raise GradcheckError(
                        "Backward is not reentrant, i.e., running backward with same input and "
                        "grad_output multiple times gives different values, although analytical "
                        "gradient matches numerical gradient. The tolerance for nondeterminism "
                        f"was {nondet_tol}."
                    )
            for i, per_output, found in zip(positions, numerical, analytic, strict=True):
                parts = per_output[k]
                part = parts.real if seed == 1 else parts.imag
                if not np.iscomplexobj(parts):
                    part = parts
                expected = part[0] + 1j * part[1] if len(part) == 2 else part[0]
                if not expected.size:
                    continue
                close = np.abs(found - expected) <= atol + rtol * np.abs(expected)
                wrong = ~close & ~(np.isnan(found) & np.isnan(expected))
                if wrong.any():
                    raise GradcheckError(_mismatch(k, i, expected, found, wrong))
    if check_dtypes:
        for x, g in zip(
            wanted, grad([o.sum() for o in made], wanted, allow_unused=True), strict=True
        ):  # type: ignore[attr-defined]
            if g is not None and g.dtype is not x.dtype:
                raise GradcheckError(f"gradient has dtype {g.dtype}, its input {x.dtype}")
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Check the gradients of ``func``'s gradients; arguments as for :func:`gradcheck`.

    ``grad_outputs`` are random unless given.
    """
    inputs = _tuple(inputs)
    count = len(inputs)
    if grad_outputs is None:
        outputs = _differentiable(func(*inputs))
        rng = np.random.default_rng(0)
        made = []
        for o in outputs:
            v = rng.standard_normal(tuple(o.shape))
            if o.dtype.is_complex:
                v = v + 1j * rng.standard_normal(tuple(o.shape))
            made.append(tensor(v, dtype=o.dtype, device=o.device, requires_grad=True))
        grad_outputs = tuple(made)
    grad_outputs = _tuple(grad_outputs)

    def derivative(*args: Any) -> Any:
        xs, vs = args[:count], args[count:]
        with enable_grad():
            outputs = _differentiable(func(*xs))
            wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
            found = grad(outputs, wanted, vs, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        derivative,
        (*inputs, *grad_outputs),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_grad_dtypes=check_grad_dtypes,
    )
