// What kernels of attention by lines take, in terms of attention_scores.cl.
//
// Queries, keys, values and gradients lie in lines of neighbours; LINE(P): from one to the next. A
// batch's begin where MASK_PLACE says, as its mask does.

#define LINE(P) LINE_##P
#define LINE_Q lines.s0
#define LINE_K lines.s1
#define LINE_X lines.s2
#define LINE_G lines.s3
#if HAS_MASK
#define PLACE(batch) PLACE_MASK(batch)
#else
#define PLACE(batch) MASK_PLACE(batch)
#endif
#define OPERANDS(batch) \
    PLACE(batch) \
    global const Q_MEMORY *q = query + offset_query + from_query; \
    global const K_MEMORY *k = key + offset_key + from_key; \
    global const X_MEMORY *v = value + offset_value + from_value;

// What a row's delta is less by: the gradient of its logsumexp.
#if HAS_SLOPES
#define LESS_SLOPE(line) - SLOPE_S(slopes, offset_slopes + (line))
#else
#define LESS_SLOPE(line)
#endif

#define BACKWARD_ARGUMENTS \
    global OUT_MEMORY *of_query, global OUT_MEMORY *of_key, global OUT_MEMORY *of_value, \
    global const G_MEMORY *grad, global const Q_MEMORY *query, global const K_MEMORY *key, \
    global const X_MEMORY *value, global const MASK_MEMORY *mask, global const SUM_MEMORY *sums, \
    global const SEEN_MEMORY *seen, global const SLOPE_MEMORY *slopes, global T *room, \
    ulong offset_of_query, ulong offset_of_key, ulong offset_of_value, ulong offset_grad, \
    ulong offset_query, ulong offset_key, ulong offset_value, ulong offset_mask, \
    ulong offset_sums, ulong offset_seen, ulong offset_slopes, ulong offset_room, SIZES, \
    ulong8 lines
#define ALL_OPERANDS(batch) \
    OPERANDS(batch) \
    global const G_MEMORY *g = grad + offset_grad + from_grad;
