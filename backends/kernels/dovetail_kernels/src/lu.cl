// Gauss's elimination with exchanges of rows, as LAPACK's getrf has it, and what comes of it: the factors
// (lu_factor), determinants, and solutions (solve).
//
// size: rows, columns, where more columns begin, and `wide`. BATCH(i): the places p0 … p3 of matrix i in the buffers
// in order; two of `steps` for each of these, from row to row and from column to column.

// The row from j on with the largest number in column j, the first of equals; NaN is none.
static int pivot_row(PLACE const T *a, int rows, int wide, int j, SHARED R *best, SHARED int *where)
{
    R most = -1;
    int at = j;
#if IS_CPU
    for (int i = j; i < rows; i++) {
        const R size = SIZE(a[i * wide + j]);
        if (size > most) {
            most = size;
            at = i;
        }
    }
#else
    const int searchers = min(SEARCHERS, MEMBERS);
    if (MEMBER < searchers) {
        for (int i = j + MEMBER; i < rows; i += searchers) {
            const R size = SIZE(a[i * wide + j]);
            if (size > most) {
                most = size;
                at = i;
            }
        }
        best[MEMBER] = most;
        where[MEMBER] = at;
    }
    SYNC
    most = best[0];
    at = where[0];
    for (int k = 1; k < min(searchers, rows - j); k++)
        if (best[k] > most || (best[k] == most && where[k] < at)) {
            most = best[k];
            at = where[k];
        }
#endif
    return at;
}

#if IS_CPU
#define PANEL 16
// What columns [begin, end) that have been eliminated take off those from `first` on, all at once.
static void update(PLACE T *a, int rows, int all, int wide, int begin, int end, int first)
{
    PLACE T *top = a + begin * wide;
    for (int i = begin + 1; i < rows; i++) {
        PLACE T *row = a + i * wide;
        take_off_all(row + first, top + first, wide, min(i, end) - begin, row + begin, 1, 0, all - first);
    }
}
#else
#define PANEL (1 << 20)
#endif

// The factors of the first `columns` of `all`, in their place: the number of the first zero on the diagonal
// from 1, or 0, and twice as many as rows were exchanged in `odd`.
static int eliminated(PLACE T *a, int rows, int columns, int all, int wide, global int *pivots, ulong step,
        int *odd, SHARED R *best, SHARED int *where)
{
    int first_zero = 0;
    const int most = min(rows, columns);
    for (int j = 0; j < most; j++) {
        const int p = pivot_row(a, rows, wide, j, best, where);
        const T pivot = a[p * wide + j];
        if (pivots && MEMBER == 0) pivots[j * step] = p + 1;
        SYNC
        if (p != j) {
            *odd ^= 1;
            exchange(a + j * wide, a + p * wide, all);
        }
        SYNC
        // No barrier is passed by: compilers for the host's cores are not sure to see that all do it.
        const int end = IS_ZERO(pivot) ? 0 : rows;
        if (!end && !first_zero) first_zero = j + 1;
        EACH(i, j + 1, end) a[i * wide + j] = over(a[i * wide + j], pivot);
        SYNC
        const int near = min(all, (j / PANEL + 1) * PANEL);
        EACH_ROW(i, j + 1, end) take_off(a + i * wide, a + j * wide, a[i * wide + j], j + 1, near);
        SYNC
#if IS_CPU
        if (j == min(near, most) - 1 && near < all) update(a, rows, all, wide, j / PANEL * PANEL, j + 1, near);
#endif
    }
    return first_zero;
}

// X of U X = B in its place, in rows that begin with U's.
static void substitute(PLACE T *a, PLACE T *x, int n, int columns, int wide)
{
    for (int j = n - 1; j >= 0; j--) {
        PLACE T *row = x + j * wide;
        const T pivot = a[j * wide + j];
#if IS_CPU
        take_off_all(row, row + wide, wide, n - 1 - j, a + j * wide + j + 1, 1, 0, columns);
#endif
        EACH(k, 0, columns) row[k] = over(row[k], pivot);
        SYNC
#if !IS_CPU
        EACH_ROW(i, 0, j) take_off(x + i * wide, row, a[i * wide + j], 0, columns);
        SYNC
#endif
    }
}

#define NUMBERS_OF_ALL ulong8 begin, ulong batch, int4 size, ulong8 steps
#define SIZES const int rows = size.x, columns = size.y, all = size.z, wide = size.w, height = rows;
#define EACH_MATRIX(i, n) for (ulong i = get_group_id(0); i < (n); i += get_num_groups(0))

