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

#if HAS_VALUE  // what is found is written, too, in the order of the places
#define VALUES , global VALUE_MEMORY *values
#define STORE(i, a, p) out[i] = p; VALUE_STORE(values, offset_values + (i) - offset_out, VALUE_OF(a))
#elif HAS_PLACE && !IS_PART
#define STORE(i, a, p) out[i] = p
#else
#define STORE(i, a, p) OUT_STORE(out, i, RESULT(a)); IF_PLACE(places[i] = p;)
#endif
#if HAS_NAN
#define IF_NAN(x) x
#else
#define IF_NAN(x)
#endif
#ifndef VALUES
#define VALUES
#endif
#define PLACE(i, k) (is_rest ? places[i] : (long)(k))

#ifndef FOLD_NUMBERS
#define FOLD_NUMBERS
#endif
#define NUMBERS ulong offset_out, ulong offset_in, ulong outer_count, ulong inner_count, \
    ulong parts, ulong chunk, int is_part, int is_rest, ulong line FOLD_NUMBERS \
    OUTER_NUMBERS INNER_NUMBERS

#define FOLD_VALUES(a, v) FOLD(a, p, v, 0);

// One outer element per work item.
kernel void rows(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places VALUES, NUMBERS)
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
        IF_PLACE(p = PLACE(origin + along, first);)
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
                    IF_PLACE(const long at = PLACE(base + k, k);)
                    FOLD(a, p, v, at);
                }
            } else {
                for (; k < stop; k++) {
                    INNER(k)
                    const T v = LOADED(origin + along);
                    IF_PLACE(const long at = PLACE(origin + along, k);)
                    FOLD(a, p, v, at);
                }
            }
        }
        const ulong target = is_part ? item : offset_out + to;
        STORE(target, a, p);
    }
}

