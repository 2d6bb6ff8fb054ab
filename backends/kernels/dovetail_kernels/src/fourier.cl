// Discrete Fourier transforms along lines, in steps (see fused/fourier_steps.py, which says what a step is).
//
// A work group, on the host's cores a work item, takes a few lines through all passes of a step: `side` of
// them side by side in local memory, or the W lanes of vectors V in memory of its own. There a complex
// number's parts are neighbours, numbers of a line `side` pairs apart, and the passes go from one half of
// the memory to the other. Passes are Stockham's, which leave the numbers in order (Swarztrauber, FFT
// algorithms for vector computers, 1984). An inverse transform is a forward one of numbers whose parts have
// changed places, before and after.

#if IS_CPU
#define MEMORY global
#define EACH(i, count) for (uint i = 0; i < (count); i++)
#define EACH_TURN(p, q) for (uint p = 0; p < m; p++)
#define EACH_LINE(p, q) for (uint q = 0; q < s; q++)
#define lane 0
#define side 1
#define DONE
#define LANES_OF(side_) W
#define EACH_LANE(j) for (uint j = 0; j < W; j++)
#define OWN
#define SIDE_OF
#define SIDE_GIVEN
#else
#ifdef LOCAL_AS
#define MEMORY
#else
#define MEMORY local
#endif
#define EACH(i, count) \
    for (uint i##_ = (uint)get_local_id(0); i##_ < (count) * side; i##_ += GROUP) \
        for (uint i = i##_ / side, lane = i##_ % side, i##_more = 1; i##_more; i##_more = 0)
#define EACH_TURN(p, q) \
    for (uint t_ = (uint)get_local_id(0); t_ < m * s * side; t_ += GROUP) \
        for (uint lane = t_ % side, q = t_ / side % s, p = t_ / side / s, more_ = 1; more_; more_ = 0)
#define EACH_LINE(p, q)
#define DONE barrier(CLK_LOCAL_MEM_FENCE);
#define LANES_OF(side_) side_
#define EACH_LANE(j) for (uint j = (uint)get_local_id(0); j < side; j += GROUP)
#define OWN MEMORY
#define SIDE_OF , uint side
#define SIDE_GIVEN , side
#endif

typedef struct { V x, y; } Number;

static Number number(V x, V y)
{
    Number made;
    made.x = x, made.y = y;
    return made;
}

static Number plus(Number a, Number b) { return number(a.x + b.x, a.y + b.y); }
static Number minus(Number a, Number b) { return number(a.x - b.x, a.y - b.y); }
static Number turned(Number a) { return number(a.y, -a.x); }  // times -i
static Number times(Number a, V x, V y) { return number(a.x * x - a.y * y, a.x * y + a.y * x); }
static Number scaled(Number a, T x) { return number(a.x * x, a.y * x); }
#define BY(a, root) times(a, (V)((root)[0]), (V)((root)[1]))

#define READ(at) number(from[2 * (at) * side + lane], from[(2 * (at) + 1) * side + lane])
#define WRITE(at, v) { const Number v_ = v; to[2 * (at) * side + lane] = v_.x; to[(2 * (at) + 1) * side + lane] = v_.y; }

// A pass of butterflies of `radix` numbers: from[q + s * (p + m * j)] to to[q + s * (radix * p + k)], times
// the root of unity for p * k.
#define PASS(radix, BUTTERFLY) \
    EACH_TURN(p, q) { \
        global const T *by = roots + 2 * (radix - 1) * p; \
        EACH_LINE(p, q) { \
            const uint in = q + s * p, out = q + s * radix * p; \
            BUTTERFLY \
        } \
    }
#define X(j) READ(in + s * m * (j))
#define Y(k, v) { if (p) WRITE(out + s * (k), BY(v, by + 2 * (k) - 2)) else WRITE(out + s * (k), v) }

#define RADIX_2 \
    const Number a = X(0), b = X(1); \
    WRITE(out, plus(a, b)) \
    Y(1, minus(a, b))

#define RADIX_3 \
    const Number x = X(0), a = X(1), b = X(2), sum = plus(a, b); \
    const Number low = minus(x, scaled(sum, (T)0.5)); \
    const Number side_ = turned(scaled(minus(a, b), (T)0.86602540378443864676)); \
    WRITE(out, plus(x, sum)) \
    Y(1, plus(low, side_)) \
    Y(2, minus(low, side_))

#define RADIX_4 \
    const Number x0 = X(0), x1 = X(1), x2 = X(2), x3 = X(3); \
    const Number a = plus(x0, x2), b = minus(x0, x2), c = plus(x1, x3), d = turned(minus(x1, x3)); \
    WRITE(out, plus(a, c)) \
    Y(1, plus(b, d)) \
    Y(2, minus(a, c)) \
    Y(3, minus(b, d))

#define RADIX_5 \
    const Number x = X(0), x1 = X(1), x2 = X(2), x3 = X(3), x4 = X(4); \
    const Number a = plus(x1, x4), b = plus(x2, x3), c = minus(x1, x4), d = minus(x2, x3); \
    const T cos1 = (T)0.30901699437494742410, cos2 = (T)-0.80901699437494742410; \
    const T sin1 = (T)0.95105651629515357212, sin2 = (T)0.58778525229247312917; \
    const Number near = plus(x, plus(scaled(a, cos1), scaled(b, cos2))); \
    const Number far = plus(x, plus(scaled(a, cos2), scaled(b, cos1))); \
    const Number more = turned(plus(scaled(c, sin1), scaled(d, sin2))); \
    const Number less = turned(minus(scaled(c, sin2), scaled(d, sin1))); \
    WRITE(out, plus(x, plus(a, b))) \
    Y(1, plus(near, more)) \
    Y(2, plus(far, less)) \
    Y(3, minus(far, less)) \
    Y(4, minus(near, more))

#define RADIX_8 \
    const T half_root = (T)0.70710678118654752440; \
    Number a, b, c, d; \
    const Number x0 = X(0), x4 = X(4), x2 = X(2), x6 = X(6); \
    a = plus(x0, x4), b = minus(x0, x4), c = plus(x2, x6), d = turned(minus(x2, x6)); \
    const Number even0 = plus(a, c), even1 = plus(b, d), even2 = minus(a, c), even3 = minus(b, d); \
    const Number x1 = X(1), x5 = X(5), x3 = X(3), x7 = X(7); \
    a = plus(x1, x5), b = minus(x1, x5), c = plus(x3, x7), d = turned(minus(x3, x7)); \
    const Number odd0 = plus(a, c), odd2 = turned(minus(a, c)); \
    const Number one = plus(b, d), three = minus(b, d); \
    const Number odd1 = scaled(plus(one, turned(one)), half_root); \
    const Number odd3 = scaled(minus(turned(three), three), half_root); \
    WRITE(out, plus(even0, odd0)) \
    Y(1, plus(even1, odd1)) \
    Y(2, plus(even2, odd2)) \
    Y(3, plus(even3, odd3)) \
    Y(4, minus(even0, odd0)) \
    Y(5, minus(even1, odd1)) \
    Y(6, minus(even2, odd2)) \
    Y(7, minus(even3, odd3))

// Of an odd prime by the definition. Numbers j and radix - j are added and subtracted in their places, for
// results k and radix - k differ in the sign of what the differences come to.
static void any_pass(MEMORY V *from, MEMORY V *to, global const T *roots, uint radix, uint s, uint m SIDE_OF)
{
    global const T *unit = roots + 2 * (radix - 1) * m;
    EACH_TURN(p, q) {
        global const T *by = roots + 2 * (radix - 1) * p;
        EACH_LINE(p, q) {
            const uint in = q + s * p, out = q + s * radix * p;
            const Number x = X(0);
            Number sum = x;
            for (uint j = 1; 2 * j < radix; j++) {
                const Number a = X(j), b = X(radix - j), both = plus(a, b), difference = minus(a, b);
                sum = plus(sum, both);
                from[2 * (in + s * m * j) * side + lane] = both.x;
                from[(2 * (in + s * m * j) + 1) * side + lane] = both.y;
                from[2 * (in + s * m * (radix - j)) * side + lane] = difference.x;
                from[(2 * (in + s * m * (radix - j)) + 1) * side + lane] = difference.y;
            }
            WRITE(out, sum)
            for (uint k = 1; 2 * k < radix; k++) {
                Number even = x, odd = number((V)0, (V)0);
                for (uint j = 1, turn = k; 2 * j < radix; j++) {
                    even = plus(even, scaled(X(j), unit[2 * turn]));
                    odd = plus(odd, scaled(X(radix - j), -unit[2 * turn + 1]));
                    turn += k;
                    turn -= turn >= radix ? radix : 0;
                }
                odd = turned(odd);
                Y(k, plus(even, odd))
                Y(radix - k, minus(even, odd))
            }
        }
    }
}

static void pass(MEMORY V *from, MEMORY V *to, global const T *roots, uint radix, uint s, uint m SIDE_OF)
{
    if (radix == 8) PASS(8, RADIX_8)
    else if (radix == 4) PASS(4, RADIX_4)
    else if (radix == 2) PASS(2, RADIX_2)
    else if (radix == 3) PASS(3, RADIX_3)
    else if (radix == 5) PASS(5, RADIX_5)
    else any_pass(from, to, roots, radix, s, m SIDE_GIVEN);
}

// What is made of the numbers of a line before and after the passes. `at` are the positions in the whole line of
// each lane's first number, `apart` how far apart its numbers are there.

// Each number times the table's for its position, which has none from `limit` on; swap: parts change places.
static void weigh(MEMORY V *from, global const T *weights, uint count, OWN const uint *at, uint apart,
        ulong limit, uint swap SIDE_OF)
{
    EACH(i, count) {
#if IS_CPU
        V x, y;
        if (apart == 1) {
            const ulong k = at[0] + i;
            x = (V)(k < limit ? weights[2 * k] : (T)0), y = (V)(k < limit ? weights[2 * k + 1] : (T)0);
        } else {
            T xs[W], ys[W];
            for (uint j = 0; j < W; j++) {
                const ulong k = at[j] + (ulong)apart * i;
                xs[j] = k < limit ? weights[2 * k] : (T)0, ys[j] = k < limit ? weights[2 * k + 1] : (T)0;
            }
            x = vloadW(0, xs), y = vloadW(0, ys);
        }
#else
        const ulong k = at[lane] + (ulong)apart * i;
        const V x = k < limit ? weights[2 * k] : (T)0, y = k < limit ? weights[2 * k + 1] : (T)0;
#endif
        const Number v = times(READ(i), x, y);
        from[(2 * i + swap) * side + lane] = v.x, from[(2 * i + !swap) * side + lane] = v.y;
    }
}

// A root of unity of the whole: two of the table, for the digits of its number.
#define ROOT(x, y, index) \
    global const T *fine_ = roots + 2 * ((index) & ((1u << bits) - 1)); \
    global const T *rough_ = roots + 2 * ((1u << bits) + ((index) >> bits)); \
    const T x = fine_[0] * rough_[0] - fine_[1] * rough_[1], y = fine_[0] * rough_[1] + fine_[1] * rough_[0];

// Number k of a lane times the root for p * k, p being the lane's place among the parts of a line. On the
// host's cores `spare` has room for the roots of the digits of k to the base 32.
static void turn(MEMORY V *from, MEMORY V *spare, global const T *roots, uint count, OWN const uint *place, uint s,
        uint bits SIDE_OF)
{
#if IS_CPU
    for (uint k = 0; k < 33 + (count - 1) / 32; k++) {
        if (k < 32 && k >= count) continue;
        T xs[W], ys[W];
        for (uint j = 0; j < W; j++) {
            ROOT(x, y, place[j] / s * (k < 32 ? k : (k - 32) * 32))
            xs[j] = x, ys[j] = y;
        }
        spare[2 * k] = vloadW(0, xs), spare[2 * k + 1] = vloadW(0, ys);
    }
    for (uint k = 0; k < count; k++) {
        const uint low = k % 32, high = 32 + k / 32;
        const Number by = times(number(spare[2 * low], spare[2 * low + 1]), spare[2 * high], spare[2 * high + 1]);
        const Number v = times(READ(k), by.x, by.y);
        from[2 * k] = v.x, from[2 * k + 1] = v.y;
    }
#else
    EACH(k, count) {
        ROOT(x, y, place[lane] / s * k)
        const Number v = times(READ(k), x, y);
        from[2 * k * side + lane] = v.x, from[(2 * k + 1) * side + lane] = v.y;
    }
#endif
}

// The spectrum of 2n real numbers from that of n complex ones whose parts they are; `count` of its numbers.
static void split(MEMORY const V *from, MEMORY V *to, global const T *roots, uint n, uint count SIDE_OF)
{
    EACH(i, count) {
        const uint k = i > n ? 2 * n - i : i;
        const Number a = READ(k == n ? 0 : k), b = READ(k ? n - k : 0);
        const Number even = number(a.x + b.x, a.y - b.y), odd = number(a.y + b.y, b.x - a.x);
        const Number v = scaled(plus(even, BY(odd, roots + 2 * k)), (T)0.5);
        WRITE(i, number(v.x, i > n ? -v.y : v.y))
    }
}

// The other way about: n numbers whose inverse transform's parts are the 2n real ones; parts change places.
static void join(MEMORY const V *from, MEMORY V *to, global const T *roots, uint n SIDE_OF)
{
    EACH(k, n) {
        const Number a = READ(k), b = READ(n - k);
        const Number even = number(a.x + b.x, a.y - b.y);
        const Number odd = times(number(a.x - b.x, a.y + b.y), (V)roots[2 * k], (V)-roots[2 * k + 1]);
        WRITE(k, number(even.y + odd.x, even.x - odd.y))
    }
}
#undef X
#undef Y

#define IS_COMPLEX 0
#define IS_REAL 1  // the imaginary part is 0, or is not wanted
#define IS_PAIRS 2  // the parts of a number are two real ones
#define IS_HALF 3  // numbers beyond the middle are the mirror images of those before

// The element of memory that is a part of number k.
#define PLACE(kind, k, part, step) ((kind) == IS_PAIRS ? (2 * (k) + (part)) * (step) : (k) * (step) + (part))

// Part of number k of a line that begins at `p`; what is not there is 0.
static T loaded(global const T *p, uint kind, ulong k, uint part, ulong step, ulong limit)
{
    if (k >= limit) return (T)0;
    if (kind == IS_HALF) {
        const ulong low = min(k, limit - k);
        if (part && (low == 0 || 2 * low == limit)) return (T)0;
        const T v = p[low * step + part];
        return part && k > low ? -v : v;
    }
    return kind == IS_REAL && part ? (T)0 : p[PLACE(kind, k, part, step)];
}

#if IS_CPU
// Whether the lanes are neighbours in memory.
static int beside(const ulong *base, const uint *at, ulong step, uint unit)
{
    const ulong first = base[0] + at[0] * step;
    int made = 1;
    for (uint j = 1; j < W; j++) made &= base[j] + at[j] * step == first + j * unit;
    return made;
}

// Numbers of all lanes that are within a limit.
static uint within(const uint *at, uint apart, ulong limit, uint count)
{
    uint last = at[0];
    for (uint j = 1; j < W; j++) last = max(last, at[j]);
    return limit > last ? (uint)min((ulong)count, (limit - 1 - last) / apart + 1) : 0;
}

static void load(global V *to, global const T *from, uint kind, uint swap, const ulong *base, const uint *at,
        uint apart, ulong step, ulong limit, uint count)
{
    global T *parts = (global T *)to;
    const uint is_half = kind == IS_HALF;
    const ulong by = step * apart;
    const uint full = within(at, apart, is_half ? (limit + 1) / 2 : limit, count);
    const int is_beside = beside(base, at, step, kind == IS_REAL || kind == IS_PAIRS ? 1 : 2);
    uint i = is_half;
    if (by == (kind == IS_REAL || kind == IS_PAIRS ? 1 : 2)) {
        const uint many = kind == IS_REAL ? W : W / 2, wide = kind == IS_REAL ? 1 : 2;
        global const T *row[W];
        for (uint j = 0; j < W; j++) row[j] = from + base[j] + at[j] * step;
        for (; i + many <= full; i += many) {
#define ROW(j) vloadW(0, row[j] + i * wide)
            TILE(ROW)
            TURN_TILE
#undef ROW
            if (kind == IS_REAL) {
#define PUT(c, v) to[2 * (i + c) + swap] = v, to[2 * (i + c) + !swap] = (V)0;
                TURNED(PUT)
#undef PUT
            } else {
#define PUT(c, v) to[(2 * i + c) ^ swap] = v;
                TURNED(PUT)
#undef PUT
            }
        }
    } else if (is_beside) {
        global const T *p = from + base[0] + at[0] * step;
        for (; i < full; i++) {
            V x, y;
            if (kind == IS_REAL) {
                x = vloadW(0, p + i * by), y = (V)0;
            } else if (kind == IS_PAIRS) {
                x = vloadW(0, p + 2 * i * by), y = vloadW(0, p + (2 * i + 1) * by);
            } else {
                const V a = vloadW(0, p + i * by), b = vloadW(0, p + i * by + W);
                x = (V)(a.even, b.even), y = (V)(a.odd, b.odd);
            }
            to[2 * i + swap] = x, to[2 * i + !swap] = y;
        }
    }
    // Of half a spectrum, mirror images: of numbers of the same line, or of neighbours the other way about.
    const int is_back = apart > 1 && is_beside && step == 2 && limit % apart == 0;
    uint image = count, images = count;
    if (is_half && (apart == 1 || is_back))
        image = (uint)min((ulong)count, limit / 2 / apart + 1), images = (uint)min((ulong)count, limit / apart);
    for (uint k = 0; k < count; k++) {
        if (k == is_half) k = i;
        if (k >= image && k < images) k = images;
        if (k >= count) break;
        for (uint part = 0; part < 2; part++)
            for (uint j = 0; j < W; j++)
                parts[((2 * k + part) ^ swap) * W + j] =
                    loaded(from + base[j], kind, at[j] + (ulong)apart * k, part, step, limit);
    }
    for (i = image; i < images; i++) {
        V x, y;
        if (apart == 1) {
            const uint low = (uint)limit - i;
            x = to[2 * low + swap], y = to[2 * low + !swap];
        } else {
            global const T *p = from + base[0] + 2 * (limit - at[0] - (W - 1) - (ulong)apart * i);
            const V a = vloadW(0, p), b = vloadW(0, p + W), x_ = (V)(a.even, b.even), y_ = (V)(a.odd, b.odd);
            x = REVERSED(x_), y = REVERSED(y_);
        }
        to[2 * i + swap] = x, to[2 * i + !swap] = -y;
    }
}

static void store(global const V *from, global T *to, uint kind, uint swap, T scale, const ulong *base,
        const uint *at, uint apart, ulong step, ulong limit, uint count, uint valid)
{
    global const T *parts = (global const T *)from;
    const ulong by = step * apart;
    const uint full = within(at, apart, limit, count);
    uint i = 0;
    if (by == (kind == IS_COMPLEX ? 2 : 1)) {
        const uint many = kind == IS_REAL ? W : W / 2, wide = kind == IS_REAL ? 1 : 2;
        for (; i + many <= full; i += many) {
#define ROW(j) (kind == IS_REAL ? from[2 * (i + j) + swap] : from[(2 * i + j) ^ swap]) * scale
            TILE(ROW)
            TURN_TILE
#undef ROW
#define PUT(c, v) if (c < valid) vstoreW(v, 0, to + base[c] + at[c] * step + i * wide);
            TURNED(PUT)
#undef PUT
        }
    } else if (valid == W && beside(base, at, step, kind == IS_COMPLEX ? 2 : 1)) {
        global T *p = to + base[0] + at[0] * step;
        for (; i < full; i++) {
            const V x = from[2 * i + swap] * scale, y = from[2 * i + !swap] * scale;
            if (kind == IS_REAL) {
                vstoreW(x, 0, p + i * by);
            } else if (kind == IS_PAIRS) {
                vstoreW(x, 0, p + 2 * i * by), vstoreW(y, 0, p + (2 * i + 1) * by);
            } else {
                V a, b;
                a.even = x.lo, a.odd = y.lo, b.even = x.hi, b.odd = y.hi;
                vstoreW(a, 0, p + i * by), vstoreW(b, 0, p + i * by + W);
            }
        }
    }
    for (; i < count; i++)
        for (uint part = 0; part < (kind == IS_REAL ? 1 : 2); part++)
            for (uint j = 0; j < valid; j++) {
                const ulong k = at[j] + (ulong)apart * i;
                if (k < limit) to[base[j] + PLACE(kind, k, part, step)] = parts[((2 * i + part) ^ swap) * W + j] * scale;
            }
}
#else
// Neighbours in memory are read by neighbours in the group.
#define EACH_PART(i, count, is_along) \
    for (uint t_ = (uint)get_local_id(0); t_ < (count) * side; t_ += GROUP) \
        for (uint i = is_along ? t_ % (count) : t_ / side, lane = is_along ? t_ / (count) : t_ % side, more_ = 1; \
            more_; more_ = 0)

static void load(MEMORY V *to, global const T *from, uint kind, uint swap, OWN const ulong *base,
        OWN const uint *at, uint apart, ulong step, ulong limit, uint count, uint side)
{
    const int is_along = step * apart <= 2;
    EACH_PART(i, count, is_along) {
        for (uint part = 0; part < 2; part++)
            to[((2 * i + part) ^ swap) * side + lane] =
                loaded(from + base[lane], kind, at[lane] + (ulong)apart * i, part, step, limit);
    }
}

static void store(MEMORY const V *from, global T *to, uint kind, uint swap, T scale, OWN const ulong *base,
        OWN const uint *at, uint apart, ulong step, ulong limit, uint count, uint valid, uint side)
{
    const int is_along = step * apart <= 2;
    EACH_PART(i, count, is_along) {
        const ulong k = at[lane] + (ulong)apart * i;
        if (lane >= valid || k >= limit) continue;
        for (uint part = 0; part < (kind == IS_REAL ? 1 : 2); part++)
            to[base[lane] + PLACE(kind, k, part, step)] = from[((2 * i + part) ^ swap) * side + lane] * scale;
    }
}
#endif

// Where line number `line` begins, by its loops; the first is the outermost.
static ulong begin_of(ulong line, global const long *sizes, global const long *strides, int ndim)
{
    ulong made = 0;
    for (int d = ndim - 1; d > 0; d--) {
        made += line % (ulong)sizes[d] * (ulong)strides[d];
        line /= (ulong)sizes[d];
    }
    return ndim ? made + line * (ulong)strides[0] : 0;
}

// steps: the first, the one behind the last, the numbers that a half of a work item's memory holds, and where
// that of the first work item begins, in vectors.
kernel void fourier(global T *out, global const T *in, global T *memory, global const T *table,
        global const long *plan, ulong8 begin, uint4 steps, T scale)
{
#if IS_CPU
    global V *here = (global V *)memory + steps.w + 4 * (ulong)steps.z * get_global_id(0), *there = here + 2 * (ulong)steps.z;
    ulong from_base[W], to_base[W];
    uint place[W], from_at[W], to_at[W];
#else
    local V room[2 * ROOM];
    local ulong from_base[MOST_SIDE], to_base[MOST_SIDE];
    local uint place[MOST_SIDE], from_at[MOST_SIDE], to_at[MOST_SIDE];
    MEMORY V *here = room, *there = room + ROOM;
#endif
    for (uint number_of = steps.x; number_of < steps.y; number_of++) {
        global const long *step = plan + FIELDS * (ulong)number_of;
        const uint n = (uint)POINTS, s = (uint)STRIDE, inner = (uint)INNER, loads = (uint)LOADS, makes = (uint)MAKES;
        const ulong lines = (ulong)LINES;
        global const T *source = (SOURCE == 0 ? in + begin.s1 * IN_UNIT : SOURCE == 1 ? out + begin.s0 * OUT_UNIT
            : memory) + SOURCE_BEGIN;
        global T *target = (TARGET == 1 ? out + begin.s0 * OUT_UNIT : memory) + TARGET_BEGIN;
#if IS_CPU
        const ulong blocks = (lines - 1) / W + 1, share = (blocks - 1) / get_global_size(0) + 1;
        const ulong end = min(blocks, share * (get_global_id(0) + 1));
        for (ulong block = share * get_global_id(0); block < end; block++) {
            const ulong first = block * W;
#else
        const uint side = (uint)SIDE;
        const ulong blocks = (lines - 1) / side + 1;
        for (ulong block = get_group_id(0); block < blocks; block += get_num_groups(0)) {
            const ulong first = block * side;
#endif
            const uint valid = (uint)min((ulong)LANES_OF(side), lines - first);
            EACH_LANE(j) {
                const ulong line = min(first + j, lines - 1), whole = inner == 1 ? line : line / inner;
                const uint part = (uint)(line - whole * inner);
                place[j] = from_at[j] = part;
                to_at[j] = s == 1 ? part * n : part / s * s * n + part % s;
                from_base[j] = begin_of(whole, step + SIZES, step + FROM, (int)NDIM);
                to_base[j] = begin_of(whole, step + SIZES, step + TO, (int)NDIM);
            }
            DONE
            load(here, source, (uint)LOADED, (uint)LOAD_SWAP, from_base, from_at, inner, (ulong)FROM_STEP,
                (ulong)FROM_LIMIT, loads SIDE_GIVEN);
            DONE
            MEMORY V *from = here, *to = there, *other;
#define CHANGE other = from, from = to, to = other;
            // No barrier depends on a condition: some compilers make copies of all that follows such a one.
            if (BEFORE >= 0) weigh(from, table + 2 * BEFORE, n, from_at, inner, (ulong)FROM_LIMIT, 0 SIDE_GIVEN);
            DONE
            if (JOINS) {
                join(from, to, table + 2 * WAVES, n SIDE_GIVEN);
                CHANGE
            }
            DONE
            for (uint round = 0; round < 1 + (uint)(AGAIN >= 0); round++) {
                if (round) weigh(from, table + 2 * AGAIN, n, from_at, 1, n, 1 SIDE_GIVEN);
                DONE
                global const T *roots = table + 2 * ROOTS;
                uint passed = 1;
                for (uint k = 0; k < (uint)COUNT; k++) {
                    const uint radix = (uint)step[RADICES + k], m = n / passed / radix;
                    pass(from, to, roots, radix, passed, m SIDE_GIVEN);
                    roots += 2 * ((radix - 1) * m + radix);
                    passed *= radix;
                    CHANGE
                    DONE
                }
            }
            if (SPLITS) {
                split(from, to, table + 2 * WAVES, n, makes SIDE_GIVEN);
                CHANGE
            }
            DONE
            if (TURNS >= 0) turn(from, to, table + 2 * TURNS, n, place, s, (uint)BITS SIDE_GIVEN);
            DONE
            if (BEHIND >= 0) weigh(from, table + 2 * BEHIND, n, to_at, s, (ulong)TO_LIMIT, 0 SIDE_GIVEN);
            DONE
            store(from, target, (uint)STORED, (uint)STORE_SWAP, SCALED ? scale : (T)1, to_base, to_at, s,
                (ulong)TO_STEP, (ulong)TO_LIMIT, makes, valid SIDE_GIVEN);
            DONE
        }
#if !IS_CPU
        barrier(CLK_GLOBAL_MEM_FENCE);
#endif
    }
}
