"""Wrong calls: the same exception and the same sentence as without this device, which works on.

What the core checks before it calls a device is a table of calls made on the device and on the
host (on tensors without data where the host is asked itself). Indices out of range are another
matter: they may lie in memory that the host cannot read, so the core looks at them only where it
can. Every device must give no memory that is none of the tensor's, write nowhere else, and go on
working; and it must raise, at the call or at ``synchronize``, where it says so
(``DeviceInfo.limits["checks_indices"]``). So it is with values that an operator has no result for,
and ``limits["checks_values"]``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail.errors import Unsupported
from dovetail.ops.schema import REGISTRY
from dovetail_conformance.calls import host
from dovetail_conformance.device_bytes import LATE, is_late, module_of, state
from dovetail_conformance.layouts import place_all
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases", "fails"]

Call = Callable[[Any], Any]
"""A wrong call, given a function that makes a tensor of ones of a shape and, maybe, a dtype."""


def _leaf(ones: Any) -> Any:
    return ones(3).requires_grad_()


WRONG: dict[str, Call] = {
    "shapes": lambda ones: ones(2, 3) + ones(4),
    "where of shapes": lambda ones: dt.where(ones(2, dtype=d.bool_), ones(3), ones(4)),
    "matmul": lambda ones: ones(2, 3) @ ones(2, 3),
    "matmul of dtypes": lambda ones: ones(2, 2) @ ones(2, 2, dtype=d.int32),
    "cat": lambda ones: dt.cat([ones(2, 3), ones(2, 4)]),
    "stack": lambda ones: dt.stack([ones(2), ones(3)]),
    "dim": lambda ones: ones(2, 3).sum(2),
    "negative dim": lambda ones: ones(2, 3).amax(-3),
    "transpose": lambda ones: ones(2, 3).transpose(0, 5),
    "permute": lambda ones: ones(2, 3).permute(0, 0),
    "squeeze": lambda ones: ones(2, 3).squeeze(4),
    "view": lambda ones: ones(2, 3).view(4),
    "view of a transposed": lambda ones: ones(2, 3).t().view(6),
    "reshape": lambda ones: ones(6).reshape(4, -1),
    "expand": lambda ones: ones(2, 3).expand(4, 3),
    "as_strided": lambda ones: ones(4).as_strided((3,), (2,), 1),
    "select": lambda ones: ones(3).select(0, 3),
    "narrow": lambda ones: ones(3).narrow(0, 2, 2),
    "index": lambda ones: ones(3)[3],
    "negative index": lambda ones: ones(3)[-4],
    "too many indices": lambda ones: ones(3)[0, 0],
    "mask": lambda ones: ones(3)[ones(4, dtype=d.bool_)],
    "index dtype": lambda ones: ones(3).gather(0, ones(3)),
    "index shape": lambda ones: ones(3).gather(0, ones(2, 2, dtype=d.int64)),
    "embedding": lambda ones: dt.nn.functional.embedding(ones(2), ones(4, 3)),
    "in-place shape": lambda ones: ones(3).add_(ones(2, 3)),
    "in-place dtype": lambda ones: ones(3, dtype=d.int32).add_(0.5),
    "in-place of a leaf": lambda ones: _leaf(ones).add_(1),
    "fill_ of a leaf": lambda ones: _leaf(ones).fill_(1),
    "write to a leaf": lambda ones: _leaf(ones).__setitem__(0, 1),
    "write of a shape": lambda ones: ones(3).__setitem__(slice(0, 2), ones(3)),
    "copy_ of a shape": lambda ones: ones(3).copy_(ones(4)),
    "out dtype": lambda ones: dt.add(ones(3), ones(3), out=ones(3, dtype=d.int32)),
    "out of a leaf": lambda ones: dt.add(ones(3), ones(3), out=_leaf(ones)),
    "expanded": lambda ones: ones(1).expand(3).add_(1),
    "bitwise of floats": lambda ones: ones(3) & ones(3),
    "mean of integers": lambda ones: ones(3, dtype=d.int64).mean(),
    "gradient of integers": lambda ones: ones(3, dtype=d.int64).requires_grad_(),
    "numpy of a gradient": lambda ones: _leaf(ones).numpy(),
    "truth of many": lambda ones: bool(ones(3)),
    "item of many": lambda ones: ones(3).item(),
    "amax of nothing": lambda ones: ones(0, 3).amax(0),
    "argmax of nothing": lambda ones: ones(0).argmax(),
    "conv2d": lambda ones: dt.nn.functional.conv2d(ones(1, 3, 8, 8), ones(4, 2, 3, 3)),
    "linear": lambda ones: dt.nn.functional.linear(ones(2, 3), ones(4, 5)),
    "dropout": lambda ones: dt.nn.functional.dropout(ones(3), 1.5),
    "backward of many": lambda ones: (_leaf(ones) * 2).backward(),
    "backward of a constant": lambda ones: ones(()).backward(),
    "bernoulli": lambda ones: ones(3).bernoulli_(1.5),
    "negative size": lambda ones: ones(-1),
    "a // 0": lambda ones: ones(3, dtype=d.int32) // 0,
    "a % 0": lambda ones: ones(3, dtype=d.int32) % 0,
    "a // 256 in eight bits": lambda ones: ones(3, dtype=d.uint8) // 256,
    "fmod by 0": lambda ones: ones(3, dtype=d.int32).fmod(0),
    "div by 0, truncated": lambda ones: ones(3, dtype=d.int32).div(0, rounding_mode="trunc"),
    "a //= 0": lambda ones: ones(3, dtype=d.int32).__ifloordiv__(0),
}  # fmt: skip

NEEDS_DATA = ("mask", "truth of many", "numpy of a gradient", "as_strided")
"""Not asked of tensors without data."""


def cases(target: Target) -> Iterator[Case]:
    """Wrong calls, records' own wrong calls, wrong devices, wrong indices."""
    for name, call in WRONG.items():
        yield Case(0, "errors", name, run=functools.partial(_wrong, name, call))
    for op in REGISTRY.values():
        if op.errors is not None and op.function is not None:
            yield Case(0, "errors", op.name, "", "record", functools.partial(_record, op.name))
    yield Case(0, "errors", "device", run=functools.partial(_devices, target))
    for name, (reads, _) in BAD_INDEX.items():
        run = functools.partial(_bad_index, name)
        yield Case(0, "errors", name, "", "index read" if reads else "index written", run)
    for name in BAD_VALUE:
        yield Case(0, "errors", name, "", "value", functools.partial(_bad_value, name))


