// group_norm over lines of n neighbours, the channels of a group one after the other.
//
// HAS_WEIGHT, HAS_BIAS: of one element for each channel.

#define X(L) IN_##L(x, k)
#define SQUARE(L) ((IN_##L(x, k) - middle) * (IN_##L(x, k) - middle))

kernel void group_norm(global OUT_MEMORY *out, global const IN_MEMORY *in,
        global const WEIGHT_MEMORY *weight, global const BIAS_MEMORY *bias, ulong8 offsets,
        ulong8 sizes, T eps)
{
    TEAM_MEMORY
    const ulong lines = sizes.s0;
    const int n = (int)sizes.s1, channels = (int)sizes.s3, groups = (int)sizes.s4;
    const int places = n / channels;
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offsets.s1 + line * n;
        FOLD_LINE(total, n, 0, ADDED, X)
        const T middle = total / n;
        FOLD_LINE(squares, n, 0, ADDED, SQUARE)
        const T root = 1 / sqrt(squares / n + eps);
        const ulong first = line % groups * channels;
        for (int c = 0; c < channels; c++) {
            global const IN_MEMORY *from = x + (ulong)c * places;
            global OUT_MEMORY *to = out + offsets.s0 + line * n + (ulong)c * places;
#if HAS_WEIGHT
            const T scale = root * WEIGHT_S(weight, offsets.s2 + first + c);
#else
            const T scale = root;
#endif
#if HAS_BIAS
            const T shift = BIAS_S(bias, offsets.s3 + first + c);
#else
            const T shift = 0;
#endif
#define DO(L) OUT_SET_##L(to, k, (IN_##L(from, k) - middle) * scale + shift);
            WALK(places, DO)
        }
    }
}
