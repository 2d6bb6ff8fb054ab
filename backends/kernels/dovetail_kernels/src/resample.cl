// Sums of a few inputs along three dims, of which is made an image of another size, or the gradient
// for one.
//
// T: what is computed in. IS_SPARSE: outputs have unequal numbers of inputs along x, and what is
// beyond has no weight. `places` has for each dim how many inputs an output has, and then where they
// are, [tap][output]; `weights` the same without the numbers. Where they begin: `at` and `of`.
//
// By lines, on the host's cores: a work item adds up the lines that an output's line is made of, by
// vectors of W, and then neighbours in it. Places along x count from where a vector's begin, which
// stand before them, [tap][vector], and are within two vectors; -1: they count from the line's begin,
// and are farther apart.

#define SUMMED(result, LOADED, is_first) \
    for (int i = 0; i < places[at.x + z]; i++) \
        for (int j = 0; j < places[at.y + y]; j++) { \
            const int iz = places[at.x + (i + 1) * outs.x + z]; \
            const int iy = places[at.y + (j + 1) * outs.y + y]; \
            const T weight = weights[of.x + i * outs.x + z] * weights[of.y + j * outs.y + y]; \
            const ulong from = plane * area + ((ulong)iz * sizes.y + iy) * sizes.z; \
            LOADED \
            result = is_first ? weight * v : fma(weight, v, result); \
            is_first = 0; \
        }

#define NUMBERS ulong offset_out, ulong offset_in, ulong planes, int4 sizes, int4 outs, int4 of, \
    int4 at, int4 how

#if IS_LINES
#if W == 16 && defined(__AVX512F__) && __has_builtin(__builtin_ia32_vpermi2varps512)
#define PICKED(p, i) __builtin_ia32_vpermi2varps512(vload16(0, p), i, vload16(1, p))
#endif

kernel void resample_lines(global OUT_MEMORY *out, global const OUT_MEMORY *in,
        global const int *places, global const T *weights, global T *memory, NUMBERS)
{
    const ulong area = (ulong)sizes.x * sizes.y * sizes.z, limit = planes * area;
    const ulong rows = planes * outs.x * outs.y, share = (rows - 1) / get_global_size(0) + 1;
    const ulong begin = min(rows, get_global_id(0) * share), end = min(rows, begin + share);
    const ulong last_end = end * outs.z;
    const int taps = at.w, columns = how.x, room = how.y;
    global T *line = memory + get_global_id(0) * (ulong)room;
    global const int *bases = places + at.z, *index = bases + taps * (columns / W);
    for (int i = 0; i < room; i++) line[i] = (T)0;
    for (ulong row = begin; row < end; row++) {
        const ulong plane = row / ((ulong)outs.x * outs.y);
        const int z = row / outs.y % outs.x, y = row % outs.y;
        for (int x = 0; x < sizes.z; x += W) {
            const int n = sizes.z - x;
            int is_first = 1;
            WIDE sum = (WIDE)0;
            SUMMED(sum,
                WIDE v;
                if (from + x + W <= limit) {
                    v = OUT_V(in + offset_in, from + x);
                } else {
                    T value[W];
                    for (int k = 0; k < W; k++)
                        value[k] = k < n ? OUT_LOAD(in + offset_in, from + x + k) : (T)0;
                    v = vloadW(0, value);
                },
                is_first)
            PUT_WIDE(line + x, sum);
        }
        for (int x = 0; x < outs.z; x += W) {
            WIDE sum = (WIDE)0;
            for (int k = 0; k < taps; k++) {
                WIDE v;
                const int first = bases[k * (columns / W) + x / W];
                global const int *i = index + k * columns + x;
#ifdef PICKED
                if (first >= 0) {
                    v = PICKED(line + first, vload16(0, i));
                } else
#endif
                {
                    T value[W];
                    for (int j = 0; j < W; j++) value[j] = line[max(first, 0) + i[j]];
                    v = vloadW(0, value);
                }
                const WIDE weight = vloadW(0, weights + of.z + k * columns + x);
#if IS_SPARSE
                v = weight == (T)0 ? (WIDE)0 : v;
#endif
                sum = k ? fma(weight, v, sum) : weight * v;
            }
            const ulong there = row * outs.z + x;
            // What is too much of a line is overwritten by the next.
            if (x + W <= outs.z || there + W <= last_end) {
                OUT_SET_V(out + offset_out, there, sum);
            } else {
                T value[W];
                vstoreW(sum, 0, value);
                for (int k = 0; k < outs.z - x; k++)
                    OUT_STORE(out + offset_out, there + k, value[k]);
            }
        }
    }
}
#else
kernel void resample(global OUT_MEMORY *out, global const OUT_MEMORY *in, global const int *places,
        global const T *weights, NUMBERS)
{
    const ulong area = (ulong)sizes.x * sizes.y * sizes.z;
    const ulong all = planes * outs.x * outs.y * outs.z;
    for (ulong item = get_global_id(0); item < all; item += get_global_size(0)) {
        const int x = item % outs.z, y = item / outs.z % outs.y;
        const int z = item / ((ulong)outs.z * outs.y) % outs.x;
        const ulong plane = item / ((ulong)outs.z * outs.y * outs.x);
        T sum = (T)0;
        for (int k = 0; k < places[at.z + x]; k++) {
            const int ix = places[at.z + (k + 1) * outs.z + x];
            const T share = weights[of.z + k * outs.z + x];
            int is_first = 1;
            T part = (T)0;
            SUMMED(part, const T v = OUT_LOAD(in + offset_in, from + ix);, is_first)
            sum = k ? fma(share, part, sum) : share * part;
        }
        OUT_STORE(out + offset_out, item, sum);
    }
}
#endif
