"""Calling an operator the way its record's samples say, and what its reference expects of it."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail.errors import Unsupported
from dovetail.ops.schema import REGISTRY, OpDef, Sample
from dovetail_conformance.compare import check_close, check_equal, tolerance_of
from dovetail_conformance.layouts import place_all
from dovetail_conformance.model import Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = [
    "Call",
    "Refused",
    "computes_in_floats",
    "facts_of",
    "host",
    "in_place_of",
    "judge",
    "names_absent_dtype",
    "on_meta",
    "operators",
    "outputs",
    "quietly",
    "reference",
    "samples_of",
    "tensors_in",
    "wide",
]

SEED = 7


class Refused(Exception):
    """The operator does not take these arguments, on any device."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def in_place_of(op: OpDef) -> Callable[..., Any] | None:
    """``x.name_`` as a function; PyTorch has some as functions only. None where there is none."""
    name = op.name + "_"
    found = getattr(dt.Tensor, name, None) or getattr(dt, name, None)
    return found if op.inplace else None


def operators() -> list[OpDef]:
    """The records that can be called and have samples and a reference, by name."""
    return [
        op
        for _, op in sorted(REGISTRY.items())
        if op.function is not None and op.samples and op.reference
    ]


def samples_of(op: OpDef, dtype: d.dtype, seed: int = SEED) -> list[Sample]:
    """The record's samples for a dtype; the same on every machine."""
    assert op.samples is not None
    return op.samples(np.random.default_rng(seed), dtype)


def host(x: Any) -> np.ndarray:
    """A tensor's values as a NumPy array of its own dtype (bfloat16 as ml_dtypes has it)."""
    return np.array(dt.raw.to_host(x.detach()))


