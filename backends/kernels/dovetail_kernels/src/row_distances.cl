// Distances and cosines of rows, for row_loss.cl: IS_DISTANCE, IS_TRIPLET or IS_COSINE. Triplets by a norm:
// NORM 1, 2 or (0) the one that `p` says; IS_SWAPPED: by the smaller of two distances.

#define LANES 8

// The sum over a row of TERM of (i), by lanes.
#define SUM_OF_ROW(sum, TERM) \
    T sum; \
    { \
        T lane_[LANES] = {0}; \
        uint i = 0; \
        for (; i + LANES <= n; i += LANES) \
            for (int l_ = 0; l_ < LANES; l_++) lane_[l_] += TERM(i + l_); \
        for (; i < n; i++) lane_[0] += TERM(i); \
        for (int half_ = LANES / 2; half_; half_ /= 2) \
            for (int l_ = 0; l_ < half_; l_++) lane_[l_] += lane_[l_ + half_]; \
        sum = lane_[0]; \
    }

#define AWAY(y, i) (IN_LOAD(x0, first + (i)) - IN_LOAD(y, first + (i)) + eps)

static T squared(T v)
{
    return v * v;
}

static T by_length(T v, T length)
{
    return length == 0 ? 0 : v / length;
}

#define NEAR(i) squared(AWAY(x1, i))
#define FAR(i) squared(AWAY(x2, i))

#if IS_DISTANCE
#define PARAMETERS , T eps
#define LOSS SUM_OF_ROW(near, NEAR) loss = sqrt(near);
#define SLOPES \
    SUM_OF_ROW(near, NEAR) \
    near = sqrt(near); \
    for (uint i = 0; i < n; i++) OUT_STORE(y0, first + i, by_length(AWAY(x1, i), near) * part);
#endif

#if IS_TRIPLET
#if NORM == 1
#define SIZE(v) fabs(v)
#define ROOT(sum) (sum)
#define SLOPE(v, length) sign_of(v)
#elif NORM == 2
#define SIZE(v) squared(v)
#define ROOT(sum) sqrt(sum)
#define SLOPE(v, length) by_length(v, length)
#else
#define SIZE(v) pow(fabs(v), p)
#define ROOT(sum) pow(sum, 1 / p)
#define SLOPE(v, length) (sign_of(v) * pow(fabs(by_length(v, length)), p - 1))
#endif

static T sign_of(T v)
{
    return v > 0 ? (T)1 : v < 0 ? (T)-1 : v;
}

#define PARAMETERS , T eps, T margin, T p
#define BETWEEN(i) (IN_LOAD(x1, first + (i)) - IN_LOAD(x2, first + (i)) + eps)
#define NEAR_SIZE(i) SIZE(AWAY(x1, i))
#define FAR_SIZE(i) SIZE(AWAY(x2, i))
#define OTHER_SIZE(i) SIZE(BETWEEN(i))
#if IS_SWAPPED
#define OTHER \
    SUM_OF_ROW(other, OTHER_SIZE) \
    other = ROOT(other); \
    const T of_far_ = far < other ? (T)1 : far == other ? (T)0.5f : (T)0; \
    const T smaller_ = other < far || other != other ? other : far;
#define OF_OTHER const T w_ = SLOPE(BETWEEN(i), other) * kept_ * (1 - of_far_);
#else
#define OTHER const T of_far_ = 1, smaller_ = far;
#define OF_OTHER const T w_ = 0;
#endif
#define DISTANCES \
    SUM_OF_ROW(near, NEAR_SIZE) \
    SUM_OF_ROW(far, FAR_SIZE) \
    near = ROOT(near); \
    far = ROOT(far); \
    OTHER
#define LOSS \
    DISTANCES \
    loss = margin + near - smaller_; \
    loss = loss < 0 ? (T)0 : loss;
#define SLOPES \
    DISTANCES \
    const T kept_ = margin + near - smaller_ >= 0 ? part : (T)0; \
    for (uint i = 0; i < n; i++) { \
        const T u_ = SLOPE(AWAY(x1, i), near) * kept_; \
        const T v_ = SLOPE(AWAY(x2, i), far) * kept_ * of_far_; \
        OF_OTHER \
        OUT_STORE(y0, first + i, u_ - v_); \
        OUT_STORE(y1, first + i, -u_ - w_); \
        OUT_STORE(y2, first + i, v_ + w_); \
    }
#endif

#if IS_COSINE
#define PARAMETERS , T tiny, T margin
#define PRODUCT(i) (IN_LOAD(x0, first + (i)) * IN_LOAD(x1, first + (i)))
#define FIRST(i) squared(IN_LOAD(x0, first + (i)))
#define SECOND(i) squared(IN_LOAD(x1, first + (i)))
#define COSINE \
    SUM_OF_ROW(product, PRODUCT) \
    SUM_OF_ROW(one, FIRST) \
    SUM_OF_ROW(other, SECOND) \
    one += tiny; \
    other += tiny; \
    const T root_ = sqrt(one * other), cosine = product / root_; \
    const T sign_ = (T)TARGET_LOAD(x2, row);
#define LOSS \
    COSINE \
    if (sign_ == 1) loss = 1 - cosine; \
    if (sign_ == -1) loss = cosine - margin < 0 ? (T)0 : cosine - margin;
#define SLOPES \
    COSINE \
    const T kept_ = sign_ == 1 ? -part : sign_ == -1 && cosine - margin >= 0 ? part : (T)0; \
    for (uint i = 0; i < n; i++) { \
        const T u_ = IN_LOAD(x0, first + i), v_ = IN_LOAD(x1, first + i); \
        OUT_STORE(y0, first + i, kept_ * (v_ / root_ - u_ * (cosine / one))); \
        OUT_STORE(y1, first + i, kept_ * (u_ / root_ - v_ * (cosine / other))); \
    }
#endif
