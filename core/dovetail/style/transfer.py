"""The picture is what is trained: LBFGS moves its pixels until both losses are small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dovetail as dt
from dovetail.style.losses import (
    CONTENT_LAYERS,
    STYLE_LAYERS,
    get_style_model_and_losses,
    outside,
    roughness,
)

__all__ = ["get_input_optimizer", "run_style_transfer"]

OUTSIDE_WEIGHT = 1e4
"""Of values that cannot be shown; a hundredth of them are some hundredths beyond, at the end."""


def get_input_optimizer(input_img: Any) -> Any:
    """LBFGS over the pixels."""
    return dt.optim.LBFGS([input_img])


def run_style_transfer(
    cnn: Any, normalization_mean: Any, normalization_std: Any, content_img: Any, style_img: Any,
    input_img: Any, num_steps: int = 300, style_weight: float = 1e6, content_weight: float = 1.0,
    tell: Callable[[int, float, float, Any], None] | None = None, smooth_weight: float = 0.0,
    content_layers: Any = CONTENT_LAYERS, style_layers: Any = STYLE_LAYERS,
) -> Any:  # fmt: skip
    """Change ``input_img`` in place and return it, with values from 0 to 1.

    Args:
        num_steps: how often the losses are computed. LBFGS does so up to 20 times in each of its
            steps; the last step ends when the number is reached.
        tell: called after each computation with its number, the style loss, the content loss
            (both with their weights) and the picture, whose values may be beyond 0 and 1.
        smooth_weight: of the differences between neighbouring pixels.
        content_layers, style_layers: where the losses are, as ``conv_1`` or ``relu_1``.
    """
    model, style_losses, content_losses = get_style_model_and_losses(
        cnn, normalization_mean, normalization_std, style_img, content_img, content_layers,
        style_layers,
    )  # fmt: skip
    input_img.requires_grad_(True)
    model.eval()
    model.requires_grad_(False)
    optimizer = get_input_optimizer(input_img)
    done = 0

    def closure() -> Any:
        nonlocal done
        optimizer.zero_grad()
        model(input_img)
        style = sum(layer.loss for layer in style_losses) * style_weight
        content = sum(layer.loss for layer in content_losses) * content_weight
        loss = style + content + outside(input_img) * OUTSIDE_WEIGHT
        if smooth_weight:
            loss = loss + roughness(input_img) * smooth_weight
        loss.backward()
        done += 1
        if tell is not None:
            tell(done, float(style), float(content), input_img)
        return loss

    while done < num_steps:
        for group in optimizer.param_groups:
            group["max_iter"] = min(20, num_steps - done)
            group["max_eval"] = group["max_iter"] * 5 // 4
        optimizer.step(closure)
    with dt.no_grad():
        input_img.clamp_(0, 1)
    return input_img
