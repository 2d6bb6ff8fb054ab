// A recurrent layer on the host's cores: per step the product of the state with the weight, and
// what follows of it while the sums are in registers. A work item takes `each` rows through the
// steps from `begin` to `end`, or a part of their units through one step; rows do not depend on
// each other.
//
// weights: panels of COLUMNS = VECTORS * SUMS_EACH * W columns, in which a unit's gates are side by
// side. kept: the left operand of the products of even and of odd steps, (2, n, depth). These are
// parts of `work`. HAS_weight: a single work item fills them itself, see recurrent_panels.cl.
// ARRAYS, ARRAY_PLACES, ARRAYS_FOUND: the tensors. ROWS, SUMS, PRODUCTS, PUT, ALL_ROWS: see gemm.cl.

kernel void steps(ARRAYS, global T *work ARRAY_PLACES, ulong carry_at, ulong panels_at, ulong n,
        int size, int count_of_steps, int is_reverse, ulong each, int parts, int begin, int end)
{
    ARRAYS_FOUND
    global T *kept = work, *carry = work + carry_at;
    global const T *weights = work + panels_at;
#if HAS_weight
    begun(work, carry, work + panels_at, FIRSTS, weight, n, size, 0, 1);
#endif
    const int depth = size * DEPTH, blocks = (size - 1) / (VECTORS * W) + 1;
    const int part = get_global_id(0) % parts, share = (blocks - 1) / parts + 1;
    const ulong first_row = get_global_id(0) / parts * each, last_row = min(n, first_row + each);
    const int last_block = min(blocks, (part + 1) * share);
    for (int s = begin; s < end; s++) {
        const int is_last = s == 0, is_first = s == count_of_steps - 1;
        const int t = is_reverse == IS_BACKWARD ? s : count_of_steps - 1 - s;
        const int t_before = is_reverse ? t + 1 : t - 1;
        global const T *kept_before = kept + (ulong)(s & 1) * n * depth;
        global T *kept_next = kept + (ulong)(~s & 1) * n * depth;
        (void)is_last, (void)is_first, (void)t_before;
        for (int block = part * share; block < last_block; block++) {
            global const T *right = weights + (ulong)block * depth * COLUMNS;
            for (ulong tile = first_row; tile < last_row; tile += ROWS) {
                const int rows = (int)min((ulong)ROWS, last_row - tile);
                global const T *from = kept_before + tile * depth;
                POINTERS
                SUMS
                if (!IS_BACKWARD || s > 0)
                    for (int k = 0; k < depth; k++) { PRODUCTS(, right + k * COLUMNS) }
                T sums[ROWS * COLUMNS];
#define ROW(i) PUT(i, sums + i * COLUMNS)
                ALL_ROWS
#undef ROW
#define SUM(g) LANES_LOADED(sums + ((i_ * VECTORS + v_) * SUMS_EACH + (g)) * W)
                for (int i_ = 0; i_ < rows; i_++) {
                    const ulong row = tile + i_;
                    for (int v_ = 0; v_ < VECTORS; v_++) {
                        const int u = (block * VECTORS + v_) * W, count = min(W, size - u);
                        if (count <= 0) break;
#if IS_BACKWARD
                        if (s == count_of_steps) {
                            CELL_END
                            continue;
                        }
#endif
                        CELL
                    }
                }
            }
        }
    }
}
