// Scaled dot-product attention without a matrix of scores, and its gradients from the logsumexp of
// the rows of scores (Dao et al., "FlashAttention", 2022), in terms of attention_operands.cl.
//
// On a CPU, vectors are of W neighbouring keys: keys and values of a block are turned, so that a
// row of scores is made of products of a number and a vector; this is for few rows, of more
// attention_blocks.cl makes vectors. On a GPU a work item has a row; where they are many enough,
// attention_tiles.cl is faster.

#if IS_CPU
// Scores of one row for the keys from `first` on, as a vector.
#if HAS_MASK
#define HIDE(row, first) \
    { \
        T s_[W]; \
        STORE_LANES(s, s_); \
        for (int j = 0; j < W; j++) s_[j] = SCORED(s_[j], row, (first) + j); \
        s = LOAD_LANES(s_); \
    }
#else
#define HIDE(row, first) \
    if ((first) + W > keys || (IS_CAUSAL && (first) + W - 1 > (row))) { \
        T s_[W]; \
        STORE_LANES(s, s_); \
        for (int j = 0; j < W; j++) s_[j] = SCORED(s_[j], row, (first) + j); \
        s = LOAD_LANES(s_); \
    }
#endif
#define TURN(P, turned, from, first, size) \
    for (int j = 0; j < W; j++) \
        for (int e = 0; e < size; e++) \
            turned[e * W + j] = (first) + j < keys ? P##_S(from, ((first) + j) * LINE(P) + e) : (T)0;
