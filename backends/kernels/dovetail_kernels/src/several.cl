// Elements by several indices that are brought together on the way: read, written, or added to.
//
// EACH_INDEX(DO): DO(k) for each of them; INDICES: their parameters; BEGIN: where arrays begin. sizes, steps: of the dims that they are of, in the
// array that is reached by index; codes: what a wrong one is reported by. An index that is out of range reads zero,
// writes nothing and is reported (see fault.cl).

#define ARGUMENTS global X_MEMORY *out, global const X_MEMORY *in, INDICES global uint *faults, ulong8 begin, ulong count
#define NUMBERS PLACES_NUMBERS, ulong8 sizes, ulong8 steps, ulong8 codes

#define KEPT long missed = 0; ulong missed_size = 0; uint missed_of = 0; bool is_missed = false;
#define LOOK(k) { \
        const long given = index##k[place##k]; \
        const ulong at = (ulong)given + (given < 0 ? sizes.s##k : 0); \
        if (at >= sizes.s##k) { \
            if (!is_missed) { missed = given; missed_size = sizes.s##k; missed_of = (uint)codes.s##k; } \
            is_missed = true; \
            is_inside = false; \
        } \
        where += at * steps.s##k; \
    }
#define TOLD if (is_missed) report(faults, missed_of, missed, missed_size);

#if HAS_NUMBER
#define VALUE(i) value
#define VALUE_NUMBER , X_MEMORY value
#else
#define VALUE(i) in[i]
#define VALUE_NUMBER
#endif

#if IS_READ
#define MOVE(to, from) out[to] = is_inside ? in[(from) + where] : (X_MEMORY)0;
#elif !IS_ADD
#define MOVE(to, from) if (is_inside) out[(to) + where] = VALUE(from);
#endif

#if IS_ADD
// In order: the places of a line, the other dims at one element, come one after the other. fresh: elements that are
// set to zero first, by the one work item that there is.
kernel void several(ARGUMENTS, ulong length, ulong fresh NUMBERS)
{
    KEPT
    BEGIN
    for (ulong i = 0; i < fresh; i++) X_STORE(out, i, ZERO);
    for (ulong line = get_global_id(0); line < count; line += get_global_size(0)) {
        for (ulong k = 0; k < length; k++) {
            PLACES(line * length + k)
            bool is_inside = true;
            ulong where = 0;
            EACH_INDEX(LOOK)
            if (is_inside) X_STORE(out, to + where, SUM(X_LOAD(out, to + where), X_LOAD(in, from)));
        }
    }
    TOLD
}
#else
kernel void several(ARGUMENTS NUMBERS VALUE_NUMBER)
{
    KEPT
    BEGIN
#if PLACES_HAS_RUNS
    PLACES_RUNS(count)
        if (IS_ROW) {  // one place for all of the run
            bool is_inside = true;
            ulong where = 0;
            EACH_INDEX(LOOK)
            for (ulong j = 0; j < run; j++) MOVE(to + j * to_step, from + j * from_step)
        } else {
            for (ulong j = 0; j < run; j++) {
                bool is_inside = true;
                ulong where = 0;
                EACH_INDEX(LOOK)
                MOVE(to + j * to_step, from + j * from_step)
                EACH_INDEX(ON)
            }
            EACH_INDEX(BACK)
        }
    PLACES_NEXT
#else
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        PLACES(item)
        bool is_inside = true;
        ulong where = 0;
        EACH_INDEX(LOOK)
        MOVE(to, from)
    }
#endif
    TOLD
}
#endif
