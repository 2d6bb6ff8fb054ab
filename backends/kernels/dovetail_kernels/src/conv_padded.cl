// Convolution on the host's cores where few planes are read or few are made: a work item puts lines
// of some planes into memory of its own, with zeros around them, and reads windows there at any
// shift, for all lines of a plane are one run: from place to place of the run everything a window
// sees moves by as much. Nothing is repeated but what lines of neighbouring blocks have in common.
//
// T: what is computed in. WIDE: W of them. READ_WIDE(p), PUT_WIDE(p, v): anywhere in memory.

// Lines of planes, `pitch` elements each, from column first_x of `in` on and from line first_y on,
// into `own`, a plane every `plane` elements. What is too much of a line is overwritten by the next.
#define PLANES(base_, count_, line_, lines_) { \
    const int start = clamp(-first_x, 0, pitch), stop = clamp(width - first_x, start, pitch); \
    for (int c = 0; c < (count_); c++) \
        for (int l = 0; l < (lines_); l++) { \
            global T *to = own + (ulong)c * plane + l * pitch; \
            const int y = (line_) + first_y + l, n = y >= 0 && y < height ? stop - start : 0; \
            const int before = n ? start : pitch, behind = n ? stop : pitch; \
            const ulong at = (base_) + c * step_channel + y * (long)step_line \
                + (start + first_x) * (long)step_place; \
            for (int x = 0; x < before; x += W) PUT_WIDE(to + x, (WIDE)0); \
            if (step_place == 1 && at + n + W <= limit_in) \
                for (int x = 0; x < n; x += W) PUT_WIDE(to + start + x, READ_WIDE(in + at + x)); \
            else \
                for (int x = 0; x < n; x++) to[start + x] = in[at + x * step_place]; \
            for (int x = behind; x < pitch; x += W) PUT_WIDE(to + x, (WIDE)0); \
        } \
}