// Several sums at once, so that none waits for the one before.
#define PRODUCT(result, P, row, turned, size) \
    VECTOR result = 0; \
    { \
        VECTOR a_ = 0, b_ = 0, c_ = 0; \
        int e = 0; \
        for (; e + 4 <= size; e += 4) { \
            result = fma((VECTOR)(P##_S(row, e)), LOAD_LANES(turned + e * W), result); \
            a_ = fma((VECTOR)(P##_S(row, e + 1)), LOAD_LANES(turned + (e + 1) * W), a_); \
            b_ = fma((VECTOR)(P##_S(row, e + 2)), LOAD_LANES(turned + (e + 2) * W), b_); \
            c_ = fma((VECTOR)(P##_S(row, e + 3)), LOAD_LANES(turned + (e + 3) * W), c_); \
        } \
        for (; e < size; e++) \
            result = fma((VECTOR)(P##_S(row, e)), LOAD_LANES(turned + e * W), result); \
        result = (result + a_) + (b_ + c_); \
    }
// to[0 … size) += sum of weight[j] * rows[j], for the keys of a block that there are.
#define COMBINE(P, to, weight, from, first, size) \
    { \
        const int there = min(W, keys - (first)); \
        int e = 0; \
        for (; e + W <= size; e += W) { \
            VECTOR sum_ = LOAD_LANES(to + e); \
            for (int j = 0; j < there; j++) \
                sum_ = fma((VECTOR)(weight[j]), P##_V(from, ((first) + j) * LINE(P) + e), sum_); \
            STORE_LANES(sum_, to + e); \
        } \
        for (; e < size; e++) \
            for (int j = 0; j < there; j++) \
                to[e] += weight[j] * P##_S(from, ((first) + j) * LINE(P) + e); \
    }
#endif

// The weights of a row with their noise.
#if HAS_NOISE
#define NOISE_LINE(weight, line, first) \
    for (int j = 0; j < W; j++) weight[j] = NOISED(line, (first) + j, weight[j]);
#define WITH_NOISE(kept, p, line, first) \
    VECTOR kept; \
    { \
        T w_[W]; \
        STORE_LANES(p, w_); \
        NOISE_LINE(w_, line, first) \
        kept = LOAD_LANES(w_); \
    }
#else
#define NOISE_LINE(weight, line, first)
#define WITH_NOISE(kept, p, line, first) const VECTOR kept = p;
#endif

#if IS_FORWARD && IS_CPU
kernel void forward(global OUT_MEMORY *out, global T *sums, global const Q_MEMORY *query,
        global const K_MEMORY *key, global const X_MEMORY *value, global const MASK_MEMORY *mask,
        ulong offset_out, ulong offset_sums, ulong offset_query, ulong offset_key,
        ulong offset_value, ulong offset_mask, SIZES, ulong8 lines)
{
    const ulong blocks = (rows - 1) / BLOCK + 1, items = batches * blocks;
    for (ulong item = get_global_id(0); item < items; item += get_global_size(0)) {
        const ulong batch = item / blocks;
        const int start = item % blocks * BLOCK, count = min(BLOCK, rows - start);
        OPERANDS(batch)
        q += start * LINE(Q);
        T most[BLOCK], total[BLOCK], result[BLOCK * V], turned[E * W];
        for (int r = 0; r < count; r++) { most[r] = -INFINITY; total[r] = 0; }
        for (int i = 0; i < count * V; i++) result[i] = 0;
        for (int first = 0; first < keys; first += W) {
            if (IS_CAUSAL && first > start + count - 1) break;
            TURN(K, turned, k, first, E)
            for (int r = 0; r < count; r++) {
                if (IS_CAUSAL && first > start + r) continue;
                PRODUCT(s, Q, q + r * LINE(Q), turned, E)
                s *= scale;
                HIDE(start + r, first)
                T weight[W], largest = most[r], sum = 0;
                STORE_LANES(s, weight);
                for (int j = 0; j < W; j++) largest = fmax(largest, weight[j]);
                const T level = FINITE(largest), fade = exp(most[r] - level);
                const VECTOR p = exp(s - level);
                STORE_LANES(p, weight);
                for (int j = 0; j < W; j++) sum += weight[j];
                NOISE_LINE(weight, batch * rows + start + r, first)
                total[r] = total[r] * fade + sum;
                most[r] = largest;
                T *to = result + r * V;
                for (int e = 0; e < V; e++) to[e] *= fade;
                COMBINE(X, to, weight, v, first, V)
            }
        }
        for (int r = 0; r < count; r++) {
            const ulong row = batch * rows + start + r;
            const T inverse = total[r] == 0 ? (T)1 : total[r];
            for (int e = 0; e < V; e++)
                OUT_SET_S(out, offset_out + row * V + e, result[r * V + e] / inverse);
            sums[offset_sums + row] = log(total[r]) + FINITE(most[r]);
        }
    }
}
#endif

#if IS_FORWARD && !IS_CPU
kernel void forward(global OUT_MEMORY *out, global T *sums, global const Q_MEMORY *query,
        global const K_MEMORY *key, global const X_MEMORY *value, global const MASK_MEMORY *mask,
        ulong offset_out, ulong offset_sums, ulong offset_query, ulong offset_key,
        ulong offset_value, ulong offset_mask, SIZES, ulong8 lines)
{
    for (ulong item = get_global_id(0); item < batches * rows; item += get_global_size(0)) {
        const ulong batch = item / rows;
        const int row = item % rows;
        OPERANDS(batch)
        T own[E], result[V], most = -INFINITY, total = 0;
        for (int e = 0; e < E; e++) own[e] = Q_S(q, row * LINE(Q) + e) * scale;
        for (int e = 0; e < V; e++) result[e] = 0;
        for (int j = 0; j < keys; j++) {
            T s = 0;
            for (int e = 0; e < E; e++) s += own[e] * K_S(k, j * LINE(K) + e);
            s = SCORED(s, row, j);
            const T largest = fmax(most, s), level = FINITE(largest);
            const T fade = exp(most - level), p = exp(s - level);
            most = largest;
            total = total * fade + p;
            const T kept = NOISED(item, j, p);
            for (int e = 0; e < V; e++)
                result[e] = result[e] * fade + kept * X_S(v, j * LINE(X) + e);
        }
        const T inverse = total == 0 ? (T)1 : total;
        for (int e = 0; e < V; e++) OUT_SET_S(out, offset_out + item * V + e, result[e] / inverse);
        sums[offset_sums + item] = log(total) + FINITE(most);
    }
}
#endif

// A row's gradient times what the forward gave.
#define DELTA(sum, row, line) \
    T sum = 0; \
    for (int e = 0; e < V; e++) \
        sum += G_S(g, (row) * LINE(G) + e) * SEEN_S(seen, offset_seen + (line) * V + e); \
    sum = sum LESS_SLOPE(line);

#if IS_DELTA
kernel void delta(
    global T *room, global const G_MEMORY *grad, global const SEEN_MEMORY *seen,
    global const SLOPE_MEMORY *slopes, ulong offset_room, ulong offset_grad, ulong offset_seen,
    ulong offset_slopes, SIZES, ulong8 lines)
{
    for (ulong item = get_global_id(0); item < batches * rows; item += get_global_size(0)) {
        MASK_PLACE(item / rows)
        global const G_MEMORY *g = grad + offset_grad + from_grad;
        DELTA(sum, item % rows, item)
        room[offset_room + item] = sum;
    }
}
#endif

#if IS_BACKWARD && IS_CPU
// A work item has the heads that share a head of keys: blocks of keys, and for each all rows that see
// it. The gradient of the query is gathered over all keys; halves wide, behind the deltas of all rows
// (IS_WIDE).
#if IS_WIDE
#define OF_QUERY(batch) (room + (batches + (batch) * E) * rows)
#else
#define OF_QUERY(batch) (of_query + offset_of_query + (batch) * rows * E)
#endif
kernel void backward(BACKWARD_ARGUMENTS)
{
    for (ulong shared = get_global_id(0); shared < batches / group; shared += get_global_size(0)) {
        const ulong begin = shared * group, end = begin + group;
        for (ulong batch = begin; batch < end; batch++) {
            ALL_OPERANDS(batch)
            for (int r = 0; r < rows; r++) {
                DELTA(sum, r, batch * rows + r)
                room[batch * rows + r] = sum;
            }
            for (ulong i = 0; i < (ulong)rows * E; i++) OF_QUERY(batch)[i] = 0;
        }
        for (int first = 0; first < keys; first += W) {
            T turned_k[E * W], turned_v[V * W], slope_k[E * W], slope_v[V * W];
            {
                OPERANDS(begin)
                TURN(K, turned_k, k, first, E)
                TURN(X, turned_v, v, first, V)
            }
            for (int i = 0; i < E * W; i++) slope_k[i] = 0;
            for (int i = 0; i < V * W; i++) slope_v[i] = 0;
            for (ulong batch = begin; batch < end; batch++) {
                ALL_OPERANDS(batch)
                for (int r = IS_CAUSAL ? first : 0; r < rows; r++) {
                    PRODUCT(s, Q, q + r * LINE(Q), turned_k, E)
                    s *= scale;
                    HIDE(r, first)
                    const T level = SUM_S(sums, offset_sums + batch * rows + r);
                    const VECTOR p = exp(s - FINITE(level));
                    PRODUCT(slope, G, g + r * LINE(G), turned_v, V)
                    WITH_NOISE(kept, p, batch * rows + r, first)
                    slope = (kept * slope - p * room[batch * rows + r]) * scale;
                    for (int e = 0; e < V; e++)
                        STORE_LANES(fma((VECTOR)(G_S(g, r * LINE(G) + e)), kept,
                            LOAD_LANES(slope_v + e * W)), slope_v + e * W);
                    for (int e = 0; e < E; e++)
                        STORE_LANES(fma((VECTOR)(Q_S(q, r * LINE(Q) + e)), slope,
                            LOAD_LANES(slope_k + e * W)), slope_k + e * W);
                    T weight[W];
                    STORE_LANES(slope, weight);
                    global T *row = OF_QUERY(batch) + r * E;
                    COMBINE(K, row, weight, k, first, E)
                }
            }
            for (int j = 0; j < min(W, keys - first); j++) {
                const ulong at = shared * keys + first + j;
                for (int e = 0; e < E; e++)
                    OUT_SET_S(of_key, offset_of_key + at * E + e, slope_k[e * W + j]);
                for (int e = 0; e < V; e++)
                    OUT_SET_S(of_value, offset_of_value + at * V + e, slope_v[e * W + j]);
            }
        }
#if IS_WIDE
        for (ulong i = begin * rows * E; i < end * rows * E; i++)
            OUT_SET_S(of_query, offset_of_query + i, OF_QUERY(0)[i]);
#endif
    }
}
#endif

#if IS_BACKWARD && !IS_CPU
#define SLOPE(row, j) \
    T s = 0, slope = 0; \
    for (int e = 0; e < E; e++) s += Q_S(q, (row) * LINE(Q) + e) * K_S(k, (j) * LINE(K) + e); \
    for (int e = 0; e < V; e++) slope += G_S(g, (row) * LINE(G) + e) * X_S(v, (j) * LINE(X) + e); \
    s = s * scale; \
    s = SCORED(s, row, j); \
    const T level = SUM_S(sums, offset_sums + batch * rows + (row)); \
    const T p = exp(s - FINITE(level)); \
    const T kept = NOISED(batch * rows + (row), j, p); \
    slope = (kept * slope - p * room[offset_room + batch * rows + (row)]) * scale;

// The first work items have a row each, the others a key.
kernel void backward(BACKWARD_ARGUMENTS)
{
    const ulong of_rows = batches * rows, items = of_rows + batches / group * keys;
    for (ulong item = get_global_id(0); item < items; item += get_global_size(0)) {
        if (item < of_rows) {
            const ulong batch = item / rows;
            const int row = item % rows;
            ALL_OPERANDS(batch)
            T sum[E];
            for (int e = 0; e < E; e++) sum[e] = 0;
            for (int j = 0; j < keys; j++) {
                SLOPE(row, j)
                for (int e = 0; e < E; e++) sum[e] += slope * K_S(k, j * LINE(K) + e);
            }
            for (int e = 0; e < E; e++) OUT_SET_S(of_query, offset_of_query + item * E + e, sum[e]);
        } else {
            const ulong shared = (item - of_rows) / keys, at = item - of_rows;
            const int j = at % keys;
            T sum[E], total[V];
            for (int e = 0; e < E; e++) sum[e] = 0;
            for (int e = 0; e < V; e++) total[e] = 0;
            for (ulong batch = shared * group; batch < (shared + 1) * group; batch++) {
                ALL_OPERANDS(batch)
                for (int row = 0; row < rows; row++) {
                    SLOPE(row, j)
                    for (int e = 0; e < E; e++) sum[e] += slope * Q_S(q, row * LINE(Q) + e);
                    for (int e = 0; e < V; e++) total[e] += kept * G_S(g, row * LINE(G) + e);
                }
            }
            for (int e = 0; e < E; e++) OUT_SET_S(of_key, offset_of_key + at * E + e, sum[e]);
            for (int e = 0; e < V; e++)
                OUT_SET_S(of_value, offset_of_value + at * V + e, total[e]);
        }
    }
}
#endif
