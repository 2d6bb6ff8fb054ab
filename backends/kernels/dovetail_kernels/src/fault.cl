// The first index that is out of range, or value without a result, kept for the host, which raises where
// values are next asked for.
//
// faults: nothing (0), being written (1) or there (2); what it is of (see faults.py); the index and the
// size, of two words each. A work item keeps the first of its own until its loop is done.

#define WATCH long wrong_ = 0; bool is_wrong_ = false;
#define WRONG(index) { if (!is_wrong_) wrong_ = (long)(index); is_wrong_ = true; }
#define REPORT(size) if (is_wrong_) report(faults, fault_of, wrong_, (ulong)(size));

static void report(global uint *faults, uint fault_of, long index, ulong size)
{
    if (atomic_cmpxchg(faults, 0u, 1u) != 0u) return;
    faults[1] = fault_of;
    faults[2] = (uint)(ulong)index;
    faults[3] = (uint)((ulong)index >> 32);
    faults[4] = (uint)size;
    faults[5] = (uint)(size >> 32);
    mem_fence(CLK_GLOBAL_MEM_FENCE);
    faults[0] = 2u;
}
