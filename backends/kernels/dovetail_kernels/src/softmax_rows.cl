// softmax and log_softmax along lines of n neighbours, for the host's cores: see exponentials.cl.
//
// A line of up to HELD elements is read once from memory: its exponentials are held, in what is
// computed in. Of a longer one they are computed again, for which it is read a second time.

#define NUMBERS ulong lines, int n

#define S(i) IN_S(x, i)
#define V(i) IN_V(x, i)
#define NEXT(i) FETCH(x + (m) + (i))
#define HOLD(i, e) HELD_SET_V(held, i, e);
#define LEAVE(i, e)

// The largest of a line, and the sum of exponentials of distances from it, part by part.
#define MOST_AND_SUM(x, n, most, sum, KEEP) \
    T most = -INFINITY, sum = 0; \
    for (int first_ = 0; first_ < (n); first_ += HELD) { \
        const int m = min((n) - first_, HELD); \
        T top_, part_; \
        MOST_OF(top_, m, S, V, x - in) \
        const T before_ = most; \
        TAKE_MORE(most, top_) \
        const T off_ = OFF(most, 0); \
        SUM_OF(part_, m, off_, S, V, x - in, NEXT, KEEP) \
        sum = first_ ? sum * EXP_S(before_ - off_) + part_ : part_; \
        x += m; \
    } \
    x -= (n);

// y[i] = VALUE of W elements at i, or of one.
#define SET_LINE(y, n, VALUE_V, VALUE_S) { \
        int i = 0; \
        for (; i + W <= (n); i += W) OUT_SET_V(y, i, VALUE_V); \
        for (; i < (n); i++) OUT_SET_S(y, i, VALUE_S); \
    }

#define EACH_LINE(line, lines) \
    const ulong share_ = ((lines) - 1) / get_global_size(0) + 1; \
    const ulong last_ = min((ulong)(lines), share_ * (get_global_id(0) + 1)); \
    for (ulong line = share_ * get_global_id(0); line < last_; line++)

kernel void softmax(global OUT_MEMORY *out, global const IN_MEMORY *in, ulong offset_out,
        ulong offset_in, NUMBERS)
{
    T space[W + HELD], *held = space + W;
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + line * n;
        global OUT_MEMORY *y = out + offset_out + line * n;
        if (n <= HELD) {
            MOST_AND_SUM(x, n, most, sum, HOLD)
            const T scale = 1 / sum;
            SET_LINE(y, n, HELD_V(held, i) * scale, held[i] * scale)
        } else {
            MOST_AND_SUM(x, n, most, sum, LEAVE)
            const T scale = 1 / sum;
            SET_LINE(y, n, EXP_V(V(i) - most) * scale, EXP_S(S(i) - most) * scale)
        }
    }
}

kernel void log_softmax(global OUT_MEMORY *out, global const IN_MEMORY *in, ulong offset_out,
        ulong offset_in, NUMBERS)
{
    EACH_LINE(line, lines) {
        global const IN_MEMORY *x = in + offset_in + line * n;
        global OUT_MEMORY *y = out + offset_out + line * n;
        MOST_AND_SUM(x, n, most, sum, LEAVE)
        const T less = LOG(sum);
        SET_LINE(y, n, V(i) - most - less, S(i) - most - less)
    }
}
