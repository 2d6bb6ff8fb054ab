// The norm of up to MANY tensors together, and what scales, unscales or bounds them, in one launch.
//
// ARGUMENTS: their buffers, p0, p1, ...; POINTERS: the same as a list. Work groups (on a CPU of one work item) take chunks of CHUNK
// elements, of which those of tensor t are numbers chunks.at[t] and on; a tensor that is not there has none.
// ADDED(sum, v), JOINED(a, b), ROOT(sum): what the norm does to an element, to two sums and to the last.

typedef struct { ulong at[MANY]; } Numbers;

#define PLACES Numbers sizes, Numbers at, Numbers chunks, ulong count

// `n` elements of `p` in `begin` and on, for each chunk of this group.
#define EACH_CHUNK(MEMORY) \
    MEMORY *tensors[MANY] = {POINTERS}; \
    int t = 0; \
    for (ulong chunk = get_group_id(0); chunk < count; chunk += get_num_groups(0)) { \
        while (t + 1 < MANY && chunk >= chunks.at[t + 1]) t++; \
        const ulong begin = (chunk - chunks.at[t]) * CHUNK; \
        const uint n = (uint)min((ulong)CHUNK, sizes.at[t] - begin); \
        MEMORY *p = tensors[t] + at.at[t] + begin;

#if IS_NORM || IS_CLIP
static T square_more(T sum, T v) { return sum + v * v; }

static T larger(T a, T b)
{
    return b > a || b != b ? b : a;
}

#define LANES 16

#if GROUP == 1
#define GROUP_SUM(sum)
#define ADD_CHUNK \
    T lane[LANES] = {0}; \
    uint i = 0; \
    for (; i + LANES <= n; i += LANES) \
        for (int l = 0; l < LANES; l++) lane[l] = ADDED(lane[l], IN_LOAD(p, i + l)); \
    for (; i < n; i++) lane[0] = ADDED(lane[0], IN_LOAD(p, i)); \
    for (int half_ = LANES / 2; half_; half_ /= 2) \
        for (int l = 0; l < half_; l++) lane[l] = JOINED(lane[l], lane[l + half_]); \
    sum = JOINED(sum, lane[0]);
#else
#define GROUP_SUM(sum) \
    local T shared_[GROUP]; \
    shared_[get_local_id(0)] = sum; \
    for (uint half_ = GROUP / 2; half_; half_ /= 2) { \
        barrier(CLK_LOCAL_MEM_FENCE); \
        if (get_local_id(0) < half_) { \
            const T other_ = shared_[get_local_id(0) + half_]; \
            shared_[get_local_id(0)] = JOINED(shared_[get_local_id(0)], other_); \
        } \
    } \
    barrier(CLK_LOCAL_MEM_FENCE); \
    sum = shared_[0];
#define ADD_CHUNK for (uint i = get_local_id(0); i < n; i += GROUP) sum = ADDED(sum, IN_LOAD(p, i));
#endif

#endif

#if IS_NORM
// parts: a number for each group, from `first` on; is_all: there is one group, and that is all.
kernel void norm_step(ARGUMENTS, global OUT_MEMORY *out, global T *parts, PLACES, uint first, uint is_all)
{
    T sum = 0;
    EACH_CHUNK(global const IN_MEMORY)
        ADD_CHUNK
    }
    GROUP_SUM(sum)
    if (get_local_id(0) == 0) {
        if (is_all)
            OUT_STORE(out, 0, ROOT(sum));
        else
            parts[first + get_group_id(0)] = sum;
    }
}

kernel void norm_finish(global OUT_MEMORY *out, global const T *parts, uint count)
{
    T sum = 0;
    for (uint i = get_local_id(0); i < count; i += GROUP) sum = JOINED(sum, parts[i]);
    GROUP_SUM(sum)
    if (get_local_id(0) == 0) OUT_STORE(out, 0, ROOT(sum));
}
#endif

#define SHARE(total, share) \
    const T factor_ = most / ((total) + (T)1e-6); \
    const T share = factor_ > 1 ? (T)1 : factor_;
#define SCALE_CHUNK \
    for (uint i = get_local_id(0); i < n; i += GROUP) OUT_STORE(p, i, IN_LOAD(p, i) * share);

#if IS_CLIP
// Both by one work group. A work item scales what it has added up itself.
static T root_of(T sum)
{
    return ROOT(sum);
}

kernel void norm_clip_step(ARGUMENTS, global OUT_MEMORY *out, PLACES, T most)
{
    T sum = 0;
    {
        EACH_CHUNK(global const IN_MEMORY)
            ADD_CHUNK
        }
    }
    GROUP_SUM(sum)
    const T total = root_of(sum);
    if (get_local_id(0) == 0) OUT_STORE(out, 0, total);
    SHARE(total, share)
    EACH_CHUNK(global OUT_MEMORY)
        SCALE_CHUNK
    }
}
#endif

#if IS_SCALE
kernel void norm_scale_step(ARGUMENTS, global const IN_MEMORY *total, PLACES, ulong at_total, T most)
{
    SHARE(IN_LOAD(total, at_total), share)
    EACH_CHUNK(global OUT_MEMORY)
        SCALE_CHUNK
    }
}
#endif

#if IS_BOUND
kernel void bound_step(ARGUMENTS, PLACES, T most)
{
    EACH_CHUNK(global OUT_MEMORY)
        for (uint i = get_local_id(0); i < n; i += GROUP) {
            const T v = IN_LOAD(p, i);
            OUT_STORE(p, i, v < -most ? -most : v > most ? most : v);
        }
    }
}
#endif

#if IS_UNSCALE
// found: a float as its bits, 0 before; 1 where an element was not finite.
kernel void unscale_step(ARGUMENTS, global uint *found, global const float *factor, PLACES, ulong at_found,
        ulong at_factor)
{
    const T by = factor[at_factor];
    uint is_bad = 0;
    EACH_CHUNK(global OUT_MEMORY)
        for (uint i = get_local_id(0); i < n; i += GROUP) {
            const T v = IN_LOAD(p, i);
            is_bad |= v - v != 0;
            OUT_STORE(p, i, v * by);
        }
    }
    if (is_bad) atomic_cmpxchg(found + at_found, 0u, 0x3F800000u);
}
#endif
