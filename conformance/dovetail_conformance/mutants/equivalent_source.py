"""Mistakes in the source that no test can catch, each with the proof that nothing changes."""

from __future__ import annotations

__all__ = ["EQUIVALENT_SOURCE"]

_NOTHING_BELOW = (
    "it differs where low is -2**63 only; no int64 is below that, so the where changes nothing"
)

_LONGER = (
    "more pairs are drawn than are needed, and a longer draw begins with the shorter one: what is "
    "left after narrow is the same"
)
_DIVIDED_ZERO = (
    "it differs where an operand is 0 only: 0 of either sign is the same integer, and a division "
    "by 0 of integers has no defined result"
)
_ROOM = (
    "more padding is put after the end than any window reaches, and it is never read: where the "
    "windows are depends on the number of places alone"
)
_SEES_NOTHING = (
    "a row that sees no key has minus infinity for every score, and exp(-inf - 0) = exp(-inf - 1) "
    "= 0"
)
_NO_KEYS = (
    "without keys there are no scores that the backward could take the logsumexp from, so its "
    "value is never read"
)
_TIES_FIRST = "where both are equal the share of ties is taken, whatever this comparison says"
_ONE_PRODUCT = (
    "one product over the joined batch and a batch of products that is then summed are the same "
    "sum; which is taken decides about speed alone"
)
_ABS_OF_INTEGERS = (
    "it differs for integers only, which take the other branch: none is infinite, so both say the "
    "same of each"
)

