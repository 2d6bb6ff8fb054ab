"""Random tensors: the words' meaning, the same numbers on every device, and generators' state.

``random_bits`` itself has Random123's known answers among the storage primitives. Here draws are
compared with the definition in ``dovetail.ops.randomness.draws``, and with the host's for the same
seed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail_conformance.calls import host
from dovetail_conformance.checks.storage import philox
from dovetail_conformance.checks.variants import Guarded
from dovetail_conformance.compare import EPS, check_close, check_equal
from dovetail_conformance.device_bytes import module_of
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]

SEED = 1234
SHAPES = ((), (1,), (3,), (4,), (5,), (2, 3), (17, 3), (0, 2), (1025,))
STEPS = 8
"""Units in the last place that a device's log, cos and sin may be off in all, of numbers near 1."""


def cases(target: Target) -> Iterator[Case]:
    """Draw by draw and dtype by dtype, then generators."""
    for dtype in target.dtypes:
        for op, (kinds, _) in DRAWS.items():
            if kinds(dtype):
                run = functools.partial(_draw, op, dtype)
                yield Case(1, "random", op, dtype.name, "", run)
        if dtype.is_floating_point:
            run = functools.partial(_written, dtype)
            yield Case(1, "random", "written", dtype.name, "", run)
    if d.int32 in target.dtypes:
        yield Case(1, "random", "rand", "float32", "definition", _defined)
        yield Case(1, "random", "randint", "int64", "definition", _defined_integers)
        yield Case(1, "random", "generator", "", "", _generator)
        yield Case(1, "random", "default generator", "", "", functools.partial(_default, target))


def _any(dtype: d.dtype) -> bool:
    return True


def _float(dtype: d.dtype) -> bool:
    return dtype.is_floating_point


Draw = Callable[[tuple[int, ...], d.dtype, str, Any], Any]

DRAWS: dict[str, tuple[Callable[[d.dtype], bool], Draw]] = {
    "rand": (
        lambda k: k.category >= 2,
        lambda s, k, dev, g: dt.rand(s, dtype=k, device=dev, generator=g),
    ),
    "randn": (
        lambda k: k.category >= 2,
        lambda s, k, dev, g: dt.randn(s, dtype=k, device=dev, generator=g),
    ),
    "randint": (
        lambda k: k.category == 1 or k in (d.float32, d.float64),
        lambda s, k, dev, g: dt.randint(3, 100, s, dtype=k, device=dev, generator=g),
    ),
    "randint wide": (
        lambda k: k is d.int64,
        lambda s, k, dev, g: dt.randint(-(2**40), 2**50, s, dtype=k, device=dev, generator=g),
    ),
    "randperm": (
        lambda k: k in (d.int64, d.int32, d.float32),
        lambda s, k, dev, g: dt.randperm(_size(s), dtype=k, device=dev, generator=g),
    ),
    "bernoulli": (
        _float,
        lambda s, k, dev, g: dt.bernoulli(dt.full(s, 0.3, dtype=k, device=dev), generator=g),
    ),
    "normal": (
        _float,
        lambda s, k, dev, g: dt.empty(s, dtype=k, device=dev).normal_(0.5, 0.25, generator=g),
    ),
    "uniform_": (
        _float,
        lambda s, k, dev, g: dt.empty(s, dtype=k, device=dev).uniform_(-1, 1, generator=g),
    ),
    "bernoulli_": (
        lambda k: not k.is_complex,
        lambda s, k, dev, g: dt.empty(s, dtype=k, device=dev).bernoulli_(0.4, generator=g),
    ),
    "random_": (
        lambda k: k.category == 1 and k is not d.int64,
        lambda s, k, dev, g: dt.empty(s, dtype=k, device=dev).random_(0, 100, generator=g),
    ),
    "dropout": (
        _float,
        lambda s, k, dev, g: _with_seed(
            dev, lambda: dt.nn.functional.dropout(dt.ones(s, dtype=k, device=dev), 0.25)
        ),
    ),
    "dropout of half": (
        _float,
        lambda s, k, dev, g: _with_seed(
            dev, lambda: dt.nn.functional.dropout(dt.ones(s, dtype=k, device=dev), 0.5)
        ),
    ),
}
"""Operator -> (dtypes, a draw of a shape and dtype on a device from a generator)."""


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=int))


