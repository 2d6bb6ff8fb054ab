// Pseudo-inverses, or what they make of other matrices (columns: of either), W matrices side by side (see
// lanes.py), by the rotations that make columns orthogonal (see svd.cl): with A V = X and s the norms of X's
// columns, the sum of v x^H / s^2 over those that are larger than `limit`, or
// else than `least` and than `share` of the largest.

kernel void pseudo_inverse(global E_MEMORY *out, global const E_MEMORY *input, global const E_MEMORY *other,
        global const E_MEMORY *limit, global T *memory, global uint *faults, ulong8 begin, ulong8 sizes,
        int turned, int part, int columns, int is_inverse, int has_limit, T least, T share, uint fault_of)
{
    WATCH
    const ulong count = sizes.s0;
    const int high = (int)sizes.s2, n = (int)sizes.s3, lead = (int)sizes.s4;
    global N *x = (global N *)memory + get_group_id(0) * sizes.s1;
    global N *b = x + sizes.s5, *c = b + sizes.s6, *y = c + sizes.s7, *v = y + sizes.s6;
    global V *bound = (global V *)(v + n * lead);
    global V *found = bound + 1;
    global int *slots = (global int *)(found + n);
    global N *to = turned ? x : v, *from = turned ? v : x;
    const int made = turned ? high : n, read = turned ? n : high;
    ulong first = get_group_id(0) * W;
    do {
        brought(x, input + begin.s1 * PARTS, first, count, turned ? n : high, turned ? high : n, lead, turned, part);
        if (!is_inverse) brought(b, other + begin.s2 * PARTS, first, count, read, columns, lead, 0, WHOLE);
        identity(v, n, n, lead);
        for EACH(l, has_limit ? W : 0) {
            const ulong matrix = first + l < count ? first + l : count - 1;
            ((global T *)bound)[l] = (T)E_LOAD(limit, begin.s3 + matrix);
        }
        SYNC
        V poison;
        const V power = evened(x, high, n, lead, &poison);
        if (ANY(poison != poison)) WRONG(0)
        made_orthogonal(x, v, high, n, n, lead, slots);
        SYNC
        for EACH(j, n) found[j] = sqrt(RE(inner(x + AT(0, j), x + AT(0, j), high, DOWN))) + poison;
        SYNC
        V most = (V)0;
        for (int j = 0; j < n; j++) most = LARGEST(found[j], most);
        most *= power * share;
        const V beyond = has_limit ? bound[0] : LARGEST(most, (V)least);
        for EACH(j, n) {
            const V inverted = found[j] * power > beyond ? (V)1 / found[j] : (V)0;
            for (int i = 0; i < high; i++) x[AT(i, j)] = scaled(x[AT(i, j)], inverted);
            for (int i = 0; i < n; i++) v[AT(i, j)] = scaled(v[AT(i, j)], inverted);
        }
        SYNC
        for EACH(r, columns) {
            for (int j = 0; j < n; j++) {
                const N sum = is_inverse ? conjugate(from[AT(r, j)])
                    : inner(from + AT(0, j), b + AT(0, r), read, DOWN);
                c[AT(j, r)] = scaled(sum, (V)1 / power);
            }
            for (int i = 0; i < made; i++) {
                N sum = of_real((V)0);
                for (int j = 0; j < n; j++) sum = plus(sum, times(to[AT(i, j)], c[AT(j, r)]));
                y[AT(i, r)] = sum;
            }
        }
        SYNC
        put(out + begin.s0 * PARTS, y, first, count, made, columns, lead, 0, WHOLE, 0);
        SYNC
        first += get_num_groups(0) * W;
    } while (first < count);
    REPORT(0)
}
