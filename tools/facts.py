"""What is measured of an operator for its page: dtypes, shapes, errors, gradient, primitives.

Nothing here is written by hand: each line comes from running the operator on its record's samples.
"""

from __future__ import annotations

import ast
import functools
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import dovetail
from dovetail import dtypes as d
from dovetail.backend.loader import registry
from dovetail.ops.schema import REGISTRY, OpDef, Sample
from dovetail.tensor import Tensor

__all__ = [
    "COPIES",
    "calls",
    "dtypes",
    "errors",
    "function_of",
    "gradient",
    "made_of",
    "primitives",
    "run",
    "show",
]

TEMPLATE = Path(__file__).resolve().parents[1] / "plugins" / "template"
REFUSALS = (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError)


def convert(value: Any, device: Any = None, requires_grad: bool = False) -> Any:
    """NumPy arrays in a structure become tensors."""
    if isinstance(value, np.ndarray):
        made = dovetail.tensor(value, device=device)
        return made.requires_grad_() if requires_grad and made.dtype.category > 1 else made
    if isinstance(value, dict):
        return {k: convert(v, device, requires_grad) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(convert(v, device, requires_grad) for v in value)
    return value


def run(op: OpDef, sample: Any, device: Any = None, requires_grad: bool = False) -> Any:
    """The result of one call."""
    function = function_of(op)
    arguments = convert(sample.args, device, requires_grad)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(*arguments, **convert(dict(sample.kwargs), device, requires_grad))


def function_of(op: OpDef) -> Any:
    """What calls an operator, public or not."""
    return op.function or getattr(dovetail.ops, op.name)


def samples(op: OpDef, kind: d.dtype) -> list[Sample]:
    """The record's samples, the same at every run."""
    return [] if op.samples is None else op.samples(np.random.default_rng(0), kind)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of a result."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from tensors_in(v)


# dtypes

_GROUPS = (
    ("bool", (d.bool_,)),
    ("integers", d.INTEGRAL),
    ("floating", d.FLOATING),
    ("complex", d.COMPLEX),
)


def named(kinds: list[d.dtype]) -> str:
    """Dtypes in words: whole groups by their name."""
    if len(kinds) == len(d.ALL):
        return "all"
    parts = []
    for name, group in _GROUPS:
        here = [k for k in group if k in kinds]
        if len(here) == len(group):
            parts.append(name)
        else:
            parts += [f"`{k.name}`" for k in here]
    return ", ".join(parts) or "none"


def dtypes(op: OpDef) -> tuple[str, str]:
    """What the first input may be, and what comes out, in words."""
    made: dict[d.dtype, tuple[Any, ...]] = {}
    for kind in d.ALL:
        if kind not in op.accepts:
            continue
        for sample in samples(op, kind)[:2]:
            try:
                result = run(op, sample)
            except REFUSALS:
                continue
            made[kind] = tuple(
                x.dtype if isinstance(x, Tensor) else type(x).__name__ for x in _outputs(result)
            )
            break
    return named(list(made)), _result_rule(op, made)


def _outputs(result: Any) -> tuple[Any, ...]:
    if isinstance(result, (list, tuple)) and not isinstance(result, dovetail.Size):
        return tuple(result)
    return (result,)


def _result_rule(op: OpDef, made: dict[d.dtype, tuple[Any, ...]]) -> str:
    if not made:
        return ""
    width = min(len(outs) for outs in made.values())
    rules = [_rule_of({k: outs[i] for k, outs in made.items()}, op) for i in range(width)]
    if len(set(rules)) == 1 or width > 4:
        return rules[0]
    return "; ".join(f"{i + 1}: {rule}" for i, rule in enumerate(rules))


def _rule_of(made: dict[d.dtype, Any], op: OpDef) -> str:
    """From dtypes in and out to words."""
    promotes = len(op.inputs) > 1 and op.kind in ("elementwise", "compare", "select")
    kept = [k for k, out in made.items() if out is k]
    others: dict[Any, list[d.dtype]] = {}
    for k, out in made.items():
        if out is not k:
            others.setdefault(out, []).append(k)
    for out, kinds in others.items():
        if out in kept:  # int64 for all integers, itself too
            kept.remove(out)
            kinds.append(out)
    words = {out: f"`{out.name}`" if isinstance(out, d.dtype) else f"a {out}" for out in others}
    if len(others) == 1 and len(kept) < 2:
        return "; ".join([*words.values(), *(f"`{k.name}` for `{k.name}`" for k in kept)])
    parts = [f"{words[out]} for {named(kinds)}" for out, kinds in others.items()]
    if kept:
        same = "the operands' promoted dtype" if promotes else "the input's"
        parts.append(f"else {same}" if parts else same)
    return "; ".join(parts)


# shapes


def calls(op: OpDef, most: int = 3) -> list[str]:
    """Some calls by the shapes that go in and come out."""
    kind = _usual(op)
    found: list[str] = []
    for sample in samples(op, kind):
        try:
            result = run(op, sample)
        except REFUSALS:
            continue
        if any(0 in tuple(x.shape) for x in tensors_in(result)):
            continue
        outs = ", ".join(shown(x) for x in _outputs(result)[:4])
        arguments = [shown(convert(a)) for a in sample.args]
        arguments += [f"{k}={shown(convert(v))}" for k, v in sample.kwargs.items()]
        line = f"`{', '.join(arguments)}` → `{outs}`"
        if line not in found and len(line) < 110:
            found.append(line)
    found.sort(key=lambda line: "()" in line.split("→")[0])
    return found[:most]


def shown(value: Any) -> str:
    """A tensor as its shape, a number as it is."""
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
        return f"[{', '.join(shown(v) for v in value)}]"
    return repr(value)


def _usual(op: OpDef) -> d.dtype:
    return next((k for k in (d.float32, d.complex64, d.int64) if k in op.accepts), d.float32)


# errors


def errors(op: OpDef) -> list[tuple[str, str]]:
    """``(class, sentence)`` of each wrong call that the record has."""
    found = []
    for case in [] if op.errors is None else op.errors():
        try:
            run(op, case)
        except REFUSALS as error:
            kind = case.error.__name__
            found.append((kind, str(error).splitlines()[0]))
    return list(dict.fromkeys(found))


# gradient


def gradient(op: OpDef) -> str:
    """Explicit, through the decomposition, or none."""
    flows = False
    for kind in (d.float64, d.complex128):
        for sample in samples(op, kind)[:3] if kind in op.accepts else ():
            try:
                result = run(op, sample, requires_grad=True)
            except REFUSALS:
                continue
            flows = flows or any(x.requires_grad for x in tensors_in(result))
    if not flows:
        return "none"
    if op.kind == "view":
        return "explicit" if op.gradient is not None else "the view's own: zeros that hold it"
    if op.gradient is None:
        return "through its decomposition"
    if isinstance(op.gradient, dict):
        return f"explicit, for {', '.join(f'`{name}`' for name in op.gradient)}"
    return "explicit"


# primitives


def template() -> str:
    """The name of a device that has the required kernels and nothing else."""
    if "template" not in registry:
        sys.path.insert(0, str(TEMPLATE))
        from dovetail_template import dovetail_backend

        registry.register("template", dovetail_backend())
    return "template"


@functools.cache
def primitives(op: OpDef) -> tuple[list[str], list[str]]:
    """The primitives and views that a device with nothing but primitives is asked for."""
    device = template()
    kernels: dict[str, None] = {}
    host: dict[str, None] = {}
    kind = _usual(op)
    for sample in samples(op, kind)[:6]:
        try:
            arguments = convert(sample.args, device)
            keywords = convert(dict(sample.kwargs), device)
            function = function_of(op)
            with warnings.catch_warnings(), dovetail.trace() as events:
                warnings.simplefilter("ignore")
                function(*arguments, **keywords)
        except REFUSALS:
            continue
        for event in events:
            if event.device.startswith(device) and event.served_by == "kernel":
                kernels[event.op] = None
            elif event.device.startswith(device) and event.served_by == "host":
                host[event.op] = None
    return sorted_as_records(kernels), list(host)


def sorted_as_records(names: Iterable[str]) -> list[str]:
    """Names of primitives in the order of the records; a copy into a tensor is ``copy``."""
    found = {COPIES.get(name, name) for name in names}
    return [name for name in REGISTRY if name in found]


COPIES = {"copy_to": "copy", "clone_record": "copy", "strided": "as_strided"}


def made_of(lines: list[str], call: str) -> tuple[list[str], list[str]]:
    """The operators that an example's ``call`` calls, and the primitives they come down to.

    Args:
        lines: the example.
        call: the function in it, such as ``dt.outer``.
    """
    device = template()
    before = dovetail.get_default_device()
    dovetail.set_default_device(device)
    space: dict[str, Any] = {"dt": dovetail, "numpy": np}
    node = next(
        n
        for n in ast.walk(ast.parse(lines[-1]))
        if isinstance(n, ast.Call) and ast.unparse(n.func) == call
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for line in lines[:-1]:
                exec(line, space)
            arguments = list(eval(f"({''.join(f'{ast.unparse(a)}, ' for a in node.args)})", space))
            keywords = {k.arg: eval(ast.unparse(k.value), space) for k in node.keywords if k.arg}
            function = eval(call, space)
            with dovetail.trace() as events:
                function(*arguments, **keywords)
    except REFUSALS:
        return [], []
    finally:
        dovetail.set_default_device(before)
    ours = [e for e in events if e.device.startswith(device)]
    outer = dict.fromkeys(COPIES.get(e.op, e.op) for e in ours if e.depth == 0)
    return list(outer), sorted_as_records(e.op for e in ours if e.served_by == "kernel")


# examples


def example(op: OpDef) -> list[str]:
    """Lines of Python that show one small call, from the samples; empty where none is small."""
    kind = _usual(op)
    best: tuple[float, Sample] | None = None
    for sample in samples(op, kind):
        arrays = list(_arrays((sample.args, dict(sample.kwargs))))
        sizes = [a.size for a in arrays]
        if not sizes or min(sizes) == 0 or max(sizes) > 24:
            continue
        badness = abs(sum(sizes) - 6) + 3 * sum(a.ndim == 0 for a in arrays)
        if best is None or badness < best[0]:
            best = (badness, sample)
    if best is None:
        return []
    return _written(op, best[1])


def _arrays(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        yield from _arrays(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from _arrays(v)


def _written(op: OpDef, sample: Sample) -> list[str]:
    lines: list[str] = []
    names = iter("xyzwvu")

    def word(value: Any) -> str:
        if isinstance(value, np.ndarray):
            name = next(names, "x")
            lines.append(f"{name} = {_literal(value)}")
            return name
        if isinstance(value, (list, tuple)) and any(True for _ in _arrays(value)):
            return f"[{', '.join(word(v) for v in value)}]"
        return repr(value)

    parts = [word(a) for a in sample.args]
    parts += [f"{k}={word(v)}" for k, v in sample.kwargs.items()]
    return [*lines, ", ".join(parts)]


def _literal(value: np.ndarray) -> str:
    kind = d.from_numpy_dtype(value.dtype)
    if value.dtype.kind == "c":
        value = np.round(value, 1)
    elif value.dtype.kind == "f":
        value = np.round(value.astype(np.float64), 1) + 0.0
    text = repr(value.tolist())
    default = {d.float32: "", d.int64: "", d.bool_: "", d.complex64: ""}.get(kind)
    return f"dt.tensor({text}" + (")" if default is not None else f", dtype=dt.{kind.name})")


def show(lines: list[str], seeded: bool = False) -> str:
    """Run lines of Python, and show them with what the last one prints, as a doctest.

    Args:
        seeded: start with a seed, because the numbers are random.
    """
    space: dict[str, Any] = {"dt": dovetail}
    text = ""
    if any("numpy." in line for line in lines):
        space["numpy"] = np
        lines = ["import numpy", *lines]
    if seeded:
        lines = ["_ = dt.manual_seed(0)", *lines]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for line in lines[:-1]:
            exec(line, space)
            text += f">>> {line}\n"
        result = eval(lines[-1], space)
    shown_result = "\n".join(line.rstrip() for line in repr(result).splitlines() if line.strip())
    return f"{text}>>> {lines[-1]}\n" + ("" if result is None else f"{shown_result}\n")
