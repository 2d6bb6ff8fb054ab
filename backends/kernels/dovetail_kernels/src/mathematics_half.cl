// C's functions for results that are kept as halves: see mathematics.cl, whose functions stand in where there
// is none here; WIDE(sin) is that one.
//
// Computed in float, F, with relative errors of 2^-16.5 or less, a small part of what rounding to 8 or 11 bits
// leaves; arguments may be any float that a bfloat16 is. SPLIT(x, k) is where one instruction each gives
// the fraction of x, from 3/4 to 3/2, and its exponent, also of denormal numbers, 0 and infinity.

// 2^y, times `by`: the fraction of y, from 0 to 1, and what is below it are one instruction each.
FUNCTION F NAME(power)(F y, F by)
{
#ifdef REST
    const F f = REST(y);
#else
    y = y < -151.0f ? (F)(-151.0f) : y;
    y = y > 129.0f ? (F)(129.0f) : y;
    const F t = (y - 0.5f) + BIG, f = y - (t - BIG);
#endif
    F p = NAME(fused)(f, 1.34266876e-2f, 5.2242469e-2f);
    p = NAME(fused)(p, f, 2.41280213e-1f);
    p = NAME(fused)(p, f, 6.93044841e-1f) * by;
    p = NAME(fused)(p, f, by);
#ifdef REST
    return SCALE(p, y);
#else
    return NAME(scaled)(p, t);
#endif
}

FUNCTION F NAME(exp)(F x) { return NAME(power)(x * 1.44269502f, (F)(1.0f)); }

// exp(x), x up to 0, of which a sum may have a logarithm near 0: to 2^-23 of the largest of them.
FUNCTION F NAME(summed_exp)(F x)
{
    F y = x * 1.44269502f;
#ifdef REST
    const F f = REST(y);
#else
    y = y < -151.0f ? (F)(-151.0f) : y;
    const F t = (y - 0.5f) + BIG, f = y - (t - BIG);
#endif
    F p = NAME(fused)(f, 1.86713052e-3f, 9.01702978e-3f);
    p = NAME(fused)(p, f, 5.57999127e-2f);
    p = NAME(fused)(p, f, 2.40164444e-1f);
    p = NAME(fused)(p, f, 6.93151295e-1f);
    p = NAME(fused)(p, f, 1.0f);
#ifdef REST
    return SCALE(p, y);
#else
    return NAME(scaled)(p, t);
#endif
}

FUNCTION F NAME(exp2)(F x) { return NAME(power)(x, (F)(1.0f)); }

FUNCTION F NAME(expm1)(F x)
{
    F y = x < -18.0f ? (F)(-18.0f) : x;
    y = y > 89.0f ? (F)(89.0f) : y;
    const F t = NAME(fused)(y, 1.44269502f, BIG), r = NAME(fused)(t - BIG, -6.93147182e-1f, y);
    const F half_of = AS_F((AS_I(t) << 23) + 0x3f000000);  // 2^k / 2
    F p = NAME(fused)(r, 8.37277062e-3f, 4.18747291e-2f);
    p = NAME(fused)(p, r, 1.66664794e-1f);
    p = NAME(fused)(p, r, 4.99993801e-1f);
    const F made = 2.0f * NAME(fused)(half_of, NAME(fused)(p * r, r, r), half_of - 0.5f);
    return NAME(absolute)(x) < 1e-10f ? x : made;
}

FUNCTION F NAME(tanh)(F x)
{
    F y = x > 5.0f ? (F)(5.0f) : x;
    y = y < -5.0f ? (F)(-5.0f) : y;
    const F s = y * y;
    F p = NAME(fused)(s, -3.17925053e-6f, 1.09759628e-3f);
    p = NAME(fused)(p, s, 1.11111633e-1f);
    p = NAME(fused)(p, s, 9.99996503e-1f);
    const F q = NAME(fused)(NAME(fused)(s, 1.59394946e-2f, 4.44417726e-1f), s, 1.0f);
    return y * p / q;
}

// exp(a) / 2.
FUNCTION F NAME(half_exp)(F a)
{
    return NAME(power)(NAME(fused)(a, 1.44269502f, -1.0f), (F)(1.0f));
}

FUNCTION F NAME(cosh)(F x)
{
    const F large = NAME(half_exp)(NAME(absolute)(x));
    return large + 0.25f / large;
}

