// What a recurrent layer begins with (recurrent_panels.cl), in a launch of its own.

kernel void begin(global T *work, global const E_MEMORY *hx, global const E_MEMORY *cx,
        global const E_MEMORY *weight, ulong offset_work, ulong offset_hx, ulong offset_cx,
        ulong offset_weight, ulong n, int size, ulong carry_at, ulong panels_at)
{
    begun(work, work + carry_at, work + panels_at, hx + offset_hx, cx + offset_cx,
        weight + offset_weight, n, size, get_global_id(0), get_global_size(0));
}
