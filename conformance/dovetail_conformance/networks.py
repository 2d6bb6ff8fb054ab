"""Four small networks and the training that a device is asked for.

They are written for any library with PyTorch's names, so that PyTorch could compute the losses in
``goldens/training.json`` from the same weights and data: both come from NumPy's generator and are
numbers of single precision.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

__all__ = ["NETWORKS", "STEPS", "Training", "golden", "load_weights"]

STEPS = 20
BATCHES = 4
"""Batches of data, taken in turn."""


def _mlp(lib: Any) -> Any:
    nn = lib.nn
    return nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4)
    )


def _cnn(lib: Any) -> Any:
    nn = lib.nn  # no bias before a normalisation: its gradient is rounding, which Adam enlarges
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


def _lstm(lib: Any) -> Any:
    class Cell(lib.nn.Module):  # type: ignore[misc]
        """One layer over a sequence of (N, inputs), by Hochreiter and Schmidhuber (1997)."""

        def __init__(self, inputs: int, hidden: int) -> None:
            super().__init__()
            self.hidden = hidden
            self.from_input = lib.nn.Linear(inputs, 4 * hidden)
            self.from_state = lib.nn.Linear(hidden, 4 * hidden, bias=False)

        def forward(self, sequence: list[Any]) -> list[Any]:
            first = sequence[0]
            state = lib.zeros((len(first), self.hidden), dtype=first.dtype, device=first.device)
            memory, made = state, []
            for x in sequence:
                gates = self.from_input(x) + self.from_state(state)
                enter, forget, new, leave = gates.chunk(4, dim=1)
                memory = lib.sigmoid(forget) * memory + lib.sigmoid(enter) * lib.tanh(new)
                state = lib.sigmoid(leave) * lib.tanh(memory)
                made.append(state)
            return made

    class Lstm(lib.nn.Module):  # type: ignore[misc]
        """Two layers; the prediction of the whole sequence."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = lib.nn.ModuleList([Cell(3, 6), Cell(6, 6)])
            self.head = lib.nn.Linear(6, 2)

        def forward(self, x: Any) -> Any:
            sequence = list(x.unbind(1))
            for layer in self.layers:
                sequence = layer(sequence)
            return self.head(lib.stack(sequence, 1))

    return Lstm()


def _transformer(lib: Any) -> Any:
    nn = lib.nn

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        """Causal self-attention of two heads and a feed-forward part, each with a residual."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv = nn.Linear(width, 3 * width, bias=False)  # softmax takes a key's bias away
            self.project = nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

        def forward(self, x: Any) -> Any:
            batch, length, width = x.shape
            parts = self.qkv(self.norm1(x)).chunk(3, dim=-1)
            q, k, v = (p.reshape(batch, length, 2, width // 2).transpose(1, 2) for p in parts)
            seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.project(seen.transpose(1, 2).reshape(batch, length, width))
            return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))

    class Transformer(nn.Module):  # type: ignore[misc, name-defined]
        """Tokens to scores of the token that follows each: (N, classes, length)."""

        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(11, 8), nn.Embedding(5, 8)
            self.block, self.norm, self.head = Block(8), nn.LayerNorm(8), nn.Linear(8, 11)

        def forward(self, tokens: Any) -> Any:
            places = lib.arange(tokens.shape[1], device=tokens.device)
            x = self.block(self.tokens(tokens) + self.places(places))
            return self.head(self.norm(x)).transpose(1, 2)

    return Transformer()


Data = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class Network:
    """What is trained and how.

    Attributes:
        make: ``make(library)``: the module.
        data: ``data(rng)``: inputs and targets of one batch.
        loss: the name of the loss in ``nn.functional``.
        optimizer: the name of the class in ``optim`` and its options.
    """

    make: Callable[[Any], Any]
    data: Data
    loss: str
    optimizer: tuple[str, dict[str, Any]]


NETWORKS: dict[str, Network] = {
    "mlp": Network(
        _mlp,
        lambda rng: (_normal(rng, 12, 8), rng.integers(0, 4, 12)),
        "cross_entropy",
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ),
    "cnn": Network(
        _cnn,
        lambda rng: (_normal(rng, 4, 2, 8, 8), rng.integers(0, 3, 4)),
        "cross_entropy",
        ("Adam", {"lr": 0.01}),
    ),
    "lstm": Network(
        _lstm,
        lambda rng: (_normal(rng, 3, 4, 3), _normal(rng, 3, 4, 2)),
        "mse_loss",
        ("SGD", {"lr": 0.2, "momentum": 0.8, "nesterov": True, "weight_decay": 0.001}),
    ),
    "transformer": Network(
        _transformer,
        lambda rng: (rng.integers(0, 11, (3, 5)), rng.integers(0, 11, (3, 5))),
        "cross_entropy",
        ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ),
}
"""By name."""


def load_weights(lib: Any, model: Any) -> None:
    """Fill a module's parameters, each by its name and shape: the same in every library."""
    rng = np.random.default_rng(17)
    with lib.no_grad():
        for name, p in sorted(model.named_parameters()):
            shape = tuple(p.shape)
            values = rng.uniform(-1, 1, shape)
            if len(shape) > 1:
                values /= math.sqrt(math.prod(shape[1:]))
            else:  # a bias, or the scale of a normalisation
                values = 0.1 * values + (not name.endswith("bias"))
            p.copy_(lib.tensor(values.astype(np.float32)).to(p.dtype).to(p.device))


class Training:
    """One training on one device, step by step.

    Args:
        lib: PyTorch, or a library with its names.
        name: one of :data:`NETWORKS`.
        dtype: of the weights, as the library has it.
        device: where.

    Attributes:
        losses: of the steps that were done.
    """

    def __init__(self, lib: Any, name: str, dtype: Any, device: Any) -> None:
        network = NETWORKS[name]
        self.lib = lib
        self.model = network.make(lib).to(dtype).to(device)
        load_weights(lib, self.model)
        kind, options = network.optimizer
        self.optimizer = getattr(lib.optim, kind)(self.model.parameters(), **options)
        self.losses: list[float] = []
        self._loss = getattr(lib.nn.functional, network.loss)
        rng = np.random.default_rng(23)
        self._batches = []
        for _ in range(BATCHES):
            pair = [lib.tensor(a) for a in network.data(rng)]
            moved = [x.to(dtype) if x.is_floating_point() else x for x in pair]
            self._batches.append([x.to(device) for x in moved])

    def step(self) -> float:
        """Forward, backward and an update; returns the loss before it."""
        inputs, targets = self._batches[len(self.losses) % BATCHES]
        self.optimizer.zero_grad()
        loss = self._loss(self.model(inputs), targets)
        loss.backward()
        self.optimizer.step()
        self.losses.append(float(loss.item()))
        return self.losses[-1]

    def norm(self) -> float:
        """The Euclidean norm of all parameters, computed on the host."""
        total = 0.0
        for p in self.model.parameters():
            values = p.detach().cpu().to(self.lib.float64).numpy()
            total += float((values**2).sum())
        return math.sqrt(total)


def golden(name: str) -> tuple[list[float], float]:
    """PyTorch's losses in float64, and the norm of the parameters at the end."""
    text = resources.files("dovetail_conformance").joinpath("goldens/training.json").read_text()
    found = json.loads(text)["networks"][name]
    return found["losses"], found["norm"]
