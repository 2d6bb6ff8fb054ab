// Folds the inner elements of each outer element into a pair of numbers: a mean and the sum of
// squared distances from it (IS_MOMENTS), or a largest element and the sum of exponentials of
// distances from it. For the host's cores.
//
// T: what is computed in; VECTOR: W of them. IN_S(p, i), IN_V(p, i): an element, W neighbours.
// ACROSS_VALUES(r, v, STEP): r is the fold of v's lanes by STEP(a, b). RESULT(a, b): what comes out
// of a pair; HAS_MORE: a comes out too. is_part: the pairs of parts come out, in `pairs`. line: inner
// elements of a run of neighbours, or 0. Exponentials: exponentials.cl.

#define BLOCK (16384 / (int)sizeof(T))  // elements that are read twice, from the nearest cache
#define TILE 64      // vectors that are read twice
#define SHORT 32     // elements of a run that are a tile, if they lie as near as
#define NEARBY 8192
#define AHEAD 8192   // elements from those of lines that are turned to those that are fetched
#define GATHERED 256 // elements that are brought together where they are not neighbours

#define NUMBERS ulong offset_out, ulong offset_more, ulong offset_in, ulong outer_count, \
    ulong inner_count, ulong parts, ulong chunk, int is_part, T freedom, ulong line \
    OUTER_NUMBERS INNER_NUMBERS
// Of part t of all: a, b, how many elements it is of, and what a is taken from: the sum of both would
// be rounded.
#define KEEP_PAIR(t, a, b, n, less) { \
        const ulong total_ = outer_count * parts; \
        pairs[t] = a; \
        pairs[total_ + (t)] = b; \
        IF_MOMENTS(pairs[2 * total_ + (t)] = (T)(n); pairs[3 * total_ + (t)] = less;) \
    }
#define BUFFERS global OUT_MEMORY *out, global OUT_MEMORY *more, global const IN_MEMORY *in, \
    global T *pairs

#define FINITE(x, otherwise) (fabs(x) < INFINITY ? (x) : (otherwise))

#if IS_MOMENTS
#define IF_MOMENTS(x) x
// Means are taken from `less`, the first element, so that one far from 0 rounds little.
// The pair (c, d) of m elements joins (a, b) of n; infinite means stay what they are.
#define JOIN(a, b, n, c, d, m) { \
        const T all_ = (T)((n) + (m)), delta_ = (c) - a; \
        const T mean_ = a + delta_ * ((T)(m) / all_); \
        b += (d) + delta_ * delta_ * ((T)(n) / all_ * (T)(m)); \
        a = fabs(delta_) < INFINITY ? mean_ : a * ((T)(n) / all_) + (c) * ((T)(m) / all_); \
    }
#define FIRST 0
#define BLOCK_PAIR(c, d, m, S, V, BEFORE, NEXT) { \
        VECTOR t0_ = (VECTOR)0, t1_ = t0_, t2_ = t0_, t3_ = t0_; \
        T t_ = 0; \
        int i = 0; \
        for (; i + 4 * W <= (m); i += 4 * W) { \
            t0_ += V(i); t1_ += V(i + W); t2_ += V(i + 2 * W); t3_ += V(i + 3 * W); \
        } \
        for (; i + W <= (m); i += W) t0_ += V(i); \
        for (; i < (m); i++) t_ += S(i); \
        t0_ = (t0_ + t1_) + (t2_ + t3_); \
        T sum_; \
        ACROSS_VALUES(sum_, t0_, ADD) \
        const T mean_ = (sum_ + t_) / (T)(m); \
        /* distances add up to what the mean was rounded by */ \
        VECTOR q0_ = (VECTOR)0, q1_ = q0_, e0_ = q0_, e1_ = q0_; \
        T q_ = 0, e_ = 0; \
        for (i = 0; i + 2 * W <= (m); i += 2 * W) { \
            const VECTOR x_ = V(i) - mean_, y_ = V(i + W) - mean_; \
            NEXT(i) NEXT(i + W) \
            q0_ = fma(x_, x_, q0_); q1_ = fma(y_, y_, q1_); \
            e0_ += x_; e1_ += y_; \
        } \
        for (; i + W <= (m); i += W) { \
            const VECTOR x_ = V(i) - mean_; \
            q0_ = fma(x_, x_, q0_); \
            e0_ += x_; \
        } \
        for (; i < (m); i++) { \
            const T x_ = S(i) - mean_; \
            q_ = fma(x_, x_, q_); \
            e_ += x_; \
        } \
        q0_ += q1_; \
        e0_ += e1_; \
        T squares_, rest_; \
        ACROSS_VALUES(squares_, q0_, ADD) \
        ACROSS_VALUES(rest_, e0_, ADD) \
        rest_ = (rest_ + e_) / (T)(m); \
        d = squares_ + q_ - rest_ * rest_ * (T)(m); \
        c = mean_ - less + FINITE(rest_, 0); \
    }
