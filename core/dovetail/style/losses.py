"""How far a picture is from the content of one and the style of another.

Content is what the activations of a deep layer are; style is which of them occur together. Source:
L. Gatys, A. Ecker and M. Bethge, "Image style transfer using convolutional neural networks", CVPR
2016; each loss is a mean here, as in the course, so that a picture's size does not matter.
"""

from __future__ import annotations

from typing import Any

import dovetail as dt
from dovetail import nn

__all__ = [
    "CONTENT_LAYERS", "IMAGENET_MEAN", "IMAGENET_STD", "STYLE_LAYERS", "ContentLoss",
    "Normalization", "StyleLoss", "get_style_model_and_losses", "gram_matrix", "outside",
    "roughness",
]  # fmt: skip

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CONTENT_LAYERS = ("conv_4",)
STYLE_LAYERS = ("conv_1", "conv_2", "conv_3", "conv_4", "conv_5")


class ContentLoss(nn.Module):
    """Hands its input on and keeps in ``loss`` how far it is from ``target``."""

    def __init__(self, target: Any) -> None:
        super().__init__()
        self.target = target.detach()
        self.loss: Any = None

    def forward(self, input: Any) -> Any:
        self.loss = nn.functional.mse_loss(input, self.target)
        return input


def gram_matrix(input: Any) -> Any:
    """The products of all pairs of channels, summed over places: (N, C, H, W) -> (N*C, N*C).

    Divided by the number of elements of ``input``.
    """
    n, c, h, w = input.shape
    rows = input.reshape(n * c, h * w)
    return rows.mm(rows.t()).div(n * c * h * w)


class StyleLoss(nn.Module):
    """Hands its input on and keeps in ``loss`` how far its Gram matrix is from the target's."""

    def __init__(self, target: Any) -> None:
        super().__init__()
        self.target = gram_matrix(target).detach()
        self.loss: Any = None

    def forward(self, input: Any) -> Any:
        self.loss = nn.functional.mse_loss(gram_matrix(input), self.target)
        return input


def outside(picture: Any) -> Any:
    """How far values are from what can be shown, 0 to 1: a mean square, 0 where all can be.

    Clamping instead would leave a pixel that has once gone too far without a gradient, for ever.
    """
    return (picture - picture.detach().clamp(0, 1)).square().mean()


def roughness(picture: Any) -> Any:
    """The mean square of what neighbours differ by: (..., H, W), along both."""
    rows = (picture[..., 1:, :] - picture[..., :-1, :]).square().mean()
    columns = (picture[..., 1:] - picture[..., :-1]).square().mean()
    return rows + columns


class Normalization(nn.Module):
    """``(picture - mean) / std``, channel by channel: what the network was trained on."""

    mean: Any
    std: Any

    def __init__(self, mean: Any, std: Any) -> None:
        super().__init__()
        self.register_buffer("mean", dt.as_tensor(mean, dtype=dt.float32).reshape(-1, 1, 1))
        self.register_buffer("std", dt.as_tensor(std, dtype=dt.float32).reshape(-1, 1, 1))

    def forward(self, picture: Any) -> Any:
        return (picture - self.mean) / self.std


def get_style_model_and_losses(
    cnn: Any, normalization_mean: Any, normalization_std: Any, style_img: Any, content_img: Any,
    content_layers: Any = CONTENT_LAYERS, style_layers: Any = STYLE_LAYERS,
) -> tuple[Any, list[StyleLoss], list[ContentLoss]]:  # fmt: skip
    """The network with losses behind the layers named, and nothing behind the last of them.

    Args:
        cnn: convolutions, ReLUs, poolings and batch norms, in their order.
        style_img, content_img: (1, 3, H, W), on the network's device.

    Raises:
        RuntimeError: a layer of another kind, or none of the layers named.
    """
    model: Any = nn.Sequential(
        Normalization(normalization_mean, normalization_std).to(content_img.device)
    )
    content_losses: list[ContentLoss] = []
    style_losses: list[StyleLoss] = []
    i = last = 0
    for layer in cnn.children():
        if isinstance(layer, nn.Conv2d):
            i += 1
            name = f"conv_{i}"
        elif isinstance(layer, nn.ReLU):
            name = f"relu_{i}"
            layer = nn.ReLU(inplace=False)  # in place it would change what the losses have seen
        elif isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d)):
            name = f"pool_{i}"
        elif isinstance(layer, nn.BatchNorm2d):
            name = f"bn_{i}"
        else:
            raise RuntimeError(f"Unrecognized layer: {layer.__class__.__name__}")
        model.add_module(name, layer)
        if name in content_layers:
            content_losses.append(ContentLoss(model(content_img)))
            model.add_module(f"content_loss_{i}", content_losses[-1])
            last = len(model)
        if name in style_layers:
            style_losses.append(StyleLoss(model(style_img)))
            model.add_module(f"style_loss_{i}", style_losses[-1])
            last = len(model)
    if not last:
        raise RuntimeError(f"the network has none of {(*content_layers, *style_layers)}")
    return model[:last], style_losses, content_losses
