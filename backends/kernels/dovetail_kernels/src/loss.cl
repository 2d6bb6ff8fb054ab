// cross_entropy and nll_loss of (outer, n classes, inner), with their gradients.
//
// A line is a vector of classes; its target is target[line]. Targets that are `ignored`, or no class,
// count for nothing; what is no class is reported (see fault.cl). reduction: 0 none, 1 sum, 2 mean.
// smoothing: label_smoothing.
// count: numbers in `parts`, whose sum is the weights of all targets; 0: every team adds them up.
// One text serves all of these, for a compiler takes as long as millions of such comparisons.

// Offsets and sizes are one argument each: a driver takes its time for every argument of a launch.
#define NUMBERS ulong8 sizes, T smoothing
#define SIZES \
    const ulong lines = sizes.s0, inner = sizes.s2, count = sizes.s4; \
    const int n = (int)sizes.s1, reduction = (int)sizes.s5, has_weight = (int)sizes.s6; \
    const long ignored = (long)sizes.s3; \
    const uint fault_of = (uint)sizes.s7;

#define TARGET(line) ((long)TARGET_S(target, offset_target + (line)))
#define COUNTS(t) ((t) != ignored && (t) >= 0 && (t) < n)
#define CHECK(t) if (!COUNTS(t) && MEMBER == 0 && (t) != ignored) WRONG(t)
#define CLASS_WEIGHT(L) (has_weight ? WEIGHT_##L(weight, offset_weight + k) : ONE_##L)
#define FACTOR(t) \
    (!COUNTS(t) ? (T)0 : has_weight ? (T)WEIGHT_S(weight, offset_weight + (t)) : (T)1)
#define ONE_S (T)1
#define ONE_V (VECTOR)1

// One number per work group (many losses, so what rounding loses is kept: Kahan's sum), which `finish` puts together.
#define ADD_UP(line, loss, factor) \
    if (!reduction) { \
        OUT_SET_S(out, offset_out + (line), loss); \
    } else { \
        const T due_ = (loss) - lost, now_ = losses + due_; \
        lost = (now_ - losses) - due_; \
        losses = now_; \
        factors += factor; \
    }
#define PUT_PARTS \
    GROUP_FOLD(losses, ADDED) \
    GROUP_FOLD(factors, ADDED) \
    if (reduction && get_local_id(0) == 0) { \
        if (get_num_groups(0) == 1) { \
            OUT_SET_S(out, offset_out, reduction == 2 ? losses / factors : losses); \
        } else { \
            parts[2 * get_group_id(0)] = losses; \
            parts[2 * get_group_id(0) + 1] = factors; \
        } \
    }

#define SUM_OF_WEIGHTS \
    T total = 1; \
    if (reduction == 2) { \
        total = 0; \
        for (ulong i = 0; i < count; i++) total += parts[i]; \
        if (!count) { \
            for (ulong i = MEMBER; i < lines; i += TEAM) total += FACTOR(TARGET(i)); \
            TEAM_FOLD(total, ADDED) \
        } \
    }
#define SHARE(line) (G_S(grad, offset_grad + (reduction ? 0 : (line))) / total)

#if IS_LOSS
#define X(L) IN_##L(x, AT(k))
#define POWER(L) exp(IN_##L(x, AT(k)) - most)
#define SMOOTH(L) (CLASS_WEIGHT(L) * (X(L) - most - less))

kernel void cross_entropy(global OUT_MEMORY *out, global PROBABILITY_MEMORY *probabilities,
        global T *parts, global const IN_MEMORY *in, global const TARGET_MEMORY *target,
        global const WEIGHT_MEMORY *weight, global uint *faults,
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
        global const IN_MEMORY *x = in + offset_in + BASE(line);
        global PROBABILITY_MEMORY *y = probabilities + offset_probabilities + BASE(line);
        FOLD_LINE(most, n, -INFINITY, LARGER, X)
        FOLD_LINE(sum, n, 0, ADDED, POWER)
        const T less = log(sum);
#define SHARED(L) PROBABILITY_SET_##L(y, AT(k), POWER(L) / sum);
        WALK(n, SHARED)
        const long t = TARGET(line);
        CHECK(t)
        T loss = 0, smooth = 0;
        if (smoothing != 0) {
            FOLD_PART(smooth, n, 0, ADDED, SMOOTH)
            TEAM_FOLD(smooth, ADDED)
        }
        if (MEMBER == 0) {
            if (COUNTS(t)) {
                loss = (most + less - IN_S(x, AT(t))) * FACTOR(t);
                if (smoothing != 0) loss = loss * (1 - smoothing) - smooth * (smoothing / n);
            }
            ADD_UP(line, loss, FACTOR(t))
        }
    }
    PUT_PARTS
    REPORT(n)
}

