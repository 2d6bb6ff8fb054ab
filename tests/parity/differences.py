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

_FLAGS = (
    "accumulate", "descending", "forward", "include_self", "keepdim", "largest", "log_target",
    "onesided", "right", "sorted", "stable", "log_input", "full",
)  # fmt: skip

_COMPLEX = (
    "logaddexp", "logcumsumexp", "logsumexp", "rms_norm",
    "scatter_reduce",
)  # fmt: skip

DIFFERENCES: tuple[Difference, ...] = (
    *[
        Difference(
            _COMPLEX, form, "refuses", "not defined for complex numbers",
            dtypes, sample=sample, sometimes=form != "function",
        )
        for form, dtypes, sample in (
            ("function", ("complex64",), "*"),
            ("wrong call", ("*",), "* dtype complex64"),
            ("mixed dtypes", ("*",), "*complex64*"),
        )
    ],
    Difference(
        ("complex",), "function", "refuses", "there is no complex32 to make of two float16",
        ("float16",),
    ),
    Difference(
        (
            "cummax", "cummin", "kthvalue", "mode", "matmul", "mm", "mv", "bmm", "addmm",
            "baddbmm", "linear", "scaled_dot_product_attention", "trapezoid",
        ),
        "function", "refuses",
        "PyTorch looks at the dtype only where there is more than one element, or a sum of some",
        ("complex64", "bool", "int64", "uint8"), sometimes=True,
    ),
    Difference(
        (
            "addmm", "baddbmm", "std", "std_mean", "var", "var_mean", "index_add", "squeeze",
            "trapezoid", "cumulative_trapezoid",
        ),
        "wrong call", "accepts",
        "None is the default: unbiased=None, alpha=None, beta=None, dim=None, x=None, dx=None",
        sample="* None", sometimes=True,
    ),
    Difference(
        ("std", "std_mean", "var", "var_mean"), "wrong call", "accepts",
        "unbiased takes an int", sample="* unbiased an int",
    ),
    Difference(
        ("embedding",), "wrong call", "*",
        "padding_idx has a meaning for gradients only, and is not looked at before",
        sometimes=True,
    ),
    Difference(
        ("nll_loss",), "wrong call", "class",
        "shapes and dtypes are checked as in cross_entropy, with a RuntimeError",
        sometimes=True,
    ),
    *[
        Difference(
            ("scaled_dot_product_attention",), "wrong call", kind,
            "is_causal is taken by its truth; a mask may have more leading dims than the scores",
            sometimes=True,
        )
        for kind in ("accepts", "class")
    ],
    *[
        Difference(
            ("*",), "wrong call", "accepts", "a flag is taken by its truth, whatever it is",
            sample=f"*, {flag} *", sometimes=True,
        )
        for flag in _FLAGS
    ],
    Difference(
        ("*",), "wrong call", "refuses",
        "PyTorch computes shapes for a mixture of a device and meta; two devices are refused here",
        sample="* meta", sometimes=True,
    ),
    *[
        Difference(
            (
                "baddbmm", "cross_entropy", "index_add", "index_copy", "index_fill", "kthvalue",
                "mv", "permute", "bmm", "roll",
            ),
            "wrong call", "class", "two things are wrong at once, and another is named first",
            sample=sample, sometimes=True,
        )
        for sample in (
            "* no dims", "* no elements", "* another shape", "* 7 in front", "* too few",
            "* dtype *",
        )
    ],
    *[
        Difference(
            ("binary_cross_entropy", "huber_loss", "kl_div", "l1_loss"), "wrong call", kind,
            "input and target are promoted; PyTorch's kernels want the same dtype",
            sample="* dtype *", sometimes=True,
        )
        for kind in ("accepts", "dtype", "values")
    ],
    *[
        Difference(
            ("kthvalue", "sort", "topk"), "wrong call", "values",
            "of equal elements the first are taken; PyTorch takes any",
            sample=sample, sometimes=True,
        )
        for sample in ("* another shape", "* 7 in front", "* None")
    ],
    *[
        Difference(
            ("complex", "logsigmoid"), "wrong call", "strides",
            "PyTorch packs the inputs on the cpu, or takes the order of the wider operand",
            sample=sample, sometimes=True,
        )
        for sample in ("* another shape", "* 7 in front")
    ],
    Difference(
        ("log_softmax", "softmax"), "wrong call", "refuses",
        "the operator wants its dim; nn.functional guesses one with PyTorch's warning",
    ),
    *[
        Difference(
            ("hinge_embedding_loss", "margin_ranking_loss", "poisson_nll_loss", "soft_margin_loss",
             "normalize", "cosine_similarity"),
            form, "refuses", "of floats alone; nn.functional computes it of others in steps",
            ("int64", "uint8", "complex64", "*")[: 3 if form == "function" else 4],
            sample=sample, sometimes=True,
        )
        for form, sample in (("function", "*"), ("wrong call", "* dtype *"))
    ],
    *[
        Difference(
            ("hinge_embedding_loss", "soft_margin_loss"), "wrong call", kind,
            "input and target are promoted and broadcast; PyTorch's result is of the input's kind",
            sample=sample, sometimes=True,
        )
        for kind, sample in (
            ("accepts", "* dtype *"), ("dtype", "* dtype *"), ("refuses", "* dtype bool"),
            ("accepts", "* no dims"), ("accepts", "* 7 in front"), ("accepts", "* another shape"),
        )
    ],
    Difference(
        ("logsumexp", "prod", "squeeze"), "wrong call", "accepts",
        "dim=None is all dims, as in sum", sample="* dim None", sometimes=True,
    ),
    Difference(
        ("hardtanh",), "wrong call", "accepts",
        "nn.functional refuses min_val > max_val; dovetail.hardtanh, which PyTorch has not, clamps",
    ),
    Difference(
        ("roll",), "wrong call", "*",
        "a dim is looked at where there is nothing to roll, too", sometimes=True,
    ),
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
        ("nonzero",), "*", "strides",
        "row-major on every device; PyTorch's cpu kernel has the places of one dim together",
        sometimes=True,
    ),
    Difference(
        ("logsigmoid",), "function", "strides",
        "PyTorch packs the input on the cpu only; its result on other devices keeps the order",
        ("float64", "float32", "bfloat16", "float16"),
    ),
    Difference(
        ("det",), "function", "refuses",
        "PyTorch looks at the dtype only where there are elements", ("float16", "bfloat16"),
    ),
    Difference(
        ("det",), "out", "refuses",
        "torch.det has no out= either; linalg.det has it in both", sometimes=True,
    ),
    Difference(
        ("index_reduce",), "function", "refuses",
        "PyTorch does not look at the dtype where include_self is True and there are two dims",
        ("bool", "complex64"),
    ),
    *[
        Difference(
            ("mvlgamma", "nanquantile", "ndtr", "quantile", "slice_scatter"), "out", "strides",
            "PyTorch makes an out= of another shape row-major; here it gets the result's order",
            sample=sample, sometimes=True,
        )
        for sample in ("* another shape", "* empty")
    ],
    Difference(
        ("histc",), "out", "refuses", "an out= with elements in one place is refused everywhere",
        sample="* memory written twice",
    ),
    Difference(
        ("fft_c2c", "fft_c2r", "fft_r2c"), "out", "refuses",
        "the primitives below dovetail.fft, whose functions have out=", sometimes=True,
    ),
    Difference(
        ("fft_c2c", "fft_c2r"), "function", "accepts",
        "of nothing comes nothing; the library that PyTorch calls refuses it", ("complex64",),
        sample="8 (complex64[[]0, *",
    ),
    Difference(
        ("fft_c2c", "fft_r2c"), "wrong call", "accepts",
        "of nothing comes nothing; the library that PyTorch calls refuses it",
        sample="* input no elements",
    ),
    Difference(
        ("fft_c2c", "fft_c2r", "fft_r2c"), "wrong call", "refuses",
        "normalization, dims and the number of frequencies are looked at; PyTorch's primitives "
        "take any",
        sometimes=True,
    ),
    Difference(
        ("fft_c2c", "fft_c2r", "fft_r2c"), "wrong call", "class",
        "an IndexError; PyTorch's primitives fail in an assertion of their own",
        sample="* dim far", sometimes=True,
    ),
    Difference(
        ("bincount", "cov", "put"), "wrong call", "class",
        "two devices are refused as everywhere; PyTorch has no kernel for meta",
        sample="* meta", sometimes=True,
    ),
    Difference(
        ("fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine"), "wrong call",
        "class", "two devices are refused as everywhere; PyTorch has no kernel for meta",
        sample="* meta",
    ),
    Difference(
        ("fake_quantize_per_tensor_affine",), "wrong call", "values",
        "with a scale of 0 what is not a number stays so; PyTorch makes it the least number",
        sample="* scale dtype *", sometimes=True,
    ),
    Difference(
        (
            "chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v",
            "chebyshev_polynomial_w", "shifted_chebyshev_polynomial_t",
            "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
            "shifted_chebyshev_polynomial_w",
        ),
        "wrong call", "values",
        "infinite where the polynomial is above all numbers; PyTorch subtracts infinities: NaN",
        sample="* n far",
    ),
    Difference(
        ("matrix_exp",), "function", "values",
        "computed in float32; PyTorch's has NaN and infinities for half dtypes",
        ("float16", "bfloat16"),
    ),
)  # fmt: skip
