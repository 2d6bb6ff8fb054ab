// What a recurrent layer begins with, in what is computed in: its first states, and on the host's
// cores the weight in panels.
//
// STATES: how many states there are, which lie side by side in memory: kept, then carry. PANELS:
// whether the weight is packed, (gates, units) by units, GATES rows of it for a unit; COLUMNS and
// IS_BACKWARD: see recurrent.cl.

kernel void begin(global T *kept, global T *carry, global T *weights, global const E_MEMORY *hx,
        global const E_MEMORY *cx, global const E_MEMORY *weight, ulong offset_hx,
        ulong offset_cx, ulong offset_weight, ulong n, int size)
{
    const ulong states = n * size;
    for (ulong i = get_global_id(0); i < states; i += get_global_size(0)) {
#if STATES > 0
        kept[i] = E_S(hx, offset_hx + i);
#endif
#if STATES > 1
        carry[i] = E_S(cx, offset_cx + i);
#endif
    }
#if PANELS
    const int depth = size * DEPTH, blocks = (size - 1) / (VECTORS * W) + 1;
    global const E_MEMORY *w = weight + offset_weight;
    for (int block = get_global_id(0); block < blocks; block += get_global_size(0)) {
        global T *to = weights + (ulong)block * depth * COLUMNS;
        for (int vector = 0; vector < VECTORS; vector++)
            for (int g = 0; g < SUMS_EACH; g++) {
                const int u = (block * VECTORS + vector) * W, count = min(W, size - u);
                global T *panel = to + (vector * SUMS_EACH + g) * W;
#if IS_BACKWARD
                for (int k = 0; k < depth; k++)
                    for (int j = 0; j < W; j++)
                        panel[(ulong)k * COLUMNS + j]
                            = j < count ? (T)(E_S(w, (ulong)k * size + u + j)) : (T)0;
#else
                for (int j = 0; j < W; j++)
                    for (int k = 0; k < depth; k++)
                        panel[(ulong)k * COLUMNS + j] = j < count
                            ? (T)(E_S(w, ((ulong)g * size + u + j) * size + k)) : (T)0;
#endif
            }
    }
#endif
}