kernel void nll_loss(global OUT_MEMORY *out, global T *parts, global const IN_MEMORY *in,
        global const TARGET_MEMORY *target, global const WEIGHT_MEMORY *weight, global uint *faults,
        ulong8 offsets, NUMBERS)
{
    TEAM_MEMORY
    const ulong offset_out = offsets.s0, offset_parts = offsets.s1, offset_in = offsets.s2;
    const ulong offset_target = offsets.s3, offset_weight = offsets.s4;
    SIZES
    WATCH
    T losses = 0, factors = 0, lost = 0;
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + BASE(line);
        const long t = TARGET(line);
        CHECK(t)
        T loss = 0;
        if (COUNTS(t)) loss = -IN_S(x, AT(t)) * FACTOR(t);
        ADD_UP(line, loss, FACTOR(t))
    }
    PUT_PARTS
    REPORT(n)
}
#endif

#if IS_FINISH
kernel void finish(global OUT_MEMORY *out, global const T *parts, ulong offset_out, ulong count,
        int reduction)
{
    TEAM_MEMORY
    T losses = 0, factors = 0;
    for (ulong i = get_local_id(0); i < count; i += get_local_size(0)) {
        losses += parts[2 * i];
        factors += parts[2 * i + 1];
    }
    GROUP_FOLD(losses, ADDED)
    GROUP_FOLD(factors, ADDED)
    if (get_local_id(0) == 0)
        OUT_SET_S(out, offset_out, reduction == 2 ? losses / factors : losses);
}
#endif

#if IS_WEIGHTS
kernel void weights(global T *parts, global const TARGET_MEMORY *target,
        global const WEIGHT_MEMORY *weight, ulong8 offsets, NUMBERS)
{
    TEAM_MEMORY
    const ulong offset_parts = offsets.s0, offset_target = offsets.s1;
    const ulong offset_weight = offsets.s2;
    SIZES
    T factors = 0;
    EACH_LINE(line, lines) { factors += FACTOR(TARGET(line)); }
    GROUP_FOLD(factors, ADDED)
    if (get_local_id(0) == 0) parts[get_group_id(0)] = factors;
}
#endif

#if IS_LOSS
kernel void cross_entropy_backward(global OUT_MEMORY *out, global const T *parts,
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
    if (smoothing != 0) {
        FOLD_PART(all, n, 0, ADDED, CLASS_WEIGHT)
        TEAM_FOLD(all, ADDED)
    }
    EACH_LINE(line, lines) {
        global const IN_MEMORY *p = in + offset_in + BASE(line);
        global OUT_MEMORY *y = out + offset_out + BASE(line);
        const long t = TARGET(line);
        CHECK(t)
        const T share = COUNTS(t) ? SHARE(line) : (T)0;
        const T hard = share * (1 - smoothing) * FACTOR(t), soft = share * (smoothing / n);
        const T whole = hard + soft * all;
#define PLAIN(L) OUT_SET_##L(y, AT(k), IN_##L(p, AT(k)) * whole);
#define SMOOTHED(L) OUT_SET_##L(y, AT(k), IN_##L(p, AT(k)) * whole - soft * CLASS_WEIGHT(L));
        if (smoothing != 0) {
            WALK(n, SMOOTHED)
        } else {
            WALK(n, PLAIN)
        }
        if (COUNTS(t) && t % TEAM == MEMBER) {
            const int k = (int)t;
            T slope = IN_S(p, AT(k)) * whole - hard;
            if (smoothing != 0) slope -= soft * CLASS_WEIGHT(S);
            OUT_SET_S(y, AT(k), slope);
        }
    }
    REPORT(n)
}

kernel void nll_loss_backward(global OUT_MEMORY *out, global const T *parts,
        global const G_MEMORY *grad, global const TARGET_MEMORY *target,
        global const WEIGHT_MEMORY *weight, global uint *faults,
        ulong8 offsets, NUMBERS)
{
    TEAM_MEMORY
    const ulong offset_out = offsets.s0, offset_parts = offsets.s1, offset_grad = offsets.s2;
    const ulong offset_target = offsets.s3, offset_weight = offsets.s4;
    SIZES
    WATCH
    SUM_OF_WEIGHTS
    EACH_LINE(line, lines) {
        global OUT_MEMORY *y = out + offset_out + BASE(line);
        const long t = TARGET(line);
        CHECK(t)
#define ZERO(L) OUT_SET_##L(y, AT(k), ZERO_##L);
        WALK(n, ZERO)
        if (COUNTS(t) && t % TEAM == MEMBER) OUT_SET_S(y, AT(t), -SHARE(line) * FACTOR(t));
    }
    REPORT(n)
}
#endif
