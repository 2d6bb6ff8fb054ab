// softmax, log_softmax and their gradients along lines that lie side by side, for the host's cores:
// n elements that are `inner` apart, of which W lines are a VECTOR. See exponentials.cl.
//
// A work item takes `span` lines (SPAN at most), whose elements it reads a second time from a cache.

#define NUMBERS ulong outer, int n, ulong inner, ulong span

#define EACH_BLOCK \
    const ulong blocks_ = (inner - 1) / span + 1, items_ = outer * blocks_; \
    const ulong share_ = (items_ - 1) / get_global_size(0) + 1; \
    const ulong last_ = min(items_, share_ * (get_global_id(0) + 1)); \
    for (ulong item_ = share_ * get_global_id(0); item_ < last_; item_++)
#define BLOCK \
    const ulong column = item_ % blocks_ * span; \
    const ulong base = item_ / blocks_ * n * inner; \
    const int vectors = (int)((min(span, inner - column) + W - 1) / W);
#define AT(j) min(column + (j) * W, inner - W)  // the last one takes some once more
#define EACH_VECTOR for (int j = 0; j < vectors; j++)

// DO(rows) with V of eight elements of each line, or of one, as vectors x0, …; NEXT(i): what is fetched.
#define EACH_8(V, NEXT, DO) \
    int i = 0; \
    for (; i + 8 <= n; i += 8) { \
        EACH_VECTOR { \
            const ulong at = base + i * inner + AT(j); \
            for (int r = 0; r < 8; r++) { NEXT(at + (r + 8) * inner) } \
            const VECTOR x0 = V(at), x1 = V(at + inner); \
            const VECTOR x2 = V(at + 2 * inner), x3 = V(at + 3 * inner); \
            const VECTOR x4 = V(at + 4 * inner), x5 = V(at + 5 * inner); \
            const VECTOR x6 = V(at + 6 * inner), x7 = V(at + 7 * inner); \
            DO(8) \
        } \
    } \
    for (; i < n; i++) \
        EACH_VECTOR { \
            const VECTOR x0 = V(base + i * inner + AT(j)); \
            DO(1) \
        }

// The largest of each line, and the sum of exponentials of distances from it.
#define MOST_AND_SUM \
    VECTOR most[SPAN / W], sum[SPAN / W]; \
    EACH_VECTOR { \
        most[j] = (VECTOR)(-INFINITY); \
        sum[j] = (VECTOR)0; \
    } \
    EACH_8(X, NEXT_X, COLUMNS)
#define X(i) IN_V(x, i)
#define COLUMNS(rows) COLUMN_##rows(most[j], sum[j])
#define NEXT_X(i) FETCH(x + (i))

// y = VALUE, element by element; NEXT(i): what is fetched of the operands, as lines are not so long
// that a processor would see what comes.
#define AHEAD 4
#define SET(y, NEXT, VALUE) \
    for (int i = 0; i < n; i++) \
        EACH_VECTOR { \
            const ulong at = base + i * inner + AT(j); \
            NEXT(at + AHEAD * inner) \
            FETCH_OWN(y + at + AHEAD * inner) \
            OUT_SET_V(y, at, VALUE); \
        }

kernel void softmax(global OUT_MEMORY *out, global const IN_MEMORY *in, ulong offset_out,
        ulong offset_in, NUMBERS)
{
    global const IN_MEMORY *x = in + offset_in;
    global OUT_MEMORY *y = out + offset_out;
    EACH_BLOCK {
        BLOCK
        MOST_AND_SUM
        EACH_VECTOR sum[j] = 1 / sum[j];
        SET(y, NEXT_X, EXP_V(X(at) - most[j]) * sum[j])
    }
}

kernel void log_softmax(global OUT_MEMORY *out, global const IN_MEMORY *in, ulong offset_out,
        ulong offset_in, NUMBERS)
{
    global const IN_MEMORY *x = in + offset_in;
    global OUT_MEMORY *y = out + offset_out;
    EACH_BLOCK {
        BLOCK
        MOST_AND_SUM
        EACH_VECTOR sum[j] = LOG(sum[j]);
        SET(y, NEXT_X, X(at) - most[j] - sum[j])
    }
}

#define SUM(V, NEXT) \
    VECTOR sum[SPAN / W]; \
    EACH_VECTOR sum[j] = (VECTOR)0; \
    EACH_8(V, NEXT, SUMS)
#define SUMS(rows) SUMS_##rows
#define SUMS_1 sum[j] += x0;
#define SUMS_8 sum[j] += ((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7));
#define G(i) IN_V(g, i)
#define Y(i) IN_V(y, i)
#define PRODUCT(i) (G(i) * Y(i))
#define NEXT_G(i) FETCH(g + (i))
#define NEXT_GY(i) FETCH(g + (i)) FETCH(y + (i))

kernel void softmax_backward(global OUT_MEMORY *out, global const IN_MEMORY *grad,
        global const IN_MEMORY *output, ulong offset_out, ulong offset_grad, ulong offset_output,
        NUMBERS)
{
    global const IN_MEMORY *g = grad + offset_grad, *y = output + offset_output;
    global OUT_MEMORY *to = out + offset_out;
    EACH_BLOCK {
        BLOCK
        SUM(PRODUCT, NEXT_GY)
        SET(to, NEXT_GY, PRODUCT(at) - Y(at) * sum[j])
    }
}

kernel void log_softmax_backward(global OUT_MEMORY *out, global const IN_MEMORY *grad,
        global const IN_MEMORY *output, ulong offset_out, ulong offset_grad, ulong offset_output,
        NUMBERS)
{
    global const IN_MEMORY *g = grad + offset_grad, *y = output + offset_output;
    global OUT_MEMORY *to = out + offset_out;
    EACH_BLOCK {
        BLOCK
        SUM(G, NEXT_G)
        SET(to, NEXT_GY, G(at) - EXP_ANY(Y(at)) * sum[j])
    }
}
