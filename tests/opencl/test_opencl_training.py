"""Training steps of whole models: what they launch, and that they learn what the host learns."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import dovetail as dt

_PATH = Path(__file__).parents[2] / "benchmarks" / "training_models.py"
_spec = importlib.util.spec_from_file_location("training_models", _PATH)
assert _spec is not None
assert _spec.loader is not None
_models = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_models)

MOST = {"MLP": 50, "LeNet": 110, "ResNet-18": 700, "GPT": 200, "LSTM cell": 480}
"""Launches of one step at most: more, and something is no longer fused."""

FUSED = {
    "MLP": {"cross_entropy", "cross_entropy_backward"},
    "LeNet": {"max_pool", "max_pool_grad", "cross_entropy", "cross_entropy_backward"},
    "ResNet-18": {"batch_norm_train", "batch_norm_train_backward", "cross_entropy"},
    "GPT": {
        "layer_norm",
        "layer_norm_backward",
        "scaled_dot_product_attention",
        "scaled_dot_product_attention_backward",
        "cross_entropy",
        "embedding_backward",
    },
    "LSTM cell": {"cross_entropy", "cross_entropy_backward"},
}


def _make(name: str, device: str) -> Any:
    options = {"batch": 2} if name == "ResNet-18" else {}
    return _models.MODELS[name](dt, device, **options)


@pytest.mark.parametrize("name", list(_models.MODELS))
def test_a_step_is_all_launches_and_learns_as_on_the_host(queue: Any, name: str) -> None:
    step, host = _make(name, "opencl:0"), _make(name, "cpu")
    losses = [step().item() for _ in range(2)]
    before = queue.launches
    with dt.trace() as events:
        losses.append(step().item())
    launches = queue.launches - before
    assert 0 < launches <= MOST[name]
    served = Counter(e.served_by for e in events)
    assert served["host"] == 0, [e.op for e in events if e.served_by == "host"]
    assert FUSED[name] <= {e.op for e in events if e.served_by == "fused"}
    # A step of SGD on eight numbers per channel doubles what rounding began with.
    wanted = [host().item() for _ in range(3)]
    assert losses == pytest.approx(wanted, rel=2e-2 if name == "ResNet-18" else 2e-4)
