// The largest elements of windows, on the host's cores: a work item takes those of each line of some
// planes by vectors, keeps them, and takes the largest of these lines. See pool.cl for the window.
//
// T: what is computed in. WIDE: W of them. PLACE: W integers as wide, each an INDEX. READ_WIDE(p):
// elements that are STRIDE_X apart. PUT_WIDE(p, v), PUT_PLACE(p, v): whole stores.
//
// A part is up to `how.y` lines of places in a plane. Of a work item's memory `how.z` elements are
// a line with what is around it, the rest are `how.w` lines of `how.x` places.

// Where a part's places begin; the last one's end where those of the part after it begin.
#define BEGIN(part) \
    ((part) / parts * places.y * places.z + (ulong)((part) % parts) * how.y * places.z)

#define IS_OUTSIDE(i, n) ((uint)(i) >= (uint)(n))

// The first of the largest, or the last NaN.
#define TAKEN(v, i) { \
    const PLACE is_better = (v > best) | (v != v); \
    best = is_better ? v : best; \
    at = is_better ? (i) : at; \
}

kernel void max_pool_lines(global OUT_MEMORY *out, global long *indices, global const OUT_MEMORY *in,
        global T *memory, ulong offset_out, ulong offset_indices, ulong offset_in, ulong planes,
        int4 size, int4 places, int4 how WINDOW_NUMBERS)
{
    const ulong area = (ulong)size.x * size.y * size.z, made = (ulong)places.x * places.y * places.z;
    const int parts = (places.y - 1) / how.y + 1;
    const ulong all = planes * places.x * parts, share = (all - 1) / get_global_size(0) + 1;
    const ulong begin = min(all, get_global_id(0) * share), end = min(all, begin + share);
    const int columns = how.x, length = how.z;
    global T *line = memory + get_global_id(0) * (length + (ulong)how.w * columns * 2);
    global T *kept = line + length;
    global INDEX *kept_at = (global INDEX *)(kept + (ulong)how.w * columns);
    const ulong limit = planes * area, last_end = BEGIN(end);
    const PLACE lane = (PLACE)(COUNTED);
    for (int i = 0; i < length; i++) line[i] = -INFINITY;
    for (ulong part = begin; part < end; part++) {
        const ulong plane = part / parts / places.x;
        const int z = part / parts % places.x, first = part % parts * how.y;
        const int last = min(first + how.y, places.y);
        const int top = max(first * STRIDE_Y - PADDING_Y, 0);
        const int bottom =
            min((last - 1) * STRIDE_Y - PADDING_Y + (KERNEL_Y - 1) * DILATION_Y + 1, size.y);
        const int lines = max(bottom - top, 0);
        for (int kz = 0; kz < KERNEL_Z; kz++) {
            const int iz = z * STRIDE_Z - PADDING_Z + kz * DILATION_Z;
            if (IS_OUTSIDE(iz, size.x)) continue;
            for (int iy = top; iy < bottom; iy++) {
                if (DILATION_Y == 1 && (iy + PADDING_Y) % STRIDE_Y >= KERNEL_Y) continue;
                const ulong from = plane * area + ((ulong)iz * size.y + iy) * size.z;
                if (from + size.z + W <= limit) {
                    for (int i = 0; i < size.z; i += W)
                        PUT_WIDE(line + PADDING_X + i, OUT_V(in + offset_in, from + i));
                    PUT_WIDE(line + PADDING_X + size.z, (WIDE)(-INFINITY));
                } else {
                    for (int i = 0; i < size.z; i++)
                        line[PADDING_X + i] = OUT_LOAD(in + offset_in, from + i);
                }
                const ulong to = (ulong)(kz * lines + iy - top) * columns;
                for (int x = 0; x < places.z; x += W) {
                    const global T *p = line + x * STRIDE_X;
                    WIDE best = (WIDE)(-INFINITY);
                    PLACE at = 0;
                    if (x * STRIDE_X < PADDING_X)  // the first element that is not outside
                        for (int k = 1; k < KERNEL_X; k++)
                            at += (x + lane) * STRIDE_X + (k - 1) * DILATION_X < PADDING_X
                                ? (PLACE)DILATION_X : (PLACE)0;
                    for (int k = 0; k < KERNEL_X; k++) {
                        const WIDE v = READ_WIDE(p + k * DILATION_X);
                        TAKEN(v, (PLACE)(k * DILATION_X))
                    }
                    PUT_PLACE(kept_at + to + x, at);
                    PUT_WIDE(kept + to + x, best);
                }
            }
        }
        for (int y = first; y < last; y++) {
            const ulong to = plane * made + ((ulong)z * places.y + y) * places.z;
            for (int x = 0; x < places.z; x += W) {
                WIDE best = (WIDE)(-INFINITY);
                PLACE at = 0;
                int is_first = 1;
                for (int kz = 0; kz < KERNEL_Z; kz++) {
                    const int iz = z * STRIDE_Z - PADDING_Z + kz * DILATION_Z;
                    if (IS_OUTSIDE(iz, size.x)) continue;
                    for (int ky = 0; ky < KERNEL_Y; ky++) {
                        const int iy = y * STRIDE_Y - PADDING_Y + ky * DILATION_Y;
                        if (IS_OUTSIDE(iy, size.y)) continue;
                        const ulong q = (ulong)(kz * lines + iy - top) * columns + x;
                        const WIDE v = vloadW(0, kept + q);
                        const PLACE i = vloadW(0, kept_at + q) + (INDEX)((iz * size.y + iy) * size.z);
                        at = is_first ? i : at;
                        is_first = 0;
                        TAKEN(v, i)
                    }
                }
                const ulong there = to + x;
                const int n = min(W, places.z - x);
                at += (x + lane) * STRIDE_X - PADDING_X;
                // What is too much of a line is overwritten by the next.
                if (n == W || there + W <= last_end) {
                    OUT_SET_V(out + offset_out, there, best);
                    PUT_INDICES(indices + offset_indices + there, at)
                } else {
                    T value[W];
                    INDEX index[W];
                    vstoreW(best, 0, value);
                    vstoreW(at, 0, index);
                    for (int i = 0; i < n; i++) {
                        OUT_STORE(out + offset_out, there + i, value[i]);
                        indices[offset_indices + there + i] = index[i];
                    }
                }
            }
        }
    }
}
