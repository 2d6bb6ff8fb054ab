// Bags of rows of a table by number: where bags begin, and in which row the largest elements are.
//
// A number that is out of range counts for nothing and is reported (see fault.cl).

#if IS_CPU
#define EACH(i, count) \
    const ulong share_ = ((count) - 1) / get_global_size(0) + 1; \
    const ulong last_ = min((ulong)(count), share_ * (get_global_id(0) + 1)); \
    for (ulong i = share_ * get_global_id(0); i < last_; i++)
#else
#define EACH(i, count) for (ulong i = get_global_id(0); i < (count); i += get_global_size(0))
#endif

#if IS_BOUNDS
// The offsets, and length behind them where out has one more. They begin with 0, do not fall and do not
// pass length; else which of the three it is is added to fault_of.
kernel void bag_bounds(global long *out, global const long *offsets, global uint *faults,
        ulong offset_out, ulong offset_in, ulong offset_faults, ulong count, ulong given, long length,
        uint fault_of)
{
    EACH(i, count) {
        const long here = i < given ? offsets[offset_in + i] : length;
        const long before = i ? offsets[offset_in + i - 1] : 0;
        const int wrong = i == 0 && here ? 0 : here > length ? 1 : here < before ? 2 : 3;
        // What the last offset is, the end behind it must not say once more.
        if (wrong < 3 && i < given) report(faults, fault_of + wrong, here, (ulong)length);
        out[offset_out + i] = !i || here < 0 ? 0 : here > length ? length : here;
    }
}
#endif

#if IS_LARGEST
kernel void bag_largest(global long *out, global const X_MEMORY *in, global const long *index,
        global const long *starts, global uint *faults, ulong offset_out, ulong offset_in,
        ulong offset_index, ulong offset_starts, ulong offset_faults, ulong count, ulong n, ulong rows,
        ulong picks, long skipped, uint fault_of)
{
    WATCH
    EACH(i, count) {
        const ulong bag = i / n, k = i % n;
        const ulong end = min((ulong)starts[offset_starts + bag + 1], picks);
        long largest = -1;
        X_VALUE most = 0;
        for (ulong pick = (ulong)starts[offset_starts + bag]; pick < end; pick++) {
            const long row = index[offset_index + pick];
            if ((ulong)row >= rows) {
                WRONG(row)
                continue;
            }
            if (row == skipped) continue;
            const X_VALUE x = X_LOAD(in, offset_in + row * n + k);
            if (largest < 0 || x > most || (x != x && most == most)) {
                largest = row;
                most = x;
            }
        }
        out[offset_out + i] = largest;
    }
    REPORT(rows)
}
#endif
