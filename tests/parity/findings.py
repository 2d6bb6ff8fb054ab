"""What differs in one test, held against the table of differences that are meant."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

from tests.parity.differences import DIFFERENCES, Difference

__all__ = ["Finding", "Findings"]


class Finding(NamedTuple):
    """One difference: where it was seen, what kind it is, and in words."""

    sample: str
    kind: str
    text: str


class Findings:
    """Differences of one operator, in one form, for one dtype.

    Kinds are ``values``, ``dtype``, ``shape``, ``strides``, ``refuses`` (only dovetail does),
    ``accepts`` (only dovetail does), ``class`` (of exceptions), ``writes`` and ``structure``.
    """

    def __init__(self, operator: str, form: str, dtype: str) -> None:
        self.operator = operator
        self.form = form
        self.dtype = dtype
        self.found: list[Finding] = []

    def add(self, sample: str, kind: str, text: str) -> None:
        """Note a difference."""
        self.found.append(Finding(sample, kind, text))

    def entries(self) -> list[Difference]:
        """The lines of the table that speak of this operator, form and dtype."""
        return [
            known
            for known in DIFFERENCES
            if fnmatchcase(self.form, known.form)
            and (known.operators == ("*",) or self.operator in known.operators)
            and (known.dtypes == ("*",) or self.dtype in known.dtypes)
        ]

    def explained(self) -> list[Difference]:
        """The lines that some finding matches."""
        return [e for e in self.entries() if any(_matches(e, f) for f in self.found)]

    def problems(self) -> list[str]:
        """Differences that no line explains, and lines that nothing matches."""
        entries = self.entries()
        where = f"{self.operator}, {self.dtype}, {self.form}"
        texts = [
            f"{where}, {f.sample}: {f.kind}: {f.text}"
            for f in self.found
            if not any(_matches(e, f) for e in entries)
        ]
        texts += [
            f"{where}: the table says {e.kind} differs ({e.reason}), and it does not"
            for e in entries
            if not e.sometimes and not any(_matches(e, f) for f in self.found)
        ]
        return texts

    def settle(self) -> None:
        """Fail for what is not explained.

        Raises:
            AssertionError: each difference on a line: operator, dtype, form, sample, what.
        """
        problems = self.problems()
        assert not problems, "\n" + "\n".join(problems)


def _matches(known: Difference, found: Finding) -> bool:
    return fnmatchcase(found.kind, known.kind) and fnmatchcase(found.sample, known.sample)
