// Rows of scores, in terms of team.cl: a line is a row of n keys. `first`: the row's number among
// all heads' that the first line has. MASK_PLACE(head): where its mask begins. HAS_MASK: 0 none, 1
// bool (0 hides), 2 added to the scores. Scores are scaled already.

#define NUMBERS ulong lines, int n, ulong inner, int rows, ulong mask_row, ulong mask_column \
    MASK_PLACE_NUMBERS, int width, ulong first, T scale

#define HIDES(row, k) (IS_CAUSAL && (k) > (row))
#if HAS_MASK
#define PLACE_MASK(head) MASK_PLACE(head) \
    global const MASK_MEMORY *hiding = mask + offset_mask + masked + row * mask_row;
#define MASK_AT(k) MASK_S(hiding, (k) * mask_column)
#else
#define PLACE_MASK(head)
#endif
#if HAS_MASK == 1
#define SCORED(s, k) (HIDES(row, k) || !MASK_AT(k) ? -INFINITY : (s))
#elif HAS_MASK == 2
#define SCORED(s, k) (HIDES(row, k) ? -INFINITY : (s) + MASK_AT(k))
#else
#define SCORED(s, k) (HIDES(row, k) ? -INFINITY : (s))
#endif
#define FINITE(x) ((x) == -INFINITY ? (T)0 : (x))

#define ROW(line) \
    const ulong number = first + line; \
    const int row = (int)(number % rows); \
    PLACE_MASK(number / rows)

#if IS_WEIGHTS
// Weights of a row that sees nothing are 0.
kernel void weights(global P_MEMORY *out, global T *sums, global const T *scores,
        global const MASK_MEMORY *mask, ulong offset_out, ulong offset_sums, ulong offset_scores,
        ulong offset_mask, NUMBERS)
{
    TEAM_MEMORY
    EACH_LINE(line, lines) {
        ROW(line)
        global const T *s = scores + offset_scores + line * n;
        global P_MEMORY *p = out + offset_out + line * n;
#define SCORE(L) SCORED(s[k], k)
        FOLD_LINE(most, n, -INFINITY, LARGER, SCORE)
        const T level = FINITE(most);
#define POWER(L) exp(SCORED(s[k], k) - level)
        FOLD_LINE(total, n, 0, ADDED, POWER)
        const T factor = total == 0 ? (T)0 : (T)1 / total;
#define PUT(L) P_SET_S(p, k, exp(SCORED(s[k], k) - level) * factor);
        WALK(n, PUT)
        if (MEMBER == 0) sums[offset_sums + number] = log(total) + level;
    }
}
#endif

#if IS_SLOPES
// Weights, and the gradient of the scores before they were scaled; from the scores and from the
// gradient of the weights. Either may take the other's place.
kernel void slopes(global P_MEMORY *weights, global P_MEMORY *out, global const T *scores,
        global const T *of_weights, global const G_MEMORY *grad, global const O_MEMORY *made,
        global const T *sums, global const SLOPE_MEMORY *of_sums, global const MASK_MEMORY *mask,
        ulong offset_weights, ulong offset_out, ulong offset_scores, ulong offset_of_weights,
        ulong offset_grad, ulong offset_made, ulong offset_sums, ulong offset_of_sums,
        ulong offset_mask, NUMBERS)
{
    TEAM_MEMORY
    EACH_LINE(line, lines) {
        ROW(line)
        global const G_MEMORY *g = grad + offset_grad + number * width;
        global const O_MEMORY *o = made + offset_made + number * width;
        global const T *s = scores + offset_scores + line * n;
        global const T *t = of_weights + offset_of_weights + line * n;
        global P_MEMORY *p = weights + offset_weights + line * n;
        global P_MEMORY *d = out + offset_out + line * n;
#define BOTH(L) G_S(g, k) * O_S(o, k)
        FOLD_LINE(delta, width, 0, ADDED, BOTH)
#if HAS_SLOPES
        delta -= SLOPE_S(of_sums, offset_of_sums + number);
#endif
        const T level = FINITE(sums[offset_sums + number]);
#define SLOPED(L) { \
        const T weight = exp(SCORED(s[k], k) - level); \
        const T slope = weight * (t[k] - delta) * scale; \
        P_SET_S(p, k, weight); \
        P_SET_S(d, k, slope); \
    }
        WALK(n, SLOPED)
    }
}
#endif
