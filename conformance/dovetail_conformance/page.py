"""The report as one HTML page: everything is inside of the file, nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from dovetail_conformance.hints import Group, groups, rerun_command
from dovetail_conformance.matrix import STATES, Cell, cells_of, columns_of, rows_of
from dovetail_conformance.model import LEVELS, STATUSES, Outcome
from dovetail_conformance.report import Report
from dovetail_conformance.summary import expected_kinds, footer, times, verdict

__all__ = ["page", "write_page"]

_PER_CELL = 3
_LONGEST = 400
_BUDGET = 900_000
"""Failures shown per cell, characters of each, and characters of all beyond the first of each
cell: a device on which everything fails still gets a page that opens at once."""


def write_page(report: Report, path: str | Path) -> None:
    """Write :func:`page` to a file."""
    Path(path).write_text(page(report), encoding="utf-8")


def page(report: Report) -> str:
    """The report as the text of an HTML page without any reference to a network."""
    cells = cells_of(report)
    shown = [cells[key] for key in sorted(cells)]
    parts = {
        "title": escape(f"{report.device}: level {_level(report)}"),
        "device": escape(report.device),
        "badge": _badge(report),
        "verdict": escape(verdict(report)),
        "counts": _counts(report),
        "problems": _problems(report),
        "groups": _groups(report),
        "levels": _levels(report),
        "legend": _legend(shown),
        "level_options": "".join(
            f'<option value="{n}">{n} {escape(LEVELS[n])}</option>' for n in range(len(LEVELS))
        ),
        "matrix": _matrix(cells, {id(cell): i for i, cell in enumerate(shown)}),
        "worst": _worst(report),
        "expected": _expected(report),
        "environment": _environment(report),
        "hash": escape(report.content_hash()),
        "footer": escape(footer(report)),
        "data": _data(report, shown),
    }
    text = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    # One pass, so that a name in the report that looks like a mark stays what it is.
    pieces = text.split("{{")
    out = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        out += [parts[name], rest]
    return "".join(out)


def _level(report: Report) -> str:
    return str(report.level) if report.level >= 0 else "–"


def _badge(report: Report) -> str:
    steps = []
    against = {o.level for o in report.outcomes if o.is_against}
    for level, about in enumerate(LEVELS):
        if level <= report.level:
            kind, word = "reached", "reached"
        elif level in against:
            kind, word = "stopped", "has failures"
        elif level <= report.asked and report.collected.get(level):
            kind, word = "clean", "nothing failed in it"
        else:
            kind, word = "unasked", "not asked"
        mark = {"stopped": "✕"}.get(kind, str(level))
        steps.append(f'<li class="{kind}" title="{level} {escape(about)}: {word}">{mark}</li>')
    name = "no grade" if report.level < 0 else "level"
    mood = "bad" if report.level < 0 or not report.is_good else "good"
    return (
        f'<div class="badge {mood}" role="img" aria-label="level {_level(report)} of 0 to 5">'
        f'<span class="word">{name}</span><span class="number">{_level(report)}</span>'
        f"<ol>{''.join(steps)}</ol></div>"
    )


def _counts(report: Report) -> str:
    rows = [
        ("executed", report.executed, ""),
        ("passed", report.passed, "good" if report.passed else ""),
        ("expected failures", report.expected_failures, ""),
        ("failed", report.failed, "bad" if report.failed else ""),
        ("host dispatches", report.host_dispatches, "bad" if report.has_wrong_hosts else ""),
    ]
    tiles = (f'<div class="{kind}"><dt>{n}</dt><dd>{v:,}</dd></div>' for n, v, kind in rows)
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _problems(report: Report) -> str:
    lines = [*report.problems, *report.notes]
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section class="problems"><h2>About this run</h2><ul>{items}</ul></section>'


def _groups(report: Report) -> str:
    found = groups(report.outcomes) if report.failed else []
    if not found:
        return ""
    total = sum(len(g.outcomes) for g in found)
    articles = "".join(_article(i, g, report) for i, g in enumerate(found[:40], 1))
    more = f"<p>and {len(found) - 40} groups more, in the matrix.</p>" if len(found) > 40 else ""
    noun = "case" if total == 1 else "cases"
    return (
        f"<section><h2>What is wrong <small>{total:,} {noun}, by what they have in common</small>"
        f"</h2>{articles}{more}</section>"
    )


def _article(number: int, group: Group, report: Report) -> str:
    o = group.example
    count = len(group.outcomes)
    trace = group.failure.trace if group.failure is not None else ""
    detail = (
        f"<details><summary>Traceback</summary><pre>{escape(trace[-3000:])}</pre></details>"
        if trace
        else ""
    )
    names = "".join(f"<li>{escape(x.id)}</li>" for x in group.outcomes[:60])
    names += f"<li>and {count - 60:,} more</li>" if count > 60 else ""
    return (
        f'<article class="group"><h3><span class="rank">{number}</span>'
        f"<span class=title>{escape(_up(group.title))}</span>"
        f'<span class="chip">{count:,} case{"" if count == 1 else "s"}</span></h3>'
        f"<p>{escape(group.hint[:1].upper() + group.hint[1:])}</p>"
        f"<div class=example><p class=id>{escape(o.id)}</p>"
        f"<p class=seen>{escape(_clip(group.text))}</p>"
        f"<p class=run><code class=command>{escape(rerun_command(report.device, o))}</code></p>"
        f"{detail}"
        f"<details><summary>All {count:,} by name</summary><ul class=names>{names}</ul></details>"
        "</div></article>"
    )


def _up(text: str) -> str:
    """A sentence with a capital, unless it begins with an operator's name."""
    head, colon, _ = text.partition(":")
    is_name = bool(colon) and not head.startswith(("every ", "nearly "))
    return text if is_name else text[:1].upper() + text[1:]


