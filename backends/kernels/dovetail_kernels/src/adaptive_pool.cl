// Pooling into so many places: place i of m along a dim of n sees from floor(i n / m) to ceil((i + 1) n / m).
//
// size: of the input's planes, places: of the output's; missing dims in front have size 1. A work item of
// a CPU has a row of the output (of the input, in the gradient), one of a GPU an element.

#define NUMBERS ulong8 begin, ulong rows, int4 size, int4 places

#define FIRST(i, n, m) ((i) * (n) / (m))
#define BEHIND(i, n, m) ((((i) + 1) * (n) - 1) / (m) + 1)

#if IS_CPU
#define EACH(shape) \
    for (ulong row = get_global_id(0); row < rows; row += get_global_size(0)) { \
        const int y = row % shape.y, z = row / shape.y % shape.x; \
        const ulong plane = row / shape.y / shape.x; \
        for (int x = 0; x < shape.z; x++) {
#define NEXT } }
#else
#define EACH(shape) \
    for (ulong item = get_global_id(0); item < rows * shape.z; item += get_global_size(0)) { \
        const ulong row = item / shape.z; \
        const int x = item % shape.z, y = row % shape.y, z = row / shape.y % shape.x; \
        const ulong plane = row / shape.y / shape.x;
#define NEXT }
#endif

#define AREA(shape) ((ulong)shape.x * shape.y * shape.z)
#define WINDOW \
    const int first_z = FIRST(z, size.x, places.x), end_z = BEHIND(z, size.x, places.x); \
    const int first_y = FIRST(y, size.y, places.y), end_y = BEHIND(y, size.y, places.y); \
    const int first_x = FIRST(x, size.z, places.z), end_x = BEHIND(x, size.z, places.z);

#if IS_MAX
kernel void adaptive_max_pool(global OUT_MEMORY *out, global long *indices, global const OUT_MEMORY *in, NUMBERS)
{
    EACH(places)
        WINDOW
        global const OUT_MEMORY *from = in + begin.s2 + plane * AREA(size);
        int where = -1;
        OUT_VALUE best = 0;
        for (int iz = first_z; iz < end_z; iz++)
            for (int iy = first_y; iy < end_y; iy++)
                for (int ix = first_x; ix < end_x; ix++) {
                    const int at = (iz * size.y + iy) * size.z + ix;
                    const OUT_VALUE v = OUT_LOAD(from, at);
                    if (where < 0 || v > best || (v != v && best == best)) {
                        best = v;
                        where = at;
                    }
                }
        OUT_STORE(out, begin.s0 + row * places.z + x, best);
        indices[begin.s1 + row * places.z + x] = where;
    NEXT
}
#else
kernel void uneven_avg_pool(global OUT_MEMORY *out, global const OUT_MEMORY *in, NUMBERS)
{
    EACH(places)
        WINDOW
        global const OUT_MEMORY *from = in + begin.s1 + plane * AREA(size);
        T sum = 0;
        for (int iz = first_z; iz < end_z; iz++)
            for (int iy = first_y; iy < end_y; iy++)
                for (int ix = first_x; ix < end_x; ix++)
                    sum += OUT_LOAD(from, (iz * size.y + iy) * size.z + ix);
        const int count = (end_z - first_z) * (end_y - first_y) * (end_x - first_x);
        OUT_STORE(out, begin.s0 + row * places.z + x, sum / (T)count);
    NEXT
}

// An element is in the windows from floor(p m / n) to ceil((p + 1) m / n).
kernel void uneven_avg_pool_grad(global OUT_MEMORY *out, global const OUT_MEMORY *grad, NUMBERS)
{
#define SPAN(i, n, m) (BEHIND(i, n, m) - FIRST(i, n, m))
#if IS_SPREAD
    // A plane is one work item's: it goes through the windows, of which there are fewer.
    const ulong planes = rows / size.y / size.x;
    for (ulong plane = get_global_id(0); plane < planes; plane += get_global_size(0)) {
        global const OUT_MEMORY *from = grad + begin.s1 + plane * AREA(places);
        global OUT_MEMORY *to = out + begin.s0 + plane * AREA(size);
        for (ulong i = 0; i < AREA(size); i++) to[i] = 0;
        for (int z = 0; z < places.x; z++)
            for (int y = 0; y < places.y; y++)
                for (int x = 0; x < places.z; x++) {
                    WINDOW
                    const int count = (end_z - first_z) * (end_y - first_y) * (end_x - first_x);
                    const T share = *from++ / (T)count;
                    for (int iz = first_z; iz < end_z; iz++)
                        for (int iy = first_y; iy < end_y; iy++)
                            for (int ix = first_x; ix < end_x; ix++)
                                to[(iz * size.y + iy) * size.z + ix] += share;
                }
    }
#else
    EACH(size)
        global const OUT_MEMORY *from = grad + begin.s1 + plane * AREA(places);
        T sum = 0;
        for (int oz = FIRST(z, places.x, size.x); oz < BEHIND(z, places.x, size.x); oz++)
            for (int oy = FIRST(y, places.y, size.y); oy < BEHIND(y, places.y, size.y); oy++) {
                const int wide = SPAN(oz, size.x, places.x) * SPAN(oy, size.y, places.y);
                for (int ox = FIRST(x, places.z, size.z); ox < BEHIND(x, places.z, size.z); ox++)
                    sum += OUT_LOAD(from, (oz * places.y + oy) * places.z + ox)
                        / (T)(wide * SPAN(ox, size.z, places.z));
            }
        OUT_STORE(out, begin.s0 + row * size.z + x, sum);
    NEXT
#endif
}
#endif
