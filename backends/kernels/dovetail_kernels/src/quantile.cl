// What lies at fractions q of rows of n elements in order, NaN last. WAY: 0 linear, 1 the lower place, 2 the
// higher, 3 the midpoint, 4 the nearest.

kernel void quantile(global T *out, global const T *rows, global const T *q, global uint *faults, ulong8 begin,
        ulong count, ulong n, ulong many, int skips_nan, uint fault_of)
{
    int is_wrong = 0;
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        global const T *row = rows + begin.s1 + item / many * n;
        const T given = q[begin.s2 + item % many], share = given >= 0 && given <= 1 ? given : (T)0;
        is_wrong |= given != share;
        T place = share * (T)(n - 1);
        if (row[n - 1] != row[n - 1]) {
            place = (T)(n - 1);
            if (skips_nan) {
                ulong low = 0, high = n - 1;  // the first NaN
                while (low < high) {
                    const ulong middle = (low + high) / 2;
                    if (row[middle] != row[middle]) high = middle;
                    else low = middle + 1;
                }
                place = low ? share * (T)(low - 1) : (T)0;
            }
        }
#if WAY == 1
        const T made = row[(ulong)floor(place)];
#elif WAY == 2
        const T made = row[(ulong)ceil(place)];
#elif WAY == 4
        const T made = row[(ulong)rint(place)];
#else
        const T a = row[(ulong)place], b = row[(ulong)ceil(place)];
        const T w = WAY == 3 ? (T)0.5f : place - (T)(ulong)place;
        const T made = w < (T)0.5f ? a + w * (b - a) : b - (b - a) * (1 - w);
#endif
        out[begin.s0 + item] = made;
    }
    if (is_wrong) report(faults, fault_of, 0, 0);
}