#define SHIFT(x) FINITE(x, (VECTOR)0)
#define JOIN_8(a, b, n) { \
        const VECTOR sum_ = ((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7)); \
        const VECTOR c_ = sum_ * (T)0.125; \
        const VECTOR d0_ = x0 - c_, d1_ = x1 - c_, d2_ = x2 - c_, d3_ = x3 - c_; \
        const VECTOR d4_ = x4 - c_, d5_ = x5 - c_, d6_ = x6 - c_, d7_ = x7 - c_; \
        const VECTOR p_ = fma(d0_, d0_, fma(d1_, d1_, fma(d2_, d2_, d3_ * d3_))); \
        const VECTOR q_ = fma(d4_, d4_, fma(d5_, d5_, fma(d6_, d6_, d7_ * d7_))); \
        COLUMN_JOIN(a, b, n, c_, p_ + q_, 8) \
    }
#define COLUMN_JOIN(a, b, n, c, d, m) { \
        const T share_ = (T)(m) / (T)((n) + (m)), other_ = (T)(n) / (T)((n) + (m)); \
        const VECTOR delta_ = (c) - a; \
        b += fma(delta_ * delta_, (VECTOR)(other_ * (T)(m)), d); \
        a = fabs(delta_) < INFINITY ? a + delta_ * share_ : a * other_ + (c) * share_; \
    }
#define TILE_FIRST(c_, m) { \
        VECTOR d_ = (VECTOR)0, e_ = d_, f_ = d_; \
        c_ = d_; \
        int k_ = 0; \
        for (; k_ + 4 <= (m); k_ += 4) { \
            c_ += TILE_AT(k_); d_ += TILE_AT(k_ + 1); e_ += TILE_AT(k_ + 2); f_ += TILE_AT(k_ + 3); \
        } \
        for (; k_ < (m); k_++) c_ += TILE_AT(k_); \
        c_ = ((c_ + d_) + (e_ + f_)) * ((T)1 / (T)(m)); \
    }
// Distances add up to what the mean was rounded by.
#define TILE_SECOND(c_, d_, less, m, FETCHING) { \
        VECTOR e_ = (VECTOR)0, f_ = e_, g_ = e_; \
        d_ = e_; \
        int k_ = 0; \
        for (; k_ + 2 <= (m); k_ += 2) { \
            const VECTOR x_ = TILE_AT(k_) - c_, y_ = TILE_AT(k_ + 1) - c_; \
            FETCHING FETCHING \
            d_ = fma(x_, x_, d_); \
            e_ = fma(y_, y_, e_); \
            f_ += x_; \
            g_ += y_; \
        } \
        if (k_ < (m)) { \
            const VECTOR x_ = TILE_AT(k_) - c_; \
            FETCHING \
            d_ = fma(x_, x_, d_); \
            f_ += x_; \
        } \
        f_ = (f_ + g_) * ((T)1 / (T)(m)); \
        d_ = (d_ + e_) - f_ * f_ * (T)(m); \
        c_ = c_ - less + FINITE(f_, (VECTOR)0); \
    }
