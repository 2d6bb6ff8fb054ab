"""Mistakes in the core's own source: in gradients, decompositions and promotion.

A mistake is made in the syntax tree, compiled, and put into the live functions that run the
original. The suite is asked on a device that has the required primitives and nothing else, so
that every decomposition and every gradient runs.
"""

from __future__ import annotations
import __future__

import ast
import contextlib
import functools
import gc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from dovetail import promotion
from dovetail.backend import Backend, registry
from dovetail.dispatch import clear_plans
from dovetail.ops.schema import REGISTRY
from dovetail_conformance.collect import collect
from dovetail_conformance.model import Case, Trial, run_case
from dovetail_conformance.mutants.base import PlainRuntime, good_table
from dovetail_conformance.mutants.source_notes import noted, noting
from dovetail_conformance.mutants.source_sites import changes_in
from dovetail_conformance.mutants.source_targets import Key, key_of, live_functions, targets
from dovetail_conformance.runner import strictly

__all__ = [
    "BARE",
    "Entered",
    "SourceMutant",
    "bare_device",
    "entering_cases",
    "put_in",
    "source_mutant_cases",
    "source_mutants",
]

BARE = "bare"
"""The device whose table holds what is required, and what has no decomposition."""

Entered = Mapping[str, tuple[str, ...]]
"""``file:function`` -> ids of the cases that run it, the first to be asked first."""

_PER_MUTANT = 160
"""A mutant is asked no more cases than this."""

_FLAGS = __future__.annotations.compiler_flag


@dataclass(frozen=True)
class SourceMutant:
    """One mistake in the source.

    Attributes:
        name: ``kind/file:function: before -> after``.
        function: ``file:function``, see :func:`targets`.
        codes: what is put in the place of what, from the outside in.
    """

    name: str
    function: str
    codes: tuple[tuple[Key, CodeType], ...]

    @property
    def kind(self) -> str:
        """The kind of mistake."""
        return self.name.partition("/")[0]


def bare_table() -> Any:
    """The host's kernels of the required primitives, and of what has no decomposition."""
    table = good_table()
    for name in list(table):
        op = REGISTRY.get(name)
        if op is not None and not op.required and op.decompose is not None:
            table.remove(name)
    return table


@functools.cache
def bare_device() -> str:
    """A device of this process that has :func:`bare_table`, until the process ends."""
    registry.register(BARE, Backend(PlainRuntime(bare_table())))
    return f"{BARE}:0"


# ------------------------------------------------------------------ mistakes


@functools.cache
def source_mutants() -> dict[str, SourceMutant]:
    """Every mistake by its name, in the order of the source."""
    found: dict[str, SourceMutant] = {}
    for file in _files():
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        for statement in tree.body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                continue
            for mutant in _mistakes(statement, str(file)):
                name, n = mutant.name, 1
                while name in found:
                    n += 1
                    name = f"{mutant.name} #{n}"
                found[name] = SourceMutant(name, mutant.function, mutant.codes)
    return found


def _files() -> list[Path]:
    names = {key[0] for key in targets()}
    folder = Path(promotion.__file__).parent
    found = sorted((*folder.glob("*.py"), *folder.glob("ops/**/*.py")))
    return [path for path in found if path.name in names]


def _mistakes(statement: ast.stmt, file: str) -> Iterator[SourceMutant]:
    original = list(_codes(_compiled(statement, file)))
    keys = [key_of(code) for code, _ in original]
    owners = [_owner(i, original, keys) for i in range(len(keys))]
    if not any(owners):
        return
    for change, changed in changes_in(statement):
        try:
            made = list(_codes(_compiled(changed, file)))
        except (SyntaxError, ValueError):
            continue
        if len(made) != len(original):
            continue
        places = [i for i, (code, _) in enumerate(made) if code != original[i][0]]
        owner = owners[places[-1]] if places else ""
        if owner and _fit(places, original, made):
            pairs = tuple((keys[i], made[i][0]) for i in places if original[i][1])
            yield SourceMutant(f"{change.kind}/{owner}: {change.text}", owner, pairs)


def _compiled(statement: ast.AST, file: str) -> CodeType:
    module = ast.Module([statement], [])  # type: ignore[list-item]
    made: CodeType = compile(module, file, "exec", _FLAGS, dont_inherit=True)
    return made


def _codes(code: CodeType, depth: int = 0) -> Iterator[tuple[CodeType, int]]:
    """A piece of code and all that are made inside it, with their depths."""
    yield code, depth
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant, depth + 1)


def _owner(i: int, codes: Sequence[tuple[CodeType, int]], keys: Sequence[Key]) -> str:
    """The name of the function asked about that is this piece of code or has it inside."""
    depth = codes[i][1] + 1
    for j in range(i, -1, -1):
        if codes[j][1] < depth:
            depth = codes[j][1]
            if keys[j] in targets():
                return targets()[keys[j]]
    return ""


def _fit(places: Sequence[int], original: Sequence[Any], made: Sequence[Any]) -> bool:
    """Whether the new code can be put into functions that have closures for the old."""
    return all(original[i][0].co_freevars == made[i][0].co_freevars for i in places)


