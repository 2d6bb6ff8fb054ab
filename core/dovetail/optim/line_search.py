"""A step's length by the strong Wolfe conditions (Nocedal and Wright, algorithms 3.5 and 3.6).

Trial lengths come from the cubic through two points' values and slopes; details are minFunc's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["strong_wolfe"]

DECREASE, CURVATURE, SMALLEST = 1e-4, 0.9, 1e-9

Point = tuple[Any, float, Any, Any]
"""(length, loss, gradient, slope)"""


def strong_wolfe(
    along: Callable[[Any], tuple[float, Any, Any]],
    start: Point,
    length: Any,
    size: Any,
    most: int,
) -> tuple[tuple[Any, float, Any], int]:
    """The best length found, with loss and gradient there, and how many points were evaluated.

    Args:
        along: loss, gradient and slope at a length.
        start: the point at length 0.
        length: the one to try first.
        size: the largest element of the direction.
        most: how many trials there may be after the first.
    """
    _, first_loss, _, first_slope = start

    def rises(point: Point) -> bool:
        return bool(point[1] > first_loss + DECREASE * point[0] * first_slope)

    def is_flat(point: Point) -> bool:
        return bool(abs(point[3]) <= -CURVATURE * first_slope)

    before, now = start, (length, *along(length))
    used, trials = 1, 0
    bracket: list[Point] = [start, now]
    while trials < most:
        if rises(now) or (trials > 1 and now[1] >= before[1]):
            bracket = [before, now]
            break
        if is_flat(now):
            return now[:3], used
        if now[3] >= 0:
            bracket = [before, now]
            break
        shortest, longest = now[0] + 0.01 * (now[0] - before[0]), now[0] * 10
        length = _cubic(before, now, shortest, longest)
        before, now = now, (length, *along(length))
        used, trials = used + 1, trials + 1
    if trials == most:
        bracket = [start, now]

    is_stuck = False
    low, high = (0, 1) if bracket[0][1] <= bracket[-1][1] else (1, 0)
    while trials < most:
        ends = bracket[0][0], bracket[1][0]
        if abs(ends[1] - ends[0]) * size < SMALLEST:
            break
        length = _cubic(bracket[0], bracket[1], min(ends), max(ends))
        margin = 0.1 * (max(ends) - min(ends))
        is_near = min(max(ends) - length, length - min(ends)) < margin
        if is_near and (is_stuck or length >= max(ends) or length <= min(ends)):
            is_low_end = abs(length - max(ends)) >= abs(length - min(ends))
            length = min(ends) + margin if is_low_end else max(ends) - margin
            is_stuck = False
        else:
            is_stuck = bool(is_near)
        now = (length, *along(length))
        used, trials = used + 1, trials + 1
        if rises(now) or now[1] >= bracket[low][1]:
            bracket[high] = now
            low, high = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
            continue
        done = is_flat(now)
        if not done and now[3] * (bracket[high][0] - bracket[low][0]) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = now
        if done:
            break
    return bracket[low][:3], used


def _cubic(a: Point, b: Point, shortest: Any, longest: Any) -> Any:
    """Where the cubic through two points is smallest, kept within bounds; else their middle."""
    if a[0] > b[0]:
        a, b = b, a
    x1, f1, _, g1 = a
    x2, f2, _, g2 = b
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1**2 - g1 * g2
    if not square >= 0:
        return (shortest + longest) / 2.0
    d2 = square.sqrt()
    return min(max(x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2)), shortest), longest)
