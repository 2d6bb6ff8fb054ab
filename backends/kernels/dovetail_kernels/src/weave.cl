// An element of each of a few dense tensors in turn. Elements are words.
//
// ARGUMENTS, PLACES: the tensors x0, x1, … and where they begin. BEGIN goes to these places; EACH
// writes the i-th element of each.

kernel void weave(global WORD *restrict out, ARGUMENTS, ulong at_out, PLACES, ulong items)
{
#if IS_CPU
    const ulong share = (items + get_global_size(0) - 1) / get_global_size(0), step = 1;
    const ulong first = share * get_global_id(0), end = min(items, first + share);
#else
    const ulong first = get_global_id(0), step = get_global_size(0), end = items;
#endif
    out += at_out;
    BEGIN
#if IS_CPU && defined(__clang__)
#pragma clang loop vectorize(assume_safety)
#endif
    for (ulong i = first; i < end; i += step) {
        EACH
    }
}
