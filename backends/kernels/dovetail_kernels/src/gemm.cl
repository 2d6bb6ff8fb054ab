// Matrix products: operands are packed into panels, so that the inner loop reads both in order and
// neither transposes, strides nor ragged edges reach it.
//
// T: what is computed in. PANEL: what panels are of. ROWS, COLUMNS: the shape of a tile. SUMS, PRODUCTS(left, right),
// PUT(i, to) and ALL_ROWS name each vector of a tile: an array of them would not stay in registers.
//
// Epilogue: out = ENDED(alpha * product + beta * input), where HAS_INPUT; `input` has strides of its
// own.

#if HAS_INPUT
#define INPUT_BUFFER , global const IN_MEMORY *input
#define INPUT_NUMBERS , ulong offset_input, ulong input_row, ulong input_column, T alpha, T beta
#define FINISHED(v, row, column) RESULT(ENDED(alpha * (v) + beta * INPUT_LOADED( \
        offset_input + from_input + (row) * input_row + (column) * input_column)))
#else
#define INPUT_BUFFER
#define INPUT_NUMBERS
#define FINISHED(v, row, column) RESULT(ENDED(v))
#endif

#if IS_PACK
// Panels of `across` rows (or columns): to[batch][panel][k][j], zeros past the edge.
// WOVEN(from, step, to): WIDTH steps of depth, which are neighbours in memory, of all lines.
// IS_FLAT: neighbouring work items write neighbouring elements.
kernel void pack(global T *to, global const IN_MEMORY *in, ulong offset_in, ulong batches,
        ulong lines, ulong depth, ulong step_line, ulong step_depth BATCH_NUMBERS)
{
    const ulong panels = (lines - 1) / ACROSS + 1;
    const ulong step = STEP_LINE;
#if IS_FLAT
    const ulong all = batches * panels * depth * ACROSS;
    for (ulong i = get_global_id(0); i < all; i += get_global_size(0)) {
        const ulong item = i / ACROSS / depth, k = i / ACROSS % depth;
        const ulong line = item % panels * ACROSS + i % ACROSS;
        BATCH(item / panels)
        to[i] = line < lines ? LOADED(offset_in + from + line * step + k * step_depth) : (T)0;
    }
#else
    for (ulong item = get_global_id(0); item < batches * panels; item += get_global_size(0)) {
        const ulong batch = item / panels, first = item % panels * ACROSS;
        BATCH(batch)
        const int n = (int)min((ulong)ACROSS, lines - first);
        const ulong base = offset_in + from + first * step;
        global T *out = to + item * depth * ACROSS;
        if (n == ACROSS) {
            ulong k = 0;
#if IS_WOVEN
            for (; k + WIDTH <= depth; k += WIDTH)
                WOVEN(in + base + k, step, out + k * ACROSS)
#endif
            for (; k < depth; k++)
                for (int j = 0; j < ACROSS; j++)
                    out[k * ACROSS + j] = LOADED(base + j * step + k * step_depth);
        } else {
            for (ulong k = 0; k < depth; k++) {
                for (int j = 0; j < n; j++)
                    out[k * ACROSS + j] = LOADED(base + j * step + k * step_depth);
                for (int j = n; j < ACROSS; j++) out[k * ACROSS + j] = (T)0;
            }
        }
    }
#endif
}
#endif

#if IS_TILES
// Part s of the depth is k from s * chunk on; where there are several, each has an output of its
// own, [part][batch][m][n], and `finish` adds them.
#define PLACED \
    const ulong panels_a = (m - 1) / ROWS + 1, panels_b = (n - 1) / COLUMNS + 1; \
    const ulong batch = PLACE(2) / parts, part = PLACE(2) % parts; \
    BATCH(batch) \
    const ulong start = part * chunk, end = min(depth, start + chunk); \
    const ulong origin = offset_out + to + part * step_part;

