// U with A = U^H U of positive-definite matrices, row by row (see matrices.cl). size: n, n, n and `wide`.

kernel void cholesky(global T *out, global int *info, global const T *input ROOM_BUFFER, ulong8 begin,
        ulong batch, int4 size, ulong8 steps, int is_upper BATCH_NUMBERS)
{
    const int n = size.x, wide = size.w, height = n;
    OWN(a)
    for (ulong item = get_group_id(0); item < batch; item += get_num_groups(0)) {
        BATCH(item)
        global const T *from = input + begin.s2 + p2;
        global T *to = out + begin.s0 + p0;
        EACH_PLACE(i, k, n, n) {
            const T v = i <= k ? from[i * steps.s4 + k * steps.s5] : ZERO;
            a[i * wide + k] = is_upper ? v : TURNED(v);
        }
        clear(a, wide, n, n);
        SYNC
        int bad = 0;
        for (int j = 0; j < n; j++) {
            PLACE T *row = a + j * wide;
#if IS_CPU
            const int first = j / NUMBERS * NUMBERS;
            take_off_all(row + first, a + first, wide, j, a + j, wide, 1, n - first);
#endif
            const R square = REAL(row[j]);
            if (!bad && !(square > 0)) bad = j + 1;
            const R root = sqrt(square);
            const int end = bad ? 0 : n;
            SYNC
#if IS_COMPLEX
            EACH(k, j, end) row[k] = k == j ? PAIR(root, 0) : PAIR(row[k].x / root, row[k].y / root);
#else
            EACH(k, j, end) row[k] = k == j ? root : row[k] / root;
#endif
            SYNC
#if !IS_CPU
            EACH_ROW(i, j + 1, end) take_off(a + i * wide, row, TURNED(row[i]), i, n);
            SYNC
#endif
        }
        EACH_PLACE(i, k, n, n) {
            const T v = i <= k ? a[i * wide + k] : ZERO;
            to[i * steps.s0 + k * steps.s1] = is_upper ? v : TURNED(v);
        }
        if (MEMBER == 0) info[begin.s1 + p1] = bad;
        SYNC
    }
}
