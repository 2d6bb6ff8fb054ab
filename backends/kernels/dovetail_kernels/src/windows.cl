// Every window of an image as a column (im2col): elements by walks along the output. at*: the place in the image, with
// padding before it, of which only the last walk changes within a line.
//
// OUTER(DO), LAST(DO): DO(d) for each spatial dim but the last, and for that. pads, sizes, steps: of the dims, in elements.

#define INSIDE(d) is_inside &= (at##d - pads.s##d) < sizes.s##d; place += (at##d - pads.s##d) * steps.s##d;
#define IS_STILL(d) && at##d##_step == 0
#define MOVED(d) at##d += at##d##_step;
#define BACK(d) at##d -= run * at##d##_step;
// The part of a line that is inside of the image is copied, neighbours as neighbours.
#define LINE(d) { \
        const long first = (long)at##d - (long)pads.s##d, by = (long)at##d##_step, size = (long)sizes.s##d; \
        const long many = (long)run; \
        long low = first >= 0 || by == 0 ? 0 : (by - 1 - first) / by; \
        long high = first >= size ? 0 : by == 0 ? many : (size - first + by - 1) / by; \
        if (!is_inside || (by == 0 && first < 0)) high = 0; \
        high = clamp(high, 0l, many); \
        low = clamp(low, 0l, high); \
        const long step = by * (long)steps.s##d; \
        global const WORD *line = in + (long)place + first * (long)steps.s##d; \
        for (long j = 0; j < low; j++) out[to + j * to_step] = 0; \
        if (step == 1 && to_step == 1) { \
            for (long j = low; j < high; j++) out[to + j] = line[j]; \
        } else { \
            for (long j = low; j < high; j++) out[to + j * to_step] = line[j * step]; \
        } \
        for (long j = high; j < many; j++) out[to + j * to_step] = 0; \
    }

kernel void im2col(global WORD *out, global const WORD *in, ulong8 begin, ulong count PLACES_NUMBERS, ulong8 pads,
        ulong8 sizes, ulong8 steps)
{
    out += begin.s0;
    in += begin.s1;
#if PLACES_HAS_RUNS
    PLACES_RUNS(count)
        if (from_step == 0 OUTER(IS_STILL)) {
            bool is_inside = true;
            ulong place = from;
            OUTER(INSIDE)
            LAST(LINE)
        } else {
            for (ulong j = 0; j < run; j++) {
                bool is_inside = true;
                ulong place = from + j * from_step;
                OUTER(INSIDE) LAST(INSIDE)
                out[to + j * to_step] = is_inside ? in[place] : 0;
                OUTER(MOVED) LAST(MOVED)
            }
            OUTER(BACK) LAST(BACK)
        }
    PLACES_NEXT
#else
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        PLACES(item)
        bool is_inside = true;
        ulong place = from;
        OUTER(INSIDE) LAST(INSIDE)
        out[to] = is_inside ? in[place] : 0;
    }
#endif
}
