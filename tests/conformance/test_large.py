"""What is wrong in large calls alone is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from dovetail.backend import Backend, registry
from dovetail.backend.state import forget_state
from dovetail.device import device as Device
from dovetail.dispatch import clear_plans
from dovetail_conformance.checks.large import SHAPE, cases
from dovetail_conformance.model import run_case
from dovetail_conformance.mutants.base import PlainRuntime, good_table
from dovetail_conformance.target import Target

LEAST = 2**15

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def good(x: np.ndarray, out: np.ndarray) -> None:
    np.exp(x, out=out)


def swallows_nan(x: np.ndarray, out: np.ndarray) -> None:
    np.exp(np.nan_to_num(x), out=out)


def is_narrow(x: np.ndarray, out: np.ndarray) -> None:
    out[...] = np.exp(x.astype(np.float32) if x.dtype == np.float64 else x)


def ignores_layout(x: np.ndarray, out: np.ndarray) -> None:
    np.exp(x.ravel("K").reshape(x.shape), out=out)


def leaves_the_rest(x: np.ndarray, out: np.ndarray) -> None:
    flat = out.reshape(-1)
    flat[:LEAST] = np.exp(x.reshape(-1)[:LEAST])


def keeps() -> Callable[..., None]:
    kept: list[np.ndarray] = []

    def kernel(x: np.ndarray, out: np.ndarray) -> None:
        if not (kept and kept[0].dtype == x.dtype):
            kept[:] = [np.exp(x)]
        out[...] = kept[0]

    return kernel


@pytest.fixture
def device_with() -> Iterator[Callable[[Callable[..., None]], str]]:
    """A device whose exp of many elements is the kernel that is given."""

    def made(kernel: Callable[..., None]) -> str:
        table = good_table()
        table.add("exp", kernel, when=lambda facts: facts.outputs[0].numel > LEAST)
        registry.register("large", Backend(PlainRuntime(table)))
        return "large:0"

    yield made
    clear_plans()
    for index in (0, 1):
        forget_state(Device("large", index))
    registry.unregister("large")


def failed(device: str) -> set[str]:
    """The dtypes of float32 and float64 in which the check finds exp wrong."""
    asked = [c for c in cases(Target.of(device)) if c.op == "exp"]
    found = {c.dtype: run_case(c, device).is_against for c in asked}
    assert {"float32", "float64"} <= found.keys()
    return {dtype for dtype in ("float32", "float64") if found[dtype]}


def test_a_good_kernel_is_found_good(device_with: Any) -> None:
    assert np.prod(SHAPE) > LEAST
    assert failed(device_with(good)) == set()


@pytest.mark.parametrize(
    ("kernel", "dtypes"),
    [
        (swallows_nan, {"float32", "float64"}),
        (is_narrow, {"float64"}),
        (ignores_layout, {"float32", "float64"}),
        (leaves_the_rest, {"float32", "float64"}),
        (keeps(), {"float32", "float64"}),
    ],
    ids=["nan", "narrow", "layout", "rest", "kept"],
)
def test_a_fault_in_large_calls(device_with: Any, kernel: Any, dtypes: set[str]) -> None:
    assert failed(device_with(kernel)) == dtypes