// Outer elements side by side, COLUMNS at most: see sides.cl. OUTER gives the places of the first of a
// row.
kernel void columns(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places VALUES,
        NUMBERS, ulong16 side)
{
    SIDES
    EACH_ITEM(item, outer_count / width * blocks * parts) {
        SIDE_ITEM(item)
        const int count = (int)min(span, width - column);
        const ulong end = last == inner_count && column < extra ? last + 1 : last;
        OUTER(row)
        const ulong base = offset_in + from;
#define PLACE_OF(k, x) ((long)(several > 1 ? (k) * several + (x) / narrow : (k)))
#define TARGET(x) (is_part ? (row * width + (x)) * parts + part : offset_out + to + (x) * step)
        const ulong by = is_part ? parts : step;
#if W == 1
        const ulong corner = base + column * lane;
        T a[COLUMNS];
        long p[COLUMNS];
        ulong k = first;
#ifdef START
        for (int j = 0; j < count; j++) a[j] = START;
#else
        {
            INNER(first)
            for (int j = 0; j < count; j++) {
                a[j] = LOADED(corner + along + j * lane);
                IF_PLACE(p[j] = PLACE(corner + along + j * lane, PLACE_OF(first, column + j));)
            }
        }
        k++;
#endif
        for (; k < end; k++) {
            INNER(k)
            const ulong place = corner + along;
#define FOLD_COLUMNS(count, lane) \
            for (int j = 0; j < count; j++) { \
                const T v = LOADED(place + j * lane); \
                IF_PLACE(const long at = PLACE(place + j * lane, PLACE_OF(k, column + j));) \
                FOLD(a[j], p[j], v, at); \
            }
            if (k >= last) {
                const int some = (int)min((ulong)count, extra - column);
                FOLD_COLUMNS(some, lane)
            } else if (count == COLUMNS && lane == 1) {
                FOLD_COLUMNS(COLUMNS, 1)
            } else {
                FOLD_COLUMNS(count, lane)
            }
        }
        for (int j = 0; j < count; j++) {
            const ulong target = TARGET(column + j);
            STORE(target, a[j], p[j]);
        }
#else
        const int vectors = (count + W - 1) / W;
        VECTOR folds[COLUMNS / W];
#if IS_EXTREME
        IF_NAN(NUMBERED most[COLUMNS / W];)
        IF_PLACE(NUMBERED found[COLUMNS / W];)
#endif
#if IS_EXTREME
#define KEPT(j) IF_NAN(NUMBERED seen = most[j];) IF_PLACE(NUMBERED at = found[j];)
#define KEEP(j) IF_NAN(most[j] = seen;) IF_PLACE(found[j] = at;)
#define FOLD_ROW(v, r) { \
                IF_PLACE(at = v BEYOND x ? (NUMBERED)((int)(i - first) + r) : at;) \
                FOLD_VALUE(x, v) \
                IF_NAN(SEE(seen, v)) \
            }
#define FOLD_ROWS FOLD_ROW(v0, 0) FOLD_ROW(v1, 1) FOLD_ROW(v2, 2) FOLD_ROW(v3, 3)
#else
#define KEPT(j)
#define KEEP(j)
#define FOLD_ROW(v, r) FOLD(x, p, v, 0);
#if LANES_ARE == 0
#define FOLD_ROWS FOLD(x, p, v0, 0); FOLD(x, p, v1, 0); FOLD(x, p, v2, 0); FOLD(x, p, v3, 0);
#else  // few wait for the one before
#define FOLD_ROWS FOLD(v0, p, v1, 0); FOLD(v2, p, v3, 0); FOLD(v0, p, v2, 0); FOLD(x, p, v0, 0);
#endif
#endif
        ulong i = first;
        RUNS
        NEXT_RUN(i)
#if LINE
        for (int j = 0; j < vectors; j++) {
            VECTOR v[LINE];
            LINES(v, in, run_place + AT(j) * LINE)
#ifdef START
            VECTOR x = VECTOR_START;
#else
            VECTOR x = v[0];
#endif
#if IS_EXTREME
            IF_NAN(NUMBERED seen = (NUMBERED)(0);)
            IF_PLACE(NUMBERED at = (NUMBERED)(0);)
#endif
            for (int r = 0; r < LINE; r++) { FOLD_ROW(v[r], r) }
            folds[j] = x;
            KEEP(j)
        }
        i = last;
#elif defined(START)
        for (int j = 0; j < vectors; j++) folds[j] = VECTOR_START;
#else
        const bool is_turned = CAN_TURN(first + 4) && first + 4 <= min(last, run_end);
        for (int j = 0; j < vectors; j++) {
#if LANES_ARE == 2
            if (is_turned) {
                VECTOR v1, v2, v3;
                FETCH_4(first, j, 1, 0, 0)
                TURN_4(folds[j], v1, v2, v3, in, run_place + AT(j) * LANE)
#if IS_EXTREME
                VECTOR x = folds[j];
                IF_NAN(NUMBERED seen = (NUMBERED)(0); SEE(seen, x))
                IF_PLACE(NUMBERED at = (NUMBERED)(0);)
                FOLD_ROW(v1, 1) FOLD_ROW(v2, 2) FOLD_ROW(v3, 3)
                folds[j] = x;
                KEEP(j)
#endif
                continue;
            }
#endif
            folds[j] = SIDE_LOAD(in, run_place + AT(j) * LANE);
#if IS_EXTREME
            IF_NAN(most[j] = (NUMBERED)(0); SEE(most[j], folds[j]))
            IF_PLACE(found[j] = (NUMBERED)(0);)
#endif
        }
        i = is_turned ? first + 4 : first + 1;
#endif
        while (i < last) {
            if (i == run_end)
            NEXT_RUN(i)
            const ulong stop = min(last, run_end);
            // Four rows at a time, for what is kept of the columns goes through memory.
            for (; i + 4 <= stop; i += 4) {
                const ulong place = ROW(i);
                for (int j = 0; j < vectors; j++) {
                    const ulong at_lanes = place + AT(j) * LANE;
                    VECTOR x = folds[j], v0, v1, v2, v3;
                    KEPT(j)
                    FETCH_4(i, j, 1, 0, at_lanes)
                    SIDE_LOAD_4(v0, v1, v2, v3, in, at_lanes)
                    FOLD_ROWS
                    folds[j] = x;
                    KEEP(j)
                }
            }
#if LANES_ARE == 2
            // Four that end there are turned, some of them once more.
            if (i < stop && CAN_TURN(stop)) {
                const int m = (int)(stop - i);
                const ulong place = ROW(stop - 4);
#if IS_EXTREME
                i = stop - 4;
#endif
                for (int j = 0; j < vectors; j++) {
                    VECTOR x = folds[j], v0, v1, v2, v3;
                    KEPT(j)
                    TURN_4(v0, v1, v2, v3, in, place + AT(j) * LANE)
#if IS_EXTREME
                    FOLD_ROWS
#else
                    FOLD(x, p, v3, 0);
                    if (m > 1) { FOLD(x, p, v2, 0); }
                    if (m > 2) { FOLD(x, p, v1, 0); }
#endif
                    folds[j] = x;
                    KEEP(j)
                }
                i = stop;
            }
#endif
            for (; i < stop; i++) {
                const ulong place = ROW(i);
                for (int j = 0; j < vectors; j++) {
                    VECTOR x = folds[j];
                    KEPT(j)
                    const VECTOR v = SIDE_LOAD(in, place + AT(j) * LANE);
                    FOLD_ROW(v, 0)
                    folds[j] = x;
                    KEEP(j)
                }
            }
        }
        for (int j = 0; j < vectors; j++) {
            private T *a = (private T *)&folds[j];
            const ulong x = AT(j);
            const int n = (int)min((ulong)W, width);
            long p[W];
#if IS_EXTREME
#if HAS_PLACE
            private NUMBER *place = (private NUMBER *)&found[j];
            for (int l = 0; l < W; l++) p[l] = (long)first + place[l];
            if (several > 1)
                for (int l = 0; l < n; l++) p[l] = PLACE_OF(p[l], x + l);
#endif
#if HAS_NAN
            NUMBER seen;
            ACROSS_NUMBERS(seen, most[j], MOST)
            if (seen > INFINITE)
                for (int l = 0; l < n; l++)
                    if (((private NUMBER *)&most[j])[l] > INFINITE) {
                        a[l] = NAN;
                        IF_PLACE(for (ulong i = first; i < last; i++) {
                            INNER(i)
                            const T v = LOADED(base + along + (x + l) * LANE);
                            if (v != v) {
                                p[l] = PLACE_OF(i, x + l);
                                break;
                            }
                        })
                    }
#endif
#endif
            for (ulong k = last; k < end; k++) {
                INNER(k)
                for (int l = 0; l < n && x + l < extra; l++) {
                    const T v = LOADED(base + along + (x + l) * LANE);
                    IF_PLACE(const long at = PLACE_OF(k, x + l);)
                    FOLD(a[l], p[l], v, at);
                }
            }
            const ulong target = TARGET(x);
            if (by == 1 && n == W)
                for (int l = 0; l < W; l++) { STORE(target + l, a[l], p[l]); }
            else
                for (int l = 0; l < n; l++) { STORE(target + l * by, a[l], p[l]); }
        }
#endif
    }
}

