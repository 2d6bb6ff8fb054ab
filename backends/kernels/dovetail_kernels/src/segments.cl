// Reductions of consecutive segments of the lines of (outer, n, inner), and their gradients.
//
// Where segments begin is given, or how long they are (IS_LENGTHS); neither reaches outside of a line, and
// lengths that are negative or do not add up to n are reported where they are looked at (see fault.cl).
// A team has a segment, or its neighbours side by side (see team.cl). I: the integers. X: the elements.
// WAY: 0 the sum, or the mean where is_mean says so; 1 the product, 2 the largest, 3 the smallest.

#define MULTIPLIED(a, b) ((a) * (b))
#define LARGEST(a, b) (((b) > (a)) | ((b) != (b)) ? (b) : (a))
#define SMALLEST(a, b) (((b) < (a)) | ((b) != (b)) ? (b) : (a))
#define ONE_S (T)1
#define ONE_V (VECTOR)1

#define ELEMENT(L) X_##L(x, AT(k))
#define IS_TIE(L) ((ELEMENT(L) == best) | (ELEMENT(L) != ELEMENT(L)))
#define TIE(L) (IS_TIE(L) ? ONE_##L : ZERO_##L)
#define IS_ZERO(L) (ELEMENT(L) == ZERO_##L)
#define NO_ZERO(L) (IS_ZERO(L) ? ONE_##L : ELEMENT(L))
#define ZERO_COUNT(L) (IS_ZERO(L) ? ONE_##L : ZERO_##L)

#define SIZES const ulong lines = size.s0, inner = size.s2, many = size.s3; const long n = (long)size.s1;

// The segment of a line: [first, end) of its n elements, at `base` and `beside` in memory.
#if IS_SIDE
#define LANES_AT (line % blocks * SIDE < inner - SIDE ? line % blocks * SIDE : inner - SIDE)
#else
#define LANES_AT (line % blocks)
#endif
#if IS_LENGTHS
#define KNOWN ulong known = 0, known_of = ~(ulong)0; long sum = 0; int is_negative = 0;
#define FIND \
    if (outer_ != known_of || known > segment) { \
        known_of = outer_; \
        known = 0; \
        sum = 0; \
    } \
    for (; known < segment; known++) { \
        sum += lengths[known]; \
        is_negative |= lengths[known] < 0; \
    } \
    const long from_ = sum, to_ = sum + lengths[segment];
#define LINE_OF(given) global const I *lengths = (given) + outer_ * many;
#else
#define KNOWN
#define FIND const long from_ = offsets[segment], to_ = offsets[segment + 1];
#define LINE_OF(given) global const I *offsets = (given) + outer_ * (many + 1);
#endif
#define SEGMENT(line, given) \
    const ulong blocks = size.s4, row = line / blocks, outer_ = row / many, segment = row % many; \
    LINE_OF(given) \
    FIND \
    const long first = from_ < 0 ? 0 : from_ > n ? n : from_, end = to_ < 0 ? 0 : to_ > n ? n : to_; \
    const int count = (int)(end > first ? end - first : 0); \
    const ulong beside = row * inner + LANES_AT, base = (outer_ * n + first) * inner + LANES_AT;

#if IS_FORWARD
kernel void segments(global X_MEMORY *out, global const X_MEMORY *data, global const I *given,
        global uint *faults, ulong8 begin, ulong8 size, int is_mean, int has_initial, REAL initial, int looks,
        uint fault_of)
{
    TEAM_MEMORY
    SIZES
    KNOWN
    EACH_LINE(line, lines) {
        SEGMENT(line, given + begin.s2)
        global const X_MEMORY *x = data + begin.s1 + base;
#if WAY == 0
        FOLD_LINE(made, count, 0, ADDED, ELEMENT)
        if (has_initial) made += (T)initial;
        if (is_mean) made /= (T)(REAL)(count || !has_initial ? count : 1);
#elif WAY == 1
        FOLD_LINE(made, count, 1, MULTIPLIED, ELEMENT)
        if (has_initial) made *= (T)initial;
#elif WAY == 2
        FOLD_LINE(made, count, -INFINITY, LARGEST, ELEMENT)
        if (has_initial) made = made < (T)initial ? (T)initial : made;
#else
        FOLD_LINE(made, count, INFINITY, SMALLEST, ELEMENT)
        if (has_initial) made = made > (T)initial ? (T)initial : made;
#endif
        if (MEMBER == 0) {
            X_SET_S(out, begin.s0 + beside, made);
#if IS_LENGTHS
            if (looks && segment + 1 == many) {
                if (is_negative || lengths[segment] < 0) report(faults, fault_of, 0, 0);
                else if (to_ != n) report(faults, fault_of + 1, 0, 0);
            }
#endif
        }
    }
}
#else
// The largest share their slope with all that are as large, as do all NaN. `rest`: the product of a
// segment but for its single zero.
#define SHARE_OF(L) X_SET_##L(y, AT(k), IS_TIE(L) ? ZERO_##L + slope : ZERO_##L);
#define OF_PRODUCT(L) X_SET_##L(y, AT(k), IS_ZERO(L) ? ZERO_##L + alone : slope / NO_ZERO(L));
#define SLOPE(L) X_SET_##L(y, AT(k), ZERO_##L + slope);
#define NOTHING(L) X_SET_##L(y, AT(k), ZERO_##L);

kernel void segments_back(global X_MEMORY *made, global const X_MEMORY *grad, global const X_MEMORY *data,
        global const I *given, global const X_MEMORY *out, ulong8 begin, ulong8 size, int is_mean,
        int has_initial, REAL initial)
{
    TEAM_MEMORY
    SIZES
    KNOWN
    EACH_LINE(line, lines) {
        SEGMENT(line, given + begin.s3)
        global const X_MEMORY *x = data + begin.s2 + base;
        global X_MEMORY *y = made + begin.s0 + base;
        T slope = X_S(grad, begin.s1 + beside);
#if WAY == 0
        if (is_mean) slope /= (T)(REAL)(count ? count : 1);
        WALK(count, SLOPE)
#elif WAY == 1
        FOLD_LINE(zeros, count, 0, ADDED, ZERO_COUNT)
        FOLD_LINE(rest, count, 1, MULTIPLIED, NO_ZERO)
        if (has_initial) rest *= (T)initial;
        const T whole = slope * X_S(out, begin.s4 + beside);
        const T alone = zeros == (T)1 ? slope * rest : whole;
        slope = whole;
        WALK(count, OF_PRODUCT)
#else
        const T best = X_S(out, begin.s4 + beside);
        FOLD_LINE(ties, count, 0, ADDED, TIE)
        slope /= ties == (T)0 ? (T)1 : ties;
        WALK(count, SHARE_OF)
#endif
        // What is in no segment.
        if (segment == 0) {
            y -= first * inner;
            WALK((int)first, NOTHING)
            y += first * inner;
        }
        if (segment + 1 == many) {
            y += (end - first) * (long)inner;
            WALK((int)(n - end), NOTHING)
        }
    }
}
#endif
