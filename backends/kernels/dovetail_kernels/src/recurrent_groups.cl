// A step of a recurrent layer on a GPU: a work group of 16 by 16 takes 16 units of EACH * 16 rows,
// the product of the state with the weight by way of local memory and what follows of it.
//
// weight: as it is, (gates, units) by units; RIGHT(g, unit, k) is its element for sum g at depth k.
// work, kept, ARRAYS, …: see recurrent.cl.

#define SIDE 16
#define STEPS 32
#define WORK_ITEMS (SIDE * SIDE)

#if IS_BACKWARD
#define RIGHT(g, unit, k) E_S(weight, (ulong)(k) * size + (unit))
#else
#define RIGHT(g, unit, k) E_S(weight, ((ulong)(g) * size + (unit)) * size + (k))
#endif

#ifndef SIZED
#define SIZED(group) __attribute__((reqd_work_group_size(group, 1, 1)))
#endif

kernel SIZED(WORK_ITEMS) void steps(ARRAYS, global T *work ARRAY_PLACES, ulong carry_at,
        ulong panels_at, ulong n, int size, int count_of_steps, int is_reverse, int s)
{
    ARRAYS_FOUND
    global T *kept = work, *carry = work + carry_at;
    local T left[EACH * SIDE][STEPS + 1], right[SUMS_EACH * SIDE][STEPS + 1];
    const int item = get_local_id(0), x = item % SIDE, y = item / SIDE, depth = size * DEPTH;
    const int is_last = s == 0, is_first = s == count_of_steps - 1;
    const int t = is_reverse == IS_BACKWARD ? s : count_of_steps - 1 - s;
    const int t_before = is_reverse ? t + 1 : t - 1;
    global const T *kept_before = kept + (ulong)(s & 1) * n * depth;
    global T *kept_next = kept + (ulong)(~s & 1) * n * depth;
    const int across = (size - 1) / SIDE + 1;
    const int unit = get_group_id(0) % across * SIDE;
    const ulong first_row = get_group_id(0) / across * (EACH * SIDE);
    (void)is_last, (void)is_first, (void)t_before, (void)carry;
    T sums[EACH][SUMS_EACH];
    for (int r = 0; r < EACH; r++)
        for (int g = 0; g < SUMS_EACH; g++) sums[r][g] = (T)0;
    const int deep = IS_BACKWARD && s == 0 ? 0 : depth;
    for (int from = 0; from < deep; from += STEPS) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int i = item; i < EACH * SIDE * STEPS; i += WORK_ITEMS) {
            const int k = i % STEPS, r = i / STEPS;
            const int is_there = first_row + r < n && from + k < depth;
            left[r][k] = is_there ? kept_before[(first_row + r) * depth + from + k] : (T)0;
        }
        for (int i = item; i < SUMS_EACH * SIDE * STEPS; i += WORK_ITEMS) {
#if IS_BACKWARD
            const int k = i / SIDE, column = i % SIDE;
#else
            const int k = i % STEPS, column = i / STEPS;
#endif
            const int wanted = unit + column % SIDE, is_there = wanted < size && from + k < depth;
            right[column][k] = is_there ? (T)RIGHT(column / SIDE, wanted, from + k) : (T)0;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int k = 0; k < STEPS; k++) {
            T of_row[EACH];
            for (int r = 0; r < EACH; r++) of_row[r] = left[r * SIDE + y][k];
            for (int g = 0; g < SUMS_EACH; g++) {
                const T w = right[g * SIDE + x][k];
                for (int r = 0; r < EACH; r++) sums[r][g] = fma(of_row[r], w, sums[r][g]);
            }
        }
    }
#define SUM(g) sums[r_][g]
    const int u = unit + x;
    for (int r_ = 0; r_ < EACH; r_++) {
        const ulong row = first_row + r_ * SIDE + y;
        if (row < n && u < size) {
#if IS_BACKWARD
            if (s == count_of_steps) CELL_END
            else
#endif
            CELL
        }
    }
}
