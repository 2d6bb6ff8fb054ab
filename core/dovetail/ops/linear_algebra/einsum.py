"""``einsum``: sums of products named by subscripts, as a chain of batched matrix products.

Each operand is brought to distinct labels (repeated ones become a diagonal), then two at a time are
multiplied: labels that both have and that are needed later are the batch, those that both have and
nobody needs are summed by the product, the rest are its rows and columns.
"""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Sequence
from typing import Any, NamedTuple

from dovetail.dispatch import call
from dovetail.ops.expose import publish
from dovetail.ops.linear_algebra.contract import MATMUL
from dovetail.ops.linear_algebra.operands import same_scalar_type
from dovetail.tensor import Tensor

__all__ = ["einsum"]

_LETTERS = string.ascii_uppercase + string.ascii_lowercase
_ELLIPSIS = "."


class _Term(NamedTuple):
    """An operand: where it is kept, and the label and size of each dim; the labels are distinct."""

    slot: int
    labels: tuple[Any, ...]
    shape: tuple[int, ...]


# ------------------------------------------------------------------- parsing


def _from_sublists(operands: Sequence[Any]) -> tuple[str, list[Tensor]]:
    """``einsum(x, [0, 1], y, [1, 2], [0, 2])`` as an equation and operands."""
    pairs = list(zip(operands[::2], operands[1::2], strict=False))
    equation = ",".join(_letters(sub) for _, sub in pairs)
    if len(operands) % 2:
        equation += "->" + _letters(operands[-1])
    return equation, [x for x, _ in pairs]


def _letters(sublist: Sequence[Any]) -> str:
    found = ""
    for item in sublist:
        if item is Ellipsis:
            found += "..."
        elif not 0 <= item < len(_LETTERS):
            raise ValueError(
                "einsum(): subscript in subscript list is not within the valid range [0, 52)"
            )
        else:
            found += _LETTERS[item]
    return found


def _subscripts(text: str, whose: str, start: int) -> list[str]:
    """Letters and at most one ``.`` for the ellipsis."""
    found: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character == ".":
            if _ELLIPSIS in found:
                raise RuntimeError(
                    f"einsum(): found '.' for {whose} for which an ellipsis was already found"
                )
            if text[at : at + 3] != "...":
                raise RuntimeError(
                    f"einsum(): found '.' for {whose} that is not part of any ellipsis"
                )
            at += 2
        elif character not in _LETTERS and character != " ":
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {start + at} in the equation string, "
                "subscripts must be in [a-zA-Z]"
            )
        if character != " ":
            found.append(character)
        at += 1
    return found


def _inputs_and_output(equation: str, count: int) -> tuple[list[list[str]], list[str] | None]:
    left, arrow, right = equation.partition("->")
    parts = left.split(",")
    inputs, start = [], 0
    for i, part in enumerate(parts[:count]):
        inputs.append(_subscripts(part, f"operand {i}", start))
        start += len(part) + 1
    if len(parts) != count:
        more = "more" if count > len(parts) else "fewer"
        raise RuntimeError(
            f"einsum(): {more} operands were provided than specified in the equation"
        )
    if not arrow:
        return inputs, None
    return inputs, _subscripts(right, "the output", len(left) + 2)


# ---------------------------------------------------------------------- dims


def _expand_ellipsis(subscripts: list[str], ndim: int, operand: int, width: int) -> list[Any]:
    """The label of each dim; dims under the ellipsis are numbered from the right."""
    has_ellipsis = _ELLIPSIS in subscripts
    named = len(subscripts) - has_ellipsis
    if named > ndim or (named < ndim and not has_ellipsis):
        relation, rest = (
            ("is more than", " even with the ellipsis")
            if has_ellipsis
            else ("does not match", " and no ellipsis was given")
        )
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({named}) {relation} the number "
            f"of dimensions ({ndim}) for operand {operand}{rest}"
        )
    labels: list[Any] = []
    for letter in subscripts:
        if letter == _ELLIPSIS:
            covered = ndim - named
            labels += range(width - covered, width)
        else:
            labels.append(letter)
    return labels


def _note_sizes(
    sizes: dict[Any, int], labels: list[Any], shape: tuple[int, ...], operand: int
) -> None:
    """Remember the size of each label; 1 broadcasts."""
    here: dict[Any, int] = {}
    for label, n in zip(labels, shape, strict=True):
        if here.setdefault(label, n) != n:
            raise RuntimeError(
                f"einsum(): subscript {label} is repeated for operand {operand} but the sizes "
                f"don't match, {n} != {here[label]}"
            )
    for label, n in here.items():
        have = sizes.get(label, 1)
        if n not in (1, have) and have != 1:
            if isinstance(label, int):
                raise RuntimeError(
                    f"einsum(): dimension {label} covered by ellipsis in operand {operand}has size "
                    f"{n} which does not broadcast with previously seen ellipsis with size {have} "
                    "for the respective dimension"
                )
            raise RuntimeError(
                f"einsum(): subscript {label} has size {n} for operand {operand} which does not "
                f"broadcast with previously seen size {have}"
            )
        sizes[label] = max(n, have) if n and have else 0