FUNCTION F NAME(sinh)(F x)
{
    const F a = NAME(absolute)(x), s = x * x, large = NAME(half_exp)(a);
    const I is_near = a < 1.0f;
    const F near = a * NAME(fused)(s, 1.18664386e-1f, 9.9999361e-1f);
    const F quotient = (is_near ? near : (F)(0.25f))
        / (is_near ? NAME(fused)(s, -4.8119712e-2f, 1.0f) : large);
    return NAME(signed)(is_near ? quotient : large - quotient, x);
}

// x = 2^k * (1 + f), f from -1/4 to 1/2: gives f.
FUNCTION F NAME(split)(F x, F *k)
{
#ifdef SPLIT
    const F m = SPLIT(x, *k);
    *k = m < 1.0f ? *k + 1.0f : *k;
    return m - 1.0f;
#else
    const I is_small = x < 1.17549435e-38f;
    const F y = is_small ? x * 8388608.0f : x;
    const I e = (AS_I(y) - 0x3f400000) & ~0x7fffff;
    *k = NAME(fused)(TO_F(e), 1.1920929e-7f, is_small ? (F)(-23.0f) : (F)(0.0f));
    return AS_F(AS_I(y) - e) - 1.0f;
#endif
}

// What a logarithm is where x has none.
FUNCTION F NAME(ended)(F x, F made)
{
#ifdef SPLIT
    return made;
#else
    made = x == INFINITY ? x : made;
    return x > 0.0f ? made : x == 0.0f ? (F)(-INFINITY) : (F)(NAN);
#endif
}

FUNCTION F NAME(log_of)(F f, F k)
{
    F p = NAME(fused)(f, -1.08297348e-1f, 2.06312418e-1f);
    p = NAME(fused)(p, f, -2.56081939e-1f);
    p = NAME(fused)(p, f, 3.33446711e-1f);
    p = NAME(fused)(p, f, -4.99875158e-1f);
    p = NAME(fused)(p, f, 9.99998748e-1f);
    return NAME(fused)(k, 6.93147182e-1f, p * f);
}

FUNCTION F NAME(log)(F x)
{
    F k;
    const F f = NAME(split)(x, &k);
    return NAME(ended)(x, NAME(log_of)(f, k));
}

FUNCTION F NAME(log2)(F x)
{
    F k;
    const F f = NAME(split)(x, &k);
    F p = NAME(fused)(f, -1.56240046e-1f, 2.97645897e-1f);
    p = NAME(fused)(p, f, -3.69448155e-1f);
    p = NAME(fused)(p, f, 4.81061906e-1f);
    p = NAME(fused)(p, f, -7.21167445e-1f);
    p = NAME(fused)(p, f, 1.44269323f);
    return NAME(ended)(x, NAME(fused)(p, f, k));
}

FUNCTION F NAME(log10)(F x)
{
    F k;
    const F f = NAME(split)(x, &k);
    F p = NAME(fused)(f, -4.70329411e-2f, 8.9600347e-2f);
    p = NAME(fused)(p, f, -1.11214973e-1f);
    p = NAME(fused)(p, f, 1.44814059e-1f);
    p = NAME(fused)(p, f, -2.17093021e-1f);
    p = NAME(fused)(p, f, 4.34293926e-1f);
    return NAME(ended)(x, NAME(fused)(k, 3.01029996e-1f, p * f));
}

FUNCTION F NAME(log1p)(F x)
{
    const I e = (AS_I(1.0f + x) - 0x3f400000) & ~0x7fffff;
    const F f = AS_F(AS_I(x) - e) + NAME(fused)(AS_F(0x40800000 - e), (F)(0.25f), (F)(-1.0f));
    const F made = NAME(log_of)(f, TO_F(e) * 1.1920929e-7f);
    if (SOME(((x > -1.0f) == 0) | (AS_I(x) >= 0x7f800000) | (x == 0.0f))) {
        const F other = x == 0.0f ? x : x == INFINITY ? x : made;
        return x > -1.0f ? other : x == -1.0f ? (F)(-INFINITY) : (F)(NAN);
    }
    return made;
}

// log(1 + e), e = exp(-|x|).
FUNCTION F NAME(soft_plus)(F x)
{
    const F e = NAME(exp)(AS_F(AS_I(x) | ~0x7fffffff));
    F p = NAME(fused)(e, -2.45288834e-2f, 1.02873787e-1f);
    p = NAME(fused)(p, e, -2.11496145e-1f);
    p = NAME(fused)(p, e, 3.25724751e-1f);
    p = NAME(fused)(p, e, -4.99426335e-1f);
    p = NAME(fused)(p, e, 9.99992907e-1f);
    return NAME(fused)(p, e, x < 0.0f ? (F)(0.0f) : x);
}

