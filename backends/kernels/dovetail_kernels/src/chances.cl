// What uniform numbers choose by chances, which are looked at on the way: what is none is reported (see
// fault.cl), and nothing is raised before values are asked for.

//
// DRAWS: the numbers are not read but drawn, element by element, of what stream says (see drawn.cl).

#if DRAWS
#define UNIFORM_BUFFER(T)
#define U(at, e) DRAWN(stream, e)

static float drawn(ulong8 stream, ulong e) {
    uint words[4];
    vstore4(words_of(stream, e / 4), 0, words);
    return UNIFORM(words[e % 4]);
}
#if IS_DOUBLE
static double drawn_double(ulong8 stream, ulong e) {
    const uint4 c = words_of(stream, e / 2);
    return e % 2 ? UNIFORM_DOUBLE(c.z, c.w) : UNIFORM_DOUBLE(c.x, c.y);
}
#define DRAWN drawn_double
#else
#define DRAWN drawn
#endif
#else
#define UNIFORM_BUFFER(T) global const T *uniform,
#undef MOVED
#undef STREAM
#undef BEGIN_STREAM
#define MOVED
#define STREAM
#define BEGIN_STREAM
#define U(at, e) uniform[(at) + (e)]
#endif

#if IS_BERNOULLI
// 1 where the uniform number is below the chance, else 0.
kernel void bernoulli(global OUT_MEMORY *out, global const P_MEMORY *chances, UNIFORM_BUFFER(float)
        global uint *faults MOVED, ulong8 begin, ulong count, uint fault_of STREAM)
{
    BEGIN_STREAM
    int is_wrong = 0;
#if IS_CPU
    const ulong share = SHARE(ulong, count), end = min(count, share * (get_global_id(0) + 1));
    for (ulong i = share * get_global_id(0); i < end; i++) {
#else
    for (ulong i = get_global_id(0); i < count; i += get_global_size(0)) {
#endif
        const P_VALUE p = P_LOAD(chances, begin.s1 + i);
        is_wrong |= !(p >= 0 && p <= 1);
        OUT_STORE(out, begin.s0 + i, (OUT_VALUE)(U(begin.s2, i) < p ? 1 : 0));
    }
    if (is_wrong) report(faults, fault_of, 0, 0);
}
#endif

#if IS_ORDERED
// The `count` elements of a row that come first by weight / exponential number, equal ones in their order.
#define BEFORE(key, at, other, other_at) ((key) > (other) || ((key) == (other) && (at) < (other_at)))

kernel void ordered(global long *out, global const T *weights, UNIFORM_BUFFER(T) global T *keys,
        global uint *faults MOVED, ulong8 begin, ulong rows, ulong n, ulong count, uint fault_of STREAM)
{
    BEGIN_STREAM
#if !IS_CPU
    local T local_key[GROUP];
    local ulong local_at[GROUP];
#endif
    for (ulong row = get_group_id(0); row < rows; row += get_num_groups(0)) {
        global const T *w = weights + begin.s1 + row * n;
        global T *key = keys + get_group_id(0) * n;
#if DRAWS
        for (ulong j = MEMBER; j < n; j += MEMBERS) key[j] = U(0, row * n + j);
        SYNC
        global const T *u = key;
#else
        global const T *u = uniform + begin.s2 + row * n;
#endif
        int is_wrong = 0;
        ulong i = MEMBER;
#if W > 1
        for (; i + W <= n; i += W) {
            const V x = vloadW(0, w + i), v = vloadW(0, u + i), e = LOG1P_V(-v);
            is_wrong |= SOME_LANE(!(x >= (V)0 & x < (V)INFINITY));
            vstoreW(x / -(e < (V)LEAST ? e : (V)LEAST), 0, key + i);
        }
#endif
        for (; i < n; i += MEMBERS) {
            const T x = w[i], e = LOG1P_ONE(-u[i]);
            is_wrong |= !(x >= 0 && x < (T)INFINITY);
            key[i] = x / -(e < LEAST ? e : LEAST);
        }
        if (is_wrong) report(faults, fault_of, 0, 0);
        SYNC
        T last = (T)INFINITY;
        ulong last_at = 0;
        for (ulong k = 0; k < count; k++) {
            T best = -1;
            ulong at = n;
            for (ulong j = MEMBER; j < n; j += MEMBERS)
                if ((!k || BEFORE(last, last_at, key[j], j)) && BEFORE(key[j], j, best, at)) {
                    best = key[j];
                    at = j;
                }
#if !IS_CPU
            local_key[MEMBER] = best;
            local_at[MEMBER] = at;
            SYNC
            for (ulong half_ = MEMBERS / 2; half_; half_ /= 2) {
                if (MEMBER < half_) {
                    const T other = local_key[MEMBER + half_];
                    const ulong other_at = local_at[MEMBER + half_];
                    if (BEFORE(other, other_at, local_key[MEMBER], local_at[MEMBER])) {
                        local_key[MEMBER] = other;
                        local_at[MEMBER] = other_at;
                    }
                }
                SYNC
            }
            best = local_key[0];
            at = local_at[0];
            SYNC
#endif
            last = best;
            last_at = at;
            if (MEMBER == 0) {
                // The first one weighs nothing only where none does.
                if (!k && !(best > 0)) report(faults, fault_of + 1, 0, 0);
                out[begin.s0 + row * count + k] = (long)(at < n ? at : 0);
            }
        }
    }
}
#endif

#if IS_REACHED
#if DRAWS
#define EDGES
#else
#define EDGES global const T *edges,
#endif
// How many of a row's running sums `edges` a uniform number times the last of them has reached. A binary
// search; the weights are only looked at. DRAWS: the sums are made on the way, and gone through one by one.
kernel void reached(global long *out, global const T *weights, EDGES UNIFORM_BUFFER(T)
        global uint *faults MOVED, ulong8 begin, ulong rows, ulong n, ulong count, uint fault_of STREAM)
{
    BEGIN_STREAM
    int is_wrong = 0, is_nothing = 0;
    for (ulong item = get_global_id(0); item < rows * n; item += get_global_size(0)) {
        const T x = weights[begin.s1 + item];
        is_wrong |= !(x >= 0 && x < (T)INFINITY);
    }
    for (ulong item = get_global_id(0); item < rows * count; item += get_global_size(0)) {
#if DRAWS
        global const T *w = weights + begin.s1 + item / count * n;
        T sum = 0, edge = 0;
        for (ulong j = 0; j < n; j++) sum += w[j];
        is_nothing |= sum == 0;
        const T u = U(0, item) * sum;
        ulong low = 0;
        for (; low < n; low++) {
            edge += w[low];
            if (!(edge <= u)) break;
        }
#else
        global const T *edge = edges + begin.s2 + item / count * n;
        const T sum = edge[n - 1], u = U(begin.s3, item) * sum;
        is_nothing |= sum == 0;
        ulong low = 0, high = n;
        while (low < high) {
            const ulong middle = (low + high) / 2;
            if (edge[middle] <= u) low = middle + 1;
            else high = middle;
        }
#endif
        out[begin.s0 + item] = (long)low;
    }
    if (is_wrong) report(faults, fault_of, 0, 0);
    else if (is_nothing) report(faults, fault_of + 1, 0, 0);
}
#endif
