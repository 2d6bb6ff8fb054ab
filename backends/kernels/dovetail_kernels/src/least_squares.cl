// Solutions of systems of full rank by the QR factorization of the matrix, or of its conjugate and transposed
// where it is wide (turned), W matrices side by side (see lanes.py): LAPACK's gels.

kernel void least_squares(global E_MEMORY *out, global const E_MEMORY *input, global const E_MEMORY *other,
        global T *memory, ulong8 begin, ulong8 sizes, int turned, int right)
{
    const ulong count = sizes.s0;
    const int high = (int)sizes.s2, n = (int)sizes.s3, lead = (int)sizes.s4;
    global N *a = (global N *)memory + get_group_id(0) * sizes.s1;
    global N *b = a + sizes.s5, *tau = b + sizes.s6;
    ulong first = get_group_id(0) * W;
    do {
        brought(a, input + begin.s1 * PARTS, first, count, turned ? n : high, turned ? high : n, lead, turned, WHOLE);
        brought(b, other + begin.s2 * PARTS, first, count, turned ? n : high, right, lead, 0, WHOLE);
        SYNC
        triangular(a, tau, high, n, lead);
        SYNC
        for EACH(r, right) {
            global N *x = b + AT(0, r);
            if (!turned) passed(x, a, tau, high, n, lead, 1);
            for (int k = 0; k < n; k++) {
                const int i = turned ? k : n - 1 - k;
                // Of the lower triangle what is before is known; of the upper one it is taken away from the rest.
                const N before = inner(a + AT(0, i), x, turned ? i : 0, DOWN);
                const N found = scaled(minus(x[i * DOWN], before), (V)1 / RE(a[AT(i, i)]));
                x[i * DOWN] = found;
                for (int j = 0; j < (turned ? 0 : i); j++)
                    x[j * DOWN] = minus(x[j * DOWN], times(a[AT(j, i)], found));
            }
            if (turned) {
                for (int i = n; i < high; i++) x[i * DOWN] = of_real((V)0);
                passed(x, a, tau, high, n, lead, 0);
            }
        }
        SYNC
        put(out + begin.s0 * PARTS, b, first, count, turned ? high : n, right, lead, 0, WHOLE, 0);
        SYNC
        first += get_num_groups(0) * W;
    } while (first < count);
}
