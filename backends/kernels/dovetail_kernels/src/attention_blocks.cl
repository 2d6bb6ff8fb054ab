// Attention of blocks of rows on the host's cores, in terms of attention.cl's operands: a work item
// takes SIDE rows, which are the lanes of PARTS vectors, and KEYS keys at a time.
//
// Queries are turned once for each block of rows, and keys and values are copied line by line, so
// that every product is one of numbers and vectors (tile) from what lies in a near cache: scores
// (keys by rows), and sums of values (V by rows). Rows have lanes of their own, so nothing is folded
// across lanes. TALL by PARTS sums of a tile are registers. E8, V8: sizes of a line as multiples of
// TALL, ES, VS: of SIDE; zeros follow. FEW_WORDS: rows of words for the noise of KEYS keys.

// c[i][0 … SIDE) = the sum over k < count of a[i * a_line + k * a_step] * b[k * b_line + 0 … SIDE),
// for i < TALL; added to what is there, if `adds`.
static inline void tile(T *c, int c_line, const T *a, int a_line, int a_step, const T *b, int b_line,
        int count, int adds)
{
#define CLEAR(i, n) VECTOR s##i##n = (VECTOR)(T)0;
    EACH_SUM(CLEAR)
    for (int k = 0; k < count; k++) {
#define TAKE_VECTOR(n) const VECTOR b##n = LOAD_LANES(b + k * b_line + n * W);
        EACH_PART(TAKE_VECTOR)
#define TAKE_NUMBER(i) const VECTOR a##i = (VECTOR)(a[i * a_line + k * a_step]);
        EACH_TALL(TAKE_NUMBER)
#define MULTIPLY(i, n) s##i##n = fma(a##i, b##n, s##i##n);
        EACH_SUM(MULTIPLY)
    }
    if (adds) {
#define TAKE_SUM(i, n) s##i##n += LOAD_LANES(c + i * c_line + n * W);
        EACH_SUM(TAKE_SUM)
    }
#define PUT_SUM(i, n) STORE_LANES(s##i##n, c + i * c_line + n * W);
    EACH_SUM(PUT_SUM)
}

