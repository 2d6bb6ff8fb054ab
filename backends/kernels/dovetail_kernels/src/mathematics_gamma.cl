// The logarithm of the gamma function's absolute value on float: see mathematics.cl.
//
// Recurrence, reflection and asymptotic series: DLMF, chapter 5 (https://dlmf.nist.gov/5).

// lgamma(1 + r), r from 0 to 1: r (r - 1) times a minimax polynomial of r - 1/2.
FUNCTION F NAME(lgamma_near)(F r)
{
    const F u = r - 0.5f;
    F p = NAME(fused)(u, 0.000934933138f, -0.00152448588f);
    p = NAME(fused)(p, u, 0.00186388497f);
    p = NAME(fused)(p, u, -0.00311698206f);
    p = NAME(fused)(p, u, 0.0054530804f);
    p = NAME(fused)(p, u, -0.00943628792f);
    p = NAME(fused)(p, u, 0.0167967994f);
    p = NAME(fused)(p, u, -0.0313080065f);
    p = NAME(fused)(p, u, 0.0629114062f);
    p = NAME(fused)(p, u, -0.145959899f);
    p = NAME(fused)(p, u, 0.483128965f);
    return r * (r - 1.0f) * p;
}

// lgamma(x), x >= 0: by recurrence from [1, 2] up to 8, by Stirling's series above. One logarithm.
FUNCTION F NAME(lgamma_above)(F x)
{
    const I is_below = x < 1.0f, is_far = x >= 8.0f;
    const F r = x < 1.0f ? x : x - floor(x);
    F of = is_below ? x : (F)(1.0f);
    of = x >= 2.0f ? of * (r + 1.0f) : of;
    of = x >= 3.0f ? of * (r + 2.0f) : of;
    of = x >= 4.0f ? of * (r + 3.0f) : of;
    of = x >= 5.0f ? of * (r + 4.0f) : of;
    of = x >= 6.0f ? of * (r + 5.0f) : of;
    of = x >= 7.0f ? of * (r + 6.0f) : of;
    const F log = NAME(log)(is_far ? x : of), q = 1.0f / x, s = q * q;
    const F near = NAME(lgamma_near)(r) + (is_below ? -log : log);
    F p = NAME(fused)(s, 0.000793650794f, -0.00277777778f);
    p = NAME(fused)(p, s, 0.0833333333f);
    const F far = NAME(fused)(x - 0.5f, log - 1.0f, NAME(fused)(p, q, (F)(0.418938533f)));
    return is_far ? far : near;
}

FUNCTION F NAME(lgamma)(F x)
{
    const F a = NAME(absolute)(x), above = NAME(lgamma_above)(a);
    if (SOME(x < 0.0f)) {
        const F sine = NAME(absolute)(NAME(sin)((a - rint(a)) * 3.14159274f));
        const F reflected = NAME(log)(3.14159274f / (sine * a)) - above;
        // Near 0 both are -log(a); from 2^23 on every number is a pole.
        return (x < 0.0f) & (a > 1e-10f) ? (a < 8388608.0f ? reflected : (F)(INFINITY)) : above;
    }
    return above;
}
