// The error function, powers and remainders on float: see mathematics.cl.
//
// erf follows the minimax approximations published by N. Juffa.

// exp(x) to 23 bits for x from -87 to 0, and what is smaller there; less for NaN.
FUNCTION F NAME(exp_coarse)(F x)
{
    x = x < -87.0f ? (F)(-87.0f) : x;
    const F t = NAME(fused)(x, 1.44269502f, BIG), r = NAME(fused)(t - BIG, -6.93147182e-1f, x);
    const F s = r * r, p2 = NAME(fused)(r, 8.37463047e-3f, 4.18982767e-2f);
    F p = NAME(fused)(p2, s, NAME(fused)(r, 1.66664278e-1f, 4.99991477e-1f));
    p = NAME(fused)(p, s, 1.0f + r);
    return AS_F(AS_I(p) + (AS_I(t) << 23));
}

// erf(x) = sign(x) * (1 - exp(p a - a)) far from zero, a = |x|, else p x + x: gives p, a polynomial of
// a or of x^2.
FUNCTION F NAME(erf_factor)(F x, I is_far)
{
    const F z = is_far ? NAME(absolute)(x) : x * x;
    const F s = z * z, q = s * s;
    const F p0 = NAME(fused)(z, is_far ? (F)(-6.34846687e-1f) : (F)(-3.76125336e-1f),
        is_far ? (F)(-1.28717512e-1f) : (F)(1.28379166e-1f));
    const F p2 = NAME(fused)(z, is_far ? (F)(2.42546219e-2f) : (F)(-2.67681349e-2f),
        is_far ? (F)(-1.06777877e-1f) : (F)(1.12819925e-1f));
    const F p4 = NAME(fused)(z, is_far ? (F)(3.83197126e-4f) : (F)(-5.96761703e-4f),
        is_far ? (F)(-3.88396438e-3f) : (F)(4.99119423e-3f));
    const F p = NAME(fused)(s, is_far ? (F)(-1.72853470e-5f) : (F)(0.0f), p4);
    return NAME(fused)(p, q, NAME(fused)(p2, s, p0));
}

FUNCTION F NAME(erf)(F x)
{
    const F a = NAME(absolute)(x);
    const I is_far = a > 0.927734375f;
    const F b = a > 4.0f ? (F)(4.0f) : a, p = NAME(erf_factor)(is_far ? b : x, is_far);
    const F far = NAME(signed)(1.0f - NAME(exp_coarse)(NAME(fused)(p, b, -b)), x);
    return is_far ? far : NAME(fused)(p, x, x);
}

// The normal distribution: (1 + erf(x / sqrt(2))) / 2.
FUNCTION F NAME(normal_cdf)(F x)
{
    const F y = x * 0.707106781f, a = NAME(absolute)(y), b = a > 9.0f ? (F)(9.0f) : a;
    const I is_far = a > 0.927734375f;
    const F p = NAME(erf_factor)(is_far ? b : y, is_far);
    const F tail = 0.5f * NAME(exp_coarse)(NAME(fused)(p, b, -b));
    const F near = NAME(fused)(NAME(fused)(p, y, y), 0.5f, 0.5f);
    return is_far ? (x < 0.0f ? tail : 1.0f - tail) : near;
}

// exp(-a * a) * t * p(t), t = 1 / (1 + a / 2), a = |x|: what the rounding of t left goes into p and the
// exponent, what that of p and of its product left is added last. 2^32 times as large until then.
FUNCTION F NAME(erfc)(F x)
{
    F a = NAME(absolute)(x);
    a = a > 10.1f ? (F)(10.1f) : a;
    const F d = NAME(fused)(a, 0.5f, 1.0f), t = 1.0f / d;
    const F left = NAME(fused)(-t, NAME(fused)(a, 0.5f, 1.0f - d), NAME(fused)(-t, d, 1.0f));
    const F u = NAME(fused)(t, left, t - 0.3f);
    const F v = u * u, w = v * v;
    const F p1 = NAME(fused)(u, 4.403469265e-01f, 4.855950177e-01f);
    const F p3 = NAME(fused)(u, -3.175070137e-02f, 2.304787040e-01f);
    const F p5 = NAME(fused)(u, -5.138166994e-02f, -1.479441822e-01f);
    const F p7 = NAME(fused)(u, -8.794198930e-02f, 1.710844189e-01f);
    F p = NAME(fused)(w, 1.136536058e-02f, NAME(fused)(p7, v, p5));
    p = NAME(fused)(p, w, NAME(fused)(p3, v, p1));
    const F s = a * a;
    const F j = NAME(fused)(s, -1.44269502f, BIG + 32.0f), k = j - (BIG + 32.0f);
    const F by = t * AS_F((AS_I(j) << 23) + 0x3f800000);
    const F more = NAME(fused)(k, 1.90465421e-9f, NAME(fused)(-a, a, s)) + left;
    const F r = NAME(fused)(k, -6.93147182e-1f, -s) + more;
    const F most = NAME(fused)(p, u, 3.943141103e-01f);
    const F rest = NAME(fused)(p, u, 3.943141103e-01f - most);
    p = most * by;
    const F low = NAME(fused)(rest, by, NAME(fused)(most, by, -p));
    p = (p + NAME(fused)(p, r + NAME(exp_rest)(r), low)) * 2.32830644e-10f;
    return x < 0.0f ? 2.0f - p : p;
}

