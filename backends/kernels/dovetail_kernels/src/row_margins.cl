// Margins between the classes of a row, for row_loss.cl: of one class (IS_MULTI), whose weight is of
// the last tensor where HAS_WEIGHT, or of labels (IS_LABELS), up to the first -1. A class that there is not
// is reported, and its row loses nothing (see fault.cl).

#define X(i) IN_LOAD(x0, first + (i))

#if IS_MULTI
#define PARAMETERS , T margin
#if HAS_WEIGHT
#define CLASS_WEIGHT IN_LOAD(x2, (ulong)t)
#else
#define CLASS_WEIGHT 1
#endif
#define GAP(i) (margin - own_ + X(i))
#define TARGETED \
    const long t = (long)TARGET_LOAD(x1, row); \
    const bool is_there_ = t >= 0 && t < n; \
    if (!is_there_) WRONG(t) \
    const T own_ = is_there_ ? X(t) : (T)0;
#if POWER == 1
#define POWERED(gap) (gap)
#define STEEP(gap) 1
#else
#define POWERED(gap) ((gap) * (gap))
#define STEEP(gap) (2 * (gap))
#endif
#define LOSS \
    TARGETED \
    if (is_there_) { \
        for (uint i = 0; i < n; i++) { \
            const T gap_ = GAP(i); \
            if (i != t && gap_ > 0) loss += POWERED(gap_); \
        } \
        loss = loss * CLASS_WEIGHT / n; \
    }
#define SLOPES \
    TARGETED \
    const T factor_ = is_there_ ? part * CLASS_WEIGHT / n : (T)0; \
    T sum_ = 0; \
    for (uint i = 0; i < n; i++) { \
        const T gap_ = GAP(i); \
        const T slope_ = i != t && gap_ > 0 ? factor_ * STEEP(gap_) : (T)0; \
        sum_ += slope_; \
        if (i != t) OUT_STORE(y0, first + i, slope_); \
    } \
    if (is_there_) OUT_STORE(y0, first + t, -sum_);
#endif

#if IS_LABELS
#define PARAMETERS
#define LABEL(j) ((long)TARGET_LOAD(x1, first + (j)))
// How many labels count; those of a row with one that is no class do not.
#define LABELED \
    uint labels_ = n; \
    for (uint j = n; j-- > 0;) \
        if (LABEL(j) == -1) labels_ = j; \
    for (uint j = 0; j < n; j++) \
        if (LABEL(j) < -1 || LABEL(j) >= n) { \
            WRONG(LABEL(j)) \
            labels_ = 0; \
        }
#define FIND_WHETHER_LABEL(i) \
    bool is_label_ = false; \
    for (uint j = 0; j < labels_; j++) is_label_ |= LABEL(j) == (i);
#define LOSS \
    LABELED \
    for (uint i = 0; i < n; i++) { \
        FIND_WHETHER_LABEL(i) \
        if (!is_label_) \
            for (uint j = 0; j < labels_; j++) { \
                const T gap_ = 1 - X(LABEL(j)) + X(i); \
                if (gap_ > 0) loss += gap_; \
            } \
    } \
    loss /= n;
#define SLOPES \
    LABELED \
    const T factor_ = part / n; \
    for (uint i = 0; i < n; i++) { \
        FIND_WHETHER_LABEL(i) \
        int many_ = 0; \
        if (is_label_) { \
            uint times_ = 0; \
            for (uint j = 0; j < labels_; j++) times_ += LABEL(j) == i; \
            for (uint k = 0; k < n; k++) { \
                bool other_ = true; \
                for (uint j = 0; j < labels_; j++) other_ &= LABEL(j) != k; \
                if (other_ && 1 - X(i) + X(k) > 0) many_ -= times_; \
            } \
        } else { \
            for (uint j = 0; j < labels_; j++) many_ += 1 - X(LABEL(j)) + X(i) > 0; \
        } \
        OUT_STORE(y0, first + i, factor_ * many_); \
    }
#endif