def fails(call: Callable[[], Any]) -> Exception | None:
    """What a call raises; None where it gives a result."""
    try:
        call()
    except Exception as error:
        return error
    return None


def _maker(device: str) -> Any:
    def ones(*shape: Any, dtype: d.dtype = d.float32) -> Any:
        return dt.ones(*shape, dtype=dtype, device=device)

    return ones


def _same(text: str) -> str:
    """A sentence without the names of devices."""
    return re.sub(r"\b(meta|cpu|[a-z_0-9]+:\d+)\b", "DEVICE", text)


def _wrong(name: str, call: Call, trial: Trial) -> None:
    reference = "cpu" if trial.device != "cpu" else "meta"
    if reference == "meta" and name in NEEDS_DATA:
        reference = "cpu"
    wanted = fails(lambda: call(_maker(reference)))
    with trial.attempt():
        came = fails(lambda: call(_maker(trial.device)))
        if wanted is None:
            raise Mismatch(f"{name}: {reference} must refuse it, and gave a result", "error")
        _check_error(came, type(wanted), str(wanted), name)
    with trial.attempt(stage="works on"):
        _check_works(trial.device, name)


def _check_error(came: Exception | None, kind: type[Exception], text: str, what: str) -> None:
    if came is None:
        raise Mismatch(f"{what}: must raise {kind.__name__} ({text}), raised nothing", "error")
    if type(came) is not kind or _same(str(came)) != _same(text):
        raise Mismatch(
            f"{what}: must raise {kind.__name__}: {text!r}, raised {type(came).__name__}: "
            f"{str(came)!r}",
            "error",
        )


