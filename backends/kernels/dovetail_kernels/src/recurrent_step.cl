// One step of LSTM and GRU cells after their products, and its gradients: W units of a row at a
// time.
//
// IS_LSTM or IS_GRU, IS_BACKWARD; ARRAYS, ARRAY_PLACES, ARRAYS_FOUND: the tensors.

#define GATE(count_of, k) (row * (count_of) * size + (k) * size + u)
#define OWN (row * size + u)

#if IS_LSTM
#define ACTIVATED \
    const VECTOR i = SIGMOID(READ(gates, GATE(4, 0))), f = SIGMOID(READ(gates, GATE(4, 1))); \
    const VECTOR g = TANH(READ(gates, GATE(4, 2))), o = SIGMOID(READ(gates, GATE(4, 3))); \
    const VECTOR c_before = READ(cx, OWN), made = f * c_before + i * g, top = TANH(made);
#if IS_BACKWARD
#define CELL { \
        const VECTOR of_h = READ(grad_h, OWN); \
        const VECTOR of_c = READ(grad_c, OWN) + of_h * o * TANH_SLOPE(top); \
        WRITE(of_gates, GATE(4, 0), of_c * g * SIGMOID_SLOPE(i)); \
        WRITE(of_gates, GATE(4, 1), of_c * c_before * SIGMOID_SLOPE(f)); \
        WRITE(of_gates, GATE(4, 2), of_c * i * TANH_SLOPE(g)); \
        WRITE(of_gates, GATE(4, 3), of_h * top * SIGMOID_SLOPE(o)); \
        WRITE(of_cx, OWN, of_c * f); \
    }
#else
#define CELL { \
        WRITE(h, OWN, o * top); \
        WRITE(c, OWN, made); \
    }
#endif
#endif

#if IS_GRU
#define ADDED(k) READ(input_gates, GATE(3, k)) + READ(hidden_gates, GATE(3, k))
#define ACTIVATED \
    const VECTOR r = SIGMOID(ADDED(0)), z = SIGMOID(ADDED(1)); \
    const VECTOR hidden = READ(hidden_gates, GATE(3, 2)), h_before = READ(hx, OWN); \
    const VECTOR made = TANH(READ(input_gates, GATE(3, 2)) + r * hidden);
#if IS_BACKWARD
#define CELL { \
        const VECTOR of_h = READ(grad, OWN); \
        const VECTOR of_new = of_h * (ONE - z) * TANH_SLOPE(made); \
        const VECTOR of_z = of_h * (h_before - made) * SIGMOID_SLOPE(z); \
        const VECTOR of_r = of_new * hidden * SIGMOID_SLOPE(r); \
        WRITE(of_input, GATE(3, 0), of_r); \
        WRITE(of_input, GATE(3, 1), of_z); \
        WRITE(of_input, GATE(3, 2), of_new); \
        WRITE(of_hidden, GATE(3, 0), of_r); \
        WRITE(of_hidden, GATE(3, 1), of_z); \
        WRITE(of_hidden, GATE(3, 2), of_new * r); \
        WRITE(of_hx, OWN, of_h * z); \
    }
#else
#define CELL WRITE(h, OWN, made + z * (h_before - made));
#endif
#endif

kernel void cell(ARRAYS ARRAY_PLACES, ulong n, int size)
{
    ARRAYS_FOUND
    const int across = (size - 1) / W + 1;
    const ulong all = n * across;
    for (ulong at = get_global_id(0); at < all; at += get_global_size(0)) {
        const ulong row = at / across;
        const int u = (int)(at % across) * W, count = min(W, size - u);
        (void)count;
        ACTIVATED
        CELL
    }
}
