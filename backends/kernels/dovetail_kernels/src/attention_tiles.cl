// Attention by tiles, in terms of attention_scores.cl: a work group of 8 by 8 items has OWN lines of
// one side and walks over the other side, OTHER lines at a time. An item (x, y) computes the scores
// of its own lines y + 8 * i with the others x + 8 * j, in registers.
//
// T: the type of sums; QUAD: four of them, neighbours of a line. OWN is 8 * EACH, OTHER 8 * ACROSS.
// E4, V4: quads of a line of E or V elements, a multiple of eight, zeros at its end. The quads of
// line l lie in the order c ^ (l & 7), so that neighbouring items read different banks. Powers are
// of 2: scores are scaled by SCALE2, scale / log(2).
// IS_QUAD: lines begin at multiples of a quad's size, and are read by quads.

#ifndef SIZED
#define SIZED(group) __attribute__((reqd_work_group_size(group, 1, 1)))
#endif
#ifndef LOCAL_AS
#define LOCAL_AS(type, tile) ((local type *)(tile))
#endif
#define GROUP 64
#define OWN (8 * EACH)
#define OTHER (8 * ACROSS)
#define ITEM_X ((int)get_local_id(0) % 8)
#define ITEM_Y ((int)get_local_id(0) / 8)
#ifndef EXP2
#define EXP2(x) exp2(x)
#endif
#define SCALE2 (scale * LOG2E)
#if defined(__x86_64__) || defined(__aarch64__)
// A driver on the host would compile for minutes, and has memory where a GPU has registers.
#define UNROLL
#define SOME
#define MANY
#else
#define UNROLL _Pragma("unroll")
#define SOME _Pragma("unroll 2")
#define MANY _Pragma("unroll 8")
#endif
#define FENCE barrier(CLK_LOCAL_MEM_FENCE);

// LINES lines of an array from `first` on, of `count` that there are.
#define FILLED(tile, LINES, chunks, FACTOR, GET) \
    MANY for (int n_ = 0; n_ < (LINES) * (chunks) / GROUP; n_++) { \
        const uint i_ = n_ * GROUP + (uint)get_local_id(0); \
        const int line_ = (int)(i_ / (chunks)), c_ = (int)(i_ % (chunks)); \
        QUAD quad_ = (QUAD)(0); \
        GET \
        tile[line_ * (chunks) + (c_ ^ (line_ & 7))] = FACTOR(quad_); \
    }
#if IS_QUAD
#define FILL_TIMES(FACTOR, P, tile, LINES, from, first, count, size, chunks) \
    FILLED(tile, LINES, chunks, FACTOR, \
        if ((first) + line_ < (count) && 4 * c_ < (size)) \
            quad_ = *(global const QUAD *)((from) + ((first) + line_) * (size) + 4 * c_);)
#else
#define TAKE(P, part, n, from, size) \
    if (4 * c_ + n < (size)) quad_.part = P##_S(from, at_ + n);
#define FILL_TIMES(FACTOR, P, tile, LINES, from, first, count, size, chunks) \
    FILLED(tile, LINES, chunks, FACTOR, \
        if ((first) + line_ < (count)) { \
            const int at_ = ((first) + line_) * (size) + 4 * c_; \
            TAKE(P, x, 0, from, size) TAKE(P, y, 1, from, size) \
            TAKE(P, z, 2, from, size) TAKE(P, w, 3, from, size) \
        })
#endif

#define PLAIN(quad) (quad)
#define SCALED(quad) ((quad) * (QUAD)(SCALE2))
#define FILL(P, tile, LINES, from, first, count, size, chunks) \
    FILL_TIMES(PLAIN, P, tile, LINES, from, first, count, size, chunks)

#define EACH_SCORE \
    UNROLL for (int i = 0; i < EACH; i++) \
        UNROLL for (int j = 0; j < ACROSS; j++)

