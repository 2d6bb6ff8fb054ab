// What a recurrent layer begins with, in what is computed in: its first states, and on the host's
// cores the weight in panels.
//
// STATES: how many states there are, which lie side by side in memory: kept, then carry. PANELS:
// whether the weight is packed, (gates, units) by units, GATES rows of it for a unit; COLUMNS and
// IS_BACKWARD: see recurrent.cl.

static inline void begun(global T *kept, global T *carry, global T *weights,
        global const E_MEMORY *hx, global const E_MEMORY *cx, global const E_MEMORY *w, ulong n,
        int size, int item, int items)
{
    const ulong states = n * size;
    for (ulong i = item; i < states; i += items) {
#if STATES > 0
        kept[i] = E_S(hx, i);
#endif
#if STATES > 1
        carry[i] = E_S(cx, i);
#endif
    }
#if PANELS
    const int depth = size * DEPTH, panels = ((size - 1) / (VECTORS * W) + 1) * VECTORS * SUMS_EACH;
    for (int panel = item; panel < panels; panel += items) {
        const int g = panel % SUMS_EACH, vector = panel / SUMS_EACH;
        const int u = vector * W, count = min(W, size - u);
        global T *to = weights + (ulong)(vector / VECTORS) * depth * COLUMNS
            + (vector % VECTORS * SUMS_EACH + g) * W;
#if IS_BACKWARD
        (void)g;
        for (int k = 0; k < depth; k++) {
            const VECTOR v = READ(w, (ulong)k * size + u);
            K_SET_V(to, (ulong)k * COLUMNS, v);
        }
#else
        global const E_MEMORY *lines = w + ((ulong)g * size + u) * size;
        int k = 0;
#if IS_WOVEN
        for (; count == W && k + W <= depth; k += W)
            WOVEN(lines + k, size, to + (ulong)k * COLUMNS)
#endif
        for (; k < depth; k++)
            for (int j = 0; j < W; j++)
                to[(ulong)k * COLUMNS + j]
                    = j < count ? (T)(E_S(lines, (ulong)j * size + k)) : (T)0;
#endif
    }
#endif
}
