// cross_entropy and its gradient along lines of neighbours: see loss.cl, lines.cl and powers.cl.
//
// IS_FORWARD: cross_entropy, else its gradient, of which other arrays lie along lines.
// SMOOTHS: label_smoothing is not 0.

#define ONE_R (T)1

#if IS_FORWARD
#define SMOOTH(L) (CLASS_WEIGHT(L) * (X(L) - most - less))

kernel SIZED(GROUP) void cross_entropy(global OUT_MEMORY *out,
        global PROBABILITY_MEMORY *probabilities, global T *parts, global const IN_MEMORY *in,
        global const TARGET_MEMORY *target, global const WEIGHT_MEMORY *weight, global uint *faults,
        ulong8 offsets, NUMBERS)
{
    TEAM_MEMORY
    const ulong offset_out = offsets.s0, offset_probabilities = offsets.s1;
    const ulong offset_parts = offsets.s2, offset_in = offsets.s3, offset_target = offsets.s4;
    const ulong offset_weight = offsets.s5;
    SIZES
    WATCH
    T losses = 0, factors = 0, lost = 0;
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + line * n;
        global PROBABILITY_MEMORY *y = probabilities + offset_probabilities + line * n;
        HOLD(IN, x)
#if HELD
        FOLD_LINE(most, -INFINITY, LARGER, X, )
        FOLD_LINE(sum, 0, ADDED, POWER, )
#else
        MOST_AND_SUM
#endif
        const T less = log(sum), scale = 1 / sum;
#define RESULT(L) (POWER(L) * scale)
        SET_LINE(PROBABILITY, y, RESULT, AGAIN(IN, x))
#undef RESULT
#if SMOOTHS
        FOLD_LINE(smooth, 0, ADDED, SMOOTH, AGAIN(IN, x))
#endif
        const long t = TARGET(line);
        CHECK(t)
        T loss = 0;
        if (MEMBER == 0) {
            if (COUNTS(t)) {
                loss = (most + less - IN_S(x, t)) * FACTOR(t);
#if SMOOTHS
                loss = loss * (1 - smoothing) - smooth * (smoothing / n);
#endif
            }
            ADD_UP(line, loss, FACTOR(t))
        }
    }
    PUT_PARTS
    REPORT(n)
}
#else
kernel SIZED(GROUP) void cross_entropy_backward(global OUT_MEMORY *out, global const T *parts,
        global const G_MEMORY *grad, global const IN_MEMORY *in, global const TARGET_MEMORY *target,
        global const WEIGHT_MEMORY *weight, global uint *faults,
        ulong8 offsets, NUMBERS)
{
    TEAM_MEMORY
    const ulong offset_out = offsets.s0, offset_parts = offsets.s1, offset_grad = offsets.s2;
    const ulong offset_in = offsets.s3, offset_target = offsets.s4, offset_weight = offsets.s5;
    SIZES
    WATCH
    SUM_OF_WEIGHTS
    T all = 0;
#if SMOOTHS
    for (int k = MEMBER; k < n; k += TEAM) all += CLASS_WEIGHT(S);
    TEAM_FOLD(all, ADDED)
#endif
    EACH_LINE(line, lines) {
        global const IN_MEMORY *p = in + offset_in + line * n;
        global OUT_MEMORY *y = out + offset_out + line * n;
        const long t = TARGET(line);
        CHECK(t)
        const int hit = COUNTS(t) ? (int)t : -1;
        const T share = hit < 0 ? (T)0 : SHARE(line);
        const T hard = share * (1 - smoothing) * FACTOR(t), soft = share * (smoothing / n);
        const T whole = hard + soft * all;
        HOLD(IN, p)
#if SMOOTHS
#define SLOPE(L) \
    (IN_##L(p, k) * whole - soft * CLASS_WEIGHT(L) - (k == hit ? hard : (T)0))
#else
#define SLOPE(L) (IN_##L(p, k) * hard - (k == hit ? hard : (T)0))
#endif
        SET_LINE(OUT, y, SLOPE, AGAIN(IN, p))
    }
    REPORT(n)
}
#endif
