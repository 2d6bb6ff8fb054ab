// Convolution for groups of few filters on the host's cores: a work item puts the planes of a group
// into memory of its own, with zeros around them, where they stay in a cache while it computes all
// that is wanted of them. Tables are those of conv.cl, lanes those of conv_direct.cl.
//
// T: what is computed in. WIDE: W of them; IN_V(p, i) loads as many, PUT_WIDE(p, v) stores them.

#define PLANE_NUMBERS ulong room, ulong given, ulong limit_in, ulong step_image, \
    ulong step_channel, ulong step_z, ulong step_y, ulong step_x, long depth, long height, \
    long width, long to_depth, long to_height, long to_width, long first_z, long first_y, \
    long first_x

// Zeros everywhere; FILLED writes the same places each time, so those around them stay.
#define CLEARED_PLANES \
    global T *own = planes + get_global_id(0) * room; \
    for (ulong i = 0; i < room; i++) own[i] = (T)0;

// The planes of a group, from `from` on in `in`. A line is copied by whole vectors, and zeros are
// put back behind it; limit_in is where `in` ends.
#define FILLED(from) { \
    const long start = clamp(first_x, 0l, to_width), stop = clamp(first_x + width, start, to_width); \
    const long top = clamp(first_y, 0l, to_height); \
    const long bottom = clamp(first_y + height, top, to_height); \
    const long front = clamp(first_z, 0l, to_depth), back = clamp(first_z + depth, front, to_depth); \
    for (ulong c = 0; c < given; c++) \
        for (long z = front; z < back; z++) \
            for (long y = top; y < bottom; y++) { \
                const ulong at = (from) + c * step_channel + (z - first_z) * step_z \
                    + (y - first_y) * step_y + (start - first_x) * step_x; \
                global T *to = own + ((c * to_depth + z) * to_height + y) * to_width + start; \
                const long n = stop - start; \
                if (step_x == 1 && at + n + W <= limit_in) { \
                    for (long i = 0; i < n; i += W) PUT_WIDE(to + i, IN_V(in, at + i)); \
                    PUT_WIDE(to + n, (WIDE)0); \
                } else { \
                    for (long i = 0; i < n; i++) to[i] = LOADED(at + i * step_x); \
                } \
            } \
}

#if IS_PLANES
// Phase by phase: all places, or those of an input's gradient that see the same elements of a
// window. `phases` has six numbers of each: its planes, lines and places of a line, elements of its
// window and where these begin in the tables, and where it begins in the output. IS_PAIRED: two
// phases at a time are neighbours along a line.
kernel void planes(global OUT_MEMORY *out, global const IN_MEMORY *in,
        global const WEIGHT_MEMORY *weight, global const int *depth_at,
        global const int *weight_at, global const int *phases, global const BIAS_MEMORY *bias,
        global T *planes, ulong offset_out, ulong offset_in, ulong offset_weight,
        ulong offset_bias, PLANE_NUMBERS, ulong images, ulong groups, ulong columns, ulong count,
        ulong x_plane, ulong x_line, ulong out_group, ulong out_image, ulong out_plane,
        ulong out_line, ulong out_place, ulong out_column, ulong weight_group,
        ulong weight_column, ulong bias_step)
{
    CLEARED_PLANES
    const ulong all = images * groups, share = (all - 1) / get_global_size(0) + 1;
    const ulong begin = get_global_id(0) * share, end = min(all, begin + share);
    for (ulong unit = begin; unit < end; unit++) {
        const ulong image = unit / groups, group = unit % groups;
        FILLED(offset_in + image * step_image + group * given * step_channel)
        for (ulong column = 0; column < columns; column++) {
            const T shift = BIASED(group * columns + column);
            const ulong filter = offset_weight + group * weight_group + column * weight_column;
            for (ulong phase = 0; phase < count; phase += IS_PAIRED ? 2 : 1) {
                const global int *of_phase = phases + 6 * phase;
                const int slices = of_phase[0], lines = of_phase[1], places = of_phase[2];
                // Where lines are neighbours, the next one is written after what is too much of one.
                const bool is_run = out_place == 1 && out_line == places;
                for (int slice = 0; slice < slices; slice++)
                for (int line = 0; line < lines; line += LINES) {
                    const ulong to = offset_out + image * out_image + group * out_group
                        + column * out_column + of_phase[5] + slice * out_plane + line * out_line;
                    for (int first = 0; first < places; first += LANES) {
#define LINE(j) const global T *q##j = own + slice * x_plane \
                            + min(line + j, lines - 1) * x_line + first * STEP;
                        EACH_LINE
#undef LINE
                        TILE_CLEARED
                        for (int k = of_phase[4]; k < of_phase[4] + of_phase[3]; k++) {
                            const VECTOR w = (VECTOR)(WEIGHT_LOADED(filter + weight_at[k]));
                            const int o = depth_at[k];
                            TILE_ADDED(w, o)
                        }
#if IS_PAIRED
                        OTHER_CLEARED
                        for (int k = of_phase[10]; k < of_phase[10] + of_phase[9]; k++) {
                            const VECTOR w = (VECTOR)(WEIGHT_LOADED(filter + weight_at[k]));
                            const int o = depth_at[k];
                            OTHER_ADDED(w, o)
                        }
                        const int others = of_phase[8];
                        T lane[2 * LANES];
// Two vectors, v places from `first` on, woven.
#define PAIR(v, low, high) \
                        if (IS_SAME && first + v + WIDTH <= others) { \
                            STORE_VECTOR((global T *)out + there + 2 * v, low) \
                            STORE_VECTOR((global T *)out + there + 2 * v + WIDTH, high) \
                        } else { \
                            PUT_VECTOR(lane, low) \
                            PUT_VECTOR(lane + WIDTH, high) \
                            const int n = min(2 * WIDTH, places + others - 2 * (first + v)); \
                            for (int i = 0; i < n; i++) \
                                OUT_STORE(out, there + 2 * v + i, RESULT(ENDED(lane[i] + shift))); \
                        }
#define LINE(j) \
                        if (line + j < lines) { \
                            const ulong there = to + j * out_line + first * 2; \
                            EACH_PAIR(j) \
                        }
#else
                        const int n = min(LANES, places - first);
                        T lane[LANES];
#define LINE(j) \
                        if (line + j < lines) { \
                            const ulong there = to + j * out_line + first * out_place; \
                            if (IS_SAME && out_place == 1 && (n == LANES \
                                    || is_run && (line + j) * places + first + LANES \
                                        <= lines * places)) { \
                                STORE_LINE(j, (global T *)out + there, shift) \
                            } else { \
                                PUT_LINE(j, lane) \
                                for (int i = 0; i < n; i++) \
                                    OUT_STORE(out, there + i * out_place, \
                                        RESULT(ENDED(lane[i] + shift))); \
                            } \
                        }
#endif
                        EACH_LINE
#undef LINE
                    }
                }
            }
        }
    }
}
#endif

