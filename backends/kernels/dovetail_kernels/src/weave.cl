// An element of each of a few dense tensors in turn. Elements are words.
//
// ARGUMENTS, PLACES: the tensors x0, x1, … and where they begin. BEGIN goes to these places; EACH
// writes the i-th element of each.

kernel void weave(global WORD *restrict out, ARGUMENTS, ulong at_out, PLACES, ulong items)
{
    const ulong share = (items + get_global_size(0) - 1) / get_global_size(0);
    const ulong first = share * get_global_id(0), end = min(items, first + share);
    out += at_out;
    BEGIN
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#endif
    for (ulong i = first; i < end; i++) {
        EACH
    }
}
