"""The course's ``Proposal``: boxes for a detector, from anchors, with non-maximum suppression.

A kernel of one's own becomes an operator with gradients. Scores are half precision in NRAM, their
maximum is found by ``maxpool``, and one task serves one image. On other devices the same operator
is made of tensor operations. Sources: Ren et al., "Faster R-CNN", 2015 (boxes relative to anchors);
Girshick et al., 2014 (suppression).

    python plugins/dlp/examples/proposal.py
"""

from __future__ import annotations

from typing import Any

import dovetail as dt
import dovetail_dlp
import dovetail_dlp.lang as dlp
from dovetail.dtypes import bool_, float16, float32, int64

__all__ = ["proposal"]

LOWEST = -60000.0
"""Below every score: what is taken, or overlaps too much, has it (float16 has no more than
65504)."""
WINDOW = 64


def _shapes(scores: Any, deltas: Any, anchors: Any, **attributes: Any) -> Any:
    images, count = scores.shape[0], attributes["count"]
    return [((images, count, 4), float32), ((images, count), float32), ((images, count), int64)]


def _gradient(
    g: Any, deltas: Any, anchors: Any, out2: Any, scores: Any, height: float, width: float
) -> tuple[Any, ...]:
    """Through the arithmetic of the boxes that were chosen; the choice itself has no gradient."""
    of_boxes, of_scores, _ = g
    is_real = out2 >= 0
    place = out2.maximum(0)
    score_gradient = delta_gradient = None
    if of_scores is not None:
        zeros = scores.new_zeros(tuple(scores.shape))
        score_gradient = zeros.scatter_add(1, place, of_scores * is_real.to(float32))
    if of_boxes is not None:
        four = place.unsqueeze(2).expand(*place.shape, 4)
        chosen, moved = (
            anchors.unsqueeze(0).expand(deltas.shape).gather(1, four),
            deltas.gather(1, four),
        )
        size = chosen[..., 2:] - chosen[..., :2]
        centre = chosen[..., :2] + size * 0.5 + moved[..., :2] * size
        new_size = moved[..., 2:].exp() * size
        edges = (centre - new_size * 0.5), (centre + new_size * 0.5)
        limit = deltas.new_tensor([width, height])
        inside = [((e >= 0) & (e <= limit)).to(float32) for e in edges]
        low, high = of_boxes[..., :2] * inside[0], of_boxes[..., 2:] * inside[1]
        first, second = (low + high) * size, (high - low) * 0.5 * new_size
        keep = is_real.to(float32).unsqueeze(2)
        made = (first * keep, second * keep)
        zeros = deltas.new_zeros(tuple(deltas.shape))
        parts = [
            zeros[..., 2 * i : 2 * i + 2]
            .contiguous()
            .scatter_add(1, four[..., :2].contiguous(), part)
            for i, part in enumerate(made)
        ]
        delta_gradient = zeros.clone()
        delta_gradient[..., :2], delta_gradient[..., 2:] = parts
    return score_gradient, delta_gradient, None


def _in_tensors(
    scores: Any,
    deltas: Any,
    anchors: Any,
    *,
    height: float,
    width: float,
    count: int,
    threshold: float,
) -> Any:
    """The same in tensor operations, for devices without the kernel."""
    size = anchors[:, 2:] - anchors[:, :2]
    centre = anchors[:, :2] + size * 0.5 + deltas[..., :2] * size
    half = deltas[..., 2:].exp() * size * 0.5
    limits = deltas.new_tensor([width, height])
    low, high = ((e.maximum(0)).minimum(limits) for e in (centre - half, centre + half))
    area = (high - low).prod(2)
    left = scores.to(float16).to(float32)
    boxes, kept, places = [], [], []
    for _ in range(count):
        best, place = left.max(1, keepdim=True)
        found = best > LOWEST
        here = place.unsqueeze(2).expand(-1, 1, 2)
        a, b = low.gather(1, here), high.gather(1, here)
        overlap = (high.minimum(b) - low.maximum(a)).maximum(0).prod(2)
        union = area + area.gather(1, place) - overlap
        left = left.masked_fill(overlap > union * threshold, LOWEST).scatter(1, place, LOWEST)
        box = a.new_zeros((a.shape[0], 1, 4))
        box[..., :2], box[..., 2:] = a, b
        boxes.append(box * found.to(float32).unsqueeze(2))
        kept.append(best * found.to(float32))
        places.append(place * found.to(int64) - (~found).to(int64))
    return dt.cat(boxes, 1), dt.cat(kept, 1), dt.cat(places, 1)


