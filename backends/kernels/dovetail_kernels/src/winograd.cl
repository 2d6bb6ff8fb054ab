// Winograd's minimal filtering for windows of 3 by 3 with stride 1 or 2. A work item takes some
// lines of tiles, and for some channels at a time turns the image's lines that they see, transforms
// them point by point, and passes panels of filters, which it transforms too; what comes of a point
// of y is added to the outputs at once. All that lies between stays in its part of `room`.
//
// T: what is computed in. VECTOR: WIDTH of them, which are channels or filters. POINTS: of a dim;
// FILTER_POINTS of them have filters of their own, and those after them the last one's. SIDE by SIDE
// places of the output are a tile, which is a row of the products; from tile to tile the image goes
// on by STEP. The last tile of a line or column may have fewer places, and then fewer points:
// HAS_POINT_Y(i), HAS_POINT_X(i). ROWS, COLUMNS, SUMS, PRODUCTS, PUT, ALL_ROWS: see gemm.cl; FEW_:
// the same for fewer rows. WOVEN(from, step): WIDTH vectors `step` apart become as many, with all
// their first elements, all their second ones, ...

#define UNROLL _Pragma("unroll")

constant T of_image[2][POINTS][SEEN] = { IMAGE_ROWS, IMAGE_ROWS_LAST };
constant T of_output[2][SIDE][POINTS] = { OUTPUT_ROWS, OUTPUT_ROWS_LAST };

static inline void put_zeros(global T *to, int places)
{
    for (int i = 0; i < places; i++) vstoreWIDTH((VECTOR)0, 0, to + i * WIDTH);
}

// Lines y, y + 1, ... of WIDTH channels from place x on, zero outside of the image:
// to[line][place][channel], lines `pitch` places apart. Vectors are read to their end, within the
// plane, so up to WIDTH places before and behind these lines are written too.
static inline void turn_image(global T *to, global const T *from, ulong step_channel, int height,
        int width, int y, int x, int pitch, bool is_whole)
{
    const int top = clamp(-y, 0, SEEN), bottom = clamp(height - y, top, SEEN);
    const int left = clamp(-x, 0, pitch), right = clamp(width - x, left, pitch);
    const int runs = is_whole ? min(1, bottom - top) : bottom - top;
    const int length = is_whole ? (bottom - top) * width : right - left;
    for (int run = top; run < top + runs; run++) {
        const int start = (y + run) * width + x + left;
        for (int done = 0; done < length; done += WIDTH) {
            const int begin = min(start + done, height * width - WIDTH);
            int line = begin / width, place = begin - line * width;
            global T *at = to + ((line - y) * pitch + place - x) * WIDTH;
            WOVEN(from + begin, step_channel)
#define PLACED(v) \
            vstoreWIDTH(v, 0, at); \
            at += WIDTH; \
            if (++place == width && is_whole) { place = 0; at += (pitch - width) * WIDTH; }
            ALL_PLACED
        }
    }
    put_zeros(to, top * pitch);
    for (int line = top; line < bottom; line++) {
        put_zeros(to + line * pitch * WIDTH, left);
        put_zeros(to + (line * pitch + right) * WIDTH, pitch - right);
    }
    put_zeros(to + bottom * pitch * WIDTH, (SEEN - bottom) * pitch);
}

