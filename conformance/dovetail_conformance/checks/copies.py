"""Every way for values to travel: host and device, device and itself, two devices, files, text."""

from __future__ import annotations

import copy
import functools
import io
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail_conformance.calls import host
from dovetail_conformance.device_bytes import LATE, devices_of, is_late
from dovetail_conformance.layouts import LAYOUTS, place
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]

SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (7,), (3, 4), (2, 3, 4), (0, 3))
WRITTEN = ("contiguous", "offset", "transposed", "stepped", "mixed")


def cases(target: Target) -> Iterator[Case]:
    """Each direction for each dtype, and between two devices where there are two."""
    for dtype in target.dtypes:
        for op, run in _DIRECTIONS.items():
            yield Case(0, "copies", op, dtype.name, "", functools.partial(run, dtype))
        if target.count > 1:
            run = functools.partial(_peer, target, dtype)
            yield Case(0, "copies", "between-devices", dtype.name, "", run)
        yield Case(0, "copies", "pickle", dtype.name, "", functools.partial(_pickle, dtype))
        yield Case(0, "copies", "print", dtype.name, "", functools.partial(_print, dtype))
    if target.count > 1:
        run = functools.partial(_apart, target)
        yield Case(0, "copies", "between-devices", "", "apart", run)
        run = functools.partial(_peer_gradient, target)
        yield Case(0, "copies", "between-devices", "", "gradient", run)
    yield Case(0, "copies", "gradient", "", "", _gradient)
    yield Case(0, "copies", "state_dict", "", "", _state_dict)
    yield Case(0, "copies", "deepcopy", "", "", _deepcopy)


def _values(shape: tuple[int, ...], dtype: d.dtype) -> np.ndarray:
    """Different values; the extremes and, for floats, what only a copy of bits keeps."""
    n = int(np.prod(shape, dtype=int))
    values = (np.arange(n) % 97 + 1).astype(dtype.numpy)
    if dtype.category == 1 and n > 2:
        values[:2] = d.iinfo(dtype).min, d.iinfo(dtype).max
    if dtype.category >= 2 and n > 4:
        values[:4] = (np.inf, -0.0, -np.inf, np.nan)
    if dtype is d.bool_:
        values = np.arange(n) % 3 == 0
    return values.reshape(shape)


def _check(x: Any, expected: np.ndarray, dtype: d.dtype, device: str, what: str) -> None:
    """Values bit by bit, dtype, device and shape."""
    if x.dtype is not dtype or str(x.device) != str(dt.device(device)):
        raise Mismatch(f"{what}: must be {dtype} on {device}, is {x.dtype} on {x.device}", "device")
    made = host(x)
    if made.shape != expected.shape or made.tobytes() != np.ascontiguousarray(expected).tobytes():
        text = f"{what}: must hold {expected.tolist()}, holds {made.tolist()}"
        late = is_late(x, expected)
        raise Mismatch(text + "." + LATE if late else text, "settled" if late else "copies")


def _facts(layout: str, x: Any) -> dict[str, Any]:
    return {
        "layout": layout,
        "shape": [list(x.shape)],
        "numel": x.numel(),
        "offset": x.storage_offset(),
    }


# Host and device


def _h2d(dtype: d.dtype, trial: Trial) -> None:
    """From host tensors in every layout, and into parts of device tensors."""
    for shape in SHAPES:
        values = _values(shape, dtype)
        for layout in LAYOUTS:
            x, shown = place(values, layout, "cpu")
            for stage, move in _MOVES.items():
                with trial.attempt(**_facts(layout, x), stage=stage):
                    what = f"{stage} of a {layout} host tensor, shape {shape}"
                    _check(move(x, trial.device), shown, dtype, trial.device, what)
        for layout in WRITTEN:
            y, _ = place(np.zeros(shape, dtype.numpy), layout, trial.device)
            with trial.attempt(**_facts(layout, y), stage="copy_"):
                y.copy_(dt.tensor(values), non_blocking=True)
                what = f"copy_ from the host into a {layout} device tensor, shape {shape}"
                _check(y, values, dtype, trial.device, what)


_MOVES: dict[str, Callable[[Any, str], Any]] = {
    "to": lambda x, device: x.to(device),
    "to(non_blocking)": lambda x, device: x.to(device, non_blocking=True),
    "to(copy)": lambda x, device: x.to(device, copy=True),
}


