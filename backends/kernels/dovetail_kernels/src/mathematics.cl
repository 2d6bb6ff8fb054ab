// C's functions on float, without branches, so that a processor computes a vector of them at once.
//
// F: float, or a vector of them; I, U, L: int, uint, ulong, as many. NAME(exp): the function for F,
// which is how they call each other, too. SOME(c): whether a comparison holds in a lane, so that what
// takes care of it need not be done; for one float always, so that loops over it have no branches.
// EACH(f, x, y): `made` is what C's own function f makes, lane by lane, for what hardly ever comes.
// BIG + a whole number k has k in its last bits. SCALE(x, k): x * 2^k where one instruction does that.
//
// Polynomials are minimax, fitted to the functions in 40 digits. Long ones are summed by halves: what
// a processor can hold back until its operands are there is soon full of one chain, so a function costs
// its instructions times its longest chain. Errors: tests/opencl/test_opencl_mathematics.py.

FUNCTION F NAME(fused)(F x, F y, F z) { return fma(x, y, z); }

FUNCTION F NAME(absolute)(F x) { return AS_F(AS_I(x) & 0x7fffffff); }

FUNCTION F NAME(signed)(F x, F sign) { return AS_F((AS_I(x) & 0x7fffffff) | (AS_I(sign) & ~0x7fffffff)); }

// x * 2^k, where k = t - BIG: in two steps, for it may be denormal or 2^128.
FUNCTION F NAME(scaled)(F x, F t)
{
#ifdef SCALE
    return SCALE(x, t - BIG);
#else
    const I first = AS_I(t) << 22 & ~0x7fffff;
    return x * AS_F(first + 0x3f800000) * AS_F((AS_I(t) << 23) - first + 0x3f800000);
#endif
}

// exp(r) - 1 - r, for |r| up to ln(2) / 2.
FUNCTION F NAME(exp_rest)(F r)
{
    const F s = r * r;
    F p = NAME(fused)(s, 1.38213788e-3f, NAME(fused)(r, 8.36867187e-3f, 4.16682586e-2f));
    p = NAME(fused)(p, s, NAME(fused)(r, 1.66665211e-1f, 4.99999940e-1f));
    return p * s;
}

FUNCTION F NAME(exp)(F x)
{
    x = x < -104.0f ? (F)(-104.0f) : x;
    x = x > 89.0f ? (F)(89.0f) : x;
    const F t = NAME(fused)(x, 1.44269502f, BIG), k = t - BIG;
    const F r = NAME(fused)(k, 1.90465421e-9f, NAME(fused)(k, -6.93147182e-1f, x));
    return NAME(scaled)(1.0f + (r + NAME(exp_rest)(r)), t);
}

FUNCTION F NAME(exp2)(F x)
{
    x = x < -151.0f ? (F)(-151.0f) : x;
    x = x > 129.0f ? (F)(129.0f) : x;
    const F t = x + BIG, r = x - (t - BIG);
    F p = NAME(fused)(r, 1.53149358e-5f, 1.54670925e-4f);
    p = NAME(fused)(p, r, 1.3333431e-3f);
    p = NAME(fused)(p, r, 9.61803737e-3f);
    p = NAME(fused)(p, r, 5.55041097e-2f);
    p = NAME(fused)(p, r, 2.40226507e-1f);
    p = NAME(fused)(p, r, 6.93147182e-1f);
    return NAME(scaled)(NAME(fused)(p, r, 1.0f), t);
}

FUNCTION F NAME(expm1)(F x)
{
    F y = x < -18.0f ? (F)(-18.0f) : x;
    y = y > 89.0f ? (F)(89.0f) : y;
    const F t = NAME(fused)(y, 1.44269502f, BIG), k = t - BIG;
    const F r = NAME(fused)(k, 1.90465421e-9f, NAME(fused)(k, -6.93147182e-1f, y));
    const F half_of = AS_F((AS_I(t) << 23) + 0x3f000000);  // 2^k / 2
    F p = NAME(fused)(r, 1.99183414e-4f, 1.3946062e-3f);
    p = NAME(fused)(p, r, 8.33326485e-3f);
    p = NAME(fused)(p, r, 4.16662693e-2f);
    p = NAME(fused)(p, r, 1.66666672e-1f);
    p = NAME(fused)(p, r, 0.5f);
    const F rest = NAME(fused)(p * r, r, r);
    const F made = 2.0f * NAME(fused)(half_of, rest, half_of - 0.5f);
    return NAME(absolute)(x) < 1e-10f ? x : made;
}

