// Powers of a line's elements relative to its largest: see lines.cl.

#define X(L) IN_##L(x, k)
#define POWER(L) exp(IN_##L(x, k) - most)

#if !HELD
// A sum of powers relative to `old`, relative to `now`.
static inline T moved(T sum, T old, T now)
{
    return old == -INFINITY ? sum : sum * exp(old - now);
}

// The largest, and the sum of powers relative to it, in one walk. `part_` is of up to PACKS packs.
#define JOINED(top, POWERS) \
    if (top > most) { \
        sum = moved(sum, most, top); \
        part_ = moved(part_, most, top); \
        most = top; \
    } \
    { const T base_ = most == -INFINITY ? 0 : most; POWERS }
#define MOST_AND_SUM \
    T most = -INFINITY, sum = 0, part_ = 0; \
    int packs_ = 0; \
    WALK(AGAIN(IN, x) T top_ = x_held[0]; \
        EACH_OF_PACK top_ = fmax(top_, x_held[j_]); \
        JOINED(top_, EACH_OF_PACK part_ += exp(x_held[j_] - base_);) \
        if (++packs_ % PACKS == 0) { sum += part_; part_ = 0; }, \
        const T one_ = IN_S(x, k); JOINED(one_, sum += exp(one_ - base_);)) \
    sum += part_; \
    const T own_ = most; \
    TEAM_FOLD(most, LARGER) \
    sum = moved(sum, own_, most); \
    TEAM_FOLD(sum, ADDED)
#endif
