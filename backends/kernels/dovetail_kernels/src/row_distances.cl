// Distances and cosines of rows, for row_loss.cl: IS_DISTANCE, IS_TRIPLET or IS_COSINE.

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
#define PARAMETERS , T eps, T margin
#define LOSS \
    SUM_OF_ROW(near, NEAR) \
    SUM_OF_ROW(far, FAR) \
    loss = margin + sqrt(near) - sqrt(far); \
    loss = loss < 0 ? (T)0 : loss;
#define SLOPES \
    SUM_OF_ROW(near, NEAR) \
    SUM_OF_ROW(far, FAR) \
    near = sqrt(near); \
    far = sqrt(far); \
    const T kept_ = margin + near - far >= 0 ? part : (T)0; \
    for (uint i = 0; i < n; i++) { \
        const T u_ = by_length(AWAY(x1, i), near) * kept_; \
        const T v_ = by_length(AWAY(x2, i), far) * kept_; \
        OUT_STORE(y0, first + i, u_ - v_); \
        OUT_STORE(y1, first + i, -u_); \
        OUT_STORE(y2, first + i, v_); \
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
