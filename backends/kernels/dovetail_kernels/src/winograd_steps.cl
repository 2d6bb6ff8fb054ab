// Winograd's minimal filtering of windows of 3 by 3 with stride 1, for GPUs: filters and tiles of the
// image are transformed into panels of POINTS * POINTS matrix products (gemm.cl), and what comes of
// these into SIDE by SIDE places of the output. Neighbouring work items take neighbouring filters or
// tiles, so that all that lies between is read and written by neighbours; see winograd_steps.py.
//
// T: what is computed in; VECTOR: the same. FILTER_LINE, IMAGE_LINE, OUTPUT_LINE(in, a, out, b): a
// line of a transform, elements `a` and `b` apart.

#define UNROLL _Pragma("unroll")
#define TAPS 3

// Panels of `across` filters: to[point][panel][channel][filter], zeros past the edge; `all` elements
// of a point. The first tap of the first filter is at `origin`; steps may lead back.
kernel void transform_filters(global T *to, global const T *in, ulong offset_in, uint all,
        uint across, uint channels, uint filters, long origin, long step_filter, long step_channel,
        long step_y, long step_x)
{
    for (uint i = get_global_id(0); i < all; i += get_global_size(0)) {
        const uint line = i / across, filter = line / channels * across + i % across;
        global const T *from = in + (long)offset_in + origin
            + min(filter, filters - 1) * step_filter + line % channels * step_channel;
        T taps[TAPS * TAPS], half_way[POINTS * TAPS], made[POINTS];
        UNROLL
        for (int y = 0; y < TAPS; y++)
            UNROLL
            for (int x = 0; x < TAPS; x++)
                taps[y * TAPS + x] = filter < filters ? from[y * step_y + x * step_x] : (T)0;
        UNROLL
        for (int x = 0; x < TAPS; x++) FILTER_LINE(taps + x, TAPS, half_way + x, TAPS)
        UNROLL
        for (int p = 0; p < POINTS; p++) {
            FILTER_LINE(half_way + p * TAPS, 1, made, 1)
            UNROLL
            for (int q = 0; q < POINTS; q++) to[(ulong)(p * POINTS + q) * all + i] = made[q];
        }
    }
}

// Panels of `across` tiles from tile `first` on: to[point][panel][channel][tile], zeros past the
// last of `tiles`; `all` elements of a point. A line has `wide` tiles, an image `high` lines of them,
// and the first one sees what lies around (top, left).
kernel void transform_image(global T *to, global const T *in, ulong offset_in, uint all, uint across,
        uint channels, uint first, uint tiles, uint wide, uint high, int height, int width, int top,
        int left, ulong step_image, ulong step_channel, ulong step_y, ulong step_x)
{
    for (uint i = get_global_id(0); i < all; i += get_global_size(0)) {
        const uint line = i / across, tile = first + line / channels * across + i % across;
        const uint row = tile / wide, image = row / high;
        const int x = (int)(tile - row * wide) * SIDE + left;
        const int y = (int)(row - image * high) * SIDE + top;
        const ulong from = offset_in + image * step_image + line % channels * step_channel;
        T seen[POINTS * POINTS], half_way[POINTS * POINTS], made[POINTS];
        UNROLL
        for (int p = 0; p < POINTS; p++) {
            const bool is_line = tile < tiles && y + p >= 0 && y + p < height;
            UNROLL
            for (int q = 0; q < POINTS; q++) {
                const bool is_inside = is_line && x + q >= 0 && x + q < width;
                seen[p * POINTS + q] =
                    is_inside ? in[from + (y + p) * step_y + (x + q) * step_x] : (T)0;
            }
        }
        UNROLL
        for (int q = 0; q < POINTS; q++) IMAGE_LINE(seen + q, POINTS, half_way + q, POINTS)
        UNROLL
        for (int p = 0; p < POINTS; p++) {
            IMAGE_LINE(half_way + p * POINTS, 1, made, 1)
            UNROLL
            for (int q = 0; q < POINTS; q++) to[(ulong)(p * POINTS + q) * all + i] = made[q];
        }
    }
}

// Places of the output from sums[point][filter][tile], `across` of these from tile `first` on; `all`
// elements of a point. BIASED(channel): what is added to the places of a filter.
kernel void transform_output(global T *out, global const T *sums, global const T *bias,
        ulong offset_out, ulong offset_bias, ulong bias_step, uint all, uint across, uint first,
        uint tiles, uint wide, uint high, int height, int width, int is_rectified, ulong step_image,
        ulong step_channel, ulong step_y, ulong step_x)
{
    for (uint i = get_global_id(0); i < all; i += get_global_size(0)) {
        const uint filter = i / across, tile = first + i % across;
        if (tile >= tiles) continue;
        const uint row = tile / wide, image = row / high;
        const int x = (int)(tile - row * wide) * SIDE, y = (int)(row - image * high) * SIDE;
        const ulong to = offset_out + image * step_image + filter * step_channel;
        const T added = BIASED(filter);
        T points[POINTS * POINTS], half_way[SIDE * POINTS], made[SIDE];
        UNROLL
        for (int p = 0; p < POINTS * POINTS; p++) points[p] = sums[(ulong)p * all + i];
        UNROLL
        for (int q = 0; q < POINTS; q++) OUTPUT_LINE(points + q, POINTS, half_way + q, POINTS)
        UNROLL
        for (int p = 0; p < SIDE; p++) {
            OUTPUT_LINE(half_way + p * POINTS, 1, made, 1)
            UNROLL
            for (int q = 0; q < SIDE; q++) {
                const T v = made[q] + added;
                if (y + p < height && x + q < width)
                    out[to + (y + p) * step_y + (x + q) * step_x] =
                        is_rectified && v <= (T)0 ? (T)0 : v;
            }
        }
    }
}
