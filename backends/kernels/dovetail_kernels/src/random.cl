// Random numbers of Philox4x32-10, in terms of philox.cl: element e of a draw is made of its own words
// of the counter.
//
// AFTER(v): what becomes of a number before it is kept, with the numbers first, second and third;
// AFTER_LANES(v) of several.
// PER: elements of a block of four words. MADE: the initialiser of those elements, from the words c.
// stream: the seed, the counter of the first block in two words, and where the elements begin; one
// argument, for they are what differs from draw to draw. MOVES: the draw is queued again later; moved
// has what its seed is combined with by then, and how many blocks its counter has moved on. TIMES:
// product becomes `in` times what is drawn, or what TIMED makes of an element and its noise, and the noise
// what NOISE_OF makes of an element and of what is drawn for it. INNER: each number is for `range` neighbours. LANES: blocks side by side (see random_lanes.py).

#define UNIFORM_AFTER(w) AFTER(UNIFORM(w))
#define NOISE(w) (UNIFORM(w) < p ? (float)scale : 0.0f)
#define WHOLE(w) (low_value + (long)((ulong)(w) * range >> 32))
#define RADIUS(u) sqrt(-2 * LOG_ONE(1 - (u)))

#if TIMES
#define IF_TIMES(...) __VA_ARGS__
#define IF_ALONE(...)
#else
#define IF_TIMES(...)
#define IF_ALONE(...) __VA_ARGS__
#endif
#if INNER
#define PUT(e, v) { \
        const OUT_VALUE v_ = (v); \
        OUT_STORE(out, offset + (e), v_); \
        for (ulong i_ = (e) * range; i_ < ((e) + 1) * range; i_++) \
            OUT_STORE(product, to + i_, TIMED(OUT_LOAD(in, from + i_), v_)); \
    }
#else
#define PUT(e, v) \
    IF_ALONE(OUT_STORE(out, offset + (e), v);) \
    IF_TIMES({ \
        const OUT_VALUE x_ = OUT_LOAD(in, from + (e)), v_ = NOISE_OF(x_, v); \
        OUT_STORE(out, offset + (e), v_); \
        OUT_STORE(product, to + (e), TIMED(x_, v_)); \
    })
#endif

#if LANES > 1
#define UNIFORM_LANES(w) (LANES_OF(FLOATS, AS_INTS((w) >> (32 - BITS))) * STEP)
#define UNIFORM_DOUBLE_LANES(a, b) ((LANES_OF(DOUBLES, AS_INTS((a) >> 5)) * 67108864.0 + \
    LANES_OF(DOUBLES, AS_INTS((b) >> 6))) * (1.0 / 9007199254740992.0))
#define RADIUS_LANES(u) sqrt(-2 * LOG_LANES(1 - (u)))
#define PUT_LANES(e, v) \
    IF_ALONE(OUT_SET_V(out, offset + (e), v);) \
    IF_TIMES({ \
        const VALUES x_ = OUT_V(in, from + (e)), v_ = NOISE_OF(x_, v); \
        OUT_SET_V(out, offset + (e), v_); \
        OUT_SET_V(product, to + (e), TIMED(x_, v_)); \
    })

// The counters of neighbouring blocks.
static inline Words counters(ulong at, ulong top) {
    const UINTS lane = LANE_NUMBERS, carry = 1;
    Words c;
    c.x = (uint)at + lane;
    const UINTS first = c.x < lane ? carry : 0;
    c.y = (uint)(at >> 32) + first;
    const UINTS second = c.y < first ? carry : 0;
    c.z = (uint)top + second;
    c.w = (uint)(top >> 32) + (c.z < second ? carry : 0);
    return c;
}
#endif

kernel void draw(global OUT_MEMORY *out, IF_TIMES(global OUT_MEMORY *product,)
        IF_TIMES(global const OUT_MEMORY *in,) IF_MOVES(global const ulong *moved,)
        ulong8 stream, ulong n, float p, double_or_float scale, long low_value, ulong range,
        FORM first, FORM second, FORM third)
{
    ulong seed = stream.s0, low = stream.s1;
    const ulong high = stream.s2, offset = stream.s3;
    IF_TIMES(const ulong to = stream.s4, from = stream.s5;)
    IF_MOVES(seed ^= moved[0]; low += moved[1];)
    const uint2 key = (uint2)((uint)seed, (uint)(seed >> 32));
    const ulong blocks = (n + PER - 1) / PER;
    ulong done = 0;
#if LANES > 1
    const ulong groups = n / (PER * LANES), share = SHARE(ulong, groups);
    const ulong end = min(groups, share * (get_global_id(0) + 1));
    for (ulong g = share * get_global_id(0); g < end; g++) {
        const ulong at = low + g * LANES, e = g * (PER * LANES);
        const Words c = philox_lanes(counters(at, high + (at < low)), key);
        DRAW_LANES
    }
    done = groups * LANES;
#endif
    for (ulong b = done + get_global_id(0); b < blocks; b += get_global_size(0)) {
        const ulong at = low + b;
        const ulong top = high + (at < low);
        const uint4 c = philox(
            (uint4)((uint)at, (uint)(at >> 32), (uint)top, (uint)(top >> 32)), key);
        MADE
        for (uint j = 0; j < PER && b * PER + j < n; j++) {
            PUT(b * PER + j, made[j])
        }
    }
}
