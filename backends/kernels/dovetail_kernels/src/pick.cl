// The element at a place of a line's stable order, and where it is; or the most frequent one of a line:
// a line is one work item's.
//
// PASSES: bytes of a key, which is found byte by byte: those of whom the bytes before are the same are
// counted by the next. RULE: 0 the place is given; 1 the middle, or the first NaN; 2 the middle of those
// that are no NaN. SHORT: elements of a line of which all are compared. HAS_INDICES.

#define DIGITS 256
#define NUMBERS ulong offset_in, ulong offset_values, ulong offset_indices, ulong lines, \
    ulong count, ulong step_in, ulong step_values, ulong step_indices LINES_NUMBERS
#if KIND == 2
#define IS_NAN(key) ((key) == ALL_BITS)
#else
#define IS_NAN(key) 0
#endif
#if HAS_INDICES
#define INDICES , global long *indices
#define SET_INDEX(k) indices[offset_indices + beside] = (long)(k);
#else
#define INDICES
#define SET_INDEX(k)
#endif
#define SET(k) { values[offset_values + to] = x[(k) * step_in]; SET_INDEX(k) }

kernel void picked(global WORD *values INDICES, global const WORD *in, NUMBERS, ulong rank)
{
    for (ulong line = get_global_id(0); line < lines; line += get_global_size(0)) {
        LINES(line)
        global const WORD *x = in + offset_in + from;
        ulong place = rank, nans = 0;
#if RULE
#if KIND == 2
        for (ulong k = 0; k < count; k++) nans += IS_NAN(key_of(x[k * step_in]));
#endif
        const ulong rest = count - nans;
        if (RULE == 1) place = nans ? rest : (count - 1) / 2;
        else place = rest ? (rest - 1) / 2 : 0;
#endif
        if (count <= SHORT) {
            const uint n = (uint)count;
            KEY few[SHORT];
            for (uint k = 0; k < n; k++) few[k] = key_of(x[k * step_in]);
            for (uint j = 0; j < n; j++) {
                const KEY one = few[j];
                uint before = 0;
                for (uint k = 0; k < j; k++) before += few[k] <= one;
                for (uint k = j + 1; k < n; k++) before += few[k] < one;
                if (before == place) {
                    SET(j)
                    break;
                }
            }
            continue;
        }
        KEY found = 0, known = 0;
        for (int pass = PASSES - 1; pass >= 0; pass--) {
            uint counts[DIGITS];
            for (uint d = 0; d < DIGITS; d++) counts[d] = 0;
            for (ulong k = 0; k < count; k++) {
                const KEY key = key_of(x[k * step_in]);
                if ((key & known) == found) counts[(uint)(key >> 8 * pass) & 255u]++;
            }
            uint d = 0;
            for (; place >= counts[d]; d++) place -= counts[d];
            found |= (KEY)d << 8 * pass;
            known |= (KEY)255 << 8 * pass;
        }
        for (ulong k = 0; k < count; k++)
            if (key_of(x[k * step_in]) == found && place-- == 0) {
                SET(k)
                break;
            }
    }
}

// Of several the smallest, and its last place; a NaN is none of several.
kernel void frequent(global WORD *values INDICES, global const WORD *in, NUMBERS)
{
    for (ulong line = get_global_id(0); line < lines; line += get_global_size(0)) {
        LINES(line)
        global const WORD *x = in + offset_in + from;
        const uint n = (uint)count;
        KEY few[SHORT];
        for (uint k = 0; k < n; k++) few[k] = key_of(x[k * step_in]);
        uint best = 0, most = 0;
        for (uint j = 0; j < n; j++) {
            const KEY key = few[j];
            uint times = 0;
            for (uint k = 0; k < n; k++) times += few[k] == key;
            if (IS_NAN(key)) times = 1;
            const int is_last = !IS_NAN(key) && key == few[best];
            if (times > most || (times == most && (key < few[best] || is_last))) {
                most = times;
                best = j;
            }
        }
        SET(best)
    }
}
