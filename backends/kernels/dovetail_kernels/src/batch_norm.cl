// batch_norm: statistics of each channel of (images, channels, places), and what is made of them.
//
// A team has a channel. On a CPU it goes through the images one by one (RUNS), whose places are
// neighbours; on a GPU through all of them at once, which keeps the team busy where places are few.
// IS_SIDE: there is one place per image, and neighbouring channels go side by side as vectors of LANES.
// HAS_RUNNING: running statistics keep a share of themselves, and take in the batch's; with HAS_COUNTER
// the counter of batches becomes one more. shares: what is kept, of the mean, of the variance. The
// batch's own are in one buffer then: a driver takes its time for every buffer, too.

// Offsets and sizes are one argument each: a driver takes its time for every argument of a launch.
#define NUMBERS ulong8 offsets, ulong8 sizes, T_MEMORY eps
#define SIZES \
    const ulong lines = sizes.s0, inner = sizes.s2, channels = sizes.s3, images = sizes.s4; \
    const int n = (int)sizes.s1;

#if IS_SIDE
// Images are n elements that are `inner` channels apart.
#define CHANNEL(line) BASE(line)
#define START(line) BASE(line)
#define RUNS
#define LENGTH n
#define SPOT(k) AT(k)
#define ONE(P, p, i) P##_S(p, i)
#define SET_ONE(P, p, i, v) P##_SET_S(p, i, v);
// The last vector begins where it ends with the channels, so it has some that the one before has.
#define TAKE_IN(values, place, of_batch, weight) \
    for (int i_ = (int)(line * LANES - channel); i_ < LANES; i_++) \
        MIX((values)[(place) + channel + i_], ((const T_MEMORY *)&of_batch)[i_], weight)
#else
#define CHANNEL(line) (line)
#define ONE(P, p, i) P##_S(p, i)
#define SET_ONE(P, p, i, v) if (MEMBER == 0) { P##_SET_S(p, i, v); }
#define TAKE_IN(values, place, of_batch, weight) \
    if (MEMBER == 0) MIX((values)[(place) + channel], of_batch, weight)
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
#if HAS_RUNNING
#define MIX(value, of_batch, weight) value = value * shares.s0 + (of_batch) * (weight);
#if HAS_COUNTER
#define COUNTER , global long *counter
#else
#define COUNTER
#endif
#define RUNNING_BUFFERS , global T_MEMORY *running_mean, global T_MEMORY *running_var COUNTER
#define RUNNING_NUMBERS , ulong place_of_counter, SHARES shares
#define VARS
#define vars means
#else
#define RUNNING_BUFFERS
#define RUNNING_NUMBERS
#define VARS , global T_MEMORY *vars
#endif

kernel void train(global OUT_MEMORY *out, global T_MEMORY *means VARS, global const IN_MEMORY *in,
        global const WEIGHT_MEMORY *weight, global const BIAS_MEMORY *bias RUNNING_BUFFERS, NUMBERS, T_MEMORY count RUNNING_NUMBERS)
{
    TEAM_MEMORY
    const ulong offset_out = offsets.s0, offset_mean = offsets.s1, offset_var = offsets.s2;
    const ulong offset_in = offsets.s3, offset_weight = offsets.s4, offset_bias = offsets.s5;
    SIZES
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
#if HAS_RUNNING
        TAKE_IN(running_mean, offsets.s6, mean, shares.s1)
        TAKE_IN(running_var, offsets.s7, var, shares.s2)
#if HAS_COUNTER
        if (line == 0 && MEMBER == 0) counter[place_of_counter]++;
#endif
#endif
    }
}
#endif

#if IS_BACKWARD
#define G(L) G_##L(g, SPOT(k))
#define NORMAL(L) (CENTRED(L) * scale)
#define PRODUCT(L) (G(L) * NORMAL(L))

kernel void backward(global OUT_MEMORY *out, global T_MEMORY *of_weight, global T_MEMORY *of_bias,
        global const G_MEMORY *grad, global const IN_MEMORY *in, global const MEAN_MEMORY *means,
        global const VAR_MEMORY *vars, global const WEIGHT_MEMORY *weight, NUMBERS, T_MEMORY count)
{
    TEAM_MEMORY
    const ulong offset_out = offsets.s0, offset_of_weight = offsets.s1, offset_of_bias = offsets.s2;
    const ulong offset_grad = offsets.s3, offset_in = offsets.s4, offset_mean = offsets.s5;
    const ulong offset_var = offsets.s6, offset_weight = offsets.s7;
    SIZES
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
        global const WEIGHT_MEMORY *weight, global const BIAS_MEMORY *bias, NUMBERS)
{
    const ulong offset_out = offsets.s0, offset_in = offsets.s1, offset_mean = offsets.s2;
    const ulong offset_var = offsets.s3, offset_weight = offsets.s4, offset_bias = offsets.s5;
    SIZES
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