#if IS_LOCAL
#define PLACE(d) get_group_id(d)
// A work group computes a tile in local memory, each item EACH_ROWS by EACH_COLUMNS of it; an
// item's rows and columns lie apart, so that neighbours read neighbouring words.
kernel void tiles(global OUT_MEMORY *out, global const PANEL *a, global const PANEL *b, global T *sums
        INPUT_BUFFER, ulong offset_out, ulong m, ulong n, ulong depth, ulong step_row,
        ulong step_column, ulong parts, ulong chunk, ulong step_part, ulong block, ulong segment,
        ulong span INPUT_NUMBERS BATCH_NUMBERS)
{
    local T left_step[STEPS * ROWS], right_step[STEPS * COLUMNS];
    PLACED
    const ulong panel = get_group_id(0);
    const global PANEL *right = b + (from_b * panels_b + panel) * depth * COLUMNS;
    const int x = (int)get_local_id(0), y = (int)get_local_id(1), item = y * ITEMS + x;
    for (ulong p = get_group_id(1); p < panels_a; p += get_num_groups(1)) {
        const global PANEL *left = a + (from_a * panels_a + p) * depth * ROWS;
        T sum[EACH_ROWS][EACH_COLUMNS];
        for (int i = 0; i < EACH_ROWS; i++)
            for (int j = 0; j < EACH_COLUMNS; j++) sum[i][j] = (T)0;
        for (ulong first = start; first < end; first += STEPS) {
            const int steps = (int)min((ulong)STEPS, end - first);
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int i = item; i < steps * ROWS; i += ITEMS * ITEMS)
                left_step[i] = left[first * ROWS + i];
            for (int i = item; i < steps * COLUMNS; i += ITEMS * ITEMS)
                right_step[i] = right[first * COLUMNS + i];
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int k = 0; k < steps; k++)
                for (int i = 0; i < EACH_ROWS; i++) {
                    const T v = left_step[k * ROWS + i * ITEMS + y];
                    for (int j = 0; j < EACH_COLUMNS; j++)
                        ADD_PRODUCT(sum[i][j], v, right_step[k * COLUMNS + j * ITEMS + x]);
                }
        }
        for (int i = 0; i < EACH_ROWS; i++)
            for (int j = 0; j < EACH_COLUMNS; j++) {
                const ulong row = p * ROWS + i * ITEMS + y;
                const ulong column = panel * COLUMNS + j * ITEMS + x;
                if (row < m && column < n)
                    OUT_STORE(out, origin + row * step_row + column * step_column,
                        FINISHED(sum[i][j], row, column));
            }
    }
}
#else
#define PLACE(d) get_global_id(d)
// A work item takes a block of rows, small enough for a cache, and some panels of columns. The
// depth is cut into spans, a panel of which stays in the nearest cache; sums wait meanwhile in
// sums[batch and part][panel][tile], where there are several spans.
kernel void tiles(global OUT_MEMORY *out, global const PANEL *a, global const PANEL *b, global T *sums
        INPUT_BUFFER, ulong offset_out, ulong m, ulong n, ulong depth, ulong step_row,
        ulong step_column, ulong parts, ulong chunk, ulong step_part, ulong block, ulong segment,
        ulong span INPUT_NUMBERS BATCH_NUMBERS)
{
    PLACED
    const ulong first_p = get_global_id(1) * block, last_p = min(panels_a, first_p + block);
    const ulong first_q = get_global_id(0) * segment, last_q = min(panels_b, first_q + segment);
    for (ulong from = start; from < end; from += span) {
        const ulong until = min(end, from + span);
        for (ulong q = first_q; q < last_q; q++) {
            const global PANEL *right = b + (from_b * panels_b + q) * depth * COLUMNS;
            for (ulong p = first_p; p < last_p; p++) {
                const global PANEL *left = a + (from_a * panels_a + p) * depth * ROWS;
                global T *waiting = sums
                    + ((PLACE(2) * panels_b + q) * panels_a + p) * ROWS * COLUMNS;
                SUMS
                if (from > start) {
#define ROW(i) GET(i, waiting + i * COLUMNS)
                    ALL_ROWS
#undef ROW
                }
                for (ulong k = from; k < until; k++) {
                    PRODUCTS(left + k * ROWS, right + k * COLUMNS)
                }
                if (until < end) {
#define ROW(i) PUT(i, waiting + i * COLUMNS)
                    ALL_ROWS
#undef ROW
                    continue;
                }
                const ulong first = p * ROWS, column = q * COLUMNS;
                const int rows = (int)min((ulong)ROWS, m - first);
                const int columns = (int)min((ulong)COLUMNS, n - column);
                ulong base = origin + first * step_row + column * step_column;
                T values[COLUMNS];
#define ROW(i) \
                if (i < rows) { \
                    if (IS_WHOLE && columns == COLUMNS && step_column == 1) { \
                        PUT_OUT(i, base) \
                    } else { \
                        PUT(i, values) \
                        for (int j = 0; j < columns; j++) \
                            OUT_STORE(out, base + j * step_column, \
                                FINISHED(values[j], first + i, column + j)); \
                    } \
                    base += step_row; \
                }
                ALL_ROWS
#undef ROW
            }
        }
    }
}
#endif
#endif

