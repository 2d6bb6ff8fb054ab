// What an average is divided by, and which ones an element is in.
//
// PLACE: the type of places along a dim, which may be vectors. COUNTS_PADDING: places around the
// plane count. HAS_DIVISOR: the divisor, where it is given.

// Elements that count for the window at a place of one dim.
#define EXTENT(i, n, KERNEL, STRIDE, PADDING) \
    (min((i) * STRIDE - PADDING + KERNEL, (PLACE)(COUNTS_PADDING ? n + PADDING : n)) \
     - (COUNTS_PADDING ? (i) * STRIDE - PADDING : max((i) * STRIDE - PADDING, (PLACE)0)))
#if HAS_DIVISOR
#define DIVISOR(iz, iy, ix) (PLACE)HAS_DIVISOR
#else
#define DIVISOR(iz, iy, ix) \
    (EXTENT((PLACE)(iz), size.x, KERNEL_Z, STRIDE_Z, PADDING_Z) \
        * EXTENT((PLACE)(iy), size.y, KERNEL_Y, STRIDE_Y, PADDING_Y) \
        * EXTENT(ix, size.z, KERNEL_X, STRIDE_X, PADDING_X))
#endif

// The windows that an element is in, along one dim.
#define FIRST(i, KERNEL, STRIDE, PADDING) \
    ((i) + PADDING < KERNEL ? 0 : ((i) + PADDING - KERNEL) / STRIDE + 1)
#define LAST(i, n, STRIDE, PADDING) min(n - 1, ((i) + PADDING) / STRIDE)
