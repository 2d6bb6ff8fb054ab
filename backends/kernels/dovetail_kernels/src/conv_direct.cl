// Convolution for groups of few filters: line by line, LANES places at a time in vectors with names
// (LANES_CLEARED, LANES_ADDED, LANES_PUT), where a tile of a product would be empty for the most
// part. Tables are those of conv.cl. STEP: how far apart in x neighbouring places of a line begin.
//
// T: what is computed in. VECTOR: some of them. BIASED(channel), ENDED(v): see conv.cl.

#if IS_DIRECT
// Each item computes runs of one line of the output; past its end it reads what nothing comes of.
kernel void direct(global OUT_MEMORY *out, global const T *x, global const WEIGHT_MEMORY *weight,
        global const int *depth_at, global const int *weight_at, global const BIAS_MEMORY *bias,
        ulong offset_out, ulong offset_x, ulong offset_weight, ulong offset_bias, ulong images,
        ulong groups, ulong columns, ulong planes, ulong lines, ulong places, ulong depth,
        ulong x_group, ulong x_image, ulong x_plane, ulong x_line, ulong out_group,
        ulong out_image, ulong out_plane, ulong out_line, ulong out_place, ulong out_column,
        ulong weight_group, ulong weight_column, ulong bias_step)
{
    const uint many = (uint)lines, slices = (uint)planes, channels = (uint)(groups * columns);
    const uint all = (uint)images * channels * slices * many;
    for (uint item = get_global_id(0); item < all; item += get_global_size(0)) {
        const uint slice = item / many, line = item - slice * many;
        const uint row = slice / slices, plane = slice - row * slices;
        const uint image = row / channels, channel = row - image * channels;
        const uint group = channel / (uint)columns, column = channel - group * (uint)columns;
        const global T *from = x + offset_x + image * x_image + group * x_group + plane * x_plane
            + line * x_line;
        const ulong filter = offset_weight + group * weight_group + column * weight_column;
        const ulong to = offset_out + image * out_image + group * out_group + column * out_column
            + plane * out_plane + line * out_line;
        for (ulong first = 0; first < places; first += LANES) {
            LANES_CLEARED
            const int n = (int)min((ulong)LANES, places - first);
            for (ulong k = 0; k < depth; k++) {
                const VECTOR w = (VECTOR)(WEIGHT_LOADED(filter + weight_at[k]));
                const global T *p = from + first * STEP + depth_at[k];
                LANES_ADDED(w, p)
            }
            T lane[LANES];
            LANES_PUT(lane)
            const T shift = BIASED(channel);
            if (out_place == 1)
                for (int j = 0; j < n; j++)
                    OUT_STORE(out, to + first + j, RESULT(ENDED(lane[j] + shift)));
            else
                for (int j = 0; j < n; j++)
                    OUT_STORE(out, to + (first + j) * out_place, RESULT(ENDED(lane[j] + shift)));
        }
    }
}
#endif

#if IS_DIRECT_SUM
// The weight's gradient for such groups: one element of it per item. Lines of `grad` are dense.
kernel void direct_sum(global OUT_MEMORY *out, global const T *x, global const T *grad,
        global const int *rows_at, global const int *out_at, ulong offset_out, ulong offset_x,
        ulong offset_grad, ulong images, ulong groups, ulong columns, ulong planes, ulong lines,
        ulong places, ulong rows, ulong x_group, ulong x_image, ulong x_plane, ulong x_line,
        ulong grad_group, ulong grad_column, ulong grad_image, ulong grad_plane, ulong grad_line,
        ulong out_group, ulong out_column)
{
    const ulong all = groups * columns * rows;
    for (ulong item = get_global_id(0); item < all; item += get_global_size(0)) {
        const ulong row = item % rows, column = item / rows % columns;
        const ulong group = item / rows / columns;
        LANES_CLEARED
        for (ulong line = 0; line < images * planes * lines; line++) {
            const ulong y = line % lines, z = line / lines % planes, image = line / lines / planes;
            const global T *from = x + offset_x + group * x_group + image * x_image + z * x_plane
                + y * x_line + rows_at[row];
            const ulong other = offset_grad + group * grad_group + column * grad_column
                + image * grad_image + z * grad_plane + y * grad_line;
            for (ulong i = 0; i < places; i += LANES) {
                const int n = (int)min((ulong)LANES, places - i);
                const global T *p = from + i * STEP, *q = grad + other + i;
                if (n == LANES) {
                    LANES_MULTIPLIED(q, p)
                } else {
                    LANES_MULTIPLIED_FIRST(n, q, p)
                }
            }
        }
        T lane[LANES];
        LANES_PUT(lane)
        for (int count = LANES, half_; count > 1; count = half_) {
            half_ = (count + 1) / 2;  // LANES may be three vectors
            for (int j = half_; j < count; j++) lane[j - half_] += lane[j];
        }
        OUT_STORE(out, offset_out + group * out_group + column * out_column + out_at[row],
            RESULT(lane[0]));
    }
}
#endif