#define JOIN_TILE(a, b, n, less, m) { \
        VECTOR c_, d_; \
        TILE_FIRST(c_, m) \
        TILE_SECOND(c_, d_, less, m, ) \
        if (n) { \
            COLUMN_JOIN(a, b, n, c_, d_, m) \
        } else { \
            a = c_; \
            b = d_; \
        } \
    }
#define TILE_RESULT(a, b, m) b = RESULT_V(a, b);
#define OF_ONE(x) ((x) - (x))  // NaN of what is infinite
#else
#define IF_MOMENTS(x)
#define SCALE(a, top) ((fabs(top) == INFINITY) | (a == -INFINITY) ? 1 : EXP_S(a - top))
#define JOIN(a, b, n, c, d, m) { \
        const T c_ = (c), top_ = c_ > a ? c_ : a; \
        b = b * SCALE(a, top_) + (d) * SCALE(c_, top_); \
        a = top_; \
    }
// The sum where the largest element is infinite, which made it NaN: it stays so if one of m is NaN.
// READ reads one as x_.
#define SETTLE(b, a, m, READ) \
    if (a == INFINITY) { \
        b = INFINITY; \
        for (ulong i_ = 0; i_ < (m); i_++) { \
            READ \
            b = x_ != x_ ? x_ : b; \
        } \
    }
#define FIRST -INFINITY
#define KEEP(i, e)
#define BLOCK_PAIR(c, d, m, S, V, BEFORE, NEXT) { \
        MOST_OF(c, m, S, V, BEFORE) \
        const T off_ = OFF(c, 0); \
        SUM_OF(d, m, off_, S, V, BEFORE, NEXT, KEEP) \
        SETTLE(d, c, m, const T x_ = S(i_);) \
    }
#define SHIFT(x) ((VECTOR)0)
#define JOIN_8(a, b, n) COLUMN_8(a, b)
#define TILE_TOP(top_, m) { \
        VECTOR more_ = top_; \
        int k_ = 0; \
        for (; k_ + 2 <= (m); k_ += 2) { \
            top_ = MORE(top_, TILE_AT(k_)); \
            more_ = MORE(more_, TILE_AT(k_ + 1)); \
        } \
        if (k_ < (m)) top_ = MORE(top_, TILE_AT(k_)); \
        top_ = MORE(top_, more_); \
    }
#define TILE_SUM(b, off_, m, FETCHING) { \
        VECTOR more_ = (VECTOR)0; \
        int k_ = 0; \
        for (; k_ + 2 <= (m); k_ += 2) { \
            b += EXP_V(TILE_AT(k_) - off_); \
            more_ += EXP_V(TILE_AT(k_ + 1) - off_); \
            FETCHING FETCHING \
        } \
        if (k_ < (m)) { \
            b += EXP_V(TILE_AT(k_) - off_); \
            FETCHING \
        } \
        b += more_; \
    }
#define JOIN_TILE(a, b, n, less, m) { \
        VECTOR top_ = a; \
        TILE_TOP(top_, m) \
        const VECTOR off_ = OFF(top_, (VECTOR)0); \
        if (n) b *= EXP_V(a - off_); \
        TILE_SUM(b, off_, m, ) \
        a = top_; \
    }
#define TILE_FIRST(a, m) { \
        a = (VECTOR)(-INFINITY); \
        TILE_TOP(a, m) \
    }
#define TILE_SECOND(a, b, less, m, FETCHING) { \
        const VECTOR off_ = OFF(a, (VECTOR)0); \
        b = (VECTOR)0; \
        TILE_SUM(b, off_, m, FETCHING) \
    }
