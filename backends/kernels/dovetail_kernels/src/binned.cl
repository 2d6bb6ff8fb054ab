// How many of few points (rows of `dims` numbers) are in each bin of a grid, or the sum of their weights, by one work
// item. sizes: edges of each dim, which stand one after the other and are ascending; the last one counts as inside.

kernel void binned(global X_MEMORY *hist, global const X_MEMORY *points, global const X_MEMORY *edges,
        global const X_MEMORY *weight, ulong8 begin, ulong n, uint dims, ulong bins, ulong8 sizes)
{
    ulong count[8];
    vstore8(sizes, 0, count);
    hist += begin.s0, points += begin.s1, edges += begin.s2, weight += begin.s3;
    for (ulong k = 0; k < bins; k++) hist[k] = 0;
    for (ulong i = 0; i < n; i++) {
        ulong at = 0;
        bool is_inside = true;
        global const X_MEMORY *e = edges;
        for (uint d = 0; d < dims; d++) {
            const ulong last = count[d] - 1;
            const X_VALUE v = points[i * dims + d];
            is_inside = is_inside && v >= e[0] && v <= e[last];
            ulong low = 0, high = last;
            while (low < high) {  // the first edge above
                const ulong middle = (low + high) / 2;
                if (v < e[middle]) high = middle;
                else low = middle + 1;
            }
            at = at * last + (low ? low - 1 : 0);
            e += last + 1;
        }
        if (is_inside) hist[at] += HAS_WEIGHT ? weight[i] : (X_VALUE)1;
    }
}
