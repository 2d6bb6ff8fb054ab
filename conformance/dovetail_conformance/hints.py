"""What failures have in common, so that an author finds the fault and not its hundred symptoms.

Failing calls are compared with the calls of the same operator and dtype that were right: a property
of a call that divides the two (a storage offset, an odd size, a dtype) is what to look at. The
properties are a table, :mod:`dovetail_conformance.detectors`; the one that explains most failures
is taken first, then what is left is explained in the same way.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

from dovetail_conformance.attempts import Attempt, attempts_of
from dovetail_conformance.contrast import divide
from dovetail_conformance.detectors import MAY_BE_EARLY, SIGNS
from dovetail_conformance.model import Failure, Outcome

__all__ = ["Group", "groups", "rerun_command", "scope_of"]


@dataclass(frozen=True)
class Group:
    """Failures with, as far as can be seen, one cause.

    Attributes:
        title: what fails, in one line.
        hint: what was compared, and where to look.
        outcomes: the cases, the lowest level first.
        example: the one that is easiest to think about.
        failure: what of the example to show; None where it never answered.
        what: the title without the operators that it is about; empty where they are all of it.
    """

    title: str
    hint: str
    outcomes: tuple[Outcome, ...]
    example: Outcome
    failure: Failure | None
    what: str = ""

    @property
    def text(self) -> str:
        """What the example saw, in one line."""
        if self.failure is not None:
            return " ".join(self.failure.text.split())
        return _STATUS_TEXT.get(self.example.status, self.example.status)


_STATUS_TEXT = {
    "crashed": "the process ended while this case ran",
    "hung": "no answer within the time that a case has",
    "unexpected-pass": "stands in the file of expectations and passed",
}

_BY_STATUS = (
    (
        "crashed",
        "the process died",
        "run the example alone under a debugger (python -X faulthandler shows the Python line): "
        "an access outside of a buffer, or a buffer used after it was freed.",
    ),
    (
        "hung",
        "no answer came",
        "a wait for an event that is never set, a loop over a size of 0, or a deadlock between "
        "the host's lock and the stream's.",
    ),
    (
        "unexpected-pass",
        "expected failures pass",
        "mended? Take these entries out of the backend's file of expectations.",
    ),
)


def groups(outcomes: Iterable[Outcome]) -> list[Group]:
    """The failures of a run by what they have in common, in the order in which to mend them.

    Every outcome that counts against the device is in exactly one group.

    Args:
        outcomes: all outcomes of the run; those that passed are what failures are compared with.
    """
    whole = list(outcomes)
    found: list[Group] = []
    left = {o.id: o for o in whole if o.is_against}

    def take(title: str, hint: str, members: Sequence[Outcome], scoped: bool = True) -> None:
        members = [left.pop(o.id) for o in members if o.id in left]
        if members:
            made = _group(_scoped(title, members, whole) if scoped else title, hint, members)
            found.append(replace(made, what=title) if scoped else made)

    for status, title, hint in _BY_STATUS:
        take(title, hint, [o for o in left.values() if o.status == status])
    attempts = attempts_of(whole)
    first, later = SIGNS[:2], SIGNS[2:]
    for sign in first:
        take(sign.title, sign.hint, _showing(sign.shows, attempts, left))
    # Work that is read too early fails by chance: what then looks alike must do so cleanly.
    early = next((g for g in found if SIGNS[0].title in g.title), None)
    compared = [a for a in attempts if a.failure is None or a.outcome.id in left]
    for part in divide(compared, is_strict=early is not None):
        hint = part.evidence + part.contrast.hint[0].upper() + part.contrast.hint[1:]
        take(f"calls {part.contrast.title} fail", hint, part.outcomes)
    for title, hint, members in _exceptions(list(left.values())):
        take(title, hint, members)
    for title, hint, members in _dtypes(list(left.values()), whole):
        take(title, hint, members, scoped=False)
    take(_NEAR, _NEAR_HINT, [o for o in left.values() if _is_near(o)])
    _add_the_rest(found, left, whole)
    for sign in later:
        members = _showing(sign.shows, attempts, left)
        if early is not None and members and sign.name in MAY_BE_EARLY:
            _grow(found, SIGNS[0].title, [left.pop(o.id) for o in members], whole)
        else:
            take(sign.title, sign.hint, members)
    _add_the_rest(found, left, whole)
    for title, hint, members in _operators(list(left.values()), whole):
        take(title, hint, members, scoped=False)
    return sorted(found, key=_place)


def _place(group: Group) -> tuple[int, bool, int, int, str]:
    """What to mend first: the runtime, for all else rests on it; then what most cases have."""
    is_runtime = any(o.check == "runtime" for o in group.outcomes)
    size = len(group.outcomes)
    return _rank(group), not is_runtime, -size, group.example.level, group.title


def _is_widespread(group: Group, whole: Sequence[Outcome]) -> bool:
    """Whether a group's cause, which is known, is in what all operators use."""
    ops = {o.op for o in group.outcomes}
    wrong = [o for o in whole if o.is_against]
    return (
        _rank(group) == 1
        and len(ops) >= max(4, 0.6 * len({o.op for o in wrong}))
        and len(group.outcomes) >= 0.25 * len(wrong)
    )