// s[i][j]: the products of own lines and others, both of so many quads.
#define MULTIPLY(s, own, other, chunks) \
    T s[EACH][ACROSS]; \
    EACH_SCORE s[i][j] = 0; \
    SOME for (int c_ = 0; c_ < (chunks); c_++) { \
        QUAD b_[ACROSS]; \
        UNROLL for (int j = 0; j < ACROSS; j++) \
            b_[j] = other[(ITEM_X + 8 * j) * (chunks) + (c_ ^ ITEM_X)]; \
        UNROLL for (int i = 0; i < EACH; i++) { \
            const QUAD a_ = own[(ITEM_Y + 8 * i) * (chunks) + (c_ ^ ITEM_Y)]; \
            UNROLL for (int j = 0; j < ACROSS; j++) \
                s[i][j] = fma(a_.w, b_[j].w, fma(a_.z, b_[j].z, \
                    fma(a_.y, b_[j].y, fma(a_.x, b_[j].x, s[i][j])))); \
        } \
    }

// Whether own lines, and others, of so many that there are, have scores that are hidden.
#if HAS_MASK
#define HAS_HIDDEN(row, of_rows, key, of_keys) 1
#else
#define HAS_HIDDEN(row, of_rows, key, of_keys) ((row) + (of_rows) > rows || \
    (key) + (of_keys) > keys || (IS_CAUSAL && (key) + (of_keys) > (row) + 1))
#endif

// Where the weight of an item's lines i and j lies: in lines of OTHER, as quads.
#define WEIGHT(tile, i, j) LOCAL_AS(T, tile)[ \
    ((ITEM_Y + 8 * (i)) * (OTHER / 4) + ((ITEM_X / 4 + 2 * (j)) ^ ITEM_Y)) * 4 + ITEM_X % 4]

#if HAS_NOISE
#define KEPT(weight) fmax(weight, (T)0)
#else
#define KEPT(weight) (weight)
#endif
// sum[i][u] += weights of own lines times the other lines; u: an item's quads ITEM_X + 8 * u.
#define COMBINE(sum, weights, other, chunks, FACTOR) \
    SOME for (int c_ = 0; c_ < OTHER / 4; c_++) { \
        QUAD b_[4][(chunks) / 8]; \
        UNROLL for (int t = 0; t < 4; t++) \
            UNROLL for (int u = 0; u < (chunks) / 8; u++) \
                b_[t][u] = other[ \
                    (4 * c_ + t) * (chunks) + ((ITEM_X + 8 * u) ^ ((4 * c_ + t) & 7))]; \
        UNROLL for (int i = 0; i < EACH; i++) { \
            const QUAD a_ = weights[(ITEM_Y + 8 * i) * (OTHER / 4) + (c_ ^ ITEM_Y)]; \
            UNROLL for (int u = 0; u < (chunks) / 8; u++) \
                sum[i][u] = fma((QUAD)(FACTOR(a_.w)), b_[3][u], fma((QUAD)(FACTOR(a_.z)), b_[2][u], \
                    fma((QUAD)(FACTOR(a_.y)), b_[1][u], fma((QUAD)(FACTOR(a_.x)), b_[0][u], sum[i][u])))); \
        } \
    }
#define CLEAR(sum, chunks) \
    QUAD sum[EACH][(chunks) / 8]; \
    UNROLL for (int i = 0; i < EACH; i++) \
        UNROLL for (int u = 0; u < (chunks) / 8; u++) sum[i][u] = (QUAD)(0);
// Each sum times factor(i), written to own lines from `start` on, of `count` that there are.
#define PUT(P, to, offset, sum, start, count, size, chunks, FACTOR) \
    UNROLL for (int i = 0; i < EACH; i++) \
        if ((start) + ITEM_Y + 8 * i < (count)) \
            UNROLL for (int u = 0; u < (chunks) / 8; u++) { \
                const int e_ = 4 * (ITEM_X + 8 * u); \
                const ulong at_ = (offset) + (ulong)((start) + ITEM_Y + 8 * i) * (size) + e_; \
                const QUAD v_ = sum[i][u] * (QUAD)(FACTOR); \
                if (e_ < (size)) P##_SET_S(to, at_, v_.x); \
                if (e_ + 1 < (size)) P##_SET_S(to, at_ + 1, v_.y); \
                if (e_ + 2 < (size)) P##_SET_S(to, at_ + 2, v_.z); \
                if (e_ + 3 < (size)) P##_SET_S(to, at_ + 3, v_.w); \
            }

