// Angles on double: see mathematics_double.cl. Arguments beyond FAR are C's own functions' to turn.

// x - k * pi / 2, to which the nearest whole number of quarters is added in `t` = k + BIG.
FUNCTION F NAME(turned)(F x, F *t)
{
    *t = NAME(fused)(x, 0.6366197723675814, BIG);
    const F k = *t - BIG;
    const F r = NAME(fused)(k, -6.123233995736765e-17, NAME(fused)(k, -1.5707963267948966, x));
    return NAME(fused)(k, -1.082856673921914e-32, r);
}

FUNCTION F NAME(sine)(F r)
{
    const F z = r * r, w = z * z;
    const F p0 = NAME(fused)(z, 8.33333333332248946124e-3, -1.66666666666666324348e-1);
    const F p2 = NAME(fused)(z, 2.75573137070700676789e-6, -1.98412698298579493134e-4);
    const F p4 = NAME(fused)(z, 1.58969099521155010221e-10, -2.50507602534068634195e-8);
    const F p = NAME(fused)(NAME(fused)(p4, w, p2), w, p0);
    return NAME(fused)(p * z, r, r);
}

FUNCTION F NAME(cosine)(F r)
{
    const F z = r * r, w = z * z, h = 0.5 * z, most = 1.0 - h;
    const F p0 = NAME(fused)(z, -1.38888888888741095749e-3, 4.16666666666666019037e-2);
    const F p2 = NAME(fused)(z, -2.75573143513906633035e-7, 2.48015872894767294178e-5);
    const F p4 = NAME(fused)(z, -1.13596475577881948265e-11, 2.08757232129817482790e-9);
    const F p = NAME(fused)(NAME(fused)(p4, w, p2), w, p0);
    return most + NAME(fused)(p, w, (1.0 - most) - h);
}

FUNCTION F NAME(sin)(F x)
{
    F t;
    const F r = NAME(turned)(x, &t);
    F made = (AS_I(t) & 1) == 1 ? NAME(cosine)(r) : NAME(sine)(r);
    made = AS_F(AS_I(made) ^ (AS_I(t) & 2) << 62);
    if (ANY((NAME(absolute)(x) < FAR) == 0)) { EACH(sin, x) }
    return x == 0.0 ? x : made;
}

FUNCTION F NAME(cos)(F x)
{
    F t;
    const F r = NAME(turned)(x, &t);
    F made = (AS_I(t) & 1) == 1 ? NAME(sine)(r) : NAME(cosine)(r);
    made = AS_F(AS_I(made) ^ (AS_I(t) + 1 & 2) << 62);
    if (ANY((NAME(absolute)(x) < FAR) == 0)) { EACH(cos, x) }
    return made;
}

FUNCTION F NAME(tan)(F x)
{
    F t;
    const F r = NAME(turned)(x, &t), s = NAME(sine)(r), c = NAME(cosine)(r);
    const I is_odd = (AS_I(t) & 1) == 1;
    F made = (is_odd ? -c : s) / (is_odd ? s : c);
    if (ANY((NAME(absolute)(x) < FAR) == 0)) { EACH(tan, x) }
    return x == 0.0 ? x : made;
}

// asin(s) = s + s * share(s^2), for s up to 1/2.
FUNCTION F NAME(asin_share)(F z)
{
    F p = NAME(fused)(z, 3.47933107596021167570e-5, 7.91534994289814532176e-4);
    p = NAME(fused)(p, z, -4.00555345006794114027e-2);
    p = NAME(fused)(p, z, 2.01212532134862925881e-1);
    p = NAME(fused)(p, z, -3.25565818622400915405e-1);
    p = NAME(fused)(p, z, 1.66666666666666657415e-1) * z;
    F q = NAME(fused)(z, 7.70381505559019352791e-2, -6.88283971605453293030e-1);
    q = NAME(fused)(q, z, 2.02094576023350569471);
    q = NAME(fused)(q, z, -2.40339491173441421878);
    return p / NAME(fused)(q, z, 1.0);
}

FUNCTION F NAME(asin)(F x)
{
    const F a = NAME(absolute)(x);
    const I is_far = a >= 0.5;
    const F z = is_far ? 0.5 - 0.5 * a : a * a, s = is_far ? sqrt(z) : a;
    const F made = NAME(fused)(s, NAME(asin_share)(z), s);
    const F far = 1.5707963267948966 - (2.0 * made - 6.123233995736766e-17);
    return NAME(signed)(is_far ? far : made, x);
}

