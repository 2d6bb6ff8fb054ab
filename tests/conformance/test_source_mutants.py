"""Mistakes in the core's source: they are put in, found out, taken out again, and counted."""

from __future__ import annotations

import ast
import gc
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import dovetail as dt
from dovetail.ops.schema import REGISTRY
from dovetail_conformance.model import Case, Outcome, Trial, run_case
from dovetail_conformance.mutants import equivalent_source
from dovetail_conformance.mutants.source import (
    BARE,
    _cases,
    _forget,
    bare_device,
    entering_cases,
    put_in,
    source_mutant_cases,
    source_mutants,
)
from dovetail_conformance.mutants.source_sites import KINDS, changes_in
from dovetail_conformance.mutants.source_targets import key_of, targets
from dovetail_conformance.mutants.source_test import SourceTest, source_test
from dovetail_conformance.runner import strictly
from dovetail_conformance.workers import run_in_workers


@pytest.fixture(autouse=True, scope="module")
def _what_is_frozen_is_live_too() -> Iterator[None]:
    """Mistakes go into the functions that the collector knows of; tests/conftest.py froze them."""
    gc.unfreeze()
    yield
    gc.collect()
    gc.freeze()


def made(source: str, kind: str) -> list[str]:
    (statement,) = ast.parse(source).body
    return [
        ast.unparse(changed) for change, changed in changes_in(statement) if change.kind == kind
    ]


@pytest.mark.parametrize(
    ("function", "text", "checks"),
    [
        ("softmax.py:_softmax", "arithmetic/", "2/values/softmax/float32"),
        ("activation_smooth.py:silu_backward", "arithmetic/", "3/gradient/silu/float32"),
        ("arithmetic.py:mul.complex_gradient.other", "operand/", "3/gradient/mul/complex"),
        ("arithmetic.py:sub.gradient.other", "unary/", "3/gradient/sub/float32"),
        ("turning.py:_roll", "made.clone() -> made", "2/values/roll/float32"),
        ("triangle.py:_embedded_shape", ":-1 -> :0", "2/values/diag_embed/float32"),
        ("promotion.py:promote_types", "high.category == 2 ->", "1/promotion/result_type"),
        ("promotion.py:can_cast", "compare/", "1/promotion/result_type"),
    ],
)
def test_known_mistakes_are_found_out(function: str, text: str, checks: str) -> None:
    names = [m for m in source_mutants().values() if m.function == function and text in m.name]
    assert names, f"no mistake {text} is made in {function}"
    ids = tuple(c.op for c in entering_cases() if c.op.startswith(checks))
    assert ids, checks
    for case in source_mutant_cases([m.name for m in names], {function: ids}):
        outcome = run_case(case, BARE)
        assert outcome.status == "passed", (outcome.op, outcome.failures)
        assert outcome.labels, "which check saw it"


@pytest.mark.parametrize("name", ["2/values/softmax/float32/mixed", "3/double/gelu/float64"])
def test_which_functions_a_case_runs(name: str) -> None:
    """Those that Python's own profiler sees."""
    (entered,) = (case for case in entering_cases() if case.op == name)
    noted = run_case(entered, BARE).labels
    names = {key[1]: function for key, function in targets().items()}
    seen = set()
    device, case = bare_device(), _cases()[name]
    _forget()
    with strictly():
        sys.setprofile(lambda frame, event, _: seen.add(frame.f_code))
        try:
            run_case(case, device)
        finally:
            sys.setprofile(None)
    assert len(noted) > 3
    assert noted.keys() == {names[code] for code in seen if code in names}
    assert run_case(case, device).status == "passed"  # and nothing of it is left


def test_a_mistake_that_no_case_sees_survives() -> None:
    name = next(m.name for m in source_mutants().values() if m.function.startswith("softmax.py"))
    function = source_mutants()[name].function
    (case,) = source_mutant_cases([name], {function: ("2/claims/softmax/float32",)})
    outcome = run_case(case, BARE)
    assert outcome.failures[0].check == "survived"


def test_a_mistake_is_there_inside_only() -> None:
    mutant = next(
        m
        for m in source_mutants().values()
        if m.name.startswith("unary/arithmetic.py:sub.gradient")
    )
    x = dt.ones(2, device=bare_device(), requires_grad=True)

    def slope() -> list[float]:
        (found,) = dt.autograd.grad((1 - x).sum(), x)
        return list(found.tolist())

    with put_in(mutant) as count:
        assert count >= 1
        assert slope() == [1, 1]
    assert slope() == [-1, -1]