// One number for each own line, of those that its eight items have. `room`: memory of a tile.
#ifdef SHUFFLED
#define FOLD_OWN(values, FOLD, room) \
    UNROLL for (int i = 0; i < EACH; i++) \
        UNROLL for (int m_ = 4; m_; m_ /= 2) { \
            const T other_ = SHUFFLED(values[i], m_); \
            values[i] = FOLD(values[i], other_); \
        }
#else
#define FOLD_OWN(values, FOLD, room) \
    FENCE \
    for (int i = 0; i < EACH; i++) LOCAL_AS(T, room)[(ITEM_Y + 8 * i) * 8 + ITEM_X] = values[i]; \
    FENCE \
    for (int i = 0; i < EACH; i++) { \
        values[i] = LOCAL_AS(T, room)[(ITEM_Y + 8 * i) * 8]; \
        for (int m_ = 1; m_ < 8; m_++) \
            values[i] = FOLD(values[i], LOCAL_AS(T, room)[(ITEM_Y + 8 * i) * 8 + m_]); \
    } \
    FENCE
#endif
#define SUM(a, b) ((a) + (b))

// The tiles of so many own lines. Where it is causal, rows at the end see the most keys, and keys at
// the start are seen by the most rows: these are taken first, so that none is left over.
#define EACH_TILE(lines, many) \
    const ulong blocks = ((lines) - 1) / OWN + 1; \
    for (ulong item = get_group_id(0); item < (many) * blocks; item += get_num_groups(0))
#define TILE_OF(head, block) \
    const ulong batch = head, of_rows = batch * rows, of_keys = batch / group * keys; \
    const int start = (int)(block) * OWN; \
    PLACE_MASK(batch)
#define OPERANDS \
    global const Q_MEMORY *q = query + offset_query + of_rows * E; \
    global const K_MEMORY *k = key + offset_key + of_keys * E; \
    global const X_MEMORY *v = value + offset_value + of_keys * V;

// Whether a score of an own row and another key is kept, and what its weight is multiplied by.
#if HAS_NOISE
#define KEEPS(row, key) IS_KEPT(of_rows + (row), key)
#else
#define KEEPS(row, key) true
#define noise (T)1
#endif

#if IS_FORWARD
kernel SIZED(GROUP) void forward(global OUT_MEMORY *out, global T *sums,
        global const Q_MEMORY *query, global const K_MEMORY *key, global const X_MEMORY *value,
        global const MASK_MEMORY *mask, ulong offset_out, ulong offset_sums, ulong offset_query,
        ulong offset_key, ulong offset_value, ulong offset_mask, SIZES)
{
    // Weights lie where the keys were.
    local QUAD queries[OWN * E4], seen[ROOM], values[OTHER * V4];
    EACH_TILE(rows, batches) {
        TILE_OF(item % batches, blocks - 1 - item / batches)
        OPERANDS
        const int end = IS_CAUSAL ? min(keys, start + OWN) : keys;
        T most[EACH], total[EACH], largest[EACH];
        CLEAR(result, V4)
        UNROLL for (int i = 0; i < EACH; i++) { most[i] = -INFINITY; total[i] = 0; }
        FENCE
        FILL_TIMES(SCALED, Q, queries, OWN, q, start, rows, E, E4)
        for (int first = 0; first < end; first += OTHER) {
            FENCE
            FILL(K, seen, OTHER, k, first, keys, E, E4)
            FILL(X, values, OTHER, v, first, keys, V, V4)
            FENCE
            MULTIPLY(s, queries, seen, E4)
            UNROLL for (int i = 0; i < EACH; i++) largest[i] = most[i];
            if (HAS_HIDDEN(start, OWN, first, OTHER))
                EACH_SCORE
                    s[i][j] = SCORED(s[i][j], start + ITEM_Y + 8 * i, first + ITEM_X + 8 * j);
            EACH_SCORE largest[i] = fmax(largest[i], s[i][j]);
            FENCE
            FOLD_OWN(largest, fmax, seen)
            UNROLL for (int i = 0; i < EACH; i++) {
                const T level = FINITE(largest[i]), fade = EXP2(most[i] - level);
                most[i] = largest[i];
                total[i] *= fade;  // of an item's own scores
                UNROLL for (int j = 0; j < ACROSS; j++) {
                    const T p = EXP2(s[i][j] - level);
                    total[i] += p;
                    WEIGHT(seen, i, j) =
                        KEEPS(start + ITEM_Y + 8 * i, first + ITEM_X + 8 * j) ? p : (T)0;
                }
                UNROLL for (int u = 0; u < V4 / 8; u++) result[i][u] = result[i][u] * (QUAD)(fade);
            }
            FENCE
            COMBINE(result, seen, values, V4, PLAIN)
        }
        FENCE
        FOLD_OWN(total, SUM, seen)
        PUT(OUT, out, offset_out + of_rows * V, result, start, rows, V, V4,
            noise * (total[i] == 0 ? (T)1 : 1 / total[i]))
        UNROLL for (int i = 0; i < EACH; i++)
            if (ITEM_X == 0 && start + ITEM_Y + 8 * i < rows)
                sums[offset_sums + of_rows + start + ITEM_Y + 8 * i] =
                    log(total[i]) + FINITE(most[i]) * LN2;
    }
}
#endif