FUNCTION F NAME(acos)(F x)
{
    const F a = NAME(absolute)(x);
    const I is_far = a >= 0.5;
    const F z = is_far ? 0.5 - 0.5 * a : x * x, s = is_far ? sqrt(z) : x;
    // what the root's rounding left counts by the slope of 2 asin(s)
    const F left = NAME(fused)(-s, s, z) / (s + s + 1e-300);
    const F made = NAME(fused)(s, NAME(asin_share)(z), is_far ? left : (F)(-6.123233995736766e-17));
    const F near = 1.5707963267948966 - (s + made);
    const F far = 2.0 * (s + made);
    return is_far ? (x < 0.0 ? 3.141592653589793 - (far - 1.2246467991473532e-16) : far) : near;
}

// atan(num / den), or what that is less than pi, for 0 <= num, den: that of a quotient within sqrt(2) - 1,
// to which pi / 2 or / 4 is added.
FUNCTION F NAME(atan_of)(F num, F den, I is_left)
{
    const I is_far = num > 2.4142135623730951 * den, is_near = num <= 0.41421356237309503 * den;
    F high = is_far ? (F)(1.5707963267948966) : is_near ? (F)(0.0) : (F)(0.7853981633974483);
    F low = high * 3.8981718325193755e-17;
    const F t = (is_far ? -den : is_near ? num : num - den) / (is_far ? num : is_near ? den : num + den);
    const F z = t * t, w = z * z;
    F odd = NAME(fused)(w, 1.62858201153657823623e-2, 4.97687799461593236017e-2);
    odd = NAME(fused)(odd, w, 6.66107313738753120669e-2);
    odd = NAME(fused)(odd, w, 9.09088713343650656196e-2);
    odd = NAME(fused)(odd, w, 1.42857142725034663711e-1);
    odd = NAME(fused)(odd, w, 3.33333333333329318027e-1);
    F even = NAME(fused)(w, -3.65315727442169155270e-2, -5.83357013379057348645e-2);
    even = NAME(fused)(even, w, -7.69187620504482999495e-2);
    even = NAME(fused)(even, w, -1.11111104054623557880e-1);
    even = NAME(fused)(even, w, -1.99999999998764832476e-1);
    const F less = (t * z * NAME(fused)(even, z, odd) - low) - t;
    return is_left ? (3.141592653589793 - high) + (less + 1.2246467991473532e-16) : high - less;
}

FUNCTION F NAME(atan)(F x)
{
    return NAME(signed)(NAME(atan_of)(NAME(absolute)(x), (F)(1.0), (I)(0)), x);
}

FUNCTION F NAME(atan2)(F y, F x)
{
    F a = NAME(absolute)(y), b = NAME(absolute)(x);
    const I is_large = (a > 1e300) | (b > 1e300);
    a = is_large ? a * 1e-10 : a;
    b = is_large ? b * 1e-10 : b;
    // Both 0 are as 0 and 1; both infinite as 1 and 1.
    const I is_none = (a == 0.0) & (b == 0.0), is_all = (a == INFINITY) & (b == INFINITY);
    a = is_all ? (F)(1.0) : a;
    b = is_none | is_all ? (F)(1.0) : b;
    const F made = NAME(atan_of)(a, b, AS_I(x) < 0);
    return (x != x) | (y != y) ? x + y : NAME(signed)(made, y);
}

// sqrt(x^2 + y^2), both scaled by a power of two so that no square is lost.
FUNCTION F NAME(hypot)(F x, F y)
{
    const F a = NAME(absolute)(x), b = NAME(absolute)(y), most = a > b ? a : b;
    I e = AS_I(most) & 0x7ff0000000000000l;
    e = e < 0x0360000000000000l ? (I)(0x0360000000000000l) : e;
    e = e > 0x7fd0000000000000l ? (I)(0x7fd0000000000000l) : e;
    const F scale = AS_F(0x7fe0000000000000l - e), u = a * scale, v = b * scale;
    const F made = sqrt(NAME(fused)(u, u, v * v)) * AS_F(e);
    return (a == INFINITY) | (b == INFINITY) ? (F)(INFINITY) : made;
}
