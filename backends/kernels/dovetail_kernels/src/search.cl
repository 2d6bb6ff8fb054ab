// Where values belong in sorted sequences: behind all that are smaller, or, IS_RIGHT, not larger.
// NaN is the largest.
//
// Each search halves what is left without a branch, which a processor could not foresee; on the host's
// cores WIDTH searches go side by side, for each step of one waits for memory.

#if IS_RIGHT
#define IS_BEFORE(element, value) ((element) <= (value) || (value) != (value))
#else
#define IS_BEFORE(element, value) \
    ((element) < (value) || ((value) != (value) && (element) == (element)))
#endif

#define ROW(i) (row ? (i) / row * n : 0)

kernel void search(global long *out, global const K_MEMORY *sequence, global const K_MEMORY *values,
        ulong8 offsets, ulong count, ulong n, ulong row)
{
    global const K_MEMORY *of = sequence + offsets.s1, *asked = values + offsets.s2;
    global long *found = out + offsets.s0;
    const ulong blocks = (count - 1) / WIDTH + 1;
#if IS_CPU
    const ulong share = SHARE(ulong, blocks), end = min(blocks, share * (get_global_id(0) + 1));
    for (ulong block = share * get_global_id(0); block < end; block++) {
#else
    for (ulong block = get_global_id(0); block < blocks; block += get_global_size(0)) {
#endif
        const ulong first = min(block * WIDTH, count > WIDTH ? count - WIDTH : 0);
        const int width = (int)min((ulong)WIDTH, count);
        K_VALUE value[WIDTH];
        ulong low[WIDTH], base[WIDTH], left = n;
        for (int j = 0; j < width; j++) {
            value[j] = K_LOAD(asked, first + j);
            base[j] = low[j] = ROW(first + j);
        }
        while (left > 1) {
            const ulong step = left / 2;
            for (int j = 0; j < width; j++)
                low[j] += IS_BEFORE(K_LOAD(of, low[j] + step - 1), value[j]) ? step : 0;
            left -= step;
        }
        for (int j = 0; j < width; j++) {
            const int is_behind = left && IS_BEFORE(K_LOAD(of, low[j]), value[j]);
            found[first + j] = (long)(low[j] - base[j] + is_behind);
        }
    }
}
