// batch_norm on GPUs: the elements of a channel are shared out among `parts` work groups, in two
// launches. The first one sums each part, the second adds the parts up, in one order in every
// group, and goes through the elements once more.
//
// GROUP: work items of a group. Elements of a channel are numbered 0 … count - 1 through all images.

#define SIZES int n, int channels, int count, int parts, int chunk, T eps

#define PLACED \
    const int item = (int)get_local_id(0), group = (int)get_group_id(0); \
    const int channel = group / parts, part = group % parts; \
    const int first = part * chunk + item, end = min(count, (part + 1) * chunk); \
    int place = first % n, at = (first / n * channels + channel) * n + place; \
    const int step_place = GROUP % n, step_at = GROUP / n * channels * n + step_place; \
    const int jump = (channels - 1) * n; \
    int k = first;

#define NEXT { \
        k += GROUP; \
        place += step_place; \
        at += step_at; \
        if (place >= n) { place -= n; at += jump; } \
    }

// DO(at) for every element of the part; LOAD(name, at) for four of them before USE(name, at).
#define EACH(LOAD, USE) \
    while (k + 3 * GROUP < end) { \
        const int at0 = at; LOAD(0, at0) NEXT \
        const int at1 = at; LOAD(1, at1) NEXT \
        const int at2 = at; LOAD(2, at2) NEXT \
        const int at3 = at; LOAD(3, at3) NEXT \
        USE(0, at0) USE(1, at1) USE(2, at2) USE(3, at3) \
    } \
    while (k < end) { \
        const int at0 = at; LOAD(0, at0) NEXT \
        USE(0, at0) \
    }

#define STORE_SUMS \
    a_[item] = a; \
    b_[item] = b; \
    barrier(CLK_LOCAL_MEM_FENCE); \
    for (int half_ = GROUP / 2; half_; half_ /= 2) { \
        if (item < half_) { a_[item] += a_[item + half_]; b_[item] += b_[item + half_]; } \
        barrier(CLK_LOCAL_MEM_FENCE); \
    } \
    if (item == 0) { sums[2 * group] = a_[0]; sums[2 * group + 1] = b_[0]; }

#define LOADED_SUMS \
    T a = 0, b = 0; \
    for (int i = 0; i < parts; i++) { \
        a += sums[2 * (channel * parts + i)]; \
        b += sums[2 * (channel * parts + i) + 1]; \
    }

// The first element of the channel: what is summed is the difference to it, so that the squares
// stay small where the mean is large.
#define ORIGIN IN_LOAD(in, offset_in + (ulong)channel * n)

#if IS_TRAIN
kernel void moments(global T *sums, global const IN_MEMORY *in, ulong offset_in, SIZES)
{
    local T a_[GROUP], b_[GROUP];
    PLACED
    const T origin = ORIGIN;
    T a = 0, b = 0;
#define LOAD(i, at) const T v##i = IN_LOAD(in, offset_in + at) - origin;
#define USE(i, at) a += v##i; b += v##i * v##i;
    EACH(LOAD, USE)
#undef LOAD
#undef USE
    STORE_SUMS
}

kernel void normal(global OUT_MEMORY *out, global T *means, global T *vars,
        global const IN_MEMORY *in, global const WEIGHT_MEMORY *weight,
        global const BIAS_MEMORY *bias, global const T *sums, ulong offset_out,
        ulong offset_mean, ulong offset_var, ulong offset_in, ulong offset_weight,
        ulong offset_bias, SIZES)
{
    PLACED
    LOADED_SUMS
    a /= count;
    const T mean = ORIGIN + a;
    const T var = max((T)0, b / count - a * a);
    T scale = 1 / sqrt(var + eps), shift = 0;
#if HAS_WEIGHT
    scale *= WEIGHT_LOAD(weight, offset_weight + channel);
#endif
#if HAS_BIAS
    shift = BIAS_LOAD(bias, offset_bias + channel);
#endif
    if (part == 0 && item == 0) {
        means[offset_mean + channel] = mean;
        vars[offset_var + channel] = var;
    }
#define LOAD(i, at) const T v##i = IN_LOAD(in, offset_in + at);
#define USE(i, at) OUT_STORE(out, offset_out + at, (v##i - mean) * scale + shift);
    EACH(LOAD, USE)
#undef LOAD
#undef USE
}
#endif

#if IS_BACKWARD
#define STATISTICS \
    const T mean = MEAN_LOAD(means, offset_mean + channel); \
    const T scale = 1 / sqrt(VAR_LOAD(vars, offset_var + channel) + eps);

kernel void slopes(global T *sums, global const G_MEMORY *grad, global const IN_MEMORY *in,
        global const MEAN_MEMORY *means, global const VAR_MEMORY *vars, ulong offset_grad,
        ulong offset_in, ulong offset_mean, ulong offset_var, SIZES)
{
    local T a_[GROUP], b_[GROUP];
    PLACED
    STATISTICS
    T a = 0, b = 0;
#define LOAD(i, at) \
    const T g##i = G_LOAD(grad, offset_grad + at), v##i = IN_LOAD(in, offset_in + at);
#define USE(i, at) a += g##i; b += g##i * ((v##i - mean) * scale);
    EACH(LOAD, USE)
#undef LOAD
#undef USE
    STORE_SUMS
}

kernel void gradient(global OUT_MEMORY *out, global T *of_weight, global T *of_bias,
        global const G_MEMORY *grad, global const IN_MEMORY *in, global const MEAN_MEMORY *means,
        global const VAR_MEMORY *vars, global const WEIGHT_MEMORY *weight, global const T *sums,
        ulong offset_out, ulong offset_of_weight, ulong offset_of_bias, ulong offset_grad,
        ulong offset_in, ulong offset_mean, ulong offset_var, ulong offset_weight, SIZES)
{
    PLACED
    STATISTICS
    LOADED_SUMS
    if (part == 0 && item == 0) {
        of_bias[offset_of_bias + channel] = a;
        of_weight[offset_of_weight + channel] = b;
    }
    const T level = a / count, slope = b / count;
    T factor = scale;
#if HAS_WEIGHT
    factor *= WEIGHT_LOAD(weight, offset_weight + channel);
#endif
#define LOAD(i, at) \
    const T g##i = G_LOAD(grad, offset_grad + at), v##i = IN_LOAD(in, offset_in + at);
#define USE(i, at) \
    OUT_STORE(out, offset_out + at, (g##i - level - (v##i - mean) * scale * slope) * factor);
    EACH(LOAD, USE)
#undef LOAD
#undef USE
}
#endif
