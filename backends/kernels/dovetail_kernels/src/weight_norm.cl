// Slices of (outer, slices, inner) brought to given lengths; IS_SLOPE: the gradients of that. A group has a slice,
// which on the host's cores is one work item. T: what is computed in.

#define LANES 8

#if GROUP > 1
#define EACH_PLACE(at) \
    for (uint k = get_local_id(0); k < outer * inner; k += GROUP) { \
        const ulong at = ((ulong)(k / inner) * slices + slice) * inner + k % inner;
#define PLACES_END }
#else
#define EACH_PLACE(at) \
    for (uint o = 0; o < outer; o++) { \
        const ulong first = ((ulong)o * slices + slice) * inner; \
        for (ulong at = first; at < first + inner; at++) {
#define PLACES_END } }
#endif

// The sum over a slice of the products of x and y.
static T products_of(global const IN_MEMORY *x, global const IN_MEMORY *y, uint slice, uint outer, uint slices,
        uint inner)
{
    T sum = 0;
#if GROUP > 1
    EACH_PLACE(at)
        sum += IN_LOAD(x, at) * IN_LOAD(y, at);
    PLACES_END
#else
    T lane[LANES] = {0};
    for (uint o = 0; o < outer; o++) {
        const ulong first = ((ulong)o * slices + slice) * inner;
        uint i = 0;
        for (; i + LANES <= inner; i += LANES)
            for (int l = 0; l < LANES; l++) lane[l] += IN_LOAD(x, first + i + l) * IN_LOAD(y, first + i + l);
        for (; i < inner; i++) lane[i % LANES] += IN_LOAD(x, first + i) * IN_LOAD(y, first + i);
    }
    for (int l = 0; l < LANES; l++) sum += lane[l];
#endif
    return sum;
}

#if IS_SLOPE
kernel void weight_norm(global OUT_MEMORY *of_v, global OUT_MEMORY *of_g, global const IN_MEMORY *grad,
        global const IN_MEMORY *v, global const IN_MEMORY *g, ulong8 begin, uint outer, uint slices, uint inner)
{
    TEAM_MEMORY
    of_v += begin.s0, of_g += begin.s1, grad += begin.s2, v += begin.s3, g += begin.s4;
    for (uint slice = get_group_id(0); slice < slices; slice += get_num_groups(0)) {
        T squares = products_of(v, v, slice, outer, slices, inner);
        GROUP_FOLD(squares, ADDED)
        T along = products_of(grad, v, slice, outer, slices, inner);
        GROUP_FOLD(along, ADDED)
        const T norm = sqrt(squares), factor = IN_LOAD(g, slice) / norm, share = along / norm / norm;
        EACH_PLACE(at)
            OUT_STORE(of_v, at, (IN_LOAD(grad, at) - IN_LOAD(v, at) * share) * factor);
        PLACES_END
        if (get_local_id(0) == 0) OUT_STORE(of_g, slice, along / norm);
    }
}
#else
kernel void weight_norm(global OUT_MEMORY *out, global const IN_MEMORY *v, global const IN_MEMORY *g, ulong8 begin,
        uint outer, uint slices, uint inner)
{
    TEAM_MEMORY
    out += begin.s0, v += begin.s1, g += begin.s2;
    for (uint slice = get_group_id(0); slice < slices; slice += get_num_groups(0)) {
        T squares = products_of(v, v, slice, outer, slices, inner);
        GROUP_FOLD(squares, ADDED)
        const T factor = IN_LOAD(g, slice) / sqrt(squares);
        EACH_PLACE(at)
            OUT_STORE(out, at, IN_LOAD(v, at) * factor);
        PLACES_END
    }
}
#endif
