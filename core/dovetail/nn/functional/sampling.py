"""Images read at places that a grid names (PyTorch's ``grid_sample`` and ``affine_grid``).

A grid holds, for every place of the output, where to read: coordinates from -1 to 1, x (width)
first. Source: Jaderberg et al., "Spatial transformer networks", 2015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail import ops
from dovetail.nn.functional.planned import finder
from dovetail.ops.calling import told
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["affine_grid", "grid_sample"]

_known = finder("grid_sample")
_known_affine = finder("affine_grid")

_CHANGED = (
    "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
    "Please specify align_corners=True if the old behavior is desired. See the documentation of "
    "grid_sample for details."
)


def _check(input: Tensor, grid: Tensor, mode: str) -> None:
    def refuse(text: str) -> None:
        raise RuntimeError(f"grid_sampler(): {text}")

    shapes = f"input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
    if input.dtype is not grid.dtype:
        refuse(f"expected scalar type {input.dtype} but found {grid.dtype}")
    if grid.shape[:1] != input.shape[:1]:
        refuse(f"expected grid and input to have same batch size, but got {shapes}")
    if grid.shape[-1] != input.dim() - 2:
        refuse(
            f"expected grid to have size {input.dim() - 2} in last dimension, but got grid with "
            f"sizes {list(grid.shape)}"
        )
    if input.dim() not in (4, 5) or input.dim() != grid.dim():
        refuse(f"expected 4D or 5D input and grid with same number of dimensions, but got {shapes}")
    for dim, size in enumerate(input.shape[2:], 2):
        if size == 0:
            refuse(
                "expected input to have non-empty spatial dimensions, but input has sizes "
                f"{list(input.shape)} with dimension {dim} being empty"
            )
    if mode == "bicubic" and input.dim() != 4:
        refuse("bicubic interpolation only supports 4D input")
    if not input.is_floating_point():
        raise NotImplementedError(f"grid_sampler(): not implemented for {input.dtype}")


@told
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Read images at the places of a grid.

    Args:
        input: (N, C, H, W) or (N, C, D, H, W).
        grid: (N, H', W', 2), of x and y, or (N, D', H', W', 3), of x, y and z; from -1 to 1.
        mode: ``bilinear`` (for volumes: trilinear), ``nearest`` or ``bicubic`` (4-D).
        padding_mode: what is outside: ``zeros``, ``border`` (the nearest element) or
            ``reflection``.
        align_corners: -1 and 1 are the centres of the corner elements, not their corners.

    Returns:
        (N, C, H', W') or (N, C, D', H', W').

    Raises:
        ValueError: another mode.
        RuntimeError: shapes or dtypes that do not fit together.
    """
    run = _known(input, grid, (mode, padding_mode, align_corners))
    if run is not None:
        return run(input, grid)  # type: ignore[no-any-return]
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    if align_corners is None:
        warn(_CHANGED)
    align = bool(align_corners)
    _check(input, grid, mode)
    return ops.grid_sample(  # type: ignore[no-any-return]
        input, grid, mode=mode, padding=padding_mode, align=align
    )


@told
def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The grid of an affine map, for :func:`grid_sample`.

    Args:
        theta: (N, 2, 3) or (N, 3, 4).
        size: of the output image, (N, C, H, W) or (N, C, D, H, W).
        align_corners: -1 and 1 are the centres of the corner elements, not their corners.

    Returns:
        (N, H, W, 2) or (N, D, H, W, 3).

    Raises:
        ValueError: shapes that do not fit, or an empty size.
        NotImplementedError: a size of neither 4 nor 5 numbers.
    """
    if align_corners is None:
        warn(_CHANGED)
    align = bool(align_corners)
    if isinstance(size, (tuple, list)):
        run = _known_affine(theta, (tuple(size[2:]), align_corners))
        if run is not None and 1 not in size[2:] and min(size) > 0:
            return run(theta)  # type: ignore[no-any-return]
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if len(size) not in (4, 5):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {size}."
        )
    n = len(size) - 2
    if theta.dim() != 3 or tuple(theta.shape[1:]) != (n, n + 1):
        raise ValueError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. "
            f"Got {theta.shape}."
        )
    spatial = [int(m) for m in size[2:]]
    if align and min(spatial) == 1:
        warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when "
            "align_corners=True. This is not an intended use case of affine_grid. See the "
            "documentation of affine_grid for details.",
        )
    elif min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    return ops.affine_grid(theta, size=tuple(spatial), align=align)  # type: ignore[no-any-return]