// asinh(x) = sign(x) * log(a + sqrt(a^2 + 1)), a = |x|.
FUNCTION F NAME(asinh)(F x)
{
    const F a = NAME(absolute)(x), s = x * x;
    const I is_large = a > 1e18f;
    F k;
    const F f = NAME(split)(is_large ? a : a + sqrt(s + 1.0f), &k);
    F far = NAME(log_of)(f, k);
    far = NAME(ended)(a, is_large ? far + 6.93147182e-1f : far);
    F p = NAME(fused)(s, -3.30835544e-2f, 7.34636858e-2f);
    p = NAME(fused)(p, s, -1.66606471e-1f);
    return NAME(signed)(a < 0.5f ? NAME(fused)(p * s, a, a) : far, x);
}

FUNCTION F NAME(acosh)(F x)
{
    const I is_large = x > 1e18f;
    const F y = is_large ? x : x + sqrt(NAME(fused)(x, x, (F)(-1.0f)));
    F k;
    const F f = NAME(split)(y, &k), made = NAME(ended)(y, NAME(log_of)(f, k));
    return x < 1.0f ? (F)(NAN) : is_large ? made + 6.93147182e-1f : made;
}

FUNCTION F NAME(atanh)(F x)
{
    const F a = NAME(absolute)(x), s = x * x, y = (1.0f + a) / (1.0f - a);
    F k;
    const F f = NAME(split)(y, &k), far = NAME(ended)(y, NAME(log_of)(f, k));
    F p = NAME(fused)(s, 1.93831533e-1f, 1.23117432e-1f);
    p = NAME(fused)(p, s, 2.01752841e-1f);
    p = NAME(fused)(p, s, 3.33285928e-1f);
    return a < 0.5f ? NAME(fused)(p * s, x, x) : NAME(signed)(0.5f * far, x);
}

// sin(r) for |r| up to pi / 2.
FUNCTION F NAME(sine)(F r)
{
    const F s = r * r;
    F p = NAME(fused)(s, -1.85409663e-4f, 8.31423793e-3f);
    p = NAME(fused)(p, s, -1.66658506e-1f);
    return NAME(fused)(p * s, r, r);
}

// x - k * pi, a product that is exact.
FUNCTION F NAME(turned)(F x, F k)
{
    return NAME(fused)(k, 8.74227766e-8f, NAME(fused)(k, -3.14159274f, x));
}

FUNCTION F NAME(sin)(F x)
{
    const F t = NAME(fused)(x, 3.18309873e-1f, BIG);
    const F made = AS_F(AS_I(NAME(sine)(NAME(turned)(x, t - BIG))) ^ AS_I(t) << 31);
    if (SOME((NAME(absolute)(x) < FAR) == 0)) return WIDE(sin)(x);
    return x == 0.0f ? x : made;
}

FUNCTION F NAME(cos)(F x)
{
    // |x| = (k + 1/2) pi + r, whose cosine is (-1)^(k + 1) sin(r)
    const F a = NAME(absolute)(x), t = NAME(fused)(a, 3.18309873e-1f, -0.5f) + BIG;
    const F made = NAME(sine)(NAME(turned)(a, (t - BIG) + 0.5f));
    if (SOME((a < FAR) == 0)) return WIDE(cos)(x);
    return AS_F(AS_I(made) ^ (AS_I(t) << 31 ^ ~0x7fffffff));
}

FUNCTION F NAME(tan)(F x)
{
    const F t = NAME(fused)(x, 6.36619747e-1f, BIG), r = NAME(turned)(x, 0.5f * (t - BIG)), s = r * r;
    const F p = r * NAME(fused)(s, -6.85094081e-2f, 1.00000577f);
    const F q = NAME(fused)(s, -4.01692165e-1f, 1.0f);
    const I is_odd = (AS_I(t) & 1) == 1;
    const F made = (is_odd ? q : p) / (is_odd ? -p : q);
    if (SOME((NAME(absolute)(x) < FAR) == 0)) return WIDE(tan)(x);
    return x == 0.0f ? x : made;
}

FUNCTION F NAME(asin)(F x)
{
    const F a = NAME(absolute)(x);
    const I is_far = a > 0.5f;
    const F z = is_far ? NAME(fused)(a, -0.5f, 0.5f) : a * a, s = is_far ? sqrt(z) : a;
    F p = NAME(fused)(z, 6.41724765e-2f, 7.18775094e-2f);
    p = NAME(fused)(p, z, 1.66802928e-1f);
    const F made = NAME(fused)(p * z, s, s);
    return NAME(signed)(is_far ? NAME(fused)(made, -2.0f, 1.57079637f) : made, x);
}