// A sum that is not 1 or more is 0, of minus infinities, or NaN.
#define TILE_RESULT(a, b, m) \
    if (ANY_LANE((b >= (T)1) == 0)) { \
        T tops_[W], sums_[W]; \
        STORE_LANES(a, tops_); \
        STORE_LANES(b, sums_); \
        for (int l_ = 0; l_ < W; l_++) \
            SETTLE(sums_[l_], tops_[l_], m, const T x_ = ((private T *)&TILE_AT(i_))[l_];) \
        const VECTOR sum_ = LOAD_LANES(sums_); \
        b = RESULT_V(a, sum_); \
    } else { \
        b = LOG_NEAR(b) + a; \
    }
#define OF_ONE(x) ((x) != (x) || (x) == INFINITY ? (x) : (x) == -INFINITY ? (T)0 : (T)1)
#endif

#define STORE(to, also, a, b) { \
        OUT_STORE(out, offset_out + to, RESULT(a, b)); \
        IF_MORE(OUT_STORE(more, offset_more + also, a);) \
    }
#if HAS_MORE
#define IF_MORE(x) x
#else
#define IF_MORE(x)
#endif

// One outer element per work item.
kernel void rows(BUFFERS, NUMBERS)
{
    EACH_ITEM(item, outer_count * parts) {
        const ulong o = item / parts, first = item % parts * chunk;
        const ulong last = min(inner_count, first + chunk);
        OUTER(o)
        const ulong origin = offset_in + from;
        T a = FIRST, b = 0;
#if IS_MOMENTS
        INNER(first)
        const T begin = IN_S(in, origin + along), less = FINITE(begin, 0);
#else
        const T less = 0;
#endif
        ulong k = first;
        while (k < last) {
            T c, d;
            ulong stop;
            if (line) {
                INNER(k)
                const ulong base = origin + along;  // blocks begin where lines of the cache do
                stop = min(min(last, k - k % line + line), k + BLOCK - base % W);
                const int count = (int)(stop - k);
                ulong after = base + count;
                if (stop < last) {
                    INNER(stop)
                    after = origin + along;
                }
#define S(i) IN_S(in, base + (i))
#define V(i) IN_V(in, base + (i))
#define NEXT(i) FETCH(in + after + (i))
                BLOCK_PAIR(c, d, count, S, V, (long)base, NEXT)
#undef S
#undef V
#undef NEXT
            } else {
                T kept[GATHERED];
                stop = min(last, k + GATHERED);
                const int count = (int)(stop - k);
                for (int j = 0; j < count; j++) {
                    INNER(k + j)
                    kept[j] = IN_S(in, origin + along);
                }
#define S(i) kept[i]
#define V(i) LOAD_LANES(kept + (i))
#define NEXT(i)
                BLOCK_PAIR(c, d, count, S, V, 0, NEXT)
#undef S
#undef V
#undef NEXT
            }
            JOIN(a, b, k - first, c, d, stop - k)
            k = stop;
        }
        if (is_part) {
            KEEP_PAIR(item, a, b, last - first, less)
        } else {
            a += less;
            STORE(to, also, a, b)
        }
    }
}

