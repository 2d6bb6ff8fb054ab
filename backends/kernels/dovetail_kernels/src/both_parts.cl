// A matrix of complex numbers as one of real ones, twice as high and as wide: each number is
// [[x, y], [-y, x]], so that a product with it of rows (x, y) is the complex product.
//
// PAIR_OF_PARTS: the complex type. ROWS(row): the place `from` of the first number of a row.

kernel void both_parts(
    global PAIR_OF_PARTS *out, global const PAIR_OF_PARTS *in, ulong offset, ulong rows,
    ulong width, ulong step ROWS_NUMBERS)
{
#if IS_CPU
    const ulong share = (rows - 1) / get_global_size(0) + 1;
    const ulong end = min(rows, share * (get_global_id(0) + 1));
    for (ulong row = share * get_global_id(0); row < end; row++) {
        ROWS(row)
        global PAIR_OF_PARTS *to = out + 2 * width * row;
        for (ulong column = 0; column < width; column++) {
            const PAIR_OF_PARTS v = in[offset + from + column * step];
            to[column] = v;
            to[width + column] = (PAIR_OF_PARTS)(-v.y, v.x);
        }
    }
#else
    for (ulong i = get_global_id(0); i < rows * width; i += get_global_size(0)) {
        const ulong row = i / width, column = i % width;
        ROWS(row)
        const PAIR_OF_PARTS v = in[offset + from + column * step];
        out[2 * width * row + column] = v;
        out[2 * width * row + width + column] = (PAIR_OF_PARTS)(-v.y, v.x);
    }
#endif
}
