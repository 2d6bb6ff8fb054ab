// Copies between two layouts, converting. OUTER(flat): places `to`, `from`.

kernel void copy(global OUT_MEMORY *out, global const IN_MEMORY *in, ulong offset_out,
        ulong offset_in, ulong count OUTER_NUMBERS)
{
    const ulong share = (count - 1) / get_global_size(0) + 1;
    for (ulong j = 0; j < share; j++) {
#if IS_CPU
        const ulong item = get_global_id(0) * share + j;
#else
        const ulong item = j * get_global_size(0) + get_global_id(0);
#endif
        if (item >= count) break;
        OUTER(item)
        OUT_STORE(out, offset_out + to, CONVERTED(IN_LOAD(in, offset_in + from)));
    }
}
