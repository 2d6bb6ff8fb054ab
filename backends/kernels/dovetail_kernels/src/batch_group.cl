// batch_norm on GPUs: the elements of a channel are shared out among `parts` work groups, in two
// launches. The first one sums each part, the second adds the parts up, in one order in every
// group, and goes through the elements once more.
//
// GROUP: work items of a group. Elements of a channel are numbered 0 … count - 1 through all images.

// HAS_RUNNING: see batch_norm.cl.

#define SIZES int n, int channels, int count, int parts, int chunk, T eps

#define PLACED \
    const int item = (int)get_local_id(0), group = (int)get_group_id(0); \
    const int channel = group / parts, part = group % parts; \
    const int first = part * chunk + item, end = min(count, (part + 1) * chunk); \
    int place = first % n, at = (first / n * channels + channel) * n + place; \
    const int step_place = GROUP % n, step_at = GROUP / n * channels * n + step_place; \
    const int jump = (channels - 1) * n; \
    int k = first;

// Elements of part i.
#define PART_COUNT(i) (T)(min(count, ((i) + 1) * chunk) - (i) * chunk)

#define NEXT { \
        k += GROUP; \
        place += step_place; \
        at += step_at; \
        if (place >= n) { place -= n; at += jump; } \
    }

// Every element of the part: LOAD(name, at) for four of them before FOUR, and for the last ones before
// each ONE, which are in terms of the elements' USE(name, at), or of the loaded.
#define FOUR USE(0, at0) USE(1, at1) USE(2, at2) USE(3, at3)
#define ONE USE(0, at0)
#define EACH(LOAD, FOUR, ONE) \
    while (k + 3 * GROUP < end) { \
        const int at0 = at; LOAD(0, at0) NEXT \
        const int at1 = at; LOAD(1, at1) NEXT \
        const int at2 = at; LOAD(2, at2) NEXT \
        const int at3 = at; LOAD(3, at3) NEXT \
        FOUR \
    } \
    while (k < end) { \
        const int at0 = at; LOAD(0, at0) NEXT \
        ONE \
    }

#define GROUP_SUM(of_item, x) \
    of_item[item] = x; \
    barrier(CLK_LOCAL_MEM_FENCE); \
    for (int half_ = GROUP / 2; half_; half_ /= 2) { \
        if (item < half_) of_item[item] += of_item[item + half_]; \
        barrier(CLK_LOCAL_MEM_FENCE); \
    }

#if IS_TRAIN
// A part's mean, and the sum of the squared distances from it. Each item goes on from the moments of
// its elements so far to those with four more (Chan, Golub and LeVeque), relative to its first one:
// neither a large mean nor an element far off cancels what is small.
kernel void moments(global T *sums, global const IN_MEMORY *in, ulong offset_in, SIZES)
{
    local T a_[GROUP], b_[GROUP];
    PLACED
    const T origin = k < end ? IN_LOAD(in, offset_in + at) : (T)0;
    T seen = 0, mean = 0, squares = 0;
#define LOAD(i, at) const T v##i = IN_LOAD(in, offset_in + at) - origin;
#define MERGE(count, middle, inside) { \
        const T step_ = (middle) - mean, all_ = seen + (count); \
        mean += step_ * ((count) / all_); \
        squares += (inside) + step_ * step_ * (seen * (count) / all_); \
        seen = all_; \
    }
#define MERGE_FOUR { \
        const T middle = ((v0 + v1) + (v2 + v3)) / 4; \
        const T d0 = v0 - middle, d1 = v1 - middle, d2 = v2 - middle, d3 = v3 - middle; \
        MERGE((T)4, middle, (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)) \
    }
    EACH(LOAD, MERGE_FOUR, MERGE((T)1, v0, (T)0))
#undef LOAD
    mean += origin;
    GROUP_SUM(a_, seen * mean)
    const T whole = a_[0] / PART_COUNT(part);
    GROUP_SUM(b_, squares + seen * (mean - whole) * (mean - whole))
    if (item == 0) { sums[2 * group] = whole; sums[2 * group + 1] = b_[0]; }
}

#if HAS_RUNNING
#define RUNNING_BUFFERS , global T *running_mean, global T *running_var, global long *counter
#define RUNNING_NUMBERS , ulong place_of_counter, SHARES shares
#else
#define RUNNING_BUFFERS
#define RUNNING_NUMBERS
#endif

kernel void normal(global OUT_MEMORY *out, global T *means, global T *vars,
        global const IN_MEMORY *in, global const WEIGHT_MEMORY *weight,
        global const BIAS_MEMORY *bias, global const T *sums RUNNING_BUFFERS, ulong8 offsets, SIZES
        RUNNING_NUMBERS)
{
    const ulong offset_out = offsets.s0, offset_mean = offsets.s1, offset_var = offsets.s2;
    const ulong offset_in = offsets.s3, offset_weight = offsets.s4, offset_bias = offsets.s5;
    PLACED
    T mean = 0, var = 0;
    for (int i = 0; i < parts; i++)
        mean += sums[2 * (channel * parts + i)] * PART_COUNT(i);
    mean /= count;
    for (int i = 0; i < parts; i++) {
        const T off = sums[2 * (channel * parts + i)] - mean;
        var += sums[2 * (channel * parts + i) + 1] + off * off * PART_COUNT(i);
    }
    var /= count;
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
#if HAS_RUNNING
        const ulong at_mean = offsets.s6 + channel, at_var = offsets.s7 + channel;
        running_mean[at_mean] = running_mean[at_mean] * shares.s0 + mean * shares.s1;
        running_var[at_var] = running_var[at_var] * shares.s0 + var * shares.s2;
        if (shares.s3 && channel == 0) counter[place_of_counter]++;
#endif
    }
#define LOAD(i, at) const T v##i = IN_LOAD(in, offset_in + at);
#define USE(i, at) OUT_STORE(out, offset_out + at, (v##i - mean) * scale + shift);
    EACH(LOAD, FOUR, ONE)
#undef LOAD
#undef USE
}
#endif

#if IS_BACKWARD
#define LOADED_SUMS \
    T a = 0, b = 0; \
    for (int i = 0; i < parts; i++) { \
        a += sums[2 * (channel * parts + i)]; \
        b += sums[2 * (channel * parts + i) + 1]; \
    }

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
    EACH(LOAD, FOUR, ONE)
#undef LOAD
#undef USE
    GROUP_SUM(a_, a)
    GROUP_SUM(b_, b)
    if (item == 0) { sums[2 * group] = a_[0]; sums[2 * group + 1] = b_[0]; }
}

kernel void gradient(global OUT_MEMORY *out, global T *of_weight, global T *of_bias,
        global const G_MEMORY *grad, global const IN_MEMORY *in, global const MEAN_MEMORY *means,
        global const VAR_MEMORY *vars, global const WEIGHT_MEMORY *weight, global const T *sums,
        ulong8 offsets, SIZES)
{
    const ulong offset_out = offsets.s0, offset_of_weight = offsets.s1, offset_of_bias = offsets.s2;
    const ulong offset_grad = offsets.s3, offset_in = offsets.s4, offset_mean = offsets.s5;
    const ulong offset_var = offsets.s6, offset_weight = offsets.s7;
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
    EACH(LOAD, FOUR, ONE)
#undef LOAD
#undef USE
}
#endif
