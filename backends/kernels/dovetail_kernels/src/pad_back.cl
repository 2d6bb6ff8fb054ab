// The gradient of padding with elements: an element of (outer, depth, height, width) has the sum over the places that
// it stands at. Of the last three dims there are the sizes `inner`; the first elements that were not cut off, and how
// many; the sizes `places` of what was padded; and places before the first.
//
// MAP(at, n): the element at a place, from before the first on. T: what is computed in.

// Places beyond the n elements, of all there are.
#define BEYOND(n, b, size) (max(b, (long)0) + max(size - n - b, (long)0))

// The t-th place that may have element i, the first of which is its own; -1 where it has not.
static long place_of(long t, long i, long n, long b, long size)
{
    if (i < 0 || i >= n) return -1;
    const long ahead = max(b, (long)0), j = t == 0 ? i + b : t <= ahead ? t - 1 : n + b + t - 1 - ahead;
    if (j < 0 || j >= size) return -1;  // cut off at the other end, too
    return t == 0 || MAP(j - b, n) == i ? j : -1;
}

kernel void pad_back(global X_MEMORY *out, global const X_MEMORY *grad, ulong8 begin, ulong lines, ulong8 inner,
        ulong8 first, ulong8 count, ulong8 places, ulong8 before)
{
    out += begin.s0, grad += begin.s1;
    const long width = inner.s2, b = (long)before.s2, n = count.s2;
    const long size_d = places.s0, size_h = places.s1, size_w = places.s2;
    const long b_d = (long)before.s0, b_h = (long)before.s1, n_d = count.s0, n_h = count.s1;
#if IS_CPU
    for (ulong line = get_global_id(0); line < lines; line += get_global_size(0)) {
        global T *to = out + line * width;
        for (long i = 0; i < width; i++) to[i] = 0;
        to += first.s2;
#else
    for (ulong item = get_global_id(0); item < lines * width; item += get_global_size(0)) {
        const ulong line = item / width;
        T sum = 0;
#endif
        const long h = (long)(line % inner.s1) - (long)first.s1;
        const long d = (long)(line / inner.s1 % inner.s0) - (long)first.s0;
        const ulong o = line / inner.s1 / inner.s0;
        for (long s = 0; s <= BEYOND(n_d, b_d, size_d); s++) {
            const long depth = place_of(s, d, n_d, b_d, size_d);
            if (depth < 0) continue;
            for (long t = 0; t <= BEYOND(n_h, b_h, size_h); t++) {
                const long height = place_of(t, h, n_h, b_h, size_h);
                if (height < 0) continue;
                global const T *from = grad + ((o * size_d + depth) * size_h + height) * size_w;
#if IS_CPU
                for (long j = 0; j < min(b, size_w); j++) to[MAP(j - b, n)] += from[j];
                for (long i = max((long)0, -b); i < min(n, size_w - b); i++) to[i] += from[i + b];
                for (long j = max((long)0, n + b); j < size_w; j++) to[MAP(j - b, n)] += from[j];
#else
                const long i = (long)(item % width) - (long)first.s2;
                for (long u = 0; u <= BEYOND(n, b, size_w); u++) {
                    const long j = place_of(u, i, n, b, size_w);
                    if (j >= 0) sum += from[j];
                }
#endif
            }
        }
#if !IS_CPU
        out[item] = sum;
#endif
    }
}