class _Program:
    """What to do with the operands of one equation, worked out from their shapes alone.

    Attributes:
        steps: ``(what, slot, argument)``; the result of a step replaces the tensor in its slot.
        result: the slot of the result.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, Any]] = []
        self.result = 0

    def run(self, operands: Sequence[Any]) -> Any:
        slots = list(operands)
        for what, slot, argument in self.steps:
            if what == "matmul":
                slots[slot] = call(MATMUL, (slots[slot], slots[argument]))
            elif what == "mul":
                slots[slot] = slots[slot] * slots[argument]
            else:
                slots[slot] = getattr(slots[slot], what)(*argument)
        return slots[self.result]

    def permute(self, term: _Term, labels: Sequence[Any]) -> _Term:
        """The dims in the order of ``labels``, which may leave out some of size 1."""
        order = [term.labels.index(label) for label in labels]
        if order != list(range(len(term.labels))):
            self.steps.append(("permute", term.slot, (order,)))
        return _Term(term.slot, tuple(labels), tuple(term.shape[i] for i in order))

    def reshape(self, slot: int, have: Sequence[int], want: Sequence[int]) -> None:
        if list(have) != list(want):
            self.steps.append(("reshape", slot, (tuple(want),)))

    def distinct(self, slot: int, labels: list[Any], shape: tuple[int, ...], sizes: Any) -> _Term:
        """Repeated labels become the diagonal; dims of size 1 that broadcast are dropped."""
        labels, dims = list(labels), list(shape)
        for label in dict.fromkeys(labels):
            while labels.count(label) > 1:
                first = labels.index(label)
                second = labels.index(label, first + 1)
                self.steps.append(("diagonal", slot, (0, first, second)))
                dims.append(dims[first])
                labels.append(label)
                for i in (second, first):
                    del labels[i], dims[i]
        for i in reversed(range(len(labels))):
            if dims[i] == 1 and sizes[labels[i]] != 1:
                self.steps.append(("squeeze", slot, (i,)))
                del labels[i], dims[i]
        return _Term(slot, tuple(labels), tuple(dims))

    def sum_away(self, term: _Term, needed: set[Any]) -> _Term:
        gone = [i for i, label in enumerate(term.labels) if label not in needed]
        if not gone:
            return term
        self.steps.append(("sum", term.slot, (tuple(gone),)))
        kept = [i for i in range(len(term.labels)) if i not in gone]
        return _Term(
            term.slot, tuple(term.labels[i] for i in kept), tuple(term.shape[i] for i in kept)
        )

    def arrange(self, term: _Term, batch: list[Any], *groups: list[Any]) -> None:
        """The dims of the batch, which a product has as they are, and those of each group joined
        to one."""
        term = self.permute(term, [*batch, *(label for group in groups for label in group)])
        sizes = dict(zip(term.labels, term.shape, strict=True))
        self.reshape(term.slot, term.shape, _joined(sizes, batch, groups))

    def multiply(self, a: _Term, b: _Term, needed: set[Any]) -> _Term:
        """The product of two terms, summed over what nobody needs any more."""
        a = self.sum_away(a, needed | set(b.labels))
        b = self.sum_away(b, needed | set(a.labels))
        shared = [label for label in a.labels if label in b.labels]
        batch = [label for label in shared if label in needed]
        inner = [label for label in shared if label not in needed]
        rows = [label for label in a.labels if label not in shared]
        columns = [label for label in b.labels if label not in shared]
        labels = (*batch, *rows, *columns)
        sizes = dict(zip((*a.labels, *b.labels), (*a.shape, *b.shape), strict=True))
        shape = tuple(sizes[label] for label in labels)
        if not inner:
            for term, mine in ((a, [*batch, *rows]), (b, [*batch, *columns])):
                term = self.permute(term, mine)
                wide = [sizes[label] if label in mine else 1 for label in labels]
                self.reshape(term.slot, term.shape, wide)
            self.steps.append(("mul", a.slot, b.slot))
            return _Term(a.slot, labels, shape)
        self.arrange(a, batch, rows, inner)
        self.arrange(b, batch, inner, columns)
        self.steps.append(("matmul", a.slot, b.slot))
        self.reshape(a.slot, _joined(sizes, batch, (rows, columns)), shape)
        return _Term(a.slot, labels, shape)


def _joined(sizes: dict[Any, int], batch: Sequence[Any], groups: Sequence[list[Any]]) -> list[int]:
    """The sizes of the batch, and of each group as one dim."""
    whole = [math.prod(sizes[label] for label in group) for group in groups]
    return [*(sizes[label] for label in batch), *whole]


def _cheapest(terms: list[_Term], sizes: dict[Any, int]) -> tuple[int, int]:
    """The pair whose product takes the least multiplications; the leftmost of equals."""
    pairs = ((i, j) for j in range(len(terms)) for i in range(j))
    return min(
        pairs,
        key=lambda p: math.prod(
            sizes[label] for label in {*terms[p[0]].labels, *terms[p[1]].labels}
        ),
    )


@functools.lru_cache(maxsize=1024)
def _compile(equation: str, shapes: tuple[tuple[int, ...], ...]) -> _Program:
    inputs, output = _inputs_and_output(equation, len(shapes))
    width = 0
    for subscripts, shape in zip(inputs, shapes, strict=True):
        if _ELLIPSIS in subscripts:
            width = max(width, len(shape) - len(subscripts) + 1)
    sizes: dict[Any, int] = {}
    labels = []
    for i, (subscripts, shape) in enumerate(zip(inputs, shapes, strict=True)):
        labels.append(_expand_ellipsis(subscripts, len(shape), i, width))
        _note_sizes(sizes, labels[-1], shape, i)
    wanted = _output_labels(inputs, output, width)
    program = _Program()
    terms = [
        program.distinct(i, names, shape, sizes)
        for i, (names, shape) in enumerate(zip(labels, shapes, strict=True))
    ]
    while len(terms) > 1:
        i, j = _cheapest(terms, sizes)
        second, first = terms.pop(j), terms.pop(i)
        needed = set(wanted).union(*[term.labels for term in terms])
        terms.insert(i, program.multiply(first, second, needed))
    last = program.sum_away(terms[0], set(wanted))
    last = program.permute(last, [label for label in wanted if label in last.labels])
    program.reshape(last.slot, last.shape, [sizes.get(label, 1) for label in wanted])
    program.result = last.slot
    return program


_PROGRAMS: dict[Any, _Program] = {}
"""By the equation and the operands' specs, which are found faster than their shapes."""
_MOST_PROGRAMS = 1024


