// The running statistics of instance_norm take in the means over images of the batch's: a channel for each work item.

kernel void instance_norm_step(global T *mean, global T *var, global const T *means,
        global const T *roots, ulong8 begin, uint images, uint channels, T share, T keep, T eps,
        T unbiased)
{
    for (uint c = get_global_id(0); c < channels; c += get_global_size(0)) {
        T sum = 0, square = 0;
        for (uint i = 0; i < images; i++) {
            const ulong at = (ulong)i * channels + c;
            const T root = roots[begin.s3 + at];
            sum += means[begin.s2 + at];
            square += 1 / (root * root) - eps;
        }
        mean[begin.s0 + c] = mean[begin.s0 + c] * keep + sum / images * share;
        var[begin.s1 + c] = var[begin.s1 + c] * keep + square / images * unbiased;
    }
}
