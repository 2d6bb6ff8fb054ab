// Folds the inner elements of each outer element.
//
// T: what is folded in. LOADED(i): what is folded of an element of the input, as T. START: the
// value of nothing, or undefined: begin with the first element. FOLD(a, p, v, at): fold v, found at
// place `at`, into a (and its place into p). RESULT(a): what is stored. HAS_PLACE: the place comes
// out, in `places` or in `out`. IS_PART: the results of parts come out, both value and place. LANES,
// COLUMNS: how many side by side. is_rest: the input is such results; line: inner elements of a run
// of neighbours, or 0. FOLD_NUMBERS: arguments that RESULT takes.
//
// W: elements of a VECTOR, if more than one; IN_V(p, i) loads it. VECTOR_START: START in its lanes.
// IS_EXTREME: FOLD_VALUE(a, v) folds such a vector into a, if it is of numbers; NUMBERED has places
// for its lanes. HAS_NAN: there may be others, and SEE(seen, v) folds v's magnitude's bits into seen,
// which exceed INFINITE for NaN: masks are few in a processor, and tests for NaN would take them all.
// IS_MASK: the last vector may take elements once more.
// ACROSS_VALUES(r, v, STEP), ACROSS_NUMBERS: r is the fold of v's lanes by STEP(a, b). IOTA: 0, 1, ….

#ifndef VECTOR_START
#define VECTOR_START (VECTOR)(START)
#endif

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
#if HAS_NAN
#define IF_NAN(x) x
#else
#define IF_NAN(x)
#endif
#define PLACE(flat, k) (is_rest ? places[(flat) * inner_count + (k)] : (long)(k))

#ifndef FOLD_NUMBERS
#define FOLD_NUMBERS
#endif
#define NUMBERS ulong offset_out, ulong offset_in, ulong outer_count, ulong inner_count, \
    ulong parts, ulong chunk, int is_part, int is_rest, ulong line FOLD_NUMBERS \
    OUTER_NUMBERS INNER_NUMBERS

// A processor's core goes on where it is; neighbours of a GPU take neighbours.
#if IS_CPU
#define EACH_ITEM(item, items) \
    const ulong share_ = ((items) - 1) / get_global_size(0) + 1; \
    const ulong end_ = min((ulong)(items), share_ * (get_global_id(0) + 1)); \
    for (ulong item = share_ * get_global_id(0); item < end_; item++)
#else
#define EACH_ITEM(item, items) \
    for (ulong item = get_global_id(0); item < (items); item += get_global_size(0))
#endif
#define FOLD_VALUES(a, v) FOLD(a, p, v, 0);

