"""Training steps of whole models: what they launch, and that they learn what the host learns."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dovetail as dt
from dovetail import nn

_PATH = Path(__file__).parents[2] / "benchmarks" / "training_models.py"
_spec = importlib.util.spec_from_file_location("training_models", _PATH)
assert _spec is not None
assert _spec.loader is not None
_models = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_models)

MOST = {
    "MLP": 50, "LeNet": 110, "ResNet-18": 700, "GPT": 200, "LSTM": 70, "LSTMCell": 130,
    "LSTM cell": 480,
}  # fmt: skip
"""Launches of one step at most: more, and something is no longer fused."""

MOST_ON_GPU = MOST | {"LSTM": 220, "LSTMCell": 220}
"""A launch for each of a layer's steps, three for a product."""

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
    "LSTM": {"lstm_layer", "lstm_layer_backward", "cross_entropy", "embedding_backward"},
    "LSTMCell": {"fused_lstm_cell", "fused_lstm_cell_backward", "cross_entropy"},
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
    assert 0 < launches <= (MOST if queue.is_cpu else MOST_ON_GPU)[name]
    served = Counter(e.served_by for e in events)
    assert served["host"] == 0, [e.op for e in events if e.served_by == "host"]
    assert FUSED[name] <= {e.op for e in events if e.served_by == "fused"}
    # A step of SGD on eight numbers per channel doubles what rounding began with.
    wanted = [host().item() for _ in range(3)]
    assert losses == pytest.approx(wanted, rel=2e-2 if name == "ResNet-18" else 2e-4)


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.LSTM(12, 16, 2, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x)[0][:, -1])


class _Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
        self.first = nn.Linear(12, 16)
        self.body = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(self.first(x)).mean(1))


def _trained(kind: type[nn.Module], device: str) -> Callable[[], Any]:
    """Steps of Adam on eight sequences of six."""
    dt.manual_seed(0)
    model = kind().to(device)
    optimizer = dt.optim.Adam(model.parameters(), lr=1e-2)
    x, y = dt.randn(8, 6, 12).to(device), (dt.arange(8) % 4).to(device)

    def step() -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _resnet(kind: Any, device: str) -> Callable[[], Any]:
    return _make("ResNet-18", device)  # type: ignore[no-any-return]


_PRODUCTS = ("linear", "linear_relu", "addmm", "mm", "bmm")
LABELS = {"copy_to": "copy", **dict.fromkeys(_PRODUCTS, "matmul")}
"""Operators that are queued under another's name."""


@pytest.mark.parametrize(
    ("make", "kind"),
    [(_trained, _Recurrent), (_trained, _Transformer), (_resnet, None)],
    ids=["LSTM", "transformer", "ResNet-18"],
)
def test_every_operator_of_a_step_is_kernels_that_the_driver_was_given(
    queue: Any, monkeypatch: pytest.MonkeyPatch, make: Any, kind: Any
) -> None:
    """The trace says who serves a call; the driver's queue says that it really ran there."""
    monkeypatch.setenv("DOVETAIL_FALLBACK", "error")
    step, host = make(kind, "opencl:0"), make(kind, "cpu")
    step(), host()
    queued: Counter[str] = Counter()
    monkeypatch.setattr(queue, "watch", lambda label, event, buffers: queued.update([label]))
    with dt.trace() as events:
        loss = step().item()
    assert not [e.op for e in events if e.served_by == "host"]
    # Adam counts its steps on the host, as PyTorch's does.
    assert {e.op for e in events if e.device != "opencl:0"} <= {"add"}
    ours = [e for e in events if e.device == "opencl:0" and e.served_by in ("kernel", "fused")]
    missing = {e.op for e in ours if not queued[LABELS.get(e.op, e.op)]}
    assert not missing
    assert queued.total() >= len(ours)
    assert loss == pytest.approx(host().item(), rel=2e-2 if kind is None else 1e-5)
