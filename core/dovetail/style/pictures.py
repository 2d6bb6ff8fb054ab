"""Pictures in and out: files to tensors (1, 3, height, width) with values from 0 to 1, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dovetail.serialization.atomic import replacing
from dovetail.style import StyleError

__all__ = ["OURS", "as_image", "read", "save", "side_by_side"]

OURS = {"content": "china.jpg", "style": "flower.jpg"}
"""scikit-learn's two photographs, used where no picture is named."""


def read(path: Path | None, role: str, size: int) -> np.ndarray:
    """A picture as float32 (1, 3, size, size), cut to its middle square.

    Args:
        path: a file in any format that Pillow reads; None: the photograph for ``role``.
        role: ``content`` or ``style``.
        size: the side, in pixels.

    Raises:
        StyleError: there is no such file, or it is no picture.
    """
    image = _photograph(OURS[role]) if path is None else _opened(path)
    side = min(image.size)
    left, top = ((n - side) // 2 for n in image.size)
    image = image.crop((left, top, left + side, top + side)).resize((size, size), _smooth())
    picture: np.ndarray = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255
    return picture


def _smooth() -> Any:
    from PIL import Image

    return Image.Resampling.LANCZOS


def _opened(path: Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(path).convert("RGB")
    except FileNotFoundError as error:
        raise StyleError(f"there is no picture {str(path)!r}") from error
    except (UnidentifiedImageError, OSError) as error:
        raise StyleError(f"{str(path)!r} cannot be read as a picture: {error}") from error


def _photograph(name: str) -> Any:
    from PIL import Image
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image(name))


def as_image(picture: Any) -> Any:
    """A tensor or array (1, 3, height, width) as a Pillow image."""
    from PIL import Image

    array = picture if isinstance(picture, np.ndarray) else picture.detach().cpu().numpy()
    return Image.fromarray((array[0].transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8))


def save(picture: Any, path: Path) -> None:
    """Write a picture to a PNG file, all of it or nothing."""
    with replacing(path) as partial:
        as_image(picture).save(partial, format="PNG")


def side_by_side(pictures: dict[str, Any], path: Path) -> Any:
    """Write pictures of one size next to each other, with their names below; gives the image."""
    from PIL import Image, ImageDraw

    images = {name: as_image(picture) for name, picture in pictures.items()}
    size, gap, line = next(iter(images.values())).size[0], 8, 18
    whole = Image.new("RGB", (len(images) * (size + gap) + gap, size + 2 * gap + line), "white")
    pen = ImageDraw.Draw(whole)
    for i, (name, image) in enumerate(images.items()):
        left = gap + i * (size + gap)
        whole.paste(image, (left, gap))
        pen.text((left, size + gap + 4), name, fill="black")
    with replacing(path) as partial:
        whole.save(partial, format="PNG")
    return whole
