// Dropout's noise of a score, in terms of philox.cl: that of key j in line l (of all batches' rows) is
// element l * keys + j of a draw of dovetail.ops.randomness.draws, made anew wherever it is wanted.
//
// stream: the seed, and the counter of the first block in two words. A score is kept where the upper
// 24 bits of its word are less than `below`; noise: what its weight is then multiplied by.

#if HAS_NOISE
#define NOISE_NUMBERS , ulong4 stream, uint below, T noise
static inline bool is_kept(ulong4 stream, ulong element, uint below)
{
    const ulong at = stream.y + (element >> 2), top = stream.z + (at < stream.y);
    const uint4 c = philox((uint4)((uint)at, (uint)(at >> 32), (uint)top, (uint)(top >> 32)),
        (uint2)((uint)stream.x, (uint)(stream.x >> 32)));
    const uint low = element & 1 ? c.y : c.x, high = element & 1 ? c.w : c.z;
    return (element & 2 ? high : low) >> 8 < below;
}
#define IS_KEPT(line, key) is_kept(stream, (ulong)(line) * keys + (key), below)
#define NOISED(line, key, x) (IS_KEPT(line, key) ? (x) * noise : (T)0)
#else
#define NOISE_NUMBERS
#define NOISED(line, key, x) (x)
#endif