#if IS_DELTA
// For each row, its gradient times what the forward gave; less the gradient of its logsumexp.
kernel SIZED(GROUP) void delta(
    global T *deltas, global const G_MEMORY *grad, global const SEEN_MEMORY *made,
    global const SLOPE_MEMORY *slopes, ulong offset_deltas, ulong offset_grad, ulong offset_made,
    ulong offset_slopes, SIZES)
{
#ifndef SHUFFLED
    local QUAD room[OWN * 8 / 4];
#endif
    const ulong lines = batches * rows, blocks = (lines - 1) / OWN + 1;
    for (ulong item = get_group_id(0); item < blocks; item += get_num_groups(0)) {
        T sum[EACH];
        UNROLL for (int i = 0; i < EACH; i++) {
            const ulong row = item * OWN + ITEM_Y + 8 * i;
            sum[i] = 0;
            if (row < lines)
                for (int e = ITEM_X; e < V; e += 8)
                    sum[i] += G_S(grad, offset_grad + row * V + e) *
                        SEEN_S(made, offset_made + row * V + e);
        }
        FOLD_OWN(sum, SUM, room)
        UNROLL for (int i = 0; i < EACH; i++) {
            const ulong row = item * OWN + ITEM_Y + 8 * i;
            if (ITEM_X == 0 && row < lines)
#if HAS_SLOPES
                deltas[offset_deltas + row] = sum[i] - SLOPE_S(slopes, offset_slopes + row);
#else
                deltas[offset_deltas + row] = sum[i];
#endif
        }
    }
}
#endif

#define BACKWARD_INPUTS \
    global const G_MEMORY *grad, global const Q_MEMORY *query, global const K_MEMORY *key, \
    global const X_MEMORY *value, global const MASK_MEMORY *mask, global const T *sums, \
    global const T *deltas
#define BACKWARD_OFFSETS \
    ulong offset_grad, ulong offset_query, ulong offset_key, ulong offset_value, \
    ulong offset_mask, ulong offset_sums, ulong offset_deltas, SIZES
// What a row's weights are measured by, and what its slopes are less by.
#define LEVEL(row) ((row) < rows ? FINITE(sums[offset_sums + of_rows + (row)]) * LOG2E : (T)0)
#define DELTA(row) ((row) < rows ? deltas[offset_deltas + of_rows + (row)] : (T)0)