def _check_works(device: str, what: str) -> None:
    """The device computes after a wrong call."""
    x, expected = dt.arange(5, device=device) + 1, np.arange(1, 6)
    made = host(x)
    if made.tobytes() != expected.tobytes():
        text = f"after {what}: arange(5) + 1 must be [1, 2, 3, 4, 5], got {made.tolist()}."
        late = is_late(x, expected)
        raise Mismatch(text + LATE if late else text, "settled" if late else "works-on")
    module_of(device).synchronize(device)


def _record(name: str, trial: Trial) -> None:
    op = REGISTRY[name]
    assert op.errors is not None
    assert op.function is not None
    function = op.function
    for wrong in op.errors():

        def call(device: str, wrong: Any = wrong) -> Any:
            args, _ = place_all(tuple(wrong.args), "contiguous", device)
            return function(*args, **wrong.kwargs)

        if _lacking(
            wrong.args, trial.device
        ):  # the device refuses the dtype, whatever else is wrong
            with trial.attempt(stage=wrong.match):
                came = fails(functools.partial(call, trial.device))
                if not isinstance(came, Unsupported):
                    raise Mismatch(
                        f"{name}: must raise Unsupported, for the device has not all dtypes of the "
                        f"arguments, raised {type(came).__name__}: {came}",
                        "error",
                    )
            continue
        # What tensors without data do not show lies in the data, which the core may not see.
        decides = state(trial.device).host_arrays or fails(lambda: call("meta"))
        with trial.attempt(stage=wrong.match):
            came = fails(functools.partial(call, trial.device))
            fits = isinstance(came, wrong.error) and re.search(wrong.match, str(came))
            if decides and not fits:
                raise Mismatch(
                    f"{name}: must raise {wrong.error.__name__} with {wrong.match!r}, raised "
                    f"{type(came).__name__}: {came}",
                    "error",
                )
            if not decides:  # it may come later
                fails(lambda: module_of(trial.device).synchronize(trial.device))
            _check_works(trial.device, f"{name} with wrong arguments")


def _lacking(value: Any, device: str) -> bool:
    """Whether an array in nested lists and tuples has a dtype that the device has not."""
    if isinstance(value, np.ndarray):
        return d.from_numpy_dtype(value.dtype) not in state(device).dtypes
    return isinstance(value, (list, tuple)) and any(_lacking(v, device) for v in value)


# Devices


def _devices(target: Target, trial: Trial) -> None:
    device, kind = trial.device, target.type
    x = dt.ones(3, device=device)
    elsewhere = dt.ones(3, device="meta" if device == "cpu" else "cpu")
    others = [elsewhere]
    if target.count > 1:
        others.append(dt.ones(3, device=f"{kind}:{1 if device.endswith(':0') else 0}"))
    for other in others:
        for name, call in _MIXED.items():
            with trial.attempt(stage=f"{name} with {other.device}"):
                came = fails(functools.partial(call, x, other))
                names = all(str(y.device) in str(came) for y in (x, other))
                if not isinstance(came, RuntimeError) or not names:
                    raise Mismatch(
                        f"{name} of {device} and {other.device}: must raise RuntimeError naming "
                        f"both, raised {type(came).__name__}: {came}",
                        "error",
                    )
    if device != "cpu":
        for wrong in (f"{kind}:99", f"{kind}:{target.count}"):
            for stage, make in (
                ("empty", lambda: dt.empty(1, device=wrong)),  # noqa: B023
                ("to", lambda: x.to(wrong)),  # noqa: B023
                ("synchronize", lambda: module_of(device).synchronize(wrong)),  # noqa: B023
            ):
                with trial.attempt(stage=f"{stage} {wrong}"):
                    came = fails(make)
                    if not isinstance(came, RuntimeError) or wrong not in str(came):
                        raise Mismatch(
                            f"{stage} on {wrong}: must raise RuntimeError naming it, raised "
                            f"{type(came).__name__}: {came}",
                            "error",
                        )
    with trial.attempt(stage="works on"):
        _check_works(device, "calls with wrong devices")


_MIXED: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "where": lambda x, y: dt.where(x > 0, x, y),
    "cat": lambda x, y: dt.cat([x, y]),
    "matmul": lambda x, y: x @ y,
    "in-place": lambda x, y: x.add_(y),
    "out": lambda x, y: dt.add(x, x, out=y),
}


