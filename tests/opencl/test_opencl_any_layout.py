"""Small calls of two operands in any layout: one launch of one program per dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

Views = Callable[[Any, Any], tuple[Any, Any]]

VIEWS: dict[str, Views] = {
    "row": lambda x, v: (x, v),
    "column": lambda x, v: (x, v[:5, None]),
    "table": lambda x, v: (v[:, None], v),
    "transposed": lambda x, v: (x[:, :5].t(), x[:, 1:6]),
    "parts": lambda x, v: (x[1:, ::2], x[:-1, 1:5]),
    "four dims": lambda x, v: (v.view(7, 1, 1, 1)[1::2], x[:3, None, :2, None] + v[:3]),
}
NAMES = ("add", "sub", "mul", "div", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge")


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int64"])
@pytest.mark.parametrize("views", VIEWS)
def test_beside_torch(opencl: dt.device, queue: Any, views: str, kind: str) -> None:
    random = np.random.default_rng(0)
    arrays = random.integers(-3, 4, (5, 7)), random.permutation(7) + 1
    for name in NAMES:
        found = []
        for library, device in ((dt, opencl), (torch, "cpu")):
            given = [library.tensor(a, device=device).to(getattr(library, kind)) for a in arrays]
            a, b = VIEWS[views](*given)
            before = queue.launches
            made = getattr(library, name)(a, b)
            launches = queue.launches - before
            found.append(made)
            if library is dt and (name, kind) != ("div", "int64"):  # computed in float32
                assert launches == 1, (name, launches)
        ours, theirs = (x.cpu().double().numpy() for x in found)
        assert found[0].stride() == found[1].stride()
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_nan_and_zeros_with_signs(opencl: dt.device) -> None:
    edges = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1.0], np.float32)
    for name in NAMES:
        found = []
        for library, device in ((dt, opencl), (torch, "cpu")):
            x = library.tensor(edges, device=device)
            found.append(getattr(library, name)(x[:, None], x).cpu().numpy())
        np.testing.assert_array_equal(*found, err_msg=name)
        if name not in ("maximum", "minimum"):  # zeros are equal there
            signs = [np.signbit(np.nan_to_num(x)) for x in found]
            np.testing.assert_array_equal(*signs, err_msg=name)


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_sizes_of_both_classes(in_class: Callable[[str, str], None], kind: str) -> None:
    in_class(SIZES, kind)


SIZES = """
import numpy as np
import dovetail as dt
from dovetail_opencl.runtime import device_of

queue = device_of(0)
for rows, columns in ((1, 1), (3, 5), (16, 16), (17, 16), (60, 70), (128, 128), (128, 129)):
    x = np.random.default_rng(rows).standard_normal((rows, columns)).astype(np.float32)
    v = x[:, 0].copy()
    ours, column = dt.tensor(x, device="opencl:0"), dt.tensor(v, device="opencl:0")[:, None]
    before = queue.launches
    made = ours * column
    few = 1 < rows * columns <= 1 << 14
    assert queue.launches - before == (1 if few or rows == 1 else 2), (rows, columns)
    # As often as a kernel of the layout's own takes over.
    for _ in range(300):
        made = ours * column
    np.testing.assert_array_equal(made.cpu().numpy(), x * v[:, None])
"""


def test_written_in_place(opencl: dt.device) -> None:
    x = dt.arange(12.0, device=opencl).view(3, 4)
    x.mul_(x[:, :1].clone())
    wanted = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(x.cpu().numpy(), wanted * wanted[:, :1])
    x.t().add_(x.t()[:, :1].clone())  # strided, written too
    wanted = wanted * wanted[:, :1]
    np.testing.assert_array_equal(x.cpu().numpy(), (wanted.T + wanted.T[:, :1]).T)
