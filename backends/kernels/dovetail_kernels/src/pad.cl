// A dense tensor inside of another one, which has a value elsewhere. Elements are words; of NDIM dims
// sizes are the last of eight. before: places before the first element along each; negative: elements that are cut
// off.

#define BEGIN (8 - NDIM)

kernel void pad(global WORD *out, global const WORD *in, ulong8 begin, ulong lines, ulong8 out_size,
        ulong8 in_size, ulong8 before, BITS value)
{
    ulong sizes[8], inner[8], ahead[8];
    vstore8(out_size, 0, sizes);
    vstore8(in_size, 0, inner);
    vstore8(before, 0, ahead);
    long n[8], m[8], b[8];
    for (int d = BEGIN; d < 8; d++) {
        n[d] = (long)sizes[d];
        m[d] = (long)inner[d];
        b[d] = (long)ahead[d];
    }
    out += begin.s0;
    in += begin.s1;
    const long width = n[7];
#if IS_CPU
    const ulong share = (lines - 1) / get_global_size(0) + 1, first = share * get_global_id(0);
    const ulong last = min(lines, first + share);
    for (ulong line = first; line < last; line++) {
#else
    for (ulong item = get_global_id(0); item < lines * width; item += get_global_size(0)) {
        const ulong line = item / width;
        const long k = item % width;
#endif
        ulong left = line;
        long source = 0, step = m[7];
        bool is_inside = true;
        for (int d = 6; d >= BEGIN; d--) {
            const long at = (long)(left % n[d]) - b[d];
            left /= n[d];
            is_inside &= at >= 0 && at < m[d];
            source += at * step;
            step *= m[d];
        }
        global BITS *to = (global BITS *)out + line * width;
        global const BITS *from = (global const BITS *)in;
#if IS_CPU
        const long low = is_inside ? clamp(b[7], 0l, width) : width;
        const long high = is_inside ? clamp(b[7] + m[7], low, width) : width;
        for (long k = 0; k < low; k++) to[k] = value;
        if (low < high) {
            from += source + low - b[7];
            for (long k = low; k < high; k++) to[k] = from[k - low];
        }
        for (long k = high; k < width; k++) to[k] = value;
#else
        const long at = k - b[7];
        to[k] = is_inside && at >= 0 && at < m[7] ? from[source + at] : value;
#endif
    }
}