# Indices

BAD_INDEX: dict[str, tuple[bool, Callable[[Any, Any], Any]]] = {
    "gather": (True, lambda x, i: x.gather(0, i)),
    "index_select": (True, lambda x, i: x.index_select(0, i)),
    "take": (True, lambda x, i: x.take(i)),
    "x[i]": (True, lambda x, i: x[i]),
    "x[j, i]": (True, lambda x, i: x.view(1, 8)[dt.zeros_like(i), i]),
    "x[i, j]": (True, lambda x, i: x.view(8, 1)[i, dt.zeros_like(i)]),
    "take_along_dim": (True, lambda x, i: x.take_along_dim(i, 0)),
    "embedding": (True, lambda x, i: dt.nn.functional.embedding(i, x.view(-1, 1))),
    "one_hot": (True, lambda x, i: dt.nn.functional.one_hot(i, 8)),
    "embedding_bag": (True, lambda x, i: _largest(x, i)),
    "nll_loss": (True, lambda x, i: _losses(x[:6].view(3, 2), i)),
    "cross_entropy": (True, lambda x, i: dt.nn.functional.cross_entropy(x[:6].view(3, 2), i)),
    "scatter": (False, lambda x, i: x.scatter_(0, i, 5.0)),
    "scatter_add": (False, lambda x, i: x.scatter_add_(0, i, dt.ones_like(x)[: len(i)])),
    "index_add": (False, lambda x, i: x.index_add_(0, i, dt.ones_like(x)[: len(i)])),
    "index_copy": (False, lambda x, i: x.index_copy_(0, i, dt.ones_like(x)[: len(i)])),
    "index_put": (False, lambda x, i: x.index_put_((i,), dt.ones_like(x)[: len(i)], True)),
    "put": (False, lambda x, i: x.put_(i, dt.ones_like(x)[: len(i)])),
    "scatter_reduce": (
        False,
        lambda x, i: x.scatter_reduce_(0, i, dt.ones_like(x)[: len(i)], "amax"),
    ),
    "index_fill": (False, lambda x, i: x.index_fill_(0, i, 5.0)),
    "x[i] = 5": (False, lambda x, i: x.__setitem__(i, 5.0)),
}
"""Operator -> (whether it only reads, the call)."""


def _largest(x: Any, i: Any) -> Any:
    starts = dt.zeros_like(i[:1])
    return dt.nn.functional.embedding_bag(i, x.view(-1, 1), starts, mode="max")


def _losses(x: Any, i: Any) -> Any:
    return -dt.nn.functional.nll_loss(x, i, reduction="none")


def _says(device: str, word: str) -> bool:
    """Whether a device's limits promise it."""
    found = state(device)
    return bool(found.runtime.info(found.device.index or 0).limits.get(word))


_AROUND = 77.0


def _bad_index(name: str, trial: Trial) -> None:
    """One index far outside, and ones just outside, of a view in the middle of filled memory."""
    reads, call = BAD_INDEX[name]
    for wrong in (8, 9, -9, -10):
        base = dt.full((40,), _AROUND, device=trial.device)
        x = base[16:24]
        x.copy_(dt.arange(8.0))
        index = dt.tensor([1, wrong, 2], device=trial.device)
        what = f"{name} with index {wrong} of 8"
        with trial.attempt(stage=f"index {wrong}", layout="offset", offset=16):
            came = fails(lambda: host(call(x, index)) if reads else call(x, index))  # noqa: B023
            late = fails(lambda: module_of(trial.device).synchronize(trial.device))
            if came is None and late is None:
                if state(trial.device).host_arrays:
                    raise Mismatch(f"{what}: must raise, the data is on the host", "error")
                if reads and (host(call(x, index)) == _AROUND).any():
                    raise Mismatch(
                        f"{what}: gave memory that is not the tensor's. Raise, or keep the read "
                        "inside of the tensor",
                        "foreign-memory",
                    )
            around = np.delete(host(base), np.s_[16:24])
            if (around != _AROUND).any():
                raise Mismatch(
                    f"{what}: wrote memory that is not the tensor's. Raise, or leave such "
                    "elements out",
                    "foreign-memory",
                )
            if came is None and late is None and _says(trial.device, "checks_indices"):
                raise Mismatch(
                    f"{what}: must raise IndexError, at the call or where values are next asked "
                    "for: the device says that it does (limits['checks_indices'])",
                    "error",
                )
        with trial.attempt(stage="works on"):
            _check_works(trial.device, what)


