"""Kernels of users: as operators with gradients, and in place of the device's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

MATMULS = ("matmul_naive", "matmul_tiled", "matmul_overlapped", "matmul_shared")
OPTIONS = {"height": 120.0, "width": 100.0, "count": 6, "threshold": 0.4}


def inputs(seed: int, total: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 90, (total, 2))
    anchors = np.concatenate([corners, corners + rng.uniform(10, 40, (total, 2))], 1)
    scores = rng.permutation(2 * total).reshape(2, total) / 64 - 3  # no two alike in float16
    deltas = rng.normal(0, 0.2, (2, total, 4))
    return scores.astype("f"), deltas.astype("f"), anchors.astype("f")


def reference(
    scores: Any,
    deltas: Any,
    anchors: Any,
    *,
    height: float,
    width: float,
    count: int,
    threshold: float,
) -> Any:
    """One box after another, in float64, as Girshick et al. describe it."""
    boxes = np.zeros((len(scores), count, 4))
    places = np.full((len(scores), count), -1)
    for image, (s, d) in enumerate(zip(scores, deltas.astype(float), strict=True)):
        w, h = anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]
        cx, cy = anchors[:, 0] + w / 2 + d[:, 0] * w, anchors[:, 1] + h / 2 + d[:, 1] * h
        w, h = np.exp(d[:, 2]) * w, np.exp(d[:, 3]) * h
        all_boxes = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 1)
        all_boxes = np.clip(all_boxes, 0, [width, height, width, height])
        queue = list(np.argsort(-s.astype(np.float16), kind="stable"))
        rank = 0
        while queue and rank < count:
            best = queue.pop(0)
            boxes[image, rank], places[image, rank] = all_boxes[best], best
            queue = [i for i in queue if overlap(all_boxes[best], all_boxes[i]) <= threshold]
            rank += 1
    return boxes, places


def overlap(a: Any, b: Any) -> float:
    """Intersection over union."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = np.prod(np.maximum(sides, 0))
    return float(shared / max(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared, 1e-9))


@pytest.mark.parametrize("device", ["dlp", "cpu"])
@pytest.mark.parametrize("seed", [0, 1])
def test_proposal_is_the_reference(module: Any, example: Any, device: str, seed: int) -> None:
    given = inputs(seed)
    tensors = [dt.tensor(x).to(device) for x in given]
    boxes, kept, places = example("proposal")["proposal"](*tensors, **OPTIONS)
    wanted, chosen = reference(*given, **OPTIONS)
    np.testing.assert_array_equal(places.cpu().numpy(), chosen)
    np.testing.assert_allclose(boxes.cpu().numpy(), wanted, rtol=1e-4, atol=1e-3)
    best = np.take_along_axis(given[0], np.maximum(chosen, 0), 1).astype(np.float16)
    np.testing.assert_array_equal(kept.cpu().numpy(), np.where(chosen < 0, 0, best))


def test_proposal_runs_out_of_boxes(module: Any, example: Any) -> None:
    anchors = dt.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0], [50.0, 50.0, 60.0, 60.0]])
    scores, deltas = dt.tensor([[1.0, 3.0, 2.0]]), dt.zeros(1, 3, 4)
    boxes, kept, places = example("proposal")["proposal"](
        scores.dlp(), deltas.dlp(), anchors.dlp(), **OPTIONS
    )
    assert places.tolist() == [[1, 2, -1, -1, -1, -1]]
    assert kept.tolist() == [[3, 2, 0, 0, 0, 0]]
    assert boxes[0, 2:].abs().sum().item() == 0


def test_proposal_has_gradients(module: Any, example: Any) -> None:
    """The explicit gradient on the device against that of the decomposition on the cpu."""
    proposal, given = example("proposal"), inputs(3, 60)
    found = []
    for device, function in (("dlp", proposal["proposal"]), ("cpu", proposal["_in_tensors"])):
        scores, deltas, anchors = (dt.tensor(x).to(device) for x in given)
        scores.requires_grad_()
        deltas.requires_grad_()
        boxes, kept, _ = function(scores, deltas, anchors, **OPTIONS)
        weights = dt.arange(48.0).reshape(2, 6, 4).to(device) * 0.1
        ((boxes * weights).sum() + (kept * kept).sum()).backward()
        found.append([x.grad.cpu().numpy() for x in (scores, deltas)])
    for here, there in zip(*found, strict=True):
        np.testing.assert_allclose(here, there, rtol=2e-3, atol=1e-3)


def test_an_operator_checks_its_call(module: Any, example: Any) -> None:
    proposal = example("proposal")["proposal"]
    x = dt.ones(1, 3).dlp()
    with pytest.raises(TypeError, match="takes 3 tensors"):
        proposal(x, **OPTIONS)
    with pytest.raises(TypeError, match="unexpected keyword argument 'tall'"):
        proposal(x, x, x, tall=1, **OPTIONS)
    with pytest.raises(TypeError, match="missing required keyword argument 'height'"):
        proposal(x, x, x)


@pytest.mark.parametrize("shape", [(5, 7, 3), (512, 512, 512), (130, 257, 131), (64, 0, 8)])
@pytest.mark.parametrize("name", MATMULS)
def test_the_labs_matmuls(module: Any, example: Any, name: str, shape: Any) -> None:
    m, k, n = shape
    if not k and name == "matmul_naive":
        pytest.skip("the beginner's kernel is shown as it is: it has no case for K = 0")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(m, k)).astype("f"), rng.normal(size=(k, n)).astype("f")
    out = dt.full((m, n), float("nan")).dlp()
    tensors = (dt.tensor(a).dlp(), dt.tensor(b).dlp(), out)
    example("lab")[name](*(x._materialize() for x in tensors))
    np.testing.assert_allclose(out.cpu().numpy(), a @ b, rtol=1e-4, atol=1e-3)


def test_the_lab_gets_twice_as_fast(module: Any, example: Any) -> None:
    a = dt.ones(512, 512).dlp()._materialize()
    cycles = {}
    for name in MATMULS:
        with module.profile() as found:
            example("lab")[name](a, a, dt.empty(512, 512, device="dlp")._materialize())
        cycles[name] = found.cycles
    assert cycles["matmul_naive"] > 10 * cycles["matmul_tiled"]
    assert cycles["matmul_tiled"] > 2 * cycles["matmul_overlapped"]
    assert cycles["matmul_overlapped"] > 1.2 * cycles["matmul_shared"]


def test_the_labs_relu_and_add_serve(module: Any, example: Any) -> None:
    lab, x = example("lab"), dt.tensor([-1.0, 2.0, float("nan"), -0.0]).dlp()
    with module.profile() as found:
        y = x.relu() + x
    assert y.cpu().numpy()[:2].tolist() == [-1, 4]
    assert [p.program.name for _, _, p in found.launches] == ["relu", "add"]
    assert lab["relu"].programs
