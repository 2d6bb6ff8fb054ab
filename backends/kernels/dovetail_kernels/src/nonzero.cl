// Places of elements that are not zero, of dense tensors on the host's cores: each work item has some
// chunks, in which it counts them, and writes them where those of the chunks before it end.
//
// NDIM: dims. CHUNK, IS_SET: see found.cl. counts: the one work item leaves the count in the place of
// totals, and zeros in rows that nothing was found for.

kernel void nonzero(global long *out, global uint *totals, global const X_MEMORY *in, ulong offset_out,
        ulong offset_totals, ulong offset_in, ulong count, ulong chunks, ulong most, ulong counts, ulong8 size)
{
    const ulong share = (chunks - 1) / get_global_size(0) + 1, first = get_global_id(0) * share;
    ulong row = 0;
    for (ulong c = 0; c < min(chunks, first); c++) row += totals[c];
    ulong n[8], outer[8];
    vstore8(size, 0, n);
    ushort at[CHUNK + 1];
    for (ulong c = first; c < min(chunks, first + share); c++) {
        global const X_MEMORY *from = in + offset_in + c * CHUNK;
        const int length = (int)min((ulong)CHUNK, count - c * CHUNK);
        int kept = 0;
        for (int i = 0; i < length; i++) {  // without a branch: what is not kept is overwritten
            at[kept] = (ushort)i;
            kept += IS_SET(X_LOAD(from, i)) != 0;
        }
        kept = (int)min((ulong)kept, most - min(most, row));
        global long *to = out + offset_out + row * NDIM;
        const long begin = c * CHUNK;
#if NDIM == 1
        for (int k = 0; k < kept; k++) to[k] = begin + at[k];
#else
        const ulong last = n[NDIM - 1];
        ulong line = 0, line_end = 0;
        for (int k = 0; k < kept; k++, to += NDIM) {
            const ulong place = begin + at[k];
            if (place >= line_end) {
                ulong left = place / last;
                line = left * last;
                line_end = line + last;
                for (int d = NDIM - 2; d >= 0; d--) {
                    outer[d] = left % n[d];
                    left /= n[d];
                }
            }
            for (int d = 0; d < NDIM - 1; d++) to[d] = outer[d];
            to[NDIM - 1] = place - line;
        }
#endif
        row += kept;
    }
    if (counts) {
        ((global ulong *)totals)[offset_totals] = row;
        for (ulong i = row * NDIM; i < most * NDIM; i++) out[offset_out + i] = 0;
    }
}
