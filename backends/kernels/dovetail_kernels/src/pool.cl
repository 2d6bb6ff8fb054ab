// Pooling of planes of up to three dims (missing ones in front have size 1), and its gradients.
//
// KERNEL_Z … DILATION_X: the window, fixed in the text so that its loops are unrolled, or what the
// arguments WINDOW_NUMBERS say. HAS_EDGES: some windows reach beyond the plane. size: of the input's
// planes; places: of the output's.
// A work item of a CPU has a row of the output (of the input, in avg_pool_grad), one of a GPU an
// element, so that neighbours write neighbours.

#define NUMBERS ulong rows, int4 size, int4 places WINDOW_NUMBERS

#if IS_CPU
#define WHOSE_ROW(row, shape) \
    for (ulong row = get_global_id(0); row < rows; row += get_global_size(0)) {
#define EACH_COLUMN(x, n) for (int x = 0; x < n; x++)
#else
#define WHOSE_ROW(row, shape) \
    for (ulong item_ = get_global_id(0); item_ < rows * shape.z; item_ += get_global_size(0)) { \
        const ulong row = item_ / (ulong)shape.z; \
        const int column_ = (int)(item_ % (ulong)shape.z);
#define EACH_COLUMN(x, n) const int x = column_;
#endif

#define EACH_ROW(row, shape) WHOSE_ROW(row, shape) \
        const ulong plane = row / (ulong)(shape.x * shape.y); \
        const int z = row / shape.y % shape.x, y = row % shape.y; \
        const ulong area = (ulong)size.x * size.y * size.z; \
        const ulong made = (ulong)places.x * places.y * places.z;

#define WINDOW(x, DO) \
    for (int kz = 0; kz < KERNEL_Z; kz++) \
        for (int ky = 0; ky < KERNEL_Y; ky++) \
            for (int kx = 0; kx < KERNEL_X; kx++) { \
                const int iz = z * STRIDE_Z - PADDING_Z + kz * DILATION_Z; \
                const int iy = y * STRIDE_Y - PADDING_Y + ky * DILATION_Y; \
                const int ix = (x) * STRIDE_X - PADDING_X + kx * DILATION_X; \
                if (HAS_EDGES && ((uint)iz >= (uint)size.x || (uint)iy >= (uint)size.y \
                        || (uint)ix >= (uint)size.z)) continue; \
                const int at = (iz * size.y + iy) * size.z + ix; \
                DO \
            }

#if IS_MAX
kernel void max_pool(global OUT_MEMORY *out, global long *indices, global const OUT_MEMORY *in,
        ulong offset_out, ulong offset_indices, ulong offset_in, NUMBERS)
{
    EACH_ROW(row, places)
        global const OUT_MEMORY *from = in + offset_in + plane * area;
        EACH_COLUMN(x, places.z) {
            OUT_VALUE best = LEAST;
            int where = -1;
            WINDOW(x, {
                const OUT_VALUE v = OUT_LOAD(from, at);
                const int is_better = v > best || v != v || where < 0;
                best = is_better ? v : best;
                where = is_better ? at : where;
            })
            const ulong target = row * places.z + x;
            OUT_STORE(out, offset_out + target, best);
            indices[offset_indices + target] = where;
        }
    }
}
#endif

#if IS_MAX_GRAD
// A plane's gradients are added up in order by one work item, or all at once by atomics.
kernel void max_pool_grad(global T *out, global const G_MEMORY *grad, global const long *indices,
        ulong offset_out, ulong offset_grad, ulong offset_indices, ulong planes, ulong area,
        ulong made)
{
#if IS_ATOMIC
    const ulong first = get_group_id(0), step = get_num_groups(0);
    const ulong member = get_local_id(0), members = get_local_size(0);
#else
    const ulong first = get_global_id(0), step = get_global_size(0), member = 0, members = 1;
#endif
    for (ulong plane = first; plane < planes; plane += step) {
        global T *to = out + offset_out + plane * area;
        for (ulong k = member; k < area; k += members) to[k] = 0;
#if IS_ATOMIC
        barrier(CLK_GLOBAL_MEM_FENCE);
#endif
        for (ulong k = member; k < made; k += members) {
            const ulong at = (ulong)indices[offset_indices + plane * made + k];
            if (at >= area) continue;
            const T v = G_LOAD(grad, offset_grad + plane * made + k);
#if IS_ATOMIC && defined(ADD_ATOMIC)
            ADD_ATOMIC(to + at, v);
#elif IS_ATOMIC
            volatile global BITS *word = (volatile global BITS *)(to + at);
            BITS old = 0, seen;  // a guess: what is there is read by atomics only
            do {
                seen = old;
                old = EXCHANGE(word, seen, TO_BITS(FROM_BITS(seen) + v));
            } while (old != seen);
#else
            to[at] += v;
#endif
        }
    }
}
#endif

#if IS_AVERAGE
kernel void avg_pool(global OUT_MEMORY *out, global const OUT_MEMORY *in, ulong offset_out,
        ulong offset_in, NUMBERS)
{
    EACH_ROW(row, places)
        global const OUT_MEMORY *from = in + offset_in + plane * area;
        EACH_COLUMN(x, places.z) {
            T sum = 0;
            WINDOW(x, sum += OUT_LOAD(from, at);)
            OUT_STORE(out, offset_out + row * places.z + x, sum / (T)DIVISOR(z, y, x));
        }
    }
}

kernel void avg_pool_grad(global OUT_MEMORY *out, global const OUT_MEMORY *grad, ulong offset_out,
        ulong offset_grad, NUMBERS)
{
    EACH_ROW(row, size)
        global const OUT_MEMORY *g = grad + offset_grad + plane * made;
        EACH_COLUMN(x, size.z) {
            T sum = 0;
            for (int oz = FIRST(z, KERNEL_Z, STRIDE_Z, PADDING_Z);
                    oz <= LAST(z, places.x, STRIDE_Z, PADDING_Z); oz++)
                for (int oy = FIRST(y, KERNEL_Y, STRIDE_Y, PADDING_Y);
                        oy <= LAST(y, places.y, STRIDE_Y, PADDING_Y); oy++)
                    for (int ox = FIRST(x, KERNEL_X, STRIDE_X, PADDING_X);
                            ox <= LAST(x, places.z, STRIDE_X, PADDING_X); ox++)
                        sum += OUT_LOAD(g, (oz * places.y + oy) * places.z + ox)
                            / (T)DIVISOR(oz, oy, ox);
            OUT_STORE(out, offset_out + row * size.z + x, sum);
        }
    }
}
#endif
