"""The four storage primitives: fill, copy, arange and random_bits.

``copy`` is what packs, casts and moves for every other operator, so it is tried between all
layouts and all dtypes. The random words are Random123's known answers.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail_conformance.calls import host
from dovetail_conformance.checks.variants import Guarded
from dovetail_conformance.compare import check_close, check_equal
from dovetail_conformance.layouts import LAYOUTS, place
from dovetail_conformance.model import Case, Trial
from dovetail_conformance.target import Target

__all__ = ["cases", "philox"]

SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (5,), (3, 4), (2, 3, 4), (0, 3), (2, 1, 3, 2))
WRITTEN = ("contiguous", "offset", "transposed", "stepped", "mixed")
INTERESTING = (0, 1, -1, 2, 3, -3, 7, 100, -100, 127, 200, 255, 0.5, -0.5, 1.75, -2.75, 1e-3)


def cases(target: Target) -> Iterator[Case]:
    """Each primitive in every dtype of the device."""
    for dtype in target.dtypes:
        yield Case(1, "values", "fill", dtype.name, "", functools.partial(_fill, dtype))
        if dtype is not d.bool_ and not dtype.is_complex:
            run = functools.partial(_arange, dtype)
            yield Case(1, "values", "arange", dtype.name, "", run)
        for other in target.dtypes:
            run = functools.partial(_cast, dtype, other)
            yield Case(1, "values", "copy", dtype.name, f"to {other.name}", run)
        if dtype in (d.float32, d.int64, d.uint8, d.bool_, d.float16, d.complex64):
            for source in LAYOUTS:
                run = functools.partial(_layouts, dtype, source)
                yield Case(1, "values", "copy", dtype.name, f"{source} to all", run)
        run = functools.partial(_large, dtype)
        yield Case(1, "sizes", "copy", dtype.name, "", run)
    if d.int32 in target.dtypes:
        yield Case(1, "values", "random_bits", "int32", "known answers", _known_answers)
        yield Case(1, "values", "random_bits", "int32", "stream", _stream)


def _same(made: np.ndarray, expected: np.ndarray, dtype: d.dtype, what: str) -> None:
    expected = np.asarray(expected).astype(dtype.numpy)
    if dtype.category >= 2:
        check_close(made, expected, dtype, 0.0 + np.zeros(expected.shape) + 1e-300, what)
    else:
        check_equal(made, expected, what)


def _fill(dtype: d.dtype, trial: Trial) -> None:
    values = (0, 1, True, 3) if dtype.category < 2 else (0, 1, True, -2.5, math.inf, math.nan)
    for shape, value in itertools.product(SHAPES, values):
        with trial.attempt(layout="contiguous", shape=[list(shape)], numel=math.prod(shape)):
            made = dt.full(shape, value, dtype=dtype, device=trial.device)
            _same(host(made), np.full(shape, value), dtype, f"full({shape}, {value})")
    for shape, layout in itertools.product(SHAPES, WRITTEN):
        guarded = Guarded(np.zeros(shape, dtype.numpy), layout, trial.device)
        with trial.attempt(layout=layout, shape=[list(shape)], numel=math.prod(shape)):
            what = f"fill_ of {layout} {shape}"
            guarded.view.fill_(1)
            _same(host(guarded.view), np.ones(shape), dtype, what)
            guarded.check(what)


def _arange(dtype: d.dtype, trial: Trial) -> None:
    steps: list[tuple[Any, Any, Any]] = [(0, 5, 1), (0, 0, 1), (2, 11, 3), (0, 1, 1), (0, 100, 1)]
    if dtype.is_signed:
        steps += [(5, -5, -1), (-7, 8, 2)]
    if dtype.category == 2:
        steps += [(0, 1, 0.25), (1, -1, -0.125), (0.5, 4, 0.5)]
    for start, end, step in steps:
        with trial.attempt(layout="contiguous", numel=max(0, math.ceil((end - start) / step))):
            made = dt.arange(start, end, step, dtype=dtype, device=trial.device)
            count = max(0, math.ceil((end - start) / step))
            expected = start + step * np.arange(count, dtype=np.float64)
            _same(host(made), expected, dtype, f"arange({start}, {end}, {step})")
    for n in (64, 65, 1000, 65539):
        if n < 2 ** (8 * dtype.itemsize - 1) and dtype not in (d.float16, d.bfloat16):
            with trial.attempt(layout="contiguous", numel=n):
                made = dt.arange(n, dtype=dtype, device=trial.device)
                _same(host(made), np.arange(n), dtype, f"arange({n})")


def _castable(source: d.dtype, target: d.dtype) -> np.ndarray:
    """Values whose conversion is defined: in range, for floats to integers."""
    values = np.array(INTERESTING)
    if source.category == 1:
        info = d.iinfo(source)
        whole = values[values == np.floor(values)]
        values = whole[(whole >= info.min) & (whole <= info.max)]
        extra = np.array([info.min, info.max], source.numpy)
        return np.concatenate([values.astype(source.numpy), extra])
    if source is d.bool_:
        return np.array([True, False, True])
    if target.category == 1:
        info = d.iinfo(target)
        values = values[(values > max(info.min, -2e9) - 0.5) & (values < min(info.max, 2e9))]
        if not target.is_signed:
            values = values[values >= 0]
        return values.astype(source.numpy)
    extra = np.array([math.inf, -math.inf, math.nan, -0.0, 1 / 3, 6e-5, 65504.0])
    made = np.concatenate([values, extra]).astype(source.numpy)
    if not source.is_complex:
        return made
    turned = np.empty(made.shape, source.numpy)
    turned.real, turned.imag = made.real, made[::-1].real
    return turned


def _cast(source: d.dtype, target: d.dtype, trial: Trial) -> None:
    values = _castable(source, target).astype(source.numpy)
    with np.errstate(all="ignore"):
        kept = values.real if source.is_complex and not target.is_complex else values
        if target is d.bool_:
            expected = values.astype(bool) if source.category != 3 else (values != 0)
        elif target.category == 1 and source.category >= 2:
            kept = np.where(np.isfinite(np.asarray(kept, np.float64)), kept, 0)
            values = np.where(np.isfinite(values.astype(complex)), values, 0).astype(source.numpy)
            limit = d.iinfo(target)
            inside = (kept >= limit.min) & (kept <= min(limit.max, 2**31))
            values = values[inside]
            expected = np.trunc(np.asarray(kept, np.float64)[inside]).astype(target.numpy)
        else:
            expected = kept.astype(target.numpy)
    for layout in ("contiguous", "stepped", "offset"):
        with trial.attempt(layout=layout, numel=values.size, stage=f"{source} to {target}"):
            x, _ = place(values, layout, trial.device)
            _same(host(x.to(target)), expected, target, f"{source} to {target}, {layout}")
    with trial.attempt(layout="contiguous", numel=1, stage=f"0-d {source} to {target}"):
        x, _ = place(values[:1].reshape(()), "offset", trial.device)
        _same(host(x.to(target)), expected[0].reshape(()), target, f"0-d {source} to {target}")


def _layouts(dtype: d.dtype, source: str, trial: Trial) -> None:
    rng = np.random.default_rng(5)
    for shape, layout in itertools.product(SHAPES, WRITTEN):
        values = rng.integers(0, 100, shape).astype(dtype.numpy)
        x, shown = place(values, source, trial.device)
        guarded = Guarded(np.zeros(shape, dtype.numpy), layout, trial.device)
        facts = {"shape": [list(shape)], "numel": values.size, "offset": x.storage_offset()}
        with trial.attempt(layout=f"{source} to {layout}", **facts):
            what = f"copy_ of {source} into {layout}, {shape}"
            guarded.view.copy_(x)
            _same(host(guarded.view), shown, dtype, what)
            guarded.check(what)
            _same(host(x), shown, dtype, f"the source of {what}")


def _large(dtype: d.dtype, trial: Trial) -> None:
    values = (np.arange(66 * 1000) % 113).astype(dtype.numpy).reshape(66, 1000)
    for layout in ("contiguous", "transposed", "mixed"):
        x, _ = place(values, layout, trial.device)
        with trial.attempt(layout=layout, numel=values.size, shape=[[66, 1000]]):
            made = dt.empty_like(x, memory_format=dt.contiguous_format).copy_(x)
            _same(host(made), values, dtype, f"copy of 66000 elements, {layout}")


# Random bits

KNOWN_ANSWERS = (
    ("0" * 16, "0" * 32, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("f" * 16, "f" * 32, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        "a4093822299f31d0",
        "243f6a8885a308d313198a2e03707344",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
)
"""(key, counter, the four words): ``kat_vectors`` of Random123 1.14, philox4x32 10."""


def philox(seed: int, offset: int, count: int) -> np.ndarray:
    """``count`` words of the stream, by the definition in Salmon et al., SC 2011, section 3."""
    words = []
    for block in range(-(-count // 4)):
        counter = block + offset
        c = [(counter >> (32 * i)) & 0xFFFFFFFF for i in range(4)]
        k = [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF]
        for _ in range(10):
            a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        words += c
    return np.array(words[:count], np.uint32)


def _bits(trial: Trial, seed: int, offset: int, count: int) -> np.ndarray:
    from dovetail.factories import run_storage

    made = dt.empty((count,), dtype=dt.int32, device=trial.device)
    run_storage("random_bits", made, {"seed": seed, "offset": offset})
    return host(made).view(np.uint32)


def _low_first(text: str) -> int:
    """The number whose words of 32 bits are written the lowest first."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    return sum(word << (32 * i) for i, word in enumerate(words))


def _known_answers(trial: Trial) -> None:
    for key, counter, answer in KNOWN_ANSWERS:
        words = [int(word, 16) for word in answer.split()]
        with trial.attempt(numel=4, stage="known answer"):
            made = _bits(trial, _low_first(key), _low_first(counter), 4)
            check_equal(made, np.array(words, np.uint32), f"Philox key {key} counter {counter}")


def _stream(trial: Trial) -> None:
    for seed, offset, count in (
        (1, 0, 1), (1, 0, 4), (1, 0, 5), (42, 3, 17), (2**40 + 7, 2**33, 10), (7, 2**32 - 2, 20),
        (7, 2**64 - 1, 12), (0, 0, 259), (5, 1, 1030),
    ):  # fmt: skip
        with trial.attempt(numel=count, stage="stream"):
            made = _bits(trial, seed, offset, count)
            what = f"random_bits(seed={seed}, offset={offset})"
            check_equal(made, philox(seed, offset, count), what)
