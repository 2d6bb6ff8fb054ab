"""Three ways to make a model's numbers integers, on scikit-learn's handwritten digits.

    pip install scikit-learn
    python examples/quantization.py [--device NAME] [--epochs N]

A small convolutional network is trained in floats. Then its weights become 8-bit integers

- dynamically: inputs of each layer are quantized on their own range in each call;
- statically: ranges are found on a few batches, convolution and ReLU are one;
- after training with fake quantization, which gets the network used to being rounded.

What is printed: the accuracy on digits that training has not seen, and the size of the state dict.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from typing import Any

import dovetail as dt
from dovetail import nn
from dovetail.ao import quantization as q

BATCH = 64
FUSED = [["conv1", "bn1", "relu1"], ["conv2", "bn2", "relu2"], ["fc1", "relu3"]]


class Network(nn.Module):
    """(N, 1, 8, 8) -> (N, 10); the stubs say where numbers become integers and back."""

    def __init__(self) -> None:
        super().__init__()
        self.quant = q.QuantStub()
        self.conv1, self.bn1, self.relu1 = (
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
        )
        self.conv2, self.bn2, self.relu2 = (
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        )
        self.pool = nn.MaxPool2d(2)
        self.fc1, self.relu3 = nn.Linear(128, 64), nn.ReLU()
        self.fc2 = nn.Linear(64, 10)
        self.dequant = q.DeQuantStub()

    def forward(self, x: Any) -> Any:
        x = self.quant(x)
        x = self.pool(self.relu1(self.bn1(self.conv1(x))))
        x = self.pool(self.relu2(self.bn2(self.conv2(x))))
        x = self.relu3(self.fc1(x.flatten(1)))
        return self.dequant(self.fc2(x))


def digits(device: str) -> tuple[Any, Any, Any, Any]:
    """Images and classes to train with, and others to test with."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    x = dt.tensor(images.reshape(-1, 1, 8, 8) / 16, dtype=dt.float32)
    y = dt.tensor(classes)
    order = dt.randperm(len(y), generator=dt.Generator().manual_seed(0))
    x, y = x[order].to(device), y[order].to(device)
    return x[:1347], y[:1347], x[1347:], y[1347:]


def train(model: Any, x: Any, y: Any, epochs: int, lr: float) -> None:
    """Adam on the cross-entropy."""
    model.train()
    optimizer = dt.optim.Adam(model.parameters(), lr=lr)
    for _ in range(epochs):
        for start in range(0, len(y), BATCH):
            part = slice(start, start + BATCH)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[part]), y[part]).backward()
            optimizer.step()
    model.eval()


def accuracy(model: Any, x: Any, y: Any) -> float:
    """The share of images whose class is found."""
    with dt.no_grad():
        found = dt.cat([model(x[i : i + 256]).argmax(1) for i in range(0, len(y), 256)])
    return (found == y).float().mean().item()


def size(model: Any) -> int:
    """Bytes of the state dict in a file."""
    file = io.BytesIO()
    dt.save(model.state_dict(), file)
    return len(file.getvalue())


def run(device: str = "cpu", epochs: int = 12) -> dict[str, tuple[float, int]]:
    """Train and quantize; accuracy and bytes of each form."""
    dt.manual_seed(0)
    x, y, test_x, test_y = digits(device)
    model = Network().to(device)
    train(model, x, y, epochs, 2e-3)
    forms = {"float32": model}

    forms["dynamic"] = q.quantize_dynamic(model, {nn.Conv2d, nn.Linear}, dtype=dt.qint8)

    fused = q.fuse_modules(model, FUSED)
    fused.qconfig = q.get_default_qconfig()
    watched = q.prepare(fused)
    for start in range(0, 512, BATCH):
        watched(x[start : start + BATCH])
    forms["static"] = q.convert(watched)

    trained = q.fuse_modules_qat(model.train(), FUSED)
    trained.qconfig = q.get_default_qat_qconfig()
    trained = q.prepare_qat(trained)
    train(trained, x, y, max(1, epochs // 4), 5e-4)
    forms["trained"] = q.convert(trained)
    model.eval()
    return {name: (accuracy(form, test_x, test_y), size(form)) for name, form in forms.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="quantize a network that reads digits")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args(argv)
    made = run(given.device, given.epochs)
    whole = made["float32"][1]
    print(f"{'form':<8} {'accuracy':>8} {'bytes':>8} {'smaller':>8}")
    for name, (share, count) in made.items():
        print(f"{name:<8} {share:>8.2%} {count:>8} {whole / count:>7.1f}x")


if __name__ == "__main__":
    main()