// Lines of E or V numbers, `line` apart, zeros behind them and after the last of `count`.
#define COPY(P, to, from, count, size, line, rounded) \
    for (int j = 0; j < (count); j++) { \
        global const P##_MEMORY *p_ = (from) + j * LINE(P); \
        int e = 0; \
        for (; e + W <= (size); e += W) STORE_LANES(P##_V(p_, e), to + j * (line) + e); \
        for (; e < (size); e++) to[j * (line) + e] = P##_S(p_, e); \
        for (; e < (line); e++) to[j * (line) + e] = 0; \
    } \
    for (int i = (count) * (line); i < (rounded) * (line); i++) to[i] = 0;
// The same lines as columns, from a copy of SIDE of them.
#define TURN(to, from, size, line) \
    for (int e = 0; e < (size); e++) \
        for (int r = 0; r < SIDE; r++) to[e * SIDE + r] = from[r * (line) + e];
#define ROUNDED(n) (((n) + TALL - 1) / TALL * TALL)

// Scores of keys first … first + there - 1, hidden ones -inf.
#define SCORE(s, start, first, there, keyed, turned) \
    for (int j = 0; j < there; j += TALL) \
        tile(s + j * SIDE, SIDE, keyed + j * E8, E8, 1, turned, SIDE, E, 0); \
    HIDE_ALL(s, start, first, there)
#if HAS_MASK
#define HIDE_ALL(s, start, first, there) \
    for (int j = 0; j < there; j++) \
        for (int r = 0; r < SIDE; r++) \
            s[j * SIDE + r] = SCORED(s[j * SIDE + r], start + r, (first) + j);
#else
#define HIDE_ALL(s, start, first, there) \
    if (IS_CAUSAL && (first) + there - 1 > start) \
        for (int j = 0; j < there; j++) \
            for (int n = 0; n < PARTS; n++) { \
                T *p_ = s + j * SIDE + n * W; \
                STORE_LANES(IOTA < (first) + j - start - n * W ? (VECTOR)(-INFINITY) \
                    : LOAD_LANES(p_), p_); \
            }
#endif
#define KEYS_SEEN(start, first) \
    min(min(KEYS, keys - (first)), IS_CAUSAL ? (start) + SIDE - (first) : KEYS)
#define FINITE_V(x) ((x) == -INFINITY ? (VECTOR)(T)0 : (x))

#if HAS_NOISE
// Words of the keys from `first` on, for the rows of a vector; a row's begin behind `apart` others.
static inline UINTS drawn(uint *words, ulong4 stream, ulong line, int keys, int first, int there)
{
    const ULONGS element = ((ULONGS)(line) + LONG_LANES) * (ulong)keys + (ulong)first;
    const ULONGS block = (element >> 2) + stream.y;
    const uint2 key = (uint2)((uint)stream.x, (uint)(stream.x >> 32));
    for (int k = 0; 4 * k < there + 3; k++) {
        const ULONGS at = block + (ulong)k;
        const ULONGS top = at < stream.y ? (ULONGS)(stream.z + 1) : (ULONGS)(stream.z);
        Words c;
        c.x = LANES_OF(UINTS, at);
        c.y = LANES_OF(UINTS, at >> 32);
        c.z = LANES_OF(UINTS, top);
        c.w = LANES_OF(UINTS, top >> 32);
        c = philox_lanes(c, key);
        STORE_WORDS(c.x, words + 4 * k * W);
        STORE_WORDS(c.y, words + (4 * k + 1) * W);
        STORE_WORDS(c.z, words + (4 * k + 2) * W);
        STORE_WORDS(c.w, words + (4 * k + 3) * W);
    }
    return LANES_OF(UINTS, element & 3);
}
#define DRAW(line, first, there) \
    uint words[FEW_WORDS * W]; \
    const UINTS apart = drawn(words, stream, line, keys, first, there); \
    const INTS is_odd = (apart & 1u) != 0u, is_late = (apart & 2u) != 0u;
#define WORD(j) LOAD_WORDS(words + (j) * W)
#define WITH_NOISE(j, p) \
    (IS_WIDER((is_late ? (is_odd ? WORD((j) + 3) : WORD((j) + 2)) \
        : (is_odd ? WORD((j) + 1) : WORD(j))) >> 8 < below) ? (p) * noise : (VECTOR)(T)0)
#else
#define DRAW(line, first, there)
#define WITH_NOISE(j, p) (p)
#endif

// A work item's share of the blocks, neighbours of one head as far as they go.
#define EACH_SHARE(item, count) \
    const ulong share_ = ((count) + get_global_size(0) - 1) / get_global_size(0); \
    const ulong end_ = min((ulong)(count), share_ * (get_global_id(0) + 1)); \
    for (ulong item = share_ * get_global_id(0); item < end_; item++)

#if IS_FORWARD
kernel void forward(global OUT_MEMORY *out, global T *sums, global const Q_MEMORY *query,
        global const K_MEMORY *key, global const X_MEMORY *value, global const MASK_MEMORY *mask,
        ulong offset_out, ulong offset_sums, ulong offset_query, ulong offset_key,
        ulong offset_value, ulong offset_mask, SIZES, ulong8 lines)
{
    const ulong blocks = (rows - 1) / SIDE + 1;
    EACH_SHARE(item, batches * blocks) {
        const ulong batch = item / blocks;
        const int start = item % blocks * SIDE, count = min(SIDE, rows - start);
        OPERANDS(batch)
        q += start * LINE(Q);
        T copied[SIDE * E8], turned[E * SIDE], keyed[KEYS * E8], valued[KEYS * V8];
        T s[KEYS * SIDE], result[V8 * SIDE], most[SIDE], total[SIDE];
        COPY(Q, copied, q, count, E, E8, SIDE)
        for (int i = 0; i < SIDE * E8; i++) copied[i] *= scale;
        TURN(turned, copied, E, E8)
        for (int i = 0; i < V8 * SIDE; i++) result[i] = 0;
        for (int r = 0; r < SIDE; r++) { most[r] = -INFINITY; total[r] = 0; }
        for (int first = 0; first < keys; first += KEYS) {
            const int there = KEYS_SEEN(start, first);
            if (there <= 0) break;
            COPY(K, keyed, k + first * LINE(K), there, E, E8, ROUNDED(there))
            COPY(X, valued, v + first * LINE(X), there, V, V8, there)
            SCORE(s, start, first, there, keyed, turned)
            for (int n = 0; n < PARTS; n++) {
                T *own = s + n * W;
                const VECTOR before = LOAD_LANES(most + n * W);
                VECTOR top = before, sum = (VECTOR)(T)0;
                for (int j = 0; j < there; j++) {
                    const VECTOR x = LOAD_LANES(own + j * SIDE);
                    TAKE_MORE(top, x)
                }
                const VECTOR level = FINITE_V(top), fade = EXP_V(before - level);
                DRAW(batch * rows + start + n * W, first, there)
                for (int j = 0; j < there; j++) {
                    const VECTOR p = EXP_V(LOAD_LANES(own + j * SIDE) - level);
                    sum += p;
                    STORE_LANES(WITH_NOISE(j, p), own + j * SIDE);
                }
                STORE_LANES(top, most + n * W);
                STORE_LANES(LOAD_LANES(total + n * W) * fade + sum, total + n * W);
                for (int e = 0; e < V; e++) {
                    T *to = result + e * SIDE + n * W;
                    STORE_LANES(LOAD_LANES(to) * fade, to);
                }
            }
            for (int e = 0; e < V; e += TALL)
                tile(result + e * SIDE, SIDE, valued + e, 1, V8, s, SIDE, there, 1);
        }
        for (int r = 0; r < count; r++) {
            const ulong row = batch * rows + start + r;
            const T inverse = total[r] == 0 ? (T)1 : 1 / total[r];
            for (int e = 0; e < V; e++)
                OUT_SET_S(out, offset_out + row * V + e, result[e * SIDE + r] * inverse);
            sums[offset_sums + row] = log(total[r]) + FINITE(most[r]);
        }
    }
}
#endif

#if IS_BACKWARD
// to[j][0 … size) += from[j][0 … size), lines of `line` numbers.
#define ADD_LINES(to, from, count, size, line) \
    for (int j = 0; j < (count); j++) { \
        global T *t_ = (to) + (ulong)j * (size); \
        const T *f_ = from + j * (line); \
        int e = 0; \
        for (; e + W <= (size); e += W) STORE_LANES(LOAD_LANES(t_ + e) + LOAD_LANES(f_ + e), t_ + e); \
        for (; e < (size); e++) t_[e] += f_[e]; \
    }
// The products of all keys' lines of numbers with the rows, `line` of them at a time.
#define OF_KEYS(to, own, others, there, size, line) \
    for (int j = 0; j < there; j += TALL) \
        for (int e = 0; e < (size); e += SIDE) \
            tile(added + j * (line) + e, line, own + j * SIDE, SIDE, 1, others + e, line, SIDE, 0); \
    ADD_LINES(to, added, there, size, line)

// A work item has the heads that share a head of keys: blocks of rows, and for each all keys that
// they see. Gradients of keys and values are gathered over all rows; of halves in `room` (IS_WIDE).
kernel void backward(BACKWARD_ARGUMENTS)
{
    const ulong shared = batches / group;
    for (ulong seen_by = get_global_id(0); seen_by < shared; seen_by += get_global_size(0)) {
#if IS_WIDE
        global T *to_key = room + seen_by * keys * E, *to_value = room + (shared * E + seen_by * V) * keys;
#else
        global T *to_key = of_key + offset_of_key + seen_by * keys * E;
        global T *to_value = of_value + offset_of_value + seen_by * keys * V;
#endif
        for (ulong i = 0; i < (ulong)keys * E; i++) to_key[i] = 0;
        for (ulong i = 0; i < (ulong)keys * V; i++) to_value[i] = 0;
        for (ulong batch = seen_by * group; batch < (seen_by + 1) * group; batch++) {
            ALL_OPERANDS(batch)
            for (int start = 0; start < rows; start += SIDE) {
                const int count = min(SIDE, rows - start);
                const ulong line = batch * rows + start;
                T asked[SIDE * ES], sloped[SIDE * VS], turned[E * SIDE], tilted[V * SIDE];
                T keyed[KEYS * E8], valued[KEYS * V8], s[KEYS * SIDE], d[KEYS * SIDE];
                T added[KEYS * MOST], result[E8 * SIDE], level[SIDE], delta[SIDE];
                COPY(Q, asked, q + start * LINE(Q), count, E, ES, SIDE)
                COPY(G, sloped, g + start * LINE(G), count, V, VS, SIDE)
                TURN(turned, asked, E, ES)
                TURN(tilted, sloped, V, VS)
                for (int i = 0; i < E * SIDE; i++) turned[i] *= scale;
                for (int i = 0; i < E8 * SIDE; i++) result[i] = 0;
                for (int r = 0; r < SIDE; r++) {
                    T sum = 0, own = 0;
                    if (r < count) {
                        for (int e = 0; e < V; e++)
                            sum += sloped[r * VS + e] * SEEN_S(seen, offset_seen + (line + r) * V + e);
                        sum = sum LESS_SLOPE(line + r);
                        own = SUM_S(sums, offset_sums + line + r);
                    }
                    delta[r] = sum;
                    level[r] = FINITE(own);
                }
                for (int first = 0; first < keys; first += KEYS) {
                    const int there = KEYS_SEEN(start, first);
                    if (there <= 0) break;
                    COPY(K, keyed, k + first * LINE(K), there, E, E8, ROUNDED(there))
                    COPY(X, valued, v + first * LINE(X), there, V, V8, ROUNDED(there))
                    SCORE(s, start, first, there, keyed, turned)
                    for (int j = 0; j < there; j += TALL)
                        tile(d + j * SIDE, SIDE, valued + j * V8, V8, 1, tilted, SIDE, V, 0);
                    for (int n = 0; n < PARTS; n++) {
                        const VECTOR off = LOAD_LANES(level + n * W), less = LOAD_LANES(delta + n * W);
                        DRAW(line + n * W, first, there)
                        for (int j = 0; j < there; j++) {
                            T *to = s + j * SIDE + n * W, *slope = d + j * SIDE + n * W;
                            const VECTOR p = EXP_V(LOAD_LANES(to) - off), kept = WITH_NOISE(j, p);
                            STORE_LANES((kept * LOAD_LANES(slope) - p * less) * scale, slope);
                            STORE_LANES(kept, to);
                        }
                    }
                    OF_KEYS(to_value + (ulong)first * V, s, sloped, there, V, VS)
                    OF_KEYS(to_key + (ulong)first * E, d, asked, there, E, ES)
                    for (int e = 0; e < E; e += TALL)
                        tile(result + e * SIDE, SIDE, keyed + e, 1, E8, d, SIDE, there, 1);
                }
                for (int r = 0; r < count; r++)
                    for (int e = 0; e < E; e++)
                        OUT_SET_S(of_query, offset_of_query + (line + r) * E + e,
                            result[e * SIDE + r]);
            }
        }
#if IS_WIDE
        for (ulong i = 0; i < (ulong)keys * E; i++)
            OUT_SET_S(of_key, offset_of_key + seen_by * keys * E + i, to_key[i]);
        for (ulong i = 0; i < (ulong)keys * V; i++)
            OUT_SET_S(of_value, offset_of_value + seen_by * keys * V + i, to_value[i]);
#endif
    }
}
#endif