def _d2h(dtype: d.dtype, trial: Trial) -> None:
    """From device tensors in every layout, by every name that this has."""
    for shape in SHAPES:
        values = _values(shape, dtype)
        for layout in LAYOUTS:
            x, shown = place(values, layout, trial.device)
            what = f"of a {layout} device tensor, shape {shape}"
            with trial.attempt(**_facts(layout, x), stage="cpu"):
                _check(x.cpu(), shown, dtype, "cpu", f"cpu() {what}")
                _check(x.to("cpu", non_blocking=True), shown, dtype, "cpu", f"to('cpu') {what}")
            with trial.attempt(**_facts(layout, x), stage="numpy"):
                made = x.numpy(force=True)
                if made.dtype != shown.dtype or made.tobytes() != shown.tobytes():
                    raise Mismatch(
                        f"numpy(force=True) {what}: must be {shown.tolist()}, is {made.tolist()}",
                        "copies",
                    )
            with trial.attempt(**_facts(layout, x), stage="copy_"):
                y, _ = place(np.zeros(shape, dtype.numpy), "mixed", "cpu")
                _check(y.copy_(x), shown, dtype, "cpu", f"copy_ into a host tensor {what}")
            if values.size == 1:
                with trial.attempt(**_facts(layout, x), stage="item"):
                    if x.item() != shown.reshape(-1)[0]:
                        raise Mismatch(f"item() {what}: must be {shown}, is {x.item()}", "copies")


def _within(dtype: d.dtype, trial: Trial) -> None:
    """Copies on the device are copies, and ``to`` its own device is not one."""
    for shape in SHAPES:
        values = _values(shape, dtype)
        for layout in LAYOUTS:
            x, shown = place(values, layout, trial.device)
            for stage, make in _CLONES.items():
                with trial.attempt(**_facts(layout, x), stage=stage):
                    what = f"{stage} of a {layout} tensor, shape {shape}"
                    y = make(x)
                    _check(y, shown, dtype, trial.device, what)
                    y.fill_(1)
                    _check(x, shown, dtype, trial.device, f"the source after a write to {what}")
            with trial.attempt(**_facts(layout, x), stage="to"):
                if x.to(trial.device) is not x:
                    raise Mismatch("to() of a tensor's own device must return it", "copies")


_CLONES: dict[str, Callable[[Any], Any]] = {
    "clone": lambda x: x.clone(),
    "to(copy=True)": lambda x: x.to(x.device, copy=True),
    "copy_": lambda x: dt.empty(tuple(x.shape), dtype=x.dtype, device=x.device).copy_(x),
}

_DIRECTIONS: dict[str, Callable[[d.dtype, Trial], None]] = {
    "host-to-device": _h2d,
    "device-to-host": _d2h,
    "within-device": _within,
}


# Two devices


def _peer(target: Target, dtype: d.dtype, trial: Trial) -> None:
    pair = devices_of(trial.device, target.count)
    for (here, there), shape in ((way, shape) for way in (pair, pair[::-1]) for shape in SHAPES):
        values = _values(shape, dtype)
        index = int(there[-1])
        for layout in LAYOUTS:
            x, shown = place(values, layout, here)
            what = f"of a {layout} tensor from {here} to {there}, shape {shape}"
            with trial.attempt(**_facts(layout, x), stage="to", index=index):
                y = x.to(there)
                _check(y, shown, dtype, there, f"to {what}")
                y.fill_(1)
                _check(x, shown, dtype, here, f"the source of to {what}, after a write to the copy")
            with trial.attempt(**_facts(layout, x), stage="copy_", index=index):
                z, _ = place(np.zeros(shape, dtype.numpy), "mixed", there)
                _check(z.copy_(x), shown, dtype, there, f"copy_ {what}")


def _apart(target: Target, trial: Trial) -> None:
    """Work on one device leaves the other's tensors alone."""
    pair = devices_of(trial.device, target.count)
    values = np.arange(1000, dtype=np.int32)
    for mine, other in (pair, pair[::-1]):
        with trial.attempt(index=int(mine[-1])):
            kept = [dt.tensor(values + i, device=other) for i in range(4)]
            x = [dt.tensor(values, device=mine) for _ in range(4)]
            for y in x:
                y.mul_(3).sub_(1)
            made = [y + 1 for y in x]
            for y in made:
                _check(y, values * 3, d.int32, mine, f"3 x - 1 + 1 on {mine}")
            for i, y in enumerate(kept):
                what = f"a tensor on {other}, after work on {mine}"
                _check(y, values + i, d.int32, other, what)


def _peer_gradient(target: Target, trial: Trial) -> None:
    here, there = devices_of(trial.device, target.count)
    with trial.attempt(index=1, stage="gradient"):
        x = dt.tensor([1.0, 2.0, 3.0], device=here, requires_grad=True)
        (x * 2).to(there).pow(2).sum().backward()
        what = f"the gradient of (2 x)**2, moved from {here} to {there} on the way"
        _check(x.grad, np.array([8, 16, 24], np.float32), d.float32, here, what)