# Values

_BY_ZERO = "ZeroDivisionError"
_INPUT = "all elements of input should be between 0 and 1"
_TARGET = "all elements of target should be between 0 and 1"


def _shares(x: Any, wrong: float) -> tuple[Any, Any]:
    """Probabilities in the place of ``x``, and others of which the last is ``wrong``."""
    good = x.float() * 0.5
    return good, dt.cat([good[:-1], good[-1:] * 0 + wrong])


def _losing(x: Any, wrong: float, is_input: bool = True) -> Any:
    good, bad = _shares(x, wrong)
    pair = (bad, good) if is_input else (good, bad)
    return dt.nn.functional.binary_cross_entropy(*pair)


BAD_VALUE: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "a // b": (_BY_ZERO, lambda x, zero: x // zero),
    "a % b": (_BY_ZERO, lambda x, zero: x % zero),
    "fmod": (_BY_ZERO, lambda x, zero: x.fmod(zero)),
    "div, floor": (_BY_ZERO, lambda x, zero: x.div(zero, rounding_mode="floor")),
    "div, trunc": (_BY_ZERO, lambda x, zero: x.div(zero, rounding_mode="trunc")),
    "7 // b": (_BY_ZERO, lambda x, zero: 7 // zero),
    "7 % b": (_BY_ZERO, lambda x, zero: 7 % zero),
    "a // b of one": (_BY_ZERO, lambda x, zero: x // zero[-1]),
    "a // b of rows": (_BY_ZERO, lambda x, zero: x.view(-1, 1) // zero),
    "a // b of columns": (_BY_ZERO, lambda x, zero: x.view(-1, 1) // zero.view(-1, 1)[:, [0] * 3]),
    "a // b with gaps": (_BY_ZERO, lambda x, zero: x[::2] // zero[::2]),
    "a //= b": (_BY_ZERO, lambda x, zero: x.floor_divide_(zero)),
    "a %= b": (_BY_ZERO, lambda x, zero: x.remainder_(zero)),
    "a // b in eight bits": (_BY_ZERO, lambda x, zero: x.to(d.uint8) // zero.to(d.uint8)),
    "a % b in 64 bits": (_BY_ZERO, lambda x, zero: x.to(d.int64) % zero.to(d.int64)),
    "binary_cross_entropy": (_INPUT, lambda x, zero: _losing(x, 1.5)),
    "binary_cross_entropy below 0": (_INPUT, lambda x, zero: _losing(x, -0.5)),
    "binary_cross_entropy of NaN": (_INPUT, lambda x, zero: _losing(x, float("nan"))),
    "binary_cross_entropy, target": (_TARGET, lambda x, zero: _losing(x, 1.5, False)),
}


def _bad_value(name: str, trial: Trial) -> None:
    """A value that an operator has no result for, the last of one, of a few and of many."""
    sentence, call = BAD_VALUE[name]
    must = state(trial.device).host_arrays or _says(trial.device, "checks_values")
    for count in (1, 37, 4099):
        what = f"{name} of {count} elements"
        with trial.attempt(stage=f"{count} elements"):
            x = dt.ones(count, dtype=d.int32, device=trial.device)
            zero = x.clone()
            zero[-1] = 0
            module_of(trial.device).synchronize(trial.device)
            came = fails(lambda: host(call(x, zero)))  # noqa: B023
            late = fails(lambda: module_of(trial.device).synchronize(trial.device))
            found = came or late
            if must and not (isinstance(found, RuntimeError) and sentence in str(found)):
                got = "nothing" if found is None else f"{type(found).__name__}: {found}"
                raise Mismatch(
                    f"{what}: must raise RuntimeError ({sentence}), at the call or where values "
                    "are next asked for: the data is on the host, or the device says that it does "
                    f"(limits['checks_values']); raised {got}",
                    "error",
                )
        with trial.attempt(stage="works on"):
            _check_works(trial.device, what)
