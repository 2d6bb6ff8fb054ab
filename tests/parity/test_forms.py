"""Every operator as a method, in place, with ``out=``, by keyword, with numbers and mixed dtypes.

Generated from the records; each form is held against PyTorch's own of that form. What the core
decides before a kernel runs (names, promotion) is compared on the cpu only.
"""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

import dovetail
from dovetail import dtypes as d
from dovetail.ops.schema import OpDef, Sample
from tests.parity.findings import Findings
from tests.parity.harness import (
    ADAPTED,
    DTYPES,
    arguments_of,
    counterparts,
    operators,
    outcome,
    published,
    samples,
    tensors_in,
    to_ours,
    to_torch,
    torch,
    torch_call,
)
from tests.parity.judging import label, note_outcomes
from tests.parity.signatures import keyword_calls

OPERATORS = operators()
TWO_OPERANDS = [
    op
    for op in OPERATORS
    if op.kind in ("elementwise", "compare") and len(op.inputs) == 2 and not op.attributes
]


def usual(op: OpDef) -> d.dtype:
    """A dtype that the operator is at home in."""
    return next((k for k in (d.float32, d.int64, d.bool_) if k in op.accepts), op.accepts[0])


def usual_samples(op: OpDef) -> list[tuple[str, Sample]]:
    return [(label(i, s), s) for i, s in enumerate(samples(op, usual(op)))]


def theirs_of(sample: Sample) -> tuple[Any, dict[str, Any]]:
    kwargs = {
        k: getattr(torch, v.name) if isinstance(v, d.dtype) else to_torch(v)
        for k, v in sample.kwargs.items()
    }
    return to_torch(sample.args), kwargs


def is_tensor_first(sample: Sample) -> bool:
    return bool(sample.args) and isinstance(sample.args[0], np.ndarray)


# ------------------------------------------------------------------ methods


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
def test_method(op: OpDef) -> None:
    theirs = getattr(torch.Tensor, op.name, None)
    ours = getattr(dovetail.Tensor, op.name, None)
    findings = Findings(op.name, "method", usual(op).name)
    if theirs is None or op.name in ADAPTED:
        if theirs is None and ours is not None:
            findings.add("", "accepts", "a method that PyTorch has not")
        findings.settle()
        return
    for what, sample in usual_samples(op):
        if is_tensor_first(sample):
            args, kwargs = arguments_of(sample, "cpu")
            expected = outcome(theirs, *theirs_of(sample))
            note_outcomes(findings, what, outcome(ours, args, kwargs), expected)
    findings.settle()


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
def test_in_place(op: OpDef, device: Any) -> None:
    name = op.name + "_"
    theirs = getattr(torch.Tensor, name, None)
    ours = getattr(dovetail.Tensor, name, None)
    findings = Findings(op.name, "in place", usual(op).name)
    if theirs is None or op.name in ADAPTED:
        if theirs is None and ours is not None:
            findings.add("", "accepts", "a method that PyTorch has not")
        findings.settle()
        return
    for what, sample in usual_samples(op):
        if not is_tensor_first(sample):
            continue
        their_args, their_kwargs = theirs_of(sample)
        args, kwargs = arguments_of(sample, device)
        expected = outcome(theirs, their_args, their_kwargs)
        came = outcome(ours, args, kwargs)
        note_outcomes(findings, what, came, expected)
        if not isinstance(expected, Exception) and not isinstance(came, Exception):
            if came is not args[0]:
                findings.add(what, "structure", "returns another tensor")
            note_outcomes(findings, what + " target", args[0], their_args[0])
    findings.settle()


# --------------------------------------------------------------------- out=


def outs(library: Any, results: list[Any], case: str, device: Any) -> list[Any]:
    """Tensors to write ``results`` (PyTorch's) into."""
    made = []
    options = {"device": device} if library is dovetail else {}
    for r in results:
        kind = getattr(library, str(r.dtype).removeprefix("torch."))
        shape = tuple(r.shape)
        if case in OTHER_DTYPES:
            out = library.zeros(shape, dtype=getattr(library, case), **options)
        elif case == "empty":
            out = library.empty((0,), dtype=kind, **options)
        elif case == "another shape":
            out = library.zeros((*shape, 2), dtype=kind, **options)
        elif case == "not contiguous":
            out = library.zeros((*shape[::-1], 2), dtype=kind, **options)[..., 0]
            out = out.permute(*reversed(range(len(shape)))) if shape else out
        elif case == "memory written twice":
            out = library.zeros((1,) * len(shape), dtype=kind, **options).expand(shape)
        else:
            out = library.zeros(shape, dtype=kind, **options)
        made.append(out)
    return made


