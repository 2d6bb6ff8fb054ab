// batch_norm: statistics of each channel of (images, channels, places), and what is made of them.
//
// A team has a channel. On a CPU it goes through the images one by one (RUNS), whose places are
// neighbours; on a GPU through all of them at once, which keeps the team busy where places are few.
// IS_SIDE: there is one place per image, and neighbouring channels go side by side as vectors.

#define NUMBERS ulong lines, int n, ulong inner, ulong channels, ulong images

#if IS_SIDE
// Images are n elements that are `inner` channels apart.
#define CHANNEL(line) BASE(line)
#define START(line) BASE(line)
#define RUNS
#define LENGTH n
#define SPOT(k) AT(k)
#define ONE(P, p, i) P##_S(p, i)
#define SET_ONE(P, p, i, v) P##_SET_S(p, i, v);
#else
#define CHANNEL(line) (line)
#define ONE(P, p, i) P##_S(p, i)
#define SET_ONE(P, p, i, v) if (MEMBER == 0) { P##_SET_S(p, i, v); }
#define START(line) ((line) * n)
#if IS_CPU
#define RUNS for (ulong image = 0; image < images; image++)
#define LENGTH n
#define SPOT(k) (image * channels * n + (k))
#else
#define RUNS
#define LENGTH (int)(n * images)
#define SPOT(k) ((ulong)(k) / n * channels * n + (k) % n)
#endif
#endif

#define X(L) IN_##L(x, SPOT(k))
#define CENTRED(L) (X(L) - mean)
#define SQUARE(L) (CENTRED(L) * CENTRED(L))

#if IS_TRAIN
kernel void train(global OUT_MEMORY *out, global T_MEMORY *means, global T_MEMORY *vars,
        global const IN_MEMORY *in, global const WEIGHT_MEMORY *weight,
        global const BIAS_MEMORY *bias, ulong offset_out, ulong offset_mean, ulong offset_var,
        ulong offset_in, ulong offset_weight, ulong offset_bias, NUMBERS, T_MEMORY eps,
        T_MEMORY count)
{
    TEAM_MEMORY
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + START(line);
        global OUT_MEMORY *y = out + offset_out + START(line);
        const ulong channel = CHANNEL(line);
        T mean = 0, var = 0;
        RUNS FOLD_PART(mean, LENGTH, 0, ADDED, X)
        TEAM_FOLD(mean, ADDED)
        mean /= count;
        RUNS FOLD_PART(var, LENGTH, 0, ADDED, SQUARE)
        TEAM_FOLD(var, ADDED)
        var /= count;
        T scale = 1 / sqrt(var + eps), shift = 0;
#if HAS_WEIGHT
        scale *= ONE(WEIGHT, weight, offset_weight + channel);
#endif
#if HAS_BIAS
        shift = ONE(BIAS, bias, offset_bias + channel);
#endif
#define DO(L) OUT_SET_##L(y, SPOT(k), CENTRED(L) * scale + shift);
        RUNS WALK(LENGTH, DO)
#undef DO
        SET_ONE(T, means, offset_mean + channel, mean)
        SET_ONE(T, vars, offset_var + channel, var)
    }
}
#endif

#if IS_BACKWARD
#define G(L) G_##L(g, SPOT(k))
#define NORMAL(L) (CENTRED(L) * scale)
#define PRODUCT(L) (G(L) * NORMAL(L))

kernel void backward(global OUT_MEMORY *out, global T_MEMORY *of_weight, global T_MEMORY *of_bias,
        global const G_MEMORY *grad, global const IN_MEMORY *in, global const MEAN_MEMORY *means,
        global const VAR_MEMORY *vars, global const WEIGHT_MEMORY *weight, ulong offset_out,
        ulong offset_of_weight, ulong offset_of_bias, ulong offset_grad, ulong offset_in,
        ulong offset_mean, ulong offset_var, ulong offset_weight, NUMBERS, T_MEMORY eps,
        T_MEMORY count)
{
    TEAM_MEMORY
    EACH_LINE(line, lines) {
        global const G_MEMORY *g = grad + offset_grad + START(line);
        global const IN_MEMORY *x = in + offset_in + START(line);
        global OUT_MEMORY *y = out + offset_out + START(line);
        const ulong channel = CHANNEL(line);
        const T mean = ONE(MEAN, means, offset_mean + channel);
        const T scale = 1 / sqrt(ONE(VAR, vars, offset_var + channel) + eps);
        T level = 0, slope = 0;
        RUNS FOLD_PART(level, LENGTH, 0, ADDED, G)
        TEAM_FOLD(level, ADDED)
        RUNS FOLD_PART(slope, LENGTH, 0, ADDED, PRODUCT)
        TEAM_FOLD(slope, ADDED)
        SET_ONE(T, of_bias, offset_of_bias + channel, level)
        SET_ONE(T, of_weight, offset_of_weight + channel, slope)
        level /= count;
        slope /= count;
        T factor = scale;
#if HAS_WEIGHT
        factor *= ONE(WEIGHT, weight, offset_weight + channel);
#endif
#define DO(L) OUT_SET_##L(y, SPOT(k), (G(L) - level - NORMAL(L) * slope) * factor);
        RUNS WALK(LENGTH, DO)
#undef DO
    }
}
#endif

#if IS_EVAL
// A line is a plane of one image and channel, or (IS_SIDE) all images of several channels.
kernel void evaluate(global OUT_MEMORY *out, global const IN_MEMORY *in,
        global const MEAN_MEMORY *means, global const VAR_MEMORY *vars,
        global const WEIGHT_MEMORY *weight, global const BIAS_MEMORY *bias, ulong offset_out,
        ulong offset_in, ulong offset_mean, ulong offset_var, ulong offset_weight,
        ulong offset_bias, NUMBERS, T_MEMORY eps)
{
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + BASE(line);
        global OUT_MEMORY *y = out + offset_out + BASE(line);
        const ulong channel = IS_SIDE ? BASE(line) : line % channels;
        T scale = 1 / sqrt(ONE(VAR, vars, offset_var + channel) + eps);
#if HAS_WEIGHT
        scale *= ONE(WEIGHT, weight, offset_weight + channel);
#endif
        const T mean = ONE(MEAN, means, offset_mean + channel);
        T shift = -mean * scale;
#if HAS_BIAS
        shift += ONE(BIAS, bias, offset_bias + channel);
#endif
#define DO(L) OUT_SET_##L(y, AT(k), IN_##L(x, AT(k)) * scale + shift);
        WALK(n, DO)
#undef DO
    }
}
#endif
