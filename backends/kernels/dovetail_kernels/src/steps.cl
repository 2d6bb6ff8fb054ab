// Steps of optimizers over up to eight tensors in one launch.
//
// EACH_TENSOR(DO): DO(t) for t of 0 … 7; a tensor that is not there has size 0. Buffers are named
// p0 … p7 (parameters), g (gradients), and so on; ARGUMENTS lists them. Work items share out every
// tensor, so that it does not matter how their sizes differ.

#define EACH_ELEMENT(i, n) \
    const ulong share_ = IS_CPU ? ((n) + get_global_size(0) - 1) / get_global_size(0) : 1; \
    const ulong begin_ = get_global_id(0) * share_; \
    const ulong end_ = IS_CPU ? min((ulong)(n), begin_ + share_) : (ulong)(n); \
    for (ulong i = begin_; i < end_; i += IS_CPU ? 1 : get_global_size(0))

#define AT(name, t) (name##t + at_##name.s##t)

#if IS_SGD
#define BUFFERS(t) global T *p##t, global const T *g##t IF_BUFFER(, global T *b##t)
#if HAS_BUFFER
#define IF_BUFFER(...) __VA_ARGS__
#else
#define IF_BUFFER(...)
#endif

kernel void sgd(ARGUMENTS, ulong8 sizes, ulong8 at_p, ulong8 at_g IF_BUFFER(, ulong8 at_b),
        T lr, T momentum, T undamped, T weight_decay)
{
#if HAS_BUFFER && IS_FIRST
#define KEPT b[i] = update;
#elif HAS_BUFFER
#define KEPT b[i] = b[i] * momentum + update * undamped;
#else
#define KEPT
#endif
#if HAS_BUFFER && IS_NESTEROV
#define MOVED update + b[i] * momentum
#elif HAS_BUFFER
#define MOVED b[i]
#else
#define MOVED update
#endif
#define DO(t) { \
        global T *restrict p = AT(p, t); \
        global const T *restrict g = AT(g, t); \
        IF_BUFFER(global T *restrict b = AT(b, t);) \
        EACH_ELEMENT(i, sizes.s##t) { \
            T update = MAXIMIZES ? -g[i] : g[i]; \
            if (HAS_DECAY) update += p[i] * weight_decay; \
            KEPT \
            p[i] -= (MOVED) * lr; \
        } \
    }
    EACH_TENSOR(DO)
}
#endif

#if IS_ADAM
#if HAS_LARGEST
#define IF_LARGEST(...) __VA_ARGS__
#else
#define IF_LARGEST(...)
#endif
#define BUFFERS(t) \
    global T *p##t, global const T *g##t, global T *m##t, global T *v##t \
    IF_LARGEST(, global T *l##t)

// rates: lr * root / (1 - beta1^step), with root = sqrt(1 - beta2^step) taken to the other side of
// m / (sqrt(v) / root + eps); eps is that of each tensor times root.
kernel void adam(ARGUMENTS, ulong8 sizes, ulong8 at_p, ulong8 at_g, ulong8 at_m, ulong8 at_v
        IF_LARGEST(, ulong8 at_l), T8 rates, T8 eps, T old_mean, T new_mean, T old_square,
        T new_square, T shrink, T weight_decay)
{
#define DO(t) { \
        global T *restrict p = AT(p, t), *restrict m = AT(m, t), *restrict v = AT(v, t); \
        global const T *restrict g = AT(g, t); \
        IF_LARGEST(global T *restrict l = AT(l, t);) \
        const T rate = rates.s##t, least = eps.s##t; \
        EACH_ELEMENT(i, sizes.s##t) { \
            T value = p[i] * shrink; \
            T update = MAXIMIZES ? -g[i] : g[i]; \
            if (HAS_DECAY) update += value * weight_decay; \
            const T mean = m[i] + (update - m[i]) * new_mean; \
            T square = v[i] * old_square + update * update * new_square; \
            m[i] = mean; \
            v[i] = square; \
            IF_LARGEST(square = l[i] > square || l[i] != l[i] ? l[i] : square; l[i] = square;) \
            p[i] = value - rate * (mean / (sqrt(square) + least)); \
        } \
    }
    EACH_TENSOR(DO)
}
#endif

#if IS_RUNNING
#define BUFFERS(t) global T *p##t, global const T *g##t
kernel void running(ARGUMENTS, ulong8 sizes, ulong8 at_p, ulong8 at_g, T8 weights, T keep)
{
#define DO(t) { \
        global T *restrict p = AT(p, t); \
        global const T *restrict g = AT(g, t); \
        EACH_ELEMENT(i, sizes.s##t) p[i] = p[i] * keep + g[i] * weights.s##t; \
    }
    EACH_TENSOR(DO)
}
#endif
