// X of triangular systems A X = B (see matrices.cl). A is read where it lies, a chunk of X's columns is in
// memory of a work item's or group's own. size: n, X's columns, nothing, and `wide`.

kernel void triangular(global T *out, global const T *input, global const T *right ROOM_BUFFER, ulong8 begin,
        ulong batch, int4 size, ulong8 steps, int is_upper, int is_unit, int chunk, int chunks BATCH_NUMBERS)
{
    const int n = size.x, columns = size.y, wide = size.w, height = n;
    OWN(x)
    for (ulong item = get_group_id(0); item < batch * chunks; item += get_num_groups(0)) {
        const ulong i = item / chunks;
        const int begins = (int)(item % chunks) * chunk, count = min(chunk, columns - begins);
        BATCH(i)
        global const T *a = input + begin.s1 + p1;
        load(x, wide, right + begin.s2 + p2 + begins * steps.s5, steps.s4, steps.s5, n, count);
        clear(x, wide, n, count);
        SYNC
        for (int step = 0; step < n; step++) {
            const int j = is_upper ? n - 1 - step : step, first = is_upper ? j + 1 : 0;
            PLACE T *row = x + j * wide;
#if IS_CPU
            global const T *known = a + j * steps.s2 + first * steps.s3;
            take_off_all(row, x + first * wide, wide, step, known, steps.s3, 0, count);
#endif
            const T pivot = is_unit ? ONE : a[j * steps.s2 + j * steps.s3];
            EACH(k, 0, count) row[k] = over(row[k], pivot);
            SYNC
#if !IS_CPU
            EACH_ROW(k, is_upper ? 0 : j + 1, is_upper ? j : n)
                take_off(x + k * wide, row, a[k * steps.s2 + j * steps.s3], 0, count);
            SYNC
#endif
        }
        store(x, wide, out + begin.s0 + p0 + begins * steps.s1, steps.s0, steps.s1, n, count);
        SYNC
    }
}
