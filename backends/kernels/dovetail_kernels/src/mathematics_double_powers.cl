// The error function, powers and remainders on double: see mathematics_double.cl.

// erf(x) = sign(x) * (1 - exp(-p)) from 1 on, p a polynomial of a = |x|, else p x + x, of x^2.
FUNCTION F NAME(erf)(F x)
{
    const F a = NAME(absolute)(x);
    const I is_far = a >= 1.0;
    const F z = is_far ? (a > 6.0 ? (F)(6.0) : a) : x * x, s = z * z, q = s * s, o = q * q;
#define EITHER(far, near) (is_far ? (F)(far) : (F)(near))
    const F p0 = NAME(fused)(z, EITHER(1.12837944892449382, -3.76126389031837483e-1),
        EITHER(-2.05704758274966393e-8, 1.28379167095512586e-1));
    const F p2 = NAME(fused)(z, EITHER(1.02779729119660712e-1, -2.68661706450778748e-2),
        EITHER(6.36617974790885888e-1, 1.12837916709548847e-1));
    const F p4 = NAME(fused)(z, EITHER(-1.68401157981180156e-4, -8.54832698142554215e-4),
        EITHER(-1.91481983668256237e-2, 5.22397762482843062e-3));
    const F p6 = NAME(fused)(z, EITHER(-5.07155178798294657e-4, -1.49255957721809061e-5),
        EITHER(1.63093519504914439e-3, 1.20553311329558199e-4));
    const F p8 = NAME(fused)(z, EITHER(1.35708048012804896e-4, -1.63503962228646169e-7),
        EITHER(-5.92784249034764552e-5, 1.64610084778027003e-6));
    const F p10 = NAME(fused)(z, EITHER(3.03475819239279588e-5, -1.13749557360701491e-9),
        EITHER(-7.83599259275441371e-5, 1.46603287227422597e-8));
    const F p12 = NAME(fused)(z, EITHER(2.12560962682521339e-6, 0.0),
        EITHER(-8.9958051867693976e-6, 5.96068533852097143e-11));
    const F p14 = NAME(fused)(z, EITHER(6.2158869826039893e-8, 0.0), EITHER(-4.05152934716033161e-7, 0.0));
    const F p16 = NAME(fused)(z, EITHER(7.1910308863736474e-10, 0.0), EITHER(-7.58272356600622728e-9, 0.0));
    const F p18 = NAME(fused)(z, EITHER(2.55881133577093528e-12, 0.0), EITHER(-5.11004468676333203e-11, 0.0));
    const F p20 = NAME(fused)(z, EITHER(1.19396431257298757e-15, 0.0), EITHER(-8.04573177431727722e-14, 0.0));
#undef EITHER
    const F low = NAME(fused)(NAME(fused)(p6, s, p4), q, NAME(fused)(p2, s, p0));
    const F middle = NAME(fused)(NAME(fused)(p14, s, p12), q, NAME(fused)(p10, s, p8));
    const F high = NAME(fused)(p20, q, NAME(fused)(p18, s, p16));
    const F p = NAME(fused)(NAME(fused)(high, o, middle), o, low);
    const F far = NAME(signed)(1.0 - NAME(exp)(is_far ? -p : (F)(0.0)), x);
    return is_far ? far : NAME(fused)(p, x, x);
}

// exp(-a * a) / (1 + 2 a) * (1 + p((a - 4) / (a + 4))), after M. M. Shepherd and J. G. Laframboise (1981).
FUNCTION F NAME(erfc)(F x)
{
    F a = NAME(absolute)(x);
    a = a > 28.0 ? (F)(28.0) : a;
    const F u = (a + a) / (a + 4.0) - 1.0, v = u * u, w = v * v, o = w * w;
    const F p0 = NAME(fused)(u, -1.39621116840562526e-1, 2.329951186255525e-1);
    const F p2 = NAME(fused)(u, 6.80970542546952967e-2, 1.53796521026196495e-2);
    const F p4 = NAME(fused)(u, 9.3732834998257325e-2, -1.01039066036299266e-1);
    const F p6 = NAME(fused)(u, 3.7167515538962137e-2, -6.63303658123270551e-2);
    const F p8 = NAME(fused)(u, 5.03196996498288425e-3, -1.61977340565726442e-2);
    const F p10 = NAME(fused)(u, -1.99256625742840957e-4, -7.57773296885219205e-4);
    const F p12 = NAME(fused)(u, -2.43994428974777475e-5, 1.50621713947725517e-4);
    const F p14 = NAME(fused)(u, 5.7102020920749577e-6, -1.12221582709685342e-5);
    const F p16 = NAME(fused)(u, -8.25980594318364453e-7, 2.9412065273761765e-7);
    const F p18 = NAME(fused)(u, 1.10352043593759116e-7, 7.4147468263874982e-8);
    const F p20 = NAME(fused)(u, -1.40836634866492975e-8, -1.7493606706713831e-8);
    const F p22 = NAME(fused)(u, 1.20167444727736357e-9, 1.68296807064048876e-9);
    const F low = NAME(fused)(NAME(fused)(p6, v, p4), w, NAME(fused)(p2, v, p0));
    const F middle = NAME(fused)(NAME(fused)(p14, v, p12), w, NAME(fused)(p10, v, p8));
    const F high = NAME(fused)(NAME(fused)(p22, v, p20), w, NAME(fused)(p18, v, p16));
    const F p = NAME(fused)(NAME(fused)(high, o, middle), o, low);
    const F share = 1.0 / NAME(fused)(a, 2.0, 1.0), most = NAME(fused)(p, share, share);
    const F more = (p - most) + NAME(fused)(most + most, -a, (F)(1.0));  // 1 + p - most * (1 + 2 a)
    const F made = NAME(fused)(more, share, most), s = a * a;
    F t;
    const F r = NAME(exp_parts)(-s, &t) + NAME(fused)(-a, a, s);
    const F far = NAME(scaled)(NAME(fused)(made, r + NAME(exp_rest)(r), made), t);
    return x < 0.0 ? 2.0 - far : far;
}

