// A stable sort of lines by their keys' bytes, the lowest first: for few strong work items.
//
// PASSES: bytes of a key. SHORT: elements up to which each one's place is the number of those before it. A line is one work item's (`sort_lines`), or PARTS work items have a part
// of it each: `begin` makes keys, `count_digits` counts what each part has of a byte's values, and
// `move` takes every element to where those before it end.

#define DIGITS 256
#define DIGIT(key, pass) ((uint)((key) >> (8 * (pass))) & 255u)
#define NUMBERS ulong offset_in, ulong offset_values, ulong offset_indices, ulong lines, \
    ulong count, ulong step_in, ulong step_values, ulong step_indices LINES_NUMBERS

kernel void sort_lines(global WORD *values, global long *indices, global const WORD *in,
        global KEY *keys, global uint *order, NUMBERS)
{
    global KEY *key = keys + get_global_id(0) * 2 * count, *other_key = key + count;
    global uint *at = order + get_global_id(0) * 2 * count, *other_at = at + count;
    for (ulong line = get_global_id(0); line < lines; line += get_global_size(0)) {
        LINES(line)
        if (count <= SHORT) {
            const uint n = (uint)count;
            KEY few[SHORT];
            uint place[SHORT];
            for (uint k = 0; k < n; k++) few[k] = key_of(in[offset_in + from + k * step_in]);
            stand(few, place, n);
            for (uint k = 0; k < n; k++) {
                const ulong there = place[k];
                values[offset_values + to + there * step_values] = in[offset_in + from + k * step_in];
                indices[offset_indices + beside + there * step_indices] = k;
            }
            continue;
        }
        uint counts[PASSES][DIGITS];
        for (uint pass = 0; pass < PASSES; pass++)
            for (uint d = 0; d < DIGITS; d++) counts[pass][d] = 0;
        for (uint k = 0; k < count; k++) {
            const KEY made = key_of(in[offset_in + from + k * step_in]);
            key[k] = made;
            at[k] = k;
            for (uint pass = 0; pass < PASSES; pass++) counts[pass][DIGIT(made, pass)]++;
        }
        for (uint pass = 0; pass < PASSES; pass++) {
            if (counts[pass][DIGIT(key[0], pass)] == count) continue;  // it is the same in all
            uint next = 0;
            for (uint d = 0; d < DIGITS; d++) {
                const uint n = counts[pass][d];
                counts[pass][d] = next;
                next += n;
            }
            for (uint k = 0; k < count; k++) {
                const KEY moved = key[k];
                const uint to_place = counts[pass][DIGIT(moved, pass)]++;
                other_key[to_place] = moved;
                other_at[to_place] = at[k];
            }
            global KEY *const swapped = key;
            key = other_key;
            other_key = swapped;
            global uint *const swapped_at = at;
            at = other_at;
            other_at = swapped_at;
        }
        for (ulong k = 0; k < count; k++) {
            values[offset_values + to + k * step_values] = in[offset_in + from + at[k] * step_in];
            indices[offset_indices + beside + k * step_indices] = at[k];
        }
    }
}

// The part of a line that a work item has.
#define EACH_PART(parts) \
    const ulong chunk = (count - 1) / (parts) + 1; \
    for (ulong item = get_global_id(0); item < lines * (parts); item += get_global_size(0))
#define PART(parts) \
    const ulong line = item / (parts), part = item % (parts), base = line * count; \
    const ulong first = min(count, part * chunk), end = min(count, first + chunk);

kernel void begin(global KEY *keys, global uint *order, global const WORD *in, NUMBERS, ulong parts)
{
    EACH_PART(parts) {
        PART(parts)
        LINES(line)
        for (ulong k = first; k < end; k++) {
            keys[base + k] = key_of(in[offset_in + from + k * step_in]);
            order[base + k] = (uint)k;
        }
    }
}

kernel void count_digits(global uint *counts, global const KEY *keys, ulong lines, ulong count,
        ulong parts, uint pass)
{
    EACH_PART(parts) {
        PART(parts)
        uint seen[DIGITS];
        for (uint d = 0; d < DIGITS; d++) seen[d] = 0;
        for (ulong k = first; k < end; k++) seen[DIGIT(keys[base + k], pass)]++;
        for (uint d = 0; d < DIGITS; d++) counts[item * DIGITS + d] = seen[d];
    }
}

kernel void move(global KEY *to, global uint *to_order, global const KEY *keys,
        global const uint *order, global const uint *counts, ulong lines, ulong count, ulong parts,
        uint pass)
{
    EACH_PART(parts) {
        PART(parts)
        ulong places[DIGITS], next = base;
        for (uint d = 0; d < DIGITS; d++) {
            for (ulong p = 0; p < parts; p++) {
                if (p == part) places[d] = next;
                next += counts[(line * parts + p) * DIGITS + d];
            }
        }
        for (ulong k = base + first; k < base + end; k++) {
            const KEY key = keys[k];
            const ulong at = places[DIGIT(key, pass)]++;
            to[at] = key;
            to_order[at] = order[k];
        }
    }
}

kernel void finish(global WORD *values, global long *indices, global const WORD *in,
        global const uint *order, NUMBERS, ulong parts)
{
    EACH_PART(parts) {
        PART(parts)
        LINES(line)
        for (ulong k = first; k < end; k++) {
            const uint at = order[base + k];
            values[offset_values + to + k * step_values] = in[offset_in + from + at * step_in];
            indices[offset_indices + beside + k * step_indices] = at;
        }
    }
}
