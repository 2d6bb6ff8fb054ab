// QR factorizations, W matrices side by side (see lanes.py): LAPACK's geqrf (out: what it leaves, tau), or Q of
// `kept` columns and R of `high` rows.

kernel void qr(global E_MEMORY *out, global E_MEMORY *other, global const E_MEMORY *input, global T *memory,
        ulong8 begin, ulong8 sizes, int is_packed, int kept, int high)
{
    const ulong count = sizes.s0;
    const int rows = (int)sizes.s2, columns = (int)sizes.s3, lead = (int)sizes.s4;
    global N *a = (global N *)memory + get_group_id(0) * sizes.s1;
    global N *q = a + sizes.s5, *tau = q + sizes.s6;
    const int least = SMALLEST(rows, columns);
    ulong first = get_group_id(0) * W;
    do {
        brought(a, input + begin.s2 * PARTS, first, count, rows, columns, lead, 0, WHOLE);
        SYNC
        triangular(a, tau, rows, columns, lead);
        SYNC
        put(is_packed ? out + begin.s0 * PARTS : other + begin.s1 * PARTS, a, first, count,
            is_packed ? rows : high, columns, lead, 0, is_packed ? WHOLE : UPPER, 0);
        SYNC
        for (int l = 0; l < W && first + l < count && is_packed; l++)
            for EACH(e, least * PARTS)
                E_STORE(other, (begin.s1 + (first + l) * least) * PARTS + e, ((global T *)tau)[e * W + l]);
        SYNC
        unpacked(q, a, tau, rows, least, kept, lead);
        SYNC
        put(out + begin.s0 * PARTS, q, first, kept ? count : 0, rows, kept, lead, 0, WHOLE, 0);
        SYNC
        first += get_num_groups(0) * W;
    } while (first < count);
}
