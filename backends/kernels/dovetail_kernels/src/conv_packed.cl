// Convolution on the host's cores whose weight is read where it lies: rows are filters, columns are
// places, so that a tile's vectors are neighbours in the output. A work item packs the windows of a
// block of places, for some channels at a time, into memory of its own, which stays in a cache while
// all filters pass:
//     columns[channel][shift][place] = x[channel][place * stride + shift], zero outside of x
// and each phase (all places, or those of an input's gradient that see the same elements of a
// window) is a product of rows of the weight and some of these lines: `at` has for each step of depth
// where it is in a row and among the columns.
//
// WIDE: W elements of T. TILE: ROWS by COLUMNS of the output in vectors with names; a narrow one has
// more rows and one vector. READ_WIDE(p): elements that are STEP apart. Lines are STRIDE apart.

#define TILED(rows_, columns_, pointers_, sums_, get_, products_, put_) \
    for (int row = 0; row < many; row += rows_) { \
        global T *to = sums + ((phase * segment + row) * wide + column); \
        const global T *here = columns + column; \
        pointers_ \
        sums_ \
        if (from) { get_ } \
        for (const global int *step = begin; step < end; step += 2) { \
            const long o = step[0]; \
            const global T *right = here + step[1]; \
            products_ \
        } \
        put_ \
    }

// A few lines, or all places of a block at once where lines of x and of places follow each other
// alike; `masks` has a 1 bit everywhere where there is an element. What is too much of a line is
// overwritten by the next.
#define FILLED_LINES(lines_, value_) \
    for (int x = 0; x < (lines_) * places; x += W) PUT_WIDE(to + done * places + x, value_);
#define PACKED_LINES { \
    int done = 0; \
    FILLED_LINES(top, (WIDE)0) \
    if (at + top * jump >= 0 && at + (bottom - 1) * jump + (places + W) * STEP <= (long)limit_in) { \
        const global T *p = in + at + top * jump; \
        global T *line = to + top * places; \
        if (places <= W) { \
            const MASK mask = (LANES >= begin) & (LANES < end); \
            for (done = top; done < bottom; done++, p += jump, line += places) \
                PUT_WIDE(line, MASKED(READ_WIDE(p), mask)); \
        } else if (places <= 2 * W) { \
            const MASK mask = (LANES >= begin) & (LANES < end); \
            const MASK other = (LANES + W >= begin) & (LANES + W < end); \
            for (done = top; done < bottom; done++, p += jump, line += places) { \
                PUT_WIDE(line, MASKED(READ_WIDE(p), mask)); \
                PUT_WIDE(line + W, MASKED(READ_WIDE(p + W * STEP), other)); \
            } \
        } else \
            for (done = top; done < bottom; done++, p += jump, line += places) { \
                for (int x = 0; x < places; x += W) PUT_WIDE(line + x, READ_WIDE(p + x * STEP)); \
                for (int x = 0; x < begin; x++) line[x] = (T)0; \
                for (int x = end; x < places; x++) line[x] = (T)0; \
            } \
    } else \
        for (done = top; done < bottom; done++) \
            for (int x = 0; x < places; x++) \
                to[done * places + x] = \
                    x >= begin && x < end ? in[at + done * jump + x * STEP] : (T)0; \
    FILLED_LINES(line_count - done, (WIDE)0) \
}
#if IS_ALIKE
#define PACKED \
    if (at >= 0 && at + line_count * places + W <= (long)limit_in) { \
        const global int *mask = masks + (s * lines + first_line) * places; \
        for (int x = 0; x < line_count * places; x += W) \
            PUT_WIDE(to + x, MASKED(READ_WIDE(in + at + x), READ_MASK(mask + x))); \
    } else PACKED_LINES
#else
#define PACKED PACKED_LINES
#endif

