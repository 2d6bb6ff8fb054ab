// Winograd's minimal filtering for windows of 3 by 3 with stride 1 or 2, point by point of y: image
// and filters are transformed by who multiplies them, into a cache, and what comes of a point is
// added to the outputs at once.
//
// T: what is computed in. VECTOR: WIDTH of them, which are channels or filters. POINTS: of a dim;
// FILTER_POINTS of them have filters of their own, and those after them the last one's. SIDE by SIDE
// places of the output are a tile, which is a row of the products. The last tile of a line or column
// may have fewer places, and then fewer points: HAS_POINT_Y(i), HAS_POINT_X(i). ROWS, COLUMNS, SUMS,
// PRODUCTS, PUT, ALL_ROWS: see gemm.cl.

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
            if (is_inside)
                for (int i = (first_x + width) * WIDTH; i < to_width * WIDTH; i++)
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

#define UNROLL _Pragma("unroll")

constant T of_image[2][POINTS][POINTS] = { IMAGE_ROWS, IMAGE_ROWS_LAST };
constant T of_filter[FILTER_POINTS][3] = FILTER_ROWS;
constant T of_output[2][SIDE][POINTS] = { OUTPUT_ROWS, OUTPUT_ROWS_LAST };

// A work item takes some rows and panels of filters. `tiles` has for each row where it begins in the
// image and in the output, and how many lines and places it has; first the last ones of their lines,
// up to `whole_x`, then whole ones, then from `last_y` on the last ones of their columns, and from
// `last_x` on those of both. All that lies between stays in a work item's part of `room`.
kernel void winograd(global T *out, global const T *image, global const T *weight, global T *room,
        global const int *tiles, global const T *bias, ulong offset_out, ulong offset_weight,
        ulong offset_bias, ulong limit_weight, ulong channels, ulong columns, ulong rows,
        ulong whole_x, ulong last_y, ulong last_x, ulong plane, ulong to_width, ulong out_column,
        ulong out_line, ulong weight_column, ulong weight_channel, ulong bias_step,
        ulong rows_at_once, ulong panels_at_once, ulong span)
{
    const ulong panels = columns / COLUMNS, parts = (panels - 1) / panels_at_once + 1;
    const ulong units = parts * ((rows - 1) / rows_at_once + 1);
    const ulong image_apart = rows_at_once * span + WIDTH, filter_apart = (span + 1) * COLUMNS;
    const ulong sum_apart = (rows_at_once + ROWS) * COLUMNS;
    global T *packed = room + get_global_id(0) * (panels_at_once * span * 9 * COLUMNS
        + POINTS * image_apart + FILTER_POINTS * filter_apart + POINTS * sum_apart
        + panels_at_once * rows_at_once * SIDE * SIDE * COLUMNS);
    global T *points = packed + panels_at_once * span * 9 * COLUMNS;
    global T *filters = points + POINTS * image_apart;
    global T *sums = filters + FILTER_POINTS * filter_apart;
    global T *places = sums + POINTS * sum_apart;
    for (ulong unit = get_global_id(0); unit < units; unit += get_global_size(0)) {
        const ulong panel = unit % parts * panels_at_once, first = unit / parts * rows_at_once;
        const ulong last = min(first + rows_at_once, rows);
        const ulong many = min(panels_at_once, panels - panel);
        for (ulong i = 0; i < many * rows_at_once * SIDE * SIDE * COLUMNS; i += WIDTH)
            vstoreWIDTH((VECTOR)0, 0, places + i);
        for (ulong channel = 0; channel < channels; channel += span) {
            const ulong given = min(span, channels - channel);
            for (ulong p = 0; p < many; p++)
                for (ulong c = 0; c < given; c++)
                    for (int v = 0; v < COLUMNS; v += WIDTH) {
                        const ulong begin = offset_weight + (channel + c) * weight_channel
                            + ((panel + p) * COLUMNS + v) * weight_column;
                        global T *to = packed + (p * span + c) * 9 * COLUMNS + v;
                        if (begin + (WIDTH - 1) * weight_column + WIDTH <= limit_weight) {
                            WOVEN(weight + begin, weight_column)
                            ALL_TAPS
                        } else
                            for (int k = 0; k < 9; k++)
                                for (int j = 0; j < WIDTH; j++)
                                    to[TAP(k) * COLUMNS + j] = weight[begin + j * weight_column + k];
                    }
            for (int i = 0; i < POINTS; i++) {
                const ulong seen = HAS_POINT_Y(i) ? last : min(last, last_y);
                for (ulong row = first; row < seen; row++) {
                    const bool is_last_x = row < whole_x || row >= last_x;
                    const global T *from = image + ((ulong)tiles[4 * row]
                        + channel / WIDTH * plane) * WIDTH;
                    global T *to = points + (row - first) * span;
                    for (ulong c = 0; c < given; c += WIDTH) {
                        VECTOR t[POINTS], d[POINTS];
                        UNROLL
                        for (int j = 0; j < POINTS; j++) t[j] = (VECTOR)0;
                        UNROLL
                        for (int k = 0; k < POINTS; k++) {
                            const T factor = of_image[row >= last_y][i][k];
                            if (factor == 0) continue;
                            const global T *line = from + k * to_width * WIDTH;
                            UNROLL
                            for (int j = 0; j < POINTS; j++)
                                t[j] = fma(factor, vloadWIDTH(0, line + j * WIDTH), t[j]);
                        }
                        if (is_last_x) IMAGE_LAST_X(t, 1, d, 1)
                        else IMAGE_LINE(t, 1, d, 1)
                        UNROLL
                        for (int j = 0; j < POINTS; j++)
                            if (!is_last_x || HAS_POINT_X(j))
                                vstoreWIDTH(d[j], 0, to + j * image_apart + c);
                        from += plane * WIDTH;
                    }
                }
                for (ulong p = 0; p < many; p++) {
                    for (ulong c = 0; c < given; c++)
                        for (int v = 0; v < COLUMNS; v += WIDTH) {
                            const global T *from = packed + (p * span + c) * 9 * COLUMNS + v;
                            VECTOR w[3], u[FILTER_POINTS];
                            UNROLL
                            for (int k = 0; k < 3; k++) w[k] = (VECTOR)0;
                            UNROLL
                            for (int j = 0; j < 3; j++) {
                                const T factor = of_filter[min(i, FILTER_POINTS - 1)][j];
                                if (factor == 0) continue;
                                UNROLL
                                for (int k = 0; k < 3; k++)
                                    w[k] = fma(factor,
                                        vloadWIDTH(0, from + (j * 3 + k) * COLUMNS), w[k]);
                            }
                            FILTER_LINE(w, 1, u, 1)
                            UNROLL
                            for (int j = 0; j < FILTER_POINTS; j++)
                                vstoreWIDTH(u[j], 0, filters + j * filter_apart + c * COLUMNS + v);
                        }
                    for (int j = 0; j < POINTS; j++) {
                        const global T *b = filters + min(j, FILTER_POINTS - 1) * filter_apart;
                        ulong row = HAS_POINT_X(j) ? first : max(first, whole_x);
                        const ulong end = HAS_POINT_X(j) ? seen : min(seen, last_x);
                        for (; row < end; row += ROWS) {
                            const global T *from = points + j * image_apart + (row - first) * span;
                            global T *to = sums + j * sum_apart + (row - first) * COLUMNS;
                            ulong begin[ROWS];
                            UNROLL
                            for (int k = 0; k < ROWS; k++)
                                begin[k] = min((ulong)k, end - row - 1) * span;
                            POINTERS
                            SUMS
                            for (ulong o = 0; o < given; o++) {
                                PRODUCTS(, b + o * COLUMNS)
                            }
#define ROW(k) PUT(k, to + k * COLUMNS)
                            ALL_ROWS
                        }
                    }
                    for (ulong row = first; row < seen; row++) {
                        const bool is_last_x = row < whole_x || row >= last_x;
                        for (int v = 0; v < COLUMNS; v += WIDTH) {
                            const global T *from = sums + (row - first) * COLUMNS + v;
                            global T *to = places
                                + (p * rows_at_once + row - first) * SIDE * SIDE * COLUMNS + v;
                            VECTOR d[POINTS], z[SIDE];
                            UNROLL
                            for (int j = 0; j < POINTS; j++)
                                d[j] = vloadWIDTH(0, from + j * sum_apart);
                            if (is_last_x) OUTPUT_LAST_X(d, 1, z, 1)
                            else OUTPUT_LINE(d, 1, z, 1)
                            UNROLL
                            for (int a = 0; a < SIDE; a++) {
                                const T factor = of_output[row >= last_y][a][i];
                                if (factor == 0) continue;
                                UNROLL
                                for (int k = 0; k < SIDE; k++) {
                                    global T *place = to + (a * SIDE + k) * COLUMNS;
                                    vstoreWIDTH(fma(factor, z[k], vloadWIDTH(0, place)), 0, place);
                                }
                            }
                        }
                    }
                }
            }
        }
        for (ulong row = first; row < last; row++) {
            global T *target = out + offset_out + tiles[4 * row + 1];
            const int m = tiles[4 * row + 2], n = tiles[4 * row + 3];
            for (ulong v = 0; v < many * COLUMNS; v += WIDTH) {
                const global T *from = places + (v / COLUMNS * rows_at_once + row - first)
                    * SIDE * SIDE * COLUMNS + v % COLUMNS;
                VECTOR y_[SIDE * SIDE];
                UNROLL
                for (int k = 0; k < SIDE * SIDE; k++) y_[k] = vloadWIDTH(0, from + k * COLUMNS);
                TURNED(y_)
                const ulong column = panel * COLUMNS + v;
#define FILTER(j, r0, r1, r2, r3) { \
                const T shift = BIASED(column + j); \
                global T *line = target + (column + j) * out_column; \
                if (n == SIDE && m == SIDE) { \
                    vstore4(ENDED(r0 + shift), 0, line); \
                    vstore4(ENDED(r1 + shift), 0, line + out_line); \
                    vstore4(ENDED(r2 + shift), 0, line + 2 * out_line); \
                    vstore4(ENDED(r3 + shift), 0, line + 3 * out_line); \
                } else { \
                    T corner[SIDE * SIDE]; \
                    vstore4(r0, 0, corner); vstore4(r1, 1, corner); \
                    vstore4(r2, 2, corner); vstore4(r3, 3, corner); \
                    for (int a = 0; a < m; a++) \
                        for (int b = 0; b < n; b++) \
                            line[a * out_line + b] = ENDED(corner[a * SIDE + b] + shift); \
                } }
                ALL_FILTERS
            }
        }
    }
}
