// Rows of n neighbours by number, in (outer, rows, n): reading them, and adding to them.
//
// A number that is out of range reads zero, adds nothing and is reported (see fault.cl). WRAPS: numbers
// may count from the end.

#define NUMBERS ulong lines, int n, ulong inner, ulong rows, ulong picks

#if HAS_STARTS
#define STARTS_BUFFER global const long *starts,
#define STARTS_OFFSET ulong offset_starts,
#else
#define STARTS_BUFFER
#define STARTS_OFFSET
#endif

#if IS_SELECT
kernel void select_rows(global X_MEMORY *out, global const X_MEMORY *in, global const long *index,
        global uint *faults, ulong offset_out, ulong offset_in, ulong offset_index,
        ulong offset_faults, NUMBERS, uint fault_of)
{
    WATCH
    EACH_LINE(line, lines) {
        const long given = index[offset_index + line % picks];
#if WRAPS
        const ulong row = (ulong)given + (given < 0 ? rows : 0);
#else
        const ulong row = (ulong)given;
#endif
        global const X_MEMORY *x = in + offset_in + (line / picks * rows + row) * n;
        global X_MEMORY *y = out + offset_out + line * n;
#define MOVE(L) X_SET_##L(y, k, X_##L(x, k));
#define CLEAR(L) X_SET_##L(y, k, ZERO_##L);
        if (row < rows) {
            WALK(n, MOVE)
        } else {
            WALK(n, CLEAR)
            WRONG(given)
        }
    }
    REPORT(rows)
}
#endif

#if IS_SUM
#if W > 1
// Some vectors of all rows of a bag are added up in registers; rows to come are fetched meanwhile.
#define FOUR(DO) DO(0) DO(1) DO(2) DO(3)
#define EIGHT(DO) FOUR(DO) DO(4) DO(5) DO(6) DO(7)
#define CLEARED(i) VECTOR v##i = (VECTOR)0;
#define ADDED_TO(i) v##i += X_V(x, (i) * W);
#define FETCHED(i) FETCH(soon + (i) * W)
#define PUT_SUM(i) X_SET_V(y, done + (i) * W, v##i);
#define PUT_MEAN(i) X_SET_V(y, done + (i) * W, v##i / divisor);
#define IN_BLOCKS(EACH, count) \
    for (; done + count * W <= n; done += count * W) { \
        EACH(CLEARED) \
        for (ulong pick = 0; pick < picks; pick++) { \
            const ulong row = (ulong)bag[pick]; \
            if (row >= rows) { \
                WRONG(row) \
                continue; \
            } \
            global const X_MEMORY *soon = all + (ulong)bag[min(pick + AHEAD, picks - 1)] * n + done; \
            EACH(FETCHED) \
            global const X_MEMORY *x = all + row * n + done; \
            EACH(ADDED_TO) \
        } \
        if (divisor != 1) { EACH(PUT_MEAN) } else { EACH(PUT_SUM) } \
    }
#endif

// A bag of numbers for each line, whose rows are added up in their order, and divided. HAS_STARTS:
// where bags begin, and in the end where the last one ends; IS_MEAN: by how many there are.
kernel void sum_rows(global X_MEMORY *out, global const X_MEMORY *in, global const long *index,
        STARTS_BUFFER global uint *faults, ulong offset_out, ulong offset_in, ulong offset_index,
        STARTS_OFFSET ulong offset_faults, NUMBERS, T divisor, uint fault_of)
{
    WATCH
#if HAS_STARTS
    const ulong total = picks;
#endif
    EACH_LINE(line, lines) {
#if HAS_STARTS
        const ulong begin = starts[offset_starts + line];
        const ulong end = min((ulong)starts[offset_starts + line + 1], total);
        picks = end > begin ? end - begin : 0;
        if (IS_MEAN) divisor = (T)max(picks, 1ul);
#else
        const ulong begin = line * picks;
#endif
        global X_MEMORY *y = out + offset_out + line * n;
        global const long *bag = index + offset_index + begin;
        global const X_MEMORY *all = in + offset_in;
        int done = 0;
#if W > 1
        IN_BLOCKS(EIGHT, 8)
        IN_BLOCKS(FOUR, 4)
        if (done == n) continue;
        y += done;
        all += done;
#endif
        const int left = n - done;
#define ZERO(L) X_SET_##L(y, k, ZERO_##L);
        WALK(left, ZERO)
        for (ulong pick = 0; pick < picks; pick++) {
            const ulong row = (ulong)bag[pick];
            if (row >= rows) {
                WRONG(row)
                continue;
            }
            global const X_MEMORY *x = all + row * n;
#define ADD(L) X_SET_##L(y, k, X_##L(y, k) + X_##L(x, k));
            WALK(left, ADD)
        }
#undef ADD
#define DIVIDE(L) X_SET_##L(y, k, X_##L(y, k) / divisor);
        if (divisor != 1) WALK(left, DIVIDE)
    }
    REPORT(rows)
}
#endif