#if IS_OF_QUERY
kernel SIZED(GROUP) void of_query(global OUT_MEMORY *out, BACKWARD_INPUTS, ulong offset_out,
        BACKWARD_OFFSETS)
{
    local QUAD own[OWN * MOST4], other[OTHER * MOST4], slopes[OWN * OTHER / 4];
    EACH_TILE(rows, batches) {
        TILE_OF(item % batches, blocks - 1 - item / batches)
        OPERANDS
        global const G_MEMORY *g = grad + offset_grad + of_rows * V;
        const int end = IS_CAUSAL ? min(keys, start + OWN) : keys;
        CLEAR(result, E4)
        for (int first = 0; first < end; first += OTHER) {
            FENCE
            FILL(G, own, OWN, g, start, rows, V, V4)
            FILL(X, other, OTHER, v, first, keys, V, V4)
            FENCE
            {
                MULTIPLY(t, own, other, V4)
                EACH_SCORE WEIGHT(slopes, i, j) = t[i][j];
            }
            FENCE
            FILL(Q, own, OWN, q, start, rows, E, E4)
            FILL(K, other, OTHER, k, first, keys, E, E4)
            FENCE
            MULTIPLY(s, own, other, E4)
            const int has_hidden = HAS_HIDDEN(start, OWN, first, OTHER);
            UNROLL for (int i = 0; i < EACH; i++) {
                const int row = start + ITEM_Y + 8 * i;
                const T level = LEVEL(row), delta = DELTA(row);
                UNROLL for (int j = 0; j < ACROSS; j++) {
                    T p = fma(s[i][j], SCALE2, -level);
                    if (has_hidden) p = SCORED(p, row, first + ITEM_X + 8 * j);
                    const T slope =
                        KEEPS(row, first + ITEM_X + 8 * j) ? WEIGHT(slopes, i, j) * noise : (T)0;
                    WEIGHT(slopes, i, j) = EXP2(p) * (slope - delta);
                }
            }
            FENCE
            COMBINE(result, slopes, other, E4, PLAIN)
        }
        PUT(OUT, out, offset_out + of_rows * E, result, start, rows, E, E4, scale)
    }
}
#endif

#if IS_OF_KEYS
kernel SIZED(GROUP) void of_keys(global OUT_MEMORY *of_key, global OUT_MEMORY *of_value,
        BACKWARD_INPUTS, ulong offset_of_key, ulong offset_of_value, BACKWARD_OFFSETS)
{
    // Lines of `weights` are keys: those of the rows come first, minus where they are dropped, and
    // their slopes then.
    local QUAD own[OWN * MOST4], other[OTHER * MOST4], weights[OWN * OTHER / 4];
    EACH_TILE(keys, batches / group) {
        const ulong shared = item % (batches / group);
        CLEAR(keyed, E4)
        CLEAR(valued, V4)
        for (ulong head = shared * group; head < (shared + 1) * group; head++) {
        TILE_OF(head, item / (batches / group))
        OPERANDS
        global const G_MEMORY *g = grad + offset_grad + of_rows * V;
        for (int first = IS_CAUSAL ? start / OTHER * OTHER : 0; first < rows; first += OTHER) {
            FENCE
            FILL(K, own, OWN, k, start, keys, E, E4)
            FILL(Q, other, OTHER, q, first, rows, E, E4)
            FENCE
            {
                MULTIPLY(s, own, other, E4)
                const int has_hidden = HAS_HIDDEN(first, OTHER, start, OWN);
                UNROLL for (int j = 0; j < ACROSS; j++) {
                    const int row = first + ITEM_X + 8 * j;
                    const T level = LEVEL(row);
                    UNROLL for (int i = 0; i < EACH; i++) {
                        T p = fma(s[i][j], SCALE2, -level);
                        if (has_hidden) p = SCORED(p, row, start + ITEM_Y + 8 * i);
                        p = EXP2(p);
                        WEIGHT(weights, i, j) = KEEPS(row, start + ITEM_Y + 8 * i) ? p : -p;
                    }
                }
            }
            FENCE
            FILL(X, own, OWN, v, start, keys, V, V4)
            FILL(G, other, OTHER, g, first, rows, V, V4)
            FENCE
            COMBINE(valued, weights, other, V4, KEPT)
            MULTIPLY(t, own, other, V4)
            UNROLL for (int j = 0; j < ACROSS; j++) {
                const T delta = DELTA(first + ITEM_X + 8 * j);
                UNROLL for (int i = 0; i < EACH; i++)
                    t[i][j] = WEIGHT(weights, i, j) > 0
                        ? WEIGHT(weights, i, j) * (t[i][j] * noise - delta)
                        : WEIGHT(weights, i, j) * delta;
            }
            FENCE
            EACH_SCORE WEIGHT(weights, i, j) = t[i][j];
            FILL(Q, other, OTHER, q, first, rows, E, E4)
            FENCE
            COMBINE(keyed, weights, other, E4, PLAIN)
        }
        }
        const ulong of_keys = shared * keys;
        const int start = (int)(item / (batches / group)) * OWN;
        PUT(OUT, of_key, offset_of_key + of_keys * E, keyed, start, keys, E, E4, scale)
        PUT(OUT, of_value, offset_of_value + of_keys * V, valued, start, keys, V, V4, noise)
    }
}
#endif
