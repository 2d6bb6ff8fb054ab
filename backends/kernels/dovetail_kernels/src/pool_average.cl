// Averages of windows on the host's cores, and their gradient: a work item adds up the lines that a
// line is made of, by vectors, and then their neighbours. See pool.cl for the window.
//
// T: what is computed in. WIDE: W of them. PLACE: W integers as wide. PUT_WIDE(p, v): a whole store.
// READ_WIDE(p): elements that are STRIDE_X apart. WOVEN(p, v, w): two vectors stored element by
// element in turn.
//
// Of a work item's memory `how.y` elements are the sum of lines, from `how.x` on, with zeros on both
// sides; the others are, of the gradient, a line of the input with what is around it.

// `result` = W neighbours of `from`, of which there are n.
#define LOADED(result, from, at, n) \
    if ((at) + W <= limit) { \
        result = OUT_V(from, at); \
    } else { \
        T value[W]; \
        for (int i = 0; i < W; i++) value[i] = i < (n) ? OUT_LOAD(from, (at) + i) : (T)0; \
        result = vloadW(0, value); \
    }

// What is too much of a line is overwritten by the next.
#define STORED(at, n, v) \
    if ((n) >= W || (at) + W <= last_end) { \
        OUT_SET_V(out + offset_out, at, v); \
    } else { \
        T value[W]; \
        vstoreW(v, 0, value); \
        for (int i = 0; i < (n); i++) OUT_STORE(out + offset_out, (at) + i, value[i]); \
    }

#define ROWS(shape) \
    const ulong rows = planes * shape.x * shape.y, share = (rows - 1) / get_global_size(0) + 1; \
    const ulong begin = min(rows, get_global_id(0) * share), end = min(rows, begin + share); \
    const ulong last_end = end * shape.z; \
    const PLACE lane = (PLACE)(COUNTED); \
    global T *sums = memory + get_global_id(0) * ((ulong)how.y + how.z), *sum_at = sums + how.x; \
    for (int i = 0; i < how.y; i++) sums[i] = (T)0; \
    for (ulong row = begin; row < end; row++) { \
        const ulong plane = row / ((ulong)shape.x * shape.y); \
        const int z = row / shape.y % shape.x, y = row % shape.y;

#if !IS_GRADIENT
kernel void avg_pool_lines(global OUT_MEMORY *out, global const OUT_MEMORY *in, global T *memory,
        ulong offset_out, ulong offset_in, ulong planes, int4 size, int4 places, int4 how
        WINDOW_NUMBERS)
{
    const ulong area = (ulong)size.x * size.y * size.z, limit = planes * area;
    ROWS(places)
        const int first_z = max(z * STRIDE_Z - PADDING_Z, 0);
        const int first_y = max(y * STRIDE_Y - PADDING_Y, 0);
        const int last_z = min(z * STRIDE_Z - PADDING_Z + KERNEL_Z, size.x);
        const int last_y = min(y * STRIDE_Y - PADDING_Y + KERNEL_Y, size.y);
        for (int x = 0; x < size.z; x += W) {
            const int n = size.z - x;
            WIDE sum = (WIDE)0;
            for (int iz = first_z; iz < last_z; iz++)
                for (int iy = first_y; iy < last_y; iy++) {
                    const ulong at = plane * area + ((ulong)iz * size.y + iy) * size.z + x;
                    WIDE v;
                    LOADED(v, in + offset_in, at, n)
                    sum += v;
                }
            PUT_WIDE(sum_at + x, lane < n ? sum : (WIDE)0);
        }
        for (int x = 0; x < places.z; x += W) {
            WIDE sum = (WIDE)0;
            for (int k = 0; k < KERNEL_X; k++)
                sum += READ_WIDE(sum_at + x * STRIDE_X - PADDING_X + k);
            sum /= CONVERT_WIDE(DIVISOR(z, y, x + lane));
            const ulong there = row * places.z + x;
            STORED(there, places.z - x, sum)
        }
    }
}
#else
kernel void avg_pool_grad_lines(global OUT_MEMORY *out, global const OUT_MEMORY *grad,
        global T *memory, ulong offset_out, ulong offset_grad, ulong planes, int4 size, int4 places,
        int4 how WINDOW_NUMBERS)
{
    const ulong made = (ulong)places.x * places.y * places.z, limit = planes * made;
    global T *line = memory + get_global_id(0) * ((ulong)how.y + how.z) + how.y;
    ROWS(size)
        const int last_z = LAST(z, places.x, STRIDE_Z, PADDING_Z);
        const int last_y = LAST(y, places.y, STRIDE_Y, PADDING_Y);
        for (int x = 0; x < places.z; x += W) {
            const int n = places.z - x;
            WIDE sum = (WIDE)0;
            for (int oz = FIRST(z, KERNEL_Z, STRIDE_Z, PADDING_Z); oz <= last_z; oz++)
                for (int oy = FIRST(y, KERNEL_Y, STRIDE_Y, PADDING_Y); oy <= last_y; oy++) {
                    const ulong at = plane * made + ((ulong)oz * places.y + oy) * places.z + x;
                    WIDE v;
                    LOADED(v, grad + offset_grad, at, n)
                    sum += v / CONVERT_WIDE(DIVISOR(oz, oy, x + lane));
                }
            PUT_WIDE(sum_at + x, lane < n ? sum : (WIDE)0);
        }
#if STRIDE_X == 1
#define SPREAD(sum, x) \
        WIDE sum = (WIDE)0; \
        for (int k = 0; k < KERNEL_X; k++) sum += vloadW(0, sum_at + (x) + PADDING_X - k);
#else
#define SPREAD(sum, x) const WIDE sum = vloadW(0, line + PADDING_X + (x));
// Elements of the windows whose first element is `phase` places before theirs, modulo the stride.
#define OF_PHASE(sum, j, phase) \
        WIDE sum = (WIDE)0; \
        for (int m = 0; (phase) + m * STRIDE_X < KERNEL_X; m++) sum += vloadW(0, sum_at + (j) - m);
        for (int j = 0; j * STRIDE_X < size.z + PADDING_X; j += W) {
#if STRIDE_X == 2
            OF_PHASE(even, j, 0)
            OF_PHASE(odd, j, 1)
            WOVEN(line + 2 * j, even, odd)
#else
            for (int phase = 0; phase < STRIDE_X; phase++) {
                OF_PHASE(sum, j, phase)
                T value[W];
                vstoreW(sum, 0, value);
                for (int i = 0; i < W; i++) line[(j + i) * STRIDE_X + phase] = value[i];
            }
#endif
        }
#endif
        for (int x = 0; x < size.z; x += W) {
            SPREAD(sum, x)
            const ulong there = row * size.z + x;
            STORED(there, size.z - x, sum)
        }
    }
}
#endif