@dovetail_dlp.operator(
    shapes=_shapes, outputs=3, differentiable=(0, 1), gradient=_gradient, decompose=_in_tensors
)
def proposal(
    scores: Any, deltas: Any, anchors: Any, boxes: Any, kept: Any, places: Any,
    *, height: float, width: float, count: int, threshold: float = 0.7,
) -> None:  # fmt: skip
    """The ``count`` best boxes of each image that do not overlap by more than ``threshold``.

    scores: (N, A); deltas: (N, A, 4) as (dx, dy, log dw, log dh) relative to anchors: (A, 4) as
    (x1, y1, x2, y2). Gives boxes (N, count, 4), their scores (N, count) and their numbers (N,
    count), which is -1 where no box was left.
    """
    total = scores.shape[1]
    for image in dlp.each(range(scores.shape[0])):
        edges = [
            _edge(anchors, deltas[image], axis, limit) for axis, limit in ((0, width), (1, height))
        ]
        (x1, x2), (y1, y2) = edges
        area, side = dlp.nram((1, total), float32), dlp.nram((1, total), float32)
        dlp.vector_sub(area, x2, x1)
        dlp.vector_sub(side, y2, y1)
        dlp.vector_mul(area, area, side)
        raw, left = dlp.nram((1, total), float32), dlp.nram((1, total), float16)
        dlp.load(raw, scores[image : image + 1])
        dlp.convert(left, raw)
        numbers = dlp.nram((1, total), int64)
        dlp.grid(numbers, (0, 1))
        for rank in range(count):
            with dlp.scope():
                found, place, best = _best(left, total)
                chosen = []
                for source in (x1, y1, x2, y2, area):
                    chosen.append(dlp.nram((1, 1), float32))
                    dlp.pick(chosen[-1], source, place)
                _suppress(left, numbers, place, (x1, y1, x2, y2, area), chosen, threshold)
                for tile, target in zip(chosen, (0, 1, 2, 3), strict=False):
                    dlp.vector_where(tile, found, tile, 0.0)
                    dlp.store(boxes[image : image + 1, rank, target : target + 1], tile)
                score = dlp.nram((1, 1), float32)
                dlp.convert(score, best)
                dlp.vector_where(score, found, score, 0.0)
                dlp.vector_where(place, found, place, -1)
                dlp.store(kept[image : image + 1, rank : rank + 1], score)
                dlp.store(places[image : image + 1, rank : rank + 1], place)


def _edge(anchors: Any, deltas: Any, axis: int, limit: float) -> tuple[Any, Any]:
    """Lower and upper edges of all boxes along an axis, cut off at the image's."""
    total = anchors.shape[0]
    low, high, moved, grown = (dlp.nram((1, total), float32) for _ in range(4))
    for tile, source in ((low, anchors[:, axis]), (high, anchors[:, axis + 2])):
        dlp.load(tile, source.expand(1, total))
    for tile, source in ((moved, deltas[:, axis]), (grown, deltas[:, axis + 2])):
        dlp.load(tile, source.expand(1, total))
    dlp.vector_sub(high, high, low)  # the anchor's size
    dlp.vector_mul(moved, moved, high)
    dlp.vector_add(low, low, moved)
    dlp.vector_mul(moved, high, 0.5)
    dlp.vector_add(low, low, moved)  # the box's centre
    dlp.vector_exp(grown, grown)
    dlp.vector_mul(grown, grown, high)
    dlp.vector_mul(grown, grown, 0.5)
    dlp.vector_add(high, low, grown)
    dlp.vector_sub(low, low, grown)
    for tile in (low, high):
        dlp.vector_maximum(tile, tile, 0.0)
        dlp.vector_minimum(tile, tile, limit)
    return low, high


def _best(left: Any, total: int) -> tuple[Any, Any, Any]:
    """Whether any score is left, the place of the largest, and that score."""
    windows = -(-total // WINDOW)
    pooled, best = dlp.nram((1, windows), float16), dlp.nram((1, 1), float16)
    place, found = dlp.nram((1, 1), int64), dlp.nram((1, 1), bool_)
    dlp.maxpool(pooled, left, WINDOW, WINDOW, ((0, windows * WINDOW - total),))
    dlp.reduce_max(best, pooled, 1)
    dlp.reduce_argmax(place, left, 1)
    dlp.vector_lt(found, LOWEST, best)
    return found, place, best


def _suppress(
    left: Any, numbers: Any, place: Any, boxes: Any, chosen: Any, threshold: float
) -> None:
    """Take the chosen box, and all that overlap it by more than ``threshold`` of the union."""
    x1, y1, x2, y2, area = boxes
    over, side, union = (dlp.nram(area.shape, float32) for _ in range(3))
    hit, same = dlp.nram(area.shape, bool_), dlp.nram(area.shape, bool_)
    for target, low, high, a, b in ((over, x1, x2, 0, 2), (side, y1, y2, 1, 3)):
        dlp.vector_minimum(target, high, chosen[b])
        dlp.vector_maximum(union, low, chosen[a])
        dlp.vector_sub(target, target, union)
        dlp.vector_maximum(target, target, 0.0)
    dlp.vector_mul(over, over, side)
    dlp.vector_add(union, area, chosen[4])
    dlp.vector_sub(union, union, over)
    dlp.vector_mul(union, union, threshold)
    dlp.vector_lt(hit, union, over)
    dlp.vector_eq(same, numbers, place)
    dlp.vector_bitwise_or(hit, hit, same)
    dlp.vector_where(left, hit, LOWEST, left)


def main() -> None:
    """Two images of 600 anchors, on the device and on the cpu."""
    dt.manual_seed(0)
    corners = dt.rand(600, 2) * 200
    anchors = dt.cat([corners, corners + 20 + dt.rand(600, 2) * 60], 1)
    scores, deltas = dt.randn(2, 600), dt.randn(2, 600, 4) * 0.1
    options = {"height": 240.0, "width": 280.0, "count": 5, "threshold": 0.5}
    with dovetail_dlp.profile() as found:
        boxes, kept, _ = proposal(scores.dlp(), deltas.dlp(), anchors.dlp(), **options)
        print(boxes[0].cpu(), kept[0].cpu(), sep="\n")
    same = proposal(scores, deltas, anchors, **options)[0]
    print("as on the cpu:", dt.allclose(boxes.cpu(), same, rtol=1e-4, atol=1e-3))
    print(str(found).splitlines()[2])


if __name__ == "__main__":
    main()
