// The order in which a factorization's exchanges of rows leave them: a work item has a whole line,
// for each exchange is of what the ones before it left. Of pivots that a user gave, those that are
// no rows are told (fault_of: too small; the number after it: too large).

#if IS_CHECKED
#define FAULTS , global uint *faults
#define FAULT_NUMBER , uint fault_of
#else
#define FAULTS
#define FAULT_NUMBER
#endif

kernel void exchange(global long *order, global const PIVOT_MEMORY *pivots FAULTS, ulong8 offsets,
        ulong lines, ulong count, ulong size FAULT_NUMBER)
{
    int wrong = 0;
    for (ulong line = get_global_id(0); line < lines; line += get_global_size(0)) {
        global long *rows = order + offsets.s0 + line * size;
        global const PIVOT_MEMORY *with = pivots + offsets.s1 + line * count;
        for (ulong i = 0; i < size; i++) rows[i] = (long)i;
        for (ulong i = 0; i < count; i++) {
            const ulong other = (ulong)with[i] - 1;
            if (other >= size) {
                if (!wrong) wrong = with[i] < 1 ? 1 : 2;
                continue;
            }
            const long moved = rows[i];
            rows[i] = rows[other];
            rows[other] = moved;
        }
    }
#if IS_CHECKED
    if (wrong) report(faults, fault_of + (uint)(wrong - 1), 0, 0);
#endif
}
