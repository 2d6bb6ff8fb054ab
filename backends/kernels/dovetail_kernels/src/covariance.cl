// The covariance of every two of `rows` variables of n observations, or their correlation
// (IS_CORRELATION); a pair for each work item, which looks for the means itself. HAS_COUNTS, HAS_WEIGHTS: how
// often an observation was made, and how much it counts; what is negative is reported (see fault.cl).

#define LANES 8
#if HAS_COUNTS && HAS_WEIGHTS
#define GIVEN , global const COUNT_MEMORY *counts, global const IN_MEMORY *weights
#define PASSED , counts, weights
#define WEIGHT(k) ((T)COUNT_LOAD(counts, k) * IN_LOAD(weights, k))
#elif HAS_COUNTS
#define GIVEN , global const COUNT_MEMORY *counts
#define PASSED , counts
#define WEIGHT(k) (T)COUNT_LOAD(counts, k)
#elif HAS_WEIGHTS
#define GIVEN , global const IN_MEMORY *weights
#define PASSED , weights
#define WEIGHT(k) IN_LOAD(weights, k)
#else
#define GIVEN
#define PASSED
#define WEIGHT(k) 1
#endif
#define SUM(result, VALUE) \
    T result; \
    { \
        T lane[LANES] = {0}; \
        uint k = 0; \
        for (; k + LANES <= n; k += LANES) \
            for (int l = 0; l < LANES; l++) lane[l] += VALUE(k + l); \
        for (; k < n; k++) lane[0] += VALUE(k); \
        for (int half_ = LANES / 2; half_; half_ /= 2) \
            for (int l = 0; l < half_; l++) lane[l] += lane[l + half_]; \
        result = lane[0]; \
    }

static T mean_of(global const IN_MEMORY *x GIVEN, uint n, T total)
{
#define ELEMENT(k) (IN_LOAD(x, k) * WEIGHT(k))
    SUM(sum, ELEMENT)
    return sum / total;
}

static T together(global const IN_MEMORY *x, T of_x, global const IN_MEMORY *y, T of_y GIVEN, uint n)
{
#define PRODUCT(k) ((IN_LOAD(x, k) - of_x) * (IN_LOAD(y, k) - of_y) * WEIGHT(k))
    SUM(sum, PRODUCT)
    return sum;
}

// freedom: what sums are divided by; of weights the correction, which is taken off their sum.
#if HAS_COUNTS || HAS_WEIGHTS
#define FAULTS , global uint *faults
#define FAULT_NUMBER , uint fault_of
#else
#define FAULTS
#define FAULT_NUMBER
#endif

kernel void covariance(global OUT_MEMORY *out, global const IN_MEMORY *input GIVEN FAULTS, ulong8 begin,
        uint rows, uint n, T freedom FAULT_NUMBER)
{
#if HAS_COUNTS
    counts += begin.s2;
#endif
#if HAS_WEIGHTS
    weights += HAS_COUNTS ? begin.s3 : begin.s2;
#endif
#if HAS_COUNTS || HAS_WEIGHTS
    if (get_global_id(0) == 0)
        for (uint k = 0; k < n; k++) {
#if HAS_COUNTS
            if (COUNT_LOAD(counts, k) < 0) report(faults, fault_of, 0, 0);
#endif
#if HAS_WEIGHTS
            if (IN_LOAD(weights, k) < 0) report(faults, fault_of + 1, 0, 0);
#endif
        }
    SUM(total, WEIGHT)
    const T correction = freedom;
    freedom = total - correction;
#if HAS_WEIGHTS
#define SQUARED(k) (WEIGHT(k) * IN_LOAD(weights, k))
    if (correction != 0) {
        SUM(square, SQUARED)
        freedom = total - correction * square / total;
    }
#endif
    if (freedom <= 0) freedom = 0;
#else
    const T total = n;
#endif
    for (uint item = get_global_id(0); item < rows * rows; item += get_global_size(0)) {
        global const IN_MEMORY *x = input + begin.s1 + (ulong)(item / rows) * n;
        global const IN_MEMORY *y = input + begin.s1 + (ulong)(item % rows) * n;
        const T of_x = mean_of(x PASSED, n, total), of_y = mean_of(y PASSED, n, total);
        T made = together(x, of_x, y, of_y PASSED, n) / freedom;
#if IS_CORRELATION
        const T first = sqrt(together(x, of_x, x, of_x PASSED, n) / freedom);
        const T second = sqrt(together(y, of_y, y, of_y PASSED, n) / freedom);
        made = made / first / second;
        made = made > 1 ? (T)1 : made < -1 ? (T)-1 : made;
#endif
        OUT_STORE(out, begin.s0 + item, made);
    }
}
