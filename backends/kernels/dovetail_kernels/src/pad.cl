// A dense tensor inside of another one, which has a value elsewhere, or more of the tensor. Elements are words; of NDIM
// dims sizes are the last of eight. before: places before the first element along each; negative: elements that are cut
// off.
//
// ENDS: what stands beyond the ends, 0: the value; 1: elements in turn, as in a mirror; 2: the last one; 3: it begins
// anew, after lengths elements. MAP(at, n): the element at a place of such a dim.

#define BEGIN (8 - NDIM)

kernel void pad(global WORD *out, global const WORD *in, ulong8 begin, ulong start, ulong lines, ulong8 out_size,
        ulong8 in_size, ulong8 before, ulong8 lengths, BITS value)
{
    ulong sizes[8], inner[8], ahead[8], turns[8];
    vstore8(out_size, 0, sizes);
    vstore8(in_size, 0, inner);
    vstore8(before, 0, ahead);
    vstore8(lengths, 0, turns);
    long n[8], m[8], b[8];
    for (int d = BEGIN; d < 8; d++) {
        n[d] = (long)sizes[d];
        m[d] = (long)inner[d];
        b[d] = (long)ahead[d];
    }
    out += begin.s0;
    in += begin.s1 + start;
    const long width = n[7];
#if IS_CPU
    // Each has so many elements in a row, of one line or several.
    const ulong share = (lines * width - 1) / get_global_size(0) + 1;
    const ulong last = min(lines * width, share * (get_global_id(0) + 1));
    for (ulong item = share * get_global_id(0); item < last;) {
        const ulong line = item / width;
        const long k0 = item % width, k1 = min((ulong)width, k0 + last - item);
        item += k1 - k0;
#else
    for (ulong item = get_global_id(0); item < lines * width; item += get_global_size(0)) {
        const ulong line = item / width;
        const long k = item % width;
#endif
        ulong left = line;
        long source = 0, step = m[7];
        bool is_inside = true;
        for (int d = 6; d >= BEGIN; d--) {
            long at = (long)(left % n[d]) - b[d];
            left /= n[d];
#if ENDS
            at = MAP(at, (long)turns[d]);
#else
            is_inside &= at >= 0 && at < m[d];
#endif
            source += at * step;
            step *= m[d];
        }
        global BITS *to = (global BITS *)out + line * width;
        global const BITS *from = (global const BITS *)in;
#if ENDS == 3
        const long length = (long)turns[7];
#endif
#if IS_CPU && ENDS == 3
        from += source;
        long at = again(k0 - b[7], length);
        for (long k = k0; k < k1; at = 0) {
            const long run = min(length - at, k1 - k);
            for (long j = 0; j < run; j++) to[k + j] = from[at + j];
            k += run;
        }
#elif IS_CPU
        const long low = is_inside ? clamp(b[7], k0, k1) : k1;
        const long high = is_inside ? clamp(b[7] + m[7], low, k1) : k1;
#if ENDS
        from += source;
        for (long k = k0; k < low; k++) to[k] = from[MAP(k - b[7], m[7])];
        for (long k = low; k < high; k++) to[k] = from[k - b[7]];
        for (long k = high; k < k1; k++) to[k] = from[MAP(k - b[7], m[7])];
#else
        for (long k = k0; k < low; k++) to[k] = value;
        if (low < high) {
            from += source + low - b[7];
            for (long k = low; k < high; k++) to[k] = from[k - low];
        }
        for (long k = high; k < k1; k++) to[k] = value;
#endif
#elif ENDS
        to[k] = from[source + MAP(k - b[7], (long)turns[7])];
#else
        const long at = k - b[7];
        to[k] = is_inside && at >= 0 && at < m[7] ? from[source + at] : value;
#endif
    }
}
