"""The networks whose activations are compared: VGG19's convolutions, and a small one of its kind.

Source: K. Simonyan and A. Zisserman, "Very deep convolutional networks for large-scale image
recognition", 2015 (configuration E). The keys of the weights are torchvision's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import nn
from dovetail.style import StyleError
from dovetail.style.losses import (
    CONTENT_LAYERS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    STYLE_LAYERS,
    Normalization,
)

__all__ = ["FOR_SMALL", "FOR_VGG19", "SMALL", "VGG19", "features", "load_weights", "trained"]

VGG19 = (
    *(64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M"),
    *(512, 512, 512, 512, "M", 512, 512, 512, 512, "M"),
)
"""Channels of the convolutions, and M for a maximum over 2 by 2, A for a mean."""
SMALL = (16, 16, "M", 32, 32, "M", 64, 64, "M")
"""The same with few channels, for a network that is trained in the time of a coffee."""

FOR_VGG19: dict[str, Any] = {
    "style_weight": 1e6,
    "smooth_weight": 0.0,
    "content_layers": CONTENT_LAYERS,
    "style_layers": STYLE_LAYERS,
}
"""What :func:`~dovetail.style.transfer.run_style_transfer` takes for VGG19."""
FOR_SMALL: dict[str, Any] = {
    "style_weight": 1e3,
    "smooth_weight": 50.0,
    "content_layers": ("relu_3",),
    "style_layers": ("relu_1", "relu_2", "relu_3", "relu_4", "relu_5"),
}
"""The same for what :func:`trained` gives. Behind the ReLUs: in a network that has learned so
little some filters fire hardly ever, and before their ReLU their large negative numbers would be
all that counts."""


def features(plan: Sequence[int | str], padding_mode: str = "zeros") -> Any:
    """The convolutions, ReLUs and poolings of a plan, named by numbers as torchvision's are."""
    layers: list[Any] = []
    channels = 3
    for step in plan:
        if step == "M":
            layers.append(nn.MaxPool2d(2, 2))
        elif step == "A":
            layers.append(nn.AvgPool2d(2, 2))
        else:
            conv = nn.Conv2d(channels, int(step), 3, padding=1, padding_mode=padding_mode)
            layers += [conv, nn.ReLU()]
            channels = int(step)
    return nn.Sequential(*layers)


def load_weights(network: Any, path: Path) -> None:
    """Fill ``features(VGG19)`` from a checkpoint with torchvision's keys, whole or features alone.

    Args:
        path: a ``.pth`` or ``.safetensors`` file.

    Raises:
        StyleError: there is no such file, it is damaged, or weights are missing or of other shapes.
    """
    try:
        found = dt.load(path, map_location="cpu")
    except FileNotFoundError as error:
        raise StyleError(f"there is no file of weights {str(path)!r}") from error
    except Exception as error:
        raise StyleError(f"{str(path)!r} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise StyleError(f"{str(path)!r} holds {type(found).__name__}, not weights by name")
    wanted = network.state_dict()
    given = {k.removeprefix("features."): v for k, v in found.items() if isinstance(v, dt.Tensor)}
    missing = [k for k in wanted if k not in given]
    if missing:
        raise StyleError(
            f"{str(path)!r} lacks {len(missing)} of VGG19's {len(wanted)} weights, such as "
            f"'features.{missing[0]}'; torchvision's vgg19 checkpoint has them"
        )
    for key, mine in wanted.items():
        if tuple(given[key].shape) != tuple(mine.shape):
            raise StyleError(
                f"{str(path)!r}: 'features.{key}' must have shape {tuple(mine.shape)}, has "
                f"{tuple(given[key].shape)}"
            )
    network.load_state_dict({key: given[key] for key in wanted})


# ------------------------------------------------- a network that trains itself

QUIET = 0.01
"""A filter whose mean is below this part of its layer's is not made louder than that."""


def _views(pictures: Sequence[np.ndarray], count: int, rng: np.random.Generator) -> Any:
    """Square cuts of the pictures, turned; the class is the picture and how it was turned."""
    side, x, y = 32, [], []
    for _ in range(count):
        which, turns = int(rng.integers(len(pictures))), int(rng.integers(4))
        picture = pictures[which][0]
        room = np.array(picture.shape[1:]) - side
        top, left = (int(rng.integers(n + 1)) for n in room)
        cut = picture[:, top : top + side, left : left + side]
        x.append(np.rot90(cut, turns, (1, 2)))
        y.append(4 * which + turns)
    return np.stack(x).astype(np.float32), np.array(y)


def trained(
    pictures: Sequence[np.ndarray], device: Any, steps: int = 150, seed: int = 0,
    tell: Callable[[int, float, float], None] | None = None,
) -> Any:  # fmt: skip
    """A small network that has learned which cut is of which picture, and how it is turned.

    Nothing but the pictures is needed. What it finds out are edges, colours and textures, of which
    a style is made; it is no match for a network trained on a million photographs.

    Args:
        pictures: (1, 3, height, width) each, of 32 pixels or more.
        steps: of 32 cuts each.
        tell: called with step, loss and the share that was right.

    Source: S. Gidaris et al., "Unsupervised representation learning by predicting image
    rotations", 2018.
    """
    dt.manual_seed(seed)
    rng = np.random.default_rng(seed)
    # What paints must not leave traces of its own: a maximum hands its gradient to one pixel of
    # four, which is a checkerboard, and zeros around a picture are a frame in it.
    network = features(["A" if step == "M" else step for step in SMALL], "reflect")
    normal = Normalization(IMAGENET_MEAN, IMAGENET_STD).to(device)
    classifier = nn.Sequential(
        network, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 4 * len(pictures))
    )
    for layer in network:  # on the host, so that every device begins with the same numbers
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    classifier.to(device)
    optimizer = dt.optim.Adam(classifier.parameters(), lr=2e-3)
    for step in range(steps):
        x, y = (dt.tensor(a, device=device) for a in _views(pictures, 32, rng))
        optimizer.zero_grad()
        scores = classifier(normal(x))
        loss = nn.functional.cross_entropy(scores, y)
        loss.backward()
        optimizer.step()
        if tell is not None:
            right = scores.detach().argmax(1).eq(y).to(dt.float32).mean()
            tell(step + 1, loss.item(), right.item())
    with dt.no_grad():
        _even_out(network, normal(dt.tensor(np.concatenate(pictures), device=device)))
    return network


def _even_out(network: Any, x: Any) -> None:
    """Scale each filter so that the mean of what its ReLU lets through is 1 (as Gatys did).

    ReLU and mean keep scales, so the network finds the same as before; a style loss then hears
    each filter alike. One that fires hardly ever is left quiet.
    """
    scale: Any = None
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            if scale is not None:
                layer.weight.mul_(scale.reshape(1, -1, 1, 1))  # what made its input smaller
            means = layer(x).relu().mean((0, 2, 3))
            scale = means.maximum(means.mean() * QUIET)
            layer.weight.div_(scale.reshape(-1, 1, 1, 1))
            layer.bias.div_(scale)
        x = layer(x)
