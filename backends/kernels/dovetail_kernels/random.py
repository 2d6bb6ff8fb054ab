"""Random bits, and the draws that are made of them, each in one launch.

What a draw is, the core says (``dovetail.ops.randomness.draws``). Seed, offset and the draw's own
numbers are arguments of the kernel, so that one launch serves all draws of a size.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING, INTEGRAL, finfo, float32, float64
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.device import Launch, device_of
from dovetail_kernels.random_lanes import IS_NORMAL, called, drawn
from dovetail_kernels.source import element, program

__all__ = ["WORD_BITS", "enter", "stream"]

WORD_BITS = 24
"""Bits of a word that float32 holds."""

BITS = {"float32": WORD_BITS, "float16": 11, "bfloat16": 8}
"""Bits of a word that become a number in [0, 1)."""

AFTER = "AFTER({})"
"""What a number becomes before it is kept (see ``FORMS``)."""

FORMS: dict[str, tuple[str, Callable[[Mapping[str, Any], DType], tuple[float, ...]]]] = {
    "random_between": (
        "min((v) * first + second, third)",
        lambda given, _: (given["high"] - given["low"], given["low"], given["most"]),
    ),
    "random_scaled": ("((v) * first + second)", lambda given, _: (given["std"], given["mean"])),
    "random_exponential": (
        "(min({log1p}(-(v)), second) / first)",
        lambda given, kind: (-given["rate"], -finfo(kind).eps / 2),
    ),
    "random_geometric": (
        "max(ceil({log1p}(-(v)) / first), second)",
        lambda given, _: (math.log1p(-given["p"]), 1),
    ),
    "random_cauchy": (
        "({sin}(((v) - 0.5f) * third) / {cos}(((v) - 0.5f) * third) * first + second)",
        lambda given, _: (given["sigma"], given["median"], math.pi),
    ),
    "random_log_normal": (
        "{exp}((v) * first + second)",
        lambda given, _: (given["std"], given["mean"]),
    ),
}
"""By name of a draw, what becomes of its numbers, and the numbers that stand in it, of the draw's
attributes and of what it is computed in."""

APART = """#pragma OPENCL FP_CONTRACT OFF
"""
"""A product is rounded before anything is added to it, as that of two operators is."""


def _shifting(given: Mapping[str, Any], kind: DType) -> tuple[float, ...]:
    return given["slope"], given["shift"]


def _nothing(given: Mapping[str, Any], kind: DType) -> tuple[float, ...]:
    return ()


FOUR = "{{{0}(c.x), {0}(c.y), {0}(c.z), {0}(c.w)}}"


def _each(function: str) -> str:
    return FOUR.format(function)


def _made(name: str, dtype: DType) -> tuple[int, str]:
    """(elements of a block, the statements that make them)."""
    kind = dialect.VALUES[dtype.name]
    is_double = dtype.name == "float64"
    if name == "random_bits":
        if dtype.itemsize == 1:  # the words' bytes, the low one first
            return 16, "uint made_[4] = {c.x, c.y, c.z, c.w}; const uchar *made = (uchar *)made_;"
        return 4, f"const {kind} made[4] = {{c.x, c.y, c.z, c.w}};"
    if name == "random_noise":
        if is_double:
            row = ", ".join(f"UNIFORM(c.{x}) < p ? scale : 0" for x in "xyzw")
            return 4, f"const double made[4] = {{{row}}};"
        return 4, f"const float made[4] = {_each('NOISE')};"
    if name == "random_integers":
        return 4, f"const long made[4] = {_each('WHOLE')};"
    if name == "random_keys":
        keys = ", ".join(f"(long)((ulong)c.{b} << 32 | c.{a})" for a, b in ("xy", "zw"))
        return 2, f"const long made[2] = {{{keys}}};"
    if name == "random_whole":
        return 4, f"const {kind} made[4] = {_each(f'({kind})WHOLE')};"
    if name not in IS_NORMAL:
        if is_double:
            pairs = "UNIFORM_DOUBLE(c.x, c.y)", "UNIFORM_DOUBLE(c.z, c.w)"
            return 2, f"const double made[2] = {{{', '.join(map(AFTER.format, pairs))}}};"
        return 4, f"const float made[4] = {_each('UNIFORM_AFTER')};"
    if is_double:
        return 2, (
            "const double r = RADIUS(UNIFORM_DOUBLE(c.x, c.y)); "
            "const double t = UNIFORM_DOUBLE(c.z, c.w) * TURN; "
            "const double made[2] = {AFTER(r * COS_ONE(t)), AFTER(r * SIN_ONE(t))};"
        )
    return 4, (
        "const float r = RADIUS(UNIFORM(c.x)), q = RADIUS(UNIFORM(c.z)); "
        "const float s = UNIFORM(c.y) * TURN, t = UNIFORM(c.w) * TURN; "
        "const float made[4] = {AFTER(r * COS_ONE(s)), AFTER(r * SIN_ONE(s)), "
        "AFTER(q * COS_ONE(t)), AFTER(q * SIN_ONE(t))};"
    )


def _launch(
    name: str,
    out: Any,
    given: Mapping[str, Any],
    *,
    moves: bool = False,
    times: Mapping[str, str] | None = None,
) -> Launch:
    """The kernel, to be called with the stream's numbers.

    Args:
        given: the draw's own numbers.
        moves: for :meth:`Device.draw_state`, as the last buffer.
        times: the second and third buffers are a product and an input, and this is what becomes of
            them (see ``STEPS``).
    """
    device = device_of(out.device)
    per, made = _made(name, out.dtype)
    # Noise compares with float32 numbers, and Box and Muller begin with them, whatever comes out.
    bits = BITS.get(out.dtype.name, WORD_BITS) if name == "random_uniform" else WORD_BITS
    kind = float64 if out.dtype is float64 else float32
    form, numbers_of = FORMS.get(name, ("(v)", _shifting if "slope" in given else _nothing))
    owned = numbers_of(given, kind)
    wide, scalar = ("double", np.float64) if device.has_double else ("float", np.float32)
    side_by_side, helpers = drawn(device, name, out.dtype)
    macros = {
        "MOVES": int(moves),
        "TIMES": int(times is not None),
        "TIMED(x, v)": "((x) * (v))",
        "NOISE_OF(x, v)": "(v)",
        "INNER": 0,
        **{f"{one}(v)": f"{function}(v)" for function, one in called(name, "ONE").items()},
        **side_by_side,
        "PER": per,
        "TURN": f"{math.tau!r}{'' if out.dtype.name == 'float64' else 'f'}",
        "MADE": made,
        "BITS": bits,
        "STEP": f"{2.0**-bits!r}f",
        "double_or_float": wide,
        "FORM": "double" if out.dtype.name == "float64" else "float",
        "AFTER(v)": form.format(**called(name, "ONE")),
        "AFTER_LANES(v)": form.format(**called(name, "LANES")),
        **element(device, "OUT", out.dtype),
        **(times or {}),
    }
    text = program(
        device, "random", macros, (out.dtype,), ("philox",), text=APART * bool(owned) + helpers
    )
    each = given.get("range", 1) if times and "INNER" in times else 1
    size = device.workers(-(-out.numel * each // per), 1024)
    kinds = {"p": np.float32, "scale": scalar, "low": np.int64, "range": np.uint64}
    own: list[Any] = [kind(given.get(label, 0)) for label, kind in kinds.items()]
    own += [kind.numpy.type(number) for number in (*owned, *[0] * (3 - len(owned)))]
    numbers = [np.zeros(8, np.uint64), np.uint64(out.numel), *own]
    return device.launch(text, "draw", 1 + 2 * (times is not None) + moves, numbers, size, name)


_WORD = (1 << 64) - 1
_pack = struct.Struct("<8Q").pack


def stream(
    seed: int, offset: int, begin: int, product: int = 0, factor: int = 0
) -> tuple[tuple[int, bytes]]:
    """What differs from draw to draw, and where its arrays begin, in elements."""
    high = offset >> 64 & _WORD
    return ((0, _pack(seed, offset & _WORD, high, begin, product, factor, 0, 0)),)


def _specialised(name: str) -> Any:
    """``kernel(out, *, seed, offset)`` for what is the same in all draws of a spec."""

    def specialise(facts: Any) -> Any:
        (out,), given = facts.outputs, facts.attributes
        own = {label: given[label] for label in given if label not in ("seed", "offset")}
        device, itemsize = device_of(out.device), out.dtype.itemsize
        launches: dict[bool, Launch] = {}

        def launched(*, moves: bool) -> Launch:
            made: Launch = device.keep(
                (name, out.dtype, out.numel, moves, *own.values()),
                lambda: _launch(name, out, own, moves=moves),
            )
            return launches.setdefault(moves, made)

        def run(array: Any, *, seed: int, offset: int) -> None:
            if not array.numel:
                return
            state = device.draw_state()
            moves = state is not None
            launch = launches.get(moves) or launched(moves=moves)
            buffers = (array.buffer, state) if moves else (array.buffer,)
            launch.with_numbers(buffers, stream(seed, offset, array.offset // itemsize))

        return run

    return specialise


def _bits(facts: Any) -> Any:
    """A storage primitive: seed and offset are attributes as all others."""
    run = _specialised("random_bits")(facts)
    seed, offset = facts.attributes["seed"], facts.attributes["offset"]
    return lambda array: run(array, seed=seed, offset=offset)


OF_FEATURES = {"INNER": "1", "LANES": "1"}
SHIFTED = {"TIMED(x, v)": "((x) * (v) + ((v) * first + second))"}

STEPS: dict[str, tuple[str, dict[str, str]]] = {
    "dropout_step": ("random_noise", {}),
    "feature_dropout_step": ("random_noise", OF_FEATURES),
    "alpha_dropout_step": ("random_noise", SHIFTED),
    "feature_alpha_dropout_step": ("random_noise", OF_FEATURES | SHIFTED),
    "rrelu_step": ("random_between", {"NOISE_OF(x, v)": "((x) >= 0 ? (v) * 0 + 1 : (v))"}),
}
"""By name, what is drawn, and what becomes of an element and of what is drawn for it."""


def _times(name: str, facts: Any) -> Any:
    """A draw that multiplies an input, too."""
    out, (drawn_name, macros) = facts.inputs[1], STEPS[name]  # the noise
    device, itemsize = device_of(out.device), out.dtype.itemsize
    own = dict(facts.attributes)
    if "INNER" in macros:
        own["range"] = facts.outputs[0].numel // out.numel
    if "scale" in own:
        # The product is that by the noise in memory, so the scale is rounded as that is.
        own["scale"] = np.array(own["scale"]).astype(out.dtype.numpy).astype(np.float64)
    launches: dict[bool, Launch] = {}

    def run(array: Any, seed: int, offset: int, made: Any, noise: Any) -> None:
        state = device.draw_state()
        moves = state is not None
        launch = launches.get(moves)
        if launch is None:
            launch = launches[moves] = _launch(drawn_name, out, own, moves=moves, times=macros)
        buffers = (noise.buffer, made.buffer, array.buffer)
        begin = stream(
            seed, offset, noise.offset // itemsize, made.offset // itemsize,
            array.offset // itemsize,
        )  # fmt: skip
        launch.with_numbers((*buffers, state) if moves else buffers, begin)

    return run


def enter(table: KernelTable) -> None:
    """Enter the primitive and the draws."""
    options: dict[str, Any] = {"layout": "contiguous", "specialize": True}
    table.add("random_bits", _bits, **options)
    for name in ("random_uniform", "random_normal", "random_noise", *FORMS):
        table.add(name, _specialised(name), dtypes=FLOATING, **options)
    tries = _specialised("random_geometric")
    table.add("random_geometric", tries, dtypes=INTEGRAL, when=_is_few, **options)
    for name, (drawn_name, _) in STEPS.items():
        # The slopes of halves would be rounded once more in memory.
        kinds = FLOATING if drawn_name == "random_noise" else (float32, float64)
        table.add(name, partial(_times, name), dtypes=kinds, **options)
    table.add("random_keys", _specialised("random_keys"), when=_is_few, **options)
    table.add("random_integers", _specialised("random_integers"), when=_is_short, **options)
    whole = _specialised("random_whole")
    table.add("random_whole", whole, when=lambda call: _is_few(call) and _is_short(call), **options)


FEW = 1 << 14
"""Numbers that are drawn one by one; of more, vectors are made into what is asked for."""


def _is_few(call: Any) -> bool:
    return bool(call.outputs[0].numel <= FEW)


def _is_short(call: Any) -> bool:
    return bool(call.attributes["range"] <= 1 << 31)
