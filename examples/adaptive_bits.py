"""Which bit widths a network needs: it trains in int8, and in int16 where that is too coarse.

    python examples/adaptive_bits.py [--device DEVICE] [--epochs 12] [--seed 0]

A convolutional network learns scikit-learn's digits twice, in float32 and in fixed point whose bit
widths adapt themselves (Zhang et al., "Fixed-Point Back-Propagation Training", CVPR 2020). In the
end come both accuracies, the bits of each layer over the steps, and the row that such networks
have in tables.
"""

from __future__ import annotations

import argparse

import numpy as np

import dovetail as torch
from dovetail import nn
from dovetail.demo.data import Digits, load_digits

BATCH = 64


class Net(nn.Module):
    """(N, 1, 8, 8) grey pixels from 0 to 1 -> (N, 10) logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(32 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.conv2(self.conv1(x).relu()).relu())
        return self.fc2(self.fc1(x.flatten(1)).relu())


def pixels(images: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.tensor(images[:, None] / 16, dtype=torch.float32, device=device)


def train(model: nn.Module, digits: Digits, device: torch.device, epochs: int, seed: int) -> float:
    """The share of right answers on the images that were held out, after training."""
    x, y = pixels(digits.train_images, device), torch.tensor(digits.train_labels, device=device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=order).to(device).split(BATCH):
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        answers = model(pixels(digits.test_images, device)).argmax(1).cpu().numpy()
    return float((answers == digits.test_labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    device, digits = torch.device(options.device), load_digits()
    training = {"device": device, "epochs": options.epochs, "seed": options.seed}

    torch.manual_seed(options.seed)
    model = Net()
    adaptive = torch.fixed_point.prepare(model)  # a copy, which begins with the same weights
    float32_accuracy = train(model.to(device), digits, **training)
    adaptive_accuracy = train(adaptive.to(device), digits, **training)

    report = torch.fixed_point.report(adaptive)
    print(report.table("Net", float32=float32_accuracy, adaptive=adaptive_accuracy))
    print()
    print(report)


if __name__ == "__main__":
    main()
