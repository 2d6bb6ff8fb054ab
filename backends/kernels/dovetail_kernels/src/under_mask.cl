// Rows of n words under a mask, read and written one after the other, on the host's cores.
//
// W: the word. X, IS_SET, CHUNK: of the mask (see found.cl).

#define MOVE_ROW(to, from) for (ulong j = 0; j < n; j++) (to)[j] = (from)[j];

// One work item: rows that are set, zeros behind them, and how many there are.
kernel void rows(global W *out, global ulong *counted, global const W *in, global const uchar *mask,
        ulong8 begin, ulong lines, ulong n)
{
    out += begin.s0;
    in += begin.s2;
    mask += begin.s3;
    ulong kept = 0;
    if (n == 1) {
        for (ulong i = 0; i < lines; i++) {  // without a branch: what is not kept is overwritten
            out[kept] = in[i];
            kept += mask[i] != 0;
        }
    } else {
        for (ulong i = 0; i < lines; i++) {
            if (!mask[i]) continue;
            MOVE_ROW(out + kept * n, in + i * n)
            kept++;
        }
    }
    for (ulong i = kept * n; i < lines * n; i++) out[i] = 0;
    counted[begin.s1] = kept;
}

// Rows written where the mask is set. totals: how many are set in each chunk, where there are several
// work items. A wrong number of rows is reported (see fault.cl), and none is written: is_exact: there must
// be as many as are set, or one for all; else as many at least. copies: out is not the input's own memory.
kernel void put_rows(global W *out, global const W *in, global const uchar *mask, global const W *values,
        global const uint *totals, global uint *faults, ulong8 begin, ulong lines, ulong n, ulong chunks,
        ulong given, int is_exact, uint fault_of, int copies)
{
    out += begin.s0;
    in += begin.s1;
    mask += begin.s2;
    values += begin.s3;
    const ulong share = (chunks - 1) / get_global_size(0) + 1, first = get_global_id(0) * share;
    ulong row = 0, count = 0;
    if (get_global_size(0) > 1) {
        for (ulong c = 0; c < chunks; c++) {
            if (c == min(chunks, first)) row = count;
            count += totals[c];
        }
    } else {
        uint sum = 0;
        for (ulong i = 0; i < lines; i++) sum += mask[i] != 0;
        count = sum;
    }
    const bool is_one = is_exact && given == 1;
    if (!(is_one || (is_exact ? given == count : given >= count))) {
        if (get_global_id(0) == 0) report(faults, fault_of, (long)count, given);
        return;
    }
    const ulong end = min(lines, (first + share) * CHUNK);
    if (n == 1 && !is_one && given) {
        for (ulong i = first * CHUNK; i < end; i++) {  // without a branch
            const bool is_set = mask[i] != 0;
            const W value = values[min(row, given - 1)];
            out[i] = is_set ? value : in[i];
            row += is_set;
        }
        return;
    }
    for (ulong i = first * CHUNK; i < end; i++) {
        if (mask[i]) {
            MOVE_ROW(out + i * n, values + (is_one ? 0 : row) * n)
            row++;
        } else if (copies) {
            MOVE_ROW(out + i * n, in + i * n)
        }
    }
}
