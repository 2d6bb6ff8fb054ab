// Copies between two layouts, converting. OUTER(flat): places `to`, `from`.
//
// A CPU's work item takes apart the place of its first element only, and steps through the loops from
// there, a run of the innermost one at a time.

#define MOVE(to, from) OUT_STORE(out, offset_out + (to), CONVERTED(IN_LOAD(in, offset_in + (from))))

#if !IS_TURNED
kernel void copy(global OUT_MEMORY *out, global const IN_MEMORY *in, ulong offset_out,
        ulong offset_in, ulong count OUTER_NUMBERS)
{
#if OUTER_HAS_RUNS
    OUTER_RUNS(count)
        if (to_step == 1 && from_step == 1) {
            for (ulong j = 0; j < run; j++) MOVE(to + j, from + j);
        } else if (to_step == 1 && from_step == (ulong)-1) {
            for (ulong j = 0; j < run; j++) MOVE(to + j, from - j);
        } else if (to_step == 1 && from_step == 2) {
            for (ulong j = 0; j < run; j++) MOVE(to + j, from + 2 * j);
        } else if (to_step == 1) {
            for (ulong j = 0; j < run; j++) MOVE(to + j, from + j * from_step);
        } else {
            for (ulong j = 0; j < run; j++) MOVE(to + j * to_step, from + j * from_step);
        }
    OUTER_NEXT
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
