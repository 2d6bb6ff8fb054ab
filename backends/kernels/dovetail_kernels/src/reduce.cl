// Folds the inner elements of each outer element.
//
// T: what is folded in. LOADED(i): an element of the input as T. START: the value of nothing, or
// undefined: begin with the first element. FOLD(a, p, v, at): fold v, found at place `at`, into a
// (and its place into p). RESULT(a): what is stored. HAS_PLACE: the place comes out, in `places`
// or in `out`. W: elements of a VECTOR, if more than one; IN_V(p, i) loads it. IS_PART: the results of parts come out, both value and place. LANES, COLUMNS: how many side
// by side. is_rest: the input is such results; is_dense: the inner elements are neighbours.

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
#define PLACE(flat, k) (is_rest ? places[(flat) * inner_count + (k)] : (long)(k))

#define NUMBERS ulong offset_out, ulong offset_in, ulong outer_count, ulong inner_count, \
    ulong parts, ulong chunk, int is_part, int is_rest, int is_dense OUTER_NUMBERS INNER_NUMBERS

#if IS_ROWS
// One outer element per work item.
kernel void rows(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places, NUMBERS)
{
    for (ulong item = get_global_id(0); item < outer_count * parts; item += get_global_size(0)) {
        const ulong o = item / parts, first = item % parts * chunk;
        const ulong last = min(inner_count, first + chunk);
        OUTER(o)
        const ulong base = offset_in + from;
        ulong k = first;
        long p = 0;
#ifdef START
        T a = START;
#else
        INNER(first)
        T a = LOADED(base + along);
        IF_PLACE(p = PLACE(o, first);)
        k++;
#endif
#if W > 1
        if (is_dense && k + W <= last) {
#ifdef START
            VECTOR lanes = (VECTOR)(START);
#else
            VECTOR lanes = (VECTOR)(a);
#endif
            if (k + 4 * W <= last) {  // four at once, for each waits for the one before it
                VECTOR a1 = lanes, a2 = lanes, a3 = lanes;
                for (; k + 4 * W <= last; k += 4 * W) {
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
            for (; k + W <= last; k += W) {
                const VECTOR v = IN_V(in, base + k);
                FOLD(lanes, p, v, 0);
            }
            T lane[W];
            STORE_LANES(lanes, lane);
            for (int width = W / 2; width; width /= 2)
                for (int j = 0; j < width; j++) {
                    const T v = lane[j + width];
                    FOLD(lane[j], p, v, 0);
                }
            const T v = lane[0];
            FOLD(a, p, v, 0);
        }
#elif !HAS_PLACE
        if (is_dense && k + LANES <= last) {
            T lane[LANES];
            for (int j = 0; j < LANES; j++) {
#ifdef START
                lane[j] = START;
#else
                lane[j] = a;
#endif
            }
            for (; k + LANES <= last; k += LANES)
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
        for (; k < last; k++) {
            INNER(k)
            const T v = LOADED(base + along);
            IF_PLACE(const long at = PLACE(o, k);)
            FOLD(a, p, v, at);
        }
        const ulong target = is_part ? item : offset_out + to;
        STORE(target, a, p);
    }
}

#endif

#if IS_COLUMNS
// Neighbouring outer elements, in the innermost outer loop of `width`, side by side. OUTER gives
// the places of the first of a row.
kernel void columns(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places,
        NUMBERS, ulong width, ulong step)
{
    const ulong blocks = (width - 1) / COLUMNS + 1, items = outer_count / width * blocks * parts;
    for (ulong item = get_global_id(0); item < items; item += get_global_size(0)) {
        const ulong part = item % parts, block = item / parts;
        const ulong row = block / blocks, column = block % blocks * COLUMNS;
        const int count = (int)min((ulong)COLUMNS, width - column);
        const ulong first = part * chunk, last = min(inner_count, first + chunk);
        OUTER(row)
        const ulong base = offset_in + from + column, flat = row * width + column;
        T a[COLUMNS];
        long p[COLUMNS];
        ulong k = first;
#ifdef START
        for (int j = 0; j < COLUMNS; j++) a[j] = START;
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
        if (count == 4 * W) {  // COLUMNS: named, for an array of vectors is kept in memory
            VECTOR a0 = LOAD_LANES(a), a1 = LOAD_LANES(a + W);
            VECTOR a2 = LOAD_LANES(a + 2 * W), a3 = LOAD_LANES(a + 3 * W);
            for (; k < last; k++) {
                INNER(k)
                const ulong from_here = base + along;
                const VECTOR v0 = IN_V(in, from_here), v1 = IN_V(in, from_here + W);
                const VECTOR v2 = IN_V(in, from_here + 2 * W), v3 = IN_V(in, from_here + 3 * W);
                FOLD(a0, p, v0, 0);
                FOLD(a1, p, v1, 0);
                FOLD(a2, p, v2, 0);
                FOLD(a3, p, v3, 0);
            }
            STORE_LANES(a0, a);
            STORE_LANES(a1, a + W);
            STORE_LANES(a2, a + 2 * W);
            STORE_LANES(a3, a + 3 * W);
        }
#endif
        for (; k < last; k++) {
            INNER(k)
            if (count == COLUMNS) {
                for (int j = 0; j < COLUMNS; j++) {
                    const T v = LOADED(base + along + j);
                    IF_PLACE(const long at = PLACE(flat + j, k);)
                    FOLD(a[j], p[j], v, at);
                }
            } else {
                for (int j = 0; j < count; j++) {
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
#endif

// For GPUs: neighbouring work items read neighbouring elements. What each of them has folded is
// folded through local memory; those with something to fold are the first `valid` along a team.
#ifdef WARP
#define IF_NEAR(half, apart, near, far) if ((apart) == 1 && (half) < WARP) { near } else { far }
#else
#define IF_NEAR(half, apart, near, far) { far }
#endif
#define FOLD_TEAM(member, TEAM, apart, valid) \
    for (int half_ = (TEAM) / 2; half_; half_ /= 2) { \
        const int is_first_ = (member) < half_ && (member) + half_ < (valid); \
        IF_NEAR(half_, apart, \
            const T v = SHUFFLED(a, half_); \
            IF_PLACE(const long at = SHUFFLED(p, half_);) \
            if (is_first_) { FOLD(a, p, v, at); }, \
            value[self] = a; \
            IF_PLACE(place[self] = p;) \
            barrier(CLK_LOCAL_MEM_FENCE); \
            if (is_first_) { \
                const T v = value[self + half_ * (apart)]; \
                IF_PLACE(const long at = place[self + half_ * (apart)];) \
                FOLD(a, p, v, at); \
            } \
            barrier(CLK_LOCAL_MEM_FENCE); \
        ) \
    }
// Folds the elements at first, first + stride, … below last; four at once, for each waits for the
// one before it.
#if HAS_PLACE
#define FOLD_STRIDED(first, last, stride, flat) \
    for (ulong k = first; k < last; k += stride) { \
        INNER(k) \
        const T v = LOADED(base + along); \
        const long at = PLACE(flat, k); \
        if (k == first) { a = v; p = at; } else { FOLD(a, p, v, at); } \
    }
#else
#define FOLD_AT(a, k) { INNER(k) const T v = LOADED(base + along); FOLD(a, p, v, 0); }
#define TAKE_AT(a, k) { INNER(k) a = LOADED(base + along); }
#define FOLD_STRIDED(first, last, stride, flat) \
    if (first < last) { \
        ulong k = first; \
        TAKE_AT(a, k) \
        k += stride; \
        if (k + 7 * stride < last) { \
            T a1, a2, a3; \
            TAKE_AT(a1, k) \
            TAKE_AT(a2, k + stride) \
            TAKE_AT(a3, k + 2 * stride) \
            for (k += 3 * stride; k + 3 * stride < last; k += 4 * stride) { \
                FOLD_AT(a, k) \
                FOLD_AT(a1, k + stride) \
                FOLD_AT(a2, k + 2 * stride) \
                FOLD_AT(a3, k + 3 * stride) \
            } \
            { const T v = a1; FOLD(a, p, v, 0); } \
            { const T v = a3; FOLD(a2, p, v, 0); } \
            { const T v = a2; FOLD(a, p, v, 0); } \
        } \
        for (; k < last; k += stride) FOLD_AT(a, k) \
    }
#endif

#if IS_TEAM
// An outer element per team of neighbours, which share out its inner ones.
kernel void team(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places, NUMBERS)
{
    local T value[GROUP];
    IF_PLACE(local long place[GROUP];)
    const int self = get_local_id(0), member = self % TEAM;
    const ulong teams = GROUP / TEAM, items = outer_count * parts, step = get_num_groups(0) * teams;
    for (ulong block = get_group_id(0) * teams; block < items; block += step) {
        const ulong item = block + self / TEAM;
        const ulong o = min(item / parts, outer_count - 1), begin = item % parts * chunk;
        const ulong last = item < items ? min(inner_count, begin + chunk) : 0;
        const ulong first = begin + member;
        OUTER(o)
        const ulong base = offset_in + from;
        T a = (T)0;
        IF_PLACE(long p = 0;)
        FOLD_STRIDED(first, last, TEAM, o)
        FOLD_TEAM(member, TEAM, 1, (long)last - (long)begin)
        if (member == 0 && item < items) {
            const ulong target = is_part ? item : offset_out + to;
            STORE(target, a, p);
        }
    }
}
#endif

#if IS_SLICES
// SIDE neighbouring outer elements, in the innermost outer loop of `width`, per work group, whose
// rows of SIDE work items share out the inner ones. OUTER gives the places of the first of a row.
kernel void slices(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places,
        NUMBERS, ulong width, ulong step)
{
    local T value[GROUP];
    IF_PLACE(local long place[GROUP];)
    const int self = get_local_id(0), x = self % SIDE, y = self / SIDE;
    const ulong blocks = (width - 1) / SIDE + 1, all = outer_count / width * blocks;
    const ulong items = all * parts;
    for (ulong item = get_group_id(0); item < items; item += get_num_groups(0)) {
        const ulong block = item % all, part = item / all;
        const ulong row = block / blocks, column = block % blocks * SIDE + x;
        const ulong begin = part * chunk;
        const ulong last = column < width ? min(inner_count, begin + chunk) : 0;
        const ulong first = begin + y, flat = row * width + column;
        OUTER(row)
        const ulong base = offset_in + from + column;
        T a = (T)0;
        IF_PLACE(long p = 0;)
        FOLD_STRIDED(first, last, GROUP / SIDE, flat)
        FOLD_TEAM(y, GROUP / SIDE, SIDE, (long)last - (long)begin)
        if (y == 0 && column < width) {
            const ulong target = is_part ? flat * parts + part : offset_out + to + column * step;
            STORE(target, a, p);
        }
    }
}
#endif
