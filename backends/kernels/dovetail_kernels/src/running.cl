// Running extremes along a dim, and where the last of equal ones is: cummax and cummin.
//
// T, LOADED(i), OUT_STORE(p, i, v), LINES(line): as in scan.cl, places `values`, `indices`, `from`.
// BETTER(v, a): whether v, which comes after a, takes its place: it is as far or NaN.
// W: elements of a VECTOR, if more than one; AT is as many places. IN_V(p, i) and OUT_SET_V(p, i, v)
// load and store one, SET_AT(p, i, at) stores places, RUN_LANES(v, at) makes of each lane the
// running one, LAST_V(v) and LAST_AT(v) are the last lane in all of them.

#define NUMBERS ulong offset_values, ulong offset_indices, ulong offset_in, ulong lines, \
    ulong count, ulong parts, ulong chunk, ulong step_values, ulong step_indices, \
    ulong step_in LINES_NUMBERS

#if IS_CPU
// A processor's core goes on where it is.
#define EACH_ITEM(item, items) \
    const ulong share_ = ((items) - 1) / get_global_size(0) + 1; \
    const ulong end_ = min((ulong)(items), share_ * (get_global_id(0) + 1)); \
    for (ulong item = share_ * get_global_id(0); item < end_; item++)
#else
#define EACH_ITEM(item, items) \
    for (ulong item = get_global_id(0); item < (items); item += get_global_size(0))
#endif

#define TAKE(v, k) if (BETTER(v, a)) { a = v; at = k; }

#if W > 1
#define TAKE_LANES(v_, k_) { \
    const VECTOR v = v_; \
    const AT take = BETTER(v, a); \
    a = take ? v : a; \
    at = take ? k_ : at; }
#endif

// What each part comes to.
kernel void ends(global T *carry, global long *carried, global const IN_MEMORY *in, NUMBERS)
{
    EACH_ITEM(item, lines * parts) {
        const ulong first = item % parts * chunk, last = min(count, first + chunk);
        LINES(item / parts)
        const ulong base = offset_in + from;
        T a_ = LOADED(base + first * step_in);
        long at_ = first;
        ulong k = first;
#if W > 1
        if (step_in == 1 && k + W <= last) {
            VECTOR a = IN_V(in, base + k);
            AT at = IOTA + (NUMBER)k;
            for (k += W; k + W <= last; k += W) TAKE_LANES(IN_V(in, base + k), IOTA + (NUMBER)k)
            T value[W];
            NUMBER place[W];
            STORE_LANES(a, value);
            STORE_LANES(at, place);
            a_ = value[0];
            at_ = place[0];
            for (int j = 1; j < W; j++) {
                const bool is_better = BETTER(value[j], a_), is_worse = BETTER(a_, value[j]);
                if (is_better && (!is_worse || place[j] > at_)) {
                    a_ = value[j];
                    at_ = place[j];
                }
            }
        }
#endif
        T a = a_;
        long at = at_;
        for (; k < last; k++) {
            const T v = LOADED(base + k * step_in);
            TAKE(v, k)
        }
        carry[item] = a;
        carried[item] = at;
    }
}

kernel void scan(
    global const T *carry, global const long *carried, global const IN_MEMORY *in,
    global OUT_MEMORY *out, global long *places, NUMBERS)
{
    EACH_ITEM(item, lines * parts) {
        const ulong part = item % parts, first = part * chunk, last = min(count, first + chunk);
        LINES(item / parts)
        const ulong base = offset_in + from, there = offset_values + values;
        const ulong place = offset_indices + indices;
        T a = LOADED(base);
        long at = 0;
        for (ulong before = item - part; before < item; before++)
            TAKE(carry[before], carried[before])
        ulong k = first;
#if W > 1
        if (step_in == 1 && step_values == 1 && step_indices == 1 && k + W <= last) {
            VECTOR begin = (VECTOR)(a);
            AT begin_at = (AT)((NUMBER)at);
            for (; k + W <= last; k += W) {
                VECTOR v = IN_V(in, base + k);
                AT found = IOTA + (NUMBER)k;
                RUN_LANES(v, found)
                const AT take = BETTER(v, begin);
                v = take ? v : begin;
                found = take ? found : begin_at;
                OUT_SET_V(out, there + k, v);
                SET_AT(places, place + k, found);
                begin = LAST_V(v);
                begin_at = LAST_AT(found);
            }
            a = begin.s0;
            at = begin_at.s0;
        }
#endif
        for (; k < last; k++) {
            const T v = LOADED(base + k * step_in);
            TAKE(v, k)
            OUT_STORE(out, there + k * step_values, RESULT(a));
            places[place + k * step_indices] = at;
        }
    }
}

#if W > 1
// Lines whose elements are neighbours, side by side. LINES gives the places of the first of a row of
// `width` lines.
kernel void beside(
    global const IN_MEMORY *in, global OUT_MEMORY *out, global long *places, NUMBERS, ulong width)
{
    const ulong blocks = (width - 1) / W + 1, items = lines / width * blocks;
    EACH_ITEM(item, items) {
        LINES(item / blocks)
        const ulong column = item % blocks * W;
        const ulong base = offset_in + from + column, there = offset_values + values + column;
        const ulong place = offset_indices + indices + column;
        if (column + W <= width) {
            VECTOR a = IN_V(in, base);
            AT at = (AT)(0);
            for (ulong k = 0; k < count; k++) {
                FETCH(in + base + (k + ROWS_AHEAD) * step_in)
                TAKE_LANES(IN_V(in, base + k * step_in), (AT)((NUMBER)k))
                OUT_SET_V(out, there + k * step_values, a);
                SET_AT(places, place + k * step_indices, at);
            }
            continue;
        }
        for (ulong j = 0; j < width - column; j++) {
            T a = LOADED(base + j);
            long at = 0;
            for (ulong k = 0; k < count; k++) {
                const T v = LOADED(base + k * step_in + j);
                TAKE(v, k)
                OUT_STORE(out, there + k * step_values + j, RESULT(a));
                places[place + k * step_indices + j] = at;
            }
        }
    }
}
#endif
