"""What failing calls may have in common: a table of facts to look for, and what each points at."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from dovetail import dtypes as d
from dovetail_conformance.attempts import Attempt, Call
from dovetail_conformance.layouts import filler

__all__ = ["CONTRASTS", "MAY_BE_EARLY", "SIGNS", "Contrast", "Sign"]


@dataclass(frozen=True)
class Contrast:
    """A property that divides calls into those that fail and those that do not.

    Attributes:
        name: a word for tests.
        title: what the failing calls have in common, continuing "calls …".
        hint: what to look at.
        holds: whether a call has the property; None where its facts do not say.
        sizes: the title's evidence is best given in numbers of elements.
    """

    name: str
    title: str
    hint: str
    holds: Callable[[Call], bool | None]
    sizes: bool = False


@dataclass(frozen=True)
class Sign:
    """Something that one failure alone tells, whatever other calls did.

    Attributes:
        name: a word for tests.
        title: what is wrong.
        hint: what to look at.
        shows: whether the failure is of this kind.
    """

    name: str
    title: str
    hint: str
    shows: Callable[[Attempt], bool]


def _layout(*names: str) -> Callable[[Call], bool | None]:
    return lambda c: None if c.layout is None else any(w in names for w in c.layout.split())


def _ragged(block: int) -> Callable[[Call], bool | None]:
    return lambda c: None if c.numel is None else c.numel % block != 0


def _above(size: int) -> Callable[[Call], bool | None]:
    return lambda c: None if c.numel is None else c.numel > size


def _checks(pattern: str) -> Callable[[Call], bool | None]:
    words = re.compile(rf"\b({pattern})\b")
    return lambda c: bool(words.search(f"{c.check} {c.seen_by}"))


def _deeper(rank: int) -> Callable[[Call], bool | None]:
    return lambda c: None if c.rank is None else c.rank > rank


_SPECIAL = re.compile(r"\b(nan|nans|inf|infs|infinite|infinity|infinities|special)\b", re.I)
_MEMORY = re.compile(r"after[- ](an[- ])?(out[- ]of[- ]memory|oom)", re.I)

_BLOCKS = (2, 4, 8, 16, 32, 64, 128, 256)
_SIZES = (2**31 - 1, 2**24, 2**20, 65535, 16384, 4096, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 1)

CONTRASTS: tuple[Contrast, ...] = (
    Contrast(
        "offset",
        "whose input starts at a storage offset",
        "does Runtime.view (or the kernel) add `offset`? It is in bytes.",
        lambda c: None if c.offset is None else c.offset > 0,
    ),
    Contrast(
        "expanded",
        "whose input is expanded (stride 0)",
        "does the kernel or `copy` step over a dim of stride 0 as if it were dense? It must read "
        "the same element again.",
        _layout("expanded"),
    ),
    Contrast(
        "strided",
        "whose input is not contiguous",
        "does the kernel use the strides? Else declare `accepts` as contiguous, so that the core "
        "packs; where it packs, look at `copy`, which must honour strides on both sides.",
        _layout("transposed", "stepped", "expanded", "mixed"),
    ),
    Contrast(
        "stepped",
        "whose innermost stride is not 1",
        "does the kernel or `copy` take the last dim for dense, whatever its stride?",
        _layout("stepped", "mixed"),
    ),
    Contrast(
        "transposed",
        "whose input has its dims in another order",
        "does the kernel or `copy` pair each dim with its own stride?",
        _layout("transposed", "mixed"),
    ),
    Contrast(
        "empty",
        "on tensors without elements",
        "a launch over 0 elements must do nothing (a reduction must write its start value); many "
        "drivers refuse a size of 0.",
        lambda c: None if c.numel is None else c.numel == 0,
    ),
    Contrast(
        "zero-dim",
        "on 0-d tensors",
        "shape () has one element and no strides: does the kernel index shape[0] or take rank 0 "
        "for empty?",
        lambda c: None if c.rank is None else c.rank == 0,
    ),
    *(
        Contrast(
            f"multiple-of-{n}",
            f"whose number of elements is not a multiple of {n}"
            if n > 2
            else "whose number of elements is odd",
            "is the tail written? Look at the rounding of the launch size and at the bounds check "
            "of the last block or vector.",
            _ragged(n),
            sizes=True,
        )
        for n in _BLOCKS
    ),
    *(
        Contrast(
            f"above-{n}",
            f"on more than {n:,} elements" if n > 1 else "on more than one element",
            "does every element get a work item? Look at the limit of one launch, at the loop over "
            "blocks, and at 32-bit indices.",
            _above(n),
            sizes=True,
        )
        for n in _SIZES
    ),
    *(
        Contrast(
            f"rank-above-{n}",
            f"on tensors of more than {n} dims",
            "is there a fixed number of dims in the kernel's index arithmetic?",
            _deeper(n),
        )
        for n in (5, 4, 3, 2, 1)
    ),
    Contrast(
        "dim",
        "along another dim than the last",
        "does the kernel work along `dim` (counted from the front), or always along the last one?",
        lambda c: None if c.dim is None else any(n != -1 for n in c.dim),
    ),
    Contrast(
        "dims",
        "over several dims at once",
        "does the kernel reduce over every dim in `dim`, or over the first of them?",
        lambda c: None if c.dim is None else len(c.dim) > 1,
    ),
    Contrast(
        "broadcast",
        "whose inputs have several shapes",
        "does the kernel pair the inputs' elements by position in memory instead of by index? "
        "A dim of size 1 has stride 0.",
        lambda c: c.is_broadcast,
    ),
    Contrast(
        "in-place",
        "that write into a given tensor (in-place, out=, aliasing)",
        "does the kernel write through the output's own offset and strides, and does it read each "
        "input element before the output that may share its memory is written?",
        _checks("in-?place|out|alias|aliasing|aliased"),
    ),
    Contrast(
        "special",
        "on NaN, infinities and other special values",
        "are fast-math options on, or is a comparison written so that NaN falls through?",
        lambda c: bool(_SPECIAL.search(f"{c.check} {c.sample} {c.stage}")),
    ),
    Contrast(
        "index",
        "on a device of index 1 or more",
        "is the index passed on to alloc, copies, streams and launches, or does something always "
        "use device 0 or the current device?",
        lambda c: None if c.device_index is None else c.device_index > 0,
    ),
    Contrast(
        "after-oom",
        "made after an out-of-memory error",
        "does alloc leave its books as they were when it raises, and is the driver's error state "
        "cleared?",
        lambda c: bool(_MEMORY.search(f"{c.check} {c.sample} {c.stage}")),
    ),
    Contrast(
        "gradient",
        "that ask for gradients, whose values are right",
        "the forward is right, so look at the kernels that only backward uses (those named "
        "…_backward, and fills, sums over broadcast dims and accumulation into .grad).",
        _checks("gradients?|backward|grad|double-backward"),
    ),
)
"""In the order of preference where two explain equally much."""


def _is_unfinished(a: Attempt) -> bool:
    assert a.failure is not None
    return any(f.check == "settled" or _OLD.search(f.text) is not None for f in a.outcome.failures)


_LEFT_BEHIND = {"nan", "(nan+nanj)", "(nan+0j)"} | {
    str(filler(dtype)) for dtype in d.ALL if dtype.category == 1
}
_OLD = re.compile(r"from run to run|between (two )?reads|not finished")

_MADE = re.compile(r"must be (\S+), got ([^\s;]+)")


def _is_stale(a: Attempt) -> bool:
    """Whether the first wrong element is what the suite leaves in memory before a call."""
    found = _MADE.search(a.failure.text) if a.failure is not None else None
    return found is not None and "nan" not in found[1] and found[2] in _LEFT_BEHIND


SIGNS: tuple[Sign, ...] = (
    Sign(
        "unfinished",
        "results differ between reads, or are what memory held before",
        "looks like work that had not finished when it was read: must d2h (or synchronize, or "
        "free) wait for it? Copies to the host must wait for every stream that wrote the buffer.",
        _is_unfinished,
    ),
    Sign(
        "host",
        "calls ran on the host instead of on the device",
        "the table has no kernel for these calls: add one, or a decomposition, or take the dtype "
        "out of what the device claims.",
        lambda a: a.failure is not None and a.failure.check == "label" and "host" in a.failure.text,
    ),
    Sign(
        "stale",
        "results are what memory held before the call",
        "nothing wrote them, or not yet: is the kernel launched on the output's buffer, and do "
        "d2h, synchronize and free wait for work that is under way? Where it is NaN: does the "
        "kernel overflow on the way?",
        _is_stale,
    ),
    Sign(
        "unstable",
        "the same call gives other values the second time",
        "something is read that this call did not write: a part of the output that the kernel "
        "leaves as it was, a buffer given back too early, or work that is not waited for.",
        lambda a: a.failure is not None and "the second time" in a.failure.text,
    ),
    Sign(
        "label",
        "calls were not served as the table says",
        "compare `dovetail capabilities` with the kernel's dtypes and `when`: they promise more or "
        "less than was served.",
        lambda a: a.failure is not None and a.failure.check == "label",
    ),
    Sign(
        "inputs",
        "calls change their inputs",
        "does the kernel use an input as scratch memory, or write past the end of its output?",
        lambda a: a.failure is not None and a.failure.check == "inputs-unchanged",
    ),
    Sign(
        "wrong-error",
        "mistakes are not refused as they must be",
        "the core checks arguments before any kernel runs; an error of the device must keep its "
        "type and sentence on the way up.",
        lambda a: a.failure is not None and a.failure.check == "error",
    ),
    Sign(
        "last",
        "only the last element (or the last of each row) is wrong",
        "an index runs to n - 1 where it must run to n: look at the kernel's bound and at the "
        "size of the launch.",
        lambda a: a.failure is not None and "(only the last" in a.failure.text,
    ),
)
"""Tried in this order: the first two before any contrast, the others after them."""

MAY_BE_EARLY = ("stale", "unstable", "inputs")
"""Signs that work which is read too early gives too."""