def _add_the_rest(found: list[Group], left: dict[str, Outcome], whole: Sequence[Outcome]) -> None:
    """Give what is left to a cause that all operators share, if there is one: mend that first."""
    wide = [g for g in found if _is_widespread(g, whole)]
    if not wide:
        return
    main = max(wide, key=lambda g: len(g.outcomes))
    rest = [o for o in left.values() if o.status == "failed"]
    for o in rest:
        del left[o.id]
    if rest:
        _grow(found, main.title, rest, whole)


def _grow(
    found: list[Group], title: str, more: Sequence[Outcome], whole: Sequence[Outcome]
) -> None:
    """Add outcomes that probably have the same cause to the group whose title contains a text."""
    i = next(i for i, g in enumerate(found) if title in g.title)
    old = found[i]
    told = re.search(r" \(With ([\d,]+) more", old.hint)
    count = len(more) + (int(told[1].replace(",", "")) if told else 0)
    hint = (old.hint[: told.start()] if told else old.hint) + (
        f" (With {count:,} more failing cases that may come from it.)"
    )
    outcomes = tuple(sorted((*old.outcomes, *more), key=lambda o: (o.level, o.id)))
    title = _scoped(old.what, outcomes, whole) if old.what else old.title
    found[i] = replace(old, title=title, hint=hint, outcomes=outcomes)


def rerun_command(device: str, outcome: Outcome) -> str:
    """The command that asks just this operator and dtype again."""
    words = ["python", "-m", "dovetail_conformance", "--device", device, "--op", outcome.op]
    return shlex.join([*words, *(["--dtype", outcome.dtype] if outcome.dtype else [])])


def _rank(group: Group) -> int:
    return {"crashed": 0, "hung": 0, "unexpected-pass": 2}.get(group.example.status, 1)


def _group(title: str, hint: str, members: Iterable[Outcome]) -> Group:
    ordered = tuple(sorted(members, key=lambda o: (o.level, o.id)))
    example = min(ordered, key=_difficulty)
    return Group(title, hint, ordered, example, min(example.failures, key=_size, default=None))


def _size(failure: Failure) -> tuple[bool, float]:
    """Small first, but with something in it: an empty tensor shows little."""
    numel = failure.facts.get("numel")
    if not isinstance(numel, int):
        return False, 1e9
    return numel < 2, float(numel)


def _difficulty(o: Outcome) -> tuple[int, bool, bool, tuple[bool, float], str]:
    size = min(map(_size, o.failures), default=(True, 0.0))
    return o.level, o.check != "runtime", o.dtype not in ("", "float32"), size, o.id


# Who fails.


def scope_of(members: Sequence[Outcome], whole: Sequence[Outcome]) -> str:
    """The operators and dtypes of some cases, in words: ``gather in float16``."""
    ops = list(dict.fromkeys(o.op for o in sorted(members, key=lambda o: (o.level, o.op))))
    levels = {o.level for o in members}
    asked = {o.op for o in whole if o.level in levels}
    if len(ops) >= max(4, 0.8 * len(asked)):
        words = "nearly every operator" if len(ops) < len(asked) else "every operator"
    elif len(ops) <= 3:
        words = ", ".join(ops)
    else:
        words = f"{ops[0]}, {ops[1]} and {len(ops) - 2} more operators"
    of_ops = set(ops)
    dtypes = {o.dtype for o in members} - {""}
    tried = {o.dtype for o in whole if o.op in of_ops and o.check in {m.check for m in members}}
    if dtypes and len(dtypes) <= 2 and len(dtypes) < len(tried - {""}):
        words += f" in {' and '.join(sorted(dtypes))}"
    return words


def _scoped(title: str, members: Sequence[Outcome], whole: Sequence[Outcome]) -> str:
    return f"{scope_of(members, whole)}: {title}"


# What explains.


def _showing(
    shows: Callable[[Attempt], bool], attempts: Iterable[Attempt], left: dict[str, Outcome]
) -> list[Outcome]:
    """The outcomes whose first failure, and so the one to read, is of a kind."""
    first: dict[str, Attempt] = {}
    for a in attempts:
        if a.failure is not None and a.outcome.id in left:
            first.setdefault(a.outcome.id, a)
    return [a.outcome for a in first.values() if shows(a)]


