// Steps of optimizers over up to MANY tensors in one launch.
//
// EACH_TENSOR(DO): DO(t) for t of 0 … MANY - 1; a tensor that is not there has size 0. Buffers are
// named p0, p1, … (parameters), g (gradients), and so on; ARGUMENTS lists them. On a CPU, work items
// share out every tensor. On a GPU, work groups take chunks of CHUNK elements, of which those of
// tensor t are numbers chunks.at[t] and on, and read and write packs of W elements.

typedef struct { ulong at[MANY]; } Numbers;
typedef struct { T at[MANY]; } Rates;

#if IS_SGD
#define NAME sgd
#define IF_COUNTED(...)
#if HAS_BUFFER
#define IF_EXTRA(...) __VA_ARGS__
#else
#define IF_EXTRA(...)
#endif
#define BUFFERS(t) global T *p##t, global const T *g##t IF_EXTRA(, global T *b##t)
#define EACH_ARRAY(DO, t) DO(p, t) IF_EXTRA(DO(b, t))
#define PLACES Numbers at_p, Numbers at_g IF_EXTRA(, Numbers at_b)
#define RATES T lr, T momentum, T undamped, T weight_decay
#define TENSOR(t)
#define OF_TENSOR
#define TENSOR_KNOWN

#if HAS_BUFFER && IS_FIRST
#define KEPT(b) b = update;
#elif HAS_BUFFER
#define KEPT(b) b = b * momentum + update * undamped;
#else
#define KEPT(b)
#endif
#if HAS_BUFFER && IS_NESTEROV
#define MOVED(b) update + b * momentum
#elif HAS_BUFFER
#define MOVED(b) b
#else
#define MOVED(b) update
#endif
#define UPDATE(AT) { \
        T update = MAXIMIZES ? -AT(g) : AT(g); \
        if (HAS_DECAY) update += AT(p) * weight_decay; \
        KEPT(AT(b)) \
        AT(p) -= (MOVED(AT(b))) * lr; \
    }
#endif

#if IS_ADAM
#define NAME adam
#if HAS_LARGEST
#define IF_EXTRA(...) __VA_ARGS__
#else
#define IF_EXTRA(...)
#endif
#if IS_COUNTED
#define IF_COUNTED(...) __VA_ARGS__
#else
#define IF_COUNTED(...)
#endif
#define BUFFERS(t) \
    global T *p##t, global const T *g##t, global T *m##t, global T *v##t \
    IF_EXTRA(, global T *l##t) IF_COUNTED(, global const COUNT *c##t)
#define EACH_ARRAY(DO, t) DO(p, t) DO(m, t) DO(v, t) IF_EXTRA(DO(l, t))
#define PLACES Numbers at_p, Numbers at_g, Numbers at_m, Numbers at_v IF_EXTRA(, Numbers at_l) \
    IF_COUNTED(, Numbers at_c)

// rates: lr * root / (1 - beta1^step), with root = sqrt(1 - beta2^step) taken to the other side of
// m / (sqrt(v) / root + eps); eps is that of each tensor times root. IS_COUNTED: the steps are read
// from c; rates are then lr, eps, and the logarithms of beta1 and beta2.
#define RATES Rates rates, Rates eps, T old_mean, T new_mean, T old_square, T new_square, \
    T shrink, T weight_decay
#if IS_COUNTED
#define OF_TENSOR T rate, least, step = 0;
#define TENSOR(t) step = c##t[at_c.at[t]];
#define TENSOR_KNOWN \
    const T root = sqrt(-expm1(step * rates.at[3])); \
    rate = rates.at[0] * root / -expm1(step * rates.at[2]); \
    least = rates.at[1] * root;
#else
#define OF_TENSOR T rate = 0, least = 0;
#define TENSOR(t) rate = rates.at[t]; least = eps.at[t];
#define TENSOR_KNOWN
#endif
#define UPDATE(AT) { \
        const T value = AT(p) * shrink; \
        T update = MAXIMIZES ? -AT(g) : AT(g); \
        if (HAS_DECAY) update += value * weight_decay; \
        const T mean = AT(m) + (update - AT(m)) * new_mean; \
        T square = AT(v) * old_square + update * update * new_square; \
        AT(m) = mean; \
        AT(v) = square; \
        IF_EXTRA(square = AT(l) > square || AT(l) != AT(l) ? AT(l) : square; AT(l) = square;) \
        AT(p) = value - rate * (mean / (sqrt(square) + least)); \
    }