// Arguments of logarithms that take care: all but positive numbers that are not denormal.
FUNCTION I NAME(is_odd_log)(F x)
{
    return (AS_I(x) < 0x00800000) | (AS_I(x) >= 0x7f800000);
}

FUNCTION F NAME(lifted)(F x) { return x < 1.17549435e-38f ? x * 8388608.0f : x; }

// The logarithm of such an x, given that of lifted(x) and that of 2^23.
FUNCTION F NAME(lowered)(F x, F made, F much)
{
    made = x < 1.17549435e-38f ? made - much : made;
    made = x == INFINITY ? x : made;
    return x > 0.0f ? made : x == 0.0f ? (F)(-INFINITY) : (F)(NAN);
}

// x = 2^k * (1 + f), f from -1/3 to 1/3: gives f; 2^23 * k goes to `exponent`.
FUNCTION F NAME(parts)(F x, F *exponent)
{
    const I e = (AS_I(x) - 0x3f2aaaab) & ~0x7fffff;
    *exponent = TO_F(e);
    return AS_F(AS_I(x) - e) - 1.0f;
}

FUNCTION F NAME(log_near)(F x)
{
    F e;
    const F f = NAME(parts)(x, &e);
    F p = NAME(fused)(f, -1.28913507e-1f, 1.39844030e-1f);
    p = NAME(fused)(p, f, -1.21843398e-1f);
    p = NAME(fused)(p, f, 1.40058756e-1f);
    p = NAME(fused)(p, f, -1.66804820e-1f);
    p = NAME(fused)(p, f, 2.00104058e-1f);
    p = NAME(fused)(p, f, -2.49997973e-1f);
    p = NAME(fused)(p, f, 3.33332151e-1f);
    p = NAME(fused)(p, f, -0.5f) * f * f;
    p = f + NAME(fused)(e, -2.27052475e-16f, p);  // ln(2) / 2^23 in two parts
    return NAME(fused)(e, 8.26295831e-8f, p);
}

FUNCTION F NAME(log)(F x)
{
    if (SOME(NAME(is_odd_log)(x)))
        return NAME(lowered)(x, NAME(log_near)(NAME(lifted)(x)), 15.9423851f);
    return NAME(log_near)(x);
}

FUNCTION F NAME(log2_near)(F x)
{
    F e;
    const F f = NAME(parts)(x, &e);
    F p = NAME(fused)(f, -1.92953616e-1f, 2.03238145e-1f);
    p = NAME(fused)(p, f, -1.73982129e-1f);
    p = NAME(fused)(p, f, 2.01698765e-1f);
    p = NAME(fused)(p, f, -2.40806505e-1f);
    p = NAME(fused)(p, f, 2.88718313e-1f);
    p = NAME(fused)(p, f, -3.60665500e-1f);
    p = NAME(fused)(p, f, 4.80895817e-1f);
    p = NAME(fused)(p, f, -7.21347570e-1f) * f;
    p = NAME(fused)(f, 1.92596303e-8f, p * f);
    p = NAME(fused)(f, 1.44269502f, p);
    return NAME(fused)(e, 1.1920929e-7f, p);
}

FUNCTION F NAME(log2)(F x)
{
    if (SOME(NAME(is_odd_log)(x)))
        return NAME(lowered)(x, NAME(log2_near)(NAME(lifted)(x)), 23.0f);
    return NAME(log2_near)(x);
}

