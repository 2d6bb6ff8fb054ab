// The gradient of a convolution for its weight where there is little of it: an element is a sum over
// images and places, read where they lie. Nothing is packed, and no table is asked.
//
// counts: images, filters of a group, channels of a group, all filters. sizes: of the image, then
// the places. window: its sizes, then strides. around: padding, then dilations. Each has z, y, x.
// Steps: from filter to filter (image to image), channel to channel, and along z, y, x.

// The first place whose window has an element in the image, and how many there are up to the last.
#define RANGE(low, high, k, n, places, pad, step, apart) \
    const int low##_at = (pad) - (k) * (apart), high##_at = (n) - 1 + low##_at; \
    const int low = low##_at <= 0 ? 0 : (low##_at - 1) / (step) + 1; \
    const int high = high##_at < 0 ? 0 : min(places, high##_at / (step) + 1);

kernel void few(global OUT_MEMORY *out, global const G_MEMORY *grad, global const X_MEMORY *image,
        ulong8 begin, int8 counts, int8 sizes, int8 window, int8 around, long8 out_steps,
        long8 grad_steps, long8 image_steps)
{
    const int kernel_size = window.s0 * window.s1 * window.s2, given = counts.s2;
    const long items = (long)counts.s3 * given * kernel_size;
    for (long item = get_global_id(0); item < items; item += get_global_size(0)) {
        const int k = (int)(item % kernel_size), c = (int)(item / kernel_size % given);
        const int o = (int)(item / kernel_size / given);
        const int kx = k % window.s2, ky = k / window.s2 % window.s1, kz = k / window.s2 / window.s1;
        RANGE(z, z_end, kz, sizes.s0, sizes.s3, around.s0, window.s3, around.s3)
        RANGE(y, y_end, ky, sizes.s1, sizes.s4, around.s1, window.s4, around.s4)
        RANGE(x, x_end, kx, sizes.s2, sizes.s5, around.s2, window.s5, around.s5)
        T a = 0, b = 0, d = 0, e = 0;
        const long moved = window.s5 * image_steps.s4, along = grad_steps.s4;
        for (int n = 0; n < counts.s0; n++)
            for (int i = z; i < z_end; i++)
                for (int j = y; j < y_end; j++) {
                    global const G_MEMORY *g = grad + begin.s1 + n * grad_steps.s0
                        + o * grad_steps.s1 + i * grad_steps.s2 + j * grad_steps.s3;
                    global const X_MEMORY *v = image + begin.s2 + n * image_steps.s0
                        + (o / counts.s1 * given + c) * image_steps.s1
                        + (i * window.s3 - z_at) * image_steps.s2
                        + (j * window.s4 - y_at) * image_steps.s3 - x_at * image_steps.s4;
                    int p = x;
                    for (; p + 4 <= x_end; p += 4) {
                        a += G_LOAD(g, p * along) * X_LOAD(v, p * moved);
                        b += G_LOAD(g, (p + 1) * along) * X_LOAD(v, (p + 1) * moved);
                        d += G_LOAD(g, (p + 2) * along) * X_LOAD(v, (p + 2) * moved);
                        e += G_LOAD(g, (p + 3) * along) * X_LOAD(v, (p + 3) * moved);
                    }
                    for (; p < x_end; p++) a += G_LOAD(g, p * along) * X_LOAD(v, p * moved);
                }
        const T sum = (a + b) + (d + e);
        OUT_STORE(out, begin.s0 + o * out_steps.s0 + c * out_steps.s1 + kz * out_steps.s2
            + ky * out_steps.s3 + kx * out_steps.s4, RESULT(sum));
    }
}
