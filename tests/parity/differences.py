"""Where dovetail differs from PyTorch on purpose, and why; docs/parity.md prints these lines.

Strict both ways: a difference that no line explains fails, and so does a line that no difference
matches (but for those that hold for some samples only).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DIFFERENCES", "Difference"]


class Difference(NamedTuple):
    """One line: operators, form, kind of difference, dtypes, sample (a pattern) and the reason.

    Attributes:
        form: ``function``, ``method``, ``in place``, ``out``, ``keywords``, ``numbers``,
            ``mixed dtypes``, ``wrong call``, ``gradient``; a shell pattern.
        sometimes: not every operator and dtype named here shows it.
    """

    operators: tuple[str, ...]
    form: str
    kind: str
    reason: str
    dtypes: tuple[str, ...] = ("*",)
    sample: str = "*"
    sometimes: bool = False


_TENSORS = (
    "atan2", "copysign", "eq", "fmod", "ge", "gt", "heaviside", "hypot", "le", "logaddexp",
    "logaddexp2", "logical_and", "logical_or", "logical_xor", "lt", "maximum", "minimum", "ne",
)  # fmt: skip

DIFFERENCES: tuple[Difference, ...] = (
    *[
        Difference(
            _TENSORS, "numbers", kind,
            "a Python number is taken on either side, where PyTorch has an overload for tensors "
            "only",
            sometimes=True,
        )
        for kind in ("accepts", "class")
    ],
    Difference(
        ("gelu", "hardshrink", "linear", "logsigmoid", "softplus", "softshrink"), "out",
        "refuses", "PyTorch's out= there is not documented",
    ),
    Difference(
        ("all", "any"), "out", "refuses", "a uint8 out= is a legacy of PyTorch's old masks",
        sample="* uint8",
    ),
    Difference(
        ("lerp",), "out", "accepts",
        "any float out= will do; PyTorch's does for a weight that is a tensor only",
        sometimes=True,
    ),
    *[
        Difference(
            ("shift_left", "shift_right"), form, "accepts",
            "the primitive's own name; PyTorch's, bitwise_left_shift, is there as well",
        )
        for form in ("method", "in place")
    ],
    *[
        Difference(
            ("cumprod", "cumsum"), "out", kind,
            "computed in the input's dtype, then cast; PyTorch computes in the out='s",
            sometimes=True,
        )
        for kind in ("class", "refuses", "values")
    ],
    Difference(
        ("pow",), "numbers", "refuses",
        "bool has no powers; PyTorch copies for an exponent of True",
        ("bool",),
    ),
    Difference(
        (
            "all", "amax", "amin", "any", "argmax", "argmin", "bmm", "cummax", "cummin", "matmul",
            "mv", "std", "threshold", "tril", "triu", "var", "mm", "addmm", "baddbmm", "sum",
            "prod", "mean", "vector_norm", "cumsum", "cumprod", "softmax", "log_softmax",
        ),
        "out", "refuses", "an out= with elements in one place is refused everywhere",
        sample="* memory written twice", sometimes=True,
    ),
    Difference(
        ("logsigmoid",), "function", "strides",
        "PyTorch packs the input on the cpu only; its result on other devices keeps the order",
        ("float64", "float32", "bfloat16", "float16"),
    ),
)  # fmt: skip
