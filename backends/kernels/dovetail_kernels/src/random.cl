// Random numbers of Philox4x32-10: element e of a draw is made of its own words of the counter.
//
// PER: elements of a block of four words. MADE: the initialiser of those elements, from the words c.
// stream: the seed, the counter of the first block in two words, and where the elements begin; one
// argument, for they are what differs from draw to draw. MOVES: the draw is queued again later; moved has what its seed is
// combined with by then, and how many blocks its counter has moved on.

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
#define NOISE(w) (UNIFORM(w) < p ? (float)scale : 0.0f)
#define WHOLE(w) (low_value + (long)((ulong)(w) * range >> 32))
#define RADIUS(u) sqrt(-2 * log(1 - (u)))

#if MOVES
#define IF_MOVES(...) __VA_ARGS__
#else
#define IF_MOVES(...)
#endif

kernel void draw(global OUT_MEMORY *out, IF_MOVES(global const ulong *moved,)
        ulong8 stream, ulong n, float p, double_or_float scale, long low_value, ulong range)
{
    ulong seed = stream.s0, low = stream.s1;
    const ulong high = stream.s2, offset = stream.s3;
    IF_MOVES(seed ^= moved[0]; low += moved[1];)
    const uint k0 = (uint)seed, k1 = (uint)(seed >> 32);
    const ulong blocks = (n + PER - 1) / PER;
    for (ulong b = get_global_id(0); b < blocks; b += get_global_size(0)) {
        const ulong at = low + b;
        const ulong top = high + (at < low);
        const uint4 c = philox(
            (uint4)((uint)at, (uint)(at >> 32), (uint)top, (uint)(top >> 32)), (uint2)(k0, k1));
        MADE
        for (uint j = 0; j < PER && b * PER + j < n; j++)
            OUT_STORE(out, offset + b * PER + j, made[j]);
    }
}
