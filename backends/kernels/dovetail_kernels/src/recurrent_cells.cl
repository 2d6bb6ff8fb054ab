// What follows the product in one step of a recurrent layer: CELL, for W units from u on of a row.
//
// SUM(k): the products of the state before with the weights of gate k; on the way back, of the next
// step's gradients with the weight (k = 0). t: the step's place; on the way back is_first says that
// none was made before it, else t_before is the place of that one, and is_last that no next step
// gave gradients. kept_next: the left operand of the next product, carry: what else goes on to the
// next step, both in what is computed in. CELL_END, on the way back: the first states' gradients.

#define AT(t) (((ulong)(t) * n + row) * size + u)
#define GATE(t, count_of, k) (((ulong)(t) * n + row) * (count_of) * size + (k) * size + u)
#define OWN (row * size + u)

#if HAS_grad_activated
#define MORE(k) + READ(grad_activated, GATE(t, 4, k))
#else
#define MORE(k)
#endif

#if IS_LSTM && !IS_BACKWARD
#define CELL { \
        const VECTOR i = SIGMOID(READ(gates, GATE(t, 4, 0)) + SUM(0)); \
        const VECTOR f = SIGMOID(READ(gates, GATE(t, 4, 1)) + SUM(1)); \
        const VECTOR g = TANH(READ(gates, GATE(t, 4, 2)) + SUM(2)); \
        const VECTOR o = SIGMOID(READ(gates, GATE(t, 4, 3)) + SUM(3)); \
        const VECTOR c = f * GET(carry, OWN) + i * g; \
        const VECTOR h = o * TANH(c); \
        SET(carry, OWN, c); \
        SET(kept_next, OWN, h); \
        WRITE(output, AT(t), h); \
        WRITE(cells, AT(t), c); \
        WRITE(activated, GATE(t, 4, 0), i); \
        WRITE(activated, GATE(t, 4, 1), f); \
        WRITE(activated, GATE(t, 4, 2), g); \
        WRITE(activated, GATE(t, 4, 3), o); \
    }
#endif

#if IS_LSTM && IS_BACKWARD
#if HAS_grad_cells
#define OF_CELL + READ(grad_cells, AT(t))
#else
#define OF_CELL
#endif
#define OF_GATE(k, v) { \
        const VECTOR slope = v; \
        WRITE(of_gates, GATE(t, 4, k), slope); \
        SET(kept_next, GATE(0, 4, k), slope); \
    }
#define CELL { \
        const VECTOR i = READ(activated, GATE(t, 4, 0)), f = READ(activated, GATE(t, 4, 1)); \
        const VECTOR g = READ(activated, GATE(t, 4, 2)), o = READ(activated, GATE(t, 4, 3)); \
        const VECTOR top = TANH(READ(cells, AT(t))); \
        VECTOR c_before, of_c = (VECTOR)0; \
        if (is_first) c_before = READ(cx, OWN); else c_before = READ(cells, AT(t_before)); \
        if (!is_last) of_c = GET(carry, OWN); \
        const VECTOR of_h = READ(grad_output, AT(t)) + SUM(0); \
        of_c = of_c + of_h * o * TANH_SLOPE(top) OF_CELL; \
        OF_GATE(0, (of_c * g MORE(0)) * SIGMOID_SLOPE(i)) \
        OF_GATE(1, (of_c * c_before MORE(1)) * SIGMOID_SLOPE(f)) \
        OF_GATE(2, (of_c * i MORE(2)) * TANH_SLOPE(g)) \
        OF_GATE(3, (of_h * top MORE(3)) * SIGMOID_SLOPE(o)) \
        of_c = of_c * f; \
        SET(carry, OWN, of_c); \
    }
#define CELL_END { \
        WRITE(of_hx, OWN, SUM(0)); \
        WRITE(of_cx, OWN, GET(carry, OWN)); \
    }
#endif

