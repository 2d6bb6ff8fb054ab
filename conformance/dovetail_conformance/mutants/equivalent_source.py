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
_LONGER_BUFFER = (
    "no stride is negative, so the buffer is longer than it must be; nothing is added to the rest "
    "and no view shows it"
)
_ABS_OF_INTEGERS = (
    "it differs for integers only, which take the other branch: none is infinite, so both say the "
    "same of each"
)

_ZERO_REST = "where it differs the rest is 0, and rest.ne(0) has already left that out"
_EITHER_WAY = "promote_types gives the same either way round: it sorts the two first"
_ANY_NUMBER = "an infinity less any number, and plus it again, is the same infinity"
_NO_TERM = "where out is -inf all inputs so far are, and exp(-inf - any number) is 0"
_ONLY_LARGER = "the extra places at the end are never read, nor are more of them"
_REPLACED = "what stands for a 0 is divided out again, any number but 0 does"
_ZERO_OVER = "where src is 0 so is the product, and 0 over any number is 0"
_MORE_ROUNDS = (
    "a search that is finished has low == high and changes no more: only rounds are added"
)
_HALF = "0 // 2 and 1 // 2 are both 0"
_PADS_BACK = (
    "cutting the sides off by padding with less than 0 gives what narrow gives; it only copies"
)
_ROUNDED_BEYOND = "it takes off what rounding has added beyond 1, a unit in the last place"
_ELSEWHERE = (
    "indices in host memory alone are looked at, and the device that is asked has none there; the "
    "grade of the cpu has, whose put is asked more negative places than are looked at one by one"
)
_DIVIDED_OUT = "what a covariance is divided by is divided out again by the deviations"
_COINCIDE = "points that coincide have no difference for this weight to be of"
_MIDDLE = "the middle of equal margins is in the same bin, whatever their width"
_NO_ELEMENTS = "of no elements none is counted, whatever the ends"
_NO_SUCH_ROW = "a row that has no element is filled afterwards"
_NO_TIES = "where nothing ties nothing has a share, of whatever size"
_PRODUCT = "a product of two integers is the same either way round"

_STAND_IN = "what stands in for the elements of another piece is computed and not taken"

_ONE_DIAGONAL = "a matrix and its transpose have the same diagonal"
_SIGN = "a sign divides as it multiplies"
_EITHER_FORM = "of a square matrix both forms give the one solution; which is taken is arbitrary"