// A tile of WIDTH channels: its points, `apart` from each other.
static inline void transform_image(global T *to, global const T *from, ulong apart, int pitch,
        bool is_last_y, bool is_last_x)
{
    for (int i = 0; i < POINTS; i++) {
        if (is_last_y && !(HAS_POINT_Y(i))) continue;
        VECTOR t[SEEN], d[POINTS];
        UNROLL
        for (int j = 0; j < SEEN; j++) t[j] = (VECTOR)0;
        UNROLL
        for (int k = 0; k < SEEN; k++) {
            const T factor = of_image[is_last_y][i][k];
            if (factor == 0) continue;
            global const T *line = from + k * pitch * WIDTH;
            UNROLL
            for (int j = 0; j < SEEN; j++)
                t[j] = fma(factor, vloadWIDTH(0, line + j * WIDTH), t[j]);
        }
        if (is_last_x) IMAGE_LAST_X(t, 1, d, 1)
        else IMAGE_LINE(t, 1, d, 1)
        UNROLL
        for (int j = 0; j < POINTS; j++)
            if (!is_last_x || HAS_POINT_X(j)) vstoreWIDTH(d[j], 0, to + (i * POINTS + j) * apart);
    }
}

#define TAPPED(k, v) vstoreWIDTH(v, 0, at + k * COLUMNS);

// WIDTH channels of a panel of filters: to[channel][tap][filter].
static inline void turn_filters(global T *to, global const T *weight, ulong begin, ulong limit,
        ulong step, ulong step_channel)
{
    for (int v = 0; v < COLUMNS; v += WIDTH, begin += WIDTH * step, to += WIDTH) {
#if !IS_TURNED
        if (step_channel == 9) {
            for (int done = 0; done < WIDTH * 9; done += WIDTH) {
                global T *at = to + done * COLUMNS;
                WOVEN(weight + begin + done, step)
                ALL_TAPPED
            }
            continue;
        }
#endif
        for (int c = 0; c < WIDTH; c++) {
            const ulong first = begin + c * step_channel;
            global T *at = to + c * 9 * COLUMNS;
            if (first + (WIDTH - 1) * step + WIDTH <= limit) {
                WOVEN(weight + first, step)
                ALL_TAPS
            } else
                for (int k = 0; k < 9; k++)
                    for (int j = 0; j < WIDTH; j++)
                        at[TAP(k) * COLUMNS + j] = weight[first + j * step + k];
        }
    }
}

// Their points, `apart` from each other: to[point][channel][filter].
static inline void transform_filters(global T *to, global const T *from, ulong apart)
{
    for (int c = 0; c < WIDTH * COLUMNS; c += COLUMNS)
        for (int v = 0; v < COLUMNS; v += WIDTH) {
            VECTOR taps[9], lines[FILTER_POINTS * 3];
            UNROLL
            for (int k = 0; k < 9; k++) taps[k] = vloadWIDTH(0, from + c * 9 + k * COLUMNS + v);
            UNROLL
            for (int k = 0; k < 3; k++) FILTER_LINE(taps + k, 3, lines + k, 3)
            UNROLL
            for (int i = 0; i < FILTER_POINTS; i++) {
                VECTOR u[FILTER_POINTS];
                FILTER_LINE(lines + i * 3, 1, u, 1)
                UNROLL
                for (int j = 0; j < FILTER_POINTS; j++)
                    vstoreWIDTH(u[j], 0, to + (i * FILTER_POINTS + j) * apart + c + v);
            }
        }
}

#define TILED(rows_, left_, sums_, products_, all_) { \
    global const T *from = left + row * row_apart; \
    global T *to = sums + j * sum_apart + row * COLUMNS; \
    ulong begin[rows_]; \
    UNROLL \
    for (int k = 0; k < rows_; k++) begin[k] = min(k, end - row - 1) * row_apart; \
    left_ \
    sums_ \
    for (int o = 0; o < given; o++) { products_ } \
    all_ \
    row += rows_; }
#define ROW(k) PUT(k, to + k * COLUMNS)

