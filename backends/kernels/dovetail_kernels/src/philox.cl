// Words of Philox4x32-10 (Salmon et al., 2011), and uniform numbers of them.
//
// BITS, STEP: of a word that become a number in [0, 1), and what the last of them is worth.

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
