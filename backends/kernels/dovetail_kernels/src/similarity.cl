// Vectors of `size` elements, `inner` apart, divided by their length or by eps, where that is larger; IS_PAIR: the
// sum of the products with those of another tensor. T: what is computed in.

#define LANES 8

static T length_of(global const IN_MEMORY *x, ulong first, uint size, uint inner, T eps)
{
    T lane[LANES] = {0};
    uint k = 0;
    for (; k + LANES <= size; k += LANES)
        for (int l = 0; l < LANES; l++) {
            const T v = IN_LOAD(x, first + (ulong)(k + l) * inner);
            lane[l] += v * v;
        }
    for (; k < size; k++) {
        const T v = IN_LOAD(x, first + (ulong)k * inner);
        lane[0] += v * v;
    }
    for (int half_ = LANES / 2; half_; half_ /= 2)
        for (int l = 0; l < half_; l++) lane[l] += lane[l + half_];
    const T root = sqrt(lane[0]);
    return root != root || root >= eps ? root : eps;
}

#if IS_PAIR
#define OTHER , global const IN_MEMORY *y
#else
#define OTHER
#endif

kernel void similarity(global OUT_MEMORY *out, global const IN_MEMORY *x OTHER, ulong8 begin, uint lines, uint size,
        uint inner, T eps)
{
    for (uint line = get_global_id(0); line < lines; line += get_global_size(0)) {
        const ulong first = (ulong)(line / inner) * size * inner + line % inner;
        const T length = length_of(x, begin.s1 + first, size, inner, eps);
#if IS_PAIR
        const T other = length_of(y, begin.s2 + first, size, inner, eps);
        T sum = 0;
        for (uint k = 0; k < size; k++) {
            const ulong at = first + (ulong)k * inner;
            sum += (IN_LOAD(x, begin.s1 + at) / length) * (IN_LOAD(y, begin.s2 + at) / other);
        }
        OUT_STORE(out, begin.s0 + line, sum);
#else
        for (uint k = 0; k < size; k++) {
            const ulong at = first + (ulong)k * inner;
            OUT_STORE(out, begin.s0 + at, IN_LOAD(x, begin.s1 + at) / length);
        }
#endif
    }
}
