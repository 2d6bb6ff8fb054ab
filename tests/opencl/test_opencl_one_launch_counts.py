"""Segments, histograms, parts of numbers and weights, each in one launch, beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

SEGMENTS = """
import numpy as np
import torch
import dovetail as dt

random = np.random.default_rng(0)

def beside(shape, lengths, axis, kind="float32", **options):
    x = np.round(random.standard_normal(shape) * 2) / 2 + 0.25  # ties, and no zero
    x[..., 0] = 0
    for way in ("sum", "mean", "prod", "max", "min"):
        found = []
        for library, device in ((dt, "opencl:0"), (torch, "cpu")):
            # Zeros among the factors, and large products, are not for this comparison.
            given = np.where(x == 0, 1, np.clip(x, 0.5, 1.5)) if way == "prod" else x
            data = library.tensor(given, device=device).to(getattr(library, kind))
            data.requires_grad_()
            bounds = {name: library.tensor(v, device=device) for name, v in lengths.items()}
            made = library.segment_reduce(data, way, axis=axis, **bounds, **options)
            (made * made.detach().cos().nan_to_num()).nan_to_num().sum().backward()
            found.append([t.detach().cpu().double().numpy() for t in (made, data.grad)])
        rough = 1e-4 if kind == "float32" else 1e-9
        np.testing.assert_allclose(found[0][0], found[1][0], rough, rough, err_msg=f"{way} {shape}")
        if way not in ("max", "min"):  # PyTorch shares negative gradients of ties by no one rule
            np.testing.assert_allclose(found[0][1], found[1][1], rough, rough, err_msg=way)

parts = lambda n, many: np.bincount(random.integers(0, many, n), minlength=many)
beside((700,), {"lengths": parts(700, 9)}, 0)
beside((5000,), {"lengths": np.array([4000, 0, 1000])}, 0, "float64")
beside((60, 37), {"lengths": parts(60, 8)}, 0, initial=1.5)
beside((40, 3), {"lengths": parts(40, 30)}, 0)
beside((3, 50, 20), {"lengths": np.stack([parts(50, 6) for _ in range(3)])}, 1)
beside((50, 4), {"offsets": np.array([3, 10, 10, 45])}, 0)  # some are in no segment
"""


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_segments_of_both_classes(in_class: Callable[[str, str], None], kind: str) -> None:
    in_class(SEGMENTS, kind)


HISTOGRAMS = """
import numpy as np
import torch
import dovetail as dt

random = np.random.default_rng(1)
for n, bins, kind in ((5, 3, "float32"), (8192, 10, "float32"), (90000, 10, "float64")):
    x = np.round(random.standard_normal(n) * 16) / 16
    made = [
        library.tensor(x, device=device).to(getattr(library, kind)).histc(bins).cpu().numpy()
        for library, device in ((dt, "opencl:0"), (torch, "cpu"))
    ]
    np.testing.assert_array_equal(*made)
assert dt.full((9,), 2.0, device="opencl:0").histc(5).tolist() == [0, 0, 9, 0, 0]
try:
    dt.tensor([1.0, -np.inf] * 9000, device="opencl:0").histc(3).tolist()
except RuntimeError as error:
    assert "range of [-inf, 1] is not finite" in str(error)
else:
    raise AssertionError
