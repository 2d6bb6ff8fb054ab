"""Expressions written from decompositions: what they compute, and what has none."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from compiled import COMPILER, Launch, compiled_source, kernel_name

import dovetail as dt
from dovetail import dtypes as d
from dovetail.autograd.mode import mode
from dovetail.backend import (
    C99,
    Expression,
    composable,
    composed,
    program_source,
    registry,
)
from dovetail.backend.state import clear_states
from dovetail.ops.families import elementwise_infer, same, to_bool
from dovetail.ops.schema import REGISTRY, CallFacts
from dovetail.spec import spec_of

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler here")
EDGES = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.5, 7.0, 30.0, math.inf, -math.inf, math.nan)
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "nan_to_num": {"nan": 0.5, "posinf": None, "neginf": -2.0},
    "hardtanh_backward": {"min_val": -0.5, "max_val": 1.5},
    "shrink_backward": {"lambd": 0.75},
    "elu_backward": {"alpha": 1.5, "scale": 1.25, "input_scale": 0.5},
    "softplus_backward": {"beta": 2.0, "threshold": 5.0},
    "logit": {"eps": None},
    "polygamma": {"n": 1},
    "mvlgamma": {"p": 2},
    "isclose_within": {"rtol": 0.5, "atol": 0.25, "equal_nan": True},
    "gumbel_noise": {"least": 1e-3},
}
FROM_3 = {"mvlgamma"}
"""Operators that refuse smaller operands."""


def facts_of(name: str, kind: d.dtype, shape: tuple[int, ...] = (3,)) -> CallFacts:
    """A call of a record whose operands are of one dtype and shape."""
    op, attributes = REGISTRY[name], ATTRIBUTES.get(name, {})
    inputs = tuple(spec_of(shape, kind, dt.device("cpu")) for _ in op.inputs)
    assert op.infer is not None
    made = op.infer(*inputs, **attributes).outs
    outs = tuple(spec_of(tuple(o[0]), o[1], dt.device("cpu")) for o in made)
    return CallFacts(op, inputs, outs, attributes)


def operands_of(name: str, kind: d.dtype) -> list[np.ndarray]:
    count, rng = len(REGISTRY[name].inputs), np.random.default_rng(5)
    edges = [x if name not in FROM_3 else 3.0 + abs(x) for x in EDGES]
    first = np.concatenate([edges, rng.uniform(3 if name in FROM_3 else -9, 9, 200)])
    return [np.roll(first, 7 * k).astype(kind.numpy) for k in range(count)]


class Written(Launch):
    """A launch of an expression that is not in the table."""

    def __init__(self, expression: Expression, *arguments: Any) -> None:
        super().__init__(next(iter(expression.helpers)), *arguments)
        self.expression = expression

    @property
    def request(self) -> Any:
        return (*super().request[:4], self.expression)

    def run(self, library: Any) -> None:
        request = Launch.request.fget(self)  # type: ignore[attr-defined]
        assert hasattr(library, kernel_name(*request[:4]))
        super().run(library)


@needs_compiler
@pytest.mark.parametrize("kind", [d.float64, d.float32], ids=lambda k: k.name)
def test_they_compute_what_the_decomposition_does(kind: d.dtype, tmp_path: Path) -> None:
    launches = {}
    for name in composable():
        facts = facts_of(name, kind)
        expression = composed(facts)
        assert expression is not None, name
        inputs = operands_of(name, kind)
        out = np.empty(inputs[0].shape, facts.outputs[0].dtype.numpy)
        launches[name] = Written(expression, inputs, out)
    requests = [launch.request for launch in launches.values()]
    library = compiled_source(program_source(requests, C99), tmp_path)
    for name, launch in launches.items():
        launch.run(library)
        decompose = REGISTRY[name].decompose
        assert decompose is not None
        expected = decompose(*map(dt.tensor, launch.inputs), **ATTRIBUTES.get(name, {}))
        near = {"rtol": 1e-9, "atol": 1e-12} if kind is d.float64 else {"rtol": 1e-3, "atol": 1e-5}
        np.testing.assert_allclose(launch.out, expected.numpy(), err_msg=name, **near)


@pytest.mark.parametrize("name", sorted({*composable()} - {"nan_to_num"}))
def test_halves_are_computed_as_floats(name: str) -> None:
    wide, half = composed(facts_of(name, d.float32)), composed(facts_of(name, d.bfloat16))
    assert wide is not None
    assert half is not None
    assert wide.helpers == half.helpers


def test_what_a_dtype_holds_is_its_own() -> None:
    for kind in (d.bfloat16, d.float16, d.float32, d.float64):
        (text,) = composed(facts_of("nan_to_num", kind)).helpers.values()
        assert str(float(dt.finfo(kind).max))[:5] in text, kind


class Function(NamedTuple):
    """What is asked of a record."""

    name: str
    decompose: Any
    infer: Any
    compute: Any


def ad_hoc(decompose: Any, rule: Any = same, kind: d.dtype = d.float32) -> Expression | None:
    """The expression of a function that is no operator."""
    names = tuple(inspect.signature(decompose).parameters)
    inputs = tuple(spec_of((3,), kind, dt.device("cpu")) for _ in names)
    infer = elementwise_infer("it", rule, names)
    (made,) = infer(*inputs).outs
    out = spec_of((3,), made[1], dt.device("cpu"))
    op: Any = Function("it", decompose, infer, None)
    return composed(CallFacts(op, inputs, (out,), {}))


def lines(expression: Expression | None) -> list[str]:
    assert expression is not None
    (text,) = expression.helpers.values()
    return [line.strip() for line in text.splitlines()[1:-1]]


def test_what_is_written_in_place_is_a_value_of_its_own() -> None:
    def twice(x: Any) -> Any:
        made = x.clone()
        made.mul_(2.0)
        return made + x

    assert lines(ad_hoc(twice)) == [
        "const T t0 = a0 * (T)(2.0);",
        "const T t1 = t0 + a0;",
        "return t1;",
    ]


def test_what_is_computed_twice_is_written_once() -> None:
    made = lines(ad_hoc(lambda x: x.exp() + x.exp()))
    assert made == ["const T t0 = exp(a0);", "const T t1 = t0 + t0;", "return t1;"]


def test_numbers() -> None:
    numbers = (math.inf, -math.inf, math.nan, 1e300, 1e-7, -0.0, 3)

    def all_of_them(x: Any) -> Any:
        for number in numbers:
            x = x + number
        return x

    found = [line.partition(" + ")[2].rstrip(";") for line in lines(ad_hoc(all_of_them))[:-1]]
    assert found == [
        "(T)(1.0 / 0.0)", "(T)(-1.0 / 0.0)", "(T)(0.0 / 0.0)", "(T)(1.0 / 0.0)", "(T)(1.0e-07)",
        "(T)(-0.0)", "(T)(3.0)",
    ]  # fmt: skip


def test_conditions_are_values_too() -> None:
    made = lines(ad_hoc(lambda x, y: (x.lt(y) | x.isnan()).logical_not(), to_bool))
    assert made[0] == "const B t0 = a0 < a1;"
    assert made[-1] == "return t3;"


def test_powers_are_products() -> None:
    assert lines(ad_hoc(lambda x: x**2))[0] == "const T t0 = a0 * a0;"


@pytest.mark.parametrize(
    "decompose",
    [
        lambda x: x - x.sum(),
        lambda x: x.flip(0),
        lambda x: x[:2].exp(),
        lambda x: x.view(dt.int32).add(1).view(dt.float32),
        lambda x: x * float(x.max()),
        lambda x: x + dt.tensor([1.0, 2.0, 3.0]),
        lambda x: x.int().float(),
        lambda x: x,
        lambda x: x.double().exp().float(),
        lambda x: dt.rand_like(x) + x,
    ],
)
def test_what_is_not_of_single_elements_has_none(decompose: Any) -> None:
    assert ad_hoc(decompose) is None


@pytest.mark.parametrize("kind", [d.int32, d.complex64, d.bool_], ids=lambda k: k.name)
def test_other_dtypes_have_none(kind: d.dtype) -> None:
    assert ad_hoc(lambda x: x + x, kind=kind) is None


def test_a_call_for_each_set_of_attributes() -> None:
    found = []
    for value in (1.0, 2.0):
        facts = facts_of("shrink_backward", d.float32)
        facts.attributes = {"lambd": value}
        expression = composed(facts)
        assert expression is not None
        found.append(next(iter(expression.helpers)))
    assert found[0] != found[1]


def test_tracing_leaves_nothing_behind() -> None:
    events: list[Any]
    with dt.trace() as events:
        assert composed(facts_of("entr", d.float64)) is not None
        assert ad_hoc(lambda x: x.sqrt() + 1) is not None
    assert not events
    assert "trace" not in registry.names()
    assert mode.grad
    assert not mode.unseen


def test_they_outlive_a_change_of_the_registry() -> None:
    assert ad_hoc(lambda x: x.sin() - 1) is not None
    clear_states()
    assert ad_hoc(lambda x: x.cos() - 1) is not None