EQUIVALENT_SOURCE: dict[str, str] = {
    **dict.fromkeys(
        (
            "constant/zeta.py:zeta_of: where(is_low, q, -0.5) -> where(is_low, q, 0.5)",
            "constant/integer_math.py:_gcd: where(ended, 1, b) -> where(ended, 2, b)",
            "constant/modified_bessel.py:_over: where(is_zero, 1.0, input) -> "
            "where(is_zero, 2.0, input)",
        ),
        _STAND_IN,
    ),
    "constant/bessel.py:_spherical: x.abs().lt(0.5) -> x.abs().lt(1.0)": (
        "the series has the digits of the quotient up to 1 too"
    ),
    "constant/integer_math.py:_lcm: where(divisor.eq(0), 1, divisor) -> "
    "where(divisor.eq(0), 2, divisor)": "a divisor is 0 where both numbers are, and 0 // 2 is 0",
    "swap/integer_math.py:_lcm: _gcd(input, other) -> _gcd(other, input)": (
        "a greatest common divisor is the same either way round"
    ),
    "constant/gamma.py:_below_eight: range(1, 7) -> range(1, 8)": (
        "of a number below 8 floor is at most 7, and never above 7"
    ),
    "constant/gamma.py:_psi_below_ten: range(8) -> range(9)": (
        "of a number below 10 floor is at most 9, and never above 9"
    ),
    "constant/incomplete_gamma.py:_lower_series: 1.0 -> 2.0": (
        "the term of number 54 is doubled: where the series is taken (x <= a, beyond a = 20 "
        "x <= a / 2) it is at most 2 ** -55 of the sum"
    ),
    "constant/incomplete_gamma.py:_upper_small: 0.0 -> 1.0": (
        "it adds a * x ** (a + 20) / 20! / gamma(a + 1), at most 1.5e-17 of the function where "
        "this is taken (a < x <= 1.1)"
    ),
    "constant/approximations.py:exp_of_square: x.abs().minimum(64.0) -> x.abs().minimum(128.0)": (
        "from 64 on the exponential of the square is 0 or infinite in every dtype"
    ),
    "swap/determinants.py:_det: packed.diagonal(0, -2, -1) -> packed.diagonal(0, -1, -2)": (
        _ONE_DIAGONAL
    ),
    "arithmetic/determinants.py:_det: packed.diagonal(0, -2, -1).prod(-1) * _parity(pivots) -> "
    "packed.diagonal(0, -2, -1).prod(-1) / _parity(pivots)": _SIGN,
    "arithmetic/determinants.py:_adjugate_gradient: i + i.unsqueeze(-1) -> i - i.unsqueeze(-1)": (
        "a sum and a difference of whole numbers are both even or both odd"
    ),
    "arithmetic/determinants.py:_adjugate_gradient: call(DET, (minors,)) * sign -> "
    "call(DET, (minors,)) / sign": _SIGN,
    "swap/determinants.py:_slogdet: packed.diagonal(0, -2, -1) -> packed.diagonal(0, -1, -2)": (
        _ONE_DIAGONAL
    ),
    "arithmetic/determinants.py:_slogdet: diagonal.sgn().prod(-1) * _parity(pivots) -> "
    "diagonal.sgn().prod(-1) / _parity(pivots)": _SIGN,
    "compare/least_squares.py:_lstsq: m >= n -> m > n": _EITHER_FORM,
    "compare/least_squares.py:_pinv_gradient: m <= n -> m < n": (
        "both formulas are the same sum for any matrix; which is taken decides about speed alone"
    ),
    "call/lu.py:_permutation: pivots.to(d.int64) -> pivots": (
        "gather and scatter make int64 of int32 themselves; it is made here once for all of them"
    ),
    "constant/matrix_functions.py:_squarings: x.detach().abs().sum(-2) -> "
    "x.detach().abs().sum(-1)": (
        "the bound of Padé's error holds in any consistent norm, that of the rows too"
    ),
    "constant/matrix_functions.py:_squarings: 0 -> 1": (
        "the square of the exponential of the half is the exponential"
    ),
    "constant/matrix_functions.py:_matrix_exp: times.masked_fill("
    "times.isfinite().logical_not(), 0) -> times.masked_fill(times.isfinite().logical_not(), 1)": (
        "a matrix that is not finite has NaN for its exponential, squared once more or not"
    ),
    "swap/matrices.py:broadcast_batches: broadcast_shapes(batch_of(a), batch_of(b)) -> "
    "broadcast_shapes(batch_of(b), batch_of(a))": "sizes broadcast the same either way round",
    "swap/qr.py:_square_gradient: inner.diagonal(0, -2, -1) -> inner.diagonal(0, -1, -2)": (
        _ONE_DIAGONAL
    ),
    "compare/qr.py:_gradient: k >= n -> k > n": "of a square matrix no columns are left over",
    "arithmetic/svd.py:gaps: differences + eye_like(values, values.shape[-1]) -> "
    "differences - eye_like(values, values.shape[-1])": (
        "the diagonal that gaps divides is 0: of skew matrices it is imaginary, and 0 wherever the "
        "loss does not depend on a phase"
    ),
    "call/triangle.py:_on_diagonal: g.expand(min(shape)) -> g": (
        "the copy into the diagonal repeats a number as expand does"
    ),
    "swap/svd.py:_gradient: of_u.diagonal(0, -2, -1) -> of_u.diagonal(0, -1, -2)": _ONE_DIAGONAL,
    "compare/svd.py:_gradient: n > k -> n >= k": (
        "where both are equal V is square, and nothing lies beside the space of its columns"
    ),
    "swap/svd.py:check_phase: total.diagonal(0, -2, -1) -> total.diagonal(0, -1, -2)": (
        _ONE_DIAGONAL
    ),
    "swap/eigen.py:_eig_gradient: inner.diagonal(0, -2, -1) -> inner.diagonal(0, -1, -2)": (
        _ONE_DIAGONAL
    ),
    "constant/covariance.py:corrcoef: _products(input, None, None, 1) -> "
    "_products(input, None, None, 2)": _DIVIDED_OUT,
    "call/covariance.py:corrcoef: c.real.clamp(-1, 1) -> c.real": _ROUNDED_BEYOND,
    "constant/covariance.py:corrcoef: c.real.clamp(-1, 1) -> c.real.clamp(-1, 2)": _ROUNDED_BEYOND,
    "call/covariance.py:corrcoef: c.imag.clamp(-1, 1) -> c.imag": _ROUNDED_BEYOND,
    "constant/covariance.py:corrcoef: c.imag.clamp(-1, 1) -> c.imag.clamp(-1, 2)": _ROUNDED_BEYOND,
    "call/covariance.py:corrcoef: c.clamp(-1, 1) -> c": _ROUNDED_BEYOND,
    "constant/covariance.py:corrcoef: c.clamp(-1, 1) -> c.clamp(-1, 2)": _ROUNDED_BEYOND,
    "call/distance.py:_cdist_gradient: g.masked_fill(none, 0) -> g": _COINCIDE,
    "constant/distance.py:_cdist_gradient: g.masked_fill(none, 0) -> g.masked_fill(none, 1)": (
        _COINCIDE
    ),
    "constant/distance.py:_cdist_gradient: out.masked_fill(none, 1) -> "
    "out.masked_fill(none, 2)": "0 over any number is 0",
    "call/histogram.py:_ends: x.new_zeros(()) -> x": _NO_ELEMENTS,
    "call/histogram.py:_ends: x.new_ones(()) -> x": _NO_ELEMENTS,
    "constant/histogram.py:histc: _ends(x, 1) -> _ends(x, 2)": _MIDDLE,
    "constant/places.py:nonzero_static: size + 1 -> size + 2": _ONLY_LARGER,
    "constant/places.py:nonzero_static: full((size + 1,), 0, dtype=d.int64, "
    "device=input.device) -> full((size + 1,), 1, dtype=d.int64, device=input.device)": (
        _NO_SUCH_ROW
    ),
    "constant/segment_reduce.py:segment_reduce_backward: count.masked_fill(count.eq(0), 1) -> "
    "count.masked_fill(count.eq(0), 2)": _NO_TIES,
    "compare/differences.py:_diff: len(parts) > 1 -> len(parts) >= 1": (
        "a cat of one tensor is a copy of it"
    ),
    "compare/elementwise_more.py:_fmod: rest < 0 -> rest <= 0": _ZERO_REST,
    "constant/elementwise_more.py:_fmod: rest < 0 -> rest < 1": _ZERO_REST,
    "compare/elementwise_more.py:_fmod: input < 0 -> input <= 0": _ZERO_REST,
    "constant/elementwise_more.py:_fmod: input < 0 -> input < 1": _ZERO_REST,
    "constant/median.py:_nanmedian_along: (n - 1 - _nan_count(input, dim)).clamp_min(0) -> "
    "(n - 1 - _nan_count(input, dim)).clamp_min(1)": _HALF,
    "constant/arithmetic.py:sgn.decompose: input.abs().masked_fill(input == 0, 1) -> "
    "input.abs().masked_fill(input == 0, 2)": _STAND_IN,
    **dict.fromkeys(
        (
            "constant/float_parts.py:_frexp: 1 - form.bias -> 2 - form.bias",
            "operand/float_parts.py:_frexp: 1 - form.bias -> 1",
            "operand/float_parts.py:_frexp: 2.0 ** (1 - form.bias) -> 2.0",
        ),
        "a normal number of up to 2 is scaled without rounding too, and the exponent is put right",
    ),
    "operand/float_parts.py:_frexp: is_plain & input.abs().lt(smallest) -> "
    "input.abs().lt(smallest)": "it differs at 0, which is 0 when scaled, and is not taken",
    "constant/incomplete_gamma.py:_regularised: a.gt(0) -> a.gt(1)": (
        "of an a above 0 this decides where it is infinite only, and so above 1 too"
    ),
    "constant/polynomials.py:_highest: 0 -> 1": _NO_ELEMENTS,
    "compare/polynomials.py:_chebyshev: _highest(n) > _ITERATED -> _highest(n) >= _ITERATED": (
        "of no degree above the limit the closed form is computed and not taken"
    ),
    "constant/polynomials.py:_closed: x.lt(0) -> x.lt(1)": (
        "it is taken beyond [-1, 1] only, where what is below 1 is below 0"
    ),
    "constant/logarithmic.py:_entr: where(inside, x, 1.0) -> where(inside, x, 2.0)": _STAND_IN,
    "constant/logarithmic.py:_entr: x.lt(0) -> x.lt(1)": (
        "what is above 0, and 0, have been taken before: of the rest all but NaN is below both"
    ),
    "arithmetic/logarithmic.py:_xlog1py: input * nan -> input / nan": (
        "a quotient by NaN is NaN as a product with it is"
    ),
    "constant/logarithmic.py:_sinc: where(is_zero, 1.0, input) -> where(is_zero, 2.0, input)": (
        _STAND_IN
    ),
    "constant/logarithmic.py:_sinc_gradient: where(near, 1.0, input) -> "
    "where(near, 2.0, input)": _STAND_IN,
    "constant/logarithmic.py:_sinc_gradient: where(near, input, 0.0) -> "
    "where(near, input, 1.0)": _STAND_IN,
    "constant/logarithmic.py:_sinc_gradient: input.abs().lt(0.25) -> input.abs().lt(0.5)": (
        "the series has the digits of the quotient up to 0.5 too"
    ),
    "compare/padding.py:_constant_gradient: n < 0 -> n <= 0": _PADS_BACK,
    "constant/padding.py:_constant_gradient: n < 0 -> n < 1": _PADS_BACK,
    "swap/repeating.py:_repeat_shapes: zip(repeats, padded, strict=True) -> "
    "zip(padded, repeats, strict=True) #2": _PRODUCT,
    "constant/scan.py:_log_add: top.masked_fill(top.abs().eq(math.inf), 0) -> "
    "top.masked_fill(top.abs().eq(math.inf), 1)": _ANY_NUMBER,
    "constant/scan.py:_added_back: sums.masked_fill(sums.eq(-math.inf), 0) -> "
    "sums.masked_fill(sums.eq(-math.inf), 1)": _NO_TERM,
    "swap/promotion.py:_combine: promote_types(higher, lower) -> "
    "promote_types(lower, higher)": _EITHER_WAY,
    "swap/promotion.py:promote_specs: promote_types(seen, kind) -> "
    "promote_types(kind, seen)": _EITHER_WAY,
    "constant/scatter_reduce.py:_in_rounds: 1 -> 2": _ONLY_LARGER,
    "call/scatter_reduce.py:_in_rounds: input.new_zeros(extra) -> input": _ONLY_LARGER,
    "constant/scatter_reduce.py:product_gradient: input.masked_fill(input.eq(0), 1) -> "
    "input.masked_fill(input.eq(0), 2)": _REPLACED,
    "constant/scatter_reduce.py:product_gradient: src.masked_fill(zero, 1) -> "
    "src.masked_fill(zero, 2)": _ZERO_OVER,
    "call/search.py:_halving: n.bit_length() -> n": _MORE_ROUNDS,
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
    "constant/strided.py:strided_rule: max(reach[0], reach[1] + offset) + 1 -> "
    "max(reach[0], reach[1] + offset) + 2": _LONGER_BUFFER,
    "arithmetic/strided.py:strided_rule: n - 1 -> n + 1": _LONGER_BUFFER,
    "call/strided.py:strided_backward: "
    "buffer.as_strided(shape, base, -low).clone(memory_format=contiguous_format) -> "
    "buffer.as_strided(shape, base, -low)": (
        "the same values under the same shape; they only lie in memory in another order, which "
        "nobody asks about"
    ),
    "operand/strided.py:strided_rule: n - 1 -> n": _LONGER_BUFFER,
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
    "swap/scan.py:_doubling: combine(made.narrow(dim, step, n - step), "
    "made.narrow(dim, 0, n - step)) -> combine(made.narrow(dim, 0, n - step), "
    "made.narrow(dim, step, n - step))": (
        "maximum, minimum and the logarithm of a sum of exponentials take theirs in any order"
    ),
    "condition/index_checks.py:check_bounds: if not wraps and spec.dtype is d.int64 -> "
    "if not (not wraps and spec.dtype is d.int64)": _ELSEWHERE,
    "unary/index_checks.py:check_bounds: not wraps and spec.dtype is d.int64 -> "
    "wraps and spec.dtype is d.int64": _ELSEWHERE,
    "swap/windows.py:padded_with: zip(before, x.shape[2:], after, strict=True) -> "
    "zip(before, after, x.shape[2:], strict=True)": "the three sizes are added up",
    "swap/windows.py:window_view: zip(steps, dilation, strict=True) -> "
    "zip(dilation, steps, strict=True)": "the two numbers of a pair are multiplied",
    "swap/windows.py:window_view: zip(steps, stride, strict=True) -> "
    "zip(stride, steps, strict=True)": "the two numbers of a pair are multiplied",
}
"""``kind/file:function: before -> after`` -> why it cannot be told from the good source."""
