"""The conformance suite's golden gradients and losses are what PyTorch computes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dovetail_conformance.networks import NETWORKS

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

CONFORMANCE = Path(__file__).parents[2] / "conformance"
GOLDENS = CONFORMANCE / "dovetail_conformance" / "goldens"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("make_goldens", CONFORMANCE / "make_goldens.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def committed(name: str) -> Any:
    return json.loads((GOLDENS / f"{name}.json").read_text(encoding="utf-8"))


def numbers(value: Any) -> np.ndarray:
    return np.array(value).astype(np.float64)


def test_gradients_at_kinks(script: Any) -> None:
    kept, made = committed("kinks")["gradients"], script.kinks()["gradients"]
    assert set(kept) == set(made)
    for name, grads in made.items():
        for mine, theirs in zip(kept[name], grads, strict=True):
            assert (mine is None) == (theirs is None), name
            if theirs is not None:
                np.testing.assert_allclose(numbers(mine), numbers(theirs), rtol=1e-12, err_msg=name)


def test_losses(script: Any) -> None:
    kept, made = committed("training")["networks"], script.training()["networks"]
    assert set(kept) == set(made) == set(NETWORKS)
    for name, found in made.items():
        assert len(kept[name]["losses"]) == 20
        np.testing.assert_allclose(kept[name]["losses"], found["losses"], rtol=1e-11, err_msg=name)
        assert kept[name]["norm"] == pytest.approx(found["norm"], rel=1e-10)
        assert kept[name]["losses"][-1] < kept[name]["losses"][0], f"{name} learns nothing"


def test_the_version_is_the_one_that_is_here() -> None:
    version = torch.__version__.split("+")[0]
    for name in ("kinks", "training"):
        assert committed(name)["torch"] == version
