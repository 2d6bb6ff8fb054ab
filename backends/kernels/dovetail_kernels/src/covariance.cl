// The covariance of every two of `rows` variables of n observations, or their correlation
// (IS_CORRELATION); a pair for each work item, which looks for the means itself.

#define LANES 8

static T mean_of(global const IN_MEMORY *x, uint n)
{
    T lane[LANES] = {0};
    uint k = 0;
    for (; k + LANES <= n; k += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += IN_LOAD(x, k + l);
    for (; k < n; k++) lane[0] += IN_LOAD(x, k);
    for (int half_ = LANES / 2; half_; half_ /= 2)
        for (int l = 0; l < half_; l++) lane[l] += lane[l + half_];
    return lane[0] / n;
}

static T together(global const IN_MEMORY *x, T of_x, global const IN_MEMORY *y, T of_y, uint n)
{
    T lane[LANES] = {0};
    uint k = 0;
    for (; k + LANES <= n; k += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += (IN_LOAD(x, k + l) - of_x) * (IN_LOAD(y, k + l) - of_y);
    for (; k < n; k++) lane[0] += (IN_LOAD(x, k) - of_x) * (IN_LOAD(y, k) - of_y);
    for (int half_ = LANES / 2; half_; half_ /= 2)
        for (int l = 0; l < half_; l++) lane[l] += lane[l + half_];
    return lane[0];
}

kernel void covariance(global OUT_MEMORY *out, global const IN_MEMORY *input, ulong8 begin,
        uint rows, uint n, T freedom)
{
    for (uint item = get_global_id(0); item < rows * rows; item += get_global_size(0)) {
        global const IN_MEMORY *x = input + begin.s1 + (ulong)(item / rows) * n;
        global const IN_MEMORY *y = input + begin.s1 + (ulong)(item % rows) * n;
        const T of_x = mean_of(x, n), of_y = mean_of(y, n);
        T made = together(x, of_x, y, of_y, n) / freedom;
#if IS_CORRELATION
        const T first = sqrt(together(x, of_x, x, of_x, n) / freedom);
        const T second = sqrt(together(y, of_y, y, of_y, n) / freedom);
        made = made / first / second;
        made = made > 1 ? (T)1 : made < -1 ? (T)-1 : made;
#endif
        OUT_STORE(out, begin.s0 + item, made);
    }
}