// log2(x / 2^less) for x > 0 that is not denormal, in two parts: the smaller one goes to `rest`.
FUNCTION F NAME(pow_log2)(F x, F less, F *rest)
{
    const I e = (AS_I(x) - 0x3fe6a09e667f3bcdl) & ~0xfffffffffffffl;
    const F m = AS_F(AS_I(x) - e), k = NAME(whole)(e) - less;
    // log2(m) = 2 / ln(2) * atanh(r), r = (m - 1) / (m + 1); what its rounding left counts times its slope
    const F f = m - 1.0, sum = m + 1.0, sum_rest = m - (sum - 1.0), inverse = 1.0 / sum;
    const F r = f * inverse, s = r * r, slope = inverse * 2.8853900817779268;
    const F r_rest = NAME(fused)(-r, sum_rest, NAME(fused)(-r, sum, f));
    // the first two terms of atanh in two parts
    const F main = r * 2.8853900817779268, cube = s * r, second = cube * 0.9617966939259756;
    const F cube_rest = NAME(fused)(s, r, -cube) + NAME(fused)(r, r, -s) * r;
    F low = NAME(fused)(r, 4.0710547481862066e-17, NAME(fused)(r, 2.8853900817779268, -main));
    low += NAME(fused)(cube, 5.0577616648125907e-17, NAME(fused)(cube, 0.9617966939259756, -second));
    low += NAME(fused)(cube_rest, 0.9617966939259756, r_rest * NAME(fused)(slope, s, slope));
    const F q = s * s;
    const F p0 = NAME(fused)(s, 4.12198583091869075e-1, 5.77078016355618062e-1);
    const F p2 = NAME(fused)(s, 2.62307699777211356e-1, 3.20598902287693832e-1);
    F p4 = NAME(fused)(s, 1.91253518268063694e-1, 2.21984064347049037e-1);
    p4 = NAME(fused)(q, 1.90401441264274884e-1, p4);
    const F tail = NAME(fused)(NAME(fused)(p4, q, p2), q, p0) * (cube * s);
    const F first = k + main, high = first + second;
    *rest = (main - (first - k)) + (second - (high - first)) + (low + tail);
    return high;
}

// 2^(z + rest), |z| up to 1100.
FUNCTION F NAME(pow_exp2)(F z, F rest)
{
    const F t = (z + rest) + BIG;
    return NAME(scaled)(NAME(exp2_part)((z - (t - BIG)) + rest), t);
}

FUNCTION F NAME(pow_anywhere)(F x, F y)
{
    const F a = NAME(absolute)(x), b = NAME(absolute)(y);
    F low;
    const F less = a < 2.2250738585072014e-308 ? (F)(54.0) : (F)(0.0);
    const F high = NAME(pow_log2)(NAME(lifted)(a), less, &low);
    F z = high * y, rest = NAME(fused)(low, y, NAME(fused)(high, y, -z));
    rest = NAME(absolute)(z) < 1100.0 ? rest : (F)(0.0);
    z = z > 1100.0 ? (F)(1100.0) : z;
    z = z < -1100.0 ? (F)(-1100.0) : z;
    F made = NAME(pow_exp2)(z, rest);
    // Where x is 0 or infinite, it is one of these; so where y is.
    const I is_up = (a > 1.0) == (y > 0.0);
    const I is_end = (a == 0.0) | (a == INFINITY) | (b == INFINITY);
    made = is_end ? (is_up ? (F)(INFINITY) : (F)(0.0)) : made;
    // Whole numbers: their last bit is the last of w up to 2^53, from where on all are even.
    const F w = b < 4503599627370496.0 ? b + 4503599627370496.0 : b;
    const I is_whole = (b >= 4503599627370496.0) | (w - 4503599627370496.0 == b);
    const I is_odd = is_whole & (b < 9007199254740992.0) & ((AS_I(w) & 1) == 1);
    made = (AS_I(x) < 0) & is_odd ? -made : made;
    made = (x < 0.0) & (a < INFINITY) & (is_whole == 0) ? (F)(NAN) : made;
    made = (x != x) | (y != y) ? x + y : made;
    return (x == 1.0) | (y == 0.0) | ((a == 1.0) & (b == INFINITY)) ? (F)(1.0) : made;
}

FUNCTION F NAME(pow)(F x, F y)
{
    F low;
    const F high = NAME(pow_log2)(x, (F)(0.0), &low), z = high * y;
    if (SOME(NAME(is_odd_log)(x) | ((NAME(absolute)(z) < 1100.0) == 0)))
        return NAME(pow_anywhere)(x, y);
    return NAME(pow_exp2)(z, NAME(fused)(low, y, NAME(fused)(high, y, -z)));
}

FUNCTION F NAME(fmod)(F x, F y)
{
    const F a = NAME(absolute)(x), b = NAME(absolute)(y), quotient = a / b;
    F made = NAME(fused)(4503599627370496.0 - (quotient + 4503599627370496.0), b, a);  // exact
    made = made < 0.0 ? made + b : made;
    made = NAME(signed)(b == INFINITY ? a : made, x);
    if (ANY((quotient < 2251799813685248.0) == 0)) { EACH(fmod, x, y) }
    return made;
}
