// One row of a recurrent cell and W of its units: how they are read and written.
//
// T: what is computed in. E: an element of a tensor, K: one of work memory. READ(p, at) and
// WRITE(p, at, v) move values of tensors, GET and SET those of work memory. On a CPU they are
// vectors, of which `count` units are there. EXP, TANH: functions of VECTOR.

#if W > 1
static inline VECTOR some_elements(global const E_MEMORY *p, int count)
{
    T lanes[W];
    for (int j = 0; j < W; j++) lanes[j] = j < count ? (T)(E_S(p, j)) : (T)0;
    return LANES_LOADED(lanes);
}
static inline VECTOR some_kept(global const T *p, int count)
{
    T lanes[W];
    for (int j = 0; j < W; j++) lanes[j] = j < count ? p[j] : (T)0;
    return LANES_LOADED(lanes);
}
static inline void put_elements(VECTOR v, global E_MEMORY *p, int count)
{
    T lanes[W];
    LANES_STORED(v, lanes);
    for (int j = 0; j < count; j++) { E_SET_S(p, j, lanes[j]); }
}
static inline void put_kept(VECTOR v, global T *p, int count)
{
    T lanes[W];
    LANES_STORED(v, lanes);
    for (int j = 0; j < count; j++) p[j] = lanes[j];
}
#define READ(p, at) (count == W ? E_V(p, at) : some_elements((p) + (at), count))
#define GET(p, at) (count == W ? K_V(p, at) : some_kept((p) + (at), count))
#define WRITE(p, at, v) \
    if (count == W) { E_SET_V(p, at, v); } else put_elements(v, (p) + (at), count)
#define SET(p, at, v) if (count == W) { K_SET_V(p, at, v); } else put_kept(v, (p) + (at), count)
#else
#define READ(p, at) E_S(p, at)
#define GET(p, at) (p)[at]
#define WRITE(p, at, v) E_SET_S(p, at, v)
#define SET(p, at, v) (p)[at] = (v)
#endif

#define ONE ((VECTOR)1)
#define SIGMOID(x) (ONE / (ONE + EXP(-(x))))
// By what came out, the slopes of both.
#define SIGMOID_SLOPE(y) ((y) * (ONE - (y)))
#define TANH_SLOPE(y) (ONE - (y) * (y))
