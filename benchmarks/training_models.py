"""Small models for timing a training step, written once for dovetail and for PyTorch.

Each entry of :data:`MODELS` is ``make(torch, device)``; it returns ``step()``, which runs one
training step (forward, loss, backward, optimizer) and returns the loss as a tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["MODELS"]

Step = Callable[[], Any]


def _step(torch: Any, device: str, model: Any, optimizer: str, x: Any, y: Any, loss: Any) -> Step:
    model = model.to(device)
    x, y = x.to(device), y.to(device)
    options = {"lr": 0.01, "momentum": 0.9} if optimizer == "SGD" else {"lr": 1e-3}
    rule = getattr(torch.optim, optimizer)(model.parameters(), **options)

    def step() -> Any:
        rule.zero_grad()
        value = loss(model(x), y)
        value.backward()
        rule.step()
        return value

    return step


def _images(torch: Any, *shape: int) -> tuple[Any, Any]:
    torch.manual_seed(0)
    return torch.randn(*shape), torch.arange(shape[0]) % 10


def mlp(torch: Any, device: str) -> Step:
    """784-256-128-10 with ReLU, batch 64, SGD with momentum."""
    x, y = _images(torch, 64, 784)
    nn = torch.nn
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    return _step(torch, device, model, "SGD", x, y, nn.functional.cross_entropy)


def lenet(torch: Any, device: str) -> Step:
    """LeNet-5 with max pooling, (64, 1, 28, 28), Adam."""
    x, y = _images(torch, 64, 1, 28, 28)
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    return _step(torch, device, model, "Adam", x, y, nn.functional.cross_entropy)


def _resnet(torch: Any) -> Any:
    nn = torch.nn

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, given: int, made: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(given, made, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(made)
            self.conv2 = nn.Conv2d(made, made, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(made)
            self.relu = nn.ReLU()
            self.beside = nn.Sequential()
            if stride != 1 or given != made:
                self.beside = nn.Sequential(
                    nn.Conv2d(given, made, 1, stride, bias=False), nn.BatchNorm2d(made)
                )

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + self.beside(x))

    layers, given = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for made, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(given, made, stride), Block(made, made, 1)]
        given = made
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def resnet18(torch: Any, device: str, batch: int = 8) -> Step:
    """ResNet-18 for 32 x 32 images (no pooling in its stem), batch 8, SGD with momentum."""
    x, y = _images(torch, batch, 3, 32, 32)
    return _step(torch, device, _resnet(torch), "SGD", x, y, torch.nn.functional.cross_entropy)


def gpt(
    torch: Any, device: str, layers: int = 2, width: int = 128, heads: int = 4, length: int = 64,
    batch: int = 8, words: int = 256,
) -> Step:  # fmt: skip
    """Two causal transformer blocks of width 128 on 8 sequences of 64, AdamW."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )

        def forward(self, x: Any) -> Any:
            n, t, _ = x.shape
            parts = self.qkv(self.norm1(x)).reshape(n, t, 3, heads, width // heads)
            q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(n, t, width))
            return x + self.mlp(self.norm2(x))

    class Model(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
            self.blocks = nn.Sequential(*[Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words)

        def forward(self, x: Any) -> Any:
            x = self.words(x) + self.places.weight
            return self.head(self.norm(self.blocks(x))).flatten(0, 1)

    torch.manual_seed(0)
    text = torch.randint(0, words, (batch, length + 1))
    x, y = text[:, :-1].contiguous(), text[:, 1:].reshape(-1)
    return _step(torch, device, Model(), "AdamW", x, y, functional.cross_entropy)


def lstm(
    torch: Any, device: str, layers: int = 2, width: int = 200, length: int = 35, batch: int = 20,
    words: int = 1000,
) -> Step:  # fmt: skip
    """A word language model: 2 LSTM layers of 200 on 20 sequences of 35, SGD with momentum."""
    nn = torch.nn

    class Model(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(words, width)
            self.body = nn.LSTM(width, width, layers)
            self.head = nn.Linear(width, words)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(self.words(x))[0]).flatten(0, 1)

    torch.manual_seed(0)
    text = torch.randint(0, words, (length + 1, batch))
    x, y = text[:-1].contiguous(), text[1:].reshape(-1)
    return _step(torch, device, Model(), "SGD", x, y, nn.functional.cross_entropy)


def _cell(torch: Any, device: str, make: Any, width: int, length: int, batch: int) -> Step:
    """A cell over the steps of sequences, Adam; ``make(nn)`` is the cell."""
    nn = torch.nn

    class Model(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.cell = make(nn)
            self.head = nn.Linear(width, 10)

        def forward(self, x: Any) -> Any:
            state = (x.new_zeros(batch, width),) * 2
            for at in range(length):
                state = self.cell(x[:, at], state)
            return self.head(state[0])

    torch.manual_seed(0)
    x, y = torch.randn(batch, length, 64), torch.arange(batch) % 10
    return _step(torch, device, Model(), "Adam", x, y, nn.functional.cross_entropy)


def lstm_cell(torch: Any, device: str, width: int = 128, length: int = 8, batch: int = 32) -> Step:
    """``nn.LSTMCell`` of width 128 over 8 steps, batch 32, Adam."""
    return _cell(torch, device, lambda nn: nn.LSTMCell(64, width), width, length, batch)


def lstm_in_operators(
    torch: Any, device: str, width: int = 128, length: int = 8, batch: int = 32
) -> Step:
    """The same cell written out in operators."""

    def make(nn: Any) -> Any:
        class Cell(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.given, self.kept = nn.Linear(64, 4 * width), nn.Linear(width, 4 * width)

            def forward(self, x: Any, state: Any) -> Any:
                h, c = state
                i, f, g, o = (self.given(x) + self.kept(h)).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                return o.sigmoid() * c.tanh(), c

        return Cell()

    return _cell(torch, device, make, width, length, batch)


MODELS: dict[str, Callable[[Any, str], Step]] = {
    "MLP": mlp, "LeNet": lenet, "ResNet-18": resnet18, "GPT": gpt, "LSTM": lstm,
    "LSTMCell": lstm_cell, "LSTM cell": lstm_in_operators,
}  # fmt: skip
