// Folds the inner elements of each outer element.
//
// T: what is folded in. LOADED(i): an element of the input as T. START: the value of nothing, or
// undefined: begin with the first element. FOLD(a, p, v, at): fold v, found at place `at`, into a
// (and its place into p). RESULT(a): what is stored. HAS_PLACE: the place comes out, in `places` or
// in `out`. IS_PART: the results of parts come out, both value and place. LANES, COLUMNS: how many
// side by side. is_rest: the input is such results; line: inner elements of a run of neighbours, or 0.
//
// W: elements of a VECTOR, if more than one; IN_V(p, i) loads it. IS_EXTREME: of such vectors,
// EXTREME(a, v, seen) folds v, if it is a number, into a, and its magnitude's bits into seen, which
// exceed INFINITE for NaN: masks are few in a processor, and tests for NaN would take them all.

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
    ulong parts, ulong chunk, int is_part, int is_rest, ulong line OUTER_NUMBERS INNER_NUMBERS

// One outer element per work item.
kernel void rows(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places, NUMBERS)
{
    for (ulong item = get_global_id(0); item < outer_count * parts; item += get_global_size(0)) {
        const ulong o = item / parts, first = item % parts * chunk;
        const ulong last = min(inner_count, first + chunk);
        OUTER(o)
        const ulong origin = offset_in + from;
        const bool is_dense = line != 0;
        ulong k = first;
        long p = 0;
#ifdef START
        T a = START;
#else
        INNER(first)
        T a = LOADED(origin + along);
        IF_PLACE(p = PLACE(o, first);)
        k++;
#endif
        // Run by run of neighbours, which end where the innermost loop does.
        while (k < last) {
            const ulong stop = is_dense ? min(last, k - k % line + line) : last;
            INNER(k)
            const ulong base = origin + along - k;
#if W > 1 && IS_EXTREME
            // Values first, block by block; where a place is asked for, it is then looked for in the
            // block that has the extreme.
            if (is_dense && !(HAS_PLACE && is_rest)) {
                ulong found = stop, block;
                for (; (block = (stop - k) / (4 * W) * (4 * W)); k += block) {
                    IF_PLACE(block = min(block, (ulong)BLOCK);)
                    VECTOR a0 = IN_V(in, base + k), a1 = a0, a2 = a0, a3 = a0;
                    NUMBERED seen = (NUMBERED)(0);
                    for (ulong i = base + k; i < base + k + block; i += 4 * W) {
                        for (int j = 0; j < 4; j++) FETCH(in + i + j * W + AHEAD)
                        const VECTOR v0 = IN_V(in, i), v1 = IN_V(in, i + W);
                        const VECTOR v2 = IN_V(in, i + 2 * W), v3 = IN_V(in, i + 3 * W);
                        EXTREME(a0, v0, seen)
                        EXTREME(a1, v1, seen)
                        EXTREME(a2, v2, seen)
                        EXTREME(a3, v3, seen)
                    }
                    EXTREME(a0, a1, seen)
                    EXTREME(a2, a3, seen)
                    EXTREME(a0, a2, seen)
                    T lane[W];
                    NUMBER most[W];
                    STORE_LANES(a0, lane);
                    STORE_LANES(seen, most);
                    T m = lane[0];
                    for (int j = 0; j < W; j++) {
                        FOLD_VALUE(m, lane[j]);
                        if (most[j] > INFINITE) m = NAN;
                    }
                    if (a == a && !(m NOT_BEYOND a)) {
                        a = m;
                        found = k;
                    }
                }
#if HAS_PLACE
                for (; found < k; found++) {
                    const T v = LOADED(base + found);
                    if (v == a || v != v) {
                        p = (long)found;
                        break;
                    }
                }
#endif
            }
#elif W > 1
            if (is_dense && k + W <= stop) {
#ifdef START
                VECTOR lanes = (VECTOR)(START);
#else
                VECTOR lanes = (VECTOR)(a);
#endif
                if (k + 4 * W <= stop) {  // four at once, for each waits for the one before it
                    VECTOR a1 = lanes, a2 = lanes, a3 = lanes;
                    for (; k + 4 * W <= stop; k += 4 * W) {
                        const VECTOR v0 = IN_V(in, base + k), v1 = IN_V(in, base + k + W);
                        const VECTOR v2 = IN_V(in, base + k + 2 * W);
                        const VECTOR v3 = IN_V(in, base + k + 3 * W);
                        FOLD(lanes, p, v0, 0);
                        FOLD(a1, p, v1, 0);
                        FOLD(a2, p, v2, 0);
                        FOLD(a3, p, v3, 0);
                    }
                    FOLD(lanes, p, a1, 0);
                    FOLD(a2, p, a3, 0);
                    FOLD(lanes, p, a2, 0);
                }
                for (; k + W <= stop; k += W) {
                    const VECTOR v = IN_V(in, base + k);
                    FOLD(lanes, p, v, 0);
                }
                T lane[W];
                STORE_LANES(lanes, lane);
                for (int width = W / 2; width; width /= 2)
                    for (int j = 0; j < width; j++) {
                        const T v = lane[j + width];
                        FOLD(lane[j], p, v, 0);
                    }
                const T v = lane[0];
                FOLD(a, p, v, 0);
            }
#elif !HAS_PLACE
            if (is_dense && k + LANES <= stop) {
                T lane[LANES];
                for (int j = 0; j < LANES; j++) {
#ifdef START
                    lane[j] = START;
#else
                    lane[j] = a;
#endif
                }
                for (; k + LANES <= stop; k += LANES)
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
            if (is_dense) {
                for (; k < stop; k++) {
                    const T v = LOADED(base + k);
                    IF_PLACE(const long at = PLACE(o, k);)
                    FOLD(a, p, v, at);
                }
            } else {
                for (; k < stop; k++) {
                    INNER(k)
                    const T v = LOADED(origin + along);
                    IF_PLACE(const long at = PLACE(o, k);)
                    FOLD(a, p, v, at);
                }
            }
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
#if W > 1 && IS_EXTREME
        if (count == 4 * W && !(HAS_PLACE && is_rest) && last - first < 1ul << 31) {
            VECTOR a0 = LOAD_LANES(a), a1 = LOAD_LANES(a + W);
            VECTOR a2 = LOAD_LANES(a + 2 * W), a3 = LOAD_LANES(a + 3 * W);
            NUMBERED s0 = (NUMBERED)(0), s1 = s0, s2 = s0, s3 = s0;
            IF_PLACE(NUMBERED p0 = s0; NUMBERED p1 = s0; NUMBERED p2 = s0; NUMBERED p3 = s0;)
            for (ulong i = k; i < last; i++) {
                INNER(i)
                const ulong from_here = base + along;
                IF_PLACE(const NUMBERED at = (NUMBERED)((int)(i - first));)
#define COLUMN(j) { \
                    const VECTOR v = IN_V(in, from_here + j * W); \
                    IF_PLACE(p##j = v BEYOND a##j ? at : p##j;) \
                    EXTREME(a##j, v, s##j) \
                }
                COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3)
#undef COLUMN
            }
            T extreme[COLUMNS];
            NUMBER most[COLUMNS], number[COLUMNS];
#define COLUMN(j) \
            STORE_LANES(a##j, extreme + j * W); \
            STORE_LANES(s##j, most + j * W); \
            IF_PLACE(STORE_LANES(p##j, number + j * W);)
            COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3)
#undef COLUMN
            bool is_nan = false;
            for (int j = 0; j < COLUMNS; j++) is_nan = is_nan || most[j] > INFINITE || a[j] != a[j];
            if (!is_nan) {  // else once more, one by one
                k = last;
                for (int j = 0; j < COLUMNS; j++) {
                    a[j] = extreme[j];
                    IF_PLACE(p[j] = (long)first + number[j];)
                }
            }
        }
#elif W > 1
        if (count == 4 * W) {  // COLUMNS: named, for an array of vectors is kept in memory
            VECTOR a0 = LOAD_LANES(a), a1 = LOAD_LANES(a + W);
            VECTOR a2 = LOAD_LANES(a + 2 * W), a3 = LOAD_LANES(a + 3 * W);
            for (; k < last; k++) {
                INNER(k)
                const ulong from_here = base + along;
                const VECTOR v0 = IN_V(in, from_here), v1 = IN_V(in, from_here + W);
                const VECTOR v2 = IN_V(in, from_here + 2 * W), v3 = IN_V(in, from_here + 3 * W);
                FOLD(a0, p, v0, 0);
                FOLD(a1, p, v1, 0);
                FOLD(a2, p, v2, 0);
                FOLD(a3, p, v3, 0);
            }
            STORE_LANES(a0, a);
            STORE_LANES(a1, a + W);
            STORE_LANES(a2, a + 2 * W);
            STORE_LANES(a3, a + 3 * W);
        }
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