#if IS_ADD
// A team has a run of rows to itself, and goes through all numbers: nothing collides, and every row
// is added up in the order of the numbers.
kernel void add_rows(global X_MEMORY *out, global const G_MEMORY *grad, global const long *index,
        global uint *faults, ulong offset_out, ulong offset_grad, ulong offset_index,
        ulong offset_faults, NUMBERS, ulong runs, ulong length, long skipped, uint fault_of)
{
    WATCH
#if TEAM > 1
    local int ours[TEAM];
#endif
    EACH_LINE(line, lines) {
        const ulong first = line % runs * length, last = min(rows, first + length);
        global X_MEMORY *base = out + offset_out + line / runs * rows * n;
        global const G_MEMORY *from = grad + offset_grad + line / runs * picks * n;
        // Whether numbers are in range, each run asks of its share of them.
        const ulong share = (picks - 1) / runs + 1, begins = line % runs * share;
        for (ulong k = begins + MEMBER; k < min(picks, begins + share); k += TEAM) {
            if ((ulong)index[offset_index + k] >= rows) WRONG(index[offset_index + k])
        }
        for (ulong row = first; row < last; row++) {
            global X_MEMORY *x = base + row * n;
#define CLEAR(L) X_SET_##L(x, k, ZERO_##L);
            WALK(n, CLEAR)
        }
#define ADD(L) X_SET_##L(x, k, X_##L(x, k) + G_##L(g, k));
#if TEAM > 1
        // The numbers are looked at side by side.
        for (ulong begin = 0; begin < picks; begin += TEAM) {
            const ulong mine = begin + MEMBER;
            const ulong row = mine < picks ? (ulong)index[offset_index + mine] : last;
            const bool is_ours = row >= first && row < last && row != (ulong)skipped;
            barrier(CLK_LOCAL_MEM_FENCE);
            ours[MEMBER] = is_ours ? (int)(row - first) : -1;
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int j = 0; j < TEAM; j++) {
                if (ours[j] < 0) continue;
                global X_MEMORY *x = base + (first + ours[j]) * n;
                global const G_MEMORY *g = from + (begin + j) * n;
                WALK(n, ADD)
            }
        }
#else
        for (ulong pick = 0; pick < picks; pick++) {
            const long row = index[offset_index + pick];
            if ((ulong)row < first || (ulong)row >= last || row == skipped) continue;
            global X_MEMORY *x = base + row * n;
            global const G_MEMORY *g = from + pick * n;
            WALK(n, ADD)
        }
#endif
    }
    REPORT(rows)
}
#endif

#if IS_ADD_BAGS
// The same for numbers in bags, on the host's cores: all of a bag add one row of the gradient,
// divided by how many they are where IS_MEAN.
kernel void add_bags(global X_MEMORY *out, global const G_MEMORY *grad, global const long *index,
        global const long *starts, global uint *faults, ulong offset_out, ulong offset_grad,
        ulong offset_index, ulong offset_starts, ulong offset_faults, NUMBERS, ulong bags,
        ulong length, uint fault_of)
{
    WATCH
    EACH_LINE(line, lines) {
        const ulong first = line * length, last = min(rows, first + length);
        for (ulong row = first; row < last; row++) {
            global X_MEMORY *x = out + offset_out + row * n;
#define CLEAR(L) X_SET_##L(x, k, ZERO_##L);
            WALK(n, CLEAR)
        }
        ulong pick = starts[offset_starts];
        for (ulong bag = 0; bag < bags; bag++) {
            const ulong begin = pick, end = min((ulong)starts[offset_starts + bag + 1], picks);
            const T divisor = (T)(end - begin);
            global const G_MEMORY *g = grad + offset_grad + bag * n;
            for (; pick < end; pick++) {
                const ulong row = (ulong)index[offset_index + pick];
                if (row >= rows && !line) WRONG(row)
                if (row < first || row >= last) continue;
                global X_MEMORY *x = out + offset_out + row * n;
#define ADD(L) X_SET_##L(x, k, X_##L(x, k) + G_##L(g, k));
#define ADD_SHARE(L) X_SET_##L(x, k, X_##L(x, k) + G_##L(g, k) / divisor);
                if (IS_MEAN && divisor != 1) {
                    WALK(n, ADD_SHARE)
                } else {
                    WALK(n, ADD)
                }
            }
        }
    }
    REPORT(rows)
}
#endif
