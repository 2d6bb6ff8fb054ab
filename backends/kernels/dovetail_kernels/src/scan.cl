// Running sums and products along a dim: a line is folded in parts, whose totals are carried on.
//
// T, LOADED(i), START, FOLD(a, v), RESULT(a): as in reduce.cl. LINES(line): places `to`, `from`.

#define NUMBERS ulong offset_out, ulong offset_in, ulong lines, ulong count, ulong parts, \
    ulong chunk, ulong step_out, ulong step_in LINES_NUMBERS

// The total of each part.
kernel void totals(global T *carry, global const IN_MEMORY *in, NUMBERS)
{
    for (ulong item = get_global_id(0); item < lines * parts; item += get_global_size(0)) {
        const ulong first = item % parts * chunk, last = min(count, first + chunk);
        LINES(item / parts)
        T a = START;
        for (ulong k = first; k < last; k++) {
            const T v = LOADED(offset_in + from + k * step_in);
            FOLD(a, v);
        }
        carry[item] = a;
    }
}

// What comes before each part.
kernel void carried(global T *carry, ulong lines, ulong parts)
{
    for (ulong line = get_global_id(0); line < lines; line += get_global_size(0)) {
        T a = START;
        for (ulong part = 0; part < parts; part++) {
            const T v = carry[line * parts + part];
            carry[line * parts + part] = a;
            FOLD(a, v);
        }
    }
}

kernel void scan(global T *carry, global const IN_MEMORY *in, global OUT_MEMORY *out, NUMBERS)
{
    for (ulong item = get_global_id(0); item < lines * parts; item += get_global_size(0)) {
        const ulong first = item % parts * chunk, last = min(count, first + chunk);
        LINES(item / parts)
        T a = START;
        if (parts > 1) a = carry[item];
        for (ulong k = first; k < last; k++) {
            const T v = LOADED(offset_in + from + k * step_in);
            FOLD(a, v);
            const ulong at = offset_out + to + k * step_out;
            OUT_STORE(out, at, RESULT(a));
        }
    }
}
