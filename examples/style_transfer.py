"""Neural style transfer, step by step: the course's driving example on two photographs.

    python examples/style_transfer.py [DEVICE]

``dovetail style`` is the same with options; the functions are in ``dovetail.style``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import dovetail as torch
from dovetail.style import network, pictures
from dovetail.style.losses import IMAGENET_MEAN, IMAGENET_STD
from dovetail.style.transfer import run_style_transfer

device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
out = Path("style-transfer")
out.mkdir(exist_ok=True)

# Two photographs as (1, 3, 128, 128), values from 0 to 1; any picture's path would do.
content = pictures.read(None, "content", 128)
style = pictures.read(None, "style", 128)

# VGG19's convolutions with weights from a file, where there is one; else a small network that
# learns from these two pictures.
weights = Path("vgg19.pth")
if weights.exists():
    cnn, recipe = network.features(network.VGG19), network.FOR_VGG19
    network.load_weights(cnn, weights)
    cnn.to(device)
else:
    print(f"no {weights} here: a small network learns from the two pictures")
    cnn, recipe = network.trained([content, style], device), network.FOR_SMALL


def tell(step: int, of_style: float, of_content: float, picture: torch.Tensor) -> None:
    """Every 50 computations of the losses: print both, and save the picture."""
    if step % 50 == 0:
        print(f"run {step}: Style Loss : {of_style:.4f} Content Loss: {of_content:.4f}")
        pictures.save(picture, out / f"run-{step}.png")


result = run_style_transfer(
    cnn, IMAGENET_MEAN, IMAGENET_STD,
    content_img=torch.tensor(content, device=device),
    style_img=torch.tensor(style, device=device),
    input_img=torch.tensor(content, device=device),
    num_steps=300, tell=tell, **recipe,
)  # fmt: skip
pictures.side_by_side({"content": content, "style": style, "result": result}, out / "result.png")
print(f"saved {out / 'result.png'}")
