// Elements by where they stand. IS_HOT: 1 where the index at `from` is `column`, else 0; one that is no class is
// reported (see fault.cl). Otherwise an element of the input where `column` is `offset` behind `row`, zero elsewhere.

#if IS_HOT
#define MARK(to, from, row, column) { \
        const long given = in[from]; \
        if ((column) == 0 && (ulong)given >= classes) WRONG(given) \
        out[to] = given == (long)(column); \
    }
kernel void marked(global long *out, global const long *in, global uint *faults, ulong8 begin, ulong count PLACES_NUMBERS,
        ulong classes, uint fault_of)
{
    WATCH
#else
#define MARK(to, from, row, column) out[to] = (column) - (row) == offset ? in[(from) + shift] : (WORD)0;
kernel void marked(global WORD *out, global const WORD *in, ulong8 begin, ulong count PLACES_NUMBERS, ulong offset,
        ulong shift)
{
#endif
    out += begin.s0;
    in += begin.s1;
#if PLACES_HAS_RUNS
    PLACES_RUNS(count)
        if (to_step == 1 && column_step == 1 && row_step == 0 && from_step == 0) {  // a row, or its end
#if IS_HOT
            const long given = in[from];
            if (column == 0 && (ulong)given >= classes) WRONG(given)
            for (ulong j = 0; j < run; j++) out[to + j] = given == (long)(column + j);
#else
            for (ulong j = 0; j < run; j++) out[to + j] = 0;
            const ulong at = row + offset - column;
            if (at < run) out[to + at] = in[from + shift];
#endif
        } else {
            for (ulong j = 0; j < run; j++)
                MARK(to + j * to_step, from + j * from_step, row + j * row_step, column + j * column_step)
        }
    PLACES_NEXT
#else
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        PLACES(item)
        MARK(to, from, row, column)
    }
#endif
#if IS_HOT
    REPORT(classes)
#endif
}
