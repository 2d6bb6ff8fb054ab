// Eigenvalues of Hermitian matrices, and eigenvectors, W matrices side by side (see lanes.py), by rotations.

kernel void eigh(global E_MEMORY *values, global E_MEMORY *vectors, global const E_MEMORY *input,
        global T *memory, ulong8 begin, ulong8 sizes, int has_vectors, int part)
{
    const ulong count = sizes.s0;
    const int n = (int)sizes.s2, lead = n, side = has_vectors ? n : 0;
    global N *a = (global N *)memory + get_group_id(0) * sizes.s1;
    global N *v = a + n * n, *room = v + side * n;
    global V *found = (global V *)(room + 2 * (n + 1)), *rank = found + n;
    global int *slots = (global int *)(rank + n);
    ulong first = get_group_id(0) * W;
    do {
        brought(a, input + begin.s2 * PARTS, first, count, n, n, lead, 0, part);
        identity(v, side, side, lead);
        SYNC
        V poison;
        const V power = evened(a, n, n, lead, &poison);
        SYNC
        made_diagonal(a, v, n, side, lead, room, slots);
        SYNC
        for EACH(j, n) {
            found[j] = RE(a[AT(j, j)]) * power + poison;
            for (int i = 0; i < side; i++) v[AT(i, j)] = plus(v[AT(i, j)], of_real(poison));
        }
        SYNC
        ranked(rank, found, n, 1);
        SYNC
        put_reals(values + begin.s0, found, first, count, n, rank);
        SYNC
        put(vectors + begin.s1 * PARTS, v, first, has_vectors ? count : 0, n, n, lead, 0, WHOLE, rank);
        SYNC
        first += get_num_groups(0) * W;
    } while (first < count);
}
