// Exponentials of distances from a largest element, for the host's cores.
//
// T: what is computed in; VECTOR: W of them. IOTA: 0, 1, … in numbers as wide. EXP_S, EXP_V: exp of
// what is not above 0; it is 0 below the smallest normal number. IS_SHORT: they are those of
// mathematics_half.cl, for results that are kept as halves. exp2_part_double is
// mathematics_double.cl's. MOST_OF and SUM_OF fold m neighbours, of which V(i) loads W and S(i) one,
// and before which BEFORE more can be read, by four vectors at a time, for each waits for the one
// before it; COLUMN_8 and COLUMN_1 fold the vectors x0, … of as many lines into a, the largest, and b,
// the sum. An infinite element makes a sum NaN.

// exp(x) = 2^k * 2^f, |f| up to 1/2; k and the bias, in the last bits of t, become the exponent.
#if IS_SHORT
#elif IS_FLOAT
#define EXPONENTIAL(name, w) \
    static inline float##w name(float##w x) \
    { \
        const float##w big = (float##w)(12583039.0f), scale = (float##w)(1.44269502f); \
        x = x < -88.0f ? (float##w)(-88.0f) : x; \
        const float##w t = fma(x, scale, big), k = t - big; \
        const float##w f = fma(x, (float##w)(1.92596303e-8f), fma(x, scale, -k)); \
        float##w p = fma(f, (float##w)(1.32647271e-3f), (float##w)(9.67151264e-3f)); \
        p = fma(p, f, (float##w)(5.55073374e-2f)); \
        p = fma(p, f, (float##w)(2.40222421e-1f)); \
        p = fma(p, f, (float##w)(6.93146978e-1f)); \
        return fma(p, f, (float##w)(1.0f)) * as_float##w(as_int##w(t) << 23); \
    }
EXPONENTIAL(exponential, )
EXPONENTIAL(exponentials, 16)
#else
#define EXPONENTIAL(name, w) \
    static inline double##w name(double##w x) \
    { \
        const double##w big = (double##w)(6755399441056767.0); \
        const double##w scale = (double##w)(1.4426950408889634); \
        x = x < -709.0 ? (double##w)(-709.0) : x; \
        const double##w t = fma(x, scale, big), k = t - big; \
        const double##w f = fma(x, (double##w)(2.0355273740931033e-17), fma(x, scale, -k)); \
        return exp2_part_double##w(f) * as_double##w(as_long##w(t) << 52); \
    }
EXPONENTIAL(exponential, )
EXPONENTIAL(exponentials, 8)
#endif
#if !IS_SHORT
#define EXP_S(x) exponential(x)
#define EXP_V(x) exponentials(x)
#endif

#define ADD(a, v) a += v;
#define TAKE_MORE(a, v) a = v > a ? v : a;

// The last W elements, with what lies before where there are no more; NEW: the lanes from i on.
#define NEW(i, m) (IOTA >= W - (m) + (i))
#define REST(v, i, m, S, V, BEFORE) \
    VECTOR v; \
    if ((BEFORE) + (m) >= W) { \
        v = V((m) - W); \
    } else { \
        T few_[W]; \
        STORE_LANES((VECTOR)0, few_); \
        for (int j_ = i; j_ < (m); j_++) few_[W - (m) + j_] = S(j_); \
        v = LOAD_LANES(few_); \
    }

// The largest number; NaN is none.
#define MOST_OF(top, m, S, V, BEFORE) { \
        VECTOR t0_ = (VECTOR)(-INFINITY), t1_ = t0_, t2_ = t0_, t3_ = t0_; \
        int i_ = 0; \
        for (; i_ + 4 * W <= (m); i_ += 4 * W) { \
            const VECTOR x_ = V(i_), y_ = V(i_ + W), z_ = V(i_ + 2 * W), w_ = V(i_ + 3 * W); \
            TAKE_MORE(t0_, x_) TAKE_MORE(t1_, y_) TAKE_MORE(t2_, z_) TAKE_MORE(t3_, w_) \
        } \
        for (; i_ + W <= (m); i_ += W) { const VECTOR x_ = V(i_); TAKE_MORE(t0_, x_) } \
        if (i_ < (m)) { \
            REST(x_, i_, m, S, V, BEFORE) \
            x_ = NEW(i_, m) ? x_ : (VECTOR)(-INFINITY); \
            TAKE_MORE(t1_, x_) \
        } \
        TAKE_MORE(t0_, t1_) TAKE_MORE(t2_, t3_) TAKE_MORE(t0_, t2_) \
        ACROSS_VALUES(top, t0_, TAKE_MORE) \
    }

// The sum of exp(x - off); KEEP(i, e): what else is done with W of them; NEXT(i): what is fetched.
#define SUM_OF(sum, m, off, S, V, BEFORE, NEXT, KEEP) { \
        VECTOR s0_ = (VECTOR)0, s1_ = s0_; \
        int i_ = 0; \
        for (; i_ + 4 * W <= (m); i_ += 4 * W) { \
            const VECTOR p_ = EXP_V(V(i_) - off), q_ = EXP_V(V(i_ + W) - off); \
            const VECTOR u_ = EXP_V(V(i_ + 2 * W) - off), v_ = EXP_V(V(i_ + 3 * W) - off); \
            NEXT(i_) NEXT(i_ + W) NEXT(i_ + 2 * W) NEXT(i_ + 3 * W) \
            KEEP(i_, p_) KEEP(i_ + W, q_) KEEP(i_ + 2 * W, u_) KEEP(i_ + 3 * W, v_) \
            s0_ += p_ + q_; \
            s1_ += u_ + v_; \
        } \
        for (; i_ + W <= (m); i_ += W) { \
            const VECTOR p_ = EXP_V(V(i_) - off); \
            KEEP(i_, p_) \
            s0_ += p_; \
        } \
        if (i_ < (m)) { \
            REST(x_, i_, m, S, V, BEFORE) \
            const VECTOR p_ = EXP_V(x_ - off); \
            KEEP((m) - W, p_) \
            s1_ += NEW(i_, m) ? p_ : (VECTOR)0; \
        } \
        s0_ += s1_; \
        ACROSS_VALUES(sum, s0_, ADD) \
    }

// Infinity minus itself would be NaN, where nothing larger has come.
#define OFF(top, zero) (top == -INFINITY ? zero : top)

#define MORE(x, y) ((y) > (x) ? (y) : (x))
#define COLUMN_8(a, b) { \
        const VECTOR p_ = MORE(x0, x1), q_ = MORE(x2, x3), r_ = MORE(x4, x5), s_ = MORE(x6, x7); \
        const VECTOR u_ = MORE(p_, q_), v_ = MORE(r_, s_), w_ = MORE(u_, v_), top_ = MORE(w_, a); \
        const VECTOR off_ = OFF(top_, (VECTOR)0); \
        b = b * EXP_V(a - off_) \
            + ((EXP_V(x0 - off_) + EXP_V(x1 - off_)) + (EXP_V(x2 - off_) + EXP_V(x3 - off_))) \
            + ((EXP_V(x4 - off_) + EXP_V(x5 - off_)) + (EXP_V(x6 - off_) + EXP_V(x7 - off_))); \
        a = top_; \
    }
#define COLUMN_1(a, b) { \
        const VECTOR top_ = MORE(x0, a), off_ = OFF(top_, (VECTOR)0); \
        b = b * EXP_V(a - off_) + EXP_V(x0 - off_); \
        a = top_; \
    }
