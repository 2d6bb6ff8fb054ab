// How often each number below `size` occurs among n of them, or the sums of their weights (HAS_WEIGHTS); one
// work item, for few of them. The core has seen that they are in range.

#if HAS_WEIGHTS
#define WEIGHTS , global const OUT *weights
#define COUNTS(i) weights[begin.s2 + (i)]
#else
#define WEIGHTS
#define COUNTS(i) 1
#endif

kernel void bincount(global OUT *out, global const long *in WEIGHTS, ulong8 begin, ulong n, ulong size)
{
    out += begin.s0;
    in += begin.s1;
    for (ulong k = 0; k < size; k++) out[k] = 0;
    for (ulong i = 0; i < n; i++) out[in[i]] += COUNTS(i);
}
