// Winograd's minimal filtering, F(4x4, 3x3): windows of 3 by 3 with stride 1, 36 products in place
// of 144 for each 4 by 4 places of the output (Lavin and Gray, arXiv:1509.09308).
//
// T: what is computed in. VECTOR: WIDTH of them, which are channels or filters. Points 0, 1, -1,
// 2, -2 and infinity. ROWS, COLUMNS, SUMS, PRODUCTS, PUT, ALL_ROWS: see gemm.cl.

#define SIDE 4
#define POINTS 6

// One dim of the three transforms, from `in` to `out`, whose elements are `a` and `b` apart.
#define IMAGE_LINE(in, a, out, b) { \
    const VECTOR d0 = (in)[0], d1 = (in)[a], d2 = (in)[2 * a], d3 = (in)[3 * a]; \
    const VECTOR d4 = (in)[4 * a], d5 = (in)[5 * a]; \
    const VECTOR e = fma((T)-4, d2, d4), o = fma((T)-4, d1, d3); \
    const VECTOR f = d4 - d2, p = (T)2 * (d3 - d1); \
    (out)[0] = fma((T)4, d0, fma((T)-5, d2, d4)); \
    (out)[b] = e + o; \
    (out)[2 * b] = e - o; \
    (out)[3 * b] = f + p; \
    (out)[4 * b] = f - p; \
    (out)[5 * b] = fma((T)4, d1, fma((T)-5, d3, d5)); }

#define FILTER_LINE(in, a, out, b) { \
    const VECTOR g0 = (in)[0], g1 = (in)[a], g2 = (in)[2 * a]; \
    const VECTOR e = (g0 + g2) * (T)(-1.0 / 6), f = fma((T)0.25, g0, g2) * (T)(1.0 / 6); \
    const VECTOR o = g1 * (T)(1.0 / 6), p = g1 * (T)(1.0 / 12); \
    (out)[0] = (T)0.25 * g0; \
    (out)[b] = e - o; \
    (out)[2 * b] = e + o; \
    (out)[3 * b] = f + p; \
    (out)[4 * b] = f - p; \
    (out)[5 * b] = g2; }

#define OUTPUT_LINE(in, a, out, b) { \
    const VECTOR p = (in)[a] + (in)[2 * a], m = (in)[a] - (in)[2 * a]; \
    const VECTOR q = (in)[3 * a] + (in)[4 * a], n = (in)[3 * a] - (in)[4 * a]; \
    (out)[0] = (in)[0] + p + q; \
    (out)[b] = fma((T)2, n, m); \
    (out)[2 * b] = fma((T)4, q, p); \
    (out)[3 * b] = fma((T)8, n, m) + (in)[5 * a]; }

// The image with zeros around it, WIDTH channels of a place next to each other:
// to[image][block of channels][y][x][channel]. Planes of `in` are dense.
// WOVEN(from, step): p0, p1, ... become WIDTH places of WIDTH channels.
kernel void block_image(global T *to, global const T *in, ulong offset_in, ulong images,
        ulong blocks, ulong step_image, ulong step_channel, int height, int width, int to_height,
        int to_width, int first_y, int first_x)
{
    for (ulong item = get_global_id(0); item < images * blocks; item += get_global_size(0)) {
        const global T *from = in + offset_in + item / blocks * step_image
            + item % blocks * WIDTH * step_channel;
        global T *out = to + item * to_height * to_width * WIDTH;
        for (int y = 0; y < to_height; y++) {
            const bool is_inside = y >= first_y && y < first_y + height;
            const int start = is_inside ? first_x : to_width;
            for (int i = 0; i < start * WIDTH; i++) out[y * to_width * WIDTH + i] = (T)0;
            for (int i = min(start + width, to_width) * WIDTH; i < to_width * WIDTH; i++)
                out[y * to_width * WIDTH + i] = (T)0;
        }
        const int places = height * width;
        for (int first = 0; first < places; first += WIDTH) {
            const int begin = min(first, places - WIDTH);
            int y = begin / width, x = begin % width;
            WOVEN(from + begin, step_channel)
#define PLACED(v) \
            vstoreWIDTH(v, 0, out + ((y + first_y) * to_width + x + first_x) * WIDTH); \
            if (++x == width) { x = 0; y++; }
            ALL_PLACED
        }
    }
}

// to[panel][point][channel][COLUMNS] from filters packed as [panel][channel][9][COLUMNS]. Points lie
// far apart, so that some channels are done before any of them is written.
#define AT_ONCE 8
#define VECTORS (COLUMNS / WIDTH)
kernel void filters(global T *to, global const T *packed, ulong panels, ulong channels)
{
    const ulong blocks = channels / AT_ONCE;
    for (ulong item = get_global_id(0); item < panels * blocks; item += get_global_size(0)) {
        const ulong panel = item / blocks, first = item % blocks * AT_ONCE;
        VECTOR u[POINTS * POINTS * AT_ONCE * VECTORS];
        for (int i = 0; i < AT_ONCE * VECTORS; i++) {
            const global T *from = packed + (item * AT_ONCE + i / VECTORS) * 9 * COLUMNS
                + i % VECTORS * WIDTH;
            VECTOR w[9], t[POINTS * 3];
            for (int j = 0; j < 9; j++) w[j] = vloadWIDTH(0, from + j * COLUMNS);
            for (int j = 0; j < 3; j++) FILTER_LINE(w + j, 3, t + j, 3)
            for (int j = 0; j < POINTS; j++)
                FILTER_LINE(t + j * 3, 1, u + j * POINTS * AT_ONCE * VECTORS + i, AT_ONCE * VECTORS)
        }
        for (int j = 0; j < POINTS * POINTS; j++) {
            global T *line = to + ((panel * POINTS * POINTS + j) * channels + first) * COLUMNS;
            for (int i = 0; i < AT_ONCE * VECTORS; i++)
                vstoreWIDTH(u[j * AT_ONCE * VECTORS + i], i, line);
        }
    }
}

