// Images read at the places of a grid, and the gradients for both (see fused/grid.py).
//
// in: (images, channels, sizes), grid: (images, places, NDIM), x first. TAPS: how many elements a place is
// made of along each dim, 1 (the nearest), 2 (linear) or 4 (cubic). A work item takes W places at once, V is
// a number of each and I an index. how: images, channels, places, blocks of channels. option: padding
// (0 zeros, 1 border, 2 reflection; a whole byte, for a simulator has no smaller ones), and 256 where the
// corners' centres are at -1 and 1. IS_APART: places are elements from the first, and those of each dim an
// array of its own, place0 (the first dim's), place1, …

#if TAPS == 1
#define CORNERS 1
#elif NDIM == 2
#define CORNERS (TAPS * TAPS)
#else
#define CORNERS (TAPS * TAPS * TAPS)
#endif

// A library's are made of vectors' halves.
#if W > 1 && __has_builtin(__builtin_elementwise_floor) && __has_builtin(__builtin_elementwise_roundeven)
#define FLOOR(x) __builtin_elementwise_floor(x)
#define RINT(x) __builtin_elementwise_roundeven(x)
#else
#define FLOOR(x) floor(x)
#define RINT(x) rint(x)
#endif

#define NUMBERS ulong8 begin, uint4 how, int4 sizes, int option

#if IS_CPU
#define EACH(item, count) \
    const ulong share_ = ((count) - 1) / get_global_size(0) + 1; \
    const ulong last_ = min((ulong)(count), share_ * (get_global_id(0) + 1)); \
    for (ulong item = share_ * get_global_id(0); item < last_; item++)
#else
#define EACH(item, count) for (ulong item = get_global_id(0); item < (count); item += get_global_size(0))
#endif

#if W > 1
#if W == 16 && defined(__AVX512F__) && IS_PLAIN && __has_builtin(__builtin_ia32_gathersiv16sf)
#define READ(p, i) __builtin_ia32_gathersiv16sf((float16)0, (const void *)(ulong)(p), i, \
    __builtin_ia32_cmpd512_mask(i, (int16)0, 5, (ushort)-1), 4)
#else
static V read_lanes(global const OUT_MEMORY *p, I i)
{
    T value[W];
    INDEX at[W];
    vstoreW(i, 0, at);
    for (int j = 0; j < W; j++) value[j] = at[j] < 0 ? (T)0 : OUT_LOAD(p, at[j]);
    return vloadW(0, value);
}
#define READ(p, i) read_lanes(p, i)
#endif
#else
#define READ(p, i) ((i) < 0 ? (T)0 : OUT_LOAD(p, i))
#endif

// Within [0, size - 1], NaN as 0; *turn becomes the derivative.
static V clipped(V x, T most, V *turn)
{
    *turn = x > (V)0 && x < (V)most ? *turn : (V)0;
    return x >= (V)most ? (V)most : x > (V)0 ? x : (V)0;
}

static V mirrored(V x, T low, T span, V *turn)
{
    const I is_before = x < (V)low;
    const V away = is_before ? low - x : x - low;
    const V flips = FLOOR(away / span), extra = away - flips * span;
    const I is_even = flips - 2 * FLOOR(flips / 2) == (V)0;
    *turn = is_before == is_even ? (V)-1 : (V)1;
    return is_even ? extra + low : span - extra + low;
}

static V padded(V x, int size, int option, V *turn)
{
    const int padding = option & 255, align = option & 256;
    const T most = size - 1;
    *turn = (V)1;
    if (padding == 2) {
        if (align && size == 1) x = (V)0;
        else x = mirrored(x, align ? (T)0 : (T)-0.5f, align ? most : (T)size, turn);
    }
    return padding ? clipped(x, most, turn) : x;
}

// A whole number as an index; -1: it is outside.
static I inside(V x, int size)
{
    return TO_INDEX(x >= (V)0 && x <= (V)(T)(size - 1) ? x : (V)-1);
}

#define NEAR(x) ((((T)1.25f * (x)) - (T)2.25f) * (x) * (x) + 1)
#define FAR(x) (((((T)-0.75f * (x)) + (T)3.75f) * (x) - 6) * (x) + 3)
#define NEAR_SLOPE(x) ((((T)3.75f * (x)) - (T)4.5f) * (x))
#define FAR_SLOPE(x) ((((T)-2.25f * (x)) + (T)7.5f) * (x) - 6)

