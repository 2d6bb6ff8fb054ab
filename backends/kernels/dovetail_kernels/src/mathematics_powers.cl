// The error function, powers and remainders on float: see mathematics.cl.
//
// erf and erfc follow the minimax approximations published by N. Juffa.

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

FUNCTION F NAME(erfc)(F x)
{
    F a = NAME(absolute)(x);
    a = a > 11.0f ? (F)(11.0f) : a;
    const F both = 1.0f / ((a + 2.0f) * (a + 0.5f));  // one division for two
    const F inverse = both * (a + 0.5f), half_of = both * NAME(fused)(a, 0.5f, 1.0f);
    F q = (a - 2.0f) * inverse;
    q = NAME(fused)(inverse, NAME(fused)(-a, q, NAME(fused)(q + 1.0f, -2.0f, a)), q);
    const F q2 = q * q, q4 = q2 * q2;
    const F p0 = NAME(fused)(q, -9.27639678e-2f, 2.76978403e-1f);
    const F p2 = NAME(fused)(q, 1.64055347e-1f, -1.66031361e-1f);
    const F p4 = NAME(fused)(q, -8.05991236e-3f, -5.42047396e-2f);
    const F p6 = NAME(fused)(q, 1.31355994e-3f, 8.63243826e-3f);
    const F p8 = NAME(fused)(q, -4.01020574e-4f, -1.23073824e-3f);
    F p = NAME(fused)(p8, q4, NAME(fused)(p6, q2, p4));
    p = NAME(fused)(p, q4, NAME(fused)(p2, q2, p0));
    F r = NAME(fused)(p, half_of, half_of);
    r = NAME(fused)((p - r) + NAME(fused)(r + r, -a, 1.0f), half_of, r);
    const F s = a * a, e = NAME(exp)(-s);
    r = NAME(fused)(r, e, r * e * NAME(fused)(-a, a, s));
    r = a > 10.055f ? (F)(0.0f) : r;
    r = x < 0.0f ? 2.0f - r : r;
    return x != x ? x : r;
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

// (x / 2^less)^y for x > 0 that is not denormal.
FUNCTION F NAME(pow_near)(F x, F y, F less)
{
    // log2(x) in two parts, high and low
    const I e = (AS_I(x) - 0x3f3504f3) & ~0x7fffff;
    const F m = AS_F(AS_I(x) - e), k = NAME(fused)(TO_F(e), 1.1920929e-7f, -less);
    // log2(m) = 2 / ln(2) * atanh((m - 1) / (m + 1))
    const F f = m - 1.0f, sum = m + 1.0f, sum_rest = m - (sum - 1.0f), inverse = 1.0f / sum;
    const F r = f * inverse;
    const F r_rest = inverse * NAME(fused)(-r, sum_rest, NAME(fused)(-r, sum, f));
    const F s = r * r;
    F p = NAME(fused)(s, 3.40218425e-1f, 4.11706328e-1f);
    p = NAME(fused)(p, s, 5.77082872e-1f);
    p = NAME(fused)(p, s, 9.61796701e-1f);
    const F main = r * 2.88539004f;
    F low = NAME(fused)(r, 2.88539004f, -main);
    low = NAME(fused)(r, 3.85192607e-8f, low);
    low = NAME(fused)(r_rest, 2.88539004f, low);
    low = NAME(fused)(p * s, r, low);
    const F sum_of = k + main;
    low = (main - (sum_of - k)) + low;
    const F high = sum_of + low;
    low = low - (high - sum_of);
    F z = high * y;
    z = z > 200.0f ? (F)(200.0f) : z;
    z = z < -200.0f ? (F)(-200.0f) : z;
    F z_rest = NAME(fused)(high, y, -z);
    z_rest = NAME(fused)(low, y, z_rest);
    z_rest = NAME(absolute)(z) < 200.0f ? z_rest : (F)(0.0f);
    const F t = z + BIG, g = (z - (t - BIG)) + z_rest;
    const F g2 = g * g, w1 = NAME(fused)(g, 2.40226507e-1f, 6.93147182e-1f);
    const F w3 = NAME(fused)(g, 9.61803737e-3f, 5.55041097e-2f);
    const F w5 = NAME(fused)(g, 1.54670925e-4f, 1.3333431e-3f);
    const F w = NAME(fused)(NAME(fused)(NAME(fused)(g2, 1.53149358e-5f, w5), g2, w3), g2, w1);
    return NAME(scaled)(NAME(fused)(w, g, 1.0f), t);
}

FUNCTION F NAME(pow_anywhere)(F x, F y)
{
    const F a = NAME(absolute)(x), b = NAME(absolute)(y);
    const I is_tiny = a < 1.17549435e-38f;
    F made = NAME(pow_near)(NAME(lifted)(a), y, is_tiny ? (F)(23.0f) : (F)(0.0f));
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
    const I is_odd = (AS_I(x) < 0x00800000) | (AS_I(x) >= 0x7f800000);
    if (SOME(is_odd | ((NAME(absolute)(y) < INFINITY) == 0))) return NAME(pow_anywhere)(x, y);
    return NAME(pow_near)(x, y, 0.0f);
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
