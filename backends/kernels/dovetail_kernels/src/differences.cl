// Differences of neighbours, and integrals by the trapezoidal rule.
//
// IS_DIFF: ORDER times; LESS(a, b): their difference. Otherwise a work item takes a line of `length` values after the
// other; HAS_POINTS: their places are given, else they are `width` apart. RUNNING: the integral up to each.

#if IS_DIFF
kernel void diff(global X_MEMORY *out, global const X_MEMORY *in, ulong8 begin, ulong count PLACES_NUMBERS, ulong step)
{
    out += begin.s0;
    in += begin.s1;
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        PLACES(item)
        X_VALUE v[ORDER + 1];
        for (int k = 0; k <= ORDER; k++) v[k] = X_LOAD(in, from + k * step);
        for (int n = ORDER; n > 0; n--) {
            for (int k = 0; k < n; k++) v[k] = LESS(v[k + 1], v[k]);
        }
        X_STORE(out, to, v[0]);
    }
}
#else
#if HAS_POINTS
#define POINTS global const X_MEMORY *x,
#else
#define POINTS
#endif
kernel void trapezoid(global X_MEMORY *out, global const X_MEMORY *in, POINTS ulong8 begin, ulong count PLACES_NUMBERS,
        ulong length, ulong out_step, ulong step, ulong x_step, X_VALUE width)
{
    out += begin.s0;
    in += begin.s1;
#if HAS_POINTS
    x += begin.s2;
#endif
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        PLACES(item)
        X_VALUE sum = 0, before = X_LOAD(in, from);
        for (ulong k = 1; k < length; k++) {
            const X_VALUE y = X_LOAD(in, from + k * step);
#if HAS_POINTS
            sum += (before + y) * (X_LOAD(x, point + k * x_step) - X_LOAD(x, point + (k - 1) * x_step));
#else
            sum += before + y;
#endif
            before = y;
#if RUNNING
            X_STORE(out, to + (k - 1) * out_step, sum * width);
#endif
        }
#if !RUNNING
        X_STORE(out, to, sum * width);
#endif
    }
}
#endif
