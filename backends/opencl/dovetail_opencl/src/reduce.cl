// Folds the inner elements of each outer element.
//
// T: what is folded in. LOADED(i): an element of the input as T. START: the value of nothing, or
// undefined: begin with the first element. FOLD(a, p, v, at): fold v, found at place `at`, into a
// (and its place into p). RESULT(a): what is stored. HAS_PLACE: the place comes out, in `places`
// or in `out`. IS_PART: the results of parts come out, both value and place. LANES, COLUMNS: how many side
// by side. is_rest: the input is such results; is_dense: the inner elements are neighbours.

#if HAS_PLACE
#define IF_PLACE(x) x
#else
#define IF_PLACE(x)
#endif

#if HAS_PLACE && !IS_PART
#define STORE(i, a, p) out[i] = p
#else
#define STORE(i, a, p) OUT_STORE(out, i, RESULT(a)); IF_PLACE(places[i] = p;)
#endif
#define PLACE(flat, k) (is_rest ? places[(flat) * inner_count + (k)] : (long)(k))

#define NUMBERS ulong offset_out, ulong offset_in, ulong outer_count, ulong inner_count, \
    ulong parts, ulong chunk, int is_part, int is_rest, int is_dense OUTER_NUMBERS INNER_NUMBERS

// One outer element per work item.
kernel void rows(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places, NUMBERS)
{
    for (ulong item = get_global_id(0); item < outer_count * parts; item += get_global_size(0)) {
        const ulong o = item / parts, first = item % parts * chunk;
        const ulong last = min(inner_count, first + chunk);
        OUTER(o)
        const ulong base = offset_in + from;
        ulong k = first;
        long p = 0;
#ifdef START
        T a = START;
#else
        INNER(first)
        T a = LOADED(base + along);
        IF_PLACE(p = PLACE(o, first);)
        k++;
#endif
#if !HAS_PLACE
        if (is_dense && k + LANES <= last) {
            T lane[LANES];
            for (int j = 0; j < LANES; j++) {
#ifdef START
                lane[j] = START;
#else
                lane[j] = a;
#endif
            }
            for (; k + LANES <= last; k += LANES)
                for (int j = 0; j < LANES; j++) {
                    const T v = LOADED(base + k + j);
                    FOLD(lane[j], p, v, 0);
                }
            for (int width = LANES / 2; width; width /= 2)
                for (int j = 0; j < width; j++) {
                    const T v = lane[j + width];
                    FOLD(lane[j], p, v, 0);
                }
            const T v = lane[0];
            FOLD(a, p, v, 0);
        }
#endif
        for (; k < last; k++) {
            INNER(k)
            const T v = LOADED(base + along);
            IF_PLACE(const long at = PLACE(o, k);)
            FOLD(a, p, v, at);
        }
        const ulong target = is_part ? item : offset_out + to;
        STORE(target, a, p);
    }
}

// Neighbouring outer elements, in the innermost outer loop of `width`, side by side. OUTER gives
// the places of the first of a row.
kernel void columns(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places,
        NUMBERS, ulong width, ulong step)
{
    const ulong blocks = (width - 1) / COLUMNS + 1, items = outer_count / width * blocks * parts;
    for (ulong item = get_global_id(0); item < items; item += get_global_size(0)) {
        const ulong part = item % parts, block = item / parts;
        const ulong row = block / blocks, column = block % blocks * COLUMNS;
        const int count = (int)min((ulong)COLUMNS, width - column);
        const ulong first = part * chunk, last = min(inner_count, first + chunk);
        OUTER(row)
        const ulong base = offset_in + from + column, flat = row * width + column;
        T a[COLUMNS];
        long p[COLUMNS];
        ulong k = first;
#ifdef START
        for (int j = 0; j < COLUMNS; j++) a[j] = START;
#else
        {
            INNER(first)
            for (int j = 0; j < count; j++) {
                a[j] = LOADED(base + along + j);
                IF_PLACE(p[j] = PLACE(flat + j, first);)
            }
        }
        k++;
#endif
        for (; k < last; k++) {
            INNER(k)
            if (count == COLUMNS) {
                for (int j = 0; j < COLUMNS; j++) {
                    const T v = LOADED(base + along + j);
                    IF_PLACE(const long at = PLACE(flat + j, k);)
                    FOLD(a[j], p[j], v, at);
                }
            } else {
                for (int j = 0; j < count; j++) {
                    const T v = LOADED(base + along + j);
                    IF_PLACE(const long at = PLACE(flat + j, k);)
                    FOLD(a[j], p[j], v, at);
                }
            }
        }
        for (int j = 0; j < count; j++) {
            const ulong target = is_part ? (flat + j) * parts + part
                                         : offset_out + to + (column + j) * step;
            STORE(target, a[j], p[j]);
        }
    }
}
