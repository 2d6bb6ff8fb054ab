// Up to MANY matrices along the diagonal of one, 0 elsewhere: a row of the result has one of `runs` elements, that of
// matrix t from row heads.at[t] and column starts.at[t] on. Elements are words.
//
// EACH_TENSOR(DO): DO(t) for t of 0 … MANY - 1. One that is not there begins where rows end.

typedef struct { ulong at[MANY]; } Numbers;

#define BUFFERS(t) global const WORD *x##t

kernel void block_diagonal(global WORD *out, ARGUMENTS, ulong at_out, Numbers places, Numbers runs, Numbers heads,
        Numbers starts, ulong width, ulong rows)
{
    out += at_out;
#if IS_CPU
    const ulong share = (rows - 1) / get_global_size(0) + 1, begin = share * get_global_id(0);
    for (ulong row = begin; row < min(rows, begin + share); row++) {
        global WORD *to = out + row * width;
        int t = -1;
        for (int j = 0; j < MANY; j++) t += row >= heads.at[j];
        const ulong start = starts.at[t], run = runs.at[t];
        for (ulong k = 0; k < start; k++) to[k] = 0;
        for (ulong k = start + run; k < width; k++) to[k] = 0;
        switch (t) {
#define CASE(t) case t: { \
            global const WORD *x = x##t + places.at[t] + (row - heads.at[t]) * run; \
            for (ulong k = 0; k < run; k++) to[start + k] = x[k]; \
            break; \
        }
        EACH_TENSOR(CASE)
        }
    }
#else
    const INDEX count = (INDEX)(rows * width);
    for (INDEX i = get_global_id(0); i < count; i += get_global_size(0)) {
        const INDEX row = i / (INDEX)width;
        int t = -1;
        for (int j = 0; j < MANY; j++) t += row >= heads.at[j];
        const ulong column = i % (INDEX)width - starts.at[t];  // wraps around before the first
        WORD value = 0;
        if (column < runs.at[t]) switch (t) {
#define CASE(t) case t: value = x##t[places.at[t] + (row - heads.at[t]) * runs.at[t] + column]; break;
        EACH_TENSOR(CASE)
        }
        out[i] = value;
    }
#endif
}
