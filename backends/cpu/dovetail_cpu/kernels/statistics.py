"""Means, variances, norms, logsumexp and medians of NumPy float arrays.

float16 and bfloat16 are computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING, float32, float64
from dovetail_cpu.kernels.dense import Kernel, kept, squares, summing, widened
from dovetail_cpu.kernels.reduce import extremes, float_total

__all__ = ["enter"]


def _count(facts: Any) -> int:
    spec = facts.inputs[0]
    return math.prod(spec.shape[n] for n in facts.attributes["dim"])


def mean(facts: Any) -> Kernel:
    """Sum over dims, divided by how many."""
    spec, count = facts.inputs[0], _count(facts)
    add = float_total(spec, facts.outputs[0], facts.attributes["dim"])

    def run(x: np.ndarray, out: np.ndarray) -> None:
        add(x, out)
        np.true_divide(out, count, out)

    return widened(run, spec.dtype)


def _moments(root: bool, with_mean: bool) -> Callable[[Any], Kernel]:
    """Variance in two passes: the mean, then the squares of what is left."""

    def make(facts: Any) -> Kernel:
        spec, dim = facts.inputs[0], facts.attributes["dim"]
        shape = kept(tuple(spec.shape), dim)
        count = _count(facts)
        freedom = max(count - facts.attributes["correction"], 0)
        sums, of_squares = summing(spec, dim), squares(spec, dim)

        def run(x: np.ndarray, out: np.ndarray, *mean_out: np.ndarray) -> None:
            middle = np.asarray(sums(x) / x.dtype.type(count))
            off = x - middle.reshape(shape)
            np.true_divide(of_squares(off), x.dtype.type(freedom), out.reshape(middle.shape))
            if root:
                np.sqrt(out, out)
            if with_mean:
                np.copyto(mean_out[0], middle.reshape(out.shape))

        if freedom:
            return widened(run, spec.dtype)

        def endless(*arrays: np.ndarray) -> None:
            with np.errstate(all="ignore"):  # the result is NaN or infinity, and known to be
                run(*arrays)

        return widened(endless, spec.dtype)

    return make


def norm(facts: Any) -> Kernel:
    """The 2-norm over dims."""
    spec = facts.inputs[0]
    of_squares = squares(spec, facts.attributes["dim"])

    def run(x: np.ndarray, out: np.ndarray) -> None:
        np.sqrt(np.reshape(of_squares(x), out.shape), out)

    return widened(run, spec.dtype)


def logsumexp(facts: Any) -> Kernel:
    """``log(sum(exp(x)))`` over dims."""
    spec, dim = facts.inputs[0], facts.attributes["dim"]
    shape = kept(tuple(spec.shape), dim)
    tops, sums = extremes(np.maximum, spec, dim), summing(spec, dim)

    def run(x: np.ndarray, out: np.ndarray) -> None:
        top = np.asarray(tops(x))
        endless = np.isinf(top)
        if endless.any():  # infinity minus itself would be NaN
            top = np.where(endless, np.zeros((), top.dtype), top)
        result = out.reshape(top.shape)
        np.log(sums(np.exp(x - top.reshape(shape))), result)
        np.add(result, top, result)

    return widened(run, spec.dtype)


def median(input: np.ndarray, out: np.ndarray) -> None:
    """The lower middle element; NaN where there is one."""
    if not input.size or np.isnan(input).any():
        out.fill(np.nan)
        return
    middle = (input.size - 1) // 2
    np.copyto(out, np.partition(input, middle, None)[middle])


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    floats = {
        "mean": mean,
        "var": _moments(False, False),
        "std": _moments(True, False),
        "var_mean": _moments(False, True),
        "std_mean": _moments(True, True),
    }
    table.update(floats, dtypes=FLOATING, specialize=True)
    some = lambda facts: bool(facts.inputs[0].numel)
    table.add("logsumexp", logsumexp, dtypes=FLOATING, when=some, specialize=True)
    is_square = lambda facts: facts.attributes["ord"] == 2
    table.add("vector_norm", norm, dtypes=FLOATING, when=is_square, specialize=True)
    table.add("median", median, dtypes=(float32, float64))
