// How many elements fall into each of `bins` equal parts of low to high; NaN falls nowhere.
//
// T: what places are computed in. On the host's cores a work item counts in memory of its own, and `added`
// adds up what they have; IS_WHOLE: there is but one. On a GPU all count in the same, by atomics.

#define PLACE(x) min((int)((x - low) * (T)bins / (high - low)), bins - 1)

#if IS_CPU
kernel void counted(global OUT_MEMORY *out, global uint *counts, global const OUT_MEMORY *in, ulong8 begin,
        ulong n, int bins, T low, T high)
{
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

kernel void counted(global OUT_MEMORY *out, global uint *counts, global const OUT_MEMORY *in, ulong8 begin,
        ulong n, int bins, T low, T high)
{
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