// h goes on by way of the gate z too, which is why it is read where the product is.
#if IS_GRU && !IS_BACKWARD
#if HAS_bias
#define BIASED(k) SUM(k) + READ(bias, (k) * size + u)
#else
#define BIASED(k) SUM(k)
#endif
#define CELL { \
        const VECTOR r = SIGMOID(READ(gates, GATE(t, 3, 0)) + BIASED(0)); \
        const VECTOR z = SIGMOID(READ(gates, GATE(t, 3, 1)) + BIASED(1)); \
        const VECTOR hidden = BIASED(2); \
        const VECTOR made = TANH(READ(gates, GATE(t, 3, 2)) + r * hidden); \
        const VECTOR h = made + z * (GET(kept_before, OWN) - made); \
        SET(kept_next, OWN, h); \
        WRITE(output, AT(t), h); \
        WRITE(activated, GATE(t, 4, 0), r); \
        WRITE(activated, GATE(t, 4, 1), z); \
        WRITE(activated, GATE(t, 4, 2), made); \
        WRITE(activated, GATE(t, 4, 3), hidden); \
    }
#endif

#if IS_GRU && IS_BACKWARD
#define OF_GATE(p, k, v) WRITE(p, GATE(t, 3, k), v);
#define CELL { \
        const VECTOR r = READ(activated, GATE(t, 4, 0)), z = READ(activated, GATE(t, 4, 1)); \
        const VECTOR made = READ(activated, GATE(t, 4, 2)); \
        const VECTOR hidden = READ(activated, GATE(t, 4, 3)); \
        VECTOR h_before, of_h = READ(grad_output, AT(t)) + SUM(0); \
        if (is_first) h_before = READ(hx, OWN); else h_before = READ(output, AT(t_before)); \
        if (!is_last) of_h = of_h + GET(carry, OWN); \
        const VECTOR of_new = (of_h * (ONE - z) MORE(2)) * TANH_SLOPE(made); \
        const VECTOR of_z = (of_h * (h_before - made) MORE(1)) * SIGMOID_SLOPE(z); \
        const VECTOR of_r = (of_new * hidden MORE(0)) * SIGMOID_SLOPE(r); \
        const VECTOR of_scaled = of_new * r MORE(3); \
        OF_GATE(of_gates, 0, of_r) \
        OF_GATE(of_gates, 1, of_z) \
        OF_GATE(of_gates, 2, of_new) \
        OF_GATE(of_hidden, 0, of_r) \
        OF_GATE(of_hidden, 1, of_z) \
        OF_GATE(of_hidden, 2, of_scaled) \
        SET(kept_next, GATE(0, 3, 0), of_r); \
        SET(kept_next, GATE(0, 3, 1), of_z); \
        SET(kept_next, GATE(0, 3, 2), of_scaled); \
        of_h = of_h * z; \
        SET(carry, OWN, of_h); \
    }
#define CELL_END { \
        const VECTOR of_h = SUM(0) + GET(carry, OWN); \
        WRITE(of_hx, OWN, of_h); \
    }
#endif

#if IS_RNN && !IS_BACKWARD
#if IS_RELU
#define ACTIVATED(x) ((x) <= (T)0 ? (VECTOR)0 : (x))
#else
#define ACTIVATED(x) TANH(x)
#endif
#define CELL { \
        const VECTOR x = READ(gates, AT(t)) + SUM(0); \
        const VECTOR h = ACTIVATED(x); \
        SET(kept_next, OWN, h); \
        WRITE(output, AT(t), h); \
    }
#endif

#if IS_RNN && IS_BACKWARD
#if IS_RELU
#define OF_ACTIVATED(of, y) ((y) > (T)0 ? (of) : (VECTOR)0)
#else
#define OF_ACTIVATED(of, y) ((of) * TANH_SLOPE(y))
#endif
#define CELL { \
        const VECTOR h = READ(output, AT(t)), of_h = READ(grad, AT(t)) + SUM(0); \
        const VECTOR of_x = OF_ACTIVATED(of_h, h); \
        SET(kept_next, OWN, of_x); \
        WRITE(of_gates, AT(t), of_x); \
    }
#define CELL_END WRITE(of_hx, OWN, SUM(0));
#endif
