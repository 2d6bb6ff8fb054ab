"""A program that uses types strictly: mypy accepts it as it stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dovetail as dt
import dovetail.nn.functional as F
from dovetail import nn, optim
from dovetail.utils.data import DataLoader, Dataset, TensorDataset, random_split


class Net(nn.Module):
    """Two layers and a buffer."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(width * 16, 32), nn.ReLU(), nn.Dropout(0.1)
        )
        self.last = nn.Linear(32, classes)
        self.scale = nn.Parameter(dt.ones(1))
        self.register_buffer("seen", dt.zeros((), dtype=dt.int64))

    def forward(self, x: dt.Tensor) -> dt.Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        x = F.adaptive_avg_pool2d(x, (4, 4)) * self.scale
        logits: dt.Tensor = self.last(self.head(x))
        return logits


class Squares(Dataset[tuple[dt.Tensor, dt.Tensor]]):
    """Random pictures."""

    def __init__(self, n: int) -> None:
        self.pictures = dt.randn(n, 1, 8, 8)
        self.labels = dt.randint(0, 10, (n,))

    def __len__(self) -> int:
        return self.pictures.size(0)

    def __getitem__(self, index: int) -> tuple[dt.Tensor, dt.Tensor]:
        return self.pictures[index], self.labels[index]


class Double(dt.autograd.Function):
    """An operation with a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, x: dt.Tensor) -> dt.Tensor:
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: dt.Tensor) -> dt.Tensor:
        return g * 2


def accuracy(model: nn.Module, data: DataLoader[tuple[dt.Tensor, dt.Tensor]]) -> float:
    """The part of right answers."""
    model.eval()
    right, count = 0.0, 0
    with dt.no_grad():
        for pictures, labels in data:
            answers: dt.Tensor = model(pictures)
            right += (answers.argmax(dim=1) == labels).sum().item()
            count += len(labels)
    return right / count


@dt.no_grad()
def largest(x: dt.Tensor, dim: int = -1) -> tuple[dt.Tensor, dt.Tensor]:
    """Values and their places."""
    values, places = x.max(dim)
    found = dt.topk(x, 2, dim=dim)
    return values + found.values.select(dim, 0), places + found.indices.select(dim, 0)


def train(epochs: int, device: str = "cpu") -> Iterator[float]:
    """Yield the loss of every epoch."""
    dt.manual_seed(0)
    train_set, test_set = random_split(Squares(40), [32, 8])
    loader = DataLoader(train_set, batch_size=8, shuffle=True)
    model = Net(4, 10).to(device)
    optimizer = optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(epochs):
        model.train()
        total = 0.0
        for pictures, labels in loader:
            optimizer.zero_grad()
            loss: dt.Tensor = loss_of(model(pictures.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item()
        yield total
    assert 0 <= accuracy(model, DataLoader(test_set, batch_size=4)) <= 1
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        assert gradient is not None, name
        assert gradient.shape == parameter.shape


def operators() -> dt.Tensor:
    """Operators, indexing and conversions."""
    x = dt.arange(12, dtype=dt.float32).reshape(3, 4)
    y = -x[0] + 2 * x[1:, ::2].sum(dim=0, keepdim=True).mean() - x[x > 3].std()
    y = y / 3 @ x.T if x.ndim == 2 else abs(y) ** 2
    x[0, 1] = 5
    x[..., -1] += 1
    a, b = x.split(2, dim=1)
    rows = [row.tolist() for row in dt.stack([a, b])]
    z = dt.where(x > 0, x, 0.0).clamp_(0, 1).to(dt.float64)
    w = dt.einsum("ij,kj->ik", z, z).div(2, rounding_mode="floor")
    q, r = Double.apply(w), dt.cat([w, w], dim=1)
    n: int = r.size(0) + r.shape[1] + int(w.sum()) + len(rows)
    flags: dt.Tensor = (x == 1) & ~(x < 0) | (x != 2)
    data = DataLoader(TensorDataset(x, flags), batch_size=2)
    for pair in data:
        n += len(pair)
    dt.nn.init.xavier_uniform_(x)
    return dt.zeros(n, device=dt.device("cpu")).add(1.0, alpha=2).type_as(q) + y.sum() + r.norm()


if __name__ == "__main__":
    print([*train(2)], operators(), largest(dt.randn(3, 4)))
