// Angles and hyperbolic functions on float: see mathematics.cl.

// sin(r) for |r| up to pi / 2.
FUNCTION F NAME(sine)(F r)
{
    const F s = r * r;
    F p = NAME(fused)(s, -2.38889122e-8f, 2.75253842e-6f);
    p = NAME(fused)(p, s, -1.98408685e-4f);
    p = NAME(fused)(p, s, 8.33333097e-3f);
    p = NAME(fused)(p, s, -1.66666672e-1f);
    return NAME(fused)(p * s, r, r);
}

// x - k * pi / 2.
FUNCTION F NAME(turned)(F x, F k)
{
    x = NAME(fused)(k, -1.57079637f, x);
    x = NAME(fused)(k, 4.37113883e-8f, x);
    return NAME(fused)(k, 1.71512451e-15f, x);
}

// The same for any |x| > 1, after M. H. Payne and R. N. Hanek: x = m * 2^e, of 2 / pi only those bits
// matter that are less than 4 times 2^-e. k's last two bits go to `quadrant`.
FUNCTION F NAME(turned_far)(F x, I *quadrant)
{
    const U bits = AS_U(x) & 0x7fffffffu, m = bits << 8 | 0x80000000u;
    const U e = (bits >> 23) - 126u, at = e >> 5, by = e & 31u;
    U a = at == 0u ? (U)(0u) : at == 1u ? (U)(0x28be60dbu) : at == 2u ? (U)(0x9391054au)
        : at == 3u ? (U)(0x7f09d5f4u) : (U)(0x7d4d3770u);
    U b = at == 0u ? (U)(0x28be60dbu) : at == 1u ? (U)(0x9391054au)
        : at == 2u ? (U)(0x7f09d5f4u) : at == 3u ? (U)(0x7d4d3770u) : (U)(0x36d8a566u);
    U c = at == 0u ? (U)(0x9391054au) : at == 1u ? (U)(0x7f09d5f4u)
        : at == 2u ? (U)(0x7d4d3770u) : at == 3u ? (U)(0x36d8a566u) : (U)(0x4f10e410u);
    U d = at == 0u ? (U)(0x7f09d5f4u) : at == 1u ? (U)(0x7d4d3770u)
        : at == 2u ? (U)(0x36d8a566u) : at == 3u ? (U)(0x4f10e410u) : (U)(0x7f9458eau);
    a = a << by | b >> 1 >> (31u - by);
    b = b << by | c >> 1 >> (31u - by);
    c = c << by | d >> 1 >> (31u - by);
    L turns = TO_L(m) * TO_L(b) + (TO_L(m) * TO_L(c) >> 32) + (TO_L(m * a) << 32);
    const L whole = (turns + 0x2000000000000000ul) >> 62;  // quarters, in units of 2^-62
    turns -= whole << 62;
    const F r = TO_F(AS_L(turns)) * 3.40612158e-19f;
    *quadrant = AS_I(x) < 0 ? -TO_I(whole) : TO_I(whole);
    return NAME(absolute)(x) < INFINITY ? (AS_I(x) < 0 ? -r : r) : (F)(NAN);
}

// sin(x + more * pi / 2), |x| > 1.
FUNCTION F NAME(sine_far)(F x, int more)
{
    I quadrant;
    const F r = NAME(turned_far)(x, &quadrant);
    quadrant = quadrant + more;
    const F other = 1.57079637f - (NAME(absolute)(r) + 4.37113883e-8f);
    const F made = NAME(sine)((quadrant & 1) == 1 ? other : r);
    return AS_F(AS_I(made) ^ (quadrant & 2) << 30);
}

FUNCTION F NAME(sin)(F x)
{
    const F t = NAME(fused)(x, 0.318309873f, BIG), k = t - BIG;
    F made = NAME(sine)(NAME(turned)(x, 2.0f * k));
    made = AS_F(AS_I(made) ^ AS_I(t) << 31);
    made = x == 0.0f ? x : made;
    const I is_far = NAME(absolute)(x) > FAR;
    if (SOME(is_far)) made = is_far ? NAME(sine_far)(x, 0) : made;
    return made;
}

FUNCTION F NAME(cos)(F x)
{
    // |x| = (2 k + 1) pi / 2 + r, whose cosine is (-1)^(k + 1) sin(r)
    const F a = NAME(absolute)(x), t = NAME(fused)(a, 0.318309873f, -0.5f) + BIG;
    F made = NAME(sine)(NAME(turned)(a, 2.0f * (t - BIG) + 1.0f));
    made = AS_F(AS_I(made) ^ (AS_I(t) << 31 ^ ~0x7fffffff));
    const I is_far = a > FAR;
    if (SOME(is_far)) made = is_far ? NAME(sine_far)(x, 1) : made;
    return made;
}

