// The grid of an affine map, and its gradient: theta is (images, NDIM, NDIM + 1), grid is (images, sizes,
// NDIM), x first. sizes: depth, height, width, 1 for a dim that is not there.

#define NUMBERS ulong8 begin, uint images, int4 sizes, int align

// Where element i of n is, from -1 to 1.
static T centre(int i, int n, int align)
{
    if (n <= 1) return (T)0;
    const T step = (T)2 / (T)(n - 1);
    const T at = i < n / 2 ? step * (T)i - 1 : 1 - step * (T)(n - 1 - i);
    return align ? at : at * (T)(n - 1) / (T)n;
}

#if IS_FORWARD
kernel void affine_grid(global OUT_MEMORY *out, global const OUT_MEMORY *theta, NUMBERS)
{
    const ulong rows = (ulong)images * sizes.x * sizes.y;
#if IS_CPU
    for (ulong row = get_global_id(0); row < rows; row += get_global_size(0)) {
#else
    for (ulong item = get_global_id(0); item < rows * sizes.z; item += get_global_size(0)) {
        const ulong row = item / sizes.z;
#endif
        const int y = row % sizes.y, z = row / sizes.y % sizes.x;
        const ulong image = row / sizes.y / sizes.x;
        T slope[NDIM], rest[NDIM];
        for (int d = 0; d < NDIM; d++) {
            const ulong line = begin.s1 + (image * NDIM + d) * (NDIM + 1);
            slope[d] = OUT_LOAD(theta, line);
            rest[d] = OUT_LOAD(theta, line + NDIM) + OUT_LOAD(theta, line + 1) * centre(y, sizes.y, align);
#if NDIM == 3
            rest[d] += OUT_LOAD(theta, line + 2) * centre(z, sizes.x, align);
#endif
        }
        global OUT_MEMORY *to = out + begin.s0 + row * sizes.z * NDIM;
#if IS_CPU
        for (int x = 0; x < sizes.z; x++) {
#else
        {
            const int x = item % sizes.z;
#endif
            const T at = centre(x, sizes.z, align);
            for (int d = 0; d < NDIM; d++) OUT_STORE(to, x * NDIM + d, slope[d] * at + rest[d]);
        }
    }
}
#else
#define LANES 8
// A group adds up what theta[image][d] is to get: along each line the gradients, and these times x.
kernel void affine_grid_backward(global OUT_MEMORY *out, global const OUT_MEMORY *g, NUMBERS)
{
    const ulong lines = (ulong)sizes.x * sizes.y;
    const int member = get_local_id(0), members = get_local_size(0);
#if !IS_CPU
    local T shared[NDIM + 1][GROUP];
#endif
    for (ulong item = get_group_id(0); item < (ulong)images * NDIM; item += get_num_groups(0)) {
        const ulong image = item / NDIM, d = item % NDIM;
        T total[NDIM + 1];
        for (int j = 0; j <= NDIM; j++) total[j] = (T)0;
        for (ulong line = member; line < lines; line += members) {
            const ulong from = begin.s1 + (image * lines + line) * sizes.z * NDIM + d;
            T sum[LANES], moment[LANES];
            for (int l = 0; l < LANES; l++) sum[l] = moment[l] = (T)0;
            int x = 0;
            for (; x + LANES <= sizes.z; x += LANES)
                for (int l = 0; l < LANES; l++) {
                    const T v = OUT_LOAD(g, from + (ulong)(x + l) * NDIM);
                    sum[l] += v;
                    moment[l] += v * centre(x + l, sizes.z, align);
                }
            for (; x < sizes.z; x++) {
                const T v = OUT_LOAD(g, from + (ulong)x * NDIM);
                sum[0] += v;
                moment[0] += v * centre(x, sizes.z, align);
            }
            for (int half_ = LANES / 2; half_; half_ /= 2)
                for (int l = 0; l < half_; l++) sum[l] += sum[l + half_], moment[l] += moment[l + half_];
            total[0] += moment[0];
            total[1] += sum[0] * centre(line % sizes.y, sizes.y, align);
#if NDIM == 3
            total[2] += sum[0] * centre(line / sizes.y, sizes.x, align);
#endif
            total[NDIM] += sum[0];
        }
#if !IS_CPU
        for (int j = 0; j <= NDIM; j++) shared[j][member] = total[j];
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int half_ = members / 2; half_; half_ /= 2) {
            if (member < half_)
                for (int j = 0; j <= NDIM; j++) shared[j][member] += shared[j][member + half_];
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        for (int j = 0; j <= NDIM; j++) total[j] = shared[j][0];
        barrier(CLK_LOCAL_MEM_FENCE);
        if (member == 0)
#endif
        for (int j = 0; j <= NDIM; j++) OUT_STORE(out, begin.s0 + item * (NDIM + 1) + j, total[j]);
    }
}
#endif
