"""The network of the demo: three convolutions, then one linear layer."""

from __future__ import annotations

import dovetail as dt
from dovetail import nn

__all__ = ["Standardise", "digit_network"]

CHANNELS = (16, 32, 64)


def digit_network(
    image_shape: tuple[int, int], classes: int, mean: float, std: float
) -> nn.Sequential:
    """A small CNN for grey images: (N, 1, H, W) uint8 in, (N, classes) logits out.

    Args:
        image_shape: (H, W).
        classes: number of logits.
        mean, std: of the training images' pixels; the network standardises its input itself, so
            that the weights file holds all that is needed to use it.
    """
    height, width = image_shape
    layers: list[nn.Module] = [Standardise(mean, std)]
    channels = 1
    for index, wider in enumerate(CHANNELS):
        layers += [
            nn.Conv2d(channels, wider, kernel_size=3, padding=1),
            nn.BatchNorm2d(wider),
            nn.ReLU(),
        ]
        channels = wider
        # Tiny images keep their full size for two convolutions: 8 x 8 has little to give away.
        if index == 1 or (index == 0 and min(height, width) >= 16):
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
    layers += [nn.Dropout(0.4), nn.Flatten(), nn.Linear(channels * height * width, classes)]
    return nn.Sequential(*layers)


class Standardise(nn.Module):
    """``(x - mean) / std`` in float32, with both numbers kept in the state dict."""

    mean: dt.Tensor
    std: dt.Tensor

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", dt.tensor(mean, dtype=dt.float32))
        self.register_buffer("std", dt.tensor(std, dtype=dt.float32))

    def forward(self, images: dt.Tensor) -> dt.Tensor:
        """Standardise ``images``, of any shape and dtype."""
        standard: dt.Tensor = (images.to(dt.float32) - self.mean) / self.std
        return standard