# ----------------------------------------------------------- putting them in


@functools.cache
def _live() -> dict[Key, list[FunctionType]]:
    return live_functions()


@contextlib.contextmanager
def put_in(mutant: SourceMutant) -> Iterator[int]:
    """The mistake is in the core inside; gives the number of functions that have it."""
    changed = [(f, f.__code__, code) for key, code in mutant.codes for f in _live().get(key, ())]
    _forget()
    try:
        for function, _, code in changed:
            function.__code__ = code
        yield len(changed)
    finally:
        for function, old, _ in changed:
            function.__code__ = old
        _forget()


@functools.cache
def _caches() -> list[Any]:
    """The caches of the core and of the suite's checks; those of this machinery stay."""
    cache = type(functools.cache(lambda: None))
    every = [thing for thing in gc.get_objects() if type(thing) is cache]
    names = [(c, c.__module__ or "") for c in every]
    return [c for c, n in names if n.startswith("dovetail") and ".mutants" not in n]


def _forget() -> None:
    """Plans and what is kept of results, expected ones too, may come from other code."""
    clear_plans()
    for cache in _caches():
        cache.cache_clear()


# ------------------------------------------------------- which cases run what


@functools.cache
def _cases() -> dict[str, Case]:
    with strictly():
        return {c.id: c for c in collect(bare_device(), 3) if _is_of_use(c)}


def _is_of_use(case: Case) -> bool:
    """Whether a case may run a rule of the core, and not the same one as another case does."""
    if case.check == "copies" and case.op == "gradient":
        return True
    if case.alone or case.level < 1:
        return False
    if case.dtype in _ALIKE and case.check != "promotion":
        return False
    if case.check == "values" and case.variant not in ("contiguous", "mixed"):
        return False
    return case.level > 1 or case.check in ("promotion", "random", "in-place", "number")


_ALIKE = ("int8", "int16", "int32")
"""Dtypes that no rule but promotion treats in another way than int64."""


def entering_cases(part: bool = False, ops: frozenset[str] | None = None) -> list[Case]:
    """The suite's cases, each noting as labels which functions of the source it ran.

    Args:
        part: those that see most mistakes: of each kind of dtype one, in one layout.
        ops: those of these operators alone; None: of all.
    """
    return [
        Case(case.level, "entered", case.id, run=functools.partial(_note_entered, case))
        for case in _cases().values()
        if (not part or (case.dtype in _OF_EACH_KIND and case.variant != "mixed"))
        and (ops is None or case.op in ops)
    ]


_OF_EACH_KIND = ("float64", "int64", "complex128", "bool", "")
"""Gradients and second derivatives are asked in float64 and complex128."""


@functools.cache
def _notes() -> tuple[list[tuple[FunctionType, CodeType, CodeType]], dict[int, str]]:
    """(function, code, code that notes when it runs) of the core, and what that one is called."""
    changes, names = [], {}
    for file in _files():
        text = file.read_text(encoding="utf-8")
        both = [
            _codes(compile(made, str(file), "exec", _FLAGS, dont_inherit=True))
            for made in (ast.parse(text), noted(ast.parse(text)))
        ]
        for (old, _), (new, _) in zip(*both, strict=True):
            key = key_of(old)
            if key in targets():
                names[id(new)] = targets()[key]
            changes += [(f, f.__code__, new) for f in _live().get(key, ())]
    return changes, names


def _note_entered(case: Case, trial: Trial) -> None:
    (changes, names), device = _notes(), bare_device()
    _forget()
    with strictly(), np.errstate(all="ignore"), noting(changes) as seen:
        outcome = run_case(case, device)
    trial.attempts += 1
    trial.failures.extend(outcome.failures)
    trial.labels.update({names[i]: 1 for i in seen if i in names})


# ------------------------------------------------------------- asking a mutant


def source_mutant_cases(names: Sequence[str], entered: Entered) -> list[Case]:
    """Mutants as cases of the workers: one passes when the suite finds it out."""
    known = source_mutants()
    return [
        Case(0, "mutant", name, run=functools.partial(_try, known[name], entered)) for name in names
    ]


def _try(mutant: SourceMutant, entered: Entered, trial: Trial) -> None:
    """Ask until one case sees the mistake; that case must pass without it."""
    cases = [_cases()[i] for i in entered.get(mutant.function, ()) if i in _cases()]
    killer, device = None, bare_device()
    with strictly(), np.errstate(all="ignore"):
        with put_in(mutant) as count:
            if not count:
                trial.fail("survived", "no live function runs this source")
                return
            for case in cases[:_PER_MUTANT]:
                trial.attempts += 1
                outcome = run_case(case, device)
                if outcome.failures:
                    killer = case
                    trial.labels.update(
                        Counter(f"{case.check}: {f.check}" for f in outcome.failures)
                    )
                    break
        if killer is None:
            trial.fail("survived", f"none of {trial.attempts} cases saw it")
        elif run_case(killer, device).failures:
            trial.fail("control", f"{killer.id} fails without the mistake too")
