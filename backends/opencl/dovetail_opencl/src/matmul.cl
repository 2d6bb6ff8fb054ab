// Matrix products: operands are packed into panels, so that the inner loop reads both in order and
// neither transposes, strides nor ragged edges reach it.
//
// T: what is computed in. ROWS, COLUMNS: the shape of a tile. SUMS, PRODUCTS(left, right),
// PUT(i, to) and ALL_ROWS name each vector of a tile: an array of them would not stay in registers.

#if IS_PACK
// Panels of `across` rows (or columns): to[batch][panel][k][j], zeros past the edge.
kernel void pack(global T *to, global const IN_MEMORY *in, ulong offset_in, ulong batches,
        ulong lines, ulong depth, ulong step_line, ulong step_depth BATCH_NUMBERS)
{
    const ulong panels = (lines - 1) / ACROSS + 1;
    for (ulong item = get_global_id(0); item < batches * panels; item += get_global_size(0)) {
        const ulong batch = item / panels, first = item % panels * ACROSS;
        BATCH(batch)
        const int n = (int)min((ulong)ACROSS, lines - first);
        const ulong base = offset_in + from + first * step_line;
        global T *out = to + item * depth * ACROSS;
        for (ulong k = 0; k < depth; k++) {
            for (int j = 0; j < n; j++)
                out[k * ACROSS + j] = LOADED(base + j * step_line + k * step_depth);
            for (int j = n; j < ACROSS; j++) out[k * ACROSS + j] = (T)0;
        }
    }
}
#endif

#if IS_TILES
kernel void tiles(global OUT_MEMORY *out, global const T *a, global const T *b, ulong offset_out,
        ulong m, ulong n, ulong depth, ulong step_row, ulong step_column BATCH_NUMBERS)
{
    const ulong panels_a = (m - 1) / ROWS + 1, panels_b = (n - 1) / COLUMNS + 1;
    const ulong panel = get_global_id(0);
    BATCH(get_global_id(2))
    const global T *right = b + (from_b * panels_b + panel) * depth * COLUMNS;
    for (ulong p = get_global_id(1); p < panels_a; p += get_global_size(1)) {
        const global T *left = a + (from_a * panels_a + p) * depth * ROWS;
        SUMS
        for (ulong k = 0; k < depth; k++) {
            PRODUCTS(left + k * ROWS, right + k * COLUMNS)
        }
        const ulong row = p * ROWS, column = panel * COLUMNS;
        const int rows = (int)min((ulong)ROWS, m - row);
        const int columns = (int)min((ulong)COLUMNS, n - column);
        ulong base = offset_out + to + row * step_row + column * step_column;
        T values[COLUMNS];
#define ROW(i) \
        if (i < rows) { \
            if (IS_SAME && columns == COLUMNS && step_column == 1) { \
                PUT(i, ((global T *)out + base)) \
            } else { \
                PUT(i, values) \
                for (int j = 0; j < columns; j++) \
                    OUT_STORE(out, base + j * step_column, RESULT(values[j])); \
            } \
            base += step_row; \
        }
        ALL_ROWS
    }
}
#endif

#if IS_ELEMENTS
// One element of the product per work item, in LANES partial sums where K is dense.
kernel void elements(global OUT_MEMORY *out, global const A_MEMORY *a, global const B_MEMORY *b,
        ulong offset_out, ulong offset_a, ulong offset_b, ulong batches, ulong m, ulong n,
        ulong depth, ulong step_row, ulong step_column, ulong a_row, ulong a_depth, ulong b_depth,
        ulong b_column BATCH_NUMBERS)
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
        OUT_STORE(out, target, RESULT(lane[0]));
    }
}
#endif
