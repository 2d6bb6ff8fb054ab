// How often each number below `size` occurs among n of them, or the sums of their weights (HAS_WEIGHTS); one
// work item, for few of them. The core has seen that they are in range, or (FINDS_ENDS) the smallest and the
// largest are found here, and where these are out of range nothing is counted.

#if HAS_WEIGHTS
#define WEIGHTS , global const OUT *weights
#define COUNTS(i) weights[begin.s2 + (i)]
#else
#define WEIGHTS
#define COUNTS(i) 1
#endif
#if FINDS_ENDS
#define ENDS , global long *ends
#else
#define ENDS
#endif

kernel void bincount(global OUT *out, global const long *in WEIGHTS ENDS, ulong8 begin, ulong n, ulong size)
{
    out += begin.s0;
    in += begin.s1;
#if FINDS_ENDS
    long low = in[0], high = in[0];
    for (ulong i = 1; i < n; i++) {
        low = min(low, in[i]);
        high = max(high, in[i]);
    }
#if HAS_WEIGHTS
    ends += begin.s3;
#else
    ends += begin.s2;
#endif
    ends[0] = low;
    ends[1] = high;
    if (low < 0 || (ulong)high >= size) n = 0;
#endif
    for (ulong k = 0; k < size; k++) out[k] = 0;
    for (ulong i = 0; i < n; i++) out[in[i]] += COUNTS(i);
}