// Where the elements are along a dim, what they are weighed by, and its derivative by the coordinate.
static void find(V x, int size, int option, I *at, V *weight, V *slope)
{
    const int align = option & 256;
    const T scale = (align ? (T)(size - 1) : (T)size) / 2;
#if IS_APART
    V turn, place = x;
#else
    V turn, place = align ? (x + 1) / 2 * (T)(size - 1) : ((x + 1) * (T)size - 1) / 2;
#endif
#if TAPS == 4
    const V low = FLOOR(place), t = place - low;
    for (int k = 0; k < 4; k++) at[k] = inside(RINT(padded(low + (T)(k - 1), size, option, &turn)), size);
    weight[0] = FAR(t + 1), weight[1] = NEAR(t), weight[2] = NEAR(1 - t), weight[3] = FAR(2 - t);
    slope[0] = scale * FAR_SLOPE(t + 1), slope[1] = scale * NEAR_SLOPE(t);
    slope[2] = -scale * NEAR_SLOPE(1 - t), slope[3] = -scale * FAR_SLOPE(2 - t);
#else
    place = padded(place, size, option, &turn);
#if TAPS == 2
    const V low = FLOOR(place), share = place - low;
    at[0] = inside(low, size), at[1] = inside(low + 1, size);
    weight[0] = 1 - share, weight[1] = share;
    slope[1] = turn * scale, slope[0] = -slope[1];
#else
    at[0] = inside(RINT(place), size);
    weight[0] = (V)1, slope[0] = (V)0;
#endif
#endif
}

// The coordinates of W places; what is beyond the last is it again.
static void load(global const OUT_MEMORY *grid, uint first, uint places, V *x)
{
#if W > 1
#if IS_PLAIN && NDIM == 2
    if (first + W <= places) {
        const V one = OUT_V(grid, (ulong)first * 2), other = OUT_V(grid, (ulong)first * 2 + W);
        x[0] = (V)(one.even, other.even), x[1] = (V)(one.odd, other.odd);
        return;
    }
#endif
    T value[NDIM][W];
    for (int j = 0; j < W; j++) {
        const ulong at = (ulong)min(first + j, places - 1) * NDIM;
        for (int d = 0; d < NDIM; d++) value[d][j] = OUT_LOAD(grid, at + d);
    }
    for (int d = 0; d < NDIM; d++) x[d] = vloadW(0, value[d]);
#else
    for (int d = 0; d < NDIM; d++) x[d] = OUT_LOAD(grid, (ulong)first * NDIM + d);
#endif
}

static void store(global OUT_MEMORY *to, uint first, uint places, V v)
{
#if W > 1
    if (first + W <= places) {
        OUT_SET_V(to, first, v);
    } else {
        T value[W];
        vstoreW(v, 0, value);
        for (uint j = 0; first + j < places; j++) OUT_STORE(to, first + j, value[j]);
    }
#else
    OUT_STORE(to, first, v);
#endif
}

// The gradient of W outputs, 0 of what is beyond the last.
static V gradient(global const OUT_MEMORY *from, uint first, uint places)
{
#if W > 1
    if (first + W <= places) return OUT_V(from, first);
    T value[W];
    for (int j = 0; j < W; j++) value[j] = first + j < places ? OUT_LOAD(from, first + j) : (T)0;
    return vloadW(0, value);
#else
    return OUT_LOAD(from, first);
#endif
}

#if NDIM == 2
#define EACH_CORNER(DO) \
    for (int iy = 0; iy < TAPS; iy++) \
        for (int ix = 0; ix < TAPS; ix++) { \
            const int k = iy * TAPS + ix; \
            DO \
        }
#define INDEX_OF(a, sizes) ((a[1][iy] | a[0][ix]) < 0 ? (I)-1 : a[1][iy] * sizes.z + a[0][ix])
#define WEIGHT (weight[1][iy] * weight[0][ix])
#else
#define EACH_CORNER(DO) \
    for (int iz = 0; iz < TAPS; iz++) \
        for (int iy = 0; iy < TAPS; iy++) \
            for (int ix = 0; ix < TAPS; ix++) { \
                const int k = (iz * TAPS + iy) * TAPS + ix; \
                DO \
            }