EQUIVALENT_SOURCE: dict[str, str] = {
    "arithmetic/draws.py:_normal: (spec.numel + 1) // 2 -> (spec.numel + 1) * 2": _LONGER,
    "operand/draws.py:_normal: (spec.numel + 1) // 2 -> spec.numel + 1": _LONGER,
    "constant/draws.py:_normal: spec.numel + 1 -> spec.numel + 2": _LONGER,
    "constant/division.py:_truncated: x.lt(0) -> x.lt(1)": _DIVIDED_ZERO,
    "compare/division.py:_truncated: x < 0 -> x <= 0": _DIVIDED_ZERO,
    "constant/division.py:_truncated: x < 0 -> x < 1": _DIVIDED_ZERO,
    **dict.fromkeys(
        (
            f"{change}/pool.py:_after: (m - 1) * s + q * (k - 1) + 1 - n{after}"
            for change, after in (
                ("arithmetic", " - p -> (m - 1) * s + q * (k - 1) + 1 - n + p"),
                ("operand", " - p -> (m - 1) * s + q * (k - 1) + 1 - n"),
                ("arithmetic", " -> (m - 1) * s + q * (k - 1) + 1 + n"),
                ("operand", " -> (m - 1) * s + q * (k - 1) + 1"),
            )
        ),
        _ROOM,
    ),
    "arithmetic/pool.py:_after: m - 1 -> m + 1": _ROOM,
    "operand/pool.py:_after: m - 1 -> m": _ROOM,
    "arithmetic/pool.py:_after: k - 1 -> k + 1": _ROOM,
    "operand/pool.py:_after: k - 1 -> k": _ROOM,
    "constant/pool.py:_after: (m - 1) * s + q * (k - 1) + 1 -> (m - 1) * s + q * (k - 1) + 2": (
        _ROOM
    ),
    "constant/pool.py:_after: max((m - 1) * s + q * (k - 1) + 1 - n - p, 0) -> "
    "max((m - 1) * s + q * (k - 1) + 1 - n - p, 1)": _ROOM,
    "constant/attention.py:_finite: x.masked_fill(x == -math.inf, 0) -> "
    "x.masked_fill(x == -math.inf, 1)": _SEES_NOTHING,
    "arithmetic/attention.py:_attention: scores.sum(-1) - math.inf -> "
    "scores.sum(-1) + math.inf": _NO_KEYS,
    "operand/attention.py:_attention: scores.sum(-1) - math.inf -> scores.sum(-1)": _NO_KEYS,
    "constant/attention.py:_attention: total.masked_fill(total == 0, 1) -> "
    "total.masked_fill(total == 0, 2)": (
        "the total is 0 where every weight is 0, and 0 / 1 = 0 / 2"
    ),
    "compare/compare.py:isinf.decompose: input.dtype.category > 1 -> "
    "input.dtype.category >= 1": _ABS_OF_INTEGERS,
    "compare/compare.py:isfinite.decompose: input.dtype.category > 1 -> "
    "input.dtype.category >= 1": _ABS_OF_INTEGERS,
    "swap/compare.py:logical_and.decompose: _of_truths(_symbol, input, other) -> "
    "_of_truths(_symbol, other, input)": (
        "and, or and exclusive or of two truths do not depend on their order"
    ),
    "compare/compare.py:maximum.gradient.input: input > other -> input >= other": _TIES_FIRST,
    "compare/compare.py:maximum.gradient.other: other > input -> other >= input": _TIES_FIRST,
    "compare/compare.py:minimum.gradient.input: input < other -> input <= other": _TIES_FIRST,
    "compare/compare.py:minimum.gradient.other: other < input -> other <= input": _TIES_FIRST,
    "constant/contract.py:_matmul_input_gradient: specs[0] -> specs[1]": _ONE_PRODUCT,
    "compare/contract.py:_matmul_input_gradient: other._spec.ndim > 2 -> "
    "other._spec.ndim >= 2": _ONE_PRODUCT,
    "constant/contract.py:_matmul_input_gradient: other._spec.ndim > 2 -> "
    "other._spec.ndim > 3": _ONE_PRODUCT,
    "compare/contract.py:_matmul_other_gradient: input._spec.ndim > 2 -> "
    "input._spec.ndim >= 2": _ONE_PRODUCT,
    "constant/contract.py:_matmul_other_gradient: input._spec.ndim > 2 -> "
    "input._spec.ndim > 3": _ONE_PRODUCT,
    "constant/convert.py:strided_rule: max(reach[0], reach[1] + offset) + 1 -> "
    "max(reach[0], reach[1] + offset) + 2": (
        "the buffer is one element longer, which nothing is added to and no view shows"
    ),
    "constant/classification.py:cross_entropy_backward: "
    "(grad / factor.sum()).masked_fill(ignored, 0) -> "
    "(grad / factor.sum()).masked_fill(ignored, 1)": (
        "what stands at ignored targets is multiplied by their factor 0, or filled with 0 again"
    ),
    "compare/draws.py:_wide_integers: low > -(1 << 63) -> low >= -(1 << 63)": _NOTHING_BELOW,
    "constant/draws.py:_wide_integers: 1 << 63 -> 2 << 63 #2": _NOTHING_BELOW,
    "constant/draws.py:_wide_integers: 1 << 63 -> 1 << 64 #2": _NOTHING_BELOW,
    "constant/vector_norm.py:_powers: ord == 1 -> ord == 2": (
        "order 2 has returned above, and the general formula's powers of 1 leave the sum of |x|"
    ),
    "constant/vector_norm.py:logsumexp: top.masked_fill(top.abs().eq(math.inf), 0) -> "
    "top.masked_fill(top.abs().eq(math.inf), 1)": (
        "it differs in rows whose largest is infinite only, and those give that infinity, shifted "
        "by 1 or not"
    ),
    "swap/windows.py:padded_with: zip(before, x.shape[2:], after, strict=True) -> "
    "zip(before, after, x.shape[2:], strict=True)": "the three sizes are added up",
    "swap/windows.py:window_view: zip(steps, dilation, strict=True) -> "
    "zip(dilation, steps, strict=True)": "the two numbers of a pair are multiplied",
    "swap/windows.py:window_view: zip(steps, stride, strict=True) -> "
    "zip(stride, steps, strict=True)": "the two numbers of a pair are multiplied",
}
"""``kind/file:function: before -> after`` -> why it cannot be told from the good source."""