// sqrt(x^2 + y^2), both scaled by a power of two so that no square is lost.
FUNCTION F NAME(hypot)(F x, F y)
{
    const F a = NAME(absolute)(x), b = NAME(absolute)(y), most = a > b ? a : b;
    I e = AS_I(most) & 0x7f800000;
    e = e < 0x0c800000 ? (I)(0x0c800000) : e > 0x7e800000 ? (I)(0x7e800000) : e;
    const F scale = AS_F(0x7f000000 - e), u = a * scale, v = b * scale;
    const F made = sqrt(NAME(fused)(u, u, v * v)) * AS_F(e);
    return (a == INFINITY) | (b == INFINITY) ? (F)(INFINITY) : made;
}

// log2(x / 2^less) for x > 0 that is not denormal, in two parts: the smaller one goes to `rest`.
FUNCTION F NAME(pow_log2)(F x, F less, F *rest)
{
    const I e = (AS_I(x) - 0x3f3504f3) & ~0x7fffff;
    const F m = AS_F(AS_I(x) - e), k = NAME(fused)(TO_F(e), 1.1920929e-7f, -less);
    // log2(m) = 2 / ln(2) * atanh(r), r = (m - 1) / (m + 1); what its rounding left counts times its slope
    const F f = m - 1.0f, sum = m + 1.0f, sum_rest = m - (sum - 1.0f), inverse = 1.0f / sum;
    const F r = f * inverse, s = r * r, slope = inverse * 2.88539004f;
    const F r_rest = NAME(fused)(-r, sum_rest, NAME(fused)(-r, sum, f));
    const F p0 = NAME(fused)(s, 5.77082872e-1f, 9.61796701e-1f);
    const F p2 = NAME(fused)(s, 3.40218425e-1f, 4.11706328e-1f);
    const F main = r * 2.88539004f, high = k + main;
    F low = NAME(fused)(r, 3.85192607e-8f, NAME(fused)(r, 2.88539004f, -main)) + (main - (high - k));
    low = NAME(fused)(r_rest, NAME(fused)(slope, s, slope), low);
    *rest = NAME(fused)(NAME(fused)(p2, s * s, p0), s * r, low);
    return high;
}

// 2^(z + rest), |z| up to 250.
FUNCTION F NAME(pow_exp2)(F z, F rest)
{
    const F t = (z + rest) + BIG, g = (z - (t - BIG)) + rest;
    const F g2 = g * g, w1 = NAME(fused)(g, 2.40226507e-1f, 6.93147182e-1f);
    const F w3 = NAME(fused)(g, 9.61803737e-3f, 5.55041097e-2f);
    const F w5 = NAME(fused)(g, 1.54670925e-4f, 1.3333431e-3f);
    const F w = NAME(fused)(NAME(fused)(NAME(fused)(g2, 1.53149358e-5f, w5), g2, w3), g2, w1);
    return NAME(scaled)(NAME(fused)(w, g, 1.0f), t);
}

FUNCTION F NAME(pow_anywhere)(F x, F y)
{
    const F a = NAME(absolute)(x), b = NAME(absolute)(y);
    F low;
    const F high = NAME(pow_log2)(NAME(lifted)(a), a < 1.17549435e-38f ? (F)(23.0f) : (F)(0.0f), &low);
    F z = high * y, rest = NAME(fused)(low, y, NAME(fused)(high, y, -z));
    rest = NAME(absolute)(z) < 250.0f ? rest : (F)(0.0f);
    z = z > 250.0f ? (F)(250.0f) : z;
    z = z < -250.0f ? (F)(-250.0f) : z;
    F made = NAME(pow_exp2)(z, rest);
    // Where x is 0 or infinite, it is one of these; so where y is.
    const I is_up = (a > 1.0f) == (y > 0.0f);
    const I is_end = (a == 0.0f) | (a == INFINITY) | (b == INFINITY);
    made = is_end ? (is_up ? (F)(INFINITY) : (F)(0.0f)) : made;
    // Whole numbers: their last bit is the last of w up to 2^24, from where on all are even.
    const F w = b < 8388608.0f ? b + 8388608.0f : b;
    const I is_whole = (b >= 8388608.0f) | (w - 8388608.0f == b);
    const I is_odd = is_whole & (b < 16777216.0f) & ((AS_I(w) & 1) == 1);
    made = (AS_I(x) < 0) & is_odd ? -made : made;
    made = (x < 0.0f) & (a < INFINITY) & (is_whole == 0) ? (F)(NAN) : made;
    made = (x != x) | (y != y) ? x + y : made;
    return (x == 1.0f) | (y == 0.0f) | ((a == 1.0f) & (b == INFINITY)) ? (F)(1.0f) : made;
}

FUNCTION F NAME(pow)(F x, F y)
{
    F low;
    const F high = NAME(pow_log2)(x, (F)(0.0f), &low), z = high * y;
    const I is_odd = (AS_I(x) < 0x00800000) | (AS_I(x) >= 0x7f800000);
    if (SOME(is_odd | ((NAME(absolute)(z) < 250.0f) == 0))) return NAME(pow_anywhere)(x, y);
    return NAME(pow_exp2)(z, NAME(fused)(low, y, NAME(fused)(high, y, -z)));
}

FUNCTION F NAME(fmod)(F x, F y)
{
    const F a = NAME(absolute)(x), b = NAME(absolute)(y), quotient = a / b;
    F made = NAME(fused)(8388608.0f - (quotient + 8388608.0f), b, a);  // exact
    made = made < 0.0f ? made + b : made;
    made = NAME(signed)(b == INFINITY ? a : made, x);
    if (ANY((quotient < 4194304.0f) == 0)) { EACH(fmod, x, y) }
    return made;
}
