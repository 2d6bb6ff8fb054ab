// What each row of n elements loses, or the sum of that by a divisor; and its gradients.
//
// row_distances.cl or row_margins.cl stands before and says what is lost (LOSS) and the gradients (SLOPES).
// ARGUMENTS: the tensors; MOVED: what moves them to where they begin. IS_REDUCED: the sum of all, by one
// work group of GROUP.

#if IS_FAULTY
#define FAULTS , global uint *faults
#define FAULT_NUMBER , uint fault_of
#define WATCHED WATCH
#define REPORTED(n) REPORT(n)
#else
#define FAULTS
#define FAULT_NUMBER
#define WATCHED
#define REPORTED(n)
#endif

#if IS_BACKWARD
// step: whether each row has a gradient.
kernel void row_loss_backward(OUTPUTS, global const IN_MEMORY *grad, ARGUMENTS FAULTS, ulong8 begin,
        uint rows, uint n, uint step, T divisor PARAMETERS FAULT_NUMBER)
{
    MOVED
    WATCHED
    for (uint row = get_global_id(0); row < rows; row += get_global_size(0)) {
        const ulong first = (ulong)row * n;
        const T part = IN_LOAD(grad, row * step) / divisor;
        SLOPES
    }
    REPORTED(n)
}
#else
kernel void row_loss(global OUT_MEMORY *out, ARGUMENTS FAULTS, ulong8 begin, uint rows, uint n,
        T divisor PARAMETERS FAULT_NUMBER)
{
    MOVED
    WATCHED
#if IS_REDUCED
    T sum = 0;
    for (uint row = get_local_id(0); row < rows; row += GROUP) {
        const ulong first = (ulong)row * n;
        T loss = 0;
        LOSS
        sum += loss;
    }
#if GROUP > 1
    local T value[GROUP];
    value[get_local_id(0)] = sum;
    for (uint half_ = GROUP / 2; half_; half_ /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (get_local_id(0) < half_) value[get_local_id(0)] += value[get_local_id(0) + half_];
    }
    sum = value[0];
#endif
    if (get_local_id(0) == 0) OUT_STORE(out, 0, sum / divisor);
#else
    for (uint row = get_global_id(0); row < rows; row += get_global_size(0)) {
        const ulong first = (ulong)row * n;
        T loss = 0;
        LOSS
        OUT_STORE(out, row, loss);
    }
#endif
    REPORTED(n)
}
#endif