def test_every_gradient_and_decomposition_of_a_record_is_asked_about() -> None:
    keys = targets()
    left_out = set()
    for op in REGISTRY.values():
        rules = op.gradient if isinstance(op.gradient, dict) else {"": op.gradient}
        for rule in (*rules.values(), op.decompose):
            code = getattr(rule, "__code__", None)
            if code is not None and key_of(code) not in keys:
                left_out.add((Path(code.co_filename).name, code.co_qualname))
    # Three are a call: the incoming gradient, zeros like it, a list for what takes several. The
    # other's record is made inside of the first vmap, and met there alone, where tests/func asks
    # about it.
    plain = {("graph.py", "unchanged"), ("families.py", "level")}
    plain.add(("families.py", "_from_list.<locals>.<lambda>"))
    assert left_out - {("views.py", "_back")} == plain


def test_kinds_make_what_they_say() -> None:
    assert made("a = b - c * 2", "arithmetic") == ["a = b + c * 2", "a = b - c / 2"]
    assert made("a = b < c", "compare") == ["a = b <= c"]
    assert made("a = where(b, c, d)", "swap") == ["a = where(b, d, c)"]
    assert made("a = -b.conj()", "call") == ["a = -b"]
    assert made("a = -b.conj()", "unary") == ["a = b.conj()"]
    assert made("a = f(x, -1, 0.5)", "constant") == ["a = f(x, 0, 0.5)", "a = f(x, -1, 1.0)"]
    assert made("a = f(keepdim=True)", "flag") == ["a = f(keepdim=False)"]
    assert made("if a and b:\n    c()", "connective") == ["if a or b:\n    c()"]
    assert set(KINDS) >= {"operand", "condition"}


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    if a > 1:\n        raise ValueError(f'{a + 1}')",
        "def f():\n    raise ValueError(a - 1)",
        "def f(x: int = 1 + 1) -> int:\n    'text'\n    return x",
        "a = zip(b, c, d, e, strict=True)",
    ],
)
def test_what_only_refuses_or_describes_is_left_alone(source: str) -> None:
    (statement,) = ast.parse(source).body
    assert [change.text for change, _ in changes_in(statement)] == []


def test_names_are_of_the_source_and_not_of_lines() -> None:
    for name, mutant in source_mutants().items():
        assert name == mutant.name
        kind, _, rest = name.partition("/")
        assert kind in KINDS
        assert rest.startswith(f"{mutant.function}: ")
        assert " -> " in rest


def _survivor(name: str, status: str = "failed") -> Outcome:
    trial = Trial(BARE)
    trial.fail("survived", "none of 3 cases saw it")
    return Outcome(name, 0, "mutant", name, "", "", status, tuple(trial.failures), 3)


def test_a_listed_equivalent_is_accepted_and_an_unused_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(equivalent_source, "EQUIVALENT_SOURCE", {})
    found = SourceTest(outcomes=[_survivor("swap/a.py:f: g(x, x) -> g(x, x)")], asked=1)
    found.is_whole = True
    assert len(found.unexplained) == 1
    assert found.problems
    proofs = {"swap/a.py:f: g(x, x) -> g(x, x)": "both arguments are the same object"}
    monkeypatch.setattr(equivalent_source, "EQUIVALENT_SOURCE", proofs)
    assert (len(found.equivalent), found.unexplained, found.problems) == (1, [], [])
    proofs["swap/b.py:f: h(x, x) -> h(x, x)"] = "there is none of this name"
    assert len(found.problems) == 1


def test_no_mistakes_at_all_is_a_failure() -> None:
    assert source_test(op="nothing.py:*", jobs=0).problems == ["no mutant was tried"]


def test_the_same_seed_draws_the_same_mistakes() -> None:
    from dovetail_conformance.mutants.source_test import wanted

    assert wanted(3, None, 20) == wanted(3, None, 20) != wanted(3, None, 21)
    assert len(wanted(3, None, 20)) == 3 * len(KINDS)


def hanging() -> list[Case]:
    """For a worker: a mutant that never answers."""
    return [Case(0, "mutant", "constant/a.py:f: 1 -> 0", run=_for_ever)]


def _for_ever(trial: Trial) -> None:
    while True:
        time.sleep(0.05)


def test_a_hanging_mutant_is_a_failure() -> None:
    outcomes = list(run_in_workers(hanging(), BARE, 1, hanging, (), 3.0, 1))
    found = SourceTest(outcomes=outcomes, asked=1)
    assert [o.status for o in found.unexplained] == ["hung"]
    assert "no answer" in found.problems[0]
