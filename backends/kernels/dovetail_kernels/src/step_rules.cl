// What a step of an optimizer does with an element, by rule (see dovetail.optim, and
// fused/step_rules.py for arrays and numbers): AT(p) is the parameter's, AT(g) the gradient's.
//
// SLOPE: the gradient, negated where one climbs (sign), with the penalty of the parameter's size.

#define SLOPE(AT) \
    T slope = AT(g) * sign; \
    if (weight_decay != 0) slope += AT(p) * weight_decay;
#define LERP(mean, value, share) mean += ((value) - (mean)) * (share);
#define MEAN_SQUARE(square, value, keep, share) \
    square = (square) * (keep) + (value) * (value) * (share);

#if IS_ADAMAX
#define UPDATE(AT) { \
        SLOPE(AT) \
        const T old = AT(u) * beta2, now = fabs(slope) + eps; \
        LERP(AT(m), slope, share1) \
        AT(u) = old > now || old != old ? old : now; \
        AT(p) -= AT(m) / AT(u) * rate; \
    }
#elif IS_NADAM
#define UPDATE(AT) { \
        AT(p) *= shrink; \
        SLOPE(AT) \
        LERP(AT(m), slope, share1) \
        MEAN_SQUARE(AT(v), slope, beta2, share2) \
        AT(p) -= (slope * rate + AT(m) * ahead) / (sqrt(AT(v) / correction) + eps); \
    }
#elif IS_RADAM
#define UPDATE(AT) { \
        AT(p) *= shrink; \
        SLOPE(AT) \
        LERP(AT(m), slope, share1) \
        MEAN_SQUARE(AT(v), slope, beta2, share2) \
        AT(p) -= (rectified != 0 ? AT(m) / (sqrt(AT(v)) + eps) : AT(m)) * rate; \
    }
#elif IS_ADAGRAD
#define UPDATE(AT) { \
        SLOPE(AT) \
        AT(s) += slope * slope; \
        AT(p) -= slope / (sqrt(AT(s)) + eps) * rate; \
    }
#elif IS_ADADELTA
#define UPDATE(AT) { \
        SLOPE(AT) \
        MEAN_SQUARE(AT(v), slope, rho, share) \
        const T move = sqrt(AT(d) + eps) / sqrt(AT(v) + eps) * slope; \
        MEAN_SQUARE(AT(d), move, rho, share) \
        AT(p) -= move * lr; \
    }
#elif IS_RMSPROP
#if HAS_MEAN
#define VARIANCE(AT) LERP(AT(m), slope, share) const T variance = AT(v) - AT(m) * AT(m);
#else
#define VARIANCE(AT) const T variance = AT(v);
#endif
#if HAS_BUFFER
#define MOVE(AT) AT(b) = AT(b) * momentum + move; move = AT(b);
#else
#define MOVE(AT)
#endif
#define UPDATE(AT) { \
        SLOPE(AT) \
        MEAN_SQUARE(AT(v), slope, alpha, share) \
        VARIANCE(AT) \
        T move = slope / (sqrt(variance) + eps); \
        MOVE(AT) \
        AT(p) -= move * lr; \
    }
#elif IS_RPROP
// A gradient that turned is not followed, and none to agree with at the next step.
#define UPDATE(AT) { \
        const T now = AT(g) * sign, agreement = now * AT(b), slope = agreement < 0 ? (T)0 : now; \
        const T size = AT(s) * (agreement < 0 ? less : agreement > 0 ? more : (T)1); \
        AT(s) = size < smallest ? smallest : size > largest ? largest : size; \
        AT(p) -= slope > 0 ? AT(s) : slope < 0 ? -AT(s) : AT(s) * 0; \
        AT(b) = slope; \
    }
#elif IS_ASGD
#define UPDATE(AT) { \
        SLOPE(AT) \
        AT(p) = AT(p) * shrink - slope * rate; \
        if (weight == 1) AT(a) = AT(p); \
        else LERP(AT(a), AT(p), weight) \
    }
#elif IS_LERP
#define UPDATE(AT) { LERP(AT(p), AT(g), weight) }
#endif
