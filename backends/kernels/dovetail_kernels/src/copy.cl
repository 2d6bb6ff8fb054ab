// Copies between two layouts, converting. OUTER(flat): places `to`, `from`.
//
// HAS_LOOPS: the loops are arguments. Then a CPU's work item takes apart the place of its first
// element only, and steps through the loops from there, a run of the innermost one at a time.

#define MOVE(to, from) OUT_STORE(out, offset_out + (to), CONVERTED(IN_LOAD(in, offset_in + (from))))

kernel void copy(global OUT_MEMORY *out, global const IN_MEMORY *in, ulong offset_out,
        ulong offset_in, ulong count OUTER_NUMBERS)
{
#if IS_CPU && HAS_LOOPS
    const ulong share = (count - 1) / get_global_size(0) + 1;
    const ulong begin = get_global_id(0) * share, end = min(count, begin + share);
    ulong size[8], step_to[8], step_from[8], at[8];
    vstore8(c_size, 0, size);
    vstore8(c_stride0, 0, step_to);
    vstore8(c_stride1, 0, step_from);
    const int last = c_ndim - 1;
    const ulong across = step_to[last], along = step_from[last];
    ulong to = 0, from = 0, left = begin;
    for (int d = last; d >= 0; d--) {
        at[d] = left % size[d];
        left /= size[d];
        to += at[d] * step_to[d];
        from += at[d] * step_from[d];
    }
    for (ulong item = begin; item < end;) {
        const ulong run = min(size[last] - at[last], end - item);
        if (across == 1 && along == 1) {
            for (ulong j = 0; j < run; j++) MOVE(to + j, from + j);
        } else if (across == 1) {
            for (ulong j = 0; j < run; j++) MOVE(to + j, from + j * along);
        } else {
            for (ulong j = 0; j < run; j++) MOVE(to + j * across, from + j * along);
        }
        item += run;
        to -= at[last] * across;
        from -= at[last] * along;
        at[last] = 0;
        for (int d = last - 1; d >= 0; d--) {
            to += step_to[d];
            from += step_from[d];
            if (++at[d] < size[d]) break;
            to -= size[d] * step_to[d];
            from -= size[d] * step_from[d];
            at[d] = 0;
        }
    }
#else
    const ulong share = (count - 1) / get_global_size(0) + 1;
    for (ulong j = 0; j < share; j++) {
#if IS_CPU
        const ulong item = get_global_id(0) * share + j;
#else
        const ulong item = j * get_global_size(0) + get_global_id(0);
#endif
        if (item >= count) break;
        OUTER(item)
        MOVE(to, from);
    }
#endif
}
