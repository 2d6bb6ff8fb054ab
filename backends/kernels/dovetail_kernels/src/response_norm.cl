// Elements of (batch, channels, inner) over (k + share times the squares of `size` neighbouring channels) ** beta;
// IS_SLOPE: the gradient of that. W elements beside each other at a time, as a VECTOR of T, what is computed in.

#define BEFORE (size / 2)
#define BEHIND ((size - 1) / 2)

#if W > 1
// Elements from `at` on; those from `count` on, which are not there, are 0.
static VECTOR loaded(global const X_MEMORY *x, ulong at, uint count)
{
    if (count == W) return X_V(x, at);
    T lane[W] = {0};
    for (uint l = 0; l < count; l++) lane[l] = X_S(x, at + l);
    return LOAD_LANES(lane);
}

static void stored(global X_MEMORY *out, ulong at, uint count, VECTOR value)
{
    if (count == W) {
        X_SET_V(out, at, value);
        return;
    }
    T lane[W];
    STORE_LANES(value, lane);
    for (uint l = 0; l < count; l++) X_SET_S(out, at + l, lane[l]);
}
#else
#define loaded(x, at, count) X_S(x, at)
#define stored(out, at, count, value) X_SET_S(out, at, value)
#endif

// What elements of channel c of a sample, from `first` on, are divided by a power of.
static VECTOR bounds_of(global const X_MEMORY *x, ulong first, uint count, int c, int channels, uint inner, int size,
        T share, T k)
{
    VECTOR sum = 0;
    for (int m = max(0, c - BEFORE); m <= min(channels - 1, c + BEHIND); m++) {
        const VECTOR v = loaded(x, first + (ulong)m * inner, count);
        sum += v * v;
    }
    return k + share * sum;
}

#if IS_SLOPE
#define RING 16
// `run` channels one after the other: what each gives to its neighbours is kept in a ring of `size` at most.
kernel void response_norm(global X_MEMORY *out, global const X_MEMORY *grad, global const X_MEMORY *x,
        global const X_MEMORY *result, ulong8 begin, uint lines, int channels, uint inner, int size, T share, T beta,
        T k, int run)
{
    out += begin.s0, grad += begin.s1, x += begin.s2, result += begin.s3;
    const uint blocks = (inner - 1) / W + 1, runs = (channels - 1) / run + 1;
    const ulong items = (ulong)(lines / channels) * runs * blocks;
    for (ulong item = get_global_id(0); item < items; item += get_global_size(0)) {
        const uint i = item % blocks * W, count = min((uint)W, inner - i);
        const int begin_ = item / blocks % runs * run, end = min(channels, begin_ + run);
        const ulong first = item / blocks / runs * channels * inner + i;
        VECTOR bounds[RING], parts[RING];
        for (int m = begin_ - BEHIND; m < end + BEFORE; m++) {
            const ulong there = first + (ulong)max(m, 0) * inner;
            VECTOR part = 0;
            if (m >= 0 && m < channels) {
                const VECTOR bound = bounds_of(x, first, count, m, channels, inner, size, share, k);
                bounds[m % RING] = bound;
                part = loaded(grad, there, count) * loaded(result, there, count) / bound;
            }
            parts[m & (RING - 1)] = part;
            const int c = m - BEFORE;
            if (c < begin_) continue;
            VECTOR shared = 0;
            for (int j = 0; j < size; j++) shared += parts[(m - j) & (RING - 1)];
            const ulong at = first + (ulong)c * inner;
            const VECTOR power = POWER(bounds[c % RING], (VECTOR)(-beta));
            stored(out, at, count,
                loaded(grad, at, count) * power - 2 * beta * share * loaded(x, at, count) * shared);
        }
    }
}
#else
kernel void response_norm(global X_MEMORY *out, global const X_MEMORY *x, ulong8 begin, uint lines, int channels,
        uint inner, int size, T share, T beta, T k)
{
    out += begin.s0, x += begin.s1;
    const uint blocks = (inner - 1) / W + 1;
    for (ulong item = get_global_id(0); item < (ulong)lines * blocks; item += get_global_size(0)) {
        const uint line = item / blocks, i = item % blocks * W, count = min((uint)W, inner - i);
        const int c = line % channels;
        const ulong first = (ulong)(line - c) * inner + i, at = (ulong)line * inner + i;
        const VECTOR bound = bounds_of(x, first, count, c, channels, inner, size, share, k);
        stored(out, at, count, loaded(x, at, count) * POWER(bound, (VECTOR)(-beta)));
    }
}
#endif