// A work item takes some tiles of the output at a time: it transforms their image, multiplies
// point by point and transforms back, for one panel of filters after another. What lies between
// stays in its part of `room`.
kernel void winograd(global T *out, global const T *image, global const T *right, global T *room,
        global const T *bias, ulong offset_out, ulong offset_bias, ulong images, ulong channels,
        ulong columns, int height, int width, int to_height, int to_width, ulong out_image,
        ulong out_column, ulong out_line, ulong bias_step, ulong at_once)
{
    const ulong high = (height - 1) / SIDE + 1, wide = (width - 1) / SIDE + 1;
    const ulong tiles = images * high * wide, blocks = channels / WIDTH;
    global T *points = room + get_global_id(0) * POINTS * POINTS * at_once * (channels + COLUMNS);
    global T *sums = points + POINTS * POINTS * at_once * channels;
    for (ulong first = get_global_id(0) * at_once; first < tiles;
            first += get_global_size(0) * at_once) {
        const ulong rows = min(at_once, ((tiles - first - 1) / ROWS + 1) * ROWS);
        for (ulong i = 0; i < rows; i++) {
            const ulong tile = min(first + i, tiles - 1);
            const ulong x = tile % wide * SIDE, y = tile / wide % high * SIDE;
            const global T *from = image + tile / wide / high * blocks * to_height * to_width * WIDTH
                + (y * to_width + x) * WIDTH;
            for (ulong block = 0; block < blocks; block++) {
                VECTOR t[POINTS * POINTS], d[POINTS];
                for (int j = 0; j < POINTS; j++) {
                    for (int k = 0; k < POINTS; k++)
                        d[k] = vloadWIDTH(0, from + (k * to_width + j) * WIDTH);
                    IMAGE_LINE(d, 1, t + j, POINTS)
                }
                for (int j = 0; j < POINTS; j++) {
                    IMAGE_LINE(t + j * POINTS, 1, d, 1)
                    for (int k = 0; k < POINTS; k++)
                        vstoreWIDTH(d[k], 0,
                            points + ((j * POINTS + k) * at_once + i) * channels + block * WIDTH);
                }
                from += (ulong)to_height * to_width * WIDTH;
            }
        }
        for (ulong panel = 0; panel < columns / COLUMNS; panel++) {
            for (ulong point = 0; point < POINTS * POINTS; point++) {
                const global T *b = right + (panel * POINTS * POINTS + point) * channels * COLUMNS;
                for (ulong row = 0; row < rows; row += ROWS) {
                    const global T *from = points + (point * at_once + row) * channels;
                    global T *to = sums + (point * at_once + row) * COLUMNS;
                    ulong begin[ROWS];
                    for (int i = 0; i < ROWS; i++) begin[i] = i * channels;
                    POINTERS
                    SUMS
                    for (ulong o = 0; o < channels; o++) {
                        PRODUCTS(, b + o * COLUMNS)
                    }
#define ROW(i) PUT(i, to + i * COLUMNS)
                    ALL_ROWS
                }
            }
            for (ulong i = 0; i < min(rows, tiles - first); i++) {
                const ulong tile = first + i;
                const int x = (int)(tile % wide * SIDE), y = (int)(tile / wide % high * SIDE);
                global T *target = out + offset_out + tile / wide / high * out_image
                    + y * out_line + x;
                for (int v = 0; v < COLUMNS; v += WIDTH) {
                    const global T *from = sums + i * COLUMNS + v;
                    VECTOR t[SIDE * POINTS], d[POINTS];
                    for (int j = 0; j < POINTS; j++) {
                        for (int k = 0; k < POINTS; k++)
                            d[k] = vloadWIDTH(0, from + (k * POINTS + j) * at_once * COLUMNS);
                        OUTPUT_LINE(d, 1, t + j, POINTS)
                    }
                    VECTOR y_[SIDE * SIDE];
                    for (int j = 0; j < SIDE; j++) OUTPUT_LINE(t + j * POINTS, 1, y_ + j * SIDE, 1)
                    TURNED(y_)
                    const ulong column = panel * COLUMNS + v;
                    const int n = min(SIDE, width - x), m = min(SIDE, height - y);
#define FILTER(j, r0, r1, r2, r3) { \
                    const T shift = BIASED(column + j); \
                    global T *line = target + (column + j) * out_column; \
                    if (n == SIDE && m == SIDE) { \
                        vstore4(r0 + shift, 0, line); \
                        vstore4(r1 + shift, 0, line + out_line); \
                        vstore4(r2 + shift, 0, line + 2 * out_line); \
                        vstore4(r3 + shift, 0, line + 3 * out_line); \
                    } else { \
                        T corner[SIDE * SIDE]; \
                        vstore4(r0, 0, corner); vstore4(r1, 1, corner); \
                        vstore4(r2, 2, corner); vstore4(r3, 3, corner); \
                        for (int a = 0; a < m; a++) \
                            for (int b = 0; b < n; b++) \
                                line[a * out_line + b] = corner[a * SIDE + b] + shift; \
                    } }
                    ALL_FILTERS
                }
            }
        }
    }
}
