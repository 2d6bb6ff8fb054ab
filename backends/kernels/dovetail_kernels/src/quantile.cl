// What lies at fractions q of rows of n elements in order, NaN last; or of lines of few elements in any order
// and layout (IS_LINES), each put in order by a work item. WAY: 0 linear, 1 the lower place, 2 the higher,
// 3 the midpoint, 4 the nearest. SHORT: elements of the longest line.

#if WAY == 1
#define BETWEEN(row, place) const T made = row[(ulong)floor(place)];
#elif WAY == 2
#define BETWEEN(row, place) const T made = row[(ulong)ceil(place)];
#elif WAY == 4
#define BETWEEN(row, place) const T made = row[(ulong)rint(place)];
#else
#define BETWEEN(row, place) \
    const T a_ = row[(ulong)place], b_ = row[(ulong)ceil(place)]; \
    const T w_ = WAY == 3 ? (T)0.5f : place - (T)(ulong)place; \
    const T made = w_ < (T)0.5f ? a_ + w_ * (b_ - a_) : b_ - (b_ - a_) * (1 - w_);
#endif

#define MAKE(row, n, given) \
    const T given_ = (given), share = given_ >= 0 && given_ <= 1 ? given_ : (T)0; \
    is_wrong |= given_ != share; \
    T place = share * (T)((n) - 1); \
    if (row[(n) - 1] != row[(n) - 1]) { \
        place = (T)((n) - 1); \
        if (skips_nan) { \
            ulong low = 0, high = (n) - 1;  /* the first NaN */ \
            while (low < high) { \
                const ulong middle = (low + high) / 2; \
                if (row[middle] != row[middle]) high = middle; \
                else low = middle + 1; \
            } \
            place = low ? share * (T)(low - 1) : (T)0; \
        } \
    } \
    BETWEEN(row, place)

#if IS_LINES
#if HAS_NUMBER
#define FRACTIONS
#define FRACTION(j) fraction
#define NUMBER , T fraction
#else
#define FRACTIONS global const T *q,
#define FRACTION(j) q[begin.s2 + (j) * step_q]
#define NUMBER
#endif

kernel void quantile_lines(global T *out, global const T *in, FRACTIONS global uint *faults, ulong8 begin,
        ulong lines, ulong many, uint n, ulong step_in, ulong step_out, ulong step_q, int skips_nan,
        uint fault_of LINES_NUMBERS NUMBER)
{
    int is_wrong = 0;
    for (ulong line = get_global_id(0); line < lines; line += get_global_size(0)) {
        LINES(line)
        KEY keys[SHORT];
        uint stands[SHORT];
        T few[SHORT], row[SHORT];
        for (uint k = 0; k < n; k++) {
            few[k] = in[begin.s1 + from + k * step_in];
            keys[k] = key_of(BITS_OF(few[k]));
        }
        stand(keys, stands, n);
        for (uint k = 0; k < n; k++) row[stands[k]] = few[k];
        for (ulong j = 0; j < many; j++) {
            MAKE(row, n, FRACTION(j))
            out[begin.s0 + to + j * step_out] = made;
        }
    }
    if (is_wrong) report(faults, fault_of, 0, 0);
}
#else
kernel void quantile(global T *out, global const T *rows, global const T *q, global uint *faults, ulong8 begin,
        ulong count, ulong n, ulong many, int skips_nan, uint fault_of)
{
    int is_wrong = 0;
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        global const T *row = rows + begin.s1 + item / many * n;
        MAKE(row, n, q[begin.s2 + item % many])
        out[begin.s0 + item] = made;
    }
    if (is_wrong) report(faults, fault_of, 0, 0);
}
#endif
