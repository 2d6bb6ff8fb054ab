"""``pytest -p dovetail_conformance --device NAME``: the cases as tests of an author's repository.

The cases run in pytest's own processes (in several with pytest-xdist's ``-n``). Expected failures
are reported as ``xfail``; a stale expectation is a failing test named ``expectations``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from dovetail_conformance.model import Case, Outcome, run_case
from dovetail_conformance.runner import Options, environment, prepare, strictly

__all__ = [
    "ConformanceItem",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_report_header",
    "pytest_runtest_logreport",
    "pytest_terminal_summary",
]

_OUTCOME = "dovetail_conformance_outcome"
_outcomes = pytest.StashKey[list[Outcome]]()
_collected = pytest.StashKey[Mapping[int, int]]()
_config: list[pytest.Config] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, as the command has them."""
    group = parser.getgroup("dovetail_conformance", "conformance of a dovetail device")
    group.addoption("--device", help="the device to ask, such as opencl:0")
    group.addoption("--level", type=int, default=4, help="the highest level, 0 to 5 (default 4)")
    group.addoption("--op", help="operators only, a shell pattern")
    group.addoption("--dtype", help="dtypes only, with commas between")
    group.addoption("--expect", help="file of expected failures (default: the backend's own)")
    group.addoption("--conformance-json", metavar="FILE", help="write the report as JSON")
    group.addoption("--conformance-html", metavar="FILE", help="write the report as a page")


def _options(config: pytest.Config) -> Options | None:
    device = config.getoption("--device")
    if not device:
        return None
    get = config.getoption
    asked = Options(
        device, get("--level"), get("--op"), get("--dtype"), expect=get("--expect"), jobs=0
    )
    return asked.numbered()


def pytest_report_header(config: pytest.Config) -> str:
    """The device, or how to name one."""
    options = _options(config)
    if options is None:
        return "conformance: no --device NAME was given, so there are no cases"
    facts = environment(options.device)
    return f"conformance: {options.device} ({facts.get('device', '')}), level {options.level}"


class ConformanceItem(pytest.Item):
    """One case as a test."""

    def __init__(self, *, case: Case, expectations: Any, device: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.case = case
        self.expectations = expectations
        self.device = device

    def runtest(self) -> None:
        """Ask, and keep the outcome for the summary."""
        with strictly():
            outcome = self.expectations.apply(run_case(self.case, self.device))
        self.user_properties.append((_OUTCOME, outcome))
        if outcome.status == "expected":
            pytest.xfail(outcome.reason)
        if outcome.is_against:
            raise _Against(outcome)

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """What went wrong, without pytest's own traceback."""
        if isinstance(excinfo.value, _Against):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        """The case's name stands for a place in a file."""
        return self.device, None, self.case.id


class _Against(Exception):
    def __init__(self, outcome: Outcome) -> None:
        lines = [f"[{f.check}] {f.text}\n{f.trace}".rstrip() for f in outcome.failures[:5]]
        more = len(outcome.failures) - len(lines)
        super().__init__("\n".join([*lines, *([f"and {more} more failures"] if more else [])]))


class _StaleItem(pytest.Item):
    """Fails where entries of the file of expectations are stale."""

    stale: tuple[str, ...] = ()

    def runtest(self) -> None:
        if self.stale:
            pytest.fail("\n".join(self.stale), pytrace=False)


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the cases behind the tests that were found in files."""
    options = _options(config)
    if options is None:
        return
    with strictly():
        cases, expectations = prepare(options)
        asked, _ = expectations.split(cases)
        if expectations.entries:
            from dovetail_conformance.collect import collect

            item = _StaleItem.from_parent(session, name="expectations")
            item.stale = expectations.stale(c.id for c in collect(options.device))
            items.append(item)
    config.stash[_collected] = dict(Counter(c.level for c in cases))
    for case in asked:
        items.append(
            ConformanceItem.from_parent(
                session, name=case.id, case=case, expectations=expectations, device=options.device
            )
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """Carry the outcome through xdist as plain data."""
    report = yield
    if isinstance(item, ConformanceItem):
        report.user_properties = [
            (name, _plain(value) if name == _OUTCOME else value)
            for name, value in report.user_properties
        ]
    return report


def _plain(outcome: Any) -> Any:
    import base64
    import pickle

    if not isinstance(outcome, Outcome):
        return outcome
    return base64.b64encode(pickle.dumps(outcome)).decode("ascii")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the outcomes of this process."""
    config.stash[_outcomes] = []
    _config[:] = [config]


def pytest_runtest_logreport(report: Any) -> None:
    """Collect the outcomes, also those that xdist's workers send."""
    import base64
    import pickle

    if report.when == "call":
        for name, value in report.user_properties:
            if name == _OUTCOME:
                _config[0].stash[_outcomes].append(pickle.loads(base64.b64decode(value)))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The same summary as the command's, and the report's files."""
    options, outcomes = _options(config), config.stash.get(_outcomes, [])
    if options is None or not outcomes:
        return
    from dovetail_conformance.report import Report
    from dovetail_conformance.runner import capabilities, write

    report = Report(
        device=options.device,
        asked=options.level,
        collected=config.stash.get(_collected, Counter(o.level for o in outcomes)),
        outcomes=outcomes,
        environment=environment(options.device),
        capabilities=capabilities(options.device, options.op),
        filtered=options.selection,
    )
    terminalreporter.section(f"conformance of {options.device}")
    terminalreporter.write_line(report.text())
    write(report, config.getoption("--conformance-json"), config.getoption("--conformance-html"))
