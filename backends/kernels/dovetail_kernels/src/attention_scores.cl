// What a score becomes: hidden, or with a number of the mask added; and the arguments that say so.
//
// query (batches, L, E), key (batches / group, S, E), value (batches / group, S, V): so many heads of the
// query share one of keys. E, V: macros. MASKED(batch): the place of a mask's first row. HAS_MASK: 0 none, 1 bool (0 hides), 2 added to the scores, times
// MASK_SCALE.

#define SIZES ulong batches, int rows, int keys, T scale, ulong mask_row, ulong mask_column \
    MASK_PLACE_NUMBERS, int group NOISE_NUMBERS

#define HIDES(row, key) ((IS_CAUSAL && (key) > (row)) || (key) >= keys || (row) >= rows)
#ifndef MASK_SCALE
#define MASK_SCALE (T)1
#endif
#if HAS_MASK
#define PLACE_MASK(batch) MASK_PLACE(batch) \
    global const MASK_MEMORY *hiding = mask + offset_mask + masked;
#define MASK_AT(row, key) MASK_S(hiding, (row) * mask_row + (key) * mask_column)
#else
#define PLACE_MASK(batch)
#endif
#if HAS_MASK == 1
#define SCORED(s, row, key) (HIDES(row, key) || !MASK_AT(row, key) ? -INFINITY : (s))
#elif HAS_MASK == 2
#define SCORED(s, row, key) (HIDES(row, key) ? -INFINITY : (s) + MASK_AT(row, key) * MASK_SCALE)
#else
#define SCORED(s, row, key) (HIDES(row, key) ? -INFINITY : (s))
#endif
#define FINITE(x) ((x) == -INFINITY ? (T)0 : (x))