// Outer elements side by side, COLUMNS at most: see sides.cl. OUTER gives the places of the first of a
// row.
#define TILE_AT(k) tile[k]
kernel void columns(BUFFERS, NUMBERS, ulong16 side)
{
    SIDES
    EACH_ITEM(item, outer_count / width * blocks * parts) {
        SIDE_ITEM(item)
        const int vectors = (int)((min(span, width - column) + W - 1) / W);
        OUTER(row)
        const ulong base = offset_in + from;
        VECTOR a[COLUMNS / W], b[COLUMNS / W], shift[COLUMNS / W];
        for (int j = 0; j < vectors; j++) {
            a[j] = (VECTOR)(FIRST);
            b[j] = (VECTOR)0;
        }
        ulong i = first;
        RUNS
        while (i < last) {
            NEXT_RUN(i)
            const ulong stop = min(last, run_end);
#if LANES_ARE != 2
            const bool is_tile = stop - i <= SHORT && run * run_step <= NEARBY;
            for (; !is_tile && i + 8 <= stop; i += 8) {
                const ulong place = ROW(i);
                for (int j = 0; j < vectors; j++) {
                    const ulong at_lanes = place + AT(j) * LANE;
                    VECTOR p = a[j], q = b[j], x0, x1, x2, x3, x4, x5, x6, x7;
                    FETCH_4(i, j, 2, 0, at_lanes + 4 * run_step)
                    FETCH_4(i, j, 2, 1, at_lanes + 8 * run_step)
                    SIDE_LOAD_4(x0, x1, x2, x3, in, at_lanes)
                    SIDE_LOAD_4(x4, x5, x6, x7, in, at_lanes + 4 * run_step)
                    if (i == first) shift[j] = SHIFT(x0);
                    const VECTOR less = shift[j];
                    x0 -= less, x1 -= less, x2 -= less, x3 -= less;
                    x4 -= less, x5 -= less, x6 -= less, x7 -= less;
                    JOIN_8(p, q, i - first)
                    a[j] = p;
                    b[j] = q;
                }
            }
#endif
            while (i < stop) {
                const int m = (int)min((ulong)TILE, stop - i);
                const bool is_turned = CAN_TURN(i + m);
                for (int j = 0; j < vectors; j++) {
                    VECTOR with_before[TILE + 3], *tile = with_before + 3;
                    SIDE_LOAD_ALL(tile, m, in, ROW(i) + AT(j) * LANE, j, is_turned)
                    if (i == first) shift[j] = SHIFT(tile[0]);
                    JOIN_TILE(a[j], b[j], i - first, shift[j], m)
                }
                i += m;
            }
        }
        const bool has_more = last == inner_count && column < extra;
        bool is_plain = !is_part && !has_more;
#if !IS_MOMENTS
        for (int j = 0; j < vectors; j++) is_plain &= !ANY_LANE(a[j] == (VECTOR)(INFINITY));
#endif
        for (int j = 0; j < vectors; j++) {
            const ulong x = AT(j);
            const int n = (int)min((ulong)W, width);
            VECTOR p = a[j], q = b[j];
            T from_a[W], from_b[W], less[W];
            if (is_plain) {
                p += shift[j];
                q = RESULT_V(p, q);
                if (n == W && step == 1 && (!HAS_MORE || step_more == 1)) {
                    OUT_SET_V(out, offset_out + to + x, q);
                    IF_MORE(OUT_SET_V(more, offset_more + also + x, p);)
                } else {
                    STORE_LANES(p, from_a);
                    STORE_LANES(q, from_b);
                    for (int l = 0; l < n; l++) {
                        OUT_STORE(out, offset_out + to + (x + l) * step, from_b[l]);
                        IF_MORE(OUT_STORE(more, offset_more + also + (x + l) * step_more, from_a[l]);)
                    }
                }
                continue;
            }
            STORE_LANES(p, from_a);
            STORE_LANES(q, from_b);
            STORE_LANES(shift[j], less);
#if !IS_MOMENTS
            for (int l = 0; l < n; l++) {
#define READ_COLUMN INNER(first + i_) const T x_ = IN_S(in, base + along + (x + l) * LANE);
                SETTLE(from_b[l], from_a[l], last - first, READ_COLUMN)
            }
#endif
            const int some = has_more ? (int)min((ulong)n, extra - min(extra, x)) : 0;
            for (int l = 0; l < some; l++) {
                INNER(last)
                const T v = IN_S(in, base + along + (x + l) * LANE), d = OF_ONE(v);
                JOIN(from_a[l], from_b[l], last - first, v - less[l], d, 1)
            }
            for (int l = 0; l < n; l++) {
                if (is_part) {
                    const ulong target = (row * width + x + l) * parts + part, more = l < some;
                    KEEP_PAIR(target, from_a[l], from_b[l], last - first + more, less[l])
                } else {
                    from_a[l] += less[l];
                    STORE(to + (x + l) * step, also + (x + l) * step_more, from_a[l], from_b[l])
                }
            }
        }
    }
}