#if IS_FINISH
// The sum of the parts of a product, dense [part][batch][m][n].
kernel void finish(global OUT_MEMORY *out, global const T *sums INPUT_BUFFER, ulong offset_out,
        ulong batches, ulong m, ulong n, ulong step_row, ulong step_column, ulong parts
        INPUT_NUMBERS BATCH_NUMBERS)
{
    const ulong count = batches * m * n;
    for (ulong line = get_global_id(0); line < batches * m; line += get_global_size(0)) {
        BATCH(line / m)
        const ulong row = line % m, target = offset_out + to + row * step_row;
        for (ulong column = 0; column < n; column++) {
            T v = sums[line * n + column];
            for (ulong part = 1; part < parts; part++) v += sums[part * count + line * n + column];
            OUT_STORE(out, target + column * step_column, FINISHED(v, row, column));
        }
    }
}
#endif

#if IS_ELEMENTS
// One element of the product per work item, in LANES partial sums where K is dense.
kernel void elements(global OUT_MEMORY *out, global const A_MEMORY *a, global const B_MEMORY *b
        INPUT_BUFFER, ulong offset_out, ulong offset_a, ulong offset_b, ulong batches, ulong m,
        ulong n, ulong depth, ulong step_row, ulong step_column, ulong a_row, ulong a_depth,
        ulong b_depth, ulong b_column INPUT_NUMBERS BATCH_NUMBERS)
{
    for (ulong item = get_global_id(0); item < batches * m * n; item += get_global_size(0)) {
        const ulong column = item % n, row = item / n % m;
        BATCH(item / (m * n))
        const ulong left = offset_a + from_a + row * a_row;
        const ulong right = offset_b + from_b + column * b_column;
        T lane[LANES];
        for (int j = 0; j < LANES; j++) lane[j] = (T)0;
        ulong k = 0;
        for (; k + LANES <= depth; k += LANES)
            for (int j = 0; j < LANES; j++) {
                const T x = A_LOADED(left + (k + j) * A_STEP);
                const T y = B_LOADED(right + (k + j) * B_STEP);
                ADD_PRODUCT(lane[j], x, y);
            }
        for (; k < depth; k++) {
            const T x = A_LOADED(left + k * A_STEP);
            const T y = B_LOADED(right + k * B_STEP);
            ADD_PRODUCT(lane[0], x, y);
        }
        for (int width = LANES / 2; width; width /= 2)
            for (int j = 0; j < width; j++) lane[j] += lane[j + width];
        const ulong target = offset_out + to + row * step_row + column * step_column;
        OUT_STORE(out, target, FINISHED(lane[0], row, column));
    }
}
#endif
