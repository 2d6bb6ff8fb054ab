// Convolution without columns in memory. Each of its three directions is a product
//     out[row][column] = sum over k of x[rows_at[row] + depth_at[k]] * right[k][column]
// whose left operand is read where it lies: a table says where a row begins, another how far from
// there step k is. `spread` puts zeros around x first, so that neither table leads outside.
//
//     forward         rows: places of the output   depth: channel, offset in the window
//     gradient of x   rows: places of x            depth: filter, offset in the window
//     of the weight   rows: channel, offset        depth: image, place of the output
//
// T: what is computed in. ROWS, COLUMNS, SUMS, PRODUCTS, PUT, ALL_ROWS: see gemm.cl. ALL_COLUMNS:
// the columns of a tile, transposed in registers. BIASED(channel): what is added to a sum. ENDED(v):
// what becomes of it then. IS_FLAT: neighbouring work items write neighbouring elements.

#define FINISHED(v, channel) RESULT(ENDED((v) + BIASED(channel)))

#if IS_SPREAD
// to[image][channel][z][y][x]: `in`, which ends at limit_in, with zeros around it, or without what
// lies outside. WIDE: W elements of T; IN_V(p, i) loads as many, PUT_WIDE(p, v) stores them.
kernel void spread(global T *to, global const IN_MEMORY *in, ulong offset_in, ulong limit_in,
        ulong lines, ulong channels, ulong step_image, ulong step_channel, ulong step_z, ulong step_y,
        ulong step_x, long depth, long height, long width, long to_depth, long to_height,
        long to_width, long first_z, long first_y, long first_x)
{
    const uint rows = (uint)to_height, slices = (uint)to_depth, many = (uint)channels;
#if IS_FLAT
    for (ulong i = get_global_id(0); i < lines * to_width; i += get_global_size(0)) {
        const uint line = i / to_width, slice = line / rows, plane = slice / slices;
        const long x = (long)(i - (ulong)line * to_width) - first_x;
        const long y = (long)(line - slice * rows) - first_y;
        const long z = (long)(slice - plane * slices) - first_z;
        const bool is_inside = x >= 0 && x < width && y >= 0 && y < height && z >= 0 && z < depth;
        const ulong at = offset_in + plane / many * step_image + plane % many * step_channel
            + z * step_z + y * step_y + x * step_x;
        to[i] = is_inside ? LOADED(at) : (T)0;
    }
#else
    const ulong share = (lines - 1) / get_global_size(0) + 1, first = get_global_id(0) * share;
    const ulong last = min(lines, first + share);
    for (ulong line = first; line < last; line++) {
        global T *out = to + line * to_width;
        const uint slice = (uint)line / rows, plane = slice / slices;
        const long y = (long)((uint)line - slice * rows) - first_y;
        const long z = (long)(slice - plane * slices) - first_z;
        const bool is_inside = y >= 0 && y < height && z >= 0 && z < depth;
        const long start = is_inside ? clamp(first_x, 0l, to_width) : to_width;
        const long end = is_inside ? clamp(first_x + width, start, to_width) : to_width;
        const ulong at = offset_in + plane / many * step_image + plane % many * step_channel
            + z * step_z + y * step_y + (start - first_x) * step_x;
        // What is too much of a line is overwritten by the next ones, where those are written here.
        const long left = (long)(last - line) * to_width;
        if (start > 8 && start + W <= left)
            for (long i = 0; i < start; i += W) PUT_WIDE(out + i, (WIDE)0);
        else
            for (long i = 0; i < start; i++) out[i] = (T)0;
        const long n = end - start;
        if (end + W <= left && step_x == 1 && at + n + W <= limit_in)
            for (long i = 0; i < n; i += W) PUT_WIDE(out + start + i, IN_V(in, at + i));
        else
            for (long i = 0; i < n; i++) out[start + i] = LOADED(at + i * step_x);
        for (long i = end; i < to_width; i++) out[i] = (T)0;
    }
#endif
}
#endif