"""


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_histograms_between_the_elements_own_ends(
    in_class: Callable[[str, str], None], kind: str
) -> None:
    in_class(HISTOGRAMS, kind)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_all_halves_by_their_parts(opencl: dt.device, kind: str) -> None:
    bits = np.arange(1 << 16, dtype=np.uint16).view(np.int16)
    ours = dt.tensor(bits, device=opencl).view(getattr(dt, kind))
    theirs = torch.tensor(bits).view(getattr(torch, kind))
    wide = theirs.double().numpy()
    for made, wanted in zip(dt.frexp(ours), np.frexp(wide), strict=True):
        is_number = np.isfinite(wide)
        np.testing.assert_array_equal(made.double().cpu().numpy()[is_number], wanted[is_number])
    for other in (-np.inf, 1.0, np.nan):
        made = dt.nextafter(ours, dt.full_like(ours, other)).double().cpu().numpy()
        if kind == "bfloat16":
            wanted = torch.nextafter(theirs, torch.full_like(theirs, other)).double().numpy()
        else:
            with np.errstate(over="ignore"):
                wanted = np.nextafter(bits.view(np.float16), np.float16(other)).astype(np.float64)
        np.testing.assert_array_equal(made, wanted)


def _weights(x: Any) -> Any:
    return {"fweights": dt.arange(8, device=x.device), "aweights": x[0].abs() + 1}


F: Any = dt.nn.functional
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "segment_reduce": lambda x, i: dt.segment_reduce(x, "max", lengths=i),
    "segment_reduce of a batch": lambda x, i: dt.segment_reduce(
        x, "mean", offsets=i.expand(8, 4).cumsum(1), axis=1
    ),
    "histc": lambda x, i: x.histc(5),
    "frexp": lambda x, i: dt.frexp(x.t()),
    "nextafter": lambda x, i: dt.nextafter(x, x[0]),
    "cov": lambda x, i: dt.cov(x, **_weights(x)),
    "mse_loss": lambda x, i: F.mse_loss(x, x, weight=x),
    "huber_loss": lambda x, i: F.huber_loss(x, x, weight=x),
    "triplet_margin_loss": lambda x, i: F.triplet_margin_loss(x, x + 1, x, p=1.5, swap=True),
    "nanmedian": lambda x, i: x[0, 0].nanmedian(),
}
BESIDE = {"segment_reduce of a batch": 1, "cov": 3, "triplet_margin_loss": 1}
"""Launches that make the operands."""


@pytest.mark.parametrize("name", CALLS)
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    x, parts = dt.randn(8, 8, device=opencl), dt.tensor([2, 0, 5, 1], device=opencl)
    CALLS[name](x, parts)
    before = queue.launches
    CALLS[name](x, parts)
    assert queue.launches == before + 1 + BESIDE.get(name, 0)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(5, 7), (300, 40)])
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_losses_with_weights(
    opencl: dt.device, name: str, shape: tuple[int, ...], reduction: str
) -> None:
    arrays = np.random.default_rng(2).uniform(0.5, 3, (3, *shape)).astype(np.float32)
    found = []
    for library, device in ((dt, opencl), (torch, "cpu")):
        given = [library.tensor(a, device=device).requires_grad_() for a in arrays]
        loss = getattr(library.nn.functional, name)
        made = loss(given[0], given[1], weight=given[2], reduction=reduction)
        (made * made).sum().backward()
        found.append([t.detach().cpu().numpy() for t in (made, *(x.grad for x in given))])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, 2e-5, 1e-6)


@pytest.mark.parametrize(("p", "swap"), [(2, True), (1, False), (3.5, True)])
def test_triplets_by_norms(opencl: dt.device, p: float, swap: bool) -> None:
    arrays = np.random.default_rng(5).standard_normal((3, 40, 9)).astype(np.float32)
    found = []
    for library, device in ((dt, opencl), (torch, "cpu")):
        given = [library.tensor(a, device=device).requires_grad_() for a in arrays]
        made = library.nn.functional.triplet_margin_loss(*given, p=p, swap=swap)
        made.backward()
        found.append([t.detach().cpu().numpy() for t in (made, *(x.grad for x in given))])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-4, 1e-6)


@pytest.mark.parametrize(
    ("weights", "label"),
    [({"fweights": [1, -1]}, "fweights"), ({"aweights": [1.0, -1]}, "aweights")],
)
def test_negative_weights_are_told(opencl: dt.device, weights: Any, label: str) -> None:
    given = {name: dt.tensor(values, device=opencl) for name, values in weights.items()}
    made = dt.cov(dt.eye(2, device=opencl), **given)
    with pytest.raises(RuntimeError, match=rf"{label} cannot be negative \(cov, found when values"):
        made.tolist()


def test_bins_of_few_and_of_many_numbers(opencl: dt.device) -> None:
    random = np.random.default_rng(3)
    for n in (9, 30000):
        x, w = random.integers(0, 50, n), random.standard_normal(n)
        given = dt.tensor(x, device=opencl)
        np.testing.assert_array_equal(given.bincount().cpu().numpy(), np.bincount(x))
        weighted = given.bincount(dt.tensor(w, device=opencl), 60).cpu().numpy()
        np.testing.assert_allclose(weighted, np.bincount(x, w, 60), 1e-12)
    smallest = dt.tensor([3, -128, 127], dtype=dt.int8, device=opencl)
    with pytest.raises(RuntimeError, match="non-negative"):
        smallest.bincount()


def _written(x: dt.Tensor, at: dt.Tensor, rows: dt.Tensor) -> Any:
    x[at] = rows
    return x.tolist()  # where a device tells what was wrong


@pytest.mark.parametrize("shape", [(6, 5), (6,), (2, 3, 4)])
def test_masks_of_all_dims_and_of_the_first(opencl: dt.device, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    for mask in (x > 0, np.arange(shape[0]) % 2 == 0, x > 9):
        ours = dt.tensor(x, device=opencl, requires_grad=True)
        at = dt.tensor(mask, device=opencl)
        made = ours[at]
        np.testing.assert_array_equal(made.detach().cpu().numpy(), x[mask])
        (made * 3).sum().backward()
        wanted = np.zeros_like(x)
        wanted[mask] = 3
        np.testing.assert_array_equal(ours.grad.cpu().numpy(), wanted)  # type: ignore[union-attr]
        written, changed = ours.detach().clone(), x.copy()
        written[at] = -made.detach()
        changed[mask] = -x[mask]
        np.testing.assert_array_equal(written.cpu().numpy(), changed)
        with pytest.raises((RuntimeError, IndexError), match=r"shape mismatch|broadcast"):
            _written(written, at, dt.ones(7, *made.shape[1:], device=opencl))