def _with_seed(device: str, draw: Callable[[], Any]) -> Any:
    """For draws that take no generator: the device's own, which others find as it was."""
    with dt.random.fork_rng([device]):
        dt.manual_seed(SEED)
        return draw()


def _seeded(device: str, seed: int = SEED) -> Any:
    return dt.Generator(device).manual_seed(seed)


def _compare(made: np.ndarray, expected: np.ndarray, dtype: d.dtype, what: str) -> None:
    """Equal integers; floats within the rounding of a few steps near 1."""
    if dtype.category < 2:
        check_equal(made, expected, what)
    else:
        allowed = STEPS * EPS[dtype.name] * np.maximum(np.abs(expected.astype(complex)), 1)
        check_close(made, expected, dtype, allowed, what)


def _draw(op: str, dtype: d.dtype, trial: Trial) -> None:
    draw = DRAWS[op][1]
    for shape in SHAPES:
        with trial.attempt(shape=[list(shape)], numel=_size(shape), layout="contiguous"):
            made = draw(shape, dtype, trial.device, _seeded(trial.device))
            expected = draw(shape, dtype, "cpu", _seeded("cpu"))
            if made.dtype is not dtype or made.device != dt.device(trial.device):
                raise Mismatch(f"{op}: must be {dtype} on {trial.device}, is {made}", "dtype")
            what = f"{op} of shape {shape} from seed {SEED}"
            _compare(host(made), host(expected), dtype, what)
    if not op.startswith("dropout"):
        with trial.attempt(stage="next draw"):
            g = _seeded(trial.device)
            first, second = (host(draw((64,), dtype, trial.device, g)) for _ in range(2))
            if first.tobytes() == second.tobytes():
                raise Mismatch(f"{op}: two draws from one generator gave the same", "repeats")
            again = host(draw((64,), dtype, trial.device, _seeded(trial.device)))
            if first.tobytes() != again.tobytes():
                raise Mismatch(f"{op}: the same seed gave other numbers", "repeatable")


def _written(dtype: d.dtype, trial: Trial) -> None:
    """Into views: numbers count row-major, whatever the strides, and nothing else is written."""
    for layout in ("contiguous", "offset", "transposed", "stepped", "mixed"):
        for op in ("uniform_", "normal_", "bernoulli_"):
            guarded = Guarded(np.zeros((3, 5), dtype.numpy), layout, trial.device)
            with trial.attempt(layout=layout, numel=15, stage=op):
                getattr(guarded.view, op)(generator=_seeded(trial.device))
                plain = dt.empty(3, 5, dtype=dtype)
                getattr(plain, op)(generator=_seeded("cpu"))
                what = f"{op} of a {layout} tensor"
                _compare(host(guarded.view), host(plain), dtype, what)
                guarded.check(what)


def _defined(trial: Trial) -> None:
    """float32: the upper 24 bits of a word, over 2**24."""
    for n in (1, 4, 7, 1030):
        with trial.attempt(numel=n):
            made = host(dt.rand(n, device=trial.device, generator=_seeded(trial.device)))
            expected = (philox(SEED, 0, n) >> 8).astype(np.float64) * 2.0**-24
            check_close(made, expected, d.float32, np.full(n, 1e-300), f"rand({n})")


def _defined_integers(trial: Trial) -> None:
    for low, high in _RANGES:
        with trial.attempt(numel=100, stage=f"[{low}, {high})"):
            g = _seeded(trial.device)
            made = host(dt.randint(low, high, (20, 5), device=trial.device, generator=g))
            expected = _integers(low, high, 100).reshape(20, 5)
            check_equal(made, expected, f"randint({low}, {high})")
    for low in (-(2**63), -5):
        with trial.attempt(numel=100, stage=f"from {low} to the largest"):
            x = dt.empty((20, 5), dtype=dt.int64, device=trial.device)
            x.random_(low, None, generator=_seeded(trial.device))
            expected = _integers(low, 2**63, 100).reshape(20, 5)
            check_equal(host(x), expected, f"random_({low}, None)")


