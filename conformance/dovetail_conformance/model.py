"""What the suite is made of: a case, what was seen when it ran, and what came of it."""

from __future__ import annotations

import contextlib
import functools
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dovetail import backends
from dovetail.fallback import permitted
from dovetail.ops.schema import REGISTRY
from dovetail_conformance.places import where_in_suite

__all__ = ["LEVELS", "STATUSES", "Case", "Failure", "Mismatch", "Outcome", "Trial", "run_case"]

LEVELS = (
    "memory, copies, views and errors",
    "primitives",
    "composites",
    "gradients",
    "training",
    "stress",
)
"""What each level is about, by number."""

STATUSES = ("passed", "failed", "expected", "unexpected-pass", "crashed", "hung")
"""How a case can end. ``expected``: it failed and stands in the backend's file of expectations;
``unexpected-pass``: it stands there and passed. All but the first and the third count against."""


class Mismatch(AssertionError):
    """A device did something else than the contract says.

    Args:
        text: what was expected, what came, and where.
        check: the name of the check that saw it.
        ratio: how far off, in tolerances; None where that has no meaning.
    """

    def __init__(self, text: str, check: str = "", ratio: float | None = None) -> None:
        super().__init__(text)
        self.check = check
        self.ratio = ratio


@dataclass(frozen=True)
class Failure:
    """One attempt of a case that went wrong.

    Attributes:
        check: which check saw it: ``values``, ``inputs-unchanged``, ``label``, ``error``, …
        text: what was expected and what came.
        facts: what the attempt was: layout, shape, numel, offset, … for telling what failing
            attempts have in common.
        trace: the traceback of an unexpected exception; empty for a plain mismatch.
    """

    check: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    trace: str = ""


@dataclass(frozen=True)
class Case:
    """One question to a device.

    Attributes:
        level: 0 to 5.
        check: the family of questions: ``values``, ``in-place``, ``out``, ``gradient``, …
        op: the operator it is about; for the runtime's own questions a word for the subject.
        dtype: the dtype it is asked in; empty where there is none.
        variant: what distinguishes it from its neighbours, such as the layout.
        run: asks; it raises, or records failed attempts in the trial.
        alone: other processes would disturb it (it fills the memory or counts it).
    """

    level: int
    check: str
    op: str
    dtype: str = ""
    variant: str = ""
    run: Callable[[Trial], None] = field(default=lambda trial: None, compare=False, repr=False)
    alone: bool = False

    @property
    def id(self) -> str:
        """The name that reports and files of expectations use: ``1/values/add/float32/offset``."""
        parts = (str(self.level), self.check, self.op, self.dtype, self.variant)
        return "/".join(part for part in parts if part)


class Trial:
    """One run of one case: where it runs, and what was seen.

    Args:
        device: the name of the device, such as ``loop:0``.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.failures: list[Failure] = []
        self.attempts = 0
        self.passes: list[Mapping[str, Any]] = []
        self.worst: float | None = None
        self.labels: dict[str, int] = {}

    def saw_ratio(self, ratio: float) -> None:
        """Note how far from the reference a result was, in tolerances."""
        if self.worst is None or ratio > self.worst:
            self.worst = ratio

    def saw_label(self, label: str) -> None:
        """Note how a dispatch was served."""
        self.labels[label] = self.labels.get(label, 0) + 1

    def fail(self, check: str, text: str, **facts: Any) -> None:
        """Record a failure and go on."""
        self.failures.append(Failure(check, text, facts))

    @contextlib.contextmanager
    def attempt(self, **facts: Any) -> Iterator[None]:
        """One of the case's attempts; whatever it raises is recorded, and the case goes on."""
        self.attempts += 1
        before = len(self.failures)
        try:
            yield
        except Mismatch as error:
            if error.ratio is not None:
                self.saw_ratio(error.ratio)
            self.failures.append(Failure(error.check or "values", str(error), facts))
        except Exception as error:
            self.failures.append(Failure("raises", _one_line(error), facts, _trace_of(error)))
        if len(self.failures) == before:
            self.passes.append(facts)


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        id, level, check, op, dtype, variant: the case's.
        status: one of :data:`STATUSES`.
        failures: what went wrong, in order; the first is the one to read.
        attempts: how many calls were made and judged.
        passes: the facts of attempts that were right, in a case that also has failures.
        worst: the largest error seen, in tolerances; None where nothing was measured.
        labels: how often each of kernel, fused, decomposed, host, view served.
        seconds: wall time.
        reason: for expected failures, the reason that the file gives.
    """

    id: str
    level: int
    check: str
    op: str
    dtype: str
    variant: str
    status: str
    failures: tuple[Failure, ...] = ()
    attempts: int = 0
    passes: tuple[Mapping[str, Any], ...] = ()
    worst: float | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""

    @property
    def is_against(self) -> bool:
        """Whether the grade suffers."""
        return self.status not in ("passed", "expected")

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the facts of the attempts that were right."""
        row = asdict(self)
        del row["passes"]
        return row


def run_case(case: Case, device: str) -> Outcome:
    """Ask ``case`` of ``device`` and say what came; a case that judges nothing has failed.

    A kernel that no device needs to have may be the host's; the check ``optional`` asks that the
    policy is kept. All others must be the device's own. Factors are not rounded: a library that
    may do so by its switches is asked not to.
    """
    trial = Trial(device)
    start = time.perf_counter()
    try:
        with permitted(_optional(len(REGISTRY))), backends.cudnn.flags(allow_tf32=False):
            case.run(trial)
    except Mismatch as error:
        trial.attempts += 1
        trial.failures.append(Failure(error.check or case.check, str(error)))
    except Exception as error:
        trial.attempts += 1
        trial.failures.append(Failure("raises", _one_line(error), {}, _trace_of(error)))
    if not trial.attempts:
        trial.fail("empty", "the case judged nothing: no sample of the operator applies")
    return Outcome(
        case.id,
        case.level,
        case.check,
        case.op,
        case.dtype,
        case.variant,
        "failed" if trial.failures else "passed",
        tuple(trial.failures),
        trial.attempts,
        tuple(trial.passes) if trial.failures else (),
        trial.worst,
        trial.labels,
        time.perf_counter() - start,
    )


@functools.lru_cache(maxsize=1)
def _optional(count: int) -> frozenset[str]:
    """The kernels that no device needs to have, where there are so many operators."""
    return frozenset(op.name for op in REGISTRY.values() if op.is_optional)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind


def _trace_of(error: BaseException) -> str:
    lines = traceback.format_exception(type(error), error, where_in_suite(error.__traceback__))
    return "".join(lines)
