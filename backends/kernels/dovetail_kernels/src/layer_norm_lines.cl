// layer_norm and rms_norm along lines of neighbours, with their gradients: see lines.cl.
//
// IS_CENTRED: layer_norm. HAS_WEIGHT, HAS_BIAS. Gradients of weight and bias are kept by each member
// for its own columns, written to a line of `parts` by each team, and then added up.

// Offsets and sizes are one argument each: a driver takes its time for every argument of a launch.
#define NUMBERS ulong8 sizes
#define SIZES const ulong lines = sizes.s0, inner = sizes.s2; const int n = (int)sizes.s1;

#define X(L) IN_##L(x, k)
#define CENTRED(L) (IN_##L(x, k) - middle)
#define SQUARE(L) (CENTRED(L) * CENTRED(L))

#if HAS_WEIGHT
#define READ_WEIGHT READ(WEIGHT, w)
#define WEIGHTED(L) * WEIGHT_##L(w, k)
#else
#define READ_WEIGHT
#define WEIGHTED(L)
#endif
#if HAS_BIAS
#define READ_BIAS READ(BIAS, b)
#define BIASED(L) + BIAS_##L(b, k)
#else
#define READ_BIAS
#define BIASED(L)
#endif

#if IS_FORWARD
kernel SIZED(GROUP) void forward(global OUT_MEMORY *out, global T *means, global T *roots,
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
        HOLD(IN, x)
#if IS_CENTRED
        FOLD_LINE(total, 0, ADDED, X, AGAIN(IN, x))
        const T middle = total / n;
#else
        const T middle = 0;
#endif
        FOLD_LINE(squares, 0, ADDED, SQUARE, AGAIN(IN, x))
        const T root = 1 / sqrt(squares / n + eps);
#define RESULT(L) (CENTRED(L) * root WEIGHTED(L) BIASED(L))
        SET_LINE(OUT, y, RESULT, AGAIN(IN, x) READ_WEIGHT READ_BIAS)
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
#define SLOPE(L) (G_##L(g, k) WEIGHTED(L))
#define TILTED(L) (SLOPE(L) * NORMAL(L))

kernel SIZED(GROUP) void backward(global OUT_MEMORY *out, global T *parts,
        global const G_MEMORY *grad, global const IN_MEMORY *in, global const MEAN_MEMORY *means,
        global const ROOT_MEMORY *roots, global const WEIGHT_MEMORY *weight, ulong8 offsets, NUMBERS)
{
    TEAM_MEMORY
    const ulong offset_out = offsets.s0, offset_parts = offsets.s1, offset_grad = offsets.s2;
    const ulong offset_in = offsets.s3, offset_means = offsets.s4, offset_roots = offsets.s5;
    const ulong offset_weight = offsets.s6;
    SIZES
    global const WEIGHT_MEMORY *w = weight + offset_weight;
    T of_weight_held[HELD * W], of_bias_held[HELD * W];
    UNROLLED for (int i = 0; i < HELD * W; i++) of_weight_held[i] = of_bias_held[i] = 0;
    EACH_LINE(line, lines) {
        global const G_MEMORY *g = grad + offset_grad + line * n;
        global const IN_MEMORY *x = in + offset_in + line * n;
        global OUT_MEMORY *y = out + offset_out + line * n;
        const T root = ROOT_S(roots, offset_roots + line);
        HOLD(G, g)
        HOLD(IN, x)
#if IS_CENTRED
        const T middle = MEAN_S(means, offset_means + line);
#else
        const T middle = 0, level = 0;
#endif
        WALK(READ_WEIGHT EACH_OF_PACK {
            const int k = at_ + j_;
            (void)k;
            of_bias_held[SLOT] += G_R(g, k);
            x_held[SLOT] = NORMAL(R);
            of_weight_held[SLOT] += G_R(g, k) * x_held[SLOT];
            g_held[SLOT] = SLOPE(R);
        }, )
#define TILT(L) (G_##L(g, k) * IN_##L(x, k))
#define LEVEL(L) G_##L(g, k)
#if IS_CENTRED
        FOLD_LINE(total, 0, ADDED, LEVEL, )
        const T level = total / n;
#endif
        FOLD_LINE(tilt, 0, ADDED, TILT, )
        const T slope = tilt / n;
#define RESULT(L) ((G_##L(g, k) - level - IN_##L(x, k) * slope) * root)
        SET_LINE(OUT, y, RESULT, )
    }
    global T *part = parts + TEAM_NUMBER * (1 + IS_CENTRED) * n, *bias_part = part + n;
#define OF_WEIGHT(L) of_weight_held[SLOT]
#define OF_BIAS(L) of_bias_held[SLOT]
    SET_LINE(PART, part, OF_WEIGHT, )
#if IS_CENTRED
    SET_LINE(PART, bias_part, OF_BIAS, )
#endif
}

// Sums of the teams' parts: a group takes COLUMNS neighbours, and its work items share out the parts.
#define ROWS (GATHER / COLUMNS)
kernel SIZED(GATHER) void gathered(global T *of_weight, global T *of_bias, global const T *parts,
        ulong offset_weight, ulong offset_bias, ulong offset_parts, ulong count, int n)
{
    local T sums[GATHER];
    const int row = get_local_id(0) / COLUMNS, column = get_local_id(0) % COLUMNS;
    const ulong width = (ulong)(1 + IS_CENTRED) * n, all = (width + COLUMNS - 1) / COLUMNS;
    for (ulong block = get_group_id(0); block < all; block += get_num_groups(0)) {
        const ulong k = block * COLUMNS + column;
        T sum = 0;
        if (k < width) {
            _Pragma("unroll 4")
            for (ulong i = row; i < count; i += ROWS) sum += parts[i * width + k];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        sums[get_local_id(0)] = sum;
        for (int half_ = ROWS / 2; half_; half_ /= 2) {
            barrier(CLK_LOCAL_MEM_FENCE);
            if (row < half_) sums[get_local_id(0)] += sums[get_local_id(0) + half_ * COLUMNS];
        }
        if (row == 0 && k < n) of_weight[offset_weight + k] = sums[column];
        if (row == 0 && k >= n && k < width) of_bias[offset_bias + k - n] = sums[column];
    }
}
#endif