#if W > 1 && LANES_ARE == 2
// Small blocks of `several` rows of `narrow` elements, of which the rows are folded, side by side.
kernel void blocks(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places VALUES,
        NUMBERS, ulong16 side)
{
    SIDES
    EACH_ITEM(item, outer_count / width * blocks) {
        SIDE_ITEM(item)
        const int vectors = (int)((min(span, width - column) + W - 1) / W);
        OUTER(row)
        const ulong base = offset_in + from, i = 0, run_end = run;
        const ulong ahead = base + (column + span) * LANE;
        for (int j = 0; j < vectors; j++) {
            VECTOR with_before[BLOCK_SIZE + 3], *tile = with_before + 3;
            SIDE_LOAD_ALL(tile, (int)run, in, base + AT(j) * LANE, j, true)
            for (int c = 0; c < narrow; c++) {
                VECTOR x = tile[c];
                private T *a = (private T *)&x;
                long p[W];
#if IS_EXTREME
                IF_NAN(NUMBERED seen = (NUMBERED)(0); SEE(seen, x))
                IF_PLACE(NUMBERED at = (NUMBERED)(0);)
#endif
                for (int k = 1; k < several; k++) {
                    const VECTOR v = tile[k * narrow + c];
                    FOLD_ROW(v, k)
                }
#if HAS_PLACE
                for (int l = 0; l < W; l++) p[l] = ((private NUMBER *)&at)[l];
#endif
#if HAS_NAN
                NUMBER most;
                ACROSS_NUMBERS(most, seen, MOST)
                if (most > INFINITE)
                    for (int l = 0; l < W; l++)
                        if (((private NUMBER *)&seen)[l] > INFINITE) {
                            a[l] = NAN;
                            IF_PLACE(for (p[l] = 0; p[l] < several; p[l]++) {
                                const T v = ((private T *)&tile[p[l] * narrow + c])[l];
                                if (v != v) break;
                            })
                        }
#endif
                const ulong target = offset_out + to + AT(j) * step + c * side.sb;
                for (int l = 0; l < W; l++) { STORE(target + l * step, a[l], p[l]); }
            }
        }
    }
}
#endif