#if IS_PACK
// to[group][panel][image][k][j]: element k of line j lies at depth_at[k]; zeros past the edge.
// IS_WOVEN: the steps of depth are neighbours in memory; see gemm.cl.
kernel void pack(global T *to, global const IN_MEMORY *in, global const int *depth_at,
        ulong offset_in, ulong groups, ulong lines, ulong images, ulong depth, ulong step_group,
        ulong step_line, ulong step_image)
{
    const ulong panels = (lines - 1) / COLUMNS + 1, blocks = (depth - 1) / BLOCK + 1;
    const ulong items = groups * panels * images * blocks;
#if IS_FLAT
    const ulong all = groups * panels * images * depth * COLUMNS;
    for (ulong i = get_global_id(0); i < all; i += get_global_size(0)) {
        const ulong item = i / COLUMNS / depth, k = i / COLUMNS % depth;
        const ulong image = item % images, panel = item / images % panels;
        const ulong group = item / images / panels, line = panel * COLUMNS + i % COLUMNS;
        const ulong at = offset_in + group * step_group + line * step_line + image * step_image;
        to[i] = line < lines ? LOADED(at + depth_at[k]) : (T)0;
    }
#else
    for (ulong item = get_global_id(0); item < items; item += get_global_size(0)) {
        const ulong block = item % blocks, image = item / blocks % images;
        const ulong panel = item / blocks / images % panels, group = item / blocks / images / panels;
        const ulong first = panel * COLUMNS;
        const int n = (int)min((ulong)COLUMNS, lines - first);
        const ulong base = offset_in + group * step_group + first * step_line + image * step_image;
        global T *out = to + item / blocks * depth * COLUMNS;
        ulong k = block * BLOCK;
        const ulong stop = min(depth, k + BLOCK);
#if IS_WOVEN
        if (n == COLUMNS)
            for (; k + WIDTH <= stop; k += WIDTH)
                WOVEN(in + base + depth_at[k], step_line, out + k * COLUMNS)
#endif
        for (; k < stop; k++) {
            const ulong at = base + depth_at[k];
            if (n == COLUMNS) {
                for (int j = 0; j < COLUMNS; j++) out[k * COLUMNS + j] = LOADED(at + j * step_line);
            } else {
                for (int j = 0; j < n; j++) out[k * COLUMNS + j] = LOADED(at + j * step_line);
                for (int j = n; j < COLUMNS; j++) out[k * COLUMNS + j] = (T)0;
            }
        }
    }
#endif
}
#endif

#if IS_GATHER || IS_SUM
#define LINES (((columns - 1) / COLUMNS) + 1)
#if IS_LOCAL
// A step of depth for a tile in local memory; an item's rows and columns lie apart.
#define CLEARED \
    T sum[EACH_ROWS][EACH_COLUMNS]; \
    for (int i = 0; i < EACH_ROWS; i++) \
        for (int j = 0; j < EACH_COLUMNS; j++) sum[i][j] = (T)0;
#define SUMMED(from, until, x, right) \
    for (ulong first_k = from; first_k < until; first_k += STEPS) { \
        const int steps = (int)min((ulong)STEPS, until - first_k); \
        barrier(CLK_LOCAL_MEM_FENCE); \
        for (int i = item; i < steps * ROWS; i += ITEMS * ITEMS) \
            left_step[i] = (x)[begin[i % ROWS] + depth_at[first_k + i / ROWS]]; \
        for (int i = item; i < steps * COLUMNS; i += ITEMS * ITEMS) \
            right_step[i] = (right)[first_k * COLUMNS + i]; \
        barrier(CLK_LOCAL_MEM_FENCE); \
        for (int k = 0; k < steps; k++) \
            for (int j = 0; j < EACH_COLUMNS; j++) { \
                const T v = right_step[k * COLUMNS + j * ITEMS + ly]; \
                for (int i = 0; i < EACH_ROWS; i++) \
                    ADD_PRODUCT(sum[i][j], v, left_step[k * ROWS + i * ITEMS + lx]); \
            } \
    }
#define LOCALS \
    local T left_step[STEPS * ROWS], right_step[STEPS * COLUMNS]; \
    local ulong begin[ROWS];
#endif
#endif

