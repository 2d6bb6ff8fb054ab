// A stable merge sort of lines: runs by insertion, then every element finds its place in the two
// runs that it belongs to by bisection.
//
// K_*: elements of the input and of the values. BEFORE(a, b): a comes before b, and not the other
// way round.

#define NUMBERS ulong offset_in, ulong offset_values, ulong offset_indices, ulong lines, \
    ulong count, ulong step_in, ulong step_values, ulong step_indices LINES_NUMBERS

kernel void runs(global K_MEMORY *keys, global uint *order, global const K_MEMORY *in, NUMBERS)
{
    const ulong blocks = (count - 1) / RUN + 1;
    for (ulong item = get_global_id(0); item < lines * blocks; item += get_global_size(0)) {
        const ulong line = item / blocks, first = item % blocks * RUN;
        const int n = (int)min((ulong)RUN, count - first);
        LINES(line)
        K_VALUE key[RUN];
        uint place[RUN];
        for (int j = 0; j < n; j++) {
            const K_VALUE v = K_LOAD(in, offset_in + from + (first + j) * step_in);
            int at = j;
            while (at > 0 && BEFORE(v, key[at - 1])) {
                key[at] = key[at - 1];
                place[at] = place[at - 1];
                at--;
            }
            key[at] = v;
            place[at] = (uint)(first + j);
        }
        for (int j = 0; j < n; j++) {
            K_STORE(keys, line * count + first + j, key[j]);
            order[line * count + first + j] = place[j];
        }
    }
}

kernel void merge(global K_MEMORY *to, global uint *to_order, global const K_MEMORY *keys,
        global const uint *order, ulong lines, ulong count, ulong width)
{
    for (ulong item = get_global_id(0); item < lines * count; item += get_global_size(0)) {
        const ulong line = item / count, k = item % count, base = line * count;
        const ulong start = k / (2 * width) * (2 * width);
        const ulong middle = min(count, start + width), end = min(count, start + 2 * width);
        const K_VALUE v = K_LOAD(keys, item);
        const int is_left = k < middle;
        ulong low = is_left ? middle : start, high = is_left ? end : middle;
        const ulong other = low;
        while (low < high) {
            const ulong probe = low + (high - low) / 2;
            const K_VALUE u = K_LOAD(keys, base + probe);
            // Of equal elements those of the left run stay first.
            const int goes_on = is_left ? BEFORE(u, v) : !BEFORE(v, u);
            if (goes_on) low = probe + 1; else high = probe;
        }
        const ulong own = is_left ? k - start : k - middle;
        const ulong at = base + start + own + (low - other);
        K_STORE(to, at, v);
        to_order[at] = order[item];
    }
}

kernel void finish(global K_MEMORY *values, global long *indices, global const K_MEMORY *keys,
        global const uint *order, NUMBERS)
{
    for (ulong item = get_global_id(0); item < lines * count; item += get_global_size(0)) {
        const ulong line = item / count, k = item % count;
        LINES(line)
        const ulong at = offset_values + to + k * step_values;
        K_STORE(values, at, K_LOAD(keys, item));
        indices[offset_indices + beside + k * step_indices] = order[item];
    }
}