OTHER_DTYPES = ("float64", "float32", "float16", "int64", "uint8", "bool", "complex64")
OUT_CASES = (
    "fitting", "empty", "another shape", "not contiguous", "memory written twice", *OTHER_DTYPES,
)  # fmt: skip


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
def test_out(op: OpDef, device: Any) -> None:
    kind = usual(op)
    findings = Findings(op.name, "out", kind.name)
    seen = set()
    for what, sample in usual_samples(op):
        args, kwargs = theirs_of(sample)
        expected = torch_call(op, sample, args)
        results = tensors_in(expected if isinstance(expected, (tuple, list)) else [expected])
        if not results or all(r.numel() == 0 for r in results):
            continue
        shapes = tuple(len(r.shape) for r in results)
        if shapes in seen or len(seen) > 2:  # one sample per number of dims will do
            continue
        seen.add(shapes)
        for case in OUT_CASES:
            if case == "memory written twice" and results[0].numel() < 2:
                continue
            theirs, warned = into(None, args, kwargs, torch, results, case, device, op)
            if theirs is None or isinstance(theirs, TypeError):
                return  # PyTorch has no out= there
            mine, also = into(
                published(op), *arguments_of(sample, device), dovetail, results, case, device, op
            )
            if isinstance(mine, TypeError) and "'out'" in str(mine):
                findings.add(what, "refuses", "there is no out=")
                break
            narrow = case in ("float64", "complex64") or (case == "float32" and kind is d.int64)
            precision = "float32" if narrow else ""
            note_outcomes(findings, f"{what} {case}", mine, theirs, precision)
            if warned != also and not isinstance(theirs, Exception):
                findings.add(f"{what} {case}", "warning", f"{also}, PyTorch {warned}")
    findings.settle()


def into(
    function: Any, args: Any, kwargs: Any, library: Any, results: Any, case: str, device: Any,
    op: OpDef,
) -> tuple[Any, list[str]]:  # fmt: skip
    """(what ``out=`` holds afterwards, or the exception; the classes of warnings)."""
    functions = [function] if function else counterparts(op)
    first: Any = None
    for f in functions:
        targets = outs(library, results, case, device)
        out: Any = targets[0] if len(targets) == 1 else tuple(targets)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # What NumPy says of single elements is kept silent, as the plans ask at their import.
            quiet = r"dovetail(\.plans|\.ops\.expose|_cpu\.)"
            warnings.filterwarnings("ignore", category=RuntimeWarning, module=quiet)
            try:
                f(*args, **kwargs, out=out)
            except TypeError as error:
                first = first or error
                continue
            except Exception as error:
                return error, []
        return out, sorted({w.category.__name__ for w in caught})
    return first, []


# ----------------------------------------------------------------- keywords


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
def test_keywords(op: OpDef) -> None:
    if op.name in ADAPTED:
        return
    findings = Findings(op.name, "keywords", usual(op).name)
    seen = set()
    for what, sample in usual_samples(op):
        shape = (len(sample.args), tuple(sample.kwargs), *(type(a) for a in sample.args))
        if shape in seen:
            continue
        seen.add(shape)
        found = keyword_calls(op, sample)
        if found is None:
            continue
        names, expected = found
        args, kwargs = arguments_of(sample, "cpu")
        named = dict(zip(names, args, strict=True))
        note_outcomes(
            findings,
            f"{what} {', '.join(names)}",
            outcome(published(op), (), {**named, **kwargs}),
            expected,
        )
    findings.settle()


# ------------------------------------------------- numbers and mixed dtypes


def values(kind: d.dtype, shape: tuple[int, ...]) -> np.ndarray:
    made = np.arange(1, 1 + int(np.prod(shape))).reshape(shape) % 4 + 1
    return np.asarray(made % 2 == 0 if kind is d.bool_ else made).astype(kind.numpy)


NUMBERS = (True, 2, 2.5, -1, 1j)


@pytest.mark.parametrize("op", TWO_OPERANDS, ids=lambda op: op.name)
def test_numbers(op: OpDef) -> None:
    """A Python number as either operand."""
    for kind in DTYPES:
        findings = Findings(op.name, "numbers", kind.name)
        for number, shape in itertools.product(NUMBERS, ((3,), ())):
            x = values(kind, shape)
            for args in ((x, number), (number, x)):
                if number == 1j and kind is d.float16:
                    continue  # complex32, which dovetail does not have
                sample = Sample(args)
                mine = outcome(published(op), to_ours(args, "cpu"), {})
                theirs = torch_call(op, sample, to_torch(args))
                note_outcomes(findings, label(0, sample), mine, theirs)
        findings.settle()


@pytest.mark.parametrize("op", TWO_OPERANDS, ids=lambda op: op.name)
def test_mixed_dtypes(op: OpDef) -> None:
    """Two operands of different dtypes, with dims and without."""
    problems = []
    for one in DTYPES:
        findings = Findings(op.name, "mixed dtypes", one.name)
        for two, (a, b) in itertools.product(DTYPES, (((3,), (3,)), ((3,), ()), ((), (3,)))):
            if {one, two} == {d.float16, d.complex64}:
                continue  # complex32
            args = (values(one, a), values(two, b))
            sample = Sample(args)
            mine = outcome(published(op), to_ours(args, "cpu"), {})
            theirs = torch_call(op, sample, to_torch(args))
            note_outcomes(findings, label(0, sample), mine, theirs)
        problems += findings.problems()
    assert not problems, "\n" + "\n".join(problems)
