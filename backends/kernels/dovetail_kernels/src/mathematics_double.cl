// C's functions on double: see mathematics.cl, whose words these are; F is double, I long, U ulong, and
// EACH(f, x) is of C's own function f. Logarithms and inverse trigonometric functions follow FDLIBM (Sun
// Microsystems, 1993); polynomials of others are minimax, fitted in 60 digits.

FUNCTION F NAME(fused)(F x, F y, F z) { return fma(x, y, z); }

FUNCTION F NAME(absolute)(F x) { return AS_F(AS_I(x) & 0x7fffffffffffffffl); }

FUNCTION F NAME(signed)(F x, F sign)
{
    return AS_F((AS_I(x) & 0x7fffffffffffffffl) | (AS_I(sign) & ~0x7fffffffffffffffl));
}

// x * 2^k, where k = t - BIG.
FUNCTION F NAME(scaled)(F x, F t)
{
#ifdef SCALE
    return SCALE(x, t - BIG);
#else
    const I first = AS_I(t) << 51 & ~0xfffffffffffffl;
    return x * AS_F(first + 0x3ff0000000000000l) * AS_F((AS_I(t) << 52) - first + 0x3ff0000000000000l);
#endif
}

// exp(r) - 1 - r, for |r| up to ln(2) / 2.
FUNCTION F NAME(exp_rest)(F r)
{
    const F s = r * r, q = s * s;
    const F p0 = NAME(fused)(r, 1.66666666666666768e-1, 0.5);
    const F p2 = NAME(fused)(r, 8.3333333333216169e-3, 4.1666666666666699e-2);
    const F p4 = NAME(fused)(r, 1.98412698861561175e-4, 1.38888888888668454e-3);
    const F p6 = NAME(fused)(r, 2.75572441842209218e-6, 2.4801587360544193e-5);
    F p8 = NAME(fused)(r, 2.51090441373493347e-8, 2.75572427637154265e-7);
    p8 = NAME(fused)(s, 2.09244443370821672e-9, p8);
    F p = NAME(fused)(q, p8, NAME(fused)(p6, s, p4));
    p = NAME(fused)(p, q, NAME(fused)(p2, s, p0));
    return p * s;
}

// x = k * ln(2) + r, k = t - BIG.
FUNCTION F NAME(exp_parts)(F x, F *t)
{
    *t = NAME(fused)(x, 1.4426950408889634, BIG);
    const F k = *t - BIG;
    return NAME(fused)(k, -2.3190468138462996e-17, NAME(fused)(k, -0.6931471805599453, x));
}

FUNCTION F NAME(exp)(F x)
{
    x = x < -746.0 ? (F)(-746.0) : x;
    x = x > 710.0 ? (F)(710.0) : x;
    F t;
    const F r = NAME(exp_parts)(x, &t);
    return NAME(scaled)(1.0 + (r + NAME(exp_rest)(r)), t);
}

// 2^g for |g| up to 1/2.
FUNCTION F NAME(exp2_part)(F g)
{
    const F s = g * g, q = s * s;
    const F p0 = NAME(fused)(g, 2.40226506959100722e-1, 6.93147180559945286e-1);
    const F p2 = NAME(fused)(g, 9.61812910762849596e-3, 5.55041086648217011e-2);
    const F p4 = NAME(fused)(g, 1.54035303933407154e-4, 1.33335581463904247e-3);
    const F p6 = NAME(fused)(g, 1.3215486833351907e-6, 1.52527338562519784e-5);
    const F p8 = NAME(fused)(g, 7.05488814715943536e-9, 1.01780512025106407e-7);
    const F p10 = NAME(fused)(g, 2.57419447498207308e-11, 4.45667478339684745e-10);
    F p = NAME(fused)(NAME(fused)(p10, s, p8), q, NAME(fused)(p6, s, p4));
    p = NAME(fused)(p, q, NAME(fused)(p2, s, p0));
    return NAME(fused)(p, g, 1.0);
}

FUNCTION F NAME(exp2)(F x)
{
    x = x < -1076.0 ? (F)(-1076.0) : x;
    x = x > 1025.0 ? (F)(1025.0) : x;
    const F t = x + BIG;
    return NAME(scaled)(NAME(exp2_part)(x - (t - BIG)), t);
}