def outputs(result: Any) -> tuple[Any, ...]:
    """A result as a tuple of what came out."""
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def tensors_in(value: Any) -> Iterator[Any]:
    """Every tensor in nested lists, tuples and dicts."""
    if isinstance(value, dt.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from tensors_in(v)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


def names_absent_dtype(error: Unsupported, device: Any) -> bool:
    """Whether the message is the core's own about a dtype that the device has not."""
    held = Target.of(str(device)).dtypes
    return any(f"has no {k.name};" in str(error) for k in d.ALL if k not in held)


@dataclass
class Call:
    """Arguments on a device, and the values that they show there.

    Attributes:
        op: the operator.
        args, kwargs: what it is called with.
        values, keywords: the same as NumPy arrays.
    """

    op: OpDef
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    values: tuple[Any, ...]
    keywords: dict[str, Any]

    @classmethod
    def placed(cls, op: OpDef, sample: Sample, layout: str, device: Any) -> Call:
        """The sample's arrays on ``device`` in ``layout``."""
        expands = op.kind not in ("index", "composite")
        args, values = place_all(tuple(sample.args), layout, device, expands)
        pairs = {k: place_all(v, layout, device, expands) for k, v in sample.kwargs.items()}
        kwargs = {k: p[0] for k, p in pairs.items()}
        return cls(op, args, kwargs, values, {k: p[1] for k, p in pairs.items()})

    def run(self) -> Any:
        """Call the operator's public function."""
        assert self.op.function is not None
        return self.op.function(*self.args, **self.kwargs)

    def on_meta(self) -> tuple[Any, ...] | None:
        """Outputs without data, whose shapes and dtypes must come; None where data decides.

        Raises:
            Refused: the core refuses the call.
        """
        return on_meta(self.op, self.values, self.keywords)

    def inputs(self) -> list[np.ndarray]:
        """The bytes that the arguments hold at this moment."""
        return [host(x) for x in tensors_in([self.args, self.kwargs])]


def on_meta(op: OpDef, values: Any, keywords: Any) -> tuple[Any, ...] | None:
    """See :meth:`Call.on_meta`."""
    assert op.function is not None
    try:
        args, _ = place_all(tuple(values), "contiguous", "meta")
        kwargs = {k: place_all(v, "contiguous", "meta")[0] for k, v in keywords.items()}
        with warnings.catch_warnings():  # the device's own call says them
            warnings.simplefilter("ignore", UserWarning)
            return outputs(op.function(*args, **kwargs))
    except NotImplementedError as error:
        if "meta" in str(error):
            return None
        raise Refused(error) from error
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise Refused(error) from error


def wide(value: Any) -> Any:
    """Floating-point arrays in nested arguments as new ones of float64 or complex128."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "fc" or value.dtype == d.bfloat16.numpy:
            return value.astype(np.complex128 if value.dtype.kind == "c" else np.float64)
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(wide(v) for v in value)
    return value


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """A reference may divide by nothing, or take its mean, without a word inside."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def computes_in_floats(op: OpDef, result: d.dtype) -> bool:
    """Whether an operator's reference takes its integers as floats."""
    return op.kind in ("elementwise", "compare") and result.category == 2


def reference(op: OpDef, values: Any, keywords: Any, result: d.dtype) -> tuple[Any, ...]:
    """The record's reference on float64 (complex128, or exact integers); no backend takes part.

    Args:
        result: the dtype that the first output must have. An elementwise operator that gives
            floats for integers computes in floats.
    """
    assert op.reference is not None
    kwargs = {k: wide(v) for k, v in keywords.items() if not isinstance(v, d.dtype)}
    arguments = wide(tuple(values))
    if computes_in_floats(op, result):
        arguments = tuple(a if np.iscomplexobj(a) else np.asarray(a, float) for a in arguments)
    with quietly():
        return outputs(op.reference(*arguments, **kwargs))


def facts_of(call: Call, layout: str, sample: Any) -> dict[str, Any]:
    """What tells this call from others, for finding what failing calls have in common."""
    tensors = list(tensors_in([call.args, call.kwargs]))
    return {
        "layout": layout,
        "sample": sample,
        "shape": [list(x.shape) for x in tensors],
        "numel": max((x.numel() for x in tensors), default=0),
        "offset": max((x.storage_offset() for x in tensors), default=0),
        "dim": _dim_of(call),
    }


def _dim_of(call: Call) -> list[int] | None:
    """The dims that a call names, counted from the last (-1); None where it names none."""
    first = next(tensors_in([call.args, call.kwargs]), None)
    if first is None or not first.ndim or "dim" not in call.op.attributes:
        return None
    assert call.op.function is not None
    try:
        given = inspect.signature(call.op.function).bind(*call.args, **call.kwargs).arguments
        dims = given.get("dim", given.get("kwargs", {}).get("dim"))
    except TypeError:
        return None
    many = [dims] if isinstance(dims, int) else dims
    if not isinstance(many, (list, tuple)) or not all(type(n) is int for n in many):
        return None
    return [n % first.ndim - first.ndim for n in many]


def judge(
    trial: Trial,
    call: Call,
    result: Any,
    expected: tuple[Any, ...],
    ghosts: tuple[Any, ...] | None,
    what: str,
) -> None:
    """Compare a result with the reference, and its shape and dtype with those it must have.

    Raises:
        Mismatch: they differ.
    """
    made = outputs(result)
    for j, x in enumerate(made):
        label = what if len(made) == 1 else f"{what}, output {j}"
        if not isinstance(x, dt.Tensor):
            continue
        if ghosts is not None and isinstance(ghosts[j], dt.Tensor):
            _check_facts(x, ghosts[j], label)
        if str(x.device) != str(dt.device(trial.device)) and x.device.type != "cpu":
            raise Mismatch(f"{label}: must be on {trial.device}, is on {x.device}", "device")
        if j >= len(expected):
            continue
        values = host(x)
        if x.dtype.category >= 2:
            wanted = np.asarray(expected[j])
            allowed = tolerance_of(call.op, x.dtype, wanted, call.values)
            trial.saw_ratio(check_close(values, wanted, x.dtype, allowed, label))
        else:
            check_equal(values, expected[j], label)


def _check_facts(x: Any, ghost: Any, label: str) -> None:
    if tuple(x.shape) != tuple(ghost.shape):
        raise Mismatch(
            f"{label}: must have shape {tuple(ghost.shape)}, got {tuple(x.shape)}", "shape"
        )
    if x.dtype is not ghost.dtype:
        raise Mismatch(f"{label}: must have dtype {ghost.dtype}, got {x.dtype}", "dtype")