FUNCTION F NAME(acos)(F x)
{
    const F a = NAME(absolute)(x);
    F p = NAME(fused)(a, 8.59173667e-3f, -3.56432982e-2f);
    p = NAME(fused)(p, a, 8.45964849e-2f);
    p = NAME(fused)(p, a, -2.14110807e-1f);
    p = NAME(fused)(p, a, 1.57078743f) * sqrt(1.0f - a);
    return x < 0.0f ? 3.14159274f - p : p;
}

// atan(t), |t| up to 1.
FUNCTION F NAME(atan_near)(F t)
{
    const F s = t * t;
    F p = NAME(fused)(s, -1.41932592e-2f, 5.93502671e-2f);
    p = NAME(fused)(p, s, -1.23001859e-1f);
    p = NAME(fused)(p, s, 1.96344122e-1f);
    p = NAME(fused)(p, s, -3.33105564e-1f);
    return NAME(fused)(p * s, t, t);
}

FUNCTION F NAME(atan)(F x)
{
    const F a = NAME(absolute)(x), inverse = 1.0f / a;
    const I is_far = a > 1.0f;
    const F made = NAME(atan_near)(is_far ? inverse : a);
    return NAME(signed)(is_far ? 1.57079637f - made : made, x);
}

FUNCTION F NAME(atan2)(F y, F x)
{
    const F a = NAME(absolute)(y), b = NAME(absolute)(x);
    const I is_far = a > b;
    F t = (is_far ? b : a) / (is_far ? a : b);
    t = a == b ? (a == 0.0f ? (F)(0.0f) : (F)(1.0f)) : t;
    F made = NAME(atan_near)(t);
    made = is_far ? 1.57079637f - made : made;
    made = AS_I(x) < 0 ? 3.14159274f - made : made;
    return (x != x) | (y != y) ? x + y : NAME(signed)(made, y);
}

FUNCTION F NAME(erf)(F x)
{
    F y = x > 3.2f ? (F)(3.2f) : x;
    y = y < -3.2f ? (F)(-3.2f) : y;
    const F s = y * y;
    F p = NAME(fused)(s, 7.54061768e-4f, 4.32814474e-2f);
    p = NAME(fused)(p, s, 1.53973552e-1f);
    p = NAME(fused)(p, s, 1.12838098f);
    F q = NAME(fused)(s, 9.32892506e-3f, 9.4816939e-2f);
    q = NAME(fused)(q, s, 4.69827179e-1f);
    return y * p / NAME(fused)(q, s, 1.0f);
}

// exp(-a * a) * t * p(t), t = 1 / (1 + 0.45 a), a = |x|.
FUNCTION F NAME(erfc)(F x)
{
    F a = NAME(absolute)(x);
    a = a > 10.2f ? (F)(10.2f) : a;
    const F s = a * a, d = 1.0f / NAME(fused)(a, 0.45f, 1.0f);
    F p = NAME(fused)(d, -1.34888723e-1f, 2.89198607e-1f);
    p = NAME(fused)(p, d, 9.31043923e-2f);
    p = NAME(fused)(p, d, 2.4641186e-1f);
    p = NAME(fused)(p, d, 2.52250552e-1f);
    p = NAME(fused)(p, d, 2.53914237e-1f) * d;
    const F made = NAME(power)(s * -1.44269502f, p);
    return x < 0.0f ? 2.0f - made : made;
}

FUNCTION F NAME(normal_cdf)(F x) { return 0.5f * NAME(erfc)(x * -0.707106781f); }

FUNCTION F NAME(pow)(F x, F y)
{
    F k;
    const F f = NAME(split)(x, &k);
    F p = NAME(fused)(f, -9.84863117e-2f, 2.06160605e-1f);
    p = NAME(fused)(p, f, -2.50843734e-1f);
    p = NAME(fused)(p, f, 2.89875209e-1f);
    p = NAME(fused)(p, f, -3.60305935e-1f);
    p = NAME(fused)(p, f, 4.80852902e-1f);
    p = NAME(fused)(p, f, -7.21351266e-1f);
    p = NAME(fused)(p, f, 1.44269526f);
    const F z = NAME(fused)(p, f, k) * y;
    const I is_odd = (AS_I(x) < 0x00800000) | (AS_I(x) >= 0x7f800000);
    if (SOME(is_odd | ((NAME(absolute)(z) < 126.0f) == 0))) return WIDE(pow)(x, y);
    return NAME(power)(z, (F)(1.0f));
}
