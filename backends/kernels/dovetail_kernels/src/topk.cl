// The k smallest keys of lines, in order: each work item keeps those of its line, or of its part of
// one, and looks closer only at blocks in which there is a smaller one than the last that it keeps.
//
// MOST: the largest k. BLOCK: elements that are compared at once. SHORT: elements of a line up to which
// each one's place is the number of those before it, where they are fewer than SHARE for each of k.

#define NUMBERS ulong offset_in, ulong offset_values, ulong offset_indices, ulong lines, \
    ulong count, ulong step_in, ulong step_values, ulong step_indices LINES_NUMBERS

// Puts a key behind those that are not larger; of `kept` ones, `k` stay.
#define KEEP(made, place) { \
    uint to_ = kept < k ? kept++ : k - 1; \
    for (; to_ > 0 && best[to_ - 1] > (made); to_--) { \
        best[to_] = best[to_ - 1]; \
        at[to_] = at[to_ - 1]; \
    } \
    best[to_] = (made); \
    at[to_] = (uint)(place); \
}

#define WRITTEN for (uint j = 0; j < k; j++) { \
    values[offset_values + to + j * step_values] = in[offset_in + from + at[j] * step_in]; \
    indices[offset_indices + beside + j * step_indices] = at[j]; \
}

static inline uint taken(global const WORD *in, ulong step, ulong first, ulong end, uint k, KEY *best,
        uint *at)
{
    uint kept = 0;
    ulong i = first;
    for (; i < end && kept < k; i++) KEEP(key_of(in[i * step]), i)
    for (; i + BLOCK <= end; i += BLOCK) {
        const KEY last = best[k - 1];
        uint is_any = 0;
        for (uint j = 0; j < BLOCK; j++) is_any |= key_of(in[(i + j) * step]) < last;
        if (!is_any) continue;
        for (ulong j = i; j < i + BLOCK; j++) {
            const KEY made = key_of(in[j * step]);
            if (made < best[k - 1]) KEEP(made, j)
        }
    }
    for (; i < end; i++) {
        const KEY made = key_of(in[i * step]);
        if (made < best[k - 1]) KEEP(made, i)
    }
    return kept;
}

kernel void top_lines(global WORD *values, global long *indices, global const WORD *in, NUMBERS, uint k)
{
    for (ulong line = get_global_id(0); line < lines; line += get_global_size(0)) {
        LINES(line)
        if (count <= SHORT && count < SHARE * k) {
            global const WORD *x = in + offset_in + from;
            const uint n = (uint)count;
            KEY few[SHORT];
            uint place[SHORT];
            for (uint i = 0; i < n; i++) few[i] = key_of(x[i * step_in]);
            stand(few, place, n);
            for (uint i = 0; i < n; i++) {
                const ulong there = place[i];
                if (there >= k) continue;
                values[offset_values + to + there * step_values] = x[i * step_in];
                indices[offset_indices + beside + there * step_indices] = i;
            }
            continue;
        }
        KEY best[MOST];
        uint at[MOST];
        taken(in + offset_in + from, step_in, 0, count, k, best, at);
        WRITTEN
    }
}

// k places for each part of a line, of which a part may have too few.
kernel void top_parts(global KEY *keys, global uint *order, global const WORD *in, NUMBERS, uint k,
        ulong parts)
{
    const ulong chunk = (count - 1) / parts + 1;
    for (ulong item = get_global_id(0); item < lines * parts; item += get_global_size(0)) {
        const ulong line = item / parts, first = min(count, item % parts * chunk);
        LINES(line)
        KEY best[MOST];
        uint at[MOST];
        const uint kept =
            taken(in + offset_in + from, step_in, first, min(count, first + chunk), k, best, at);
        for (uint j = 0; j < kept; j++) {
            keys[item * k + j] = best[j];
            order[item * k + j] = at[j];
        }
    }
}

kernel void top_joined(global WORD *values, global long *indices, global const WORD *in,
        global const KEY *keys, global const uint *order, NUMBERS, uint k, ulong parts)
{
    const ulong chunk = (count - 1) / parts + 1;
    for (ulong line = get_global_id(0); line < lines; line += get_global_size(0)) {
        LINES(line)
        KEY best[MOST];
        uint at[MOST], kept = 0;
        for (ulong part = 0; part < parts; part++) {
            const ulong first = min(count, part * chunk), base = (line * parts + part) * k;
            const ulong there = min((ulong)k, min(count, first + chunk) - first);
            for (ulong j = base; j < base + there; j++) {
                const KEY made = keys[j];
                if (kept == k && made >= best[k - 1]) break;
                KEEP(made, order[j])
            }
        }
        WRITTEN
    }
}
