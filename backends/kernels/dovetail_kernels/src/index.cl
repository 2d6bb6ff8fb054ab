// Gathering, scattering and finding, along one dim of `size` elements that are `step` apart.
//
// X_*: elements of the input and the output; S_*: of what is scattered. An index that is out of range reads zero
// and writes nothing.

#define NUMBERS ulong offset_out, ulong offset_in, ulong offset_index, ulong count, ulong size, \
    ulong step PLACES_NUMBERS

#if IS_GATHER
#define TAKE(to, place, from) { \
        const ulong at = (ulong)index[offset_index + (place)]; \
        out[offset_out + (to)] = at < size ? in[offset_in + (from) + at * step] : (X_MEMORY)0; \
    }
#ifdef __clang__
#define EACH_OF_RUN _Pragma("clang loop vectorize(assume_safety)") for (ulong j = 0; j < run; j++)
#else
#define EACH_OF_RUN for (ulong j = 0; j < run; j++)
#endif
kernel void gather(global X_MEMORY *out, global const X_MEMORY *in, global const long *index, NUMBERS)
{
#if PLACES_HAS_RUNS
    PLACES_RUNS(count)
        if (to_step == 1 && place_step == 1 && from_step == 0) {
            EACH_OF_RUN TAKE(to + j, place + j, from)
        } else if (to_step == 1 && place_step == 1 && from_step == 1) {
            EACH_OF_RUN TAKE(to + j, place + j, from + j)
        } else if (to_step == 1 && place_step == 0 && from_step == 1) {
            EACH_OF_RUN TAKE(to + j, place, from + j)
        } else {
            for (ulong j = 0; j < run; j++)
                TAKE(to + j * to_step, place + j * place_step, from + j * from_step)
        }
    PLACES_NEXT
#else
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        PLACES(item)
        TAKE(to, place, from)
    }
#endif
}
#endif

#if IS_SCATTER
// `in` is what is scattered.
#define PUT(to, place, from) { \
        const ulong at = (ulong)index[offset_index + (place)]; \
        if (at < size) out[offset_out + (to) + at * step] = in[offset_in + (from)]; \
    }
kernel void scatter(global X_MEMORY *out, global const S_MEMORY *in, global const long *index, NUMBERS)
{
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
}
#endif

#if IS_ADD
// One line at a time, in order: nothing collides, and equal runs give equal bits.
kernel void add_lines(global X_MEMORY *out, global const S_MEMORY *in, global const long *index,
        NUMBERS, ulong length, ulong step_in, ulong step_index)
{
    for (ulong line = get_global_id(0); line < count; line += get_global_size(0)) {
        PLACES(line)
        for (ulong k = 0; k < length; k++) {
            const ulong at = (ulong)index[offset_index + place + k * step_index];
            if (at >= size) continue;
            const ulong target = offset_out + to + at * step;
            const X_VALUE v = ADDED(S_LOAD(in, offset_in + from + k * step_in));
            X_STORE(out, target, SUM(X_LOAD(out, target), v));
        }
    }
}
#endif

#if IS_ATOMIC
// All elements at once, each with an atomic addition: the device's own, where it has one for floats.
kernel void add_atomic(global X_MEMORY *out, global const S_MEMORY *in, global const long *index, NUMBERS)
{
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        PLACES(item)
        const ulong at = (ulong)index[offset_index + place];
        if (at >= size) continue;
        global X_MEMORY *target = out + offset_out + to + at * step;
        const X_VALUE v = ADDED(S_LOAD(in, offset_in + from));
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
}
#endif

#if IS_NONZERO
kernel void found(global ulong *totals, global const X_MEMORY *in, ulong offset_in, ulong count,
        ulong chunk, ulong chunks PLACES_NUMBERS)
{
    for (ulong c = get_global_id(0); c < chunks; c += get_global_size(0)) {
        ulong n = 0;
        for (ulong item = c * chunk; item < min(count, (c + 1) * chunk); item++) {
            PLACES(item)
            n += IS_SET(X_LOAD(in, offset_in + from));
        }
        totals[c] = n;
    }
}

kernel void before(global ulong *totals, ulong chunks)
{
    ulong sum = 0;
    for (ulong c = 0; c < chunks; c++) {
        const ulong n = totals[c];
        totals[c] = sum;
        sum += n;
    }
}

kernel void nonzero(global long *out, global const ulong *totals, global const X_MEMORY *in,
        ulong offset_out, ulong row_step, ulong column_step, ulong most,
        ulong offset_in, ulong count, ulong chunk, ulong chunks PLACES_NUMBERS)
{
    for (ulong c = get_global_id(0); c < chunks; c += get_global_size(0)) {
        ulong row = totals[c];
        for (ulong item = c * chunk; item < min(count, (c + 1) * chunk); item++) {
            PLACES(item)
            if (IS_SET(X_LOAD(in, offset_in + from)) && row < most) {
                const ulong at = offset_out + row * row_step;
                WRITE(at)
                row++;
            }
        }
    }
}
#endif
