"""Gradients through several operators: views, writes, joins, casts, devices; and the graph itself.

Values come from differences of the same steps written in NumPy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail_conformance.calls import host
from dovetail_conformance.checks.gradients import check_facts
from dovetail_conformance.compare import EPS, check_close
from dovetail_conformance.derivatives import inner, slope
from dovetail_conformance.layouts import place
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["CHAINS", "cases"]

Chain = tuple[Callable[[Any], Any], Callable[[np.ndarray], np.ndarray]]


def _write_row(x: Any) -> Any:
    y = x * 1
    y[1] = y[0] * 3
    y[:, 2:] *= 2
    return y


def _write_row_numpy(a: np.ndarray) -> np.ndarray:
    y = a.copy()
    y[1] = y[0] * 3
    y[:, 2:] *= 2
    return np.asarray(y)


def _write_through_view(x: Any) -> Any:
    y = x * 1
    y.t()[1].mul_(x[:, 0])
    return y.exp()


def _write_through_view_numpy(a: np.ndarray) -> np.ndarray:
    y = a.copy()
    y.T[1] *= a[:, 0]
    return np.asarray(np.exp(y))


def _long(x: Any) -> Any:
    for _ in range(60):
        x = (x * 1.01).t().contiguous() + 0.01
    return x


def _long_numpy(a: np.ndarray) -> np.ndarray:
    for _ in range(60):
        a = np.asarray((a * 1.01).T + 0.01)
    return a


PICKED = np.array([2, 0, 2, 3])

CHAINS: dict[str, Chain] = {
    "slice, transpose, step": (
        lambda x: (x[1:].t() * 2).contiguous().view(-1)[::2],
        lambda a: (a[1:].T * 2).reshape(-1)[::2],
    ),
    "flip and narrow": (
        lambda x: x.flip(0).narrow(1, 1, 2).square(),
        lambda a: a[::-1, 1:3] ** 2,
    ),
    "used three times": (lambda x: x * x.t().t() + x.exp(), lambda a: a * a + np.exp(a)),
    "expand": (
        lambda x: x[:, :1].expand(4, 5) * x.sum(0)[0],
        lambda a: np.broadcast_to(a[:, :1], (4, 5)) * a.sum(0)[0],
    ),
    "broadcast": (lambda x: x * x[0] / x[:, 1:2], lambda a: a * a[0] / a[:, 1:2]),
    "cat of views": (
        lambda x: dt.cat([x[:2].t(), x[2:].t() * 3, x[::2].t()], 1).sin(),
        lambda a: np.sin(np.concatenate([a[:2].T, a[2:].T * 3, a[::2].T], 1)),
    ),
    "stack and unbind": (
        lambda x: dt.stack(list(x.unbind(1)[::-1]), 0) ** 2,
        lambda a: np.stack([a[:, 2], a[:, 1], a[:, 0]], 0) ** 2,
    ),
    "split": (
        lambda x: x.split([1, 3])[1] * x.split(2)[0][0],
        lambda a: a[1:] * a[0],
    ),
    "index with repeats": (
        lambda x: x[dt.tensor(PICKED, device=x.device)] * x,
        lambda a: a[PICKED] * a,
    ),
    "mask": (
        lambda x: dt.where(x > 1, x.log(), -x.exp()),
        lambda a: np.where(a > 1, np.log(np.maximum(a, 1e-9)), -np.exp(a)),
    ),
    "diagonal and outer": (
        lambda x: x[:3].diagonal().unsqueeze(1) @ x[3:],
        lambda a: a[:3].diagonal()[:, None] @ a[3:],
    ),
    "as_strided that overlaps": (
        lambda x: x.contiguous().as_strided((3, 4), (2, 1), 1).square(),
        lambda a: np.lib.stride_tricks.sliding_window_view(a.reshape(-1)[1:], 4)[:6:2] ** 2,
    ),
    "writes to parts": (_write_row, _write_row_numpy),
    "write through a view": (_write_through_view, _write_through_view_numpy),
    "cast and back": (
        lambda x: (x.to(d.float32) * 2).to(x.dtype) * x,
        lambda a: 2 * a * a,
    ),
    "complex in between": (
        lambda x: (dt.complex(x, x * 2) * dt.complex(x.exp(), x)).imag,
        lambda a: ((a + 2j * a) * (np.exp(a) + 1j * a)).imag,
    ),
    "a long chain": (_long, _long_numpy),
    "softmax of a product": (
        lambda x: (x @ x.t()).softmax(-1),
        lambda a: np.exp(a @ a.T) / np.exp(a @ a.T).sum(-1, keepdims=True),
    ),
}
"""name -> (steps on a tensor (4, 3), the same in NumPy)."""

_NEEDS = {"complex in between": (d.float32, d.complex64), "cast and back": (d.float32,)}


def cases(target: Target) -> Iterator[Case]:
    """Chains in the widest dtype, rules of the graph, moves between devices."""
    dtype = target.widest()
    for name in CHAINS:
        needed = _NEEDS.get(name, ())
        if dtype is d.float64 and d.complex64 in needed:
            needed = (d.complex128,)
        if all(k in target.dtypes for k in needed):
            run = functools.partial(_chain, name, dtype)
            yield Case(3, "graph", name, dtype.name, "", run)
    for name, rule in RULES.items():
        if rule is _through_halves and d.float16 not in target.dtypes:
            continue
        yield Case(3, "graph", name, "", "rule", functools.partial(_rule, name, rule))
    for other in _others(target):
        yield Case(3, "graph", "to", "", f"and {other}", functools.partial(_moves, other))


def _values() -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.uniform(0.5, 2, (4, 3)).astype(np.float32)


def _chain(name: str, dtype: d.dtype, trial: Trial) -> None:
    steps, in_numpy = CHAINS[name]
    values = _values().astype(np.float64)
    made = in_numpy(values)
    weights = np.arange(1, made.size + 1).reshape(made.shape) / made.size
    expected = np.zeros(values.shape)
    for at in np.ndindex(*values.shape):
        e = np.zeros(values.shape)
        e[at] = 1
        found = slope(lambda t, e=e: inner(weights, in_numpy(values + t * e) - made))  # type: ignore[misc]
        assert found is not None, f"{name} has no derivative at {at}"
        expected[at] = found.value
    for layout in ("contiguous", "mixed"):
        with trial.attempt(layout=layout, shape=[[4, 3]]):
            x, _ = place(values.astype(dtype.numpy), layout, trial.device)
            x.requires_grad_()
            result = steps(x)
            w = dt.tensor(weights.astype(dtype.numpy), device=trial.device)
            result.backward(w)
            what = f"{name}, {layout}"
            eps = EPS["float32" if name == "cast and back" else dtype.name]
            allowed = (64 * eps + 1e-9) * float(np.abs(expected).max()) * 4
            trial.saw_ratio(check_close(host(x.grad), expected, dtype, allowed, what))
            check_facts(x, what)
            if host(x).tobytes() != values.astype(dtype.numpy).tobytes():
                raise Mismatch(f"{what}: backward changed the input", "inputs-unchanged")


# Moves


def _others(target: Target) -> list[str]:
    others = [] if target.type == "cpu" else ["cpu"]
    if target.count > 1:
        index = target.device.split(":")[1] if ":" in target.device else "0"
        others.append(f"{target.type}:{1 - int(index) if int(index) < 2 else 0}")
    return others or [target.device]


def _moves(other: str, trial: Trial) -> None:
    """Gradients come back to where their tensor is, by whatever devices they went."""
    values = _values()
    for start, end in ((trial.device, other), (other, trial.device)):
        for layout in ("contiguous", "mixed", "expanded"):
            with trial.attempt(layout=layout, stage=f"{start} to {end}"):
                x, shown = place(values, layout, start)
                x = x.detach().requires_grad_()
                there = x.to(end)
                y = (there * 3 + x.to(end).t()[:3].sum()).to(start)
                (y * x).sum().backward()
                ones = np.zeros(values.shape)
                ones[:, :3] = 1
                wide = shown.astype(np.float64)
                expected = 6 * wide + wide[:, :3].sum() + wide.sum() * ones
                what = f"from {start} to {end} and back, {layout}"
                check_facts(x, what)
                check_close(host(x.grad), expected, d.float32, 1e-5 * expected.max(), what)


# Rules


def _rule(name: str, rule: Callable[[str], str], trial: Trial) -> None:
    with trial.attempt(stage=name):
        wrong = rule(trial.device)
        if wrong:
            raise Mismatch(f"{name}: {wrong}", "graph")


def _leaf(device: str) -> Any:
    return dt.tensor([1.0, 2.0, 3.0], device=device).requires_grad_()


def _raises(kind: type[Exception], text: str, call: Callable[[], Any]) -> str:
    try:
        call()
    except kind as error:
        return "" if text in str(error) else f"the error must say {text!r}, says {error}"
    return f"must raise {kind.__name__}, did not"


def _freed(device: str) -> str:
    x = _leaf(device)
    y = (x * x).sum()
    y.backward()
    return _raises(RuntimeError, "a second time", y.backward)


def _kept(device: str) -> str:
    x = _leaf(device)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return _differs(x.grad, [4, 8, 12])


def _adds_up(device: str) -> str:
    x = _leaf(device)
    before = None
    for _ in range(3):
        (x * 2).sum().backward()
        if before is not None and x.grad is not before:
            return "the gradient must be added to the tensor that is there"
        before = x.grad
    return _differs(x.grad, [6, 6, 6])


def _grad_leaves_alone(device: str) -> str:
    x = _leaf(device)
    (g,) = dt.autograd.grad((x * x).sum(), x)
    return "grad() must not write .grad" if x.grad is not None else _differs(g, [2, 4, 6])


def _none_is_recorded(device: str) -> str:
    x = _leaf(device)
    with dt.no_grad():
        y, copy = x * 2, x.clone()
    if y.requires_grad or copy.requires_grad or (x.detach() * 2).requires_grad:
        return "nothing must be recorded under no_grad() and after detach()"
    (x * 2 + y).sum().backward()
    return _differs(x.grad, [2, 2, 2])


def _write_after_save(device: str) -> str:
    x = _leaf(device)
    y = x * 1
    z = y * y
    y.add_(1)
    return _raises(RuntimeError, "modified by an inplace operation", z.sum().backward)


def _once(device: str) -> str:
    from dovetail.autograd.function import once_differentiable

    class Double(dt.autograd.Function):
        """2 x, whose gradient is a constant to autograd."""

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    x = _leaf(device)
    v = dt.ones(3, device=device).requires_grad_()
    (g,) = dt.autograd.grad(Double.apply(x), x, v, create_graph=True)
    return _raises(RuntimeError, "once_differentiable", g.sum().backward)


def _hooks(device: str) -> str:
    x = _leaf(device)
    y = x * 2
    y.register_hook(lambda g: g * 10)
    y.retain_grad()
    (y * y).sum().backward()
    return _differs(x.grad, [80, 160, 240])


def _dropout(device: str) -> str:
    x = dt.ones(1000, device=device).requires_grad_()
    y = dt.nn.functional.dropout(x, 0.25)
    y.sum().backward()
    return "" if host(x.grad).tobytes() == host(y).tobytes() else "the mask must be the forward's"


def _new_cotangents(device: str) -> str:
    """The same step backward with other cotangents gives other gradients."""
    places = dt.tensor([[0, 2, 2]], device=device)
    steps: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("gather", lambda x: x.view(1, 3).gather(1, places)),
        ("index_select", lambda x: x.index_select(0, places[0])),
        ("embedding", lambda x: dt.nn.functional.embedding(places, x.view(3, 1))),
    )
    for name, step in steps:
        for factor in (1.0, -3.0):
            x = _leaf(device)
            (step(x).sum() * factor).backward()
            wrong = _differs(x.grad, [factor, 0.0, 2 * factor])
            if wrong:
                return f"{name}, cotangents of {factor}: {wrong}"
    return ""


def _through_halves(device: str) -> str:
    x = _leaf(device)
    y = x.to(d.float16) * 2
    y.sum().backward()
    if x.grad.dtype is not d.float32:
        return f"the gradient of a float32 tensor must be float32, is {x.grad.dtype}"
    return _differs(x.grad, [2, 2, 2])


def _differs(g: Any, wanted: list[float]) -> str:
    made = host(g).tolist()
    return "" if made == wanted else f"the gradient must be {wanted}, is {made}"


RULES: dict[str, Callable[[str], str]] = {
    "other cotangents": _new_cotangents,
    "a graph is used once": _freed,
    "retain_graph": _kept,
    "gradients add up": _adds_up,
    "autograd.grad": _grad_leaves_alone,
    "no_grad and detach": _none_is_recorded,
    "a saved tensor was written": _write_after_save,
    "once_differentiable": _once,
    "hooks": _hooks,
    "dropout": _dropout,
    "casts": _through_halves,
}
