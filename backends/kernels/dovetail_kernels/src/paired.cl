// Folds the inner elements of each outer element into a pair of numbers: a mean and the sum of
// squared distances from it (IS_MOMENTS), or a largest element and the sum of exponentials of
// distances from it. For the host's cores.
//
// T: what is computed in; VECTOR: W of them. IN_S(p, i), IN_V(p, i): an element, W neighbours.
// ACROSS_VALUES(r, v, STEP): r is the fold of v's lanes by STEP(a, b). RESULT(a, b): what comes out
// of a pair; HAS_MORE: a comes out too. is_part: the pairs of parts come out, in `pairs`. line: inner
// elements of a run of neighbours, or 0. Exponentials: exponentials.cl.

#define BLOCK 2048   // elements that are read twice, from the nearest cache
#define GATHERED 256 // elements that are brought together where they are not neighbours

#define NUMBERS ulong offset_out, ulong offset_more, ulong offset_in, ulong outer_count, \
    ulong inner_count, ulong parts, ulong chunk, int is_part, T freedom, ulong line \
    OUTER_NUMBERS INNER_NUMBERS
#define BUFFERS global OUT_MEMORY *out, global OUT_MEMORY *more, global const IN_MEMORY *in, \
    global T *pairs

#define EACH_ITEM(item, items) \
    const ulong share_ = ((items) - 1) / get_global_size(0) + 1; \
    const ulong end_ = min((ulong)(items), share_ * (get_global_id(0) + 1)); \
    for (ulong item = share_ * get_global_id(0); item < end_; item++)

#define FINITE(x, otherwise) (fabs(x) < INFINITY ? (x) : (otherwise))

#if IS_MOMENTS
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
#define JOIN_1(a, b, n) COLUMN_JOIN(a, b, n, x0, x0 - x0, 1)  // NaN of what is infinite
#else
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
#define JOIN_1(a, b, n) COLUMN_1(a, b)
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
                stop = min(min(last, k - k % line + line), k + BLOCK);
                const ulong base = origin + along;
                const int count = (int)(stop - k);
#define S(i) IN_S(in, base + (i))
#define V(i) IN_V(in, base + (i))
#define NEXT(i) FETCH(in + base + BLOCK + (i))
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
        a += less;
        if (is_part) {
            pairs[2 * item] = a;
            pairs[2 * item + 1] = b;
        } else {
            STORE(to, also, a, b)
        }
    }
}

// Neighbouring outer elements, in the innermost outer loop of `width`, side by side, up to `span` of
// them, COLUMNS at most. OUTER gives the places of the first of a row.
kernel void columns(BUFFERS, NUMBERS, ulong width, ulong step, ulong step_more, ulong span)
{
    const ulong blocks = (width - 1) / span + 1, items = outer_count / width * blocks * parts;
    EACH_ITEM(item, items) {
        const ulong part = item % parts, block = item / parts;
        const ulong row = block / blocks, column = block % blocks * span;
        const ulong first = part * chunk, last = min(inner_count, first + chunk);
        const int vectors = (int)((min(span, width - column) + W - 1) / W);
        OUTER(row)
        const ulong base = offset_in + from;
        VECTOR a[COLUMNS / W], b[COLUMNS / W], shift[COLUMNS / W];
#define AT(j) min(column + (j) * W, width - W)  // the last one takes some once more
        {
            INNER(first)
            for (int j = 0; j < vectors; j++) {
                a[j] = (VECTOR)(FIRST);
                b[j] = (VECTOR)0;
                const VECTOR x = IN_V(in, base + along + AT(j));
                shift[j] = SHIFT(x);
            }
        }
        ulong i = first;
#define READ_COLUMN INNER(first + i_) const T x_ = IN_S(in, base + along + x);
#define X(r) const VECTOR x##r = IN_V(in, rows[r] + AT(j)) - less;
        for (; i + 8 <= last; i += 8) {
            ulong rows[8];
            for (int r = 0; r < 8; r++) {
                INNER(i + r)
                rows[r] = base + along;
            }
            const ulong next = rows[7] - rows[0] + rows[1] - rows[0];
            for (int j = 0; j < vectors; j++) {
                const VECTOR less = shift[j];
                VECTOR p = a[j], q = b[j];
                for (int r = 0; r < 8; r++) FETCH(in + rows[r] + next + AT(j))
                X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
                JOIN_8(p, q, i - first)
                a[j] = p;
                b[j] = q;
            }
        }
        for (; i < last; i++) {
            INNER(i)
            const ulong rows[1] = {base + along};
            for (int j = 0; j < vectors; j++) {
                const VECTOR less = shift[j];
                X(0)
                JOIN_1(a[j], b[j], i - first)
            }
        }
        for (int j = 0; j < vectors; j++) {
            T from_a[W], from_b[W];
            STORE_LANES(a[j] + shift[j], from_a);
            STORE_LANES(b[j], from_b);
            for (int l = 0; l < W; l++) {
                const ulong x = AT(j) + l;
#if !IS_MOMENTS
                SETTLE(from_b[l], from_a[l], last - first, READ_COLUMN)
#endif
                if (is_part) {
                    const ulong target = (row * width + x) * parts + part;
                    pairs[2 * target] = from_a[l];
                    pairs[2 * target + 1] = from_b[l];
                } else {
                    STORE(to + x * step, also + x * step_more, from_a[l], from_b[l])
                }
            }
        }
    }
}

// The pairs of parts, in order; distances from the first part's mean are joined.
kernel void rest(BUFFERS, NUMBERS)
{
    EACH_ITEM(o, outer_count) {
        OUTER(o)
        global const T *pair = pairs + 2 * o * parts;
        T a = pair[0], b = pair[1];
#if IS_MOMENTS
        const T less = FINITE(a, 0);
#else
        const T less = 0;
#endif
        a -= less;
        for (ulong p = 1; p < parts; p++) {
            const ulong m = min(chunk, inner_count - p * chunk);
            JOIN(a, b, p * chunk, pair[2 * p] - less, pair[2 * p + 1], m)
        }
        a += less;
        STORE(to, also, a, b)
    }
}