#if IS_MAP
// Rows are filters, columns are places of the run. `at` has for each step of depth where it is in a
// row of the weight and in the planes; `phases` six numbers of each phase (all places, or those of
// an input's gradient that see the same elements of a window): elements of its window, where its
// steps begin, its lines and places, where it begins in the output.
kernel void padded(global T *out, global const T *in, global const T *weight,
        global const int *at, global const int *phases, global const T *bias, global T *room,
        ulong offset_out, ulong offset_in, ulong offset_weight, ulong offset_bias, ulong limit_in,
        ulong16 steps, int16 sizes, int8 blocks)
{
    // One argument each: a driver takes its time for every argument of a launch.
    const ulong step_image = steps.s0, step_channel = steps.s1, step_line = steps.s2;
    const ulong step_place = steps.s3, out_image = steps.s4, out_row = steps.s5;
    const ulong out_line = steps.s6, weight_group = steps.s7, weight_row = steps.s8;
    const ulong weight_channel = steps.s9, bias_step = steps.sa, out_step = steps.sb;
    const int images = sizes.s0, groups = sizes.s1, rows = sizes.s2, channels = sizes.s3;
    const int height = sizes.s4, width = sizes.s5, first_y = sizes.s6, first_x = sizes.s7;
    const int reach = sizes.s8, pitch = sizes.s9;
    const int plane = blocks.s0, lines = blocks.s1, phase_count = blocks.s2, span = blocks.s3;
    const int lines_at_once = blocks.s4, wide = blocks.s5, planes_room = blocks.s6;
    const int kept = blocks.s7;
    global T *own = room + get_global_id(0) * ((ulong)planes_room + phase_count * kept * wide);
    global T *sums = own + planes_room;
    const int high = (lines - 1) / lines_at_once + 1, all = images * groups * high;
    for (int unit = get_global_id(0); unit < all; unit += get_global_size(0)) {
        const int first_line = unit % high * lines_at_once, group = unit / high % groups;
        const int image = unit / high / groups, line_count = min(lines_at_once, lines - first_line);
        for (int from = 0; from < channels; from += span) {
            const int given = min(span, channels - from);
            PLANES(offset_in + image * step_image + (group * channels + from) * step_channel, given,
                first_line, line_count + reach)
            const bool is_last = from + given == channels;
            const global T *left = weight + offset_weight + group * weight_group
                + from * weight_channel;
            for (int row = 0; row < rows; row += ROWS) {
                global T *of_rows = sums + (ulong)(kept > ROWS ? row : 0) * wide;
                POINTERS
                for (int phase = 0; phase < phase_count; phase++) {
                    const global int *begin = at + 2 * phases[6 * phase + 1];
                    const global int *end = begin + 2 * phases[6 * phase] * given;
                    const int count = (line_count - 1) * pitch + phases[6 * phase + 3];
                    for (int column = 0; column < count; column += COLUMNS) {
                        global T *to = of_rows + phase * kept * wide + column;
                        const global T *here = own + column;
                        SUMS
                        if (from) { GET_ALL }
                        for (const global int *step = begin; step < end; step += 2) {
                            const long o = step[0];
                            const global T *right = here + step[1];
                            PRODUCTS
                        }
                        PUT_ALL
                    }
                }
                if (!is_last) continue;
                for (int phase = 0; phase < phase_count; phase += TOGETHER) {
                    const int of_phase = min(line_count, phases[6 * phase + 2] - first_line);
                    const int n = phases[6 * phase + 3];
                    for (int i = 0; i < min(ROWS, rows - row); i++) {
                        const T shift = BIASED(group * rows + row + i);
                        const global T *a = of_rows + (phase * kept + i) * wide;
                        global T *p = out + offset_out + image * out_image
                            + (ulong)(group * rows + row + i) * out_row + phases[6 * phase + 4]
                            + first_line * out_line;
                        for (int line = 0; line < of_phase; line++, a += pitch, p += out_line) {
                            int x = 0;
#if TOGETHER == 2
                            // Neighbours along a line are of two phases.
                            const global T *b = a + kept * wide;
                            const int m = phases[6 * phase + 9];
                            for (; x + W <= m; x += W) {
                                const WIDE u = ENDED(READ_WIDE(a + x) + shift);
                                const WIDE v = ENDED(READ_WIDE(b + x) + shift);
                                PUT_WIDE(p + 2 * x, LOW(u, v));
                                PUT_WIDE(p + 2 * x + W, HIGH(u, v));
                            }
                            for (; x < n; x++) {
                                p[2 * x] = ENDED(a[x] + shift);
                                if (x < m) p[2 * x + 1] = ENDED(b[x] + shift);
                            }
#else
                            if (out_step != 1) {
                                for (; x < n; x++) p[x * out_step] = ENDED(a[x] + shift);
                                continue;
                            }
                            for (; x + W <= n; x += W)
                                PUT_WIDE(p + x, ENDED(READ_WIDE(a + x) + shift));
                            if (x < n && n >= W) {
                                PUT_WIDE(p + n - W, ENDED(READ_WIDE(a + n - W) + shift));
                                x = n;
                            }
                            for (; x < n; x++) p[x] = ENDED(a[x] + shift);
#endif
                        }
                    }
                }
            }
        }
    }
}
#endif

