// Matrices, dense one after the other, with zeros above their diagonal (IS_LOWER) or below it. Elements
// are words; the output may be the input.

kernel void triangle(global WORD *out, global const WORD *in, ulong8 begin, ulong lines, int rows,
        int columns, int diagonal)
{
    out += begin.s0;
    in += begin.s1;
#if IS_CPU
    const ulong share = (lines - 1) / get_global_size(0) + 1, first = share * get_global_id(0);
    const ulong last = min(lines, first + share);
    for (ulong line = first; line < last; line++) {
        const long edge = (long)(line % (ulong)rows) + diagonal + IS_LOWER;
        const int middle = (int)clamp(edge, 0l, (long)columns);
        global const WORD *from = in + line * columns;
        global WORD *to = out + line * columns;
#if IS_LOWER
        for (int k = 0; k < middle; k++) to[k] = from[k];
        for (int k = middle; k < columns; k++) to[k] = 0;
#else
        for (int k = 0; k < middle; k++) to[k] = 0;
        for (int k = middle; k < columns; k++) to[k] = from[k];
#endif
    }
#else
    for (ulong i = get_global_id(0); i < lines * columns; i += get_global_size(0)) {
        const long row = (long)(i / columns % rows) + diagonal, column = (long)(i % columns);
#if IS_LOWER
        out[i] = column <= row ? in[i] : 0;
#else
        out[i] = column >= row ? in[i] : 0;
#endif
    }
#endif
}
