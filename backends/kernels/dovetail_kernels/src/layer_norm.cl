// layer_norm and rms_norm over lines of n neighbours, with their gradients.
//
// IS_CENTRED: layer_norm. HAS_WEIGHT, HAS_BIAS. Gradients of weight and bias are gathered by each
// team in a line of its own of `parts`, and then added up: every member keeps to its own columns.

// Offsets and sizes are one argument each: a driver takes its time for every argument of a launch.
#define NUMBERS ulong8 sizes
#define SIZES const ulong lines = sizes.s0, inner = sizes.s2; const int n = (int)sizes.s1;

#define X(L) IN_##L(x, k)
#define CENTRED(L) (IN_##L(x, k) - middle)
#define SQUARE(L) (CENTRED(L) * CENTRED(L))

#if IS_FORWARD
kernel void forward(global OUT_MEMORY *out, global T *means, global T *roots,
        global const IN_MEMORY *in, global const WEIGHT_MEMORY *weight,
        global const BIAS_MEMORY *bias, ulong8 offsets, NUMBERS, T eps)
{
    TEAM_MEMORY
    const ulong offset_out = offsets.s0, offset_means = offsets.s1, offset_roots = offsets.s2;
    const ulong offset_in = offsets.s3, offset_weight = offsets.s4, offset_bias = offsets.s5;
    SIZES
    global const WEIGHT_MEMORY *w = weight + offset_weight;
    global const BIAS_MEMORY *b = bias + offset_bias;
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + line * n;
        global OUT_MEMORY *y = out + offset_out + line * n;
#if IS_CENTRED
        FOLD_LINE(total, n, 0, ADDED, X)
        const T middle = total / n;
#else
        const T middle = 0;
#endif
        FOLD_LINE(squares, n, 0, ADDED, SQUARE)
        const T root = 1 / sqrt(squares / n + eps);
#if HAS_WEIGHT && HAS_BIAS
#define DO(L) OUT_SET_##L(y, k, CENTRED(L) * root * WEIGHT_##L(w, k) + BIAS_##L(b, k));
#elif HAS_WEIGHT
#define DO(L) OUT_SET_##L(y, k, CENTRED(L) * root * WEIGHT_##L(w, k));
#elif HAS_BIAS
#define DO(L) OUT_SET_##L(y, k, CENTRED(L) * root + BIAS_##L(b, k));
#else
#define DO(L) OUT_SET_##L(y, k, CENTRED(L) * root);
#endif
        WALK(n, DO)
        if (MEMBER == 0) {
#if IS_CENTRED
            means[offset_means + line] = middle;
#endif
            roots[offset_roots + line] = root;
        }
    }
}
#else

#define NORMAL(L) (CENTRED(L) * root)
#if HAS_WEIGHT
#define SLOPE(L) (G_##L(g, k) * WEIGHT_##L(w, k))
#else
#define SLOPE(L) G_##L(g, k)
#endif
#define TILTED(L) (SLOPE(L) * NORMAL(L))

// IS_ALONE: there is one team, whose sums are the others' gradients themselves.
#if IS_ALONE
#define MORE , global T *of_bias
#else
#define MORE
#endif

kernel void backward(global OUT_MEMORY *out, global T *parts, global const G_MEMORY *grad,
        global const IN_MEMORY *in, global const MEAN_MEMORY *means,
        global const ROOT_MEMORY *roots, global const WEIGHT_MEMORY *weight MORE, ulong8 offsets,
        NUMBERS)
{
    TEAM_MEMORY
    const ulong offset_out = offsets.s0, offset_parts = offsets.s1, offset_grad = offsets.s2;
    const ulong offset_in = offsets.s3, offset_means = offsets.s4, offset_roots = offsets.s5;
    const ulong offset_weight = offsets.s6;
    SIZES
    global const WEIGHT_MEMORY *w = weight + offset_weight;
#if IS_ALONE
    global T *of_weight = parts + offset_parts;
    of_bias += offsets.s7;
#else
    global T *of_weight = parts + TEAM_NUMBER * (1 + IS_CENTRED) * n, *of_bias = of_weight + n;
#endif
#if IS_CENTRED
#define CLEAR(L) PART_SET_##L(of_weight, k, ZERO_##L); PART_SET_##L(of_bias, k, ZERO_##L);
#define GATHER(L) \
    PART_SET_##L(of_weight, k, PART_##L(of_weight, k) + G_##L(g, k) * NORMAL(L)); \
    PART_SET_##L(of_bias, k, PART_##L(of_bias, k) + G_##L(g, k));
#else
#define CLEAR(L) PART_SET_##L(of_weight, k, ZERO_##L);
#define GATHER(L) PART_SET_##L(of_weight, k, PART_##L(of_weight, k) + G_##L(g, k) * NORMAL(L));
#endif
    WALK(n, CLEAR)
    EACH_LINE(line, lines) {
        global const G_MEMORY *g = grad + offset_grad + line * n;
        global const IN_MEMORY *x = in + offset_in + line * n;
        global OUT_MEMORY *y = out + offset_out + line * n;
        const T root = ROOT_S(roots, offset_roots + line);
#if IS_CENTRED
        const T middle = MEAN_S(means, offset_means + line);
        FOLD_LINE(total, n, 0, ADDED, SLOPE)
        const T level = total / n;
#else
        const T middle = 0, level = 0;
#endif
        FOLD_LINE(tilt, n, 0, ADDED, TILTED)
        const T slope = tilt / n;
#define DO(L) OUT_SET_##L(y, k, (SLOPE(L) - level - NORMAL(L) * slope) * root); GATHER(L)
        WALK(n, DO)
    }
}

// Sums of the teams' parts, a column per work item.
kernel void gathered(global T *of_weight, global T *of_bias, global const T *parts,
        ulong offset_weight, ulong offset_bias, ulong offset_parts, ulong count, int n)
{
    for (ulong k = get_global_id(0); k < n; k += get_global_size(0)) {
        T weight = 0, bias = 0;
        for (ulong i = 0; i < count; i++) {
            weight += parts[i * (1 + IS_CENTRED) * n + k];
            if (IS_CENTRED) bias += parts[i * 2 * n + n + k];
        }
        of_weight[offset_weight + k] = weight;
        if (IS_CENTRED) of_bias[offset_bias + k] = bias;
    }
}
#endif
