// Folds the inner elements of each outer element on a GPU, where neighbouring work items read
// neighbouring elements: of one outer element as a team, or of SIDE of them as a slice.
//
// T, LOADED, FOLD, RESULT, HAS_PLACE, IS_PART, FOLD_NUMBERS: as in reduce.cl. GROUP: work items of a work group.

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

#ifndef START
#define START (T)0
#endif

#ifndef FOLD_NUMBERS
#define FOLD_NUMBERS
#endif
#define NUMBERS ulong offset_out, ulong offset_in, ulong outer_count, ulong inner_count, \
    ulong parts, ulong chunk, int is_part, int is_rest, int members FOLD_NUMBERS \
    OUTER_NUMBERS INNER_NUMBERS

// Folds what the members of a team have, through local memory; those that have something are the
// first `valid` of them. `apart`: how far their numbers are apart.
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
// An outer element per team of `members` neighbours, a power of two, which share out its inner ones.
kernel void team(global OUT_MEMORY *out, global const IN_MEMORY *in, global long *places, NUMBERS)
{
    local T value[GROUP];
    IF_PLACE(local long place[GROUP];)
    const int self = get_local_id(0), member = self % members;
    const ulong teams = GROUP / members, items = outer_count * parts, step = get_num_groups(0) * teams;
    for (ulong block = get_group_id(0) * teams; block < items; block += step) {
        const ulong item = block + self / members;
        const ulong o = min(item / parts, outer_count - 1), begin = item % parts * chunk;
        const ulong last = item < items ? min(inner_count, begin + chunk) : 0;
        const ulong first = begin + member;
        OUTER(o)
        const ulong base = offset_in + from;
        T a = START;
        IF_PLACE(long p = 0;)
        FOLD_STRIDED(first, last, members, o)
        FOLD_TEAM(member, members, 1, (long)last - (long)begin)
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
        T a = START;
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