#if IS_PLANES_SUM
// The weight's gradient. EACH_TAP names sums, of TAPS elements of a filter.
kernel void planes_sum(global OUT_MEMORY *out, global const IN_MEMORY *in,
        global const GRAD_MEMORY *grad, global const int *rows_at, global const int *out_at,
        global T *planes, ulong offset_out, ulong offset_in, ulong offset_grad, PLANE_NUMBERS,
        ulong images, ulong groups, ulong columns, ulong slices, ulong lines, ulong places,
        ulong rows, ulong limit_grad, ulong x_plane, ulong x_line, ulong grad_group,
        ulong grad_column, ulong grad_image, ulong grad_plane, ulong grad_line, ulong grad_place,
        ulong out_group, ulong out_column)
{
    CLEARED_PLANES
    const ulong share = (groups - 1) / get_global_size(0) + 1, blocks = (rows - 1) / TAPS + 1;
    const ulong begin = get_global_id(0) * share, end = min(groups, begin + share);
    global T *sums = own + room - columns * blocks * TAPS * W;  // [column][row][lane]
    for (ulong group = begin; group < end; group++) {
        for (ulong i = 0; i < columns * blocks * TAPS * W; i++) sums[i] = (T)0;
        for (ulong image = 0; image < images; image++) {
            FILLED(offset_in + image * step_image + group * given * step_channel)
            for (ulong column = 0; column < columns; column++)
                for (ulong block = 0; block < blocks; block++) {
                    global T *kept = sums + (column * blocks + block) * TAPS * W;
#define TAP(t) WIDE s##t = vloadW(t, kept); \
                    const ulong r##t = rows_at[min(block * TAPS + t, rows - 1)];
                    EACH_TAP
#undef TAP
                    for (ulong slice = 0; slice < slices; slice++)
                        for (ulong line = 0; line < lines; line++) {
                            const global T *from = own + slice * x_plane + line * x_line;
                            const ulong at = offset_grad + group * grad_group
                                + column * grad_column + image * grad_image + slice * grad_plane
                                + line * grad_line;
                            for (ulong i = 0; i < places; i += W) {
                                const int n = (int)min((ulong)W, places - i);
                                WIDE g;
                                if (grad_place == 1 && at + i + W <= limit_grad) {
                                    g = GRAD_V(grad, at + i);
                                } else {
                                    T lane[W];
                                    for (int j = 0; j < W; j++)
                                        lane[j] = j < n ? GRAD_LOADED(at + (i + j) * grad_place)
                                                        : (T)0;
                                    g = vloadW(0, lane);
                                }
                                const global T *q = from + i * STEP;
                                if (n == W) {
#define TAP(t) { const global T *p = q + r##t; s##t = fma(g, READ_WIDE(p), s##t); }
                                    EACH_TAP
#undef TAP
                                } else {
                                    const WHOLE is_inside = (WHOLE)(COUNTED) < (WHOLE)(n);
#define TAP(t) { const global T *p = q + r##t; \
                                    s##t = is_inside ? fma(g, READ_WIDE(p), s##t) : s##t; }
                                    EACH_TAP
#undef TAP
                                }
                            }
                        }
#define TAP(t) PUT_WIDE(kept + t * W, s##t);
                    EACH_TAP
#undef TAP
                }
        }
        for (ulong column = 0; column < columns; column++)
            for (ulong row = 0; row < rows; row++) {
                global T *lane = sums + (column * blocks * TAPS + row) * W;
                for (int half_ = W / 2; half_; half_ /= 2)
                    for (int j = 0; j < half_; j++) lane[j] += lane[j + half_];
                OUT_STORE(out, offset_out + group * out_group + column * out_column + out_at[row],
                    RESULT(lane[0]));
            }
    }
}
#endif
