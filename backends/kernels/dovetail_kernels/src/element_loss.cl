// The sum of what each element of two dense tensors loses, divided by a number; one work group.
//
// T: what is computed in. TERM(x0, x1, x2, x3): the loss, of the input, the target and WEIGHTS more, each
// of which has elements for some last dims (`round` and `other_round` of them). PARAMETERS: numbers that it
// names. BY_WEIGHTS: the sum of the first of these weights is the divisor. GROUP: work items. REFUSALS: how
// many kinds of elements there are that it has no result for; REFUSED(x0, x1, x2): a bit for each (see fault.cl).

static T soft_plus(T x)
{
    const T more = log1p(exp(-fabs(x)));
    return x > 0 ? x + more : more;
}

static T at_least(T x, T low)
{
    return x != x || x >= low ? x : low;
}

#if REFUSALS
#define FAULTS , global uint *faults
#define FAULT_NUMBER , uint refused
#define LOOK(x, y, i) wrong |= REFUSED(x, y, WEIGHT(i));
#else
#define FAULTS
#define FAULT_NUMBER
#define LOOK(x, y, i)
#endif
#define LANES 8
#if WEIGHTS
#define WEIGHT_BUFFER , global const IN_MEMORY *weight
#define WEIGHT_NUMBER , uint round
#define WEIGHT(i) IN_LOAD(weight, (i) % round)
#else
#define WEIGHT_BUFFER
#define WEIGHT_NUMBER
#define WEIGHT(i) 1
#endif
#if WEIGHTS > 1
#define OTHER_BUFFER , global const IN_MEMORY *other
#define OTHER_NUMBER , uint other_round
#define OTHER(i) IN_LOAD(other, (i) % other_round)
#else
#define OTHER_BUFFER
#define OTHER_NUMBER
#define OTHER(i) 1
#endif
#define LOSS(i) TERM(x, y, WEIGHT(i), OTHER(i))
#if BY_WEIGHTS
#define WEIGH(sum, i) sum += WEIGHT(i);
#else
#define WEIGH(sum, i)
#endif

kernel void element_loss(global OUT_MEMORY *out, global const IN_MEMORY *input,
        global const IN_MEMORY *target WEIGHT_BUFFER OTHER_BUFFER FAULTS, ulong8 begin, uint count,
        T divisor WEIGHT_NUMBER OTHER_NUMBER PARAMETERS FAULT_NUMBER)
{
    int wrong = 0;
    input += begin.s1;
    target += begin.s2;
#if WEIGHTS
    weight += begin.s3;
#endif
#if WEIGHTS > 1
    other += begin.s4;
#endif
#if GROUP == 1
    T lane[LANES] = {0}, weighed[LANES] = {0};
    uint i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int l = 0; l < LANES; l++) {
            const T x = IN_LOAD(input, i + l), y = IN_LOAD(target, i + l);
            LOOK(x, y, i + l)
            lane[l] += LOSS(i + l);
            WEIGH(weighed[l], i + l)
        }
    for (; i < count; i++) {
        const T x = IN_LOAD(input, i), y = IN_LOAD(target, i);
        LOOK(x, y, i)
        lane[0] += LOSS(i);
        WEIGH(weighed[0], i)
    }
    for (int half_ = LANES / 2; half_; half_ /= 2)
        for (int l = 0; l < half_; l++) {
            lane[l] += lane[l + half_];
            weighed[l] += weighed[l + half_];
        }
    OUT_STORE(out, begin.s0, lane[0] / (BY_WEIGHTS ? weighed[0] : divisor));
#else
    local T value[GROUP], weighed[GROUP];
    const uint self = get_local_id(0);
    T sum = 0, weights = 0;
    for (uint i = self; i < count; i += GROUP) {
        const T x = IN_LOAD(input, i), y = IN_LOAD(target, i);
        LOOK(x, y, i)
        sum += LOSS(i);
        WEIGH(weights, i)
    }
    value[self] = sum;
    weighed[self] = weights;
    for (uint half_ = GROUP / 2; half_; half_ /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (self < half_) {
            value[self] += value[self + half_];
            weighed[self] += weighed[self + half_];
        }
    }
    if (self == 0) OUT_STORE(out, begin.s0, value[0] / (BY_WEIGHTS ? weighed[0] : divisor));
#endif
#if REFUSALS
    for (uint k = 0; k < REFUSALS; k++)
        if (wrong >> k & 1) report(faults, refused + k, 0, 0);
#endif
}
