// Halves of lines, the first times the sigmoid of the second, and the gradient of that. A line has n
// elements of each half; W of them are taken at a time where a walk says so (see team.cl).

#define KIND_S T
#define KIND_V VECTOR
#define GATE(L) (1 / (1 + EXP_##L(-IN_##L(b, k))))

#if IS_BACKWARD
kernel void glu_backward(global OUT_MEMORY *out, global const IN_MEMORY *grad,
        global const IN_MEMORY *in, ulong8 begin, ulong8 sizes)
{
    const ulong lines = (ulong)sizes.s0;
    const int n = (int)sizes.s1;
    EACH_LINE(line, lines) {
        global const IN_MEMORY *g = grad + begin.s1 + line * n;
        global const IN_MEMORY *a = in + begin.s2 + line * 2 * n, *b = a + n;
        global OUT_MEMORY *y = out + begin.s0 + line * 2 * n, *z = y + n;
#define BOTH(L) { \
        const KIND_##L gate_ = GATE(L), part_ = IN_##L(g, k); \
        OUT_SET_##L(y, k, part_ * gate_); \
        OUT_SET_##L(z, k, part_ * IN_##L(a, k) * (1 - gate_) * gate_); \
    }
        WALK(n, BOTH)
    }
}
#else
kernel void glu(global OUT_MEMORY *out, global const IN_MEMORY *in, ulong8 begin, ulong8 sizes)
{
    const ulong lines = (ulong)sizes.s0;
    const int n = (int)sizes.s1;
    EACH_LINE(line, lines) {
        global const IN_MEMORY *a = in + begin.s1 + line * 2 * n, *b = a + n;
        global OUT_MEMORY *y = out + begin.s0 + line * n;
#define GATED(L) OUT_SET_##L(y, k, IN_##L(a, k) * GATE(L));
        WALK(n, GATED)
    }
}
#endif
