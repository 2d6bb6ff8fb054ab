// The logarithm of the gamma function's absolute value on double: see mathematics_double.cl.
//
// Recurrence, reflection and asymptotic series: DLMF, chapter 5 (https://dlmf.nist.gov/5).

// lgamma(1 + r), r from 0 to 1: r (r - 1) times a polynomial of 2 r - 1, as in the core's gamma.py.
FUNCTION F NAME(lgamma_near)(F r)
{
    const F u = 2.0 * r - 1.0;
    F p = NAME(fused)(u, (F)(1.2510413599689193e-12), (F)(-3.803618166622364e-12));
    p = NAME(fused)(p, u, (F)(4.705387815328221e-12));
    p = NAME(fused)(p, u, (F)(-1.5395748006420787e-11));
    p = NAME(fused)(p, u, (F)(6.659994986020335e-11));
    p = NAME(fused)(p, u, (F)(-2.0874620693971093e-10));
    p = NAME(fused)(p, u, (F)(6.34708063084356e-10));
    p = NAME(fused)(p, u, (F)(-2.016947955623982e-09));
    p = NAME(fused)(p, u, (F)(6.448537660005262e-09));
    p = NAME(fused)(p, u, (F)(-2.0621027431854287e-08));
    p = NAME(fused)(p, u, (F)(6.622899723826762e-08));
    p = NAME(fused)(p, u, (F)(-2.1386323384115519e-07));
    p = NAME(fused)(p, u, (F)(6.948461695085761e-07));
    p = NAME(fused)(p, u, (F)(-2.2742474102383936e-06));
    p = NAME(fused)(p, u, (F)(7.511391134979752e-06));
    p = NAME(fused)(p, u, (F)(-2.5094328668947195e-05));
    p = NAME(fused)(p, u, (F)(8.510090382507709e-05));
    p = NAME(fused)(p, u, (F)(-0.0002945507015196472));
    p = NAME(fused)(p, u, (F)(0.0010498186644489656));
    p = NAME(fused)(p, u, (F)(-0.003913560937626182));
    p = NAME(fused)(p, u, (F)(0.01572785026864124));
    p = NAME(fused)(p, u, (F)(-0.07297994795715304));
    p = NAME(fused)(p, u, (F)(0.4831289505409809));
    return r * (r - 1.0) * p;
}

// lgamma(x), x >= 0: by recurrence from [1, 2] up to 8, by Stirling's series above. One logarithm.
FUNCTION F NAME(lgamma_above)(F x)
{
    const I is_below = x < 1.0, is_far = x >= 8.0;
    const F r = x < 1.0 ? x : x - floor(x);
    F of = is_below ? x : (F)(1.0);
    of = x >= 2.0 ? of * (r + 1.0) : of;
    of = x >= 3.0 ? of * (r + 2.0) : of;
    of = x >= 4.0 ? of * (r + 3.0) : of;
    of = x >= 5.0 ? of * (r + 4.0) : of;
    of = x >= 6.0 ? of * (r + 5.0) : of;
    of = x >= 7.0 ? of * (r + 6.0) : of;
    const F log = NAME(log)(is_far ? x : of), q = 1.0 / x, s = q * q;
    const F near = NAME(lgamma_near)(r) + (is_below ? -log : log);
    F p = NAME(fused)(s, (F)(0.00641025641025641), (F)(-0.0019175269175269176));
    p = NAME(fused)(p, s, (F)(0.0008417508417508417));
    p = NAME(fused)(p, s, (F)(-0.0005952380952380953));
    p = NAME(fused)(p, s, (F)(0.0007936507936507937));
    p = NAME(fused)(p, s, (F)(-0.002777777777777778));
    p = NAME(fused)(p, s, (F)(0.08333333333333333));
    const F far = NAME(fused)(x - 0.5, log - 1.0, NAME(fused)(p, q, (F)(0.41893853320467267)));
    return is_far ? far : near;
}

FUNCTION F NAME(lgamma)(F x)
{
    const F a = NAME(absolute)(x), above = NAME(lgamma_above)(a);
    if (SOME(x < 0.0)) {
        const F sine = NAME(absolute)(NAME(sin)((a - rint(a)) * 3.141592653589793));
        const F reflected = NAME(log)(3.141592653589793 / (sine * a)) - above;
        // Near 0 both are -log(a); from 2^52 on every number is a pole.
        return (x < 0.0) & (a > 1e-20) ? (a < 4503599627370496.0 ? reflected : (F)(INFINITY)) : above;
    }
    return above;
}