FUNCTION F NAME(expm1_near)(F x)
{
    F t;
    const F r = NAME(exp_parts)(x, &t);
    const F half_of = AS_F((AS_I(t) << 52) + 0x3fe0000000000000l);  // 2^k / 2
    return 2.0 * NAME(fused)(half_of, r + NAME(exp_rest)(r), half_of - 0.5);
}

FUNCTION F NAME(expm1)(F x)
{
    F y = x < -40.0 ? (F)(-40.0) : x;
    y = y > 710.0 ? (F)(710.0) : y;
    return NAME(absolute)(x) < 1e-18 ? x : NAME(expm1_near)(y);
}

FUNCTION F NAME(tanh)(F x)
{
    const F a = NAME(absolute)(x), b = a > 22.0 ? (F)(22.0) : a;
    const F e = NAME(expm1_near)(-2.0 * b);
    return NAME(signed)(-e / (e + 2.0), x);
}

// exp(a) / 2; (exp(a) - 1) / 2 for a up to 700.
FUNCTION F NAME(exp_halves)(F a, F *less)
{
    a = a > 712.0 ? (F)(712.0) : a;
    F t;
    const F r = NAME(exp_parts)(a, &t), q = r + NAME(exp_rest)(r);
    const F half_of = AS_F((AS_I(t) << 52) + 0x3fe0000000000000l);
    *less = NAME(fused)(half_of, q, half_of - 0.5);
    return NAME(scaled)(1.0 + q, t - 1.0);
}

FUNCTION F NAME(sinh)(F x)
{
    const F a = NAME(absolute)(x);
    F less;
    const F large = NAME(exp_halves)(a, &less);
    const F made = less + less / (2.0 * less + 1.0);
    return NAME(signed)(a > 700.0 ? large : made, x);
}

FUNCTION F NAME(cosh)(F x)
{
    F less;
    const F large = NAME(exp_halves)(NAME(absolute)(x), &less);
    return large + 0.25 / large;
}

FUNCTION I NAME(is_odd_log)(F x)
{
    return (AS_I(x) < 0x0010000000000000l) | (AS_I(x) >= 0x7ff0000000000000l);
}

FUNCTION F NAME(lifted)(F x) { return x < 2.2250738585072014e-308 ? x * 18014398509481984.0 : x; }

// The logarithm of such an x, given that of lifted(x) and that of 2^54.
FUNCTION F NAME(lowered)(F x, F made, F much)
{
    made = x < 2.2250738585072014e-308 ? made - much : made;
    made = x == INFINITY ? x : made;
    return x > 0.0 ? made : x == 0.0 ? (F)(-INFINITY) : (F)(NAN);
}

// A whole number from the bits above the 52 last.
FUNCTION F NAME(whole)(I e) { return AS_F((e >> 52) + 0x4338000000000000l) - BIG; }

// x = 2^k * (1 + f), 1 + f from sqrt(1/2) to sqrt(2).
FUNCTION F NAME(parts)(F x, F *k)
{
    const I e = (AS_I(x) - 0x3fe6a09e667f3bcdl) & ~0xfffffffffffffl;
    *k = NAME(whole)(e);
    return AS_F(AS_I(x) - e) - 1.0;
}

// log(1 + f) = f - (h - share), h = f * f / 2: gives share.
FUNCTION F NAME(log_share)(F f, F h)
{
    const F s = f / (2.0 + f), z = s * s, w = z * z;
    F odd = NAME(fused)(w, 1.479819860511658591e-1, 1.818357216161805012e-1);
    odd = NAME(fused)(odd, w, 2.857142874366239149e-1);
    odd = NAME(fused)(odd, w, 6.666666666666735130e-1) * z;
    F even = NAME(fused)(w, 1.531383769920937332e-1, 2.222219843214978396e-1);
    even = NAME(fused)(even, w, 3.999999999940941908e-1);
    return s * (h + NAME(fused)(even, w, odd));
}

// log(1 + f) + k * ln(2).
FUNCTION F NAME(log_of)(F f, F k)
{
    const F h = 0.5 * f * f;
    const F share = NAME(fused)(k, 1.90821492927058770002e-10, NAME(log_share)(f, h));
    return NAME(fused)(k, 6.93147180369123816490e-01, f - (h - share));
}

