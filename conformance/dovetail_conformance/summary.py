"""The summary of a run for a terminal: it fits a screen, and what is wrong stands in groups."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dovetail_conformance.hints import Group, groups, rerun_command
from dovetail_conformance.model import LEVELS, Outcome

if TYPE_CHECKING:
    from dovetail_conformance.report import Report

__all__ = ["LINES", "expected_kinds", "footer", "summary", "times", "verdict"]

LINES = 40
"""The most lines that a summary has."""


def summary(report: Report, width: int = 100) -> str:
    """What a run found, in at most 40 lines of at most ``width`` columns (at least 60)."""
    width = max(60, width)
    head = [line for text in _title(report) for line in _wrap(text, width)]
    head += ["", *_table(report, width), "", *_wrap(verdict(report), width)]
    head += [_clip(f"! {problem}", width) for problem in _few(report.problems, 3)]
    totals = [*_totals(report), footer(report)]
    tail = ["", *(line for text in totals for line in _wrap(text, width))]
    room = LINES - len(head) - len(tail)
    lines = head + _failures(report, width, room) + tail
    return "\n".join(_clip(line, width) for line in lines)


def verdict(report: Report) -> str:
    """The grade, and what stands between the device and the next level, in one sentence."""
    if report.filtered:
        state = "nothing failed in it" if not report.failed else f"{_cases(report.failed)} failed"
        return f"no grade: only a part of the suite was asked ({report.filtered}); {state}"
    level = report.level
    reached = f"level {level} ({LEVELS[level]}) is reached" if level >= 0 else "no level is reached"
    if any("stale" not in problem for problem in report.problems):
        return "no grade: the run is not whole"
    if level >= report.asked:
        is_last = level == len(LEVELS) - 1
        rest = "; nothing is left unexplained" if is_last else "; higher levels were not asked for"
        return reached + rest
    stop = level + 1
    count = sum(o.is_against and o.level == stop for o in report.outcomes)
    why = f"stopped by {_cases(count)}" if count else "without a case"
    return f"{reached}; level {stop} ({LEVELS[stop]}) is {why}"


def footer(report: Report) -> str:
    """How many cases ran, by what came of them, and how many there were."""
    expected = report.count("expected")
    line = (
        f"executed {report.executed:,} = passed {report.passed:,} + expected {expected:,} + "
        f"failed {report.failed:,}; collected {sum(report.collected.values()):,}"
    )
    return line + (f" ({len(report.listed):,} listed as not to be run)" if report.listed else "")


def expected_kinds(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Expected failures by kind: the word before the colon of their reason."""
    kinds: Counter[str] = Counter()
    for o in outcomes:
        if o.status == "expected":
            kind, colon, _ = o.reason.partition(":")
            kinds[kind if colon and " " not in kind else "no kind"] += 1
    return kinds


def times(ratio: float) -> str:
    """A number of tolerances; beyond a million it says no more than that it is wrong."""
    return f"{ratio:.3g}" if ratio < 1e6 else "> 1e6"


def _title(report: Report) -> list[str]:
    environment = ", ".join(f"{name} {value}" for name, value in report.environment.items())
    first = f"dovetail conformance · {report.device} · {report.seconds:.0f} s"
    return [f"{first} · {report.content_hash()}", environment or "(environment unknown)"]


def _table(report: Report, width: int) -> list[str]:
    names = ("collected", "passed", "expected", "failed", "hung/crashed")
    gap = 2 if width >= 88 else 1
    about = max(14, min(36, width - sum(len(name) + gap for name in names)))
    lines = [f"{'level':<{about}}" + "".join(f"{name:>{len(name) + gap}}" for name in names)]
    for level in range(report.asked + 1):
        lost = report.count("hung", "crashed", level=level)
        row = (
            report.collected.get(level, 0),
            report.count("passed", level=level),
            report.count("expected", level=level),
            report.count("failed", "unexpected-pass", level=level),
            lost,
        )
        cells = "".join(f"{n:>{len(name) + gap},}" for n, name in zip(row, names, strict=True))
        lines.append(f"{_clip(f'{level} {LEVELS[level]}', about):<{about}}{cells}")
    return lines


def _failures(report: Report, width: int, room: int) -> list[str]:
    """As many groups as fit, the largest first, and how many there are besides."""
    found = groups(report.outcomes) if report.failed else []
    if not found:
        return []
    lines = ["", _heading(found)]
    shown = 0
    for group in found:
        block = _block(shown + 1, group, report.device, width)
        spare = 0 if shown + 1 == len(found) else 1
        if len(lines) + len(block) + spare > room:
            break
        lines += block
        shown += 1
    if shown < len(found):
        rest = sum(len(g.outcomes) for g in found[shown:])
        names = "group" if len(found) - shown == 1 else "groups"
        lines.append(
            f"   and {len(found) - shown} {names} more ({_cases(rest)}): see --html, --json"
        )
    return lines


def _heading(found: list[Group]) -> str:
    total = sum(len(g.outcomes) for g in found)
    return f"what is wrong ({_cases(total)}, by what they have in common)"


def _block(number: int, group: Group, device: str, width: int) -> list[str]:
    title = f"{number}. {group.title} ({_cases(len(group.outcomes))})"
    return [
        *_wrap(title, width, "   ", 2),
        *_wrap(f"   {group.hint}", width, "   ", 4),
        *_wrap(f"   {group.example.id}: {group.text}", width, "   ", 3),
        *_command(rerun_command(device, group.example), width),
    ]


def _command(command: str, width: int) -> list[str]:
    """A command in lines that a shell takes as one."""
    lines = textwrap.wrap(
        f"   $ {command}",
        width - 2,
        subsequent_indent="     ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _totals(report: Report) -> list[str]:
    lines = []
    kinds = expected_kinds(report.outcomes)
    if report.listed:
        kinds["not run"] = len(report.listed)
    if kinds:
        said = ", ".join(f"{kind} {n:,}" for kind, n in kinds.most_common())
        lines.append(f"expected failures {report.expected_failures:,}: {said}")
    worst = [f"{o.op} {times(ratio)} ({o.dtype})" for ratio, o in report.worst()[:3]]
    if worst:
        lines.append(f"worst error, in tolerances: {', '.join(worst)}")
    hosts: Counter[str] = Counter()
    for o in report.outcomes:
        hosts[o.op] += o.labels.get("host", 0)
    said = ", ".join(f"{op} {n:,}" for op, n in hosts.most_common(5) if n)
    allowed = "" if report.has_wrong_hosts else ", all of optional kernels, in cases of"
    lines.append(
        f"host dispatches {report.host_dispatches:,}" + (f"{allowed or ':'} {said}" if said else "")
    )
    return lines


def _cases(count: int) -> str:
    return f"{count:,} case{'' if count == 1 else 's'}"


def _few(lines: tuple[str, ...], most: int) -> list[str]:
    """All of the lines, or the first and how many more there are."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most - 1], f"and {len(lines) - most + 1} more problems like these"]


def _wrap(text: str, width: int, indent: str = "", most: int = 2) -> list[str]:
    """The text in lines, at most ``most`` of them; an ellipsis says where it was cut."""
    return textwrap.wrap(
        text, width, subsequent_indent=indent, max_lines=most, placeholder=" …"
    ) or [""]


def _clip(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
