"""Functions that expressions call and C has not, as text in the same language.

Each is written once for the type ``T`` that is computed in; the generator puts those that a kernel
needs before it, with the dtype in their names. ``C`` is the pair type of a complex number.
"""

from __future__ import annotations

from dovetail.backend.special_helpers import SPECIAL

__all__ = ["HELPERS", "MATH"]

_MATH = """
acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh erf erfc exp exp2 expm1 fabs floor
fmax fmin fmod hypot lgamma log log10 log1p log2 pow rint sin sinh sqrt tan tanh trunc
"""
MATH = frozenset(_MATH.split())
"""Functions of C's that a dialect must be able to spell, on the type that is computed in."""

_WHOLE = {
    "whole_floor_divide": """
T whole_floor_divide(T a, T b) {
    if (b == 0) return (T)-1;
    if (b == -1) return (T)(0 - (U)a);
    T quotient = a / b;
    return (T)(quotient - (a % b != 0 && (a < 0) != (b < 0)));
}""",
    "whole_remainder": """
T whole_remainder(T a, T b) {
    if (b == 0) return a;
    if (b == -1) return 0;
    T left = a % b;
    return (T)(left != 0 && (left < 0) != (b < 0) ? left + b : left);
}""",
    "whole_pow": """
T whole_pow(T base, T exponent) {
    if (exponent < 0) {
        if (base == 1) return 1;
        if (base == (T)-1) return (T)(exponent % 2 ? -1 : 1);
        return 0;
    }
    U power = 1, square = (U)base;
    while (exponent) {
        if (exponent & 1) power *= square;
        square *= square;
        exponent >>= 1;
    }
    return (T)power;
}""",
    # Signs are dropped at the end: the smallest number has no absolute value.
    "whole_gcd": """
T whole_gcd(T a, T b) {
    while (b != 0) {
        T left = b == -1 ? 0 : (T)(a % b);
        a = b;
        b = left;
    }
    return a < 0 ? (T)(0 - (U)a) : a;
}""",
    "whole_lcm": """
T whole_lcm(T a, T b) {
    T divisor = whole_gcd(a, b);
    if (divisor == 0 || b == 0) return 0;
    T multiple = (T)((U)(divisor == -1 ? (T)(0 - (U)a) : a / divisor) * (U)b);
    return multiple < 0 ? (T)(0 - (U)multiple) : multiple;
}""",
}

_FLOAT = {
    "float_remainder": """
T float_remainder(T a, T b) {
    T left = fmod(a, b);
    return left != 0.0 && (left < 0.0) != (b < 0.0) ? left + b : left;
}""",
    # PyTorch's: (a - left) / b is whole but for rounding, which the last lines undo.
    "float_floor_divide": """
T float_floor_divide(T a, T b) {
    T left = fmod(a, b), given = a / b;
    T quotient = (a - left) / b;
    quotient = left != 0.0 && (b < 0.0) != (left < 0.0) ? quotient - 1.0 : quotient;
    T below = floor(quotient);
    below = quotient - below > 0.5 ? below + 1.0 : below;
    below = quotient == 0.0 ? 0.0 * given : below;
    return b == 0.0 ? given : below;
}""",
    # NaN comes through, in x and in the bound.
    "at_least": """
T at_least(T x, T low) {
    return x != x || x >= low ? x : low;
}""",
    "at_most": """
T at_most(T x, T high) {
    return x != x || x <= high ? x : high;
}""",
    "soft_plus": """
T soft_plus(T x) {
    T more = log1p(exp(-fabs(x)));
    return x > 0.0 ? x + more : more;
}""",
    # tanh(log(1 + e)), where e = exp(x)
    "mish_gate": """
T mish_gate(T x) {
    T most = 20.0;
    T e = exp(x > most ? most : x), w = e * (e + 2.0);
    return w / (w + 2.0);
}""",
    "silu_slope": """
T silu_slope(T x) {
    T gate = 1.0 / (1.0 + exp(-x));
    return gate * (1.0 + x * (1.0 - gate));
}""",
    "normal_cdf": """
T normal_cdf(T x) {
    return 0.5 * erfc(-x * 0.70710678118654752440);
}""",
    "gelu_slope": """
T gelu_slope(T x) {
    T density = exp(-0.5 * x * x) * 0.39894228040143267794;
    return normal_cdf(x) + x * density;
}""",
    # (1 + tanh(z)) / 2 = 1 / (1 + exp(-2 z)), z = sqrt(2 / pi) (x + 0.044715 x^3)
    "gelu_tanh_gate": """
T gelu_tanh_gate(T x) {
    return 1.0 / (1.0 + exp(-1.59576912160573071176 * (x + 0.044715 * x * x * x)));
}""",
    "gelu_tanh_slope": """
T gelu_tanh_slope(T x) {
    T gate = gelu_tanh_gate(x);
    T inner = 1.59576912160573071176 * (1.0 + 0.134145 * x * x);
    return gate + x * (gate - gate * gate) * inner;
}""",
}

