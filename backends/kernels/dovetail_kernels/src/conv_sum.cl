// A convolution's gradient for its weight on the host's cores: rows are channel and offset in the
// window, columns are filters, the depth goes over the places of all images. Tables are those of
// conv.cl, tiles those of gemm.cl, `pack` and `finish` those of conv.cl.
//
// A work item takes the filters of one panel and a part of the depth. It packs a block of the
// output's gradient into memory of its own, which stays in a cache while all rows pass.
// WOVEN(from, step, to): WIDTH places, which are neighbours in memory, of all filters.

kernel void blocks(global OUT_MEMORY *out, global const T *x, global const GRAD_MEMORY *grad,
        global const int *rows_at, global const int *depth_at, global const int *grad_at,
        global const int *out_at, global T *sums, global T *room, ulong offset_out, ulong offset_x,
        ulong offset_grad, ulong groups, ulong columns, ulong rows, ulong images, ulong depth,
        ulong x_group, ulong x_image, ulong grad_group, ulong grad_column, ulong grad_image,
        ulong out_group, ulong out_column, ulong parts, ulong block)
{
    const ulong panels = (columns - 1) / COLUMNS + 1, tiles = (rows - 1) / ROWS + 1;
    const ulong all = images * depth, share = (all - 1) / parts + 1;
    global T *packed = room + get_global_id(0) * block * COLUMNS;
    for (ulong task = get_global_id(0); task < groups * panels * parts;
            task += get_global_size(0)) {
        const ulong part = task / (groups * panels), line = task % (groups * panels);
        const ulong group = line / panels, column = line % panels * COLUMNS;
        const int n = (int)min((ulong)COLUMNS, columns - column);
        const ulong begin_part = part * share, end_part = min(all, begin_part + share);
        // Where there is one part only, its sums are written as soon as they are complete.
        global T *kept = sums + (parts > 1 ? task : get_global_id(0)) * tiles * ROWS * COLUMNS;
        ulong start = begin_part, stop;
        do {  // once at least: the sum of nothing is written too
            stop = min(end_part, start + block);
            const bool is_last = stop == end_part && parts == 1;
            for (ulong k = start; k < stop;) {
                const ulong image = k / depth, place = k % depth;
                const ulong next = min(stop, (image + 1) * depth);
                const ulong base = offset_grad + group * grad_group + column * grad_column
                    + image * grad_image;
                const global int *at = grad_at + place;
                global T *to = packed + (k - start) * COLUMNS;
#if IS_WOVEN
                if (n == COLUMNS)
                    for (; k + WIDTH <= next; k += WIDTH, at += WIDTH, to += WIDTH * COLUMNS)
                        WOVEN(grad + base + at[0], grad_column, to)
#endif
                for (; k < next; k++, at++, to += COLUMNS) {
                    for (int j = 0; j < n; j++) to[j] = LOADED(base + at[0] + j * grad_column);
                    for (int j = n; j < COLUMNS; j++) to[j] = (T)0;
                }
            }
            for (ulong tile = 0; tile < tiles; tile++) {
                const ulong first = tile * ROWS;
                const global T *from = x + offset_x + group * x_group;
                global T *wait = kept + first * COLUMNS;
                ulong begin[ROWS];
                for (int i = 0; i < ROWS; i++) begin[i] = rows_at[min(first + i, rows - 1)];
                POINTERS
                SUMS
                if (start > begin_part) {
#define ROW(i) GET(i, (wait + i * COLUMNS))
                    ALL_ROWS
#undef ROW
                }
                const global T *right = packed;
                for (ulong k = start; k < stop;) {
                    const ulong image = k / depth, next = min(stop, (image + 1) * depth);
                    const long shift = image * x_image;
                    const global int *at = depth_at + (k - image * depth);
                    const global int *end = at + (next - k);
                    for (; at < end; at++, right += COLUMNS) {
                        const long o = shift + at[0];
                        PRODUCTS(, right)
                    }
                    k = next;
                }
                if (!is_last) {
#define ROW(i) PUT(i, (wait + i * COLUMNS))
                    ALL_ROWS
#undef ROW
                    continue;
                }
                const ulong target = offset_out + group * out_group + column * out_column;
#if IS_TURNED
                if (n == COLUMNS && first + ROWS <= rows) {
                    global T *to = (global T *)out + target + first;
#define COLUMN(j, v) PUT_COLUMN(v, to + j * out_column)
                    ALL_COLUMNS
                    continue;
                }
#endif
                T values[ROWS][COLUMNS];
#define ROW(i) PUT(i, values[i])
                ALL_ROWS
#undef ROW
                const int m = (int)min((ulong)ROWS, rows - first);
                for (int j = 0; j < n; j++)
                    for (int i = 0; i < m; i++)
                        OUT_STORE(out, target + out_at[first + i] + j * out_column,
                            RESULT(values[i][j]));
            }
        } while ((start = stop) < end_part);
    }
}