#if IS_GATHER
kernel void gather(global OUT_MEMORY *out, global const T *x, global const T *right,
        global const int *rows_at, global const int *out_at, global const int *depth_at,
        global const BIAS_MEMORY *bias, ulong offset_out, ulong offset_x, ulong offset_bias,
        ulong groups, ulong columns, ulong rows, ulong places, ulong depth, ulong x_group,
        ulong x_image, ulong out_group, ulong out_image, ulong out_column, ulong bias_step,
        ulong block, ulong segment)
{
    const ulong panels = LINES, tiles = (rows - 1) / ROWS + 1;
#if IS_LOCAL
    LOCALS
    const int lx = (int)get_local_id(0), ly = (int)get_local_id(1), item = ly * ITEMS + lx;
    const ulong panel = get_group_id(1) % panels, group = get_group_id(1) / panels;
    const global T *b = right + get_group_id(1) * depth * COLUMNS;
    for (ulong tile = get_group_id(0); tile < tiles; tile += get_num_groups(0)) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int i = item; i < ROWS; i += ITEMS * ITEMS) {
            const ulong row = min(tile * ROWS + i, rows - 1);
            begin[i] = offset_x + group * x_group + row / places * x_image + rows_at[row % places];
        }
        CLEARED
        SUMMED(0, depth, x, b)
        for (int j = 0; j < EACH_COLUMNS; j++)
            for (int i = 0; i < EACH_ROWS; i++) {
                const ulong row = tile * ROWS + i * ITEMS + lx;
                const ulong column = panel * COLUMNS + j * ITEMS + ly;
                if (row < rows && column < columns) {
                    const ulong at = offset_out + row / places * out_image + out_at[row % places]
                        + group * out_group + column * out_column;
                    OUT_STORE(out, at, FINISHED(sum[i][j], group * columns + column));
                }
            }
    }
#else
    // An item takes a few tiles of rows, whose image stays in a cache while panels pass.
    const ulong blocks = (tiles - 1) / block + 1, segments = (panels - 1) / segment + 1;
    const ulong all = groups * blocks * segments;
    for (ulong item = get_global_id(0); item < all; item += get_global_size(0)) {
    const ulong group = item % groups, begin_tile = item / groups % blocks * block;
    const ulong begin_panel = item / groups / blocks * segment;
    for (ulong panel = begin_panel; panel < min(panels, begin_panel + segment); panel++)
    for (ulong tile = begin_tile; tile < min(tiles, begin_tile + block); tile++) {
        const ulong line = group * panels + panel, first = tile * ROWS;
        const ulong origin = offset_out + group * out_group + panel * COLUMNS * out_column;
        const global T *from = x + offset_x + group * x_group;
        const global T *b = right + line * depth * COLUMNS;
        ulong begin[ROWS], to[ROWS];
        uint image = (uint)first / (uint)places, place = (uint)first % (uint)places;
        bool is_run = first + ROWS <= rows;
        for (int i = 0; i < ROWS; i++) {
            begin[i] = image * x_image + rows_at[place];
            to[i] = origin + image * out_image + out_at[place];
            is_run = is_run && to[i] == to[0] + i;
            if (first + i + 1 < rows && ++place == places) { place = 0; image++; }
        }
        POINTERS
        SUMS
        for (ulong k = 0; k < depth; k++) {
            const long o = depth_at[k];
            PRODUCTS(, b + k * COLUMNS)
        }
        const int n = (int)min((ulong)COLUMNS, columns - panel * COLUMNS);
        const ulong channel = group * columns + panel * COLUMNS;
#if IS_TURNED
        if (is_run && n == COLUMNS) {
            global T *target = (global T *)out + to[0];
#define COLUMN(j, v) PUT_COLUMN(ENDED((v) + BIASED(channel + j)), target + j * out_column)
            ALL_COLUMNS
            continue;
        }
#endif
        T values[ROWS][COLUMNS];
#define ROW(i) PUT(i, values[i])
        ALL_ROWS
        if (is_run) {
            for (int j = 0; j < n; j++)
                for (int i = 0; i < ROWS; i++)
                    OUT_STORE(out, to[0] + j * out_column + i,
                        FINISHED(values[i][j], channel + j));
        } else {
            const int m = (int)min((ulong)ROWS, rows - first);
            for (int j = 0; j < n; j++)
                for (int i = 0; i < m; i++)
                    OUT_STORE(out, to[i] + j * out_column, FINISHED(values[i][j], channel + j));
        }
    }
    }
