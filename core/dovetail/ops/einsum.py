"""``einsum``: sums of products named by subscripts, as a chain of batched matrix products.

Each operand is brought to distinct labels (repeated ones become a diagonal), then two at a time are
multiplied: labels that both have and that are needed later are the batch, those that both have and
nobody needs are summed by the product, the rest are its rows and columns.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any, NamedTuple

from dovetail.ops.contract import _matmul, _same_scalar_type
from dovetail.ops.expose import publish
from dovetail.tensor import Tensor

__all__ = ["einsum"]

_LETTERS = string.ascii_uppercase + string.ascii_lowercase
_ELLIPSIS = "."


class _Term(NamedTuple):
    """An operand and the label of each of its dims, all distinct."""

    tensor: Any
    labels: tuple[Any, ...]


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


def _expand_ellipsis(subscripts: list[str], x: Tensor, operand: int, width: int) -> list[Any]:
    """The label of each dim; dims under the ellipsis are numbered from the right."""
    ndim = x._spec.ndim
    named = len(subscripts) - (_ELLIPSIS in subscripts)
    if _ELLIPSIS not in subscripts and named != ndim or named > ndim:
        extra = (
            " and no ellipsis was given"
            if _ELLIPSIS not in subscripts
            else (" even with the ellipsis")
        )
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({named}) "
            + ("does not match" if _ELLIPSIS not in subscripts else "is more than")
            + f" the number of dimensions ({ndim}) for operand {operand}{extra}"
        )
    labels: list[Any] = []
    for letter in subscripts:
        if letter == _ELLIPSIS:
            covered = ndim - named
            labels += range(width - covered, width)
        else:
            labels.append(letter)
    return labels


def _note_sizes(sizes: dict[Any, int], labels: list[Any], x: Tensor, operand: int) -> None:
    """Remember the size of each label; 1 broadcasts."""
    here: dict[Any, int] = {}
    for label, n in zip(labels, x._spec.shape, strict=True):
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


def _distinct(x: Any, labels: list[Any], sizes: dict[Any, int]) -> _Term:
    """Repeated labels become the diagonal; dims of size 1 that broadcast are dropped."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            x = x.diagonal(0, first, second)
            del labels[second], labels[first]
            labels.append(label)
    for i in reversed(range(len(labels))):
        if x._spec.shape[i] == 1 and sizes[labels[i]] != 1:
            x = x.squeeze(i)
            del labels[i]
    return _Term(x, tuple(labels))


# ------------------------------------------------------------------ products


def _sum_away(term: _Term, needed: set[Any]) -> _Term:
    gone = [i for i, label in enumerate(term.labels) if label not in needed]
    if not gone:
        return term
    kept = tuple(label for label in term.labels if label in needed)
    return _Term(term.tensor.sum(tuple(gone)), kept)


def _arranged(term: _Term, *groups: list[Any]) -> Any:
    """The tensor with the dims of each group joined to one."""
    order = [term.labels.index(label) for group in groups for label in group]
    x = term.tensor if order == sorted(order) else term.tensor.permute(order)
    sizes = iter(x._spec.shape)
    return x.reshape([math.prod(next(sizes) for _ in group) for group in groups])


def _multiply(a: _Term, b: _Term, needed: set[Any]) -> _Term:
    """The product of two terms, summed over what nobody needs any more."""
    a = _sum_away(a, needed | set(b.labels))
    b = _sum_away(b, needed | set(a.labels))
    shared = [label for label in a.labels if label in b.labels]
    batch = [label for label in shared if label in needed]
    inner = [label for label in shared if label not in needed]
    rows = [label for label in a.labels if label not in shared]
    columns = [label for label in b.labels if label not in shared]
    sizes = dict(zip(a.labels, a.tensor._spec.shape, strict=True))
    sizes.update(zip(b.labels, b.tensor._spec.shape, strict=True))
    _same_scalar_type(a.tensor._spec, b.tensor._spec)
    if not inner:
        left = _arranged(a, *[[label] for label in batch + rows])
        left = left.reshape([sizes[label] for label in batch + rows] + [1] * len(columns))
        right = _arranged(b, *[[label] for label in batch + columns])
        wide = [sizes[label] for label in batch] + [1] * len(rows)
        right = right.reshape(wide + [sizes[label] for label in columns])
        return _Term(left * right, (*batch, *rows, *columns))
    left, right = _arranged(a, batch, rows, inner), _arranged(b, batch, inner, columns)
    if not batch:
        left, right = left.squeeze(0), right.squeeze(0)
    product = _matmul(left, right)
    labels = (*batch, *rows, *columns)
    return _Term(product.reshape([sizes[label] for label in labels]), labels)


def _cheapest(terms: list[_Term], sizes: dict[Any, int]) -> tuple[int, int]:
    """The pair whose product takes the least multiplications; the leftmost of equals."""
    pairs = ((i, j) for j in range(len(terms)) for i in range(j))
    return min(
        pairs,
        key=lambda p: math.prod(
            sizes[label] for label in {*terms[p[0]].labels, *terms[p[1]].labels}
        ),
    )


@publish(method=False)
def einsum(*args: Any) -> Tensor:
    """Sums of products over named dims.

    Args:
        args: an equation and operands (``"bij,bjk->bik", x, y``), or operands each followed by a list
            of numbers below 52, and perhaps the output's (``x, [0, 1], y, [1, 2], [0, 2]``).
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
    inputs, output = _inputs_and_output(equation, len(operands))
    width = 0
    for subscripts, x in zip(inputs, operands, strict=True):
        if _ELLIPSIS in subscripts:
            width = max(width, x._spec.ndim - len(subscripts) + 1)
    sizes: dict[Any, int] = {}
    labels = []
    for i, (subscripts, x) in enumerate(zip(inputs, operands, strict=True)):
        labels.append(_expand_ellipsis(subscripts, x, i, width))
        _note_sizes(sizes, labels[-1], x, i)
    wanted = _output_labels(inputs, output, width)
    terms = [_distinct(x, names, sizes) for x, names in zip(operands, labels, strict=True)]
    while len(terms) > 1:
        i, j = _cheapest(terms, sizes)
        second, first = terms.pop(j), terms.pop(i)
        needed = set(wanted).union(*[term.labels for term in terms])
        terms.insert(i, _multiply(first, second, needed))
    last = _sum_away(terms[0], set(wanted))
    result = last.tensor.permute([last.labels.index(x) for x in wanted if x in last.labels])
    if len(last.labels) == len(wanted):
        return result  # type: ignore[no-any-return]
    # A label that every operand had with size 1, or none had, as the ellipsis of nothing.
    return result.reshape([sizes.get(label, 1) for label in wanted])  # type: ignore[no-any-return]


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
