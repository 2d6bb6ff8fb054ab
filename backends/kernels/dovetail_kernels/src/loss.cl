// cross_entropy and nll_loss of (outer, n classes, inner), with their gradients.
//
// A line is a vector of classes; its target is target[line]. Targets that are `ignored`, or no class,
// count for nothing. REDUCTION: 0 none, 1 sum, 2 mean. HAS_WEIGHT; SMOOTHS: label_smoothing is not 0.
// COUNTS_ITSELF: the weights of all targets are added up by every team, else they come in `parts`.

#define NUMBERS ulong lines, int n, ulong inner, long ignored, ulong count, T smoothing

#define TARGET(line) ((long)TARGET_S(target, offset_target + (line)))
#define COUNTS(t) ((t) != ignored && (t) >= 0 && (t) < n)
#if HAS_WEIGHT
#define CLASS_WEIGHT(L) WEIGHT_##L(weight, offset_weight + k)
#define FACTOR(t) (COUNTS(t) ? WEIGHT_S(weight, offset_weight + (t)) : (T)0)
#else
#define CLASS_WEIGHT(L) 1
#define FACTOR(t) (COUNTS(t) ? (T)1 : (T)0)
#endif

#if REDUCTION == 0
#define ADD_UP(line, loss, factor) OUT_SET_S(out, offset_out + (line), loss);
#define PUT_PARTS
#else
// One number per work group (many losses, so what rounding loses is kept: Kahan's sum), which `finish` puts together.
#define ADD_UP(line, loss, factor) \
    { \
        const T due_ = (loss) - lost, now_ = losses + due_; \
        lost = (now_ - losses) - due_; \
        losses = now_; \
        factors += factor; \
    }
#define PUT_PARTS \
    GROUP_FOLD(losses, ADDED) \
    GROUP_FOLD(factors, ADDED) \
    if (get_local_id(0) == 0) { \
        if (get_num_groups(0) == 1) { \
            OUT_SET_S(out, offset_out, REDUCTION == 2 ? losses / factors : losses); \
        } else { \
            parts[2 * get_group_id(0)] = losses; \
            parts[2 * get_group_id(0) + 1] = factors; \
        } \
    }
#endif

#if IS_CROSS_ENTROPY && BY_LINES
#define SMOOTH(L) (CLASS_WEIGHT(L) * (X(L) - most - less))

kernel SIZED(GROUP) void cross_entropy(global OUT_MEMORY *out,
        global PROBABILITY_MEMORY *probabilities,
        global T *parts, global const IN_MEMORY *in, global const TARGET_MEMORY *target,
        global const WEIGHT_MEMORY *weight, ulong offset_out, ulong offset_probabilities,
        ulong offset_parts, ulong offset_in, ulong offset_target, ulong offset_weight, NUMBERS)
{
    TEAM_MEMORY
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
}
#elif IS_CROSS_ENTROPY
#define X(L) IN_##L(x, AT(k))
#define POWER(L) exp(IN_##L(x, AT(k)) - most)
#define SMOOTH(L) (CLASS_WEIGHT(L) * (X(L) - most - less))

kernel void cross_entropy(global OUT_MEMORY *out, global PROBABILITY_MEMORY *probabilities,
        global T *parts, global const IN_MEMORY *in, global const TARGET_MEMORY *target,
        global const WEIGHT_MEMORY *weight, ulong offset_out, ulong offset_probabilities,
        ulong offset_parts, ulong offset_in, ulong offset_target, ulong offset_weight, NUMBERS)
{
    TEAM_MEMORY
    T losses = 0, factors = 0, lost = 0;
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + BASE(line);
        global PROBABILITY_MEMORY *y = probabilities + offset_probabilities + BASE(line);
        FOLD_LINE(most, n, -INFINITY, LARGER, X)
        FOLD_LINE(sum, n, 0, ADDED, POWER)
        const T less = log(sum);
#define DO(L) PROBABILITY_SET_##L(y, AT(k), POWER(L) / sum);
        WALK(n, DO)
        const long t = TARGET(line);
        T loss = 0;
#if SMOOTHS
        FOLD_LINE(smooth, n, 0, ADDED, SMOOTH)
#endif
        if (MEMBER == 0) {
            if (COUNTS(t)) {
                loss = (most + less - IN_S(x, AT(t))) * FACTOR(t);
#if SMOOTHS
                loss = loss * (1 - smoothing) - smooth * (smoothing / n);
#endif
            }
            ADD_UP(line, loss, FACTOR(t))
        }
    }
    PUT_PARTS
}
#endif

#if IS_NLL
kernel void nll_loss(global OUT_MEMORY *out, global T *parts, global const IN_MEMORY *in,
        global const TARGET_MEMORY *target, global const WEIGHT_MEMORY *weight, ulong offset_out,
        ulong offset_parts, ulong offset_in, ulong offset_target, ulong offset_weight, NUMBERS)
{
    TEAM_MEMORY
    T losses = 0, factors = 0, lost = 0;
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + BASE(line);
        const long t = TARGET(line);
        T loss = 0;
        if (COUNTS(t)) loss = -IN_S(x, AT(t)) * FACTOR(t);
        ADD_UP(line, loss, FACTOR(t))
    }
    PUT_PARTS
}
#endif

