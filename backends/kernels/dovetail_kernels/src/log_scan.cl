// Logarithms of running sums of exponentials along lines of `count` elements that are `inner` apart, and
// their gradient (see log_scan.py).
//
// T: what is computed in; VECTOR: W of them. What has come is kept as the largest, m, and the sum s of all
// exp(x - m). A line may be cut into parts, of which `ends` finds what each comes to.

#define NUMBERS ulong8 begin, ulong lines, ulong count, ulong inner, ulong parts, ulong chunk

#define EACH_PART \
    for (ulong item = get_global_id(0); item < lines * parts; item += get_global_size(0)) { \
        const ulong line = item / parts, part = item % parts; \
        const ulong first = part * chunk, last = min(count, first + chunk); \
        const ulong at = line / inner * count * inner + line % inner;

// One more element.
static void take(T *m, T *s, T x)
{
    if (x > *m) {
        *s = *s * EXP_ONE(*m - x) + 1;
        *m = x;
    } else if (x == *m) {
        *s += x == -(T)INFINITY ? (T)0 : (T)1;
    } else {
        *s += EXP_ONE(x - *m);
    }
}

static T logarithm(T m, T s) { return s == (T)0 ? -(T)INFINITY : m + LOG_ONE(s); }

#if IS_FORWARD
#if W > 1
// What is at least exp(-60) of the largest is a normal number, and so is its sum.
#define FAR ((T)60)

static T largest_of(VECTOR v)
{
    T value[W];
    vstoreW(v, 0, value);
    for (int half_ = W / 2; half_; half_ /= 2)
        for (int j = 0; j < half_; j++) value[j] = value[j] > value[j + half_] ? value[j] : value[j + half_];
    return value[0];
}
#endif

static void some(global OUT_MEMORY *out, global const OUT_MEMORY *in, ulong n, ulong inner, int writes, T *m, T *s)
{
    for (ulong k = 0; k < n; k++) {
        take(m, s, OUT_LOAD(in, k * inner));
        if (writes) OUT_STORE(out, k * inner, logarithm(*m, *s));
    }
}

static void scanned(global OUT_MEMORY *out, global const OUT_MEMORY *in, ulong n, ulong inner, int writes, T *m, T *s)
{
    ulong k = 0;
#if W > 1
    if (inner == 1)
        for (; k + W <= n; k += W) {
            const VECTOR x = OUT_V(in, k);
            const T begin = OUT_LOAD(in, k), lead = begin > *m ? begin : *m, high = largest_of(x);
            const T most = high > *m ? high : *m;
            if (!(most - lead < FAR)) {
                some(out + k, in + k, W, 1, writes, m, s);
                continue;
            }
            const T before = *s == (T)0 ? (T)0 : *s * EXP_ONE(*m - most);
            const VECTOR none = (VECTOR)0;
            VECTOR v = EXP_V(x - most);
            RUN_LANES
            v += before;
            *m = most;
            *s = LAST(v);
            if (writes) OUT_SET_V(out, k, LOG_V(v) + most);
        }
#endif
    some(out + k * inner, in + k * inner, n - k, inner, writes, m, s);
}

kernel void ends(global T *carry, global const OUT_MEMORY *in, NUMBERS)
{
    EACH_PART
        T m = -(T)INFINITY, s = 0;
        global const OUT_MEMORY *from = in + begin.s1 + at + first * inner;
        scanned((global OUT_MEMORY *)carry, from, last - first, inner, 0, &m, &s);
        carry[2 * item] = m;
        carry[2 * item + 1] = s;
    }
}

kernel void log_scan(global OUT_MEMORY *out, global const OUT_MEMORY *in, global const T *carry, NUMBERS)
{
    EACH_PART
        T m = -(T)INFINITY, s = 0;
        for (ulong k = item - part; k < item; k++) {
            const T other = carry[2 * k], more = carry[2 * k + 1];
            if (more == (T)0) continue;
            const T most = other > m ? other : m;
            s = (s == (T)0 ? (T)0 : m == most ? s : s * EXP_ONE(m - most))
                + (other == most ? more : more * EXP_ONE(other - most));
            m = most;
        }
        const ulong here = at + first * inner;
        scanned(out + begin.s0 + here, in + begin.s1 + here, last - first, inner, 1, &m, &s);
    }
}

