// Floating numbers by their bits: the neighbour in a direction, and the mantissa and the exponent.
//
// WORD, SIGNED: integers as wide as an element. MANTISSA, BIAS: where its parts are. NORMAL, RAISED,
// RAISED_MANTISSA, RAISED_BIAS: a floating type that holds the mantissa's integers, its bits and parts.

#define SIGN ((WORD)((WORD)1 << (8 * sizeof(WORD) - 1)))
#define FRACTION ((WORD)(((WORD)1 << MANTISSA) - 1))
#define INFINITE ((WORD)((WORD)(2 * BIAS + 1) << MANTISSA))
#define SIZE_OF(x) ((WORD)((x) & (WORD)~SIGN))

// Numbers as integers in their order; zeros of both signs are one.
static SIGNED in_order(WORD x)
{
    const SIGNED size = (SIGNED)SIZE_OF(x);
    return x & SIGN ? (SIGNED)-size : size;
}

static WORD next_to(WORD x, WORD other)
{
    const SIGNED from = in_order(x), to = in_order(other);
    const bool grows = (to > from) == (from > 0);
    const WORD moved = SIZE_OF(x) ? (WORD)(grows ? x + 1 : x - 1) : (WORD)((other & SIGN) | 1);
    const WORD made = from == to || SIZE_OF(other) > INFINITE ? other : moved;
    return SIZE_OF(x) > INFINITE ? x : made;
}

#define PARTS(x, mantissa, power) \
    const WORD size_ = SIZE_OF(x); \
    const bool is_small_ = size_ < (WORD)1 << MANTISSA, is_plain_ = size_ != 0 && size_ < INFINITE; \
    const int first_ = (int)(RAISED((NORMAL)size_) >> RAISED_MANTISSA) - RAISED_BIAS; \
    const int up_ = is_small_ && is_plain_ ? MANTISSA - first_ : 0; \
    const WORD fraction_ = (WORD)(size_ << up_) & FRACTION; \
    const WORD half_ = (WORD)((x & SIGN) | (WORD)((WORD)(BIAS - 1) << MANTISSA) | fraction_); \
    const int held_ = (int)(size_ >> MANTISSA) + (is_small_ ? 1 : 0); \
    mantissa = is_plain_ ? half_ : x; \
    power = is_plain_ ? held_ - up_ - (BIAS - 1) : 0;

#ifdef __clang__
#define EACH_OF_RUN _Pragma("clang loop vectorize(assume_safety)") for (ulong j = 0; j < run; j++)
#else
#define EACH_OF_RUN for (ulong j = 0; j < run; j++)
#endif

#if IS_NEXT
#define OTHER global const WORD *others
#define DO(to, from, beside) out[to] = next_to(in[from], others[beside]);
#define KERNEL nextafter_of
#else
#define OTHER global int *others
#define DO(to, from, beside) { \
        const WORD x = in[from]; \
        WORD mantissa; \
        int power; \
        PARTS(x, mantissa, power) \
        out[to] = mantissa; \
        others[beside] = power; \
    }
#define KERNEL frexp_of
#endif

kernel void KERNEL(global WORD *out, global const WORD *in, OTHER, ulong8 begin, ulong count PLACES_NUMBERS)
{
    out += begin.s0;
    in += begin.s1;
    others += begin.s2;
#if PLACES_HAS_RUNS
    PLACES_RUNS(count)
        if (to_step == 1 && from_step == 1 && beside_step == 1) {
            EACH_OF_RUN DO(to + j, from + j, beside + j)
        } else {
            for (ulong j = 0; j < run; j++)
                DO(to + j * to_step, from + j * from_step, beside + j * beside_step)
        }
    PLACES_NEXT
#else
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        PLACES(item)
        DO(to, from, beside)
    }
#endif
}