// One outer element per work item.
kernel void rows(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places, NUMBERS)
{
    EACH_ITEM(item, outer_count * parts) {
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
#if W == 1
        k++;  // else it is there once more, for it changes nothing
#endif
#endif
        // Run by run of neighbours, which end where the innermost loop does.
        while (k < last) {
            const ulong stop = is_dense ? min(last, k - k % line + line) : last;
            INNER(k)
            const ulong base = origin + along - k;
#if W > 1 && IS_EXTREME
            // The last vectors may take elements once more, for those change nothing.
            if (is_dense && !(HAS_PLACE && is_rest) && k + 4 * W <= stop && stop - k < 1ul << 31) {
                VECTOR a0 = IN_V(in, base + k), a1 = IN_V(in, base + k + W);
                VECTOR a2 = IN_V(in, base + k + 2 * W), a3 = IN_V(in, base + k + 3 * W);
                const NUMBERED none = (NUMBERED)(0);
                IF_NAN(NUMBERED s0 = none; NUMBERED s1 = none; NUMBERED s2 = none;)
                IF_NAN(NUMBERED s3 = none;)
                IF_PLACE(NUMBERED p0 = none; NUMBERED p1 = none; NUMBERED p2 = none;)
                IF_PLACE(NUMBERED p3 = none;)
                for (ulong i = k; i < stop; i += 4 * W) {
                    i = min(i, stop - 4 * W);
                    IF_PLACE(const NUMBERED at = (NUMBERED)((int)(i - k));)
#define PART(j) { \
                        const VECTOR v = IN_V(in, base + i + j * W); \
                        IF_PLACE(p##j = v BEYOND a##j ? at : p##j;) \
                        FOLD_VALUE(a##j, v) \
                        IF_NAN(SEE(s##j, v)) \
                    }
                    PART(0) PART(1) PART(2) PART(3)
#undef PART
                }
#if HAS_NAN
                s0 = max(max(s0, s1), max(s2, s3));
                NUMBER most;
                ACROSS_NUMBERS(most, s0, MOST)
#endif
#if HAS_PLACE
#define JOIN(a, p, b, q, more) { \
                    const NUMBERED other = q + more, is_it = (b BEYOND a) | (b == a & other < p); \
                    a = is_it ? b : a; \
                    p = is_it ? other : p; \
                }
                JOIN(a0, p0, a1, p1, W)
                JOIN(a2, p2, a3, p3, W)
                JOIN(a0, p0, a2, p2, 2 * W)
#undef JOIN
#else
                FOLD_VALUE(a0, a1)
                FOLD_VALUE(a2, a3)
                FOLD_VALUE(a0, a2)
#endif
                T m;
                ACROSS_VALUES(m, a0, FOLD_VALUE)
                if (a != a) {
#if HAS_NAN
                } else if (most > INFINITE) {
                    a = NAN;
                    IF_PLACE(for (ulong i = k; i < stop; i++) {
                        const T v = LOADED(base + i);
                        if (v != v) {
                            p = (long)i;
                            break;
                        }
                    })
#endif
                } else if (m BEYOND a IF_PLACE(|| (m == a && k == first))) {
                    a = m;
#if HAS_PLACE
                    p0 = a0 == (VECTOR)(m) ? p0 + IOTA : (NUMBERED)(0x7fffffff);
                    NUMBER least;
                    ACROSS_NUMBERS(least, p0, LEAST)
                    p = (long)k + least;
#endif
                }
                k = stop;
            }
#elif W > 1
            if (is_dense && k + W <= stop) {
#ifdef START
                VECTOR lanes = VECTOR_START;
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
#if IS_MASK
                if (k < stop) {
                    const VECTOR v = IN_V(in, base + stop - W);
                    FOLD(lanes, p, v, 0);
                    k = stop;
                }
#endif
                T v;
                ACROSS_VALUES(v, lanes, FOLD_VALUES)
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

// Neighbouring outer elements, in the innermost outer loop of `width`, side by side, up to `span` of
// them, COLUMNS at most. OUTER gives the places of the first of a row.
kernel void columns(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places,
        NUMBERS, ulong width, ulong step, ulong span)
{
    const ulong blocks = (width - 1) / span + 1, items = outer_count / width * blocks * parts;
    EACH_ITEM(item, items) {
        const ulong part = item % parts, block = item / parts;
        const ulong row = block / blocks, column = block % blocks * span;
        const int count = (int)min(span, width - column);
        const ulong first = part * chunk, last = min(inner_count, first + chunk);
        OUTER(row)
        const ulong base = offset_in + from + column, flat = row * width + column;
        long p[COLUMNS];
        ulong k = first;
        int begin = 0;  // of the columns that are folded one by one
#if W > 1
        VECTOR folds[COLUMNS / W];
        private T *a = (private T *)folds;
#else
        T a[COLUMNS];
#endif
#ifdef START
        for (int j = 0; j < count; j++) a[j] = START;
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
#if W > 1
        // Four rows at a time, for what is kept of the columns goes through memory.
        if (!(HAS_PLACE && is_rest) && last - first < 1ul << 31) {
            begin = count / W * W;
#if IS_EXTREME
            IF_NAN(NUMBERED most[COLUMNS / W];)
            IF_PLACE(NUMBERED found[COLUMNS / W];)
            for (int j = 0; j < begin / W; j++) {
                IF_NAN(most[j] = (NUMBERED)(0);)
                IF_PLACE(found[j] = (NUMBERED)(0);)
            }
#define KEPT(j) IF_NAN(NUMBERED seen = most[j];) IF_PLACE(NUMBERED at = found[j];)
#define FOLD_ROW(r, j) { \
                const VECTOR v = IN_V(in, rows[r] + j); \
                IF_PLACE(at = v BEYOND x ? (NUMBERED)((int)(i - first) + r) : at;) \
                FOLD_VALUE(x, v) \
                IF_NAN(SEE(seen, v)) \
            }
#define KEEP(j) IF_NAN(most[j] = seen;) IF_PLACE(found[j] = at;)
            ulong i = first;
#else
#define KEPT(j)
#define FOLD_ROW(r, j) { const VECTOR v = IN_V(in, rows[r] + j); FOLD(x, p, v, 0); }
#define KEEP(j)
            ulong i = k;
#endif
            for (; i + 4 <= last; i += 4) {
                ulong rows[4];
                for (int r = 0; r < 4; r++) {
                    INNER(i + r)
                    rows[r] = base + along;
                }
                const ulong next = rows[3] - rows[0] + rows[1] - rows[0];
                for (int j = 0; j < begin; j += W) {
                    VECTOR x = folds[j / W];
                    KEPT(j / W)
#if IS_EXTREME  // so many instructions that a processor does not see far ahead
                    for (int r = 0; r < 4; r++) FETCH(in + rows[r] + next + j)
#endif
                    FOLD_ROW(0, j)
                    FOLD_ROW(1, j)
                    FOLD_ROW(2, j)
                    FOLD_ROW(3, j)
                    folds[j / W] = x;
                    KEEP(j / W)
                }
            }
            for (; i < last; i++) {
                INNER(i)
                const ulong rows[1] = {base + along};
                for (int j = 0; j < begin; j += W) {
                    VECTOR x = folds[j / W];
                    KEPT(j / W)
                    FOLD_ROW(0, j)
                    folds[j / W] = x;
                    KEEP(j / W)
                }
            }
#if IS_EXTREME
            for (int j = 0; j < begin; j++) {
                IF_PLACE(p[j] = (long)first + ((private NUMBER *)found)[j];)
#if HAS_NAN
                if (((private NUMBER *)most)[j] > INFINITE) {
                    a[j] = NAN;
                    IF_PLACE(for (ulong i = first; i < last; i++) {
                        INNER(i)
                        const T v = LOADED(base + along + j);
                        if (v != v) {
                            p[j] = (long)i;
                            break;
                        }
                    })
                }
#endif
            }
#endif
        }
#endif
        for (; k < last && begin < count; k++) {
            INNER(k)
            if (count - begin == COLUMNS) {
                for (int j = 0; j < COLUMNS; j++) {
                    const T v = LOADED(base + along + j);
                    IF_PLACE(const long at = PLACE(flat + j, k);)
                    FOLD(a[j], p[j], v, at);
                }
            } else {
                for (int j = begin; j < count; j++) {
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