#endif

#if IS_RUNNING
#define NAME running
#define BUFFERS(t) global T *p##t, global const T *g##t
#define EACH_ARRAY(DO, t) DO(p, t)
#define PLACES Numbers at_p, Numbers at_g
#define RATES Rates weights, T keep
#define OF_TENSOR T weight = 0;
#define TENSOR(t) weight = weights.at[t];
#define TENSOR_KNOWN
#define UPDATE(AT) { AT(p) = AT(p) * keep + AT(g) * weight; }
#endif

#define ELEMENT(name) name[i]

#if IS_CPU
kernel void NAME(ARGUMENTS, Numbers sizes, PLACES, RATES)
{
#define FOUND(name, t) global T *restrict name = name##t + at_##name.at[t];
#define DO(t) { \
        EACH_ARRAY(FOUND, t) \
        global const T *restrict g = g##t + at_g.at[t]; \
        OF_TENSOR \
        TENSOR(t) \
        TENSOR_KNOWN \
        const ulong share_ = (sizes.at[t] + get_global_size(0) - 1) / get_global_size(0); \
        const ulong begin_ = get_global_id(0) * share_; \
        const ulong end_ = min(sizes.at[t], begin_ + share_); \
        for (ulong i = begin_; i < end_; i++) UPDATE(ELEMENT) \
    }
    EACH_TENSOR(DO)
}
#else
typedef struct __attribute__((aligned(16))) { T at[W]; } Pack;

kernel void NAME(ARGUMENTS, Numbers sizes, PLACES, Numbers chunks, ulong count, RATES)
{
    for (ulong chunk = get_group_id(0); chunk < count; chunk += get_num_groups(0)) {
        int t = -1;
        _Pragma("unroll")
        for (int j = 0; j < MANY; j++) t += (uint)chunk >= (uint)chunks.at[j];
        ulong begin = 0, size = 0;
        global const T *g;
#define DECLARED(name, t) global T *name;
        EACH_ARRAY(DECLARED, 0)
        OF_TENSOR
        switch (t) {
#define TAKEN(name, t) name = name##t + at_##name.at[t];
#define CASE(t) case t: { \
            begin = (chunk - chunks.at[t]) * CHUNK; \
            size = sizes.at[t]; \
            g = g##t + at_g.at[t]; \
            EACH_ARRAY(TAKEN, t) \
            TENSOR(t) \
        } break;
        EACH_TENSOR(CASE)
        }
        TENSOR_KNOWN
        const int n = (int)min((ulong)CHUNK, size - begin);
        g += begin;
        ulong places = (ulong)g;
#define MOVED_ON(name, t) name += begin; places |= (ulong)name;
        EACH_ARRAY(MOVED_ON, t)
        const int packs = places % 16 ? 0 : n / W;
        for (int k = get_local_id(0); k < packs; k += get_local_size(0)) {
            const Pack pack_g = ((global const Pack *)g)[k];
#define READ(name, t) Pack pack_##name = ((global Pack *)name)[k];
            EACH_ARRAY(READ, t)
#define IN_PACK(name) pack_##name.at[j]
            _Pragma("unroll")
            for (int j = 0; j < W; j++) UPDATE(IN_PACK)
#define WRITE(name, t) ((global Pack *)name)[k] = pack_##name;
            EACH_ARRAY(WRITE, t)
        }
        for (int i = packs * W + get_local_id(0); i < n; i += get_local_size(0)) UPDATE(ELEMENT)
    }
}
#endif
