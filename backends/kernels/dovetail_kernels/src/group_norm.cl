// group_norm over lines of n neighbours, the channels of a group one after the other, and its gradient.
//
// HAS_WEIGHT, HAS_BIAS: of one element for each channel. HAS_STATISTICS: means and inverse deviations of
// groups are kept. IS_BACKWARD: the gradient; IS_WHOLE: a line is a group of all images, so that the
// gradients of weight and bias are of one launch.

#define SIZES \
    const ulong lines = sizes.s0; \
    const int n = (int)sizes.s1, channels = (int)sizes.s3, groups = (int)sizes.s4; \
    const int images = (int)sizes.s5, places = n / channels;

#if !IS_BACKWARD
#if HAS_STATISTICS
#define STATISTICS , global T *means, global T *roots
#else
#define STATISTICS
#endif

#define X(L) IN_##L(x, k)
#define SQUARE(L) ((IN_##L(x, k) - middle) * (IN_##L(x, k) - middle))

kernel void group_norm(global OUT_MEMORY *out, global const IN_MEMORY *in,
        global const WEIGHT_MEMORY *weight, global const BIAS_MEMORY *bias STATISTICS, ulong8 offsets,
        ulong8 sizes, T eps)
{
    TEAM_MEMORY
    SIZES
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
#undef DO
        }
#if HAS_STATISTICS
        if (MEMBER == 0) {
            means[offsets.s4 + line] = middle;
            roots[offsets.s5 + line] = root;
        }
#endif
    }
}
#else

#define G(L) G_##L(g, k)
#define NORMAL(L) ((IN_##L(x, k) - middle) * root)
#define TILTED(L) (G(L) * NORMAL(L))
#if HAS_WEIGHT
#define SCALE(c) WEIGHT_S(weight, offset_weight + (c))
#else
#define SCALE(c) (T)1
#endif

kernel void backward(global OUT_MEMORY *out, global T *of_weight, global T *of_bias,
        global const G_MEMORY *grad, global const IN_MEMORY *in, global const MEAN_MEMORY *means,
        global const ROOT_MEMORY *roots, global const WEIGHT_MEMORY *weight, ulong8 offsets,
        ulong8 sizes)
{
    TEAM_MEMORY
    const ulong offset_out = offsets.s0, offset_of_weight = offsets.s1, offset_of_bias = offsets.s2;
    const ulong offset_grad = offsets.s3, offset_in = offsets.s4, offset_means = offsets.s5;
    const ulong offset_roots = offsets.s6, offset_weight = offsets.s7;
    SIZES
    EACH_LINE(line, lines) {
        const ulong first = line % groups * channels;
#if IS_WHOLE
        const ulong own = first;
        for (ulong row = line; row < (ulong)images * groups; row += groups) {
#else
        const ulong own = line * channels;
        const ulong row = line;
        {
#endif
            const ulong start = row * n;
            const T middle = MEAN_S(means, offset_means + row);
            const T root = ROOT_S(roots, offset_roots + row);
            T level = 0, slope = 0;
            for (int c = 0; c < channels; c++) {
                const ulong begin = start + (ulong)c * places;
                global const IN_MEMORY *x = in + offset_in + begin;
                global const G_MEMORY *g = grad + offset_grad + begin;
                FOLD_LINE(total, places, 0, ADDED, G)
                FOLD_LINE(tilt, places, 0, ADDED, TILTED)
                level += total * SCALE(first + c);
                slope += tilt * SCALE(first + c);
                if (MEMBER == 0) {
                    global T *w = of_weight + offset_of_weight + own + c;
                    global T *b = of_bias + offset_of_bias + own + c;
                    const int is_first = !IS_WHOLE || row == line;
                    *w = is_first ? tilt : *w + tilt;
                    *b = is_first ? total : *b + total;
                }
            }
            level /= n;
            slope /= n;
            for (int c = 0; c < channels; c++) {
                const ulong begin = start + (ulong)c * places;
                global const IN_MEMORY *x = in + offset_in + begin;
                global const G_MEMORY *g = grad + offset_grad + begin;
                global OUT_MEMORY *y = out + offset_out + begin;
                const T scale = SCALE(first + c);
#define DO(L) OUT_SET_##L(y, k, (G(L) * scale - level - NORMAL(L) * slope) * root);
                WALK(places, DO)
#undef DO
            }
        }
    }
}

// Sums of all images' parts, a channel per work item.
kernel void gathered(global T *of_weight, global T *of_bias, global const T *parts, ulong8 offsets,
        int images, int channels)
{
    for (int c = get_global_id(0); c < channels; c += get_global_size(0)) {
        T weight = 0, bias = 0;
        for (int i = 0; i < images; i++) {
            weight += parts[(ulong)i * channels + c];
            bias += parts[(ulong)(images + i) * channels + c];
        }
        of_weight[offsets.s0 + c] = weight;
        of_bias[offsets.s1 + c] = bias;
    }
}
#endif
