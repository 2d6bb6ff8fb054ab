// A weight (outer, rows, inner) as a matrix of `rows` and outer * inner columns, and two vectors u and v. One group
// does it all, which on the host's cores is one work item. T: what is computed in.
//
// IS_STEP: both vectors become directions of products. IS_SLOPE: the gradient of the weight divided by u' W v; else
// that.

#define LANES 8
#define ALL_SEE barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);

// The sum of the products of n elements of x and y.
static T products_of(global const IN_MEMORY *x, global const IN_MEMORY *y, uint n)
{
    T lane[LANES] = {0};
    uint k = 0;
    for (; k + LANES <= n; k += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += IN_LOAD(x, k + l) * IN_LOAD(y, k + l);
    for (; k < n; k++) lane[0] += IN_LOAD(x, k) * IN_LOAD(y, k);
    for (int half_ = LANES / 2; half_; half_ /= 2)
        for (int l = 0; l < half_; l++) lane[l] += lane[l + half_];
    return lane[0];
}

#if IS_STEP
// Elements begin, begin + GROUP, ... of u, over what the length of all is.
#define DIRECTED(u, n) \
    GROUP_FOLD(squares, ADDED) \
    { \
        const T length_ = sqrt(squares), bound_ = length_ != length_ || length_ >= eps ? length_ : eps; \
        for (uint k = get_local_id(0); k < (n); k += GROUP) OUT_STORE(u, k, IN_LOAD(u, k) / bound_); \
    } \
    ALL_SEE

kernel void spectral_norm(global OUT_MEMORY *u, global OUT_MEMORY *v, global OUT_MEMORY *kept_u,
        global OUT_MEMORY *kept_v, global const IN_MEMORY *weight, ulong8 begin, uint outer, uint rows, uint inner,
        uint products, uint is_u, T eps)
{
    TEAM_MEMORY
    u += begin.s0, v += begin.s1, kept_u += begin.s2, kept_v += begin.s3, weight += begin.s4;
    const uint columns = outer * inner;
    for (uint step = 0; step < products; step++, is_u = !is_u) {
        T squares = 0;
        if (is_u) {
            for (uint r = get_local_id(0); r < rows; r += GROUP) {
                T sum = 0;
                for (uint o = 0; o < outer; o++)
                    sum += products_of(weight + ((ulong)o * rows + r) * inner, v + o * inner, inner);
                OUT_STORE(u, r, sum);
                squares += sum * sum;
            }
            DIRECTED(u, rows)
        } else {
#if GROUP > 1
            for (uint c = get_local_id(0); c < columns; c += GROUP) {
                const ulong first = (ulong)(c / inner) * rows * inner + c % inner;
                T sum = 0;
                for (uint r = 0; r < rows; r++) sum += IN_LOAD(weight, first + (ulong)r * inner) * IN_LOAD(u, r);
                OUT_STORE(v, c, sum);
                squares += sum * sum;
            }
#else
            for (uint c = 0; c < columns; c++) OUT_STORE(v, c, (T)0);
            for (uint o = 0; o < outer; o++)
                for (uint r = 0; r < rows; r++) {
                    const T factor = IN_LOAD(u, r);
                    const ulong first = ((ulong)o * rows + r) * inner;
                    for (uint i = 0; i < inner; i++)
                        OUT_STORE(v, o * inner + i, IN_LOAD(v, o * inner + i) + IN_LOAD(weight, first + i) * factor);
                }
            squares = products_of(v, v, columns);
#endif
            DIRECTED(v, columns)
        }
    }
    for (uint k = get_local_id(0); k < rows; k += GROUP) OUT_STORE(kept_u, k, IN_LOAD(u, k));
    for (uint k = get_local_id(0); k < columns; k += GROUP) OUT_STORE(kept_v, k, IN_LOAD(v, k));
}
#else
#if IS_SLOPE
#define GRAD global const IN_MEMORY *grad,
#else
#define GRAD
#endif

kernel void spectral_norm(global OUT_MEMORY *out, GRAD global const IN_MEMORY *weight, global const IN_MEMORY *u,
        global const IN_MEMORY *v, ulong8 begin, uint outer, uint rows, uint inner)
{
    TEAM_MEMORY
    out += begin.s0;
#if IS_SLOPE
    grad += begin.s1, weight += begin.s2, u += begin.s3, v += begin.s4;
#else
    weight += begin.s1, u += begin.s2, v += begin.s3;
#endif
    T sigma = 0, along = 0;
    for (uint line = get_local_id(0); line < outer * rows; line += GROUP) {
        const ulong first = (ulong)line * inner;
        sigma += products_of(weight + first, v + line / rows * inner, inner) * IN_LOAD(u, line % rows);
#if IS_SLOPE
        along += products_of(weight + first, grad + first, inner);
#endif
    }
    GROUP_FOLD(sigma, ADDED)
#if IS_SLOPE
    GROUP_FOLD(along, ADDED)
    along /= sigma;
#endif
    for (uint line = get_local_id(0); line < outer * rows; line += GROUP) {
        const ulong first = (ulong)line * inner;
#if IS_SLOPE
        const T factor = IN_LOAD(u, line % rows) * along;
        for (uint i = 0; i < inner; i++)
            OUT_STORE(out, first + i,
                (IN_LOAD(grad, first + i) - factor * IN_LOAD(v, line / rows * inner + i)) / sigma);
#else
        for (uint i = 0; i < inner; i++) OUT_STORE(out, first + i, IN_LOAD(weight, first + i) / sigma);
#endif
    }
}
#endif