def _gradient(trial: Trial) -> None:
    with trial.attempt(stage="gradient"):
        x = dt.tensor([1.0, 2.0, 3.0], requires_grad=True)
        (x.to(trial.device)[1:] * 3).cpu().pow(2).sum().backward()
        _check(x.grad, np.array([0, 36, 54], np.float32), d.float32, "cpu", "x.grad on the host")
        y = dt.tensor([1.0, 2.0], device=trial.device, requires_grad=True)
        y.cpu().pow(2).sum().backward()
        _check(y.grad, np.array([2, 4], np.float32), d.float32, trial.device, "y.grad there")


# Modules, pickles, text


def _network() -> Any:
    nn = dt.nn
    dt.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))


def _state_dict(trial: Trial) -> None:
    first = _network()
    first(dt.randn(16, 4))  # running statistics that are not the initial ones
    states = {k: host(v) for k, v in first.state_dict().items()}
    moved = copy.deepcopy(first).to(trial.device)

    def judge(loaded: Any, device: str, what: str) -> None:
        for name, value in loaded.items():
            _check(value, states[name], value.dtype, device, f"{name} {what}")
        if list(loaded) != list(states):
            raise Mismatch(f"{what}: must have {list(states)}, has {list(loaded)}", "copies")

    with trial.attempt(stage="to"):
        judge(moved.state_dict(), trial.device, "of a module moved to the device")
    for stage, save in _SAVES.items():
        if save is None:
            continue
        with trial.attempt(stage=stage):
            loaded = save(moved.state_dict())
            judge(loaded, trial.device, f"after {stage}")
            for device in (trial.device, "cpu"):
                twin = _network().to(device)
                twin.load_state_dict(loaded)
                judge(twin.state_dict(), device, f"of a module on {device}, loaded by {stage}")
    with trial.attempt(stage="back"):
        judge(moved.cpu().state_dict(), "cpu", "of a module moved there and back")


def _pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def _saved(value: Any) -> Any:
    stream = io.BytesIO()
    library: Any = dt  # whether it saves files is asked below
    library.save(value, stream)
    stream.seek(0)
    return library.load(stream)


_SAVES: dict[str, Callable[[Any], Any] | None] = {
    "pickle": _pickled,
    "save": _saved if hasattr(dt, "save") else None,
}


def _pickle(dtype: d.dtype, trial: Trial) -> None:
    for shape in SHAPES:
        for layout in LAYOUTS:
            x, shown = place(_values(shape, dtype), layout, trial.device)
            for protocol in (2, pickle.HIGHEST_PROTOCOL):
                with trial.attempt(**_facts(layout, x), stage=f"protocol {protocol}"):
                    y = pickle.loads(pickle.dumps(x, protocol))
                    what = f"a pickled {layout} tensor of shape {shape}"
                    _check(y, shown, dtype, trial.device, what)
    if dtype.is_floating_point:
        with trial.attempt(stage="requires_grad"):
            x = dt.ones(2, dtype=dtype, device=trial.device, requires_grad=True)
            if not pickle.loads(pickle.dumps(x)).requires_grad:
                raise Mismatch("a pickled tensor must still require its gradient", "copies")


def _deepcopy(trial: Trial) -> None:
    for layout in LAYOUTS:
        x, shown = place(_values((3, 4), d.float32), layout, trial.device)
        with trial.attempt(**_facts(layout, x)):
            y = copy.deepcopy(x)
            _check(y, shown, d.float32, trial.device, f"a deep copy of a {layout} tensor")
            if layout != "expanded":
                y.fill_(1)
            _check(x, shown, d.float32, trial.device, "the tensor after a write to its deep copy")
    with trial.attempt(stage="shared"):
        x = dt.zeros(6, device=trial.device)
        y, part = copy.deepcopy((x, x[2:4]))
        part.fill_(5)
        what = "the copy of a tensor whose copied view was written"
        _check(y, np.array([0, 0, 5, 5, 0, 0], np.float32), d.float32, trial.device, what)


def _print(dtype: d.dtype, trial: Trial) -> None:
    """As on the cpu, with the device named."""
    place_text = f"device='{trial.device}'"
    for shape in ((), (5,), (2, 3), (0,), (2, 0), (2, 2, 2)):
        for layout in ("contiguous", "mixed"):
            x, shown = place(_values(shape, dtype), layout, trial.device)
            with trial.attempt(**_facts(layout, x)):
                wanted, got = repr(dt.tensor(shown)), repr(x)
                without = re.sub(rf",\s*{place_text}", "", got)
                if " ".join(wanted.split()) != " ".join(without.split()):
                    raise Mismatch(f"repr: must be {wanted!r}, is {got!r}", "text")
                if trial.device != "cpu" and place_text not in got:
                    raise Mismatch(f"repr: must name the device, is {repr(x)!r}", "text")
