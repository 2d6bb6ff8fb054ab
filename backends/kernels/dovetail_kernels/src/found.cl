// How many elements of each chunk are set, of dense tensors.
//
// CHUNK: elements of a chunk. IS_SET(v): an element is not zero.

kernel void found(global uint *totals, global const X_MEMORY *in, ulong offset_in, ulong count,
        ulong chunks)
{
    for (ulong c = get_global_id(0); c < chunks; c += get_global_size(0)) {
        global const X_MEMORY *from = in + offset_in + c * CHUNK;
        const int n = (int)min((ulong)CHUNK, count - c * CHUNK);
        uint sum = 0;
        for (int i = 0; i < n; i++) sum += IS_SET(X_LOAD(from, i));
        totals[c] = sum;
    }
}
