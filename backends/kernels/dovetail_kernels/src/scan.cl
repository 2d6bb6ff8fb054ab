// Running sums and products along a dim: a line is folded in parts, whose totals are carried on.
//
// T, LOADED(i), START, FOLD(a, v), RESULT(a): as in reduce.cl. LINES(line): places `to`, `from`.
// W: elements of a VECTOR, if more than one; IN_V(p, i) and OUT_SET_V(p, i, v) load and store one.
// RUNNING(v, none): the running folds of its lanes, LAST(v): its last lane in all of them.
// BLOCK: elements that are summed before what comes before them is added, so that rounding does not
// add up; 0: one sum goes on to the end.

#define NUMBERS ulong offset_out, ulong offset_in, ulong lines, ulong count, ulong parts, \
    ulong chunk, ulong step_out, ulong step_in LINES_NUMBERS

#if BLOCK
#define RUN_BEGINS T block = START;
#define RUN(v, k) \
    FOLD(block, v); \
    T sum = a; \
    FOLD(sum, block); \
    if ((k) % BLOCK == BLOCK - 1) { a = sum; block = START; }
#define RUN_ENDS FOLD(a, block);
#else
#define RUN_BEGINS
#define RUN(v, k) FOLD(a, v); const T sum = a;
#define RUN_ENDS
#endif

// A processor's core goes on where it is.
#define EACH_ITEM(item, items) \
    const ulong share_ = ((items) - 1) / get_global_size(0) + 1; \
    const ulong end_ = min((ulong)(items), share_ * (get_global_id(0) + 1)); \
    for (ulong item = share_ * get_global_id(0); item < end_; item++)

// The total of each part.
kernel void totals(global T *carry, global const IN_MEMORY *in, NUMBERS)
{
    EACH_ITEM(item, lines * parts) {
        const ulong first = item % parts * chunk, last = min(count, first + chunk);
        LINES(item / parts)
        const ulong base = offset_in + from;
        T a = START;
        ulong k = first;
#if W > 1
        if (step_in == 1 && k + 4 * W <= last) {
            VECTOR a0 = (VECTOR)(START), a1 = a0, a2 = a0, a3 = a0;
            for (; k + 4 * W <= last; k += 4 * W) {
                FOLD(a0, IN_V(in, base + k));
                FOLD(a1, IN_V(in, base + k + W));
                FOLD(a2, IN_V(in, base + k + 2 * W));
                FOLD(a3, IN_V(in, base + k + 3 * W));
            }
            FOLD(a0, a1);
            FOLD(a2, a3);
            FOLD(a0, a2);
            T lane[W];
            STORE_LANES(a0, lane);
            for (int width = W / 2; width; width /= 2)
                for (int j = 0; j < width; j++) FOLD(lane[j], lane[j + width]);
            a = lane[0];
        }
#endif
        RUN_BEGINS
        for (; k < last; k++) {
            const T v = LOADED(base + k * step_in);
            RUN(v, k)
            (void)sum;
        }
        RUN_ENDS
        carry[item] = a;
    }
}

// What comes before each part.
kernel void carried(global T *carry, ulong lines, ulong parts)
{
    for (ulong line = get_global_id(0); line < lines; line += get_global_size(0)) {
        T a = START, before = START;
        RUN_BEGINS
        for (ulong part = 0; part < parts; part++) {
            const T v = carry[line * parts + part];
            carry[line * parts + part] = before;
            RUN(v, part)
            before = sum;
        }
    }
}

kernel void scan(global T *carry, global const IN_MEMORY *in, global OUT_MEMORY *out, NUMBERS)
{
    EACH_ITEM(item, lines * parts) {
        const ulong first = item % parts * chunk, last = min(count, first + chunk);
        LINES(item / parts)
        const ulong base = offset_in + from, target = offset_out + to;
        T a = START;
        if (parts > 1) a = carry[item];
        ulong k = first;
#if W > 1
        if (step_in == 1 && step_out == 1 && k + W <= last) {
            // A compiler that knew this value would make slow instructions of what shifts it in.
            const VECTOR none = (VECTOR)(lines ? START : (T)2);
            VECTOR before = (VECTOR)(a);
            for (; k + W <= last; k += W) {
                VECTOR v = RUNNING(IN_V(in, base + k), none);
                FOLD(v, before);
                OUT_SET_V(out, target + k, v);
                before = LAST(v);
            }
            a = before.s0;
        }
#endif
        RUN_BEGINS
        for (; k < last; k++) {
            const T v = LOADED(base + k * step_in);
            RUN(v, k)
            OUT_STORE(out, target + k * step_out, RESULT(sum));
        }
    }
}

#if W > 1
// Lines whose elements are neighbours, side by side, four vectors of them at a time. LINES gives the
// places of the first of a row of `width` lines.
kernel void beside(global const IN_MEMORY *in, global OUT_MEMORY *out, NUMBERS, ulong width)
{
    const ulong blocks = (width - 1) / (4 * W) + 1, items = lines / width * blocks;
    EACH_ITEM(item, items) {
        LINES(item / blocks)
        const ulong column = item % blocks * 4 * W;
        const ulong base = offset_in + from + column, target = offset_out + to + column;
        if (column + 4 * W <= width) {
            VECTOR a0 = (VECTOR)(START), a1 = a0, a2 = a0, a3 = a0;
            for (ulong k = 0; k < count; k++) {
                const ulong place = base + k * step_in, there = target + k * step_out;
                for (int j = 0; j < 4; j++) FETCH(in + place + ROWS_AHEAD * step_in + j * W)
                FOLD(a0, IN_V(in, place));
                FOLD(a1, IN_V(in, place + W));
                FOLD(a2, IN_V(in, place + 2 * W));
                FOLD(a3, IN_V(in, place + 3 * W));
                OUT_SET_V(out, there, a0);
                OUT_SET_V(out, there + W, a1);
                OUT_SET_V(out, there + 2 * W, a2);
                OUT_SET_V(out, there + 3 * W, a3);
            }
            continue;
        }
        T line[4 * W];
        for (int j = 0; j < 4 * W; j++) line[j] = START;
        for (ulong k = 0; k < count; k++)
            for (int j = 0; j < (int)(width - column); j++) {
                const T v = LOADED(base + k * step_in + j);
                FOLD(line[j], v);
                OUT_STORE(out, target + k * step_out + j, RESULT(line[j]));
            }
    }
}
#endif
