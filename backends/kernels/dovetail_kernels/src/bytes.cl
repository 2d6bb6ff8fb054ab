// Folds rows of bytes, `row_step` apart, into one row of `width`, for the host's cores; `batches` of them.
//
// Bytes are folded in words of 16 bits, those at even places and those at odd ones: no more than GROUP
// rows, whose sums a word can hold, and whose number is a word's lower byte where the value is the upper
// one, so that of equal values the one that is wanted first wins. WORD: short or ushort. IS_SUM, HAS_PLACE:
// what comes out; else the extreme. BEYOND: < or >. IS_BOOL: what is not 0 is 1.

typedef WORD WORDS __attribute__((ext_vector_type(16)));
typedef WORDS words_anywhere __attribute__((aligned(1)));
#define LOAD(p) SEEN(*(global const words_anywhere *)(p))
#define LANES 32      // bytes of a vector
#define VECTORS 32    // of a work item
#define GROUP 256

#if IS_BOOL
#define SEEN(v) ((((v) & (WORD)0x7f7f) + (WORD)0x7f7f | (v)) >> 7 & (WORD)0x0101)
#else
#define SEEN(v) (v)
#endif
#define OUTERMOST(a, v) { const WORDS v_ = v; a = v_ BEYOND a ? v_ : a; }
#if IS_SUM
#define FOLD(e, o, v, c) e += (v) << 8 >> 8; o += (v) >> 8;
#elif HAS_PLACE
#define FOLD(e, o, v, c) OUTERMOST(e, (v) << 8 | (WORD)(c)) OUTERMOST(o, ((v) & (WORD)0xff00) | (WORD)(c))
#else
#define FOLD(e, o, v, c) OUTERMOST(e, (v) << 8) OUTERMOST(o, v)
#endif
#define NUMBER(i) (IS_FIRST_LARGE ? GROUP - 1 - (i) : (i))
#define IS_FIRST_LARGE (1 BEYOND 0)

kernel void columns(global OUT_MEMORY *out, global const uchar *in, global long *places,
        ulong offset_out, ulong offset_in, ulong batches, ulong rows, ulong width, ulong row_step,
        ulong step_in, ulong step_out, ulong span)
{
    const ulong blocks = (width - 1) / span + 1, items = batches * blocks;
    const ulong past = items * (get_global_id(0) + 1) / get_global_size(0);
    for (ulong item = items * get_global_id(0) / get_global_size(0); item < past; item++) {
        const ulong batch = item / blocks, column = item % blocks * span;
        const int vectors = (int)((min(span, width - column) + LANES - 1) / LANES);
        global const uchar *base = in + offset_in + batch * step_in;
        global OUT_MEMORY *to = out + offset_out + batch * step_out;
#define AT(j) min(column + (j) * LANES, width - LANES)  // the last one takes some once more
        WORDS even[VECTORS], odd[VECTORS];
#if IS_SUM
        int16 sums[2 * VECTORS];
        for (int j = 0; j < 2 * vectors; j++) sums[j] = (int16)0;
#elif HAS_PLACE
        WORDS best[2 * VECTORS], group[2 * VECTORS];
#endif
        for (ulong first = 0; first < rows; first += GROUP) {
            const int n = (int)min((ulong)GROUP, rows - first);
            global const uchar *row = base + first * row_step;
#if IS_SUM || HAS_PLACE
            const bool begins = true;
#else
            const bool begins = first == 0;
#endif
            if (begins)
                for (int j = 0; j < vectors; j++) {
                    even[j] = odd[j] = (WORDS)(WORST);
                }
            int i = 0;
            for (; i + 4 <= n; i += 4, row += 4 * row_step)
                for (int j = 0; j < vectors; j++) {
                    global const uchar *p = row + AT(j);
                    WORDS e = even[j], o = odd[j];
                    if (j % 2 == 0)
                        for (int r = 4; r < 8; r++) FETCH(p + r * row_step)
                    const WORDS v0 = LOAD(p), v1 = LOAD(p + row_step);
                    const WORDS v2 = LOAD(p + 2 * row_step), v3 = LOAD(p + 3 * row_step);
                    FOLD(e, o, v0, NUMBER(i)) FOLD(e, o, v1, NUMBER(i + 1))
                    FOLD(e, o, v2, NUMBER(i + 2)) FOLD(e, o, v3, NUMBER(i + 3))
                    even[j] = e;
                    odd[j] = o;
                }
            for (; i < n; i++, row += row_step)
                for (int j = 0; j < vectors; j++) {
                    const WORDS v = LOAD(row + AT(j));
                    FOLD(even[j], odd[j], v, NUMBER(i))
                }
#if IS_SUM
            for (int j = 0; j < vectors; j++) {
                sums[2 * j] += convert_int16(even[j]);
                sums[2 * j + 1] += convert_int16(odd[j]);
            }
#elif HAS_PLACE
#define KEEP(k, v) { \
                const WORDS v_ = v; \
                const SIGNED is_it = (v_ >> 8) BEYOND (best[k] >> 8); \
                best[k] = is_it ? v_ : best[k]; \
                group[k] = is_it ? (WORDS)((WORD)(first / GROUP)) : group[k]; \
            }
            for (int j = 0; j < vectors; j++) {
                if (first == 0) {
                    best[2 * j] = even[j];
                    best[2 * j + 1] = odd[j];
                    group[2 * j] = group[2 * j + 1] = (WORDS)0;
                } else {
                    KEEP(2 * j, even[j])
                    KEEP(2 * j + 1, odd[j])
                }
            }
#endif
        }
        for (int j = 0; j < vectors; j++) {
            global OUT_MEMORY *y = to + AT(j);
            for (int l = 0; l < 16; l++)
                for (int k = 0; k < 2; k++) {
#if IS_SUM
                    y[2 * l + k] = (OUT_MEMORY)((private int *)&sums[2 * j + k])[l];
#elif HAS_PLACE
                    const WORD found = ((private WORD *)&best[2 * j + k])[l];
                    const long before = (ushort)((private WORD *)&group[2 * j + k])[l];
                    y[2 * l + k] = before * GROUP + NUMBER(found & 0xff);
#else
                    y[2 * l + k] = (OUT_MEMORY)(((private WORD *)(k ? &odd[j] : &even[j]))[l] >> 8);
#endif
                }
        }
    }
}
