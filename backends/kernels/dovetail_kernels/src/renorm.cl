// Slices of (outer, slices, inner) whose norm is above `most` are scaled down to it; a slice for each work item.
// ADDED(sum, v), ROOT(sum): what the norm does to an element, and to their sum.

static T larger(T a, T b)
{
    return b > a || b != b ? b : a;
}

kernel void renorm(global OUT_MEMORY *out, global const IN_MEMORY *input, ulong8 begin, uint outer,
        uint slices, uint inner, T most, T tiny, T p)
{
    input += begin.s1;
    for (uint slice = get_global_id(0); slice < slices; slice += get_global_size(0)) {
        T sum = 0;
        for (uint o = 0; o < outer; o++) {
            const ulong first = ((ulong)o * slices + slice) * inner;
            T part = 0;
            for (uint i = 0; i < inner; i++) part = ADDED(part, IN_LOAD(input, first + i));
            sum = JOINED(sum, part);
        }
        const T norm = ROOT(sum);
        const T factor = norm > most ? most / (norm + tiny) : (T)1;
        for (uint o = 0; o < outer; o++) {
            const ulong first = ((ulong)o * slices + slice) * inner;
            for (uint i = 0; i < inner; i++)
                OUT_STORE(out, begin.s0 + first + i, IN_LOAD(input, first + i) * factor);
        }
    }
}