kernel void packed(global T *out, global const T *in, global const T *weight,
        global const int *at, global const int *shifts, global const int *phases,
        global const int *masks, global const T *bias, global T *room, ulong offset_out,
        ulong offset_in, ulong offset_weight, ulong offset_bias, ulong limit_in, ulong step_image,
        ulong step_channel, ulong step_line, ulong out_image, ulong out_row, ulong out_line,
        ulong weight_group, ulong weight_row, ulong weight_channel, ulong bias_step, int images,
        int groups, int rows, int channels, int height, int width, int lines, int places,
        int shift_count, int phase_count, int span, int images_at_once,
        int lines_at_once, int segment, int wide)
{
    global T *columns = room
        + get_global_id(0) * (ulong)wide * (span * shift_count + phase_count * segment);
    global T *sums = columns + (ulong)wide * span * shift_count;
    const int high = (lines - 1) / lines_at_once + 1, parts = (rows - 1) / segment + 1;
    const int batches = (images - 1) / images_at_once + 1, all = groups * parts * batches * high;
    for (int unit = get_global_id(0); unit < all; unit += get_global_size(0)) {
        const int part = unit % parts, first_line = unit / parts % high * lines_at_once;
        const int first_image = unit / parts / high % batches * images_at_once;
        const int group = unit / parts / high / batches;
        const int image_count = min(images_at_once, images - first_image);
        const int line_count = min(lines_at_once, lines - first_line);
        const int many = min(segment, rows - part * segment), first_row = part * segment;
        const int count = image_count * line_count * places;
        for (int from = 0; from < channels; from += span) {
            const int given = min(span, channels - from);
            for (int c = 0; c < given; c++)
                for (int s = 0; s < shift_count; s++) {
                    global T *to = columns + (ulong)(c * shift_count + s) * wide;
                    const int y = first_line * STRIDE + shifts[4 * s];
                    const int begin = shifts[4 * s + 2], end = shifts[4 * s + 3];
                    const int top = clamp((STRIDE - 1 - y) / STRIDE, 0, line_count);
                    const int bottom = clamp((height - y + STRIDE - 1) / STRIDE, top, line_count);
                    const long jump = STRIDE * (long)step_line;
                    for (int i = 0; i < image_count; i++, to += line_count * places) {
                        const long at = offset_in + (first_image + i) * step_image
                            + (group * channels + from + c) * step_channel
                            + y * (long)step_line + shifts[4 * s + 1];
                        PACKED
                    }
                }
            const global T *left = weight + offset_weight + group * weight_group
                + (ulong)first_row * weight_row + from * weight_channel;
            for (int phase = 0; phase < phase_count; phase++) {
                const global int *begin = at + 2 * phases[6 * phase + 1];
                const global int *end = begin + 2 * phases[6 * phase] * given;
                int column = 0;
                for (; column + W < count; column += COLUMNS)
                    TILED(ROWS, COLUMNS, POINTERS, SUMS, GET_ALL, PRODUCTS(, right), PUT_ALL)
                if (column < count)
                    TILED(NARROW_ROWS, W, NARROW_POINTERS, NARROW_SUMS, NARROW_GET_ALL,
                        NARROW_PRODUCTS(, right), NARROW_PUT_ALL)
            }
        }
        const ulong target = offset_out + first_image * out_image
            + (ulong)(group * rows + first_row) * out_row;
        for (int phase = 0; phase < phase_count; phase += TOGETHER) {
            const int of_phase = min(line_count, phases[6 * phase + 2] - first_line);
            const int n = phases[6 * phase + 3];
            for (int row = 0; row < many; row++) {
                const T shift = BIASED(group * rows + first_row + row);
                const global T *from = sums + (ulong)(phase * segment + row) * wide;
                for (int i = 0; i < image_count; i++, from += line_count * places) {
                    global T *to = out + target + i * out_image + row * out_row
                        + phases[6 * phase + 4] + first_line * out_line;
#if TOGETHER == 2
                    // Neighbours along a line are of two phases.
                    const global T *other = from + (ulong)segment * wide;
                    const int m = phases[6 * phase + 9];
                    for (int line = 0; line < of_phase; line++) {
                        const global T *a = from + line * places, *b = other + line * places;
                        global T *p = to + line * out_line;
                        int x = 0;
                        for (; x + W <= m; x += W) {
                            const WIDE u = ENDED(READ_ONE(a + x) + shift);
                            const WIDE v = ENDED(READ_ONE(b + x) + shift);
                            PUT_WIDE(p + 2 * x, LOW(u, v));
                            PUT_WIDE(p + 2 * x + W, HIGH(u, v));
                        }
                        for (; x < n; x++) {
                            p[2 * x] = ENDED(a[x] + shift);
                            if (x < m) p[2 * x + 1] = ENDED(b[x] + shift);
                        }
                    }
#elif OUT_STEP == 1
                    const bool is_run = out_line == places && n == places;
                    const int runs = is_run ? min(1, of_phase) : of_phase;
                    const int length = is_run ? of_phase * n : n;
                    for (int line = 0; line < runs; line++) {
                        const global T *a = from + line * places;
                        global T *p = to + line * out_line;
                        int x = 0;
                        for (; x + W <= length; x += W)
                            PUT_WIDE(p + x, ENDED(READ_ONE(a + x) + shift));
                        for (; x < length; x++) p[x] = ENDED(a[x] + shift);
                    }
#else
                    for (int line = 0; line < of_phase; line++)
                        for (int x = 0; x < n; x++)
                            to[line * out_line + x * OUT_STEP]
                                = ENDED(from[line * places + x] + shift);
#endif
                }
            }
        }
    }
}