#if IS_SUM
// The weight's gradient: sums over all places of an element of a window and of the output's gradient.
// A tile has FILTERS filters and, of LINES lines of windows, ACROSS elements each, in vectors of sums
// over every W-th place. EACH_SUM, EACH_FILTER and EACH_LINE name them. `lines_at` has for each line
// of a filter where it begins in the planes and in the output. A work item takes some filters, and
// makes the planes once more for them.
kernel void padded_sum(global T *out, global const T *in, global const T *grad,
        global const int *lines_at, global const int *steps, global T *room, ulong offset_out,
        ulong offset_in, ulong offset_grad, ulong limit_in, ulong step_image, ulong step_channel, ulong step_line,
        ulong step_place, ulong grad_image, ulong grad_column, ulong grad_line, ulong out_column,
        ulong out_across, int images, int groups, int columns, int channels, int height, int width,
        int first_y, int first_x, int reach, int pitch, int plane, int lines, int places, int depth,
        int lines_at_once, int planes_room, int sums_room)
{
    global T *own = room + get_global_id(0) * ((ulong)planes_room + sums_room);
    global T *sums = own + planes_room;
    const int bands = (columns - 1) / FILTERS + 1, blocks = (depth - 1) / LINES + 1;
    const int all = bands * groups, parts = get_global_size(0), part = get_global_id(0);
    const int begin = (long)all * part / parts, end = (long)all * (part + 1) / parts;
    const int rest = places % W, cut = places - W;
    const WHOLE is_rest = (WHOLE)(COUNTED) >= (WHOLE)(W - rest);
    for (int first = begin, next; first < end; first = next) {
        const int group = first / bands;
        next = min(end, (group + 1) * bands);
        for (int i = 0; i < (next - first) * blocks * SUMS; i++) PUT_WIDE(sums + i * W, (WIDE)0);
        for (int image = 0; image < images; image++)
        for (int first_line = 0; first_line < lines; first_line += lines_at_once) {
            const int line_count = min(lines_at_once, lines - first_line);
            PLANES(offset_in + image * step_image + group * channels * step_channel, channels,
                first_line, line_count + reach)
            const int count = 2 * (places / W) * line_count;
            global T *wait = sums;
            for (int band = first; band < next; band++) {
                const int column = band % bands * FILTERS;
                const global T *of_band = grad + offset_grad + image * grad_image
                    + (ulong)(group * columns + column) * grad_column
                    + (ulong)first_line * grad_line;
                for (int block = 0; block < blocks; block++, wait += SUMS * W) {
#define SUM(s, j) WIDE s = READ_WIDE(wait + j * W);
                    EACH_SUM
#undef SUM
#define FILTER(j) const global T *at_g##j = of_band + min(j, columns - 1 - column) * grad_column;
                    EACH_FILTER
#undef FILTER
#define LINE(j) const global T *at_e##j = own + lines_at[2 * min(block * LINES + j, depth - 1)];
                    EACH_LINE
#undef LINE
#define GRAD(j) READ_WIDE(at_g##j + step[0])
#define ELEMENT(j, o) READ_WIDE(at_e##j + step[1] + o)
                    for (const global int *step = steps; step < steps + count; step += 2) { ADDED }
#undef GRAD
#undef ELEMENT
                    if (rest)  // the last ones of a line, but those that were added above
                        for (int line = 0; line < line_count; line++) {
#define GRAD(j) MASKED(READ_WIDE(at_g##j + line * grad_line + cut), is_rest)
#define ELEMENT(j, o) MASKED(READ_WIDE(at_e##j + line * pitch + cut + o), is_rest)
                            ADDED
#undef GRAD
#undef ELEMENT
                        }
#define SUM(s, j) PUT_WIDE(wait + j * W, s);
                    EACH_SUM
#undef SUM
                }
            }
        }
        for (int band = first; band < next; band++)
            for (int block = 0; block < blocks; block++)
                for (int j = 0; j < SUMS; j++) {
                    const int filter = band % bands * FILTERS + j / (LINES * ACROSS);
                    const int line = block * LINES + j / ACROSS % LINES;
                    if (filter >= columns || line >= depth) continue;
                    const WIDE v = READ_WIDE(sums + (((band - first) * blocks + block) * SUMS + j) * W);
                    out[offset_out + (ulong)(group * columns + filter) * out_column
                        + lines_at[2 * line + 1] + j % ACROSS * out_across] = ADDED_UP(v);
                }
    }
}
#endif