# Complex numbers: z = x + iy. Quotient: R. L. Smith, Comm. ACM 5 (1962), 435; tanh: W. Kahan,
# "Branch cuts for complex elementary functions" (1987).
_COMPLEX = {
    "pair": """
C pair(T x, T y) {
    C z;
    z.x = x;
    z.y = y;
    return z;
}""",
    "complex_mul": """
C complex_mul(C a, C b) {
    return pair(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}""",
    "complex_div": """
C complex_div(C a, C b) {
    if (fabs(b.x) >= fabs(b.y)) {
        T ratio = b.y / b.x, size = b.x + b.y * ratio;
        return pair((a.x + a.y * ratio) / size, (a.y - a.x * ratio) / size);
    }
    T ratio = b.x / b.y, size = b.x * ratio + b.y;
    return pair((a.x * ratio + a.y) / size, (a.y * ratio - a.x) / size);
}""",
    "complex_exp": """
C complex_exp(C z) {
    T size = exp(z.x);
    return z.y == 0.0 ? pair(size, z.y) : pair(size * cos(z.y), size * sin(z.y));
}""",
    "complex_expm1": """
C complex_expm1(C z) {
    T sine = sin(0.5 * z.y), more = expm1(z.x);
    return pair(more * cos(z.y) - 2.0 * sine * sine, (more + 1.0) * sin(z.y));
}""",
    "complex_log": """
C complex_log(C z) {
    return pair(log(hypot(z.x, z.y)), atan2(z.y, z.x));
}""",
    "complex_log1p": """
C complex_log1p(C z) {
    return pair(0.5 * log1p(z.x * (2.0 + z.x) + z.y * z.y), atan2(z.y, 1.0 + z.x));
}""",
    "complex_sqrt": """
C complex_sqrt(C z) {
    T size = hypot(z.x, z.y);
    if (size == 0.0) return pair(0.0, z.y);
    T root = sqrt(0.5 * (size + fabs(z.x)));
    T other = 0.5 * fabs(z.y) / root;
    return z.x >= 0.0 ? pair(root, copysign(other, z.y)) : pair(other, copysign(root, z.y));
}""",
    "complex_sin": """
C complex_sin(C z) {
    return pair(sin(z.x) * cosh(z.y), cos(z.x) * sinh(z.y));
}""",
    "complex_cos": """
C complex_cos(C z) {
    return pair(cos(z.x) * cosh(z.y), -sin(z.x) * sinh(z.y));
}""",
    "complex_tanh": """
C complex_tanh(C z) {
    if (fabs(z.x) > 20.0) return pair(copysign(1.0, z.x), copysign(0.0, z.y));
    T t = tan(z.y), s = sinh(z.x), beta = 1.0 + t * t, rho = sqrt(1.0 + s * s);
    return pair(beta * rho * s / (1.0 + beta * s * s), t / (1.0 + beta * s * s));
}""",
    "complex_pow": """
C complex_pow(C base, C exponent) {
    if (exponent.x == 0.0 && exponent.y == 0.0) return pair(1.0, 0.0);
    if (base.x == 0.0 && base.y == 0.0)
        return exponent.x > 0.0 ? pair(0.0, 0.0) : pair(exponent.x < 0.0 ? INFINITY : NAN, NAN);
    return complex_exp(complex_mul(exponent, complex_log(base)));
}""",
}

HELPERS: dict[str, str] = {**_WHOLE, **_FLOAT, **SPECIAL, **_COMPLEX}
"""By name, the text of each function; a helper may call others."""
