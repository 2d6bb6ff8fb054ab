"""The training loop: every epoch begins from a stated random state, so any can be done again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

import dovetail as dt
from dovetail.demo.data import CLASSES, Digits, shifted
from dovetail.demo.network import digit_network
from dovetail.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from dovetail.cli.progress import Progress

__all__ = ["Evaluation", "Run"]

BATCH = 64
LEARNING_RATE = 4e-3
DECAY = 0.8
WEIGHT_DECAY = 1e-2
SHIFTED_SHARE = 0.5


class Evaluation:
    """What the network says about the held-out images.

    Attributes:
        loss: mean cross entropy.
        predictions: int64, (N,).
        confidences: float32, (N,), the probability given to each prediction.
        accuracy: the share of right predictions, 0 to 1.
    """

    def __init__(self, loss: float, probabilities: np.ndarray, labels: np.ndarray) -> None:
        self.loss = loss
        self.predictions = probabilities.argmax(axis=1)
        self.confidences = probabilities.max(axis=1)
        self.accuracy = float((self.predictions == labels).mean())


class Run:
    """A network, its optimiser and its data on one device.

    Everything random in epoch ``e`` is drawn from generators set from ``(seed, e)`` when it begins.
    So an epoch depends on the state at the end of the one before and on nothing else, and the
    learning rate depends on ``e`` but not on how many epochs are asked for: a run of 5 epochs that
    is continued to 12 ends like one of 12.

    Args:
        digits: the images.
        device: where the network lives and works.
        seed: of the first weights, the order of the images, their shifts and dropout.
    """

    def __init__(self, digits: Digits, device: dt.device, seed: int) -> None:
        self.digits = digits
        self.device = device
        self.seed = seed
        dt.manual_seed(seed)
        # The first weights are drawn on the cpu: they are the same for every device.
        mean, std = float(digits.train_images.mean()), float(digits.train_images.std())
        self.model = digit_network(digits.image_shape, CLASSES, mean, std or 1.0).to(device)
        self.optimizer = dt.optim.AdamW(
            self.model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        self.loss = dt.nn.CrossEntropyLoss()
        self._host = dt.Generator()
        self._train = DataLoader(
            _dataset(digits.train_images, digits.train_labels),
            batch_size=BATCH,
            shuffle=True,
            generator=self._host,
        )
        self._test = DataLoader(_dataset(digits.test_images, digits.test_labels), batch_size=256)

    def parameter_count(self) -> int:
        """Numbers that training changes."""
        return sum(p.numel() for p in self.model.parameters())

    def train_epoch(self, epoch: int, bar: Progress) -> dict[str, Any]:
        """Train on every image once, then try the network on the held-out ones.

        Args:
            epoch: counted from 0.
            bar: told of every batch by ``bar.update(images)``.

        Returns:
            One line of the log, with ``epoch`` counted from 1.
        """
        # An even seed and an odd one: shuffling on the host and dropout on the device do not draw
        # the same numbers.
        stream = self.seed * 1_000_003 + 2 * epoch
        self._host.manual_seed(stream)
        dt.manual_seed(stream + 1)
        rate = LEARNING_RATE * DECAY**epoch
        for group in self.optimizer.param_groups:
            group["lr"] = rate

        self.model.train()
        total = dt.zeros((), device=self.device)
        start = time.perf_counter()
        for images, labels in self._train:
            if dt.rand((), generator=self._host).item() < SHIFTED_SHARE:
                images = shifted(images, self._host)
            images, labels = images.to(self.device), labels.to(self.device)
            loss = self.loss(self.model(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            # Summed on the device: reading each loss would make it wait for every batch.
            total += loss.detach() * len(labels)
            bar.update(len(labels))
        mean = total.item() / len(self.digits.train_labels)
        trained = time.perf_counter()
        result = self.evaluate()
        return {
            "epoch": epoch + 1,
            "learning_rate": rate,
            "loss": mean,
            "test_loss": result.loss,
            "accuracy": result.accuracy,
            "samples_per_second": round(len(self.digits.train_labels) / (trained - start), 1),
            "train_seconds": trained - start,
            "seconds": time.perf_counter() - start,
        }

    def evaluate(self) -> Evaluation:
        """Try the network, in evaluation mode, on the held-out images."""
        self.model.eval()
        total = 0.0
        probabilities = []
        with dt.no_grad():
            for images, labels in self._test:
                logits = self.model(images.to(self.device))
                loss = self.loss(logits, labels.to(self.device))
                total += loss.item() * len(labels)
                probabilities.append(logits.softmax(dim=1).cpu().numpy())
        labels = self.digits.test_labels
        return Evaluation(total / len(labels), np.concatenate(probabilities), labels)


def _dataset(images: np.ndarray, labels: np.ndarray) -> TensorDataset:
    # Copies: the arrays may be views of a file's bytes, which nothing may write to.
    return TensorDataset(
        dt.from_numpy(images[:, None].copy()), dt.from_numpy(labels.astype(np.int64))
    )
