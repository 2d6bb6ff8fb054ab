// Matrix products that are small: one launch, without packed operands in memory. A work item takes
// some panels of columns and some tiles of rows. The left operand is read where it lies, element by
// element; so is the right one where its columns are neighbours, else the work item packs a panel
// of it for itself.
//
// T, ROWS, COLUMNS, SUMS, PRODUCTS, PUT, ALL_ROWS, ALL_COLUMNS, WOVEN: see gemm.cl and conv.cl.
// A_LOAD, B_S, B_V, IN_LOAD, OUT_SET_S, PUT_OUT: elements of each array as numbers of T, and such numbers
// as elements. HAS_HALVES: some of them are not T; a right operand that is not is always packed.
// ADD_VECTORS(i, from), ADD_ONE(i, v): what is added to a row of a tile. END(i): what becomes of it.
// Sizes and steps are one argument each: a driver takes its time for every argument of a launch.

#if HAS_INPUT
#define INPUT_BUFFER , global const IN_MEMORY *input
#define INPUT_PLACE , ulong offset_input
#define INPUT_SCALES , T alpha, T beta
#else
#define INPUT_BUFFER
#define INPUT_PLACE
#define INPUT_SCALES
#endif

kernel void direct(global OUT_MEMORY *out, global const A_MEMORY *a, global const B_MEMORY *b,
        global T *panels INPUT_BUFFER, ulong offset_out, ulong offset_a, ulong offset_b INPUT_PLACE, ulong8 sizes,
        ulong8 steps INPUT_SCALES BATCH_NUMBERS)
{
    const ulong batches = sizes.s0, m = sizes.s1, n = sizes.s2, depth = sizes.s3;
    const ulong blocks = sizes.s4, block = sizes.s5;
    const ulong step_row = steps.s0, step_column = steps.s1, a_row = steps.s2, a_depth = steps.s3;
    const ulong b_depth = steps.s4, b_column = steps.s5;
    const ulong across = (n - 1) / COLUMNS + 1, tiles = (m - 1) / ROWS + 1;
    const ulong all = batches * across * blocks;
    global T *own = panels + get_global_id(0) * depth * COLUMNS;
    for (ulong item = get_global_id(0); item < all; item += get_global_size(0)) {
        const ulong column = item / blocks % across * COLUMNS, begin = item % blocks * block;
        BATCH(item / blocks / across)
        const int columns = (int)min((ulong)COLUMNS, n - column);
        const global B_MEMORY *lies = b + offset_b + from_b + column * b_column;
#if HAS_HALVES
        const global T *right = own;
        ulong step = COLUMNS;
        if (b_column == 1 && columns == COLUMNS) {
            for (ulong k = 0; k < depth; k++) { PACK_RIGHT(lies + k * b_depth, own + k * COLUMNS) }
        } else {
#else
        const global T *right = lies;
        ulong step = b_depth;
        if (b_column != 1 || columns < COLUMNS) {
#endif
            ulong k = 0;
            if (columns == COLUMNS) {
#if IS_WOVEN
                if (b_depth == 1)
                    for (; k + WIDTH <= depth; k += WIDTH)
                        WOVEN(lies + k, b_column, own + k * COLUMNS)
#endif
                for (; k < depth; k++)
                    for (int j = 0; j < COLUMNS; j++)
                        own[k * COLUMNS + j] = B_S(lies, j * b_column + k * b_depth);
            } else {
                for (; k < depth; k++) {
                    for (int j = 0; j < columns; j++)
                        own[k * COLUMNS + j] = B_S(lies, j * b_column + k * b_depth);
                    for (int j = columns; j < COLUMNS; j++) own[k * COLUMNS + j] = (T)0;
                }
            }
            right = own;
            step = COLUMNS;
        }
        for (ulong tile = begin; tile < min(tiles, begin + block); tile++) {
            const ulong first = tile * ROWS;
            const int rows = (int)min((ulong)ROWS, m - first);
            const global A_MEMORY *from = a + offset_a + from_a;
            POINTERS
            SUMS
            for (ulong k = 0; k < depth; k++) {
                const ulong o = k * a_depth;
                PRODUCTS(, right + k * step)
            }
            const ulong base = offset_out + to + first * step_row + column * step_column;
#if HAS_INPUT
            const ulong input_row = steps.s6, input_column = steps.s7;
            const global IN_MEMORY *added = input + offset_input + from_input + first * input_row
                + column * input_column;
            if (input_column == 0) {
#define ROW(i) ADD_ONE(i, IN_LOAD(added, min(i, rows - 1) * input_row))
                ALL_ROWS
#undef ROW
#if !HAS_HALVES
            } else if (input_column == 1 && columns == COLUMNS) {
#define ROW(i) ADD_VECTORS(i, added + min(i, rows - 1) * input_row)
                ALL_ROWS
#undef ROW
#endif
            } else {
                T line[COLUMNS];
                for (int j = columns; j < COLUMNS; j++) line[j] = (T)0;
#define ROW(i) \
                for (int j = 0; j < columns; j++) \
                    line[j] = IN_LOAD(added, min(i, rows - 1) * input_row + j * input_column); \
                ADD_VECTORS(i, line)
                ALL_ROWS
#undef ROW
            }
#endif
#if ENDS
#define ROW(i) END(i)
            ALL_ROWS
#undef ROW
#endif
            if (step_column == 1 && columns == COLUMNS) {
#define ROW(i) if (i < rows) { PUT_OUT(i, out + base + i * step_row) }
                ALL_ROWS
#undef ROW
                continue;
            }
#if IS_TURNED
            if (step_row == 1 && rows == ROWS && columns == COLUMNS) {
                global T *target = out + base;
#define COLUMN(j, v) PUT_COLUMN(v, target + j * step_column)
                ALL_COLUMNS
                continue;
            }
#endif
            T values[ROWS][COLUMNS];
#define ROW(i) PUT(i, values[i])
            ALL_ROWS
#undef ROW
            for (int i = 0; i < rows; i++)
                for (int j = 0; j < columns; j++)
                    OUT_SET_S(out, base + i * step_row + j * step_column, values[i][j]);
        }
    }
}