// Adds what comes of line i of the points to a tile's places.
static inline void add(global T *to, global const T *from, ulong apart, int i, int pitch,
        bool is_last_y, bool is_last_x)
{
    for (int v = 0; v < COLUMNS; v += WIDTH) {
        VECTOR d[POINTS], z[SIDE];
        UNROLL
        for (int j = 0; j < POINTS; j++) d[j] = vloadWIDTH(0, from + j * apart + v);
        if (is_last_x) OUTPUT_LAST_X(d, 1, z, 1)
        else OUTPUT_LINE(d, 1, z, 1)
        UNROLL
        for (int a = 0; a < SIDE; a++) {
            const T factor = of_output[is_last_y][a][i];
            if (factor == 0) continue;
            UNROLL
            for (int k = 0; k < SIDE; k++) {
                global T *place = to + (a * pitch + k) * COLUMNS + v;
                vstoreWIDTH(fma(factor, z[k], vloadWIDTH(0, place)), 0, place);
            }
        }
    }
}

// What is done with sums: places of lines of tiles become lines of the output, WIDTH filters at a
// time. Lines of whole tiles follow each other there as here.
static inline void put_places(global T *out, global const T *from, ulong out_column, int length,
        global const T *bias, ulong bias_step)
{
    for (int done = 0; done < length; done += WIDTH) {
        const int begin = min(done, length - WIDTH);
        if (begin < 0) {
            for (int j = 0; j < WIDTH; j++)
                for (int k = 0; k < length; k++)
                    out[j * out_column + k] = ENDED(from[k * COLUMNS + j] + BIASED(j));
            break;
        }
        WOVEN(from + begin * COLUMNS, COLUMNS)
#define FILTER(j, v) vstoreWIDTH(ENDED(v + BIASED(j)), 0, out + j * out_column + begin);
        ALL_FILTERS
    }
}

