// Singular values, and vectors, W matrices side by side (see lanes.py): the columns of the matrix, or of its
// conjugate and transposed where it is wide (turned), are made orthogonal by rotations, which are the vectors
// of one side. Those of the other are Q of the QR factorization of what becomes of the matrix, the columns of
// which are in descending order: so they are orthonormal where values are zero too.

kernel void svd(global E_MEMORY *values, global E_MEMORY *left, global E_MEMORY *right,
        global const E_MEMORY *input, global T *memory, global uint *faults, ulong8 begin, ulong8 sizes,
        int has_vectors, int turned, int kept, uint fault_of)
{
    WATCH
    const ulong count = sizes.s0;
    const int high = (int)sizes.s2, n = (int)sizes.s3, lead = (int)sizes.s4, side = has_vectors ? n : 0;
    global N *x = (global N *)memory + get_group_id(0) * sizes.s1;
    global N *v = x + sizes.s5, *y = v + sizes.s6, *q = y + (side ? sizes.s5 : 0), *tau = q + sizes.s7;
    global V *found = (global V *)(tau + n), *rank = found + n;
    global int *slots = (global int *)(rank + n);
    ulong first = get_group_id(0) * W;
    do {
        brought(x, input + begin.s3 * PARTS, first, count, turned ? n : high, turned ? high : n, lead, turned, WHOLE);
        identity(v, side, side, lead);
        SYNC
        V poison;
        const V power = evened(x, high, n, lead, &poison);
        if (ANY(poison != poison)) WRONG(0)
        made_orthogonal(x, v, high, n, side, lead, slots);
        SYNC
        for EACH(j, n) found[j] = sqrt(RE(inner(x + AT(0, j), x + AT(0, j), high, DOWN))) * power + poison;
        SYNC
        ranked(rank, found, n, -1);
        SYNC
        put_reals(values + begin.s0, found, first, count, n, rank);
        SYNC
        for (int l = 0; l < W; l++)
            for EACH(j, side) {
                const int k = (int)((global T *)rank)[j * W + l];
                for (int i = 0; i < high; i++)
                    for (int p = 0; p < PARTS; p++)
                        ((global T *)y)[(AT(i, k) * PARTS + p) * W + l] =
                            ((global T *)x)[(AT(i, j) * PARTS + p) * W + l];
            }
        SYNC
        triangular(y, tau, high, side, lead);
        SYNC
        unpacked(q, y, tau, high, side, kept, lead);
        SYNC
        for EACH(j, kept) {
            V sign = (V)1;
            if (j < n) sign = RE(y[AT(j, j)]) < (V)0 ? (V)-1 : (V)1;
            for (int i = 0; i < high; i++) q[AT(i, j)] = plus(scaled(q[AT(i, j)], sign), of_real(poison));
        }
        SYNC
        put(turned ? right + begin.s2 * PARTS : left + begin.s1 * PARTS, q, first, has_vectors ? count : 0,
            turned ? kept : high, turned ? high : kept, lead, turned, WHOLE, 0);
        SYNC
        put(turned ? left + begin.s1 * PARTS : right + begin.s2 * PARTS, v, first, has_vectors ? count : 0, n, n, lead,
            !turned, WHOLE, rank);
        SYNC
        first += get_num_groups(0) * W;
    } while (first < count);
    REPORT(0)
}
