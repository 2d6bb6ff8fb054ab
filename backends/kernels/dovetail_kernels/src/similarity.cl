// Vectors of `size` elements, `inner` apart, divided by their length or by eps, where that is larger; IS_PAIR: the
// sum of the products with those of another tensor. IS_SLOPE: the gradients of these. T: what is computed in.

#define LANES 8

static T products_of(global const IN_MEMORY *x, ulong x_first, global const IN_MEMORY *y, ulong y_first, uint size,
        uint inner)
{
    T lane[LANES] = {0};
    uint k = 0;
    for (; k + LANES <= size; k += LANES)
        for (int l = 0; l < LANES; l++) {
            const ulong at = (ulong)(k + l) * inner;
            lane[l] += IN_LOAD(x, x_first + at) * IN_LOAD(y, y_first + at);
        }
    for (; k < size; k++) {
        const ulong at = (ulong)k * inner;
        lane[0] += IN_LOAD(x, x_first + at) * IN_LOAD(y, y_first + at);
    }
    for (int half_ = LANES / 2; half_; half_ /= 2)
        for (int l = 0; l < half_; l++) lane[l] += lane[l + half_];
    return lane[0];
}

static T length_of(global const IN_MEMORY *x, ulong first, uint size, uint inner)
{
    return sqrt(products_of(x, first, x, first, size, inner));
}

static T bounded(T length, T eps)
{
    return length != length || length >= eps ? length : eps;
}

#if IS_PAIR
#define OTHER , global const IN_MEMORY *y
#else
#define OTHER
#endif

#define EACH_VECTOR(line, first) \
    for (uint line = get_global_id(0); line < lines; line += get_global_size(0)) { \
        const ulong first = (ulong)(line / inner) * size * inner + line % inner;

#if !IS_SLOPE
kernel void similarity(global OUT_MEMORY *out, global const IN_MEMORY *x OTHER, ulong8 begin, uint lines, uint size,
        uint inner, T eps)
{
    EACH_VECTOR(line, first)
        const T length = bounded(length_of(x, begin.s1 + first, size, inner), eps);
#if IS_PAIR
        const T other = bounded(length_of(y, begin.s2 + first, size, inner), eps);
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
#elif IS_PAIR
kernel void similarity(global OUT_MEMORY *of_x, global OUT_MEMORY *of_y, global const IN_MEMORY *grad,
        global const IN_MEMORY *x, global const IN_MEMORY *y, global const IN_MEMORY *result, ulong8 begin, uint lines,
        uint size, uint inner, T eps)
{
    EACH_VECTOR(line, first)
        const T length = length_of(x, begin.s3 + first, size, inner);
        const T other = length_of(y, begin.s4 + first, size, inner);
        const T g = IN_LOAD(grad, begin.s2 + line), cosine = IN_LOAD(result, begin.s5 + line);
        const T x_bound = bounded(length, eps), y_bound = bounded(other, eps);
        // What has no length has no direction either.
        const T x_along = length == 0 ? (T)0 : cosine / length, y_along = other == 0 ? (T)0 : cosine / other;
        for (uint k = 0; k < size; k++) {
            const ulong at = first + (ulong)k * inner;
            const T a = IN_LOAD(x, begin.s3 + at), b = IN_LOAD(y, begin.s4 + at);
            OUT_STORE(of_x, begin.s0 + at, g * (b / y_bound - a * x_along) / x_bound);
            OUT_STORE(of_y, begin.s1 + at, g * (a / x_bound - b * y_along) / y_bound);
        }
    }
}
#else
kernel void similarity(global OUT_MEMORY *out, global const IN_MEMORY *grad, global const IN_MEMORY *x,
        global const IN_MEMORY *result, ulong8 begin, uint lines, uint size, uint inner, T eps)
{
    EACH_VECTOR(line, first)
        const T length = length_of(x, begin.s2 + first, size, inner), bound = bounded(length, eps);
        const T sum = products_of(grad, begin.s1 + first, result, begin.s3 + first, size, inner);
        const T along = length >= eps ? sum : sum * 0;
        for (uint k = 0; k < size; k++) {
            const ulong at = first + (ulong)k * inner;
            const T g = IN_LOAD(grad, begin.s1 + at), unit = IN_LOAD(result, begin.s3 + at);
            OUT_STORE(out, begin.s0 + at, (g - unit * along) / bound);
        }
    }
}
#endif
