// Words of Philox4x32-10 (Salmon et al., "Parallel random numbers", 2011), four of a counter and a key,
// and uniform numbers of them.
//
// BITS, STEP: of a word that become a number in [0, 1), and what the last of them is worth. LANES:
// blocks side by side, where it is more than 1 (see random_lanes.py).

uint4 philox(uint4 c, uint2 k) {
    for (int round = 0; round < 10; round++) {
        const uint h0 = mul_hi(0xD2511F53u, c.x), l0 = 0xD2511F53u * c.x;
        const uint h1 = mul_hi(0xCD9E8D57u, c.z), l1 = 0xCD9E8D57u * c.z;
        c = (uint4)(h1 ^ c.y ^ k.x, l1, h0 ^ c.w ^ k.y, l0);
        k += (uint2)(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

#define UNIFORM(w) ((float)((w) >> (32 - BITS)) * STEP)
#define UNIFORM_DOUBLE(a, b) \
    ((double)((ulong)((a) >> 5) * 67108864ul + ((b) >> 6)) * (1.0 / 9007199254740992.0))

#if MOVES
#define IF_MOVES(...) __VA_ARGS__
#else
#define IF_MOVES(...)
#endif

#if LANES > 1
typedef struct { UINTS x, y, z, w; } Words;

// The same for a block in each lane: for every other one apart, in numbers of 64 bits, whose upper
// halves are of no account until a product needs all of them.
#define LOW(v) ((v) & 0xFFFFFFFFul)
#define ROUND(x, y, z, w) { \
        const WIDE p = LOW(x) * 0xD2511F53ul, q = LOW(z) * 0xCD9E8D57ul; \
        x = q >> 32 ^ y ^ k0; y = q; z = p >> 32 ^ w ^ k1; w = p; \
    }
#define TOGETHER(even, odd) AS_UINTS(LOW(even) | (odd) << 32)

static inline Words philox_lanes(Words c, uint2 k) {
    WIDE x = AS_WIDE(c.x), y = AS_WIDE(c.y), z = AS_WIDE(c.z), w = AS_WIDE(c.w);
    WIDE x_odd = x >> 32, y_odd = y >> 32, z_odd = z >> 32, w_odd = w >> 32;
    for (int round = 0; round < 10; round++) {
        const ulong k0 = k.x, k1 = k.y;
        ROUND(x, y, z, w)
        ROUND(x_odd, y_odd, z_odd, w_odd)
        k += (uint2)(0x9E3779B9u, 0xBB67AE85u);
    }
    c.x = TOGETHER(x, x_odd);
    c.y = TOGETHER(y, y_odd);
    c.z = TOGETHER(z, z_odd);
    c.w = TOGETHER(w, w_odd);
    return c;
}
#endif