FUNCTION F NAME(log_near)(F x)
{
    F k;
    const F f = NAME(parts)(x, &k);
    return NAME(log_of)(f, k);
}

FUNCTION F NAME(log)(F x)
{
    if (SOME(NAME(is_odd_log)(x)))
        return NAME(lowered)(x, NAME(log_near)(NAME(lifted)(x)), (F)(37.42994775023705));
    return NAME(log_near)(x);
}

// log(1 + f) * by + more, each of these in two parts.
FUNCTION F NAME(log_times)(F f, F by, F by_rest, F more, F more_rest)
{
    const F h = 0.5 * f * f, high = f - h, low = (f - high) - h + NAME(log_share)(f, h);
    const F made = high * by;
    F rest = NAME(fused)(high, by, -made) + NAME(fused)(high, by_rest, NAME(fused)(low, by, more_rest));
    const F sum = more + made;
    rest += (more - sum) + made;
    return sum + rest;
}

FUNCTION F NAME(log2_near)(F x)
{
    F k;
    const F f = NAME(parts)(x, &k);
    return NAME(log_times)(f, (F)(1.4426950408889634), (F)(2.0355273740931033e-17), k, (F)(0.0));
}

FUNCTION F NAME(log2)(F x)
{
    if (SOME(NAME(is_odd_log)(x)))
        return NAME(lowered)(x, NAME(log2_near)(NAME(lifted)(x)), (F)(54.0));
    return NAME(log2_near)(x);
}

FUNCTION F NAME(log10_near)(F x)
{
    F k;
    const F f = NAME(parts)(x, &k), more = k * 0.3010299956639812;
    const F rest = NAME(fused)(k, -2.8037281277851704e-18, NAME(fused)(k, 0.3010299956639812, -more));
    return NAME(log_times)(f, (F)(0.4342944819032518), (F)(1.098319650216765e-17), more, rest);
}

FUNCTION F NAME(log10)(F x)
{
    if (SOME(NAME(is_odd_log)(x)))
        return NAME(lowered)(x, NAME(log10_near)(NAME(lifted)(x)), (F)(16.255619765854984));
    return NAME(log10_near)(x);
}

// log(1 + x): 1 + x = 2^k * (1 + f), and f is found without rounding 1 + x.
FUNCTION F NAME(log1p_near)(F x)
{
    const I e = (AS_I(1.0 + x) - 0x3fe6a09e667f3bcdl) & ~0xfffffffffffffl;
    const F f = AS_F(AS_I(x) - e) + NAME(fused)(AS_F(0x4010000000000000l - e), (F)(0.25), (F)(-1.0));
    return NAME(log_of)(f, NAME(whole)(e));
}

FUNCTION F NAME(log1p)(F x)
{
    const F made = NAME(log1p_near)(x);
    if (SOME(((x > -1.0) == 0) | (AS_I(x) >= 0x7ff0000000000000l) | (x == 0.0))) {
        const F other = x == 0.0 ? x : x == INFINITY ? x : made;
        return x > -1.0 ? other : x == -1.0 ? (F)(-INFINITY) : (F)(NAN);
    }
    return made;
}

// a + a^2 / (1 + sqrt(1 + a^2)), whose log1p is asinh; of a large one half of that.
FUNCTION F NAME(asinh)(F x)
{
    const F a = NAME(absolute)(x), s = a * a;
    const I is_large = a > 1e150;
    const F u = is_large ? a : a + s / (1.0 + sqrt(1.0 + s));
    const F made = NAME(log1p)(u);
    return NAME(signed)(is_large ? made + 0.6931471805599453 : made, x);
}

FUNCTION F NAME(acosh)(F x)
{
    const F u = x - 1.0;
    const I is_large = x > 1e150;
    const F made = NAME(log1p)(is_large ? x : u + sqrt(NAME(fused)(u, u, 2.0 * u)));
    return x < 1.0 ? (F)(NAN) : is_large ? made + 0.6931471805599453 : made;
}

FUNCTION F NAME(atanh)(F x)
{
    const F a = NAME(absolute)(x);
    return NAME(signed)(0.5 * NAME(log1p)(2.0 * a / (1.0 - a)), x);
}