#endif
}
#endif

#if IS_SUM
// Parts of the sum, to be added by `finish`: sums[part][group][panel][row][column], rows filled up
// to whole tiles. On the host's cores: conv_sum.cl.
kernel void gather_sum(global T *sums, global const T *x, global const T *right,
        global const int *rows_at, global const int *depth_at, ulong offset_x, ulong groups,
        ulong columns, ulong rows, ulong images, ulong depth, ulong x_group, ulong x_image,
        ulong parts, ulong blocks, ulong block)
{
    const ulong panels = LINES, tiles = (rows - 1) / ROWS + 1;
    const ulong share = (images * blocks - 1) / parts + 1;
    LOCALS
    const int lx = (int)get_local_id(0), ly = (int)get_local_id(1), item = ly * ITEMS + lx;
    const ulong line = get_group_id(1), part = get_group_id(2), group = line / panels;
    const ulong stop = min(images * blocks, (part + 1) * share);
    for (ulong tile = get_group_id(0); tile < tiles; tile += get_num_groups(0)) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int i = item; i < ROWS; i += ITEMS * ITEMS)
            begin[i] = offset_x + group * x_group + rows_at[min(tile * ROWS + i, rows - 1)];
        CLEARED
        for (ulong b = part * share; b < stop; b++) {
            const ulong image = b / blocks, start = b % blocks * block;
            const ulong end = min(depth, start + block);
            const global T *other = right + (line * images + image) * depth * COLUMNS;
            SUMMED(start, end, x + image * x_image, other)
        }
        global T *to = sums + (((part * groups * panels + line) * tiles) + tile) * ROWS * COLUMNS;
        for (int j = 0; j < EACH_COLUMNS; j++)
            for (int i = 0; i < EACH_ROWS; i++)
                to[(i * ITEMS + lx) * COLUMNS + j * ITEMS + ly] = sum[i][j];
    }
}
#endif

#if IS_FINISH
// out[group][column][row] from the parts of sums. TURNED(from, to): the sum of the parts of WIDTH
// rows and columns, to rows that are neighbours.
kernel void finish(global OUT_MEMORY *out, global const T *sums, global const int *out_at,
        ulong offset_out, ulong groups, ulong columns, ulong rows, ulong parts, ulong out_group,
        ulong out_column)
{
    const ulong panels = (columns - 1) / COLUMNS + 1, filled = ((rows - 1) / ROWS + 1) * ROWS;
    const ulong step = groups * panels * filled * COLUMNS, blocks = (rows - 1) / BLOCK + 1;
    const ulong items = groups * panels * blocks;
    for (ulong item = get_global_id(0); item < items; item += get_global_size(0)) {
        const ulong line = item / blocks, first = item % blocks * BLOCK;
        const ulong group = line / panels, column = line % panels * COLUMNS;
        const global T *from = sums + line * filled * COLUMNS;
        const ulong to = offset_out + group * out_group + column * out_column;
        const int n = (int)min((ulong)COLUMNS, columns - column);
        const ulong stop = min(rows, first + BLOCK);
        ulong row = first;
#if IS_TURNED
        for (; n == COLUMNS && parts && row + WIDTH <= stop; row += WIDTH)
            for (int j = 0; j < COLUMNS; j += WIDTH)
                TURNED(from + row * COLUMNS + j,
                    (global T *)out + to + out_at[row] + j * out_column)
#endif
        for (; row < stop; row++)
            for (int j = 0; j < n; j++) {
                T v = (T)0;
                for (ulong p = 0; p < parts; p++) v += from[p * step + row * COLUMNS + j];
                OUT_STORE(out, to + out_at[row] + j * out_column, RESULT(v));
            }
    }
}
#endif