Found = tuple[str, str, list[Outcome]]


def _exceptions(left: list[Outcome]) -> Iterable[Found]:
    """Outcomes that raised the same, whatever the numbers and names in the sentence."""
    by_text: dict[str, list[Outcome]] = defaultdict(list)
    for o in left:
        if o.failures and o.failures[0].check == "raises":
            text = re.sub(r"'[^']*'|\"[^\"]*\"|\[[^]]*\]|\([^)]*\)|\d+", "…", o.failures[0].text)
            by_text[text.replace(o.op, "…").replace(o.dtype or "\0", "…")[:80]].append(o)
    for members in by_text.values():
        first = members[0].failures[0]
        kind, colon, sentence = first.text.partition(":")
        told = f"raises {kind}{colon}{sentence if len(sentence) < 60 else sentence[:57] + '…'}"
        yield told, _raised_at(first) + _RAISE_HINTS.get(kind, _RAISE_HINT), members


_RAISE_HINT = "The kernel or the runtime raised where a result was due."
_RAISE_HINTS = {
    "Unsupported": "The capability table claims it, or the contract demands it: add a kernel or a "
    "decomposition, or do not claim the dtype.",
    "OutOfMemoryError": "Is memory given back? Compare alloc and free in the memory statistics.",
}
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')


def _raised_at(failure: Failure) -> str:
    frames = _FRAME.findall(failure.trace)
    if not frames:
        return ""
    path, line, function = frames[-1]
    return f"Raised in {function} ({re.split(r'[/]', path)[-1]}, line {line}). "


def _dtypes(left: list[Outcome], whole: list[Outcome]) -> Iterable[Found]:
    """Dtypes in which most operators fail that are right in the others."""
    tried, wrong = Counter((o.op, o.dtype) for o in whole), Counter((o.op, o.dtype) for o in left)
    share = {pair: wrong[pair] / tried[pair] for pair in tried if pair[1]}
    by_op: dict[str, list[float]] = defaultdict(list)
    for (op, _), part in share.items():
        by_op[op].append(part)
    for dtype in dict.fromkeys(o.dtype for o in left if o.dtype):
        ops = {
            op
            for (op, d), part in share.items()
            if d == dtype
            and part >= 0.5
            and len(by_op[op]) > 1
            and sum(by_op[op]) - part <= 0.1 * (len(by_op[op]) - 1)
        }
        asked = sum(d == dtype for _, d in share)
        if len(ops) >= max(3, 0.5 * asked):
            yield (
                f"{dtype}: {len(ops)} of {asked} operators fail, which are right in other dtypes",
                "look at what all of them share: the dtype's size in bytes, its conversion in "
                "h2d, d2h and copy, its name in generated code.",
                [o for o in left if o.dtype == dtype and o.op in ops],
            )


_NEAR = "results are near, but outside of the tolerance"
_NEAR_HINT = (
    "does the kernel add up in a lower precision than the contract asks (float16 in float32), or "
    "use an approximate function or fast-math?"
)


def _is_near(o: Outcome) -> bool:
    return (
        o.worst is not None
        and 1 < o.worst <= 100
        and all("tolerances" in f.text for f in o.failures)
    )


def _operators(left: list[Outcome], whole: list[Outcome]) -> Iterable[Found]:
    """What nothing general explains, by operator and check."""
    if left and not any(o.status == "passed" for o in whole):
        yield "nothing passes", "begin with the first case of the lowest level.", left
        return
    total = Counter((o.op, o.check) for o in whole)
    by_key: dict[Hashable, list[Outcome]] = defaultdict(list)
    for o in left:
        by_key[o.op, o.check].append(o)
    right = {o.op for o in whole if o.status == "passed"}
    for members in by_key.values():
        op, check = members[0].op, members[0].check
        count = total[op, check]
        title = f"{scope_of(members, whole)}: {check} fails, {len(members)} of {count} cases"
        yield title, _alike(members, op in right), members


def _alike(members: list[Outcome], is_right_elsewhere: bool) -> str:
    """The facts that all failures of an operator share."""
    facts = [f.facts for o in members for f in o.failures]
    shared = {
        name: value
        for name, value in (facts[0] if facts else {}).items()
        if len(facts) > 1 and all(f.get(name) == value for f in facts)
    }
    if shared:
        said = ", ".join(f"{name} {value}" for name, value in shared.items())
        return f"all of its {len(facts)} failures have {said}."
    if not is_right_elsewhere:
        return "nothing that was asked of it passes: look at this kernel's table entry first."
    return "nothing general explains it: rerun the example and read its first failure."
