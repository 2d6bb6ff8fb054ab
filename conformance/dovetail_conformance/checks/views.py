"""Views share memory: what is written through one is seen through all, and no kernel makes one.

NumPy's views of the same memory are the reference; no device takes part in them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail_conformance.calls import host
from dovetail_conformance.device_bytes import LATE, is_late
from dovetail_conformance.layouts import place
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]

View = Callable[[Any], Any]
KINDS = (d.float32, d.float16, d.bfloat16, d.int64, d.uint8, d.bool_, d.complex64)
BASES = ("contiguous", "offset", "transposed", "mixed")
_windows = np.lib.stride_tricks.sliding_window_view
_strided = np.lib.stride_tricks.as_strided

VIEWS: dict[str, tuple[View, View]] = {
    "detach": (lambda x: x.detach(), lambda a: a),
    "permute": (lambda x: x.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    "transpose": (lambda x: x.transpose(0, -1), lambda a: a.swapaxes(0, 2)),
    "movedim": (lambda x: x.movedim(0, 2), lambda a: np.moveaxis(a, 0, 2)),
    "mT": (lambda x: x.mT, lambda a: a.swapaxes(1, 2)),
    "t": (lambda x: x[0].t(), lambda a: a[0].T),
    "unsqueeze": (lambda x: x.unsqueeze(1), lambda a: a[:, None]),
    "squeeze": (lambda x: x[:, 1:2].squeeze(1), lambda a: a[:, 1]),
    "select": (lambda x: x.select(1, -1), lambda a: a[:, -1]),
    "narrow": (lambda x: x.narrow(2, 1, 3), lambda a: a[..., 1:4]),
    "row": (lambda x: x[1], lambda a: a[1]),
    "element": (lambda x: x[1, 2, 3], lambda a: a[1, 2, 3:4].reshape(())),
    "last element": (lambda x: x[-1, -1, -1], lambda a: a[-1, -1, -1:].reshape(())),
    "slice": (lambda x: x[1:, :2], lambda a: a[1:, :2]),
    "steps": (lambda x: x[:, ::2, 1::3], lambda a: a[:, ::2, 1::3]),
    "newaxis": (lambda x: x[..., None, 2], lambda a: a[..., None, 2]),
    "no elements": (lambda x: x[:, 3:3], lambda a: a[:, 3:3]),
    "diagonal": (lambda x: x.diagonal(1, 1, 2), lambda a: _diagonal(a)),
    "split": (lambda x: x.split(2, 2)[1], lambda a: a[..., 2:4]),
    "chunk": (lambda x: x.chunk(2, 1)[1], lambda a: a[:, 2:]),
    "unbind": (lambda x: x.unbind(2)[3], lambda a: a[..., 3]),
}
"""Name -> (a view of a tensor of shape (2, 3, 5), the same of an array)."""

FLAT: dict[str, tuple[View, View]] = {
    "view": (lambda x: x.view(5, 6), lambda a: a.reshape(5, 6)),
    "view(-1)": (lambda x: x.view(-1), lambda a: a.reshape(-1)),
    "reshape": (lambda x: x.reshape(3, 10), lambda a: a.reshape(3, 10)),
    "flatten": (lambda x: x.flatten(1), lambda a: a.reshape(2, 15)),
    "view_as": (lambda x: x.view_as(dt.empty(6, 5)), lambda a: a.reshape(6, 5)),
    "as_strided": (
        lambda x: x.as_strided((3, 4), (7, 2), x.storage_offset() + 3),
        lambda a: _strided(a.reshape(-1)[3:], (3, 4), (7 * a.itemsize, 2 * a.itemsize)),
    ),
}
"""Those that need a dense tensor."""

READ: dict[str, tuple[View, View]] = {
    "expand": (lambda x: x[:, :1].expand(2, 4, 5), lambda a: a[:, :1].repeat(4, 1)),
    "expand rows": (lambda x: x.expand(3, 2, 3, 5), lambda a: np.stack([a] * 3)),
    "unfold": (lambda x: x.unfold(2, 3, 1), lambda a: _windows(a, 3, 2)),
}
"""Those in which elements share memory: they are not written through."""


def _diagonal(array: np.ndarray) -> np.ndarray:
    """Written through, unlike ``np.diagonal``."""
    n, rows, columns = array.strides
    return _strided(array[:, :, 1:], (array.shape[0], 3), (n, rows + columns))


def cases(target: Target) -> Iterator[Case]:
    """View by view, pairs of views, and what versions and gradients make of writes."""
    tables = (("views", VIEWS), ("dense", FLAT), ("read-only", READ))
    for dtype in target.dtypes:
        if dtype not in KINDS:
            continue
        for variant, table in tables:
            for name in table:
                bases = BASES if variant != "dense" else BASES[:2]
                run = functools.partial(_view, table[name], dtype, bases, variant != "read-only")
                yield Case(0, "views", name, dtype.name, "", run)
        yield Case(0, "views", "views of views", dtype.name, "", functools.partial(_pairs, dtype))
    if d.float32 in target.dtypes:
        yield Case(0, "views", "written", "float32", "", _written)
        yield Case(0, "views", "other dtype", "", "", functools.partial(_reinterpreted, target))
        yield Case(0, "views", "versions", "float32", "", _versions)
        yield Case(0, "views", "gradient", "float32", "", _gradient)


def _numbers(dtype: d.dtype) -> np.ndarray:
    values = np.arange(30) % 2 if dtype is d.bool_ else np.arange(30) + 1
    return values.astype(dtype.numpy).reshape(2, 3, 5)


def _check(x: Any, expected: np.ndarray, what: str, check: str = "views") -> None:
    made = host(x)
    if made.shape == expected.shape and made.tobytes() == np.ascontiguousarray(expected).tobytes():
        return
    text = f"{what}: must show {expected.tolist()}, shows {made.tolist()}."
    if is_late(x, expected):
        raise Mismatch(text + LATE, "settled")
    raise Mismatch(f"{text} Do kernels and copies use the storage offset and the strides?", check)


def _facts(layout: str, v: Any) -> dict[str, Any]:
    return {
        "layout": layout
        if v.is_contiguous()
        else "transposed"
        if layout == "contiguous"
        else layout,
        "shape": [list(v.shape)],
        "numel": v.numel(),
        "offset": v.storage_offset(),
    }


def _view(
    pair: tuple[View, View], dtype: d.dtype, bases: tuple[str, ...], writes: bool, trial: Trial
) -> None:
    view, numpy_view = pair
    for layout in bases:
        values = _numbers(dtype).copy()
        x, _ = place(values, layout, trial.device)
        with dt.trace() as events:
            v = view(x)
        seen = numpy_view(values)
        what = f"the view of a {layout} tensor of shape (2, 3, 5)"
        with trial.attempt(**_facts(layout, v), stage="no kernel"):
            ran = [e.op for e in events if e.served_by != "view"]
            if ran:
                raise Mismatch(f"{what}: must run no kernel, ran {', '.join(ran)}", "views")
        with trial.attempt(**_facts(layout, v), stage="values"):
            _check(v, seen, what)
            _check(dt.raw.cast(v, dt.raw.packed(v._spec)), seen, f"{what}, to a kernel")
        if not writes:
            continue
        with trial.attempt(**_facts(layout, v), stage="write the view"):
            v.fill_(1)
            seen[...] = 1
            _check(x, values, f"the base after fill_ of {what}")
            new = (np.arange(v.numel()) % 3).reshape(tuple(v.shape)).astype(dtype.numpy)
            v.copy_(dt.tensor(new, device=trial.device))
            seen[...] = new
            _check(x, values, f"the base after copy_ into {what}")
        with trial.attempt(**_facts(layout, v), stage="write the base"):
            x.copy_(dt.tensor(_numbers(dtype), device=trial.device))
            values[...] = _numbers(dtype)
            _check(v, seen, f"{what}, after a write to the base")


_STEPS: tuple[tuple[str, View], ...] = (
    ("[1:]", lambda x: x[1:]),
    ("[..., ::2]", lambda x: x[..., ::2]),
    ("[:, 1]", lambda x: x[:, 1]),
    ("[None]", lambda x: x[None]),
    ("[-1:]", lambda x: x[-1:]),
    ("swapaxes(0, -1)", lambda x: x.swapaxes(0, -1)),
)
"""Views with the same name in NumPy."""


def _pairs(dtype: d.dtype, trial: Trial) -> None:
    """Three views, one of another: their offsets and strides add up."""
    for steps in itertools.product(_STEPS, repeat=3):
        values = _numbers(dtype).copy()
        v: Any = dt.tensor(values, device=trial.device)
        base, seen = v, values
        try:
            for _, step in steps:
                v, seen = step(v), step(seen)
        except IndexError:
            continue  # [:, 1] of one dim
        names = "".join(name if name[0] == "[" else "." + name for name, _ in steps)
        with trial.attempt(**_facts("contiguous", v)):
            _check(v, seen, f"x{names}, x of shape (2, 3, 5)")
            v.fill_(0)
            seen[...] = 0
            _check(base, values, f"x after x{names}.fill_(0)")


def _written(trial: Trial) -> None:
    """In-place operators on views write there and nowhere else."""
    table: tuple[tuple[str, Callable[[Any], Any], Callable[[np.ndarray], Any]], ...] = (
        ("x[1:].add_(1)", lambda x: x[1:].add_(1), lambda a: np.add(a[1:], 1, out=a[1:])),
        (
            "x.mT.mul_(x.mT)",
            lambda x: x.mT.mul_(x.mT),
            lambda a: np.multiply(a, a, out=a),
        ),
        ("x[:, 1] = 7", lambda x: _put(x, np.s_[:, 1], 7), lambda a: _put(a, np.s_[:, 1], 7)),
        (
            "x[0, ::2] = x[1, ::2]",
            lambda x: _put(x, np.s_[0, ::2], x[1, ::2]),
            lambda a: _put(a, np.s_[0, ::2], a[1, ::2]),
        ),
        (
            "x[..., 1:] = x[..., :-1]",
            lambda x: _put(x, np.s_[..., 1:], x[..., :-1]),
            lambda a: _put(a, np.s_[..., 1:], a[..., :-1].copy()),
        ),
        (
            "x[..., :-1] = x[..., 1:]",
            lambda x: _put(x, np.s_[..., :-1], x[..., 1:]),
            lambda a: _put(a, np.s_[..., :-1], a[..., 1:].copy()),
        ),
        ("x.diagonal(0, 1, 2).zero_()", lambda x: x.diagonal(0, 1, 2).zero_(), _no_diagonal),
        ("x[x > 9] = 0", lambda x: _put(x, x > 9, 0), lambda a: _put(a, a > 9, 0)),
        (
            "x[:, [0, 2]] = -1",
            lambda x: _put(x, np.s_[:, [0, 2]], -1),
            lambda a: _put(a, np.s_[:, [0, 2]], -1),
        ),
    )
    for name, write, expect in table:
        for layout in BASES:
            values = _numbers(d.float32).copy()
            x, _ = place(values, layout, trial.device)
            with trial.attempt(**_facts(layout, x), stage=name):
                write(x)
                expect(values)
                _check(x, values, f"x ({layout}) after {name}")
    with trial.attempt(stage="expanded", layout="expanded"):
        x = dt.zeros(3, 1, device=trial.device).expand(3, 4)
        try:
            x.add_(1)
        except RuntimeError:
            return
        raise Mismatch("add_ of an expanded tensor must raise RuntimeError", "error")


def _put(array: Any, where: Any, value: Any) -> None:
    array[where] = value


def _no_diagonal(array: np.ndarray) -> None:
    for i in range(3):
        array[:, i, i] = 0


def _reinterpreted(target: Target, trial: Trial) -> None:
    """The same bytes as another dtype."""
    for source, other in (
        (d.float32, d.int32), (d.float32, d.uint8), (d.int16, d.uint8), (d.float16, d.int16),
        (d.uint8, d.int32), (d.int64, d.int16),
    ):  # fmt: skip
        if {source, other} <= set(target.dtypes):
            with trial.attempt(stage=f"{source} as {other}", layout="offset", offset=4):
                values = np.arange(24).astype(source.numpy)
                x = dt.tensor(values, device=trial.device)
                v, seen = x[4:20].view(other), values[4:20].view(other.numpy)
                _check(v, seen, f"x[4:20] of {source} as {other}")
                v[:2] = 1
                seen[:2] = 1
                _check(x, values, f"x of {source}, after a write to x[4:20] as {other}")
    if d.complex64 in target.dtypes:
        with trial.attempt(stage="view_as_real", layout="offset", offset=1):
            values = (np.arange(6) + 1j * np.arange(6, 12)).astype(np.complex64)
            x = dt.tensor(values, device=trial.device)
            parts = dt.view_as_real(x[1:])
            _check(parts, values[1:].view(np.float32).reshape(-1, 2), "view_as_real(x[1:])")
            parts[..., 1] = 0
            values[1:].imag = 0
            _check(x, values, "x after view_as_real(x[1:])[..., 1] = 0")
            _check(dt.view_as_complex(parts), values[1:], "view_as_complex of that")


def _versions(trial: Trial) -> None:
    """A write through any view counts for all of them; ``data`` has a count of its own."""
    x = dt.zeros(2, 3, device=trial.device)
    row, turned = x[1], x.t()
    writes: dict[str, Callable[[], Any]] = {
        "base": lambda: x.add_(1),
        "view": lambda: row.mul_(2),
        "other view": lambda: turned.zero_(),
    }
    for stage, write in writes.items():
        with trial.attempt(stage=stage):
            before = x._version
            write()
            counts = {"x": x._version, "x[1]": row._version, "x.t()": turned._version}
            if set(counts.values()) != {before + 1}:
                raise Mismatch(f"versions must all be {before + 1}, are {counts}", "versions")
    with trial.attempt(stage="saved"):
        w = dt.ones(3, device=trial.device, requires_grad=True)
        y = w.exp()
        z = y * y
        y.detach()[1:].add_(1)
        try:
            z.sum().backward()
        except RuntimeError as error:
            if "modified by an inplace operation" not in str(error):
                raise
        else:
            raise Mismatch(
                "backward must refuse a saved tensor that was written through a view", "versions"
            )


def _gradient(trial: Trial) -> None:
    """Gradients flow through views and through writes into them."""
    with trial.attempt(stage="views"):
        x = dt.arange(6.0, device=trial.device).reshape(2, 3).requires_grad_()
        (x.t()[1:, 1] * 3 + x[1, ::2] ** 2).sum().backward()
        _check(x.grad, np.array([[0, 0, 0], [6, 3, 13]], np.float32), "x.grad", "gradient")
    with trial.attempt(stage="written views"):
        x = dt.ones(4, device=trial.device, requires_grad=True)
        y = x * 2
        y[1:3].mul_(5)
        y.sum().backward()
        _check(x.grad, np.array([2, 10, 10, 2], np.float32), "x.grad", "gradient")
