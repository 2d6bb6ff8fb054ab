"""What masks select and name in one launch, with its count or without a wait, beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.ops.indexed.indexing import index, index_put

torch = pytest.importorskip("torch")

SHAPES = [((7,), 1), ((3, 4), 2), ((3, 4), 1), ((2, 3, 5), 2), ((20_000,), 1), ((5000, 7), 1)]
"""Of a tensor, and how many of its dims the mask has; the last are of several work items."""


def _made(shape: tuple[int, ...], many: int, kind: str) -> list[tuple[Any, Any]]:
    """(Tensor, mask) of ours and of PyTorch's."""
    random = np.random.default_rng(sum(shape))
    array, mask = random.integers(0, 9, shape), random.random(shape[:many]) < 0.4
    return [
        (
            library.tensor(array, device=device).to(getattr(library, kind)),
            library.tensor(mask, device=device),
        )
        for library, device in ((dt, "opencl:0"), (torch, "cpu"))
    ]


@pytest.mark.parametrize("kind", ["float32", "float16", "int64", "bool", "complex128"])
@pytest.mark.parametrize(("shape", "many"), SHAPES)
def test_beside_torch(opencl: dt.device, shape: tuple[int, ...], many: int, kind: str) -> None:
    found: list[list[Any]] = []
    for x, mask in _made(shape, many, kind):
        chosen = x[mask]
        rows = [chosen, x.nonzero(), mask.nonzero()]
        for values in (chosen.flip(0), chosen[:1]):
            x[mask] = values
            rows.append(x.clone())
        wide = mask.reshape(*mask.shape, *[1] * (len(shape) - many))
        source = x.reshape(-1)
        rows.append(x.masked_scatter(wide.expand(shape), source.flip(0)))
        rows.append(x.clone().masked_scatter_(wide, source.flip(0)))
        found.append([row.cpu().numpy() for row in rows])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_views_and_strided_targets(opencl: dt.device) -> None:
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        whole = library.arange(60.0, device=device)
        view = whole[8:32].view(4, 6)
        mask = (whole[12:36] % 5 > 2).view(4, 6)
        view[mask] = -view[mask] - 1
        turned = whole[36:].view(4, 6).t()
        turned[mask.t()] = turned[mask.t()] * 2
        found.append(whole.cpu().numpy())
    np.testing.assert_array_equal(*found)


def test_gradients_of_masked_scatter(opencl: dt.device) -> None:
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        x = library.arange(12.0, device=device).view(3, 4).requires_grad_()
        source = library.arange(20.0, device=device).requires_grad_()
        mask = library.tensor([[1, 0, 1, 1]] * 3, device=device) > 0
        out = x.masked_scatter(mask, source)
        assert "MaskedScatter" in str(out.grad_fn)
        (out * out.detach()).sum().backward()
        found.append([t.cpu().numpy() for t in (x.grad, source.grad)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_wrong_number_of_rows_is_told_late_and_nothing_is_written(opencl: dt.device) -> None:
    x, mask = dt.zeros(5, device=opencl), dt.ones(5, device=opencl) > 0
    x[mask] = dt.ones(4, device=opencl)
    text = r"value tensor of shape \[4\] cannot be broadcast to indexing result of shape \[5\]"
    with pytest.raises(RuntimeError, match=rf"{text} \(index_put, found"):
        x.tolist()
    x.masked_scatter_(mask, dt.ones(4, device=opencl))
    with pytest.raises(RuntimeError, match=r"number of ones in mask \(masked_scatter, found"):
        x.tolist()
    assert x.tolist() == [0] * 5


def test_what_was_not_found_is_given_up(opencl: dt.device) -> None:
    x = dt.arange(100, device=opencl)
    assert x[x < 3].untyped_storage().nbytes() == 24
    assert (x < 3).nonzero().untyped_storage().nbytes() == 24
    assert (x[:4] % 3).bincount().untyped_storage().nbytes() == 24
    large = dt.arange(16_000, device=opencl)
    few = (large > 15_997).nonzero()  # in memory of its own
    assert few.tolist() == [[15_998], [15_999]]
    assert few.untyped_storage().nbytes() == 16


def test_bins(opencl: dt.device) -> None:
    random = np.random.default_rng(3)
    for numbers in (random.integers(0, 50, 9), random.integers(0, 5000, 9)):  # in a table, beyond
        weights = random.standard_normal(9)
        ours = dt.tensor(numbers, device=opencl)
        np.testing.assert_array_equal(ours.bincount().cpu().numpy(), np.bincount(numbers))
        made = ours.int().bincount(dt.tensor(weights, device=opencl), 60).cpu().numpy()
        np.testing.assert_allclose(made, np.bincount(numbers, weights, 60), 1e-12)
    with pytest.raises(RuntimeError, match="non-negative"):
        dt.tensor([3, -5000], device=opencl).bincount()
    with pytest.raises(RuntimeError, match="same length"):
        dt.tensor([3, 5], device=opencl).bincount(dt.ones(3, device=opencl))


CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "nonzero": lambda x, mask, rows: x.nonzero(),
    "where": lambda x, mask, rows: dt.where(mask),
    "a[mask]": lambda x, mask, rows: x[mask],
    "a[mask of rows]": lambda x, mask, rows: x[mask[0]],
    "masked_select": lambda x, mask, rows: x.masked_select(mask),
    "a[mask] = rows": lambda x, mask, rows: x.__setitem__(mask, rows),
    "masked_scatter": lambda x, mask, rows: x.masked_scatter(mask, rows),
    "masked_scatter_": lambda x, mask, rows: x.masked_scatter_(mask, rows),
    "bincount": lambda x, mask, rows: WHOLE.bincount(),
    "index": lambda x, mask, rows: index(x, WHOLE, 0, 2),
    "index_put": lambda x, mask, rows: index_put(x, WHOLE, 2.0, 0, 2, False),
}
WHOLE: Any = None


@pytest.mark.parametrize("name", CALLS)
def test_launches(
    opencl: dt.device, queue: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "WHOLE", dt.tensor([3, 9, 0], device=opencl))
    x = dt.randn(8, 8, device=opencl)
    mask = x > 0
    rows = x[mask].clone()
    CALLS[name](x, mask, rows)
    before = queue.launches
    CALLS[name](x, mask, rows)
    assert queue.launches == before + 1


def test_rows_are_written_without_a_wait(
    opencl: dt.device, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = dt.randn(8, 8, device=opencl)
    mask = x > 0
    rows = x[mask].clone()
    for shape in ((8, 8), (200, 200)):
        x, mask = (t.new_ones(shape) for t in (x, mask))
        rows = x.reshape(-1).clone()
        with monkeypatch.context() as patch:
            patch.setattr(queue, "read", lambda *_: pytest.fail("it was read"))
            x[mask] = rows
            x.masked_scatter_(mask, rows)