def _levels(report: Report) -> str:
    rows = []
    for level in range(report.asked + 1):
        counts = {s: report.count(s, level=level) for s in STATUSES}
        bad = sum(counts.values()) - counts["passed"] - counts["expected"]
        collected = report.collected.get(level, 0)
        parts = (("good", counts["passed"]), ("explained", counts["expected"]), ("bad", bad))
        bar = "".join(f'<i class="{kind}" style="flex-grow:{n}"></i>' for kind, n in parts if n)
        lost = counts["crashed"] + counts["hung"]
        cells = (collected, counts["passed"], counts["expected"], bad - lost, lost)
        numbers = "".join(f'<td class="{"zero" if not n else "n"}">{n:,}</td>' for n in cells)
        rows.append(
            f"<tr><th scope=row><b>{level}</b> {escape(LEVELS[level])}"
            f'<div class="bar">{bar}</div></th>{numbers}</tr>'
        )
    names = ("collected", "passed", "expected", "failed", "hung or crashed")
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    return f"<table class=levels><tr><th scope=col>level</th>{head}</tr>{''.join(rows)}</table>"


def _legend(cells: Iterable[Cell]) -> str:
    used = {cell.state for cell in cells} | {"fail", "kernel", "none"}
    items = (
        f'<li><b class="c {state}">{mark}</b> {name}<small> {escape(about)}</small></li>'
        for state, (mark, name, about) in STATES.items()
        if state in used
    )
    return (
        "".join(items) + '<li><b class="c kernel untested">K</b> pale<small> not asked</small></li>'
    )


