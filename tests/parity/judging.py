"""One operator and dtype against PyTorch: every sample called as a function in both."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

import dovetail
from dovetail import dtypes as d
from dovetail.ops.schema import OpDef
from dovetail.tensor import storage_of
from tests.parity.findings import Findings
from tests.parity.harness import (
    OFF_THERE,
    arguments_of,
    compare,
    outcome,
    samples,
    tensors_in,
    to_torch,
    torch,
    torch_call,
)

__all__ = ["Verdict", "judge", "label", "note_outcomes", "refuses_dtype"]


class Verdict(NamedTuple):
    """What came of all samples: how many agree, are served by one library only, or differ."""

    same: int
    ours: int
    theirs: int
    findings: Findings


def label(number: int, sample: Any) -> str:
    """A sample's name in messages: its number, its name and what it is called with."""
    shown = [_shown(a) for a in sample.args]
    shown += [f"{k}={_shown(v)}" for k, v in sample.kwargs.items()]
    return " ".join(filter(None, (str(number), sample.name, f"({', '.join(shown)})")))


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(value)


def refuses_dtype(error: Any) -> bool:
    """Whether an exception of PyTorch says that it has no kernel for a dtype."""
    if isinstance(error, NotImplementedError):
        return True
    return isinstance(error, RuntimeError) and "not implemented for" in str(error)


def note_outcomes(
    findings: Findings, sample: str, ours: Any, theirs: Any, precision: str = ""
) -> str:
    """Compare two outcomes; what agrees: ``same``, ``refused``, ``ours``, ``theirs`` or nothing.

    Args:
        precision: the dtype that was computed in, where that is not the result's.
    """
    if isinstance(theirs, Exception):
        if not isinstance(ours, Exception):
            if refuses_dtype(theirs):
                return "ours"
            findings.add(sample, "accepts", f"PyTorch raises {said(theirs)}")
        elif isinstance(theirs, (AttributeError, AssertionError)) and isinstance(ours, TypeError):
            pass  # PyTorch's Python code stumbled over the argument; it says nothing of its kind
        elif not isinstance(ours, type(theirs)):
            findings.add(sample, "class", f"{said(ours)}, PyTorch {said(theirs)}")
        return "refused"
    if isinstance(ours, Exception):
        results = tensors_in(theirs if isinstance(theirs, (list, tuple)) else [theirs])
        if refuses_dtype(ours) and results and not any(r.numel() for r in results):
            return "refused"  # PyTorch asks for the dtype only where there is something to do
        findings.add(sample, "refuses", said(ours))
        return "theirs"
    before = len(findings.found)
    _note_difference(findings, sample, ours, theirs, precision)
    return "same" if len(findings.found) == before else ""


def said(error: Exception) -> str:
    """An exception on one line."""
    return f"{type(error).__name__}({' '.join(str(error).split())[:160]!r})"


def _note_difference(
    findings: Findings, sample: str, ours: Any, theirs: Any, precision: str
) -> None:
    if isinstance(theirs, (tuple, list)):
        fields = getattr(theirs, "_fields", None) or names_of(theirs)
        if not isinstance(ours, (tuple, list)) or len(ours) != len(theirs):
            findings.add(sample, "structure", f"{type(ours).__name__}, PyTorch {theirs!r}")
            return
        if names_of(ours) != fields:
            findings.add(sample, "structure", f"fields {names_of(ours)}, PyTorch {fields}")
        for a, b in zip(ours, theirs, strict=True):
            _note_difference(findings, sample, a, b, precision)
        return
    if not isinstance(theirs, torch.Tensor) or not isinstance(ours, dovetail.Tensor):
        same = type(ours).__name__ == type(theirs).__name__ and (
            ours == theirs or (ours != ours and theirs != theirs)
        )
        if not same:
            findings.add(sample, "values", f"{ours!r}, PyTorch {theirs!r}")
        return
    if repr(ours.dtype) != repr(theirs.dtype):
        findings.add(sample, "dtype", f"{ours.dtype}, PyTorch {theirs.dtype}")
        return
    if tuple(ours.shape) != tuple(theirs.shape):
        findings.add(sample, "shape", f"{tuple(ours.shape)}, PyTorch {tuple(theirs.shape)}")
        return
    try:
        compare(ours, theirs, "", dtype=precision, off=OFF_THERE.get(findings.operator, 0.0))
    except AssertionError as error:
        findings.add(sample, "values", " ".join(str(error).split())[:300])
    if strides_of(ours) != strides_of(theirs):
        findings.add(sample, "strides", f"{ours.stride()}, PyTorch {theirs.stride()}")


def names_of(result: Any) -> tuple[str, ...]:
    """Field names of a named tuple of either library; none for a plain tuple."""
    names = getattr(type(result), "_fields", None)
    if names is None and hasattr(type(result), "n_sequence_fields"):
        found = {id(getattr(result, n)): n for n in dir(type(result)) if n[0] != "_" and n not in (
            "count", "index", "n_fields", "n_sequence_fields", "n_unnamed_fields")}  # fmt: skip
        names = tuple(found.get(id(item), "") for item in result)
    return tuple(names or ())


def strides_of(x: Any) -> tuple[int, ...]:
    """Strides where they mean something: of dims with more than one element."""
    if not x.numel():
        return ()
    return tuple(s for n, s in zip(x.shape, x.stride(), strict=True) if n != 1)


def aliases(result: Any, arguments: Any) -> list[tuple[int, int]]:
    """(result, argument) pairs that share memory, by place."""
    made, given = tensors_in([result]), tensors_in(arguments)
    return [
        (i, j)
        for i, r in enumerate(made)
        for j, a in enumerate(given)
        if r is a or (r.numel() and memory_of(r) == memory_of(a))
    ]


def memory_of(x: Any) -> Any:
    """What is the same for two tensors over the same memory."""
    if isinstance(x, dovetail.Tensor):
        return id(storage_of(x))
    return x.untyped_storage().data_ptr()


@functools.cache
def judge(op: OpDef, dtype: d.dtype, device: Any) -> Verdict:
    """Every sample of the record as a function call."""
    findings = Findings(op.name, "function", dtype.name)
    counts = {"same": 0, "ours": 0, "theirs": 0}
    for i, sample in enumerate(samples(op, dtype)):
        their_args = to_torch(sample.args)
        expected = torch_call(op, sample, their_args)
        args, kwargs = arguments_of(sample, device)
        before = [dovetail.raw.to_host(t).tobytes() for t in tensors_in(args)]
        what = label(i, sample)
        made = outcome(op.function, args, kwargs)
        came = note_outcomes(findings, what, made, expected)
        if came in counts:
            counts[came] += 1
        if came == "same" and aliases(made, args) != aliases(expected, their_args):
            findings.add(what, "aliasing", f"{aliases(made, args)}, PyTorch not so")
        after = [dovetail.raw.to_host(t).tobytes() for t in tensors_in(args)]
        if before != after:  # by bytes: NaN must stay NaN
            findings.add(what, "writes", "an input changed")
    return Verdict(counts["same"], counts["ours"], counts["theirs"], findings)
