// Likelihoods of sequences of labels over all alignments, and their gradient (see fused/ctc.py).
//
// A work group, on the host's cores a work item, takes a sequence through all steps. Its 2 labels + 1 states
// are a blank before, between and after the labels; V is W states. A row of `row` numbers has two that
// cannot be in front of the states and two behind. sizes: steps, sequences, classes, labels at most.
// Everything is a logarithm; NEVER is that of what cannot be, and finite, so that differences are numbers.

#define NEVER ((T)-1e30f)

#if W > 1
#define AT(p, i) vloadW(0, (p) + (i))
#define PUT(v, p, i) vstoreW(v, 0, (p) + (i))
#if W == 16 && defined(__AVX512F__) && __has_builtin(__builtin_ia32_gathersiv16sf)
#define PICKED(p, i) __builtin_ia32_gathersiv16sf((float16)0, (const void *)(ulong)(p), vload16(0, i), (ushort)-1, 4)
#else
static V picked(global const T *p, global const int *i)
{
    T value[W];
    for (int j = 0; j < W; j++) value[j] = p[i[j]];
    return vloadW(0, value);
}
#define PICKED(p, i) picked(p, i)
#endif
#else
#define AT(p, i) (p)[i]
#define PUT(v, p, i) (p)[i] = (v)
#define PICKED(p, i) (p)[*(i)]
#endif

// log(exp(a) + exp(b) + exp(c))
static V joined(V a, V b, V c)
{
    V most = a > b ? a : b;
    most = most > c ? most : c;
    return most + LOG(EXP(a - most) + EXP(b - most) + EXP(c - most));
}

static V seen_of(global const T *log_probs, global const int *label)
{
    const V v = PICKED(log_probs, label);
    return v < (V)NEVER ? (V)NEVER : v;
}

#define NUMBERS global const T *log_probs, global const long *targets, global const long *steps, \
    global const long *labels, global T *room, global uint *faults, ulong8 begin, int4 sizes, int blank, \
    int row, uint fault_of

