"""``dovetail style``: paint one picture in the style of another."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dovetail.cli import UsageError, parser
from dovetail.cli.progress import progress
from dovetail.style import StyleError

__all__ = ["main"]

EVERY = 50


def main(argv: Sequence[str] = ()) -> int:
    """Run the command: 0; 2 after a mistake that the person can mend."""
    options = parser("style", "Paint one picture in the style of another.")
    add = options.add_argument
    add("--content", type=Path, metavar="FILE", help="a picture (default: scikit-learn's china)")
    add("--style", type=Path, metavar="FILE", help="another (default: scikit-learn's flower)")
    add("--device", default="cpu", help="any that `dovetail devices` lists (default: cpu)")
    add("--size", type=_number(32), default=128, metavar="N", help="side in pixels (default: 128)")
    add("--steps", type=_number(1), default=300, metavar="N", help="default: 300")
    add("--weights", type=Path, metavar="FILE", help="VGG19's: torchvision's .pth, or .safetensors")
    add("--random-weights", action="store_true", help="VGG19 untrained: textures, hardly a style")
    add("--style-weight", type=float, metavar="W", help="default: 1e6, for the small network 1e3")
    add("--content-weight", type=float, default=1.0, metavar="W", help="default: 1")
    add("--noise", action="store_true", help="begin with noise, not with the content")
    add("--seed", type=_number(0), default=0, metavar="S")
    add("--out", type=Path, default=Path("dovetail-style"), metavar="DIR",
        help="where the pictures go (default: dovetail-style)")  # fmt: skip
    add("--show", action="store_true", help="open the last picture in a viewer")
    chosen = options.parse_args(list(argv))
    try:
        _paint(chosen)
    except ModuleNotFoundError as error:
        if error.name not in ("PIL", "sklearn", "tqdm"):
            raise
        raise UsageError(
            f"dovetail style: {error}; pip install 'dovetail[demo]' brings what pictures need"
        ) from error
    except StyleError as error:
        raise UsageError(f"dovetail style: {error}") from error
    return 0


def _number(least: int) -> Any:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least}, got {text!r}")
        return int(text)

    return parse


def _paint(chosen: argparse.Namespace) -> None:
    from tqdm import tqdm

    import dovetail as dt
    from dovetail.style import losses, pictures
    from dovetail.style.transfer import run_style_transfer

    try:
        device = dt.empty(0, device=chosen.device).device
    except RuntimeError as error:
        raise StyleError(str(error)) from error
    content = pictures.read(chosen.content, "content", chosen.size)
    style = pictures.read(chosen.style, "style", chosen.size)
    chosen.out.mkdir(parents=True, exist_ok=True)
    dt.manual_seed(chosen.seed)
    network = _network(chosen, (content, style), device)
    start = dt.rand(content.shape) if chosen.noise else dt.tensor(content)
    with progress(chosen.steps, "steps", description="picture") as bar:

        def tell(step: int, of_style: float, of_content: float, picture: Any) -> None:
            bar.update(1)
            bar.set_postfix(style=f"{of_style:.4g}", content=f"{of_content:.4g}", refresh=False)
            if step % EVERY == 0 or step == chosen.steps:
                path = chosen.out / f"step-{step:04}.png"
                pictures.save(picture, path)
                tqdm.write(
                    f"step {step:4}  style loss {of_style:.4f}  content loss {of_content:.4f}  "
                    f"{path}"
                )

        made = run_style_transfer(
            network, losses.IMAGENET_MEAN, losses.IMAGENET_STD,
            dt.tensor(content, device=device), dt.tensor(style, device=device), start.to(device),
            chosen.steps, content_weight=chosen.content_weight, tell=tell, **_recipe(chosen),
        )  # fmt: skip
    path = chosen.out / "style.png"
    named = {"content": content, "style": style, "result": made}
    image = pictures.side_by_side(named, path)
    print(f"content, style and result side by side: {path}")
    if chosen.show:
        image.show()


def _recipe(chosen: argparse.Namespace) -> dict[str, Any]:
    """Weights and layers: those of the network, and the style's weight as asked."""
    from dovetail.style.network import FOR_SMALL, FOR_VGG19

    is_vgg = chosen.weights is not None or chosen.random_weights
    recipe = FOR_VGG19 if is_vgg else FOR_SMALL
    asked = chosen.style_weight
    return recipe if asked is None else {**recipe, "style_weight": asked}


def _network(chosen: argparse.Namespace, images: Any, device: Any) -> Any:
    from dovetail.style import network

    if chosen.weights is not None or chosen.random_weights:
        made = network.features(network.VGG19)
        if chosen.weights is not None:
            network.load_weights(made, chosen.weights)
            print(f"VGG19 with the weights of {chosen.weights}")
        else:
            print("VGG19 with random weights: expect textures, not a painter's style")
        return made.to(device)
    steps = 150
    print(
        "No --weights: a small network of VGG's kind learns from these two pictures alone, so "
        "expect their colours and textures; VGG19's weights paint better."
    )
    with progress(steps, "steps", description="network") as bar:

        def tell(step: int, loss: float, right: float) -> None:
            bar.update(1)
            bar.set_postfix(loss=f"{loss:.3f}", right=f"{right:.0%}", refresh=False)

        return network.trained(images, device, steps, chosen.seed, tell)