FUNCTION F NAME(log10_near)(F x)
{
    // log(1 + f) as in log, in two parts, for what comes of the exponent may cancel most of it
    F e;
    const F f = NAME(parts)(x, &e);
    F p = NAME(fused)(f, -1.28913507e-1f, 1.39844030e-1f);
    p = NAME(fused)(p, f, -1.21843398e-1f);
    p = NAME(fused)(p, f, 1.40058756e-1f);
    p = NAME(fused)(p, f, -1.66804820e-1f);
    p = NAME(fused)(p, f, 2.00104058e-1f);
    p = NAME(fused)(p, f, -2.49997973e-1f);
    p = NAME(fused)(p, f, 3.33332151e-1f);
    p = NAME(fused)(p, f, -0.5f) * f * f;
    const F whole = f + p, rest = p - (whole - f);
    p = NAME(fused)(e, -1.70719490e-15f, NAME(fused)(whole, -1.01030501e-8f, rest * 0.434294492f));
    const F high = NAME(fused)(e, 3.58855736e-8f, whole * 0.434294492f);
    return high + p;
}

FUNCTION F NAME(log10)(F x)
{
    if (SOME(NAME(is_odd_log)(x)))
        return NAME(lowered)(x, NAME(log10_near)(NAME(lifted)(x)), 6.92368984f);
    return NAME(log10_near)(x);
}

// log(1 + x): 1 + x = 2^k * (1 + f), f from -1/4 to 1/2, and f is found without rounding 1 + x.
FUNCTION F NAME(log1p_near)(F x)
{
    const I e = (AS_I(1.0f + x) - 0x3f400000) & ~0x7fffff;
    const F f = AS_F(AS_I(x) - e) + NAME(fused)(AS_F(0x40800000 - e), 0.25f, -1.0f);
    const F s = f * f, q = s * s, k = TO_F(e);
    const F p0 = NAME(fused)(f, -2.50001639e-1f, 3.33333403e-1f);
    const F p2 = NAME(fused)(f, -1.66552976e-1f, 1.99996054e-1f);
    const F p4 = NAME(fused)(f, -1.27277687e-1f, 1.42762378e-1f);
    const F p6 = NAME(fused)(f, -9.11620781e-2f, 1.17006518e-1f);
    F p = NAME(fused)(q, 3.76731828e-2f, NAME(fused)(p6, s, p4));
    p = NAME(fused)(p, q, NAME(fused)(p2, s, p0));
    p = f + NAME(fused)(NAME(fused)(p, f, -0.5f), s, k * -2.27052475e-16f);
    return NAME(fused)(k, 8.26295831e-8f, p);
}

FUNCTION F NAME(log1p)(F x)
{
    const F made = NAME(log1p_near)(x);
    if (SOME(((x > -1.0f) == 0) | (AS_I(x) >= 0x7f800000) | (x == 0.0f))) {
        const F other = x == 0.0f ? x : x == INFINITY ? x : made;
        return x > -1.0f ? other : x == -1.0f ? (F)(-INFINITY) : (F)(NAN);
    }
    return made;
}

// log(1 + exp(x)): exp(-|x|) is made 2^24 times as large first, so that it may be denormal.
FUNCTION F NAME(soft_plus)(F x)
{
    F y = AS_F(AS_I(x) | ~0x7fffffff);
    y = y < -104.0f ? (F)(-104.0f) : y;
    const F t = NAME(fused)(y, 1.44269502f, BIG + 24.0f), k = t - (BIG + 24.0f);
    const F r = NAME(fused)(k, 1.90465421e-9f, NAME(fused)(k, -6.93147182e-1f, y));
    F e = 1.0f + (r + NAME(exp_rest)(r));
    e = AS_F(AS_I(e) + (AS_I(t) << 23)) * 5.96046448e-8f;
    const F s = e * e, q = s * s;
    const F p0 = NAME(fused)(e, 3.33304644e-1f, -4.99999315e-1f);
    const F p2 = NAME(fused)(e, 1.96921214e-1f, -2.49580204e-1f);
    const F p4 = NAME(fused)(e, 1.06613621e-1f, -1.53449759e-1f);
    const F p6 = NAME(fused)(e, 2.00882796e-2f, -5.74602894e-2f);
    F p = NAME(fused)(q, -3.29101249e-3f, NAME(fused)(p6, s, p4));
    p = NAME(fused)(p, q, NAME(fused)(p2, s, p0));
    return (x < 0.0f ? (F)(0.0f) : x) + NAME(fused)(p, s, e);
}
