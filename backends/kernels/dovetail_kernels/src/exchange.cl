// The order in which a factorization's exchanges of rows leave them: a work item has a whole line,
// for each exchange is of what the ones before it left.

kernel void exchange(global long *order, global const PIVOT_MEMORY *pivots, ulong8 offsets,
        ulong lines, ulong count, ulong size)
{
    for (ulong line = get_global_id(0); line < lines; line += get_global_size(0)) {
        global long *rows = order + offsets.s0 + line * size;
        global const PIVOT_MEMORY *with = pivots + offsets.s1 + line * count;
        for (ulong i = 0; i < size; i++) rows[i] = (long)i;
        for (ulong i = 0; i < count; i++) {
            const ulong other = (ulong)with[i] - 1;
            if (other >= size) continue;
            const long moved = rows[i];
            rows[i] = rows[other];
            rows[other] = moved;
        }
    }
}
