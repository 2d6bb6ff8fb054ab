// The words of what `stream` says (see random.cl), block by block, in terms of philox.cl; MOVED, STREAM and
// BEGIN_STREAM are a kernel's last buffer, its last number and its first statement.

#define MOVED IF_MOVES(, global const ulong *moved)
#define STREAM , ulong8 stream
#define BEGIN_STREAM IF_MOVES(stream.s0 ^= moved[0]; stream.s1 += moved[1]; stream.s2 += stream.s1 < moved[1];)

static uint4 words_of(ulong8 stream, ulong block) {
    const ulong at = stream.s1 + block, top = stream.s2 + (at < stream.s1);
    return philox((uint4)((uint)at, (uint)(at >> 32), (uint)top, (uint)(top >> 32)),
        (uint2)((uint)stream.s0, (uint)(stream.s0 >> 32)));
}
