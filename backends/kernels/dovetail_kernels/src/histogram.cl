// How many elements fall into each of `bins` equal parts of low to high; NaN falls nowhere.
//
// T: what places are computed in. On the host's cores a work item counts in memory of its own, and `added`
// adds up what they have; IS_WHOLE: there is but one. On a GPU all count in the same, by atomics.
// IS_OWN: low and high are the smallest and the largest element, which `ends` has found part by part unless
// IS_WHOLE; what is not finite among them is reported (see fault.cl).

#define PLACE(x) max(min((int)((x - low) * (T)bins / (high - low)), bins - 1), 0)

#if IS_OWN
#define LOWER(a, b) (((b) < (a)) | ((b) != (b)) ? (b) : (a))
#define HIGHER(a, b) (((b) > (a)) | ((b) != (b)) ? (b) : (a))
#define LANES 16

// The ends of a work item's share of n elements; of a group's on a GPU.
#if IS_CPU
#define FIND_ENDS(x, n) \
    T low = INFINITY, high = -INFINITY; \
    { \
        const ulong share_ = SHARE(ulong, n), first_ = share_ * get_global_id(0), end_ = min(n, first_ + share_); \
        T low_[LANES], high_[LANES]; \
        for (int l = 0; l < LANES; l++) { \
            low_[l] = INFINITY; \
            high_[l] = -INFINITY; \
        } \
        ulong i = first_; \
        for (; i + LANES <= end_; i += LANES) \
            for (int l = 0; l < LANES; l++) { \
                const T v = OUT_LOAD(x, i + l); \
                low_[l] = LOWER(low_[l], v); \
                high_[l] = HIGHER(high_[l], v); \
            } \
        for (; i < end_; i++) { \
            const T v = OUT_LOAD(x, i); \
            low_[0] = LOWER(low_[0], v); \
            high_[0] = HIGHER(high_[0], v); \
        } \
        for (int l = 0; l < LANES; l++) { \
            low = LOWER(low, low_[l]); \
            high = HIGHER(high, high_[l]); \
        } \
    }
#else
#define FIND_ENDS(x, n) \
    TEAM_MEMORY \
    T low = INFINITY, high = -INFINITY; \
    for (ulong i = get_global_id(0); i < n; i += get_global_size(0)) { \
        const T v = OUT_LOAD(x, i); \
        low = LOWER(low, v); \
        high = HIGHER(high, v); \
    } \
    GROUP_FOLD(low, LOWER) \
    GROUP_FOLD(high, HIGHER)
#endif

kernel void ends(global T *found, global const OUT_MEMORY *in, ulong8 begin, ulong n)
{
    global const OUT_MEMORY *x = in + begin.s1;
    FIND_ENDS(x, n)
    if (get_local_id(0) == 0) {
        found[2 * get_group_id(0)] = low;
        found[2 * get_group_id(0) + 1] = high;
    }
}

#define OWN_BUFFERS , global const T *found, global uint *faults
#define NUMBERS ulong n, int bins, int parts, uint fault_of
#if IS_WHOLE
#define ENDS global const OUT_MEMORY *x = in + begin.s1; FIND_ENDS(x, n)
#else
#define ENDS \
    T low = found[0], high = found[1]; \
    for (int part = 1; part < parts; part++) { \
        low = LOWER(low, found[2 * part]); \
        high = HIGHER(high, found[2 * part + 1]); \
    }
#endif
#define GIVE_ENDS \
    ENDS \
    if (n && !(low > -INFINITY && high < INFINITY)) { \
        if (get_global_id(0) == 0) \
            report(faults, fault_of, (long)as_uint((float)low), (ulong)as_uint((float)high)); \
        low = high = NAN; \
    } \
    if (low == high) { \
        low -= 1; \
        high += 1; \
    }
#else
#define OWN_BUFFERS
#define NUMBERS ulong n, int bins, T low, T high
#define GIVE_ENDS
#endif

#if IS_CPU
kernel void counted(global OUT_MEMORY *out, global uint *counts, global const OUT_MEMORY *in OWN_BUFFERS,
        ulong8 begin, NUMBERS)
{
    GIVE_ENDS
    const ulong share = SHARE(ulong, n), end = min(n, share * (get_global_id(0) + 1));
    global uint *own = counts + get_global_id(0) * bins;
    for (int k = 0; k < bins; k++) own[k] = 0;
    for (ulong i = share * get_global_id(0); i < end; i++) {
        const T x = OUT_LOAD(in, begin.s1 + i);
        if (x >= low && x <= high) own[PLACE(x)]++;
    }
#if IS_WHOLE
    for (int k = 0; k < bins; k++) OUT_STORE(out, begin.s0 + k, (OUT_VALUE)own[k]);
#endif
}
#else
kernel void nothing(global uint *counts, int bins)
{
    for (int k = get_global_id(0); k < bins; k += get_global_size(0)) counts[k] = 0;
}

kernel void counted(global OUT_MEMORY *out, global uint *counts, global const OUT_MEMORY *in OWN_BUFFERS,
        ulong8 begin, NUMBERS)
{
    GIVE_ENDS
#if IS_WHOLE
    for (int k = get_local_id(0); k < bins; k += get_local_size(0)) counts[k] = 0;
    barrier(CLK_GLOBAL_MEM_FENCE);
#endif
    for (ulong i = get_global_id(0); i < n; i += get_global_size(0)) {
        const T x = OUT_LOAD(in, begin.s1 + i);
        if (!(x >= low && x <= high)) continue;
        volatile global uint *word = (volatile global uint *)(counts + PLACE(x));
        uint old = 0, seen;  // a guess: what is there is read by atomics only
        do {
            seen = old;
            old = atomic_cmpxchg(word, seen, seen + 1);
        } while (old != seen);
    }
#if IS_WHOLE
    barrier(CLK_GLOBAL_MEM_FENCE);
    for (int k = get_local_id(0); k < bins; k += get_local_size(0))
        OUT_STORE(out, begin.s0 + k, (OUT_VALUE)((volatile global uint *)counts)[k]);
#endif
}
#endif

kernel void added(global OUT_MEMORY *out, global const uint *counts, ulong8 begin, int bins, int parts)
{
    for (int k = get_global_id(0); k < bins; k += get_global_size(0)) {
        uint sum = 0;
        for (int part = 0; part < parts; part++) sum += counts[(ulong)part * bins + k];
        OUT_STORE(out, begin.s0 + k, (OUT_VALUE)sum);
    }
}