#if W > 1
// W lines at a time, side by side.
kernel void beside(global OUT_MEMORY *out, global const OUT_MEMORY *in, NUMBERS)
{
    const ulong columns = (inner - 1) / W + 1, all = lines / inner * columns;
    for (ulong item = get_global_id(0); item < all; item += get_global_size(0)) {
        const ulong column = min(item % columns * W, inner - W);
        const ulong at = item / columns * count * inner + column;
        VECTOR m = (VECTOR)(-INFINITY), s = (VECTOR)0;
        for (ulong k = 0; k < count; k++) {
            const VECTOR x = OUT_V(in, begin.s1 + at + k * inner), away = x - m;
            const VECTOR share = x == m ? (VECTOR)1 : EXP_V(away > (VECTOR)0 ? -away : away);
            s = x == (VECTOR)(-INFINITY) ? s : x > m ? s * share + 1 : s + share;
            m = x > m ? x : m;
            OUT_SET_V(out, begin.s0 + at + k * inner, s == (VECTOR)0 ? m : m + LOG_V(s));
        }
    }
}
#endif
#else
// R of element j is the sum of g exp(out_j - out_i) over all i from j on. Sums do not fall, so no power is
// above 1; that of the next element is `later`.
static T power(T here, T later)
{
    return here == later ? (T)1 : here == -(T)INFINITY ? (T)0 : EXP_ONE(here - later);
}

#define BACK(r, g, here, later) { const T p_ = power(here, later); r = p_ == (T)0 ? (g) : (g) + r * p_; }

kernel void ends_back(global T *carry, global const OUT_MEMORY *g, global const OUT_MEMORY *sums, NUMBERS)
{
    EACH_PART
        T r = 0, later = 0;
        for (ulong k = last; k-- > first;) {
            const T here = OUT_LOAD(sums, begin.s3 + at + k * inner);
            if (k + 1 == last) later = here;
            BACK(r, OUT_LOAD(g, begin.s1 + at + k * inner), here, later)
            later = here;
        }
        carry[item] = r;
    }
}

kernel void log_scan_back(global OUT_MEMORY *out, global const OUT_MEMORY *g, global const OUT_MEMORY *in,
        global const OUT_MEMORY *sums, global const T *carry, NUMBERS)
{
    EACH_PART
        T r = 0, later = 0;
        // The parts behind this one, from the last.
        for (ulong p = parts - 1; p > part; p--) {
            const T here = OUT_LOAD(sums, begin.s3 + at + p * chunk * inner);
            BACK(r, carry[item - part + p], here, p + 1 == parts ? here : later)
            later = here;
        }
        ulong k = last;
        if (part + 1 == parts) later = OUT_LOAD(sums, begin.s3 + at + (last - 1) * inner);
#if W > 1
        if (inner == 1)
            for (; k >= first + W; k -= W) {
                const ulong from = at + k - W;
                const VECTOR here = OUT_V(sums, begin.s3 + from), x = OUT_V(in, begin.s2 + from);
                T held[W], powers[W], given[W];
                vstoreW(here, 0, held);
                for (int j = 0; j < W - 1; j++) powers[j] = held[j + 1];
                powers[W - 1] = later;
                const VECTOR next = vloadW(0, powers);
                VECTOR power = here == (VECTOR)(-INFINITY) ? (VECTOR)0 : EXP_V(here - next);
                power = here == next ? (VECTOR)1 : power;
                vstoreW(power, 0, powers);
                vstoreW(OUT_V(g, begin.s1 + from), 0, given);
                for (int j = W - 1; j >= 0; j--) {
                    r = powers[j] == (T)0 ? given[j] : given[j] + r * powers[j];
                    given[j] = r;
                }
                later = held[0];
                const VECTOR share = here == (VECTOR)(-INFINITY) ? (VECTOR)0 : EXP_V(x - here);
                OUT_SET_V(out, begin.s0 + from, share * vloadW(0, given));
            }
#endif
        while (k-- > first) {
            const ulong from = at + k * inner;
            const T here = OUT_LOAD(sums, begin.s3 + from), x = OUT_LOAD(in, begin.s2 + from);
            BACK(r, OUT_LOAD(g, begin.s1 + from), here, later)
            later = here;
            OUT_STORE(out, begin.s0 + from, here == -(T)INFINITY ? (T)0 : r * EXP_ONE(x - here));
        }
    }
}
#endif
