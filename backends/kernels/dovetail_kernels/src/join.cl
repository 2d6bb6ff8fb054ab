// Up to MANY tensors one after the other: of each row of the result, tensor t gives the runs.at[t]
// neighbours from starts.at[t] on; from row to row it steps by steps.at[t]. Elements are words.
//
// EACH_TENSOR(DO): DO(t) for t of 0 … MANY - 1. One that is not there has a run of 0, and begins
// where rows end.

typedef struct { ulong at[MANY]; } Numbers;

#define BUFFERS(t) global const WORD *x##t

kernel void join(global WORD *out, ARGUMENTS, ulong at_out, Numbers places, Numbers runs,
        Numbers steps, Numbers starts, ulong width, ulong rows)
{
    out += at_out;
#if IS_CPU
#define DO(t) { \
        global const WORD *x = x##t + places.at[t]; \
        const ulong run = runs.at[t], count = run * rows; \
        const ulong share = (count + get_global_size(0) - 1) / get_global_size(0); \
        ulong i = get_global_id(0) * share; \
        const ulong end = min(count, i + share); \
        if (i < end) { \
            ulong row = i / run, j = i % run; \
            for (; i < end; row++, j = 0) { \
                const ulong n = min(run - j, end - i); \
                global const WORD *from = x + row * steps.at[t] + j; \
                global WORD *to = out + row * width + starts.at[t] + j; \
                for (ulong k = 0; k < n; k++) to[k] = from[k]; \
                i += n; \
            } \
        } \
    }
    EACH_TENSOR(DO)
#else
    const INDEX count = (INDEX)(rows * width);
    for (INDEX i = get_global_id(0); i < count; i += get_global_size(0)) {
        const INDEX row = i / (INDEX)width, column = i % (INDEX)width;
        int t = -1;
        for (int j = 0; j < MANY; j++) t += column >= (INDEX)starts.at[j];
        switch (t) {
#define CASE(t) case t: \
            out[i] = x##t[places.at[t] + row * steps.at[t] + (column - starts.at[t])]; \
            break;
        EACH_TENSOR(CASE)
        }
    }
#endif
}
