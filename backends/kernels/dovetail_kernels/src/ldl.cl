// Symmetric and Hermitian matrices as L D L^T (L D L^H) with D in blocks of one and two, LAPACK's sytrf and
// hetrf of the lower triangle, and systems solved with that, sytrs and hetrs (see matrices.cl).
// J. Bunch and L. Kaufman, "Some stable methods for calculating inertia and solving symmetric linear
// systems" (1977); what lies where is as sytf2 has it: columns of L that are done are not exchanged.
//
// size: n, columns of what is solved for, columns of all, and `wide`.

#define ALPHA ((R)0.6403882032022076)
#define ACROSS(v) (is_hermitian ? TURNED(v) : (v))

// How many rows the block at k has; the row that is brought to its last place is `there`.
static int chosen(PLACE const T *a, int n, int wide, int k, int *there)
{
    const R here = SIZE(a[k * wide + k]);
    R largest = 0, others = 0;
    int r = k;
    for (int i = k + 1; i < n; i++) {
        const R size = SIZE(a[i * wide + k]);
        if (size > largest) {
            largest = size;
            r = i;
        }
    }
    *there = k;
    if (r == k || here >= ALPHA * largest) return 1;
    for (int i = k; i < n; i++) {
        const R size = i < r ? SIZE(a[r * wide + i]) : i > r ? SIZE(a[i * wide + r]) : (R)0;
        others = size > others ? size : others;
    }
    if (here >= ALPHA * largest * (largest / others)) return 1;
    *there = r;
    return SIZE(a[r * wide + r]) >= ALPHA * others ? 1 : 2;
}

#define BLOCK(first, last, low) \
    const T scale = low, one = over(first, scale), two = over(last, scale), cross = over(ACROSS(low), scale); \
    const T divisor = times(scale, LESS(times(one, two), cross));

kernel void ldl_factor(global T *out, global int *pivots, global int *info, global const T *input ROOM_BUFFER,
        ulong8 begin, ulong batch, int4 size, ulong8 steps, int is_hermitian BATCH_NUMBERS)
{
    const int n = size.x, wide = size.w, height = n;
    OWN(a)
    for (ulong item = get_group_id(0); item < batch; item += get_num_groups(0)) {
        BATCH(item)
        global const T *from = input + begin.s3 + p3;
        global int *choice = pivots + begin.s1 + p1;
        EACH_PLACE(i, k, n, n) {
            const T v = from[max(i, k) * steps.s6 + min(i, k) * steps.s7];
            a[i * wide + k] = i == k && is_hermitian ? OF_REAL(REAL(v)) : i < k ? ACROSS(v) : v;
        }
        clear(a, wide, n, n);
        SYNC
        int first_zero = 0;
        for (int k = 0; k < n;) {
            int there;
            const int count = chosen(a, n, wide, k, &there), here = k + count - 1, stop = k + count;
            SYNC
            if (there != here) exchange(a + here * wide + k, a + there * wide + k, n - k);
            SYNC
            if (there != here) {
                EACH(i, k, n) {
                    PLACE T *row = a + i * wide;
                    const T v = row[here];
                    row[here] = row[there];
                    row[there] = v;
                }
            }
            if (MEMBER == 0)
                for (int i = k; i < stop; i++) choice[i * steps.s2] = count == 1 ? there + 1 : -(there + 1);
            SYNC
            PLACE T *row = a + k * wide;
            const int is_zero = count == 1 && IS_ZERO(row[k]), end = is_zero ? 0 : n;
            if (is_zero && !first_zero) first_zero = k + 1;
            if (count == 1) {
                EACH(i, stop, end) a[i * wide + k] = over(a[i * wide + k], row[k]);
            } else {
                BLOCK(row[k], row[wide + k + 1], row[wide + k])
                EACH(i, stop, end) {
                    const T x = a[i * wide + k], y = a[i * wide + k + 1];
                    a[i * wide + k] = over(LESS(times(x, two), y), divisor);
                    a[i * wide + k + 1] = over(LESS(times(y, one), times(x, cross)), divisor);
                }
            }
            SYNC
            EACH_ROW(i, stop, end) {
                PLACE T *to = a + i * wide;
                take_off(to, row, to[k], stop, n);
                if (count == 2) take_off(to, row + wide, to[k + 1], stop, n);
            }
            SYNC
            if (is_hermitian) {
                EACH(i, stop, end) a[i * wide + i] = OF_REAL(REAL(a[i * wide + i]));
            }
            SYNC
            k = stop;
        }
        EACH_PLACE(i, k, n, n) a[i * wide + k] = k > i ? ZERO : a[i * wide + k];
        store(a, wide, out + begin.s0 + p0, steps.s0, steps.s1, n, n);
        if (MEMBER == 0) info[begin.s2 + p2] = first_zero;
        SYNC
    }
}