kernel void lu_factor(global T *out, global int *pivots, global int *info, global const T *input ROOM_BUFFER,
        NUMBERS_OF_ALL BATCH_NUMBERS)
{
    SIZES
    OWN(a)
    SEARCH
    EACH_MATRIX(i, batch) {
        BATCH(i)
        int odd = 0;
        load(a, wide, input + begin.s3 + p3, steps.s6, steps.s7, rows, columns);
        clear(a, wide, rows, columns);
        SYNC
        const int found = eliminated(
            a, rows, columns, columns, wide, pivots + begin.s1 + p1, steps.s2, &odd, best, where);
        store(a, wide, out + begin.s0 + p0, steps.s0, steps.s1, rows, columns);
        if (MEMBER == 0) info[begin.s2 + p2] = found;
        SYNC
    }
}

// Of each matrix the product of U's diagonal; with `logs`, its sign and the logarithm of its size.
kernel void determinant(global T *out, global R *logs, global const T *input ROOM_BUFFER, NUMBERS_OF_ALL,
        int has_logs BATCH_NUMBERS)
{
    SIZES
    OWN(a)
    SEARCH
    EACH_MATRIX(i, batch) {
        BATCH(i)
        int odd = 0;
        load(a, wide, input + begin.s2 + p2, steps.s4, steps.s5, rows, rows);
        clear(a, wide, rows, rows);
        SYNC
        eliminated(a, rows, rows, rows, wide, 0, 0, &odd, best, where);
        if (MEMBER == 0) {
            T made = ONE;
            R sum = 0;
            for (int j = 0; j < rows; j++) {
                T v = a[j * wide + j];
                if (has_logs) {
#if IS_COMPLEX
                    const R length = LENGTH(v.x, v.y);
                    v = length == 0 ? v : PAIR(v.x / length, v.y / length);
#else
                    const R length = fabs(v);
                    v = v > 0 ? (T)1 : v < 0 ? (T)-1 : v;
#endif
                    sum += log(length);
                }
                made = times(made, v);
            }
            out[begin.s0 + p0] = odd ? NEGATED(made) : made;
            if (has_logs) logs[begin.s1 + p1] = sum;
        }
        SYNC
    }
}

// X of A X = B, with kind 1 A's inverse, with 2 that times the determinant, of which zeros on U's diagonal are
// epsilon; a chunk of X's columns by a work item or group. Beside A there is room for
// these from number size.z of a row on.
kernel void solve(global T *out, global int *info, global const T *input, global const T *right ROOM_BUFFER,
        NUMBERS_OF_ALL, int kind, int chunk, int chunks BATCH_NUMBERS)
{
    SIZES
    OWN(a)
    SEARCH
    PLACE T *x = a + all;
    EACH_MATRIX(item, batch * chunks) {
        const ulong i = item / chunks;
        const int first = (int)(item % chunks) * chunk, count = min(chunk, columns - first);
        BATCH(i)
        load(a, wide, input + begin.s2 + p2, steps.s4, steps.s5, rows, rows);
        clear(a, wide, rows, rows);
        if (kind)
            load_one(x, wide, first, rows, count);
        else
            load(x, wide, right + begin.s3 + p3 + first * steps.s7, steps.s6, steps.s7, rows, count);
        clear(x, wide, rows, count);
        SYNC
        int odd = 0;
        const int found = eliminated(a, rows, rows, all + count, wide, 0, 0, &odd, best, where);
        // Without a barrier in a branch: there is a determinant of no rows else.
        const int own = kind == 2 ? rows : 0;
        EACH(j, 0, own) if (IS_ZERO(a[j * wide + j])) a[j * wide + j] = OF_REAL(EPSILON);
        SYNC
        substitute(a, x, rows, count, wide);
        T scale = odd ? NEGATED(ONE) : ONE;
        for (int j = 0; j < own; j++) scale = times(scale, a[j * wide + j]);
        EACH_ROW(j, 0, own) EACH_COLUMN(k, 0, count) x[j * wide + k] = times(x[j * wide + k], scale);
        SYNC
        if (MEMBER == 0 && first == 0 && kind != 2) info[begin.s1 + p1] = found;
        store(x, wide, out + begin.s0 + p0 + first * steps.s1, steps.s0, steps.s1, rows, count);
        SYNC
    }
}