// `plan` has 8 numbers for each unit: its first segment and how many, its first tile and how many,
// and from which row on tiles are not the last of a line, are the last of a column, and of both.
// Then 8 for each segment, a line of tiles: where its image is, y and x in it, where it is in the
// output, its lines and places, its tiles and the first one. For each tile of a segment its row, and
// for each row its first place among those of the unit.
kernel void winograd(global T *out, global const T *in, global const T *weight, global T *room,
        global const int *plan, global const T *bias, ulong offset_out, ulong offset_in,
        ulong offset_weight, ulong offset_bias, ulong limit_weight, ulong8 steps, int8 sizes,
        int8 counts)
{
    const ulong step_channel = steps.s0, out_column = steps.s1, weight_column = steps.s2;
    const ulong weight_channel = steps.s3, bias_step = steps.s4;
    const int height = sizes.s0, width = sizes.s1, pitch_in = sizes.s2, slack = sizes.s3;
    const int pitch = sizes.s4, pitch_out = sizes.s5, span = sizes.s6;
    const bool is_whole = sizes.s7;
    const int channels = counts.s0, panels = counts.s1, groups = counts.s2, segments = counts.s3;
    const int tiles = counts.s4, most_segments = counts.s5, most_rows = counts.s6;
    const int panels_at_once = counts.s7, parts = (panels - 1) / panels_at_once + 1;
    const bool is_at_once = channels <= span;
    const ulong row_apart = POINTS * POINTS * span + WIDTH, filter_apart = (span + 1) * COLUMNS;
    const ulong sum_apart = (most_rows + ROWS) * COLUMNS;
    const ulong places_apart = (most_segments * SIDE * pitch + SIDE) * COLUMNS;
    const ulong turned_size = (SEEN * pitch_in + 2 * slack) * WIDTH;
    const ulong packed_size = WIDTH * 9 * COLUMNS;
    const ulong filters_size = FILTER_POINTS * FILTER_POINTS * filter_apart;
    global T *turned = room + get_global_id(0) * (turned_size + most_rows * row_apart + packed_size
        + filters_size + POINTS * sum_apart + (is_at_once ? 1 : panels_at_once) * places_apart);
    global T *points = turned + turned_size;
    global T *packed = points + most_rows * row_apart;
    global T *filters = packed + packed_size;
    global T *sums = filters + filters_size;
    global T *all_places = sums + POINTS * sum_apart;
    turned += slack * WIDTH;
    const int units = groups * parts;
    const int last_unit = units * (get_global_id(0) + 1) / get_global_size(0);
    for (int u = units * get_global_id(0) / get_global_size(0); u < last_unit; u++) {
        global const int *unit = plan + u / parts * 8;
        global const int *segment = plan + groups * 8 + unit[0] * 8;
        global const int *row_of = plan + groups * 8 + segments * 8;
        global const int *place_of = row_of + tiles + unit[2];
        const int panel = u % parts * panels_at_once, many = min(panels_at_once, panels - panel);
        const int rows = unit[3], whole_x = unit[4], last_y = unit[5], last_x = unit[6];
        for (int channel = 0; channel < channels; channel += span) {
            const int given = min(span, channels - channel);
            for (int s = 0; s < unit[1]; s++)
                for (int c = 0; c < given; c += WIDTH) {
                    global const int *of = segment + s * 8;
                    turn_image(turned, in + offset_in + (ulong)of[0]
                        + (channel + c) * step_channel, step_channel, height, width, of[1], of[2],
                        pitch_in, is_whole);
                    for (int t = 0; t < of[6]; t++) {
                        const int row = row_of[of[7] + t];
                        transform_image(points + row * row_apart + c, turned + t * STEP * WIDTH,
                            span, pitch_in, row >= last_y, row < whole_x || row >= last_x);
                    }
                }
            for (int p = 0; p < many; p++) {
                const ulong column = (panel + p) * COLUMNS;
                global T *places = all_places + (is_at_once ? 0 : p) * places_apart;
                if (!channel)
                    for (ulong k = 0; k < places_apart; k += WIDTH)
                        vstoreWIDTH((VECTOR)0, 0, places + k);
                for (int c = 0; c < given; c += WIDTH) {
                    turn_filters(packed, weight, offset_weight + (channel + c) * weight_channel
                        + column * weight_column, limit_weight, weight_column, weight_channel);
                    transform_filters(filters + c * COLUMNS, packed, filter_apart);
                }
                for (int i = 0; i < POINTS; i++) {
                    const int seen = HAS_POINT_Y(i) ? rows : min(rows, last_y);
                    for (int j = 0; j < POINTS; j++) {
                        global const T *b = filters + (min(i, FILTER_POINTS - 1) * FILTER_POINTS
                            + min(j, FILTER_POINTS - 1)) * filter_apart;
                        global const T *left = points + (i * POINTS + j) * span;
                        int row = HAS_POINT_X(j) ? 0 : whole_x;
                        const int end = HAS_POINT_X(j) ? seen : min(seen, last_x);
                        while (end - row > FEW_ROWS)
                            TILED(ROWS, POINTERS, SUMS, PRODUCTS(, b + o * COLUMNS), ALL_ROWS)
                        if (row < end)
                            TILED(FEW_ROWS, FEW_POINTERS, FEW_SUMS,
                                FEW_PRODUCTS(, b + o * COLUMNS), FEW_ALL_ROWS)
                    }
                    for (int row = 0; row < seen; row++)
                        add(places + place_of[row] * COLUMNS, sums + row * COLUMNS, sum_apart, i,
                            pitch, row >= last_y, row < whole_x || row >= last_x);
                }
                if (channel + given < channels) continue;
                for (int s = 0; s < unit[1]; s++) {
                    global const int *of = segment + s * 8;
                    const int runs = is_whole ? 1 : of[4];
                    for (int run = 0; run < runs; run++)
                        for (int v = 0; v < COLUMNS; v += WIDTH)
                            put_places(out + offset_out + (ulong)of[3] + (ulong)run * pitch_out
                                + (column + v) * out_column,
                                places + (s * SIDE + run) * pitch * COLUMNS + v, out_column,
                                is_whole ? of[4] * of[5] : of[5],
                                bias + offset_bias + (column + v) * bias_step, bias_step);
                }
            }
        }
    }
}