@publish(method=False)
def einsum(*args: Any) -> Tensor:
    """Sums of products over named dims.

    Args:
        args: an equation and operands (``"bij,bjk->bik", x, y``), or operands each followed by a
            list of numbers below 52, and perhaps the output's (``x, [0, 1], y, [1, 2], [0, 2]``).
            ``...`` (``Ellipsis`` in a list) covers dims that broadcast. A repeated subscript takes
            the diagonal. Without ``->`` the subscripts that appear once are the output, in
            alphabetical order.

    Raises:
        RuntimeError: an equation that does not fit the operands.
        ValueError: no operands.

    Example:
        >>> import dovetail as dt
        >>> dt.einsum("ij->ji", dt.arange(6).reshape(2, 3)).shape
        torch.Size([3, 2])
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one "
            "operand and its subscripts list"
        )
    if isinstance(args[0], str):
        equation, operands = args[0], list(args[1:])
        if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
            operands = list(operands[0])
    else:
        equation, operands = _from_sublists(args)
    key = (equation, *[x._spec for x in operands])
    program = _PROGRAMS.get(key)
    if program is None:
        program = _compile(equation, tuple([tuple(x._spec.shape) for x in operands]))
        for x in operands[1:]:
            same_scalar_type(operands[0]._spec, x._spec)
        if len(_PROGRAMS) >= _MOST_PROGRAMS:
            _PROGRAMS.clear()
        _PROGRAMS[key] = program
    return program.run(operands)


def _output_labels(inputs: list[list[str]], output: list[str] | None, width: int) -> list[Any]:
    letters = [letter for subscripts in inputs for letter in subscripts if letter != _ELLIPSIS]
    if output is None:
        once = sorted(letter for letter in set(letters) if letters.count(letter) == 1)
        return [*range(width), *once]
    wanted: list[Any] = []
    for letter in output:
        if letter == _ELLIPSIS:
            wanted += range(width)
        elif letter in wanted:
            raise RuntimeError(
                f"einsum(): output subscript {letter} appears more than once in the output"
            )
        elif letter not in letters:
            raise RuntimeError(
                f"einsum(): output subscript {letter} does not appear in the equation for any "
                "input operand"
            )
        else:
            wanted.append(letter)
    return wanted
