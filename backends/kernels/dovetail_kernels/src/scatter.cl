// Scattering along one dim of `size` elements that are `step` apart: `in` is what is scattered.
//
// X_*: elements of the output; S_*: of what is scattered. An index that is out of range writes nothing and is
// reported (see fault.cl). SUM: how two values are brought together; STARTS: what is named begins with START. WRAPS: indices may count from the end. COPIES: the one work group copies `base`, of
// `whole` elements, into the output first.

#if COPIES
#define BASE , global const X_MEMORY *base
#define BASE_NUMBERS ulong offset_base, ulong whole,
#if IS_CPU
#define BEGIN for (ulong i = 0; i < whole; i++) out[offset_out + i] = base[offset_base + i];
#else
#define BEGIN \
    for (ulong i = get_local_id(0); i < whole; i += get_local_size(0)) out[offset_out + i] = base[offset_base + i]; \
    barrier(CLK_GLOBAL_MEM_FENCE);
#endif
#else
#define BASE
#define BASE_NUMBERS
#define BEGIN
#endif

#if WRAPS
#define WRAPPED(at) ((ulong)(at) + ((at) < 0 ? size : 0))
#else
#define WRAPPED(at) ((ulong)(at))
#endif

#if MEAN
// How many were added at each place of each line, with the input's own where that counts.
#define COUNTS , global uint *counts
#else
#define COUNTS
#endif

#define ARGUMENTS global X_MEMORY *out, global const S_MEMORY *in, global const long *index, global uint *faults BASE COUNTS, \
    ulong offset_out, ulong offset_in, ulong offset_index, BASE_NUMBERS ulong count, ulong size, \
    ulong step PLACES_NUMBERS

#if IS_SCATTER
#if HAS_NUMBER
#define VALUE(i) value
#define VALUE_NUMBER , S_MEMORY value
#else
#define VALUE(i) in[i]
#define VALUE_NUMBER
#endif
#define PUT(to, place, from) { \
        const long given = index[offset_index + (place)]; \
        const ulong at = WRAPPED(given); \
        if (at < size) { \
            out[offset_out + (to) + at * step] = VALUE(offset_in + (from)); \
        } else { \
            WRONG(given) \
        } \
    }
kernel void scatter(ARGUMENTS VALUE_NUMBER, uint fault_of)
{
    WATCH
    BEGIN
#if PLACES_HAS_RUNS
    PLACES_RUNS(count)
        for (ulong j = 0; j < run; j++)
            PUT(to + j * to_step, place + j * place_step, from + j * from_step)
    PLACES_NEXT
#else
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        PLACES(item)
        PUT(to, place, from)
    }
#endif
    REPORT(size)
}
#endif

#if SCALED
#define ALPHA , X_VALUE alpha
#define TIMES_ALPHA(v) ((v) * alpha)
#else
#define ALPHA
#define TIMES_ALPHA(v) (v)
#endif

#if IS_ADD
// One line at a time, in order: nothing collides, and equal runs give equal bits.
kernel void add_lines(ARGUMENTS, ulong length, ulong step_in, ulong step_index ALPHA, uint fault_of)
{
    WATCH
    BEGIN
    for (ulong line = get_global_id(0); line < count; line += get_global_size(0)) {
        PLACES(line)
#if MEAN
        global uint *count_of = counts + line * size;
        for (ulong k = 0; k < size; k++) count_of[k] = !STARTS;
#endif
#if STARTS
        for (ulong k = 0; k < length; k++) {
            const ulong at = WRAPPED(index[offset_index + place + k * step_index]);
            if (at < size) X_STORE(out, offset_out + to + at * step, START);
        }
#endif
        for (ulong k = 0; k < length; k++) {
            const long given = index[offset_index + place + k * step_index];
            const ulong at = WRAPPED(given);
            if (at >= size) {
                WRONG(given)
                continue;
            }
            const ulong target = offset_out + to + at * step;
            const X_VALUE v = TIMES_ALPHA(ADDED(S_LOAD(in, offset_in + from + k * step_in)));
            X_STORE(out, target, SUM(X_LOAD(out, target), v));
#if MEAN
            count_of[at]++;
#endif
        }
#if MEAN
        for (ulong k = 0; k < size; k++) {
            const ulong target = offset_out + to + k * step, n = count_of[k];
            if (n > 1) X_STORE(out, target, MEAN_OF(X_LOAD(out, target), n));
        }
#endif
    }
    REPORT(size)
}
#endif

#if IS_ATOMIC
// All elements at once, each with an atomic addition: the device's own, where it has one for floats.
kernel void add_atomic(ARGUMENTS ALPHA, uint fault_of)
{
    WATCH
    BEGIN
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        PLACES(item)
        const long given = index[offset_index + place];
        const ulong at = WRAPPED(given);
        if (at >= size) {
            WRONG(given)
            continue;
        }
        global X_MEMORY *target = out + offset_out + to + at * step;
        const X_VALUE v = TIMES_ALPHA(ADDED(S_LOAD(in, offset_in + from)));
#ifdef ADD_ATOMIC
        ADD_ATOMIC(target, v);
#else
        volatile global BITS *word = (volatile global BITS *)target;
        BITS old = 0, seen;  // a guess: what is there is read by atomics only
        do {
            seen = old;
            old = EXCHANGE(word, seen, TO_BITS(SUM(FROM_BITS(seen), v)));
        } while (old != seen);
#endif
    }
    REPORT(size)
}
#endif
