// Operands of a product of bfloat16, packed for an instruction that multiplies pairs: panels of
// ACROSS rows (or columns), to[batch][panel][pair][j], where a number of 32 bits is two steps of
// depth. What is past an edge is zero.
//
// WOVEN(from, step, to): WIDTH pairs, which are neighbours in memory, of all lines.

kernel void pack_pairs(global uint *to, global const ushort *in, ulong offset_in, ulong batches,
        ulong lines, ulong depth, ulong step_line, ulong step_depth BATCH_NUMBERS)
{
    const ulong panels = (lines - 1) / ACROSS + 1, pairs = (depth + 1) / 2, whole = depth / 2;
    const ulong step = STEP_LINE;
    for (ulong item = get_global_id(0); item < batches * panels; item += get_global_size(0)) {
        const ulong batch = item / panels, first = item % panels * ACROSS;
        BATCH(batch)
        const int n = (int)min((ulong)ACROSS, lines - first);
        global const ushort *line = in + offset_in + from + first * step;
        global uint *out = to + item * pairs * ACROSS;
        ulong k = 0;
        if (n == ACROSS) {
#if IS_WOVEN
            for (; k + WIDTH <= whole; k += WIDTH) WOVEN(line + 2 * k, step, out + k * ACROSS)
#endif
            for (; k < whole; k++) {
                global const ushort *p = line + 2 * k * step_depth, *q = p + step_depth;
                for (int j = 0; j < ACROSS; j++)
                    out[k * ACROSS + j] = (uint)p[j * step] | (uint)q[j * step] << 16;
            }
        }
        for (; k < pairs; k++) {
            global const ushort *p = line + 2 * k * step_depth;
            for (int j = 0; j < ACROSS; j++) {
                const uint second = j < n && k < whole ? p[j * step + step_depth] : 0;
                out[k * ACROSS + j] = j < n ? p[j * step] | second << 16 : 0u;
            }
        }
    }
}
