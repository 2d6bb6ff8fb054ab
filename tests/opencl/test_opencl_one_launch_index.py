"""What reads and writes by indices in one launch, beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

Index = Callable[[Any], Any]
"""From a maker of tensors (of a list) to what stands between the brackets."""

READS: dict[str, tuple[tuple[int, ...], Index]] = {
    "two": ((5, 6), lambda t: (t([4, -5, 0]), t([-1, 2, 2]))),
    "that broadcast": ((5, 6), lambda t: (t([[4], [-5]]), t([-1, 2, 2]))),
    "three": ((3, 4, 5), lambda t: (t([0, 2]), t([[3], [-1]]), t([-5, 4]))),
    "of three dims": ((3, 4, 5), lambda t: (t([0, 2]), t([3, -1]))),
    "the last two": ((3, 4, 5), lambda t: (slice(None), t([0, 2]), t([3, -1]))),
    "apart": ((3, 4, 5), lambda t: (t([0, 2]), slice(None), t([3, -1]))),
    "behind a slice": ((6, 4, 5), lambda t: (slice(1, 5, 2), t([0, 1]), t([3, -1]))),
    "around a new dim": ((3, 4), lambda t: (t([0, 2]), None, t([3, -1]))),
    "with a number": ((3, 4, 5), lambda t: (1, t([0, 2]), t([3, -1]))),
    "with dots": ((3, 4, 5), lambda t: (..., t([0, 2]), t([3, -1]))),
    "rows of a matrix": ((3, 4, 70), lambda t: (t([0, 2, 2]), t([3, -1, 0]))),
    "one in the middle": ((3, 6, 4), lambda t: (slice(None), t([5, -6, 2]))),
    "one behind a slice": ((7, 6), lambda t: (slice(2, 6), t([5, -6, 2]))),
    "nothing": ((5, 6), lambda t: (t([]), t([]))),
}


def _made(library: Any, device: Any) -> Callable[[Any], Any]:
    return lambda values: library.tensor(values, dtype=library.int64, device=device)


@pytest.mark.parametrize("kind", ["float32", "float16", "complex64", "int64", "bool"])
@pytest.mark.parametrize("name", READS)
def test_read(opencl: dt.device, name: str, kind: str) -> None:
    shape, index = READS[name]
    array = np.random.default_rng(0).integers(-9, 9, shape)
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        x = library.tensor(array, device=device).to(getattr(library, kind))
        x.requires_grad_(kind in ("float32", "float16", "complex64"))
        for _ in range(2):  # the second finds the plan of the first
            out = x[index(_made(library, device))]
        rows = [out]
        if x.requires_grad:
            (out * out.detach()).sum().abs().backward()
            rows.append(x.grad)
        found.append([row.detach().cpu().numpy() for row in rows])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3 if kind == "float16" else 1e-6)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", READS)
def test_written(opencl: dt.device, name: str, turned: bool) -> None:
    shape, index = READS[name]
    random = np.random.default_rng(0)
    array = random.integers(-9, 9, shape).astype(np.float32)
    probe = torch.tensor(array)[index(_made(torch, "cpu"))]
    whole = random.standard_normal(tuple(probe.shape)).astype(np.float32)
    for values in (whole, whole[..., :1], np.float32(2.5), 3.5):
        if isinstance(values, np.ndarray) and not values.size:
            continue
        for accumulate in (False, True):
            found = []
            for library, device in ((dt, "opencl:0"), (torch, "cpu")):
                x = library.tensor(array, device=device)
                if turned:
                    x = x.transpose(0, -1).contiguous().transpose(0, -1)
                given = values
                if not isinstance(values, float) or isinstance(values, np.floating):
                    given = library.tensor(values, device=device)
                at = index(_made(library, device))
                for _ in range(2):
                    if accumulate and all(hasattr(i, "dtype") for i in at):
                        if not hasattr(given, "dtype"):
                            given = library.tensor(given, device=device)
                        x.index_put_(at, given, accumulate=True)
                    else:
                        x[at] = given
                found.append(x.cpu().numpy())
            np.testing.assert_allclose(*found, rtol=1e-6)


@pytest.mark.parametrize("name", [n for n in READS if n != "nothing"])
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    shape, index = READS[name]
    x, at = dt.ones(shape, device=opencl), index(_made(dt, opencl))
    rows = x[at].clone()
    x[at] = rows
    x[at] = 2.0
    before = queue.launches
    x[at]
    x[at] = rows
    x[at] = 2.0
    assert queue.launches == before + 3


def test_gradient_in_one_launch(opencl: dt.device, queue: Any) -> None:
    x = dt.ones(8, 8, device=opencl, requires_grad=True)
    i = dt.tensor([1, 1, -7], device=opencl)
    g = dt.ones(3, device=opencl)
    for _ in range(2):
        (found,) = dt.autograd.grad(x[i, i], x, g)
    out = x[i, i]
    before = queue.launches
    dt.autograd.grad(out, x, g)
    assert queue.launches == before + 1
    assert found[1, 1].item() == 3
    assert found.sum().item() == 3


@pytest.mark.parametrize("where", ["first", "second"])
@pytest.mark.parametrize("index", [6, -7, 2**40])
def test_out_of_range(opencl: dt.device, index: int, where: str) -> None:
    x = dt.ones(6, 3, 6, device=opencl)
    good, bad = (dt.tensor(v, device=opencl) for v in ([1, 2, 0], [1, index, 2]))
    at = (bad, slice(None), good) if where == "first" else (good, slice(None), bad)
    dim = 0 if where == "first" else 2
    text = f"index {index} is out of bounds for dimension {dim} with size 6"
    made = x[at]
    with pytest.raises(IndexError, match=rf"{text} \(index, found"):
        made.cpu()
    x[at] = 5.0
    with pytest.raises(IndexError, match=rf"{text} \(index_put, found"):
        x.cpu()
    assert (x == 5).sum().item() == 6  # what was in range


def test_what_is_wrong_is_told_as_before(opencl: dt.device) -> None:
    x, i = dt.ones(4, 5, device=opencl), dt.tensor([0, 1, 2], device=opencl)
    with pytest.raises(IndexError, match="could not be broadcast"):
        x[i, i[:2]]
    with pytest.raises(IndexError, match="too many"):
        x[i, i, i]
    with pytest.raises(RuntimeError, match="shape mismatch"):
        x[i, i] = dt.ones(2, device=opencl)
    with pytest.raises(RuntimeError, match="dtypes match"):
        x[i, i] = dt.ones(3, device=opencl, dtype=dt.float64)
    whole = dt.zeros(4, 5, device=opencl, dtype=dt.uint8)
    with pytest.raises(RuntimeError, match="without overflow"):
        whole[i, i] = 300
