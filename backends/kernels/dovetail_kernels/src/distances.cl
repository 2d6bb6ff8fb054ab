// Distances of points from each other, by the norm that FAR(sum, v), ROOT(sum) say, and their
// gradients, SLOPE(v, far) being that of a distance by a difference v.
//
// x: `rows` points of n coordinates; y: `columns` of them; so for each of `many` sets. IS_PAIRS: y is x, and
// each pair of rows is there once.

static T larger(T a, T b)
{
    return b > a || b != b ? b : a;
}

static T sign_of(T v)
{
    return v > 0 ? (T)1 : v < 0 ? (T)-1 : (T)0;
}

static T apart(global const IN_MEMORY *x, global const IN_MEMORY *y, ulong i, ulong j, uint n, T p)
{
    T sum = 0;
    for (uint k = 0; k < n; k++) {
        const T v = IN_LOAD(x, i + k) - IN_LOAD(y, j + k);
        sum = FAR(sum, v);
    }
    return ROOT(sum);
}

#if IS_BACKWARD
// Of a point for each work item, those of x first.
kernel void distances(global OUT_MEMORY *of_x, global OUT_MEMORY *of_y, global const IN_MEMORY *grad,
        global const IN_MEMORY *x, global const IN_MEMORY *y, global const IN_MEMORY *out,
        ulong8 begin, uint many, uint rows, uint columns, uint n, T p)
{
    const uint all = rows + columns;
    for (uint item = get_global_id(0); item < many * all; item += get_global_size(0)) {
        const ulong set = item / all, place = item % all;
        const bool is_first = place < rows;
        const ulong own = is_first ? place : place - rows;
        const ulong mine = is_first ? begin.s3 + (set * rows + own) * n : begin.s4 + (set * columns + own) * n;
        const ulong others = is_first ? begin.s4 + set * columns * n : begin.s3 + set * rows * n;
        const uint count = is_first ? columns : rows;
        for (uint k = 0; k < n; k++) {
            T sum = 0;
            for (uint j = 0; j < count; j++) {
                const ulong at = set * rows * columns + (is_first ? own * columns + j : j * columns + own);
                const T far = IN_LOAD(out, begin.s5 + at);
                const T v = is_first ? IN_LOAD(x, mine + k) - IN_LOAD(y, others + (ulong)j * n + k)
                                     : IN_LOAD(y, mine + k) - IN_LOAD(x, others + (ulong)j * n + k);
                const T slope = SLOPE(v, far);
                sum += far == 0 ? (T)0 : IN_LOAD(grad, begin.s2 + at) * slope;
            }
            if (is_first)
                OUT_STORE(of_x, begin.s0 + (set * rows + own) * n + k, sum);
            else
                OUT_STORE(of_y, begin.s1 + (set * columns + own) * n + k, sum);
        }
    }
}
#elif IS_PAIRS
kernel void distances(global OUT_MEMORY *out, global const IN_MEMORY *x, ulong8 begin, uint many,
        uint rows, uint columns, uint n, T p)
{
    for (uint i = get_global_id(0); i + 1 < rows; i += get_global_size(0)) {
        const ulong first = (ulong)i * (2 * (ulong)rows - i - 1) / 2;
        for (uint j = i + 1; j < rows; j++)
            OUT_STORE(out, begin.s0 + first + j - i - 1,
                      apart(x, x, begin.s1 + (ulong)i * n, begin.s1 + (ulong)j * n, n, p));
    }
}
#else
kernel void distances(global OUT_MEMORY *out, global const IN_MEMORY *x, global const IN_MEMORY *y,
        ulong8 begin, uint many, uint rows, uint columns, uint n, T p)
{
    for (uint item = get_global_id(0); item < many * rows * columns; item += get_global_size(0)) {
        const ulong row = item / columns, column = item % columns + item / columns / rows * columns;
        OUT_STORE(out, begin.s0 + item, apart(x, y, begin.s1 + row * n, begin.s2 + column * n, n, p));
    }
}
#endif
