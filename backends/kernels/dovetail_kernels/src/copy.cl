// Copies between two layouts, converting. OUTER(flat): places `to`, `from`.
//
// HAS_LOOPS: the loops are arguments. Then a CPU's work item takes apart the place of its first
// element only, and steps through the loops from there, a run of the innermost one at a time.

#define MOVE(to, from) OUT_STORE(out, offset_out + (to), CONVERTED(IN_LOAD(in, offset_in + (from))))

#if !IS_TURNED
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
#endif

#if IS_TURNED
// A matrix transposed tile by tile in registers: in[c * from_step + r] goes to out[r * to_step + c].
// TURN(p, q): reads SIDE vectors that are from_step apart, writes as many that are to_step apart.
// A work item goes through strips of `height` lines of the output, for what lies beside each other
// in memory is read and written one after another; `ahead`: from a tile to the next in the input.
kernel void turned(global WORD *out, global const WORD *in, ulong offset_out, ulong offset_in,
        ulong count, ulong lines, ulong columns, ulong to_step, ulong from_step, ulong height,
        ulong ahead OUTER_NUMBERS)
{
    const ulong strips = (lines - 1) / height + 1, tiles = (columns - 1) / SIDE + 1;
    const ulong items = count * strips * tiles, share = (items - 1) / get_global_size(0) + 1;
    const ulong end = min(items, share * (get_global_id(0) + 1));
    for (ulong item = share * get_global_id(0); item < end; item++) {
        const ulong line = item / tiles % strips * height, column = item % tiles * SIDE;
        const ulong last = min(lines, line + height), behind = min(columns, column + SIDE);
        OUTER(item / tiles / strips)
        global WORD *q = out + offset_out + to;
        global const WORD *p = in + offset_in + from;
        ulong r = line;
        if (column + SIDE <= columns)
            for (; r + SIDE <= last; r += SIDE)
                TURN((p + column * from_step + r), (q + r * to_step + column))
        for (; r < last; r++)
            for (ulong c = column; c < behind; c++) q[r * to_step + c] = p[c * from_step + r];
    }
}
#endif
