// Exponentials of matrices, W of them side by side (see lanes.py): N. Higham, "The scaling and squaring method
// for the matrix exponential revisited" (2005). limit: the largest 1-norm for Pade's approximation of `degree`.

#if IS_CPU
#define TALL 4
#define BROAD 2
#else
#define TALL 1
#define BROAD 1
#endif

// Where the even power k of x is.
#define POWER(k) ((k) == 0 ? x : (k) == 2 ? second : (k) & 2 ? spare : power)

// The coefficient of the power k in Pade's numerator, which ends with 1: a whole number.
static T numerator(int degree, int k)
{
    long made = 1;
    for (int i = degree; i > k; i--) made = made * (2 * degree - i + 1) * i / (degree - i + 1);
    return (T)made;
}

// c = a b, of (n, n), by tiles; beyond the edge the last row or column is made again.
static void product(global N *c, global const N *a, global const N *b, int n, int lead)
{
    const int down = (n + TALL - 1) / TALL, across = (n + BROAD - 1) / BROAD;
    for EACH(tile, down * across) {
        const int i = tile % down * TALL, j = tile / down * BROAD;
        int row[TALL], column[BROAD];
        for (int u = 0; u < TALL; u++) row[u] = SMALLEST(i + u, n - 1);
        for (int u = 0; u < BROAD; u++) column[u] = SMALLEST(j + u, n - 1);
        N sum[TALL][BROAD];
        for (int u = 0; u < TALL; u++)
            for (int w = 0; w < BROAD; w++) sum[u][w] = of_real((V)0);
        for (int k = 0; k < n; k++)
            for (int w = 0; w < BROAD; w++) {
                const N right = b[AT(k, column[w])];
                for (int u = 0; u < TALL; u++) sum[u][w] = plus(sum[u][w], times(a[AT(row[u], k)], right));
            }
        for (int u = 0; u < TALL && i + u < n; u++)
            for (int w = 0; w < BROAD && j + w < n; w++) c[AT(i + u, j + w)] = sum[u][w];
    }
}

// a^-1 b in place of b, by Gauss's elimination with the largest element of a column.
static void solved(global N *a, global N *b, int n, int lead, global V *largest_row)
{
    int j = 0;
    do {
        V most = (V)-1, which = (V)(T)j;
        for (int i = j; i < n; i++) {
            const N z = a[AT(i, j)];
            const V size = fabs(RE(z)) + fabs(IM(z));
            which = size > most ? (V)(T)i : which;
            most = size > most ? size : most;
        }
        if (MEMBER == 0) *largest_row = which;
        SYNC
        for (int l = 0; l < W; l++) {
            const int other = (int)((global T *)largest_row)[l];
            if (other == j) continue;
            for EACH(e, 2 * n * PARTS) {
                const int c = e / PARTS % n, p = e % PARTS;
                global T *of = (global T *)(e < n * PARTS ? a : b);
                const int here = (AT(j, c) * PARTS + p) * W + l, there = (AT(other, c) * PARTS + p) * W + l;
                const T kept = of[here];
                of[here] = of[there];
                of[there] = kept;
            }
        }
        SYNC
        const N share = inverse(a[AT(j, j)]);
        for (int e = j + 1 + MEMBER; e < 2 * n; e += MEMBERS) {
            global N *x = e < n ? a + AT(0, e) : b + AT(0, e - n);
            const N factor = times(share, x[j * DOWN]);
            for (int i = j + 1; i < n; i++) x[i * DOWN] = minus(x[i * DOWN], times(a[AT(i, j)], factor));
        }
        SYNC
    } while (++j < n);
    for EACH(c, n) {
        global N *x = b + AT(0, c);
        for (int i = n - 1; i >= 0; i--) {
            const N found = times(x[i * DOWN], inverse(a[AT(i, i)]));
            x[i * DOWN] = found;
            for (int k = 0; k < i; k++) x[k * DOWN] = minus(x[k * DOWN], times(a[AT(k, i)], found));
        }
    }
    SYNC
}

kernel void matrix_exp(global E_MEMORY *out, global const E_MEMORY *input, global T *memory, ulong8 begin,
        ulong8 sizes, int degree, T limit)
{
    const ulong count = sizes.s0;
    const int n = (int)sizes.s2, lead = n, each = n * n;
    global N *x = (global N *)memory + get_group_id(0) * sizes.s1;
    global N *second = x + each, *power = second + each, *even = power + each, *odd = even + each;
    global N *spare = odd + each;
    global V *largest_row = (global V *)(spare + each);
    ulong first = get_group_id(0) * W;
    do {
        brought(x, input + begin.s1 * PARTS, first, count, n, n, lead, 0, WHOLE);
        SYNC
        V size = (V)0, times_ = (V)0, share = (V)1;
        for (int j = 0; j < n; j++) {
            V sum = (V)0;
            for (int i = 0; i < n; i++) sum += fabs(length_of(x[AT(i, j)]));
            size = size > sum ? size : sum + (size - size);
        }
        share += size - size;
        size = size < (V)INFINITY ? size : (V)0;
        while (ANY(size > (V)limit)) {
            times_ += size > (V)limit ? (V)1 : (V)0;
            share *= size > (V)limit ? (V)0.5f : (V)1;
            size *= size > (V)limit ? (V)0.5f : (V)1;
        }
        SYNC
        for EACH(e, each) {
            const N one = of_real(e % (n + 1) ? (V)0 : (V)1);
            x[e] = scaled(x[e], share);
            even[e] = scaled(one, (V)numerator(degree, 0));
            odd[e] = scaled(one, (V)numerator(degree, 1));
        }
        SYNC
        int k = 2;
        do {
            product(POWER(k), POWER(k - 2), POWER(k > 2 ? 2 : 0), n, lead);
            SYNC
            for EACH(e, each) {
                const N a = POWER(k)[e];
                even[e] = plus(even[e], scaled(a, (V)numerator(degree, k)));
                odd[e] = plus(odd[e], scaled(a, (V)numerator(degree, k + 1)));
            }
            SYNC
            k += 2;
        } while (k < degree);
        product(second, x, odd, n, lead);
        SYNC
        for EACH(e, each) {
            const N a = even[e], b = second[e];
            even[e] = minus(a, b);
            odd[e] = plus(a, b);
        }
        SYNC
        solved(even, odd, n, lead, largest_row);
        for (k = 0; ANY(times_ > (V)(T)k); k++) {
            product(spare, odd, odd, n, lead);
            SYNC
            const V more = times_ > (V)(T)k ? (V)1 : (V)0;
            for EACH(e, each) odd[e] = chosen(more, spare[e], odd[e]);
            SYNC
        }
        put(out + begin.s0 * PARTS, odd, first, count, n, n, lead, 0, WHOLE, 0);
        SYNC
        first += get_num_groups(0) * W;
    } while (first < count);
}