#if LANES_ARE == 2
// Small blocks of `several` rows of `narrow` elements, of which the rows are folded, side by side.
// Of several vectors at a time, for a processor does not see far enough ahead to have the next one's
// lines when it waits for the logarithm of this one's.
#undef TILE_AT
#if LINE
#define AT_ONCE 8
#define TILES (AT_ONCE * LINE)
#define RUN LINE
#define ROWS LINE
#define NARROW 1
#else
#define AT_ONCE (BY(BLOCK_SIZE / 2, (int)run) + 1)
#define TILES BLOCK_SIZE
#define RUN (int)run
#define ROWS (int)several
#define NARROW (int)narrow
#endif
#define TILE_AT(k) x[(k) * NARROW]
#define EACH_TILE \
    for (int j = begin, g = 0; j < end; j++) \
        for (VECTOR *x = tile + (j - begin) * RUN, *const x_end = x + NARROW; x < x_end; x++, g++)
kernel void blocks(BUFFERS, NUMBERS, ulong16 side)
{
    SIDES
    EACH_ITEM(item, outer_count / width * blocks) {
        SIDE_ITEM(item)
        const int vectors = (int)((min(span, width - column) + W - 1) / W);
        OUTER(row)
        const ulong base = offset_in + from;
        for (int begin = 0; begin < vectors; begin += AT_ONCE) {
            VECTOR tile[TILES], a[TILES], b[TILES];
            const int end = min(begin + AT_ONCE, vectors);
            for (int j = begin; j < end; j++) {
                VECTOR *const x = tile + (j - begin) * RUN;
#if LINE
                LINES(x, in, base + AT(j) * LINE)
#else
                SIDE_LOAD_TILE(x, RUN, in, base + AT(j) * LANE, run >= 4, )
#endif
            }
            EACH_TILE TILE_FIRST(a[g], ROWS)
            global const IN_MEMORY *ahead = in + base + (column + begin * W) * LANE + AHEAD;
            EACH_TILE TILE_SECOND(a[g], b[g], (VECTOR)0, ROWS, FETCH(ahead) ahead += W;)
            EACH_TILE {
                const VECTOR p = a[g];
                VECTOR q = b[g];
                TILE_RESULT(p, q, ROWS)
                const ulong at = AT(j), c = NARROW - (x_end - x);
                const ulong target = offset_out + to + at * step + c * side.sb;
                IF_MORE(const ulong beside = offset_more + also + at * step_more + c * side.sc;)
                if (step == 1 && (!HAS_MORE || step_more == 1)) {
                    OUT_SET_V(out, target, q);
                    IF_MORE(OUT_SET_V(more, beside, p);)
                    continue;
                }
                T from_a[W], from_b[W];
                STORE_LANES(p, from_a);
                STORE_LANES(q, from_b);
                ulong place = target;
                IF_MORE(ulong place_more = beside;)
#pragma unroll
                for (int l = 0; l < W; l++) {
                    OUT_STORE(out, place, from_b[l]);
                    place += step;
                    IF_MORE(OUT_STORE(more, place_more, from_a[l]); place_more += step_more;)
                }
            }
        }
    }
}
#endif

// What parts came to, `total` of them in all: the inner elements are the pairs of one. Two passes over
// them: a mean or a largest element, and what is taken from it. P(values): one or W of an array.
#if IS_MOMENTS
#define REST_JOIN(a, v) ADD(a, v)
#define REST_FIRST(V, P, a, count, less) \
    a += P(counts) * (P(shifts) - less + P(first)); \
    count += P(counts);
