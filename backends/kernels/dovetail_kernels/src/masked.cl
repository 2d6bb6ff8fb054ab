// The elements of a tensor, or one value where a mask says so (IS_CHOICE: of two). Elements are words; the output
// may be the input.

#if HAS_NUMBER
#define GIVEN
#define VALUE , WORD value
#else
#define GIVEN , global const WORD *given
#define VALUE
#endif

#ifdef __clang__
#define EACH_OF_RUN _Pragma("clang loop vectorize(assume_safety)") for (ulong j = 0; j < run; j++)
#else
#define EACH_OF_RUN for (ulong j = 0; j < run; j++)
#endif
#if IS_CHOICE
#define FILL(to, from, flag) out[to] = mask[flag] ? value : other;
#define from 0
#define from_step 1
kernel void chosen(global WORD *out, global const uchar *mask, ulong8 begin, ulong count PLACES_NUMBERS, WORD value,
        WORD other)
{
    mask += begin.s1;
#else
#define FILL(to, from, flag) out[to] = mask[flag] ? value : in[from];
kernel void masked(global WORD *out, global const WORD *in, global const uchar *mask GIVEN, ulong8 begin,
        ulong count PLACES_NUMBERS VALUE)
{
    in += begin.s1;
    mask += begin.s2;
#if !HAS_NUMBER
    const WORD value = given[begin.s3];
#endif
#endif
    out += begin.s0;
#if PLACES_HAS_RUNS
    PLACES_RUNS(count)
        if (to_step == 1 && from_step == 1 && flag_step == 1) {
            EACH_OF_RUN FILL(to + j, from + j, flag + j)
        } else if (to_step == 1 && from_step == 1 && flag_step == 0) {
            global WORD *line = out + to;
            const bool is_set = mask[flag];
#if IS_CHOICE
            const WORD picked = is_set ? value : other;
            EACH_OF_RUN line[j] = picked;
#else
            global const WORD *source = in + from;
            if (is_set) {
                EACH_OF_RUN line[j] = value;
            } else if (line != source) {
                EACH_OF_RUN line[j] = source[j];
            }
#endif
        } else {
            for (ulong j = 0; j < run; j++)
                FILL(to + j * to_step, from + j * from_step, flag + j * flag_step)
        }
    PLACES_NEXT
#else
    for (ulong item = get_global_id(0); item < count; item += get_global_size(0)) {
        PLACES(item)
        FILL(to, from, flag)
    }
#endif
}