#define INDEX_OF(a, sizes) ((a[2][iz] | a[1][iy] | a[0][ix]) < 0 ? (I)-1 \
    : (a[2][iz] * sizes.y + a[1][iy]) * sizes.z + a[0][ix])
#define WEIGHT (weight[2][iz] * weight[1][iy] * weight[0][ix])
#endif

#if IS_APART
#define PLACE(array, at) gradient(array + at + image * how.z, p, how.z)
#define GRID PLACES_GIVEN
#define LOAD(p) PLACES_LOADED
#else
#define GRID global const OUT_MEMORY *grid
#define LOAD(p) load(grid + begin.s2 + image * how.z * NDIM, p, how.z, x);
#endif
#define FIND(p) FIND_BY(LOAD(p))
#define FIND_AT(grid, p) FIND_BY(load(grid, p, how.z, x);)
#define FIND_BY(load) \
    V x[NDIM], weight[NDIM][TAPS], slope[NDIM][TAPS]; \
    I at[NDIM][TAPS], index[CORNERS]; \
    load \
    for (int d = 0; d < NDIM; d++) \
        find(x[d], d == 0 ? sizes.z : d == 1 ? sizes.y : sizes.x, option, at[d], weight[d], slope[d]); \
    EACH_CORNER(index[k] = INDEX_OF(at, sizes);)

#define BLOCKS(n) (((n) - 1) / W + 1)

#if IS_FORWARD
kernel void grid_sample(global OUT_MEMORY *out, global const OUT_MEMORY *in, GRID, NUMBERS)
{
    const ulong area = (ulong)sizes.x * sizes.y * sizes.z;
    const uint blocks = BLOCKS(how.z), some = (how.y - 1) / how.w + 1;
    EACH(item, (ulong)how.x * how.w * blocks) {
        const uint p = (uint)(item % blocks) * W, first = (uint)(item / blocks % how.w) * some;
        const ulong image = item / blocks / how.w;
        FIND(p)
        V all[CORNERS];
        EACH_CORNER(all[k] = WEIGHT;)
        const uint last = min(how.y, first + some);
        for (uint c = first; c < last; c++) {
            const ulong plane = image * how.y + c;
            global const OUT_MEMORY *from = in + begin.s1 + plane * area;
            V sum = (V)0;
            EACH_CORNER(sum = k ? sum + all[k] * READ(from, index[k]) : all[k] * READ(from, index[k]);)
            store(out + begin.s0 + plane * how.z, p, how.z, sum);
        }
    }
}
#endif

#if IS_GRID
kernel void grid_gradient(global OUT_MEMORY *out, global const OUT_MEMORY *g, global const OUT_MEMORY *in,
        global const OUT_MEMORY *grid, NUMBERS)
{
    const ulong area = (ulong)sizes.x * sizes.y * sizes.z;
    const uint blocks = BLOCKS(how.z);
    EACH(item, (ulong)how.x * blocks) {
        const uint p = (uint)(item % blocks) * W;
        const ulong image = item / blocks;
        FIND_AT(grid + begin.s3 + image * how.z * NDIM, p)
        V all[CORNERS];
        EACH_CORNER(all[k] = (V)0;)
        for (uint c = 0; c < how.y; c++) {
            const ulong plane = image * how.y + c;
            global const OUT_MEMORY *from = in + begin.s2 + plane * area;
            const V share = gradient(g + begin.s1 + plane * how.z, p, how.z);
            EACH_CORNER(all[k] += share * READ(from, index[k]);)
        }
        V made[NDIM];
        for (int d = 0; d < NDIM; d++) made[d] = (V)0;
#if NDIM == 2
        EACH_CORNER(
            made[0] += all[k] * weight[1][iy] * slope[0][ix];
            made[1] += all[k] * slope[1][iy] * weight[0][ix];
        )
#else
        EACH_CORNER(
            made[0] += all[k] * weight[2][iz] * weight[1][iy] * slope[0][ix];
            made[1] += all[k] * weight[2][iz] * slope[1][iy] * weight[0][ix];
            made[2] += all[k] * slope[2][iz] * weight[1][iy] * weight[0][ix];
        )
#endif
        global OUT_MEMORY *to = out + begin.s0 + image * how.z * NDIM;
#if W > 1 && IS_PLAIN && NDIM == 2
        if (p + W <= how.z) {
            V one, other;
            one.even = made[0].lo, one.odd = made[1].lo;
            other.even = made[0].hi, other.odd = made[1].hi;
            OUT_SET_V(to, (ulong)p * 2, one);
            OUT_SET_V(to, (ulong)p * 2 + W, other);
            continue;
        }
#endif
        for (int d = 0; d < NDIM; d++) {
#if W > 1
            T value[W];
            vstoreW(made[d], 0, value);
            for (int j = 0; j < W && p + j < how.z; j++) OUT_STORE(to, (ulong)(p + j) * NDIM + d, value[j]);
#else
            OUT_STORE(to, (ulong)p * NDIM + d, made[d]);
#endif
        }
    }
}
#endif