#define REST_SECOND(V, P, b, mean, less) { \
        const V off_ = P(shifts) - less + P(first) - mean; \
        b += P(second) + off_ * off_ * P(counts); \
    }
#else
#define REST_JOIN(a, v) TAKE_MORE(a, v)
#define REST_FIRST(V, P, a, count, less) a = MORE(a, P(first));
#define REST_SECOND(V, P, b, top, less) { \
        const V x_ = P(first); \
        b += P(second) * (x_ == top ? (V)1 : EXP_##V(x_ - top)); \
    }
#define EXP_T(x) EXP_S(x)
#define EXP_VECTOR(x) EXP_V(x)
#endif
#define REST_ARRAYS \
    global const T *const first = pairs + from, *const second = first + total; \
    IF_MOMENTS(global const T *const counts = second + total; global const T *const shifts = counts + total;)
#define ONE(values) values[along]
#define SOME_OF(values) LOAD_LANES(values + along)

// Neighbours (`line`) are taken W at a time.
kernel void rest(BUFFERS, NUMBERS, ulong total)
{
    const ulong begin = line ? inner_count / W * W : 0;
    EACH_ITEM(o, outer_count) {
        OUTER(o)
        REST_ARRAYS
        T less = 0, a = FIRST, b = 0, count = 0;
        IF_MOMENTS(less = shifts[0];)
        if (begin) {
            VECTOR c = (VECTOR)(FIRST), n = (VECTOR)0;
            for (ulong along = 0; along < begin; along += W) { REST_FIRST(VECTOR, SOME_OF, c, n, less) }
            ACROSS_VALUES(a, c, REST_JOIN)
            IF_MOMENTS(ACROSS_VALUES(count, n, ADD))
        }
        for (ulong k = begin; k < inner_count; k++) {
            INNER(k)
            REST_FIRST(T, ONE, a, count, less)
        }
        IF_MOMENTS(a /= count;)
        if (begin) {
            VECTOR d = (VECTOR)0;
            for (ulong along = 0; along < begin; along += W) { REST_SECOND(VECTOR, SOME_OF, d, a, less) }
            ACROSS_VALUES(b, d, ADD)
        }
        for (ulong k = begin; k < inner_count; k++) {
            INNER(k)
            REST_SECOND(T, ONE, b, a, less)
        }
        a += less;
        STORE(to, also, a, b)
    }
}

// The same of outer elements that are neighbours, `width` in a row, W at a time.
kernel void rest_columns(BUFFERS, NUMBERS, ulong total, ulong width, ulong step, ulong step_more)
{
    const ulong blocks = (width - 1) / W + 1;
    EACH_ITEM(item, outer_count / width * blocks) {
        const ulong row = item / blocks, x = min((item - row * blocks) * W, width - W);
        OUTER(row)
        from += x;
        REST_ARRAYS
        VECTOR less = (VECTOR)0, a = (VECTOR)(FIRST), b = less, count = less;
        IF_MOMENTS(less = LOAD_LANES(shifts);)
        for (ulong k = 0; k < inner_count; k++) {
            INNER(k)
            REST_FIRST(VECTOR, SOME_OF, a, count, less)
        }
        IF_MOMENTS(a /= count;)
        for (ulong k = 0; k < inner_count; k++) {
            INNER(k)
            REST_SECOND(VECTOR, SOME_OF, b, a, less)
        }
        a += less;
        b = RESULT_V(a, b);
        T from_a[W], from_b[W];
        STORE_LANES(a, from_a);
        STORE_LANES(b, from_b);
        for (int l = 0; l < W; l++) {
            OUT_STORE(out, offset_out + to + (x + l) * step, from_b[l]);
            IF_MORE(OUT_STORE(more, offset_more + also + (x + l) * step_more, from_a[l]);)
        }
    }
}
