// The kernels of lu.cl for many tiny matrices of real numbers: W of them are eliminated at once, each in a
// lane of the vectors of `room`, in which row i begins at i * wide. I: integers as wide as a number.

#define LANES(name, at, place) ulong name[W]; for (int l = 0; l < W; l++) { \
    BATCH(min(block * W + l, batch - 1)) \
    name[l] = at + place; \
}

static void gather(global V *a, int wide, global const T *from, const ulong *at, ulong row, ulong column,
        int rows, int columns)
{
    T v[W];
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < columns; k++) {
            for (int l = 0; l < W; l++) v[l] = from[at[l] + i * row + k * column];
            a[i * wide + k] = vloadW(0, v);
        }
}

static void scatter(global const V *a, int wide, global T *to, const ulong *at, int there, ulong row,
        ulong column, int rows, int columns)
{
    T v[W];
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < columns; k++) {
            vstoreW(a[i * wide + k], 0, v);
            for (int l = 0; l < there; l++) to[at[l] + i * row + k * column] = v[l];
        }
}

static void put(I v, global int *to, const ulong *at, int there, ulong more)
{
    N each[W];
    vstoreW(v, 0, each);
    for (int l = 0; l < there; l++) to[at[l] + more] = (int)each[l];
}

// As in lu.cl; `odd` has all bits where an odd number of rows was exchanged.
static I eliminated(global V *a, int rows, int columns, int all, int wide, global int *pivots,
        const ulong *at, int there, ulong step, I *odd)
{
    I first_zero = 0;
    for (int j = 0; j < min(rows, columns); j++) {
        global V *top = a + j * wide;
        V most = -1;
        I p = j;
        for (int i = j; i < rows; i++) {
            const V size = fabs(a[i * wide + j]);
            const I is_larger = size > most;
            most = is_larger ? size : most;
            p = is_larger ? (I)i : p;
        }
        if (pivots) put(p + 1, pivots, at, there, j * step);
        *odd ^= p != j;
        for (int i = j + 1; i < rows; i++) {
            global V *row = a + i * wide;
            const I is_it = p == i;
            for (int k = 0; k < all; k++) {
                const V v = row[k], w = top[k];
                row[k] = is_it ? w : v;
                top[k] = is_it ? v : w;
            }
        }
        const V pivot = top[j];
        const I is_zero = pivot == 0;
        first_zero = is_zero && first_zero == 0 ? (I)(j + 1) : first_zero;
        for (int i = j + 1; i < rows; i++) {
            global V *row = a + i * wide;
            const V f = is_zero ? row[j] : row[j] / pivot;
            row[j] = f;
            for (int k = j + 1; k < all; k++) row[k] = fma(-f, top[k], row[k]);
        }
    }
    return first_zero;
}

#define NUMBERS_OF_ALL global V *room, ulong8 begin, ulong batch, int4 size, ulong8 steps
#define SIZES const int rows = size.x, columns = size.y, all = size.z, wide = size.w; \
    global V *a = room + get_global_id(0) * (ulong)wide * rows;
#define EACH_BLOCK for (ulong block = get_global_id(0); block * W < batch; block += get_global_size(0))
#define THERE const int there = (int)min((ulong)W, batch - block * W);

kernel void lu_factor(global T *out, global int *pivots, global int *info, global const T *input,
        NUMBERS_OF_ALL BATCH_NUMBERS)
{
    SIZES
    EACH_BLOCK {
        THERE
        LANES(of_out, begin.s0, p0)
        LANES(of_pivots, begin.s1, p1)
        LANES(of_info, begin.s2, p2)
        LANES(of_input, begin.s3, p3)
        I odd = 0;
        gather(a, wide, input, of_input, steps.s6, steps.s7, rows, columns);
        put(eliminated(a, rows, columns, columns, wide, pivots, of_pivots, there, steps.s2, &odd),
            info, of_info, there, 0);
        scatter(a, wide, out, of_out, there, steps.s0, steps.s1, rows, columns);
    }
}

kernel void determinant(global T *out, global T *logs, global const T *input, NUMBERS_OF_ALL,
        int has_logs BATCH_NUMBERS)
{
    SIZES
    EACH_BLOCK {
        THERE
        LANES(of_out, begin.s0, p0)
        LANES(of_logs, begin.s1, p1)
        LANES(of_input, begin.s2, p2)
        I odd = 0;
        gather(a, wide, input, of_input, steps.s4, steps.s5, rows, rows);
        eliminated(a, rows, rows, rows, wide, 0, of_out, there, 0, &odd);
        V made[2] = {1, 0};
        for (int j = 0; j < rows; j++) {
            const V v = a[j * wide + j];
            if (has_logs) made[1] += LOG(fabs(v));
            made[0] *= has_logs ? (v > 0 ? (V)1 : v < 0 ? (V)-1 : v) : v;
        }
        a[0] = odd ? -made[0] : made[0];
        scatter(a, wide, out, of_out, there, 0, 0, 1, 1);
        if (has_logs) {
            a[0] = made[1];
            scatter(a, wide, logs, of_logs, there, 0, 0, 1, 1);
        }
    }
}

kernel void solve(global T *out, global int *info, global const T *input, global const T *right,
        NUMBERS_OF_ALL, int kind, int chunk, int chunks BATCH_NUMBERS)
{
    SIZES
    global V *x = a + all;
    EACH_BLOCK {
        THERE
        LANES(of_out, begin.s0, p0)
        LANES(of_info, begin.s1, p1)
        LANES(of_input, begin.s2, p2)
        LANES(of_right, begin.s3, p3)
        I odd = 0;
        gather(a, wide, input, of_input, steps.s4, steps.s5, rows, rows);
        if (kind)
            for (int i = 0; i < rows * rows; i++) x[i / rows * wide + i % rows] = i / rows == i % rows;
        else
            gather(x, wide, right, of_right, steps.s6, steps.s7, rows, columns);
        const I found = eliminated(a, rows, rows, all + columns, wide, 0, of_info, there, 0, &odd);
        V scale = odd ? (V)-1 : (V)1;
        if (kind == 2)
            for (int j = 0; j < rows; j++) {
                const V v = a[j * wide + j];
                a[j * wide + j] = v == 0 ? (V)EPSILON : v;
                scale *= a[j * wide + j];
            }
        else
            put(found, info, of_info, there, 0);
        for (int j = rows - 1; j >= 0; j--)
            for (int k = 0; k < columns; k++) {
                const V v = x[j * wide + k] / a[j * wide + j];
                x[j * wide + k] = v;
                for (int i = 0; i < j; i++) x[i * wide + k] = fma(-a[i * wide + j], v, x[i * wide + k]);
            }
        for (int i = 0; kind == 2 && i < rows; i++)
            for (int k = 0; k < columns; k++) x[i * wide + k] *= scale;
        scatter(x, wide, out, of_out, there, steps.s0, steps.s1, rows, columns);
    }
}
