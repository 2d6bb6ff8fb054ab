// softmax, log_softmax and their gradients along lines of n elements that are `inner` apart.
//
// BASE(line): the first element of a line, or of the first of several side by side.

#define NUMBERS ulong lines, int n, ulong inner

#define X(L) IN_##L(x, AT(k))
#define POWER(L) EXP_##L(IN_##L(x, AT(k)) - most)

kernel void softmax(global OUT_MEMORY *out, global const IN_MEMORY *in, ulong offset_out,
        ulong offset_in, NUMBERS)
{
    TEAM_MEMORY
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + BASE(line);
        global OUT_MEMORY *y = out + offset_out + BASE(line);
        FOLD_LINE(most, n, -INFINITY, LARGER, X)
        FOLD_LINE(sum, n, 0, ADDED, POWER)
#define DO(L) OUT_SET_##L(y, AT(k), POWER(L) / sum);
        WALK(n, DO)
#undef DO
    }
}

kernel void log_softmax(global OUT_MEMORY *out, global const IN_MEMORY *in, ulong offset_out,
        ulong offset_in, NUMBERS)
{
    TEAM_MEMORY
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + BASE(line);
        global OUT_MEMORY *y = out + offset_out + BASE(line);
        FOLD_LINE(most, n, -INFINITY, LARGER, X)
        FOLD_LINE(sum, n, 0, ADDED, POWER)
        const T less = log(sum);
#define DO(L) OUT_SET_##L(y, AT(k), X(L) - most - less);
        WALK(n, DO)
#undef DO
    }
}

#define G(L) IN_##L(g, AT(k))
#define Y(L) IN_##L(y, AT(k))
#define PRODUCT(L) (G(L) * Y(L))

kernel void softmax_backward(global OUT_MEMORY *out, global const IN_MEMORY *grad,
        global const IN_MEMORY *output, ulong offset_out, ulong offset_grad, ulong offset_output,
        NUMBERS)
{
    TEAM_MEMORY
    EACH_LINE(line, lines) {
        global const IN_MEMORY *g = grad + offset_grad + BASE(line);
        global const IN_MEMORY *y = output + offset_output + BASE(line);
        global OUT_MEMORY *to = out + offset_out + BASE(line);
        FOLD_LINE(sum, n, 0, ADDED, PRODUCT)
#define DO(L) OUT_SET_##L(to, AT(k), PRODUCT(L) - Y(L) * sum);
        WALK(n, DO)
#undef DO
    }
}

kernel void log_softmax_backward(global OUT_MEMORY *out, global const IN_MEMORY *grad,
        global const IN_MEMORY *output, ulong offset_out, ulong offset_grad, ulong offset_output,
        NUMBERS)
{
    TEAM_MEMORY
    EACH_LINE(line, lines) {
        global const IN_MEMORY *g = grad + offset_grad + BASE(line);
        global const IN_MEMORY *y = output + offset_output + BASE(line);
        global OUT_MEMORY *to = out + offset_out + BASE(line);
        FOLD_LINE(sum, n, 0, ADDED, G)
#define DO(L) OUT_SET_##L(to, AT(k), G(L) - EXP_##L(Y(L)) * sum);
        WALK(n, DO)
#undef DO
    }
}
