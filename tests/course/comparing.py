"""A tensor beside the array that it has to be."""

from __future__ import annotations

from typing import Any

import numpy as np


def same(tensor: Any, array: np.ndarray, rtol: float = 0.0) -> None:
    """Shape, dtype and values, to ``rtol``."""
    mine = tensor.detach().cpu().numpy()
    assert (mine.shape, mine.dtype) == (array.shape, array.dtype)
    np.testing.assert_allclose(mine, array, rtol=rtol)
