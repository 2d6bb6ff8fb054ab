// Columns added up to an image (col2im), each element by the work item that owns it: it looks for
// the windows that have it, so that nothing collides and equal runs give equal bits.
//
// All have three spatial dims, of size 1 where there are fewer. S: sizes of the image, K of the
// window, P of the places; columns are (planes, K0 K1 K2, P0 P1 P2).
//
// LINE: on the host's cores, elements of a line that a work item adds up at a time, a window's element
// after the other; 0: each work item has single elements.

// The place along dim d of the window whose element k is at x; -1: there is none.
#define PLACE(d, x, k) place_of((long)(x) + pad##d - (long)(k) * wide##d, step##d, P##d)

static inline long place_of(const long begin, const long step, const long places)
{
    if (begin < 0 || begin % step != 0) return -1;
    const long at = begin / step;
    return at < places ? at : -1;
}

kernel void col2im(global OUT_MEMORY *out, global const IN_MEMORY *in, ulong offset_out,
        ulong offset_in, ulong count, long S0, long S1, long S2, long K0, long K1, long K2,
        long P0, long P1, long P2, long step0, long step1, long step2, long pad0, long pad1,
        long pad2, long wide0, long wide1, long wide2)
{
#if LINE
    const ulong rows = count / (ulong)S2, share = (rows - 1) / get_global_size(0) + 1;
    const ulong end = min(rows, share * (get_global_id(0) + 1));
    for (ulong row = share * get_global_id(0); row < end; row++) {
        const ulong slice = row / (ulong)S1, plane = slice / (ulong)S0;
        const long y = (long)(row % (ulong)S1), x = (long)(slice % (ulong)S0);
        for (long begin = 0; begin < S2; begin += LINE) {
            const long n = min((long)LINE, S2 - begin);
            T line[LINE];
            for (long z = 0; z < n; z++) line[z] = (T)0;
            for (long i = 0; i < K0; i++) {
                const long p = PLACE(0, x, i);
                if (p < 0) continue;
                for (long j = 0; j < K1; j++) {
                    const long q = PLACE(1, y, j);
                    if (q < 0) continue;
                    for (long k = 0; k < K2; k++) {
                        const long column = (((long)plane * K0 + i) * K1 + j) * K2 + k;
                        const ulong base = offset_in + (ulong)(((column * P0 + p) * P1 + q) * P2);
                        const long to = k * wide2 - pad2 - begin;  // of the first place's element
                        const long first = to < 0 ? (step2 - 1 - to) / step2 : 0;
                        const long last = to < n ? min(P2, (n - 1 - to) / step2 + 1) : 0;
                        if (step2 == 1)
                            for (long r = first; r < last; r++) line[r + to] += IN_LOAD(in, base + r);
                        else
                            for (long r = first; r < last; r++)
                                line[r * step2 + to] += IN_LOAD(in, base + r);
                    }
                }
            }
            for (long z = 0; z < n; z++) {
                const ulong item = row * (ulong)S2 + (ulong)(begin + z);
                OUT_STORE(out, offset_out + item, line[z]);
            }
        }
    }
#else
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        const ulong row = item / (ulong)S2, slice = row / (ulong)S1, plane = slice / (ulong)S0;
        const long z = (long)(item % (ulong)S2), y = (long)(row % (ulong)S1);
        const long x = (long)(slice % (ulong)S0);
        T sum = (T)0;
        for (long i = 0; i < K0; i++) {
            const long p = PLACE(0, x, i);
            if (p < 0) continue;
            for (long j = 0; j < K1; j++) {
                const long q = PLACE(1, y, j);
                if (q < 0) continue;
                for (long k = 0; k < K2; k++) {
                    const long r = PLACE(2, z, k);
                    if (r < 0) continue;
                    const long column = (((long)plane * K0 + i) * K1 + j) * K2 + k;
                    sum += IN_LOAD(in, offset_in + (ulong)(((column * P0 + p) * P1 + q) * P2 + r));
                }
            }
        }
        OUT_STORE(out, offset_out + item, sum);
    }
#endif
}
