// The vector product along a dim of three: a work item takes one vector of each.
//
// OUTER(item): the places `to`, `from`, `with` of the vectors; `steps` along each.

#define LEFT(i) IN_LOAD(left, offsets.s1 + from + (i) * steps.s1)
#define RIGHT(i) IN_LOAD(right, offsets.s2 + with + (i) * steps.s2)
#define PUT(i, v) IN_STORE(out, offsets.s0 + to + (i) * steps.s0, v)

kernel void vector_product(global IN_MEMORY *out, global const IN_MEMORY *left,
        global const IN_MEMORY *right, ulong8 offsets, ulong count, ulong8 steps OUTER_NUMBERS)
{
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        OUTER(item)
        const IN_VALUE a0 = LEFT(0), a1 = LEFT(1), a2 = LEFT(2);
        const IN_VALUE b0 = RIGHT(0), b1 = RIGHT(1), b2 = RIGHT(2);
        PUT(0, a1 * b2 - a2 * b1);
        PUT(1, a2 * b0 - a0 * b2);
        PUT(2, a0 * b1 - a1 * b0);
    }
}