#define L(i, k) factor[(i) * steps.s2 + (k) * steps.s3]
#define DIAGONAL(k) (is_hermitian ? OF_REAL(REAL(L(k, k))) : L(k, k))

// The row that the last one of the block with row k was exchanged with.
static int partner(global const int *pivots, ulong step, int k, int n)
{
    const int p = pivots[k * step];
    return max(0, min(p < 0 ? ~p : p - 1, n - 1));
}

kernel void ldl_solve(global T *out, global const T *factors, global const int *pivots,
        global const T *right ROOM_BUFFER, ulong8 begin, ulong batch, int4 size, ulong8 steps,
        int is_hermitian BATCH_NUMBERS)
{
    const int n = size.x, columns = size.y, wide = size.w, height = n;
    OWN(x)
    for (ulong item = get_group_id(0); item < batch; item += get_num_groups(0)) {
        BATCH(item)
        global const T *factor = factors + begin.s1 + p1;
        global const int *choice = pivots + begin.s2 + p2;
        load(x, wide, right + begin.s3 + p3, steps.s6, steps.s7, n, columns);
        clear(x, wide, n, columns);
        SYNC
        for (int k = 0; k < n;) {
            const int count = choice[k * steps.s4] < 0 && k + 1 < n ? 2 : 1, stop = k + count;
            const int here = stop - 1, there = partner(choice, steps.s4, k, n);
            PLACE T *row = x + k * wide;
            if (there != here) exchange(x + here * wide, x + there * wide, columns);
            SYNC
            EACH_ROW(i, stop, n) {
                take_off(x + i * wide, row, L(i, k), 0, columns);
                if (count == 2) take_off(x + i * wide, row + wide, L(i, k + 1), 0, columns);
            }
            SYNC
            if (count == 1) {
                const T pivot = DIAGONAL(k);
                EACH(c, 0, columns) row[c] = over(row[c], pivot);
            } else {
                BLOCK(DIAGONAL(k), DIAGONAL(k + 1), L(k + 1, k))
                EACH(c, 0, columns) {
                    const T u = row[c], v = row[wide + c];
                    row[c] = over(LESS(times(two, u), times(cross, v)), divisor);
                    row[wide + c] = over(LESS(times(one, v), u), divisor);
                }
            }
            SYNC
            k = stop;
        }
        for (int last = n - 1; last >= 0;) {
            const int count = choice[last * steps.s4] < 0 && last > 0 ? 2 : 1, first = last + 1 - count;
            const int there = partner(choice, steps.s4, last, n);
            for (int k = first; k <= last; k++) {
                PLACE T *row = x + k * wide;
#if IS_CPU
                take_off_all(row, x + (last + 1) * wide, wide, n - 1 - last, &L(last + 1, k), steps.s2,
                    is_hermitian, columns);
#else
                EACH(c, 0, columns) {
                    T v = row[c];
                    for (int i = last + 1; i < n; i++) v = LESS(v, times(ACROSS(L(i, k)), x[i * wide + c]));
                    row[c] = v;
                }
#endif
            }
            SYNC
            if (there != last) exchange(x + last * wide, x + there * wide, columns);
            SYNC
            last = first - 1;
        }
        store(x, wide, out + begin.s0 + p0, steps.s0, steps.s1, n, columns);
        SYNC
    }
}