#if IS_INPUT
// The sums are of type T; planes are added up in order by one work item.
kernel void image_gradient(global T *out, global const OUT_MEMORY *g, global const OUT_MEMORY *grid, NUMBERS)
{
    const ulong area = (ulong)sizes.x * sizes.y * sizes.z, planes = (ulong)how.x * how.y;
    const ulong share = (planes - 1) / get_global_size(0) + 1, end = min(planes, share * (get_global_id(0) + 1));
    for (ulong first = share * get_global_id(0), last; first < end; first = last) {
        const ulong image = first / how.y;
        last = min(end, (image + 1) * how.y);
        global T *to = out + begin.s0 + first * area;
        for (ulong k = 0; k < (last - first) * area; k++) to[k] = (T)0;
        for (uint p = 0; p < how.z; p += W) {
            FIND_AT(grid + begin.s2 + image * how.z * NDIM, p)
            for (ulong plane = first; plane < last; plane++) {
                global T *sums = out + begin.s0 + plane * area;
                const V v = gradient(g + begin.s1 + plane * how.z, p, how.z);
#if W > 1
                EACH_CORNER(
                    T value[W];
                    INDEX where[W];
                    vstoreW(v * WEIGHT, 0, value);
                    vstoreW(index[k], 0, where);
                    for (int j = 0; j < W; j++)
                        if (where[j] >= 0) sums[where[j]] += value[j];
                )
#else
                EACH_CORNER(if (index[k] >= 0) sums[index[k]] += v * WEIGHT;)
#endif
            }
        }
    }
}
#endif

#if IS_ATOMIC
kernel void zeros(global T *out, ulong8 begin, ulong count)
{
    for (ulong i = get_global_id(0); i < count; i += get_global_size(0)) out[begin.s0 + i] = (T)0;
}

static void add(global T *to, T part)
{
#ifdef ADD_ATOMIC
    ADD_ATOMIC(to, part);
#else
    volatile global BITS *word = (volatile global BITS *)to;
    BITS old = 0, seen;  // a guess: what is there is read by atomics only
    do {
        seen = old;
        old = EXCHANGE(word, seen, TO_BITS(FROM_BITS(seen) + part));
    } while (old != seen);
#endif
}

// All at once, to what is 0; zeroes: the one work group makes it so.
kernel void image_gradient_atomic(global T *out, global const OUT_MEMORY *g, global const OUT_MEMORY *grid,
        NUMBERS, int zeroes)
{
    const ulong area = (ulong)sizes.x * sizes.y * sizes.z;
    const uint some = (how.y - 1) / how.w + 1;
    if (zeroes) {
        const ulong count = (ulong)how.x * how.y * area;
        for (ulong i = get_local_id(0); i < count; i += get_local_size(0)) out[begin.s0 + i] = (T)0;
        barrier(CLK_GLOBAL_MEM_FENCE);
    }
    EACH(item, (ulong)how.x * how.w * how.z) {
        const uint p = (uint)(item % how.z), first = (uint)(item / how.z % how.w) * some;
        const ulong image = item / how.z / how.w;
        FIND_AT(grid + begin.s2 + image * how.z * NDIM, p)
        const uint end = min(how.y, first + some);
        for (uint c = first; c < end; c++) {
            const ulong plane = image * how.y + c;
            global T *sums = out + begin.s0 + plane * area;
            const T v = gradient(g + begin.s1 + plane * how.z, p, how.z);
            EACH_CORNER(if (index[k] >= 0) add(sums + index[k], v * WEIGHT);)
        }
    }
}
#endif