FUNCTION F NAME(tan)(F x)
{
    const F t = NAME(fused)(x, 0.636619747f, BIG);
    F r = NAME(turned)(x, t - BIG);
    I is_odd = (AS_I(t) & 1) == 1;
    const I is_far = NAME(absolute)(x) > FAR;
    if (SOME(is_far)) {
        I quadrant;
        const F far = NAME(turned_far)(x, &quadrant);
        r = is_far ? far : r;
        is_odd = is_far ? (quadrant & 1) == 1 : is_odd;
    }
    const F s = r * r;
    F p = NAME(fused)(s, 2.71831209e-6f, -1.98393347e-4f);
    p = NAME(fused)(p, s, 8.33332911e-3f);
    p = NAME(fused)(p, s, -1.66666672e-1f);
    const F sine = NAME(fused)(p * s, r, r);
    p = NAME(fused)(s, -2.72102398e-7f, 2.47995195e-5f);
    p = NAME(fused)(p, s, -1.38888834e-3f);
    p = NAME(fused)(p, s, 4.16666679e-2f);
    const F cosine = NAME(fused)(s, NAME(fused)(p, s, -0.5f), 1.0f);
    const F made = (is_odd ? cosine : sine) / (is_odd ? -sine : cosine);
    return x == 0.0f ? x : made;
}

FUNCTION F NAME(tanh)(F x)
{
    const F s = x * x, a = NAME(absolute)(x), b = a > 9.5f ? (F)(9.5f) : a;
    // Far from zero 1 - 2 / (exp(2 b) + 1), in which few bits of exp matter.
    const F t = NAME(fused)(b, 2.88539004f, BIG), r = NAME(fused)(t - BIG, -6.93147182e-1f, b + b);
    F e = NAME(fused)(r, 1.39504625e-3f, 8.36888235e-3f);
    e = NAME(fused)(e, r, 4.1666206e-2f);
    e = NAME(fused)(e, r, 1.66665196e-1f);
    e = NAME(fused)(e, r, 0.5f);
    e = NAME(fused)(NAME(fused)(e, r, 1.0f), r, 1.0f);
    const F far = 1.0f - 2.0f / (AS_F(AS_I(e) + (AS_I(t) << 23)) + 1.0f);
    F p = NAME(fused)(s, -6.18865527e-3f, 2.10142899e-2f);
    p = NAME(fused)(p, s, -5.38392477e-2f);
    p = NAME(fused)(p, s, 1.33324713e-1f);
    p = NAME(fused)(p, s, -3.33333135e-1f);
    return NAME(signed)(a > 0.5625f ? far : x != x ? x : NAME(fused)(p * s, a, a), x);
}

// exp(a) / 2 for a >= 0.
FUNCTION F NAME(half_exp)(F a)
{
    a = a > 90.0f ? (F)(90.0f) : a;
    const F t = NAME(fused)(a, 1.44269502f, BIG), k = t - BIG;
    const F r = NAME(fused)(k, 1.90465421e-9f, NAME(fused)(k, -6.93147182e-1f, a));
    return NAME(scaled)(1.0f + (r + NAME(exp_rest)(r)), t - 1.0f);
}

FUNCTION F NAME(sinh)(F x)
{
    const F a = NAME(absolute)(x), s = x * x, e = NAME(half_exp)(a);
    F p = NAME(fused)(s, 2.81743883e-6f, 1.98360663e-4f);
    p = NAME(fused)(p, s, 8.33335053e-3f);
    p = NAME(fused)(p, s, 1.66666672e-1f);
    const F near = NAME(fused)(p * s, x, x), far = e - 0.25f / e;
    return a < 1.0f ? near : NAME(signed)(far, x);
}

FUNCTION F NAME(cosh)(F x)
{
    const F e = NAME(half_exp)(NAME(absolute)(x));
    return e + 0.25f / e;
}

// atan(y / x) for 0 <= y <= x, x > 0.
FUNCTION F NAME(arc)(F y, F x)
{
    const F r = y / x, s = r * r;
    F p = NAME(fused)(s, -1.82717980e-3f, 1.10643022e-2f);
    p = NAME(fused)(p, s, -3.14554684e-2f);
    p = NAME(fused)(p, s, 5.82343563e-2f);
    p = NAME(fused)(p, s, -8.41945112e-2f);
    p = NAME(fused)(p, s, 1.09575748e-1f);
    p = NAME(fused)(p, s, -1.42652452e-1f);
    p = NAME(fused)(p, s, 1.99986383e-1f);
    p = NAME(fused)(p, s, -3.33333015e-1f);
    return NAME(fused)(p * s, r, r);
}