def _matrix(cells: dict[tuple[str, str], Cell], number: dict[int, int]) -> str:
    columns = columns_of(cells)
    head = "".join(
        f"<th scope=col><span>{escape(name or 'no dtype')}</span></th>" for name in columns
    )
    bodies = []
    for level, ops in rows_of(cells).items():
        about = f"{level} {LEVELS[level]}" if level is not None else "not asked about"
        rows = [
            f"<tr><th scope=row>{escape(op)}</th>"
            + "".join(_cell(cells.get((op, dtype)), number) for dtype in columns)
            for op in ops
        ]
        title = f'<tr class=part><th colspan="{len(columns) + 1}"><span>{escape(about)}</span></th>'
        bodies.append(f"<tbody>{title}{''.join(rows)}</tbody>")
    return f"<table id=matrix><thead><tr><th>operator</th>{head}</thead>{''.join(bodies)}</table>"


def _cell(cell: Cell | None, number: dict[int, int]) -> str:
    if cell is None or (cell.state == "none" and not cell.is_tested):
        return "<td>·"
    kind = cell.state if cell.is_tested else f"{cell.state} untested"
    mark = STATES[cell.state][0]
    return f'<td><button class="c {kind}" data-i={number[id(cell)]} tabindex=-1>{mark}</button>'


def _worst(report: Report) -> str:
    items = []
    for ratio, o in report.worst()[:15]:
        kind = "bad" if ratio > 1 else "good"
        share = min(100.0, 100 * ratio)
        items.append(
            f"<li><span class=op>{escape(o.op)} <small>{escape(o.dtype)}</small></span>"
            f'<span class=meter><i class="{kind}" style="width:{share:.1f}%"></i></span>'
            f'<span class="ratio {kind}">{times(ratio)}</span></li>'
        )
    if not items:
        return "<p>Nothing was measured.</p>"
    return f"<ol class=worst>{''.join(items)}</ol>"


def _expected(report: Report) -> str:
    if not report.expected_failures:
        return "<p>None: nothing has to be explained.</p>"
    said = ", ".join(f"{kind} {n:,}" for kind, n in expected_kinds(report.outcomes).most_common())
    by_reason: dict[str, list[str]] = {}
    for o in report.outcomes:
        if o.status == "expected":
            by_reason.setdefault(o.reason or "no reason given", []).append(o.id)
    if report.listed:
        by_reason["not run: listed as hanging or crashing"] = list(report.listed)
    rows = "".join(
        f"<li><details><summary>{escape(reason)} <span class=chip>{len(ids):,}</span></summary>"
        f"<ul class=names>{''.join(f'<li>{escape(name)}</li>' for name in ids[:100])}</ul>"
        "</details></li>"
        for reason, ids in sorted(by_reason.items(), key=lambda pair: -len(pair[1]))
    )
    return f"<p>{escape(said)}</p><ul class=reasons>{rows}</ul>"


def _environment(report: Report) -> str:
    rows = {**report.environment, "asked": f"levels 0 to {report.asked}"}
    if report.filtered:
        rows["only"] = report.filtered
    rows["seconds"] = f"{report.seconds:.1f}"
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>"
        for name, value in rows.items()
    )


def _data(report: Report, cells: list[Cell]) -> str:
    left = _BUDGET
    rows: list[list[Any]] = []
    for cell in cells:
        told: list[list[str]] = []
        ordered = sorted(cell.failures, key=lambda o: (not o.is_against, o.level, o.id))
        for o in ordered[:_PER_CELL]:
            row = [o.id, o.status, _clip(_text(o)), o.reason]
            size = sum(map(len, row))
            if told and size > left:
                break
            told.append(row)
            left -= size
        worst = None if cell.worst is None else times(cell.worst)
        levels = sorted(cell.levels)
        row_of = [cell.op, cell.dtype, cell.label, cell.state, levels, dict(cell.counts), worst]
        rows.append([*row_of, told])
    states = {state: name for state, (_, name, _) in STATES.items()}
    text = json.dumps(
        {"device": report.device, "states": states, "cells": rows},
        ensure_ascii=False,
        separators=(",", ":"),
    )
    # Inside of a script element only these could end it or begin a comment.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _text(o: Outcome) -> str:
    return o.failures[0].text if o.failures else f"no answer: {o.status}"


def _clip(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
