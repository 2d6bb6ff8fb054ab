// softmax, log_softmax and their gradients along lines of neighbours: see lines.cl.

#define NUMBERS ulong lines, int n, ulong inner

#define X(L) IN_##L(x, k)
#define POWER(L) exp(IN_##L(x, k) - most)

#if !HELD
// A sum of powers relative to `old`, relative to `now`.
static inline T moved(T sum, T old, T now)
{
    return old == -INFINITY ? sum : sum * exp(old - now);
}

// The largest, and the sum of powers relative to it, in one walk.
#define JOINED(top, POWERS) \
    if (top > most) { \
        sum = moved(sum, most, top); \
        most = top; \
    } \
    { const T base_ = most == -INFINITY ? 0 : most; POWERS }
#define MOST_AND_SUM \
    T most = -INFINITY, sum = 0; \
    WALK(AGAIN(IN, x) T top_ = x_held[0]; \
        EACH_OF_PACK top_ = fmax(top_, x_held[j_]); \
        JOINED(top_, EACH_OF_PACK sum += exp(x_held[j_] - base_);), \
        const T one_ = IN_S(x, k); JOINED(one_, sum += exp(one_ - base_);)) \
    const T own_ = most; \
    TEAM_FOLD(most, LARGER) \
    sum = moved(sum, own_, most); \
    TEAM_FOLD(sum, ADDED)
#endif

kernel SIZED(GROUP) void softmax(global OUT_MEMORY *out, global const IN_MEMORY *in,
        ulong offset_out, ulong offset_in, NUMBERS)
{
    TEAM_MEMORY
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + line * n;
        global OUT_MEMORY *y = out + offset_out + line * n;
#if HELD
        HOLD(IN, x)
        FOLD_LINE(most, -INFINITY, LARGER, X, )
        REPLACE_LINE(x, POWER)
        FOLD_LINE(sum, 0, ADDED, X, )
#define RESULT(L) (X(L) * scale)
#else
        MOST_AND_SUM
#define RESULT(L) (POWER(L) * scale)
#endif
        const T scale = 1 / sum;
        SET_LINE(OUT, y, RESULT, AGAIN(IN, x))
#undef RESULT
    }
}

kernel SIZED(GROUP) void log_softmax(global OUT_MEMORY *out, global const IN_MEMORY *in,
        ulong offset_out, ulong offset_in, NUMBERS)
{
    TEAM_MEMORY
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + line * n;
        global OUT_MEMORY *y = out + offset_out + line * n;
#if HELD
        HOLD(IN, x)
        FOLD_LINE(most, -INFINITY, LARGER, X, )
        FOLD_LINE(sum, 0, ADDED, POWER, )
#else
        MOST_AND_SUM
#endif
        const T less = log(sum);
#define RESULT(L) (X(L) - most - less)
        SET_LINE(OUT, y, RESULT, AGAIN(IN, x))
#undef RESULT
    }
}

#define G(L) IN_##L(g, k)
#define Y(L) IN_##L(y, k)
#define PRODUCT(L) (G(L) * Y(L))

kernel SIZED(GROUP) void softmax_backward(global OUT_MEMORY *out, global const IN_MEMORY *grad,
        global const IN_MEMORY *output, ulong offset_out, ulong offset_grad, ulong offset_output,
        NUMBERS)
{
    TEAM_MEMORY
    EACH_LINE(line, lines) {
        global const IN_MEMORY *g = grad + offset_grad + line * n;
        global const IN_MEMORY *y = output + offset_output + line * n;
        global OUT_MEMORY *to = out + offset_out + line * n;
        HOLD(IN, g)
        HOLD(IN, y)
        FOLD_LINE(sum, 0, ADDED, PRODUCT, AGAIN(IN, g) AGAIN(IN, y))
#define RESULT(L) (PRODUCT(L) - Y(L) * sum)
        SET_LINE(OUT, to, RESULT, AGAIN(IN, g) AGAIN(IN, y))
#undef RESULT
    }
}

kernel SIZED(GROUP) void log_softmax_backward(global OUT_MEMORY *out, global const IN_MEMORY *grad,
        global const IN_MEMORY *output, ulong offset_out, ulong offset_grad, ulong offset_output,
        NUMBERS)
{
    TEAM_MEMORY
    EACH_LINE(line, lines) {
        global const IN_MEMORY *g = grad + offset_grad + line * n;
        global const IN_MEMORY *y = output + offset_output + line * n;
        global OUT_MEMORY *to = out + offset_out + line * n;
        HOLD(IN, g)
        HOLD(IN, y)
        FOLD_LINE(sum, 0, ADDED, G, AGAIN(IN, g))
#define RESULT(L) (G(L) - exp(Y(L)) * sum)
        SET_LINE(OUT, to, RESULT, AGAIN(IN, g) AGAIN(IN, y))
#undef RESULT
    }
}