// The lengths of a sequence, its states' classes, and what it costs to come to a state from two before it.
#define SEQUENCE(n, begin_probs, first) \
    const int count = (int)min(max(steps[begin.s##first + n], (long)0), (long)sizes.x); \
    const int said = (int)min(max(labels[begin.SECOND + n], (long)0), (long)sizes.w); \
    const int states = 2 * said + 1; \
    for (int s = MEMBER; s < row; s += MEMBERS) { \
        long given = s & 1 && s < states ? targets[begin.TARGETS + (ulong)n * sizes.w + s / 2] : blank; \
        if (given < 0 || given >= sizes.z) { \
            WRONG(given) \
            given = blank; \
        } \
        label[s] = (int)given; \
    } \
    SYNC \
    for (int s = MEMBER; s < row; s += MEMBERS) { \
        const int skips = s > 1 && s < states && label[s] != blank && label[s] != label[s - 2]; \
        skip[s] = skips ? (T)0 : NEVER; \
    } \
    const ulong every = (ulong)sizes.y * sizes.z; \
    global const T *probs = log_probs + begin.begin_probs + (ulong)n * sizes.z;

// The first row, what two states can begin with.
#define BEGIN(to) \
    for (int s = MEMBER * W; s < states; s += MEMBERS * W) { \
        const V v = seen_of(probs, label + s); \
        PUT(IOTA + s < 2 ? v : (V)NEVER, to, s + 2); \
    }

// The next row, of those that can be come from.
#define GO_ON(from, to, t) \
    for (int s = MEMBER * W; s < states; s += MEMBERS * W) { \
        const V come = joined(AT(from, s + 2), AT(from, s + 1), AT(from, s) + AT(skip, s)); \
        PUT(come + seen_of(probs + (ulong)(t) * every, label + s), to, s + 2); \
    }

#define EDGES(p) if (MEMBER == 0) (p)[0] = (p)[1] = NEVER;

#if IS_FORWARD
#define SECOND s4
#define TARGETS s2
kernel void ctc_losses(global T *out, NUMBERS)
{
    WATCH
    for (int n = get_group_id(0); n < sizes.y; n += get_num_groups(0)) {
        global T *skip = room + get_group_id(0) * 4 * (ulong)row, *from = skip + row, *to = from + row;
        global int *label = (global int *)(to + row);
        SEQUENCE(n, s1, 3)
        EDGES(from)
        EDGES(to)
        BEGIN(from)
        SYNC
        for (int t = 1; t < count; t++) {
            GO_ON(from, to, t)
            SYNC
            global T *other = from;
            from = to;
            to = other;
        }
        if (MEMBER == 0) {
            T found = said ? NEVER : (T)0;
            if (count) {
                const T a = from[2 * said + 2], b = said ? from[2 * said + 1] : NEVER;
                const T most = a > b ? a : b;
                found = most + log(exp(a - most) + exp(b - most));
            }
            out[begin.s0 + n] = found > NEVER / 2 ? -found : (T)INFINITY;
        }
        SYNC
    }
    REPORT(sizes.z)
}
#else
#define SECOND s6
#define TARGETS s4
kernel void ctc_loss_backward(global T *out, global const T *grad, global const T *losses, NUMBERS,
        int is_lost, int normalised)
{
    WATCH
#if !IS_CPU
    local T shared[GROUP];
#endif
    const ulong each = (ulong)(sizes.x + 5) * row;
    for (int n = get_group_id(0); n < sizes.y; n += get_num_groups(0)) {
        global T *skip = room + get_group_id(0) * each, *from = skip + row, *to = from + row;
        global T *shares = to + row, *alpha = shares + row;
        global int *label = (global int *)(alpha + (ulong)sizes.x * row);
        const T g = grad[begin.s1 + n], loss = losses[begin.s2 + n];
        const int is_possible = loss - loss == (T)0;
        const T otherwise = (is_lost ? (T)NAN : (T)0) * g;
        SEQUENCE(n, s3, 5)
        global T *made = out + begin.s0 + (ulong)n * sizes.z;
        for (int t = 0; t < sizes.x; t++)
            for (int c = MEMBER; c < sizes.z; c += MEMBERS) {
                T v = t < count && !is_possible ? otherwise : (T)0;
                if (normalised && t < count && is_possible) v = exp(probs[t * every + c]) * g;
                made[t * every + c] = v;
            }
        if (!is_possible || !count) {
            SYNC
            continue;
        }
        for (int t = 0; t < count; t++) EDGES(alpha + (ulong)t * row)
        SYNC
        BEGIN(alpha)
        SYNC
        for (int t = 1; t < count; t++) {
            GO_ON(alpha + (ulong)(t - 1) * row, alpha + (ulong)t * row, t)
            SYNC
        }
        for (int s = MEMBER; s < row; s += MEMBERS) from[s] = to[s] = NEVER;
        SYNC
        for (int t = count - 1; t >= 0; t--) {
            global const T *here = alpha + (ulong)t * row;
            global T *classes = made + t * every;
            V blanks = (V)0;
            for (int s = MEMBER * W; s < states; s += MEMBERS * W) {
                const V seen = seen_of(probs + t * every, label + s);
                V beta = joined(AT(from, s), AT(from, s + 1), AT(from, s + 2) + AT(skip, s + 2)) + seen;
                if (t == count - 1) beta = IOTA + s >= states - 2 ? seen : (V)NEVER;
                beta = IOTA + s < states ? beta : (V)NEVER;
                PUT(beta, to, s);
                V share = EXP(AT(here, s + 2) + beta - seen + loss);
                share = IOTA + s < states ? share : (V)0;
#if W > 1
                blanks += share;
                T value[W];
                vstoreW(share * g, 0, value);
                for (int j = 1; j < W; j += 2)
                    if (s + j < states) classes[label[s + j]] -= value[j];
#else
                shares[s] = share;
                if (label[s] == blank) blanks += share;
#endif
            }
#if W > 1
            T value[W], sum = (T)0;
            vstoreW(blanks, 0, value);
            for (int j = 0; j < W; j += 2) sum += value[j];
            classes[blank] -= sum * g;
#else
            // The shares of equal labels are added up by whoever has the first of them.
            shared[MEMBER] = blanks;
            SYNC
            for (int half_ = MEMBERS / 2; half_; half_ /= 2) {
                if (MEMBER < half_) shared[MEMBER] += shared[MEMBER + half_];
                SYNC
            }
            if (MEMBER == 0) classes[blank] -= shared[0] * g;
            for (int s = 2 * MEMBER + 1; s < states; s += 2 * MEMBERS) {
                if (label[s] == blank) continue;
                T sum = shares[s];
                int is_first = 1;
                for (int k = 1; k < s; k += 2) is_first &= label[k] != label[s];
                if (!is_first) continue;
                for (int k = s + 2; k < states; k += 2) sum += label[k] == label[s] ? shares[k] : (T)0;
                classes[label[s]] -= sum * g;
            }
            SYNC
#endif
            global T *other = from;
            from = to;
            to = other;
        }
        SYNC
    }
    REPORT(sizes.z)
}
#endif
