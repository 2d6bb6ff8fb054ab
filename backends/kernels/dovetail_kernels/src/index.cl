// Gathering and finding, along one dim of `size` elements that are `step` apart.
//
// X_*: elements of the input and the output. An index that is out of range reads zero and is reported (see
// fault.cl).

#define NUMBERS ulong offset_out, ulong offset_in, ulong offset_index, ulong count, ulong size, \
    ulong step PLACES_NUMBERS

#if IS_GATHER
#if WRAPS
#define WRAPPED(at) ((ulong)(at) + ((at) < 0 ? size : 0))
#else
#define WRAPPED(at) ((ulong)(at))
#endif
#define TAKE(to, place, from) { \
        const ulong at = WRAPPED(index[offset_index + (place)]); \
        is_outside |= at >= size; \
        out[offset_out + (to)] = at < size ? in[offset_in + (from) + at * step] : (X_MEMORY)0; \
    }
#ifdef __clang__
#define EACH_OF_RUN _Pragma("clang loop vectorize(assume_safety)") for (ulong j = 0; j < run; j++)
#else
#define EACH_OF_RUN for (ulong j = 0; j < run; j++)
#endif
kernel void gather(global X_MEMORY *out, global const X_MEMORY *in, global const long *index,
        global uint *faults, NUMBERS, uint fault_of)
{
    WATCH
#if PLACES_HAS_RUNS
    // Which index is out of range is asked only where there is one, so that loops are of vectors.
    PLACES_RUNS(count)
        uint is_outside = 0;
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
        for (ulong j = 0; is_outside && j < run; j++) {
            const long at = index[offset_index + place + j * place_step];
            if (WRAPPED(at) >= size) WRONG(at)
        }
    PLACES_NEXT
#else
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        PLACES(item)
        uint is_outside = 0;
        TAKE(to, place, from)
        if (is_outside) WRONG(index[offset_index + place])
    }
#endif
    REPORT(size)
}
#endif

#if IS_WRAP
// Indices that may count from the end, neighbours; what is out of range becomes `outside`, or stays where
// that is 0. Which it was is asked only where there is one, so that the loop is one of vectors.
kernel void wrap(global long *restrict out, global const long *restrict in, global uint *faults,
        ulong offset_out, ulong offset_in, ulong count, long size, long outside, uint fault_of)
{
#if IS_CPU
    const ulong share = (count - 1) / get_global_size(0) + 1, begin = share * get_global_id(0);
    const ulong end = min(count, begin + share), next = 1;
#else
    const ulong begin = get_global_id(0), end = count, next = get_global_size(0);
#endif
    in += offset_in;
    out += offset_out;
    long missed = 0;
    for (ulong i = begin; i < end; i += next) {
        const long at = in[i], wrapped = at + (at < 0 ? size : 0);
        const long miss = (ulong)wrapped < (ulong)size ? 0 : 1;
        out[i] = miss ? (outside ? outside : at) : wrapped;
        missed |= miss;
    }
    if (!missed) return;
    WATCH
    for (ulong i = begin; i < end; i += next) {
        if (in[i] < -size || in[i] >= size) WRONG(in[i])
    }
    REPORT(size)
}
#endif

#if IS_NONZERO
// FILLS: rows for which there is no element hold `rest`. IS_ONE: a single work item does it all.
#if FILLS
#define REST , ulong rest
#else
#define REST
#endif
#if IS_ONE
kernel void nonzero(global long *out, global const X_MEMORY *in, ulong offset_out, ulong row_step, ulong column_step,
        ulong most, ulong offset_in, ulong count PLACES_NUMBERS REST)
{
    ulong row = 0;
    for (ulong item = 0; item < count && row < most; item++) {
        PLACES(item)
        if (IS_SET(X_LOAD(in, offset_in + from))) {
            const ulong at = offset_out + row * row_step;
            WRITE(at)
            row++;
        }
    }
    for (; row < most; row++) {
        for (ulong d = 0; d < COLUMNS; d++) out[offset_out + row * row_step + d * column_step] = (long)rest;
    }
}
#else
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
    totals[chunks] = sum;
}

kernel void nonzero(global long *out, global const ulong *totals, global const X_MEMORY *in,
        ulong offset_out, ulong row_step, ulong column_step, ulong most,
        ulong offset_in, ulong count, ulong chunk, ulong chunks PLACES_NUMBERS REST)
{
#if FILLS
    for (ulong row = totals[chunks] + get_global_id(0); row < most; row += get_global_size(0)) {
        for (ulong d = 0; d < COLUMNS; d++) out[offset_out + row * row_step + d * column_step] = (long)rest;
    }
#endif
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
#endif
