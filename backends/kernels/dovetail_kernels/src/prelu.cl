// The gradients of prelu for its input and its weight. A work group (on a CPU of one work item) takes a
// channel: of `outer` parts of `inner` elements, `channels` parts apart, of `total` in all.
//
// step: 1 where each channel has a weight; 0: there is one, and channels are shares of the input,
// whose sums `prelu_finish` puts together.

#define LANES 8

#if GROUP == 1
#define GROUP_SUM(sum)
#else
#define GROUP_SUM(sum) { \
        barrier(CLK_LOCAL_MEM_FENCE); \
        shared_[get_local_id(0)] = sum; \
        for (uint half_ = GROUP / 2; half_; half_ /= 2) { \
            barrier(CLK_LOCAL_MEM_FENCE); \
            if (get_local_id(0) < half_) \
                shared_[get_local_id(0)] += shared_[get_local_id(0) + half_]; \
        } \
        sum = shared_[0]; \
    }
#endif

#define TAKE(sum, place) { \
        const T x_ = IN_LOAD(input, place), g_ = IN_LOAD(grad, place); \
        OUT_STORE(out, begin.s0 + (place), x_ > 0 ? g_ : g_ * w); \
        sum += x_ > 0 ? (T)0 : g_ * x_; \
    }

kernel void prelu_backward(global OUT_MEMORY *out, global SUM_MEMORY *sums,
        global const IN_MEMORY *grad, global const IN_MEMORY *input,
        global const IN_MEMORY *weight, ulong8 begin, ulong8 sizes)
{
#if GROUP > 1
    local T shared_[GROUP];
#endif
    const ulong outer = sizes.s0, channels = sizes.s1, inner = sizes.s2, total = sizes.s3;
    const ulong step = sizes.s4;
    grad += begin.s2;
    input += begin.s3;
    for (ulong c = get_group_id(0); c < channels; c += get_num_groups(0)) {
        const T w = IN_LOAD(weight, begin.s4 + c * step);
        T sum = 0;
#if GROUP == 1
        for (ulong o = 0; o < outer; o++) {
            const ulong first = (o * channels + c) * inner;
            const ulong n = first < total ? min(inner, total - first) : 0;
            for (ulong i = 0; i < n;) {
                const ulong stop = min(n, i + 4096);
                T lane[LANES] = {0};
                for (; i + LANES <= stop; i += LANES)
                    for (int l = 0; l < LANES; l++) TAKE(lane[l], first + i + l)
                for (; i < stop; i++) TAKE(lane[0], first + i)
                for (int half_ = LANES / 2; half_; half_ /= 2)
                    for (int l = 0; l < half_; l++) lane[l] += lane[l + half_];
                sum += lane[0];
            }
        }
#else
        for (ulong j = get_local_id(0); j < outer * inner; j += GROUP) {
            const ulong place = (j / inner * channels + c) * inner + j % inner;
            if (place < total) TAKE(sum, place)
        }
#endif
        GROUP_SUM(sum)
        if (get_local_id(0) == 0) SUM_STORE(sums, begin.s1 + c, sum);
    }
}

kernel void prelu_finish(global OUT_MEMORY *of_weight, global const T *parts, ulong8 begin, uint count)
{
    T sum = 0;
    for (uint i = 0; i < count; i++) sum += parts[i];
    OUT_STORE(of_weight, begin.s0, sum);
}