#if IS_FINISH
kernel void finish(global OUT_MEMORY *out, global const T *parts, ulong offset_out, ulong count)
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
        OUT_SET_S(out, offset_out, REDUCTION == 2 ? losses / factors : losses);
}
#endif

#if IS_WEIGHTS
kernel void weights(global T *parts, global const TARGET_MEMORY *target,
        global const WEIGHT_MEMORY *weight, ulong offset_parts, ulong offset_target,
        ulong offset_weight, NUMBERS)
{
    TEAM_MEMORY
    T factors = 0;
    EACH_LINE(line, lines) { factors += FACTOR(TARGET(line)); }
    GROUP_FOLD(factors, ADDED)
    if (get_local_id(0) == 0) parts[get_group_id(0)] = factors;
}
#endif

#if IS_BACKWARD
#define SUM_OF_WEIGHTS \
    T total = 1; \
    if (REDUCTION == 2) { \
        total = 0; \
        if (COUNTS_ITSELF) { \
            for (ulong i = MEMBER; i < lines; i += TEAM) total += FACTOR(TARGET(i)); \
            TEAM_FOLD(total, ADDED) \
        } else { \
            for (ulong i = 0; i < count; i++) total += parts[i]; \
        } \
    }
#define SHARE(line) (G_S(grad, offset_grad + (REDUCTION ? 0 : (line))) / total)

#if BY_LINES
kernel SIZED(GROUP) void cross_entropy_backward(global OUT_MEMORY *out, global const T *parts,
        global const G_MEMORY *grad, global const IN_MEMORY *in, global const TARGET_MEMORY *target,
        global const WEIGHT_MEMORY *weight, ulong offset_out, ulong offset_parts,
        ulong offset_grad, ulong offset_in, ulong offset_target, ulong offset_weight, NUMBERS)
{
    TEAM_MEMORY
    SUM_OF_WEIGHTS
#if SMOOTHS
    T all = 0;
    for (int k = MEMBER; k < n; k += TEAM) all += CLASS_WEIGHT(S);
    TEAM_FOLD(all, ADDED)
#endif
    EACH_LINE(line, lines) {
        global const IN_MEMORY *p = in + offset_in + line * n;
        global OUT_MEMORY *y = out + offset_out + line * n;
        const long t = TARGET(line);
        const int hit = COUNTS(t) ? (int)t : -1;
        const T share = hit < 0 ? (T)0 : SHARE(line);
#if SMOOTHS
        const T hard = share * (1 - smoothing) * FACTOR(t), soft = share * (smoothing / n);
        const T whole = hard + soft * all;
#define SLOPE(L) (IN_##L(p, k) * whole - soft * CLASS_WEIGHT(L) - (k == hit ? hard : 0))
#else
        const T hard = share * FACTOR(t);
#define SLOPE(L) (IN_##L(p, k) * hard - (k == hit ? hard : 0))
#endif
        HOLD(IN, p)
        SET_LINE(OUT, y, SLOPE, AGAIN(IN, p))
    }
}
#else
kernel void cross_entropy_backward(global OUT_MEMORY *out, global const T *parts,
        global const G_MEMORY *grad, global const IN_MEMORY *in, global const TARGET_MEMORY *target,
        global const WEIGHT_MEMORY *weight, ulong offset_out, ulong offset_parts,
        ulong offset_grad, ulong offset_in, ulong offset_target, ulong offset_weight, NUMBERS)
{
    TEAM_MEMORY
    SUM_OF_WEIGHTS
#if SMOOTHS
    FOLD_LINE(all, n, 0, ADDED, CLASS_WEIGHT)
#endif
    EACH_LINE(line, lines) {
        global const IN_MEMORY *p = in + offset_in + BASE(line);
        global OUT_MEMORY *y = out + offset_out + BASE(line);
        const long t = TARGET(line);
        const T share = COUNTS(t) ? SHARE(line) : (T)0;
#if SMOOTHS
        const T hard = share * (1 - smoothing) * FACTOR(t), soft = share * (smoothing / n);
        const T whole = hard + soft * all;
#define SLOPE(L) (IN_##L(p, AT(k)) * whole - soft * CLASS_WEIGHT(L))
#else
        const T hard = share * FACTOR(t), whole = hard;
#define SLOPE(L) (IN_##L(p, AT(k)) * whole)
#endif
#define DO(L) OUT_SET_##L(y, AT(k), SLOPE(L));
        WALK(n, DO)
        if (COUNTS(t) && t % TEAM == MEMBER) {
            const int k = (int)t;
            OUT_SET_S(y, AT(k), SLOPE(S) - hard);
        }
    }
}

kernel void nll_loss_backward(global OUT_MEMORY *out, global const T *parts,
        global const G_MEMORY *grad, global const TARGET_MEMORY *target,
        global const WEIGHT_MEMORY *weight, ulong offset_out, ulong offset_parts,
        ulong offset_grad, ulong offset_target, ulong offset_weight, NUMBERS)
{
    TEAM_MEMORY
    SUM_OF_WEIGHTS
    EACH_LINE(line, lines) {
        global OUT_MEMORY *y = out + offset_out + BASE(line);
        const long t = TARGET(line);
#define ZERO(L) OUT_SET_##L(y, AT(k), ZERO_##L);
        WALK(n, ZERO)
        if (COUNTS(t) && t % TEAM == MEMBER) OUT_SET_S(y, AT(t), -SHARE(line) * FACTOR(t));
    }
}
#endif
#endif