FUNCTION F NAME(atan)(F x)
{
    const F a = NAME(absolute)(x);
    const I is_far = a > 1.0f;
    const F r = NAME(arc)(is_far ? (F)(1.0f) : a, is_far ? a : (F)(1.0f));
    return NAME(signed)(is_far ? 1.57079637f - (r + 4.37113883e-8f) : r, x);
}

FUNCTION F NAME(atan2)(F y, F x)
{
    const F a = NAME(absolute)(y), b = NAME(absolute)(x);
    const I is_far = a > b, is_even = a == b, is_back = AS_I(x) < 0;
    F small = is_far ? b : a, large = is_far ? a : b;
    small = is_even ? (a == 0.0f ? (F)(0.0f) : (F)(1.0f)) : small;  // inf / inf, 0 / 0
    large = is_even ? (F)(1.0f) : large;
    F r = NAME(arc)(small, large);
    r = is_far ? 1.57079637f - (r + 4.37113883e-8f) : r;
    r = is_back ? 3.14159274f - (r + 8.74227766e-8f) : r;
    r = NAME(signed)(r, y);
    return x != x ? x : y != y ? y : r;
}

// asin(x) for |x| up to 9/16, s = x * x; beyond it, for the square root of s = (1 - |x|) / 2.
FUNCTION F NAME(arc_sine)(F x, F s)
{
    F p = NAME(fused)(s, 4.7617849e-2f, 6.6153123e-3f);
    p = NAME(fused)(p, s, 3.40560116e-2f);
    p = NAME(fused)(p, s, 4.4224821e-2f);
    p = NAME(fused)(p, s, 7.50215128e-2f);
    p = NAME(fused)(p, s, 1.66666299e-1f);
    return NAME(fused)(p * s, x, x);
}

FUNCTION F NAME(asin)(F x)
{
    const F a = NAME(absolute)(x);
    const I is_near = a <= 0.5625f;
    const F s = is_near ? a * a : NAME(fused)(a, -0.5f, 0.5f);
    const F r = NAME(arc_sine)(is_near ? a : sqrt(s), s);
    return NAME(signed)(is_near ? r : NAME(fused)(r, -2.0f, 1.57079637f), x);
}

FUNCTION F NAME(acos)(F x)
{
    const F a = NAME(absolute)(x);
    const I is_near = a <= 0.5625f;
    const F s = is_near ? a * a : NAME(fused)(a, -0.5f, 0.5f);
    const F r = NAME(arc_sine)(is_near ? x : sqrt(s), s);
    const F near = 1.57079637f - (r + 4.37113883e-8f), far = 2.0f * r;
    return is_near ? near : x < 0.0f ? 3.14159274f - (far + 8.74227766e-8f) : far;
}

FUNCTION F NAME(asinh)(F x)
{
    const F a = NAME(absolute)(x), s = a * a;
    F p = NAME(fused)(s, 5.40384790e-3f, -1.63593963e-2f);
    p = NAME(fused)(p, s, 2.86814831e-2f);
    p = NAME(fused)(p, s, -4.43858206e-2f);
    p = NAME(fused)(p, s, 7.49816522e-2f);
    p = NAME(fused)(p, s, -1.66666225e-1f);
    const F near = NAME(fused)(p * s, a, a);
    // log(2 a) beyond 10^10, for a * a may be infinite
    const I is_large = a > 1e10f;
    const F far = NAME(log1p_near)(is_large ? a : a + (sqrt(NAME(fused)(a, a, 1.0f)) - 1.0f))
        + (is_large ? (a > 3.4028235e38f ? (F)(INFINITY) : (F)(6.93147182e-1f)) : (F)(0.0f));
    return NAME(signed)(a >= 0.6875f ? far : near, x);
}

FUNCTION F NAME(acosh)(F x)
{
    const I is_large = x > 1e10f;
    const F t = x - 1.0f;
    const F near = NAME(log1p_near)(is_large ? x : t + sqrt(NAME(fused)(t, t, t + t)));
    const F more = x > 3.4028235e38f ? (F)(INFINITY) : (F)(6.93147182e-1f);
    return is_large ? near + more : x >= 1.0f ? near : (F)(NAN);
}

FUNCTION F NAME(atanh)(F x)
{
    const F a = NAME(absolute)(x);
    return NAME(signed)(0.5f * NAME(log1p)(2.0f * a / (1.0f - a)), x);
}