_RANGES = (
    (0, 2), (0, 10), (-5, 100), (0, 2**31), (0, 2**31 + 1), (-(2**40), 2**50), (0, 2**63 - 1),
    (-(2**62) - 5, 2**62 + 7), (-(2**62), 2**62), (-(2**63), 5), (-(2**63), 2**63 - 1),
    (-9, 2**63 - 1),
)  # fmt: skip
"""Up to 2**31 numbers take one word each, the others two; from 2**63 all 64 bits count."""


def _integers(low: int, high: int, n: int) -> np.ndarray:
    """What ``randint`` is defined to give, in Python's integers."""
    span = high - low
    if span <= 2**31:
        made = [low + (int(w) * span >> 32) for w in philox(SEED, 0, n)]
        return np.array(made, np.int64)
    pairs = philox(SEED, 0, 2 * n).astype(object).reshape(n, 2)
    made = []
    for first, second in pairs:
        whole = int(second) << 32 | int(first)
        if span < 2**63:
            made.append(low + whole % 2**63 % span)
            continue
        signed = whole - 2**64 if whole >= 2**63 else whole
        above = signed - high + low if signed >= high else signed
        made.append(above if above >= low else above + 2**63 + low)
    return np.array(made, np.int64)


# Generators


def _generator(trial: Trial) -> None:
    g = _seeded(trial.device)
    with trial.attempt(stage="offset"):
        for words, blocks in ((1, 1), (4, 2), (5, 4), (0, 4)):
            dt.rand(words, device=trial.device, generator=g)
            if g.get_offset() != blocks:
                raise Mismatch(
                    f"get_offset(): must be {blocks} after {words} more words, is {g.get_offset()}",
                    "generator",
                )
    with trial.attempt(stage="state"):
        saved, twin = g.get_state(), g.clone_state()
        first = host(dt.randn(33, device=trial.device, generator=g))
        g.set_state(saved)
        for name, other in (("set_state", g), ("clone_state", twin)):
            again = host(dt.randn(33, device=trial.device, generator=other))
            if first.tobytes() != again.tobytes():
                raise Mismatch(f"{name}: the draw after it must be the same", "generator")
    with trial.attempt(stage="seed"):
        a, b = (
            host(dt.rand(64, device=trial.device, generator=_seeded(trial.device, s)))
            for s in (1, 2)
        )
        if (a == b).any():
            raise Mismatch("two seeds gave equal numbers", "generator")


def _default(target: Target, trial: Trial) -> None:
    """``manual_seed`` begins the device's stream again; its state is saved and brought back."""
    module = module_of(trial.device)
    draw: Callable[[], np.ndarray] = lambda: host(dt.rand(65, device=trial.device))
    with dt.random.fork_rng([trial.device]):
        with trial.attempt(stage="manual_seed"):
            dt.manual_seed(SEED)
            first, second = draw(), draw()
            dt.manual_seed(SEED)
            if draw().tobytes() != first.tobytes() or draw().tobytes() != second.tobytes():
                raise Mismatch("manual_seed: must begin the same stream again", "generator")
            dt.manual_seed(SEED)
            check_equal(first, host(dt.rand(65)), "rand after manual_seed, as on the host")
        with trial.attempt(stage="rng_state"):
            saved = module.get_rng_state(trial.device)
            first = draw()
            draw()
            module.set_rng_state(saved, trial.device)
            if draw().tobytes() != first.tobytes():
                raise Mismatch("set_rng_state: the draw after it must be the same", "generator")
        with trial.attempt(stage="fork_rng"):
            saved = bytes(module.get_rng_state(trial.device).tolist())
            with dt.random.fork_rng([trial.device]):
                draw()
            if bytes(module.get_rng_state(trial.device).tolist()) != saved:
                raise Mismatch("fork_rng: the generator must be as before", "generator")
