// What lies side by side, W at a time, of an input in memory: for the host's cores. `side` says how:
// `width` elements of the last outer loop, up to `span` of them for a work item, which are written
// `step` apart (a second output's `step_more`) and read `lane` apart; `narrow` of them are what
// `several` rows of the input have been made of, and `extra` of them have one inner element more.
//
// RAW: a vector of W elements as they are computed with, RAW_S one of them; IN_S(p, i) one element,
// MAPPED(v): what is folded of them. LANES_ARE: 0: neighbours, which IN_V(p, i) loads; 1: of those
// fewer than W, for which no more is read than before `limit`; 2: `lane` elements apart.
// IN_A_LINE: vectors in a line of the cache. APART(p, i, lane) loads them one by one, APART_4 four
// neighbours of every fourth lane (MASK: W numbers as wide as an element; LOW, HIGH, ...: which lanes of
// two vectors). LINE: elements of a whole line of a few, one line behind the other, or 0; LINES(x, p, i)
// makes x[0], x[1], ... their first, second, ... elements of W lines.

// A processor's core goes on where it is; neighbours of a GPU take neighbours.
#if IS_CPU
#define EACH_ITEM(item, items) \
    const ulong end_ = (items) * (get_global_id(0) + 1) / get_global_size(0); \
    for (ulong item = (items) * get_global_id(0) / get_global_size(0); item < end_; item++)
#else
#define EACH_ITEM(item, items) \
    for (ulong item = get_global_id(0); item < (items); item += get_global_size(0))
#endif

#define BY(a, b) ((b) == 1 ? (a) : (a) / (b))  // a division takes as long as a vector
#define SIDES \
    const ulong width = side.s0, step = side.s1, step_more = side.s2, lane = side.s3, span = side.s4; \
    const ulong several = side.s5, narrow = side.s6, extra = side.s7, limit = offset_in + side.s8; \
    const ulong run = side.s9, run_step = side.sa, blocks = (width - 1) / span + 1;
// The part, the row, the first column of an item, and its inner elements.
#define SIDE_ITEM(item) \
    const ulong block = BY(item, parts), part = item - block * parts; \
    const ulong row = BY(block, blocks), column = (block - row * blocks) * span; \
    const ulong first = part * chunk, last = min(inner_count, first + chunk);

#if W > 1
#ifdef __clang__
#define OF_TWO(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
// Of a vector's constructor, PoCL's compiler takes some lanes one by one.
#define OF_EIGHT(a, b) OF_TWO(a, b, 0, 1, 2, 3, 4, 5, 6, 7)
#if W == 8
#define OF_FOURS(a, b) __builtin_astype(OF_EIGHT(a, b), RAW)
#else
#define OF_FOURS(a, b, c, d) __builtin_astype( \
        OF_TWO(OF_EIGHT(a, b), OF_EIGHT(c, d), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), RAW)
#endif
#else
#define OF_FOURS(...) (RAW)(__VA_ARGS__)
#define OF_TWO(a, b, ...) shuffle2(a, b, (MASK)(__VA_ARGS__))
#endif

#if LANES_ARE == 2
#define LANE side.s3
#define SIDE_LOAD(p, i) MAPPED(APART(p, i, LANE))
// x0 to x3: four neighbours of W lines.
#define TURN_4(x0, x1, x2, x3, p, i) { \
        const ulong i_ = i; \
        const RAW a_ = APART_4(p, i_, LANE), b_ = APART_4(p, i_ + LANE, LANE); \
        const RAW c_ = APART_4(p, i_ + 2 * LANE, LANE), d_ = APART_4(p, i_ + 3 * LANE, LANE); \
        const RAW s_ = OF_TWO(a_, b_, LOW), t_ = OF_TWO(a_, b_, HIGH); \
        const RAW u_ = OF_TWO(c_, d_, LOW), v_ = OF_TWO(c_, d_, HIGH); \
        x0 = MAPPED(OF_TWO(s_, u_, LOW_TWO)); x1 = MAPPED(OF_TWO(s_, u_, HIGH_TWO)); \
        x2 = MAPPED(OF_TWO(t_, v_, LOW_TWO)); x3 = MAPPED(OF_TWO(t_, v_, HIGH_TWO)); \
    }
#define SIDE_LOAD_4(x0, x1, x2, x3, p, i) \
    if (run_step == 1) \
        TURN_4(x0, x1, x2, x3, p, i) \
    else { \
        x0 = SIDE_LOAD(p, i); x1 = SIDE_LOAD(p, (i) + run_step); \
        x2 = SIDE_LOAD(p, (i) + 2 * run_step); x3 = SIDE_LOAD(p, (i) + 3 * run_step); \
    }
// The last four of a run are turned once more, where it is long enough.
#define CAN_TURN(stop) (run_step == 1 && (stop) >= max(first, run_end - run) + 4)
// m of a run into x, before which there are three more.
#define SIDE_LOAD_ALL(x, m, p, i, j, is_turned) SIDE_LOAD_TILE(x, m, p, i, is_turned, FETCH_TILE(j, k_))
#define SIDE_LOAD_TILE(x, m, p, i, is_turned, FETCHING) \
    if (is_turned) { \
        int k_ = 0; \
        for (; k_ + 4 <= (m); k_ += 4) { \
            FETCHING \
            TURN_4(x[k_], x[k_ + 1], x[k_ + 2], x[k_ + 3], p, (i) + k_) \
        } \
        if (k_ < (m)) { \
            FETCHING \
            TURN_4(x[(m) - 4], x[(m) - 3], x[(m) - 2], x[(m) - 1], p, (i) + (m) - 4) \
        } \
    } else { \
        SIDE_LOAD_EACH(x, m, p, i) \
    }
#define FETCH_TILE(j, k) { \
        global const IN_MEMORY *const ahead_ = in + ahead + ((j) * LANE + run + i - run_end + (k)) * W; \
        FETCH(ahead_) FETCH(ahead_ + W) FETCH(ahead_ + 2 * W) FETCH(ahead_ + 3 * W) \
    }
// A processor does not see ahead through lines side by side. What is wanted next is of the next run,
// or of the next lines: as much of it as is read.
#define LOOK_AHEAD \
    if (run_end < last) { \
        INNER(run_end) \
        ahead = base + along + column * LANE; \
    } else { \
        INNER(first) \
        ahead = base + along + (column + span) * LANE; \
    }
#define FETCH_4(i, j, fours, k, place) \
    for (int r = 0; r < 4; r++) \
        FETCH(in + ahead + ((run + (i) - run_end) * vectors + 4 * ((fours) * (j) + (k)) + r) * W)
#else
#define LANE 1
#define LOOK_AHEAD
#define SIDE_LOAD_4(x0, x1, x2, x3, p, i) \
    x0 = SIDE_LOAD(p, i); x1 = SIDE_LOAD(p, (i) + run_step); \
    x2 = SIDE_LOAD(p, (i) + 2 * run_step); x3 = SIDE_LOAD(p, (i) + 3 * run_step);
#define CAN_TURN(stop) false
#define SIDE_LOAD_ALL(x, m, p, i, j, is_turned) SIDE_LOAD_EACH(x, m, p, i)
// A processor does not always see as far ahead; after the last row come the next columns.
#define FETCH_4(i, j, fours, k, place) \
    if ((j) % IN_A_LINE == 0) \
        for (int r = 4; r < 8; r++) \
            FETCH(in + (place) + r * run_step - ((i) + r < run_end ? 0 : turning))
#if LANES_ARE == 1
static inline RAW few_(global const IN_MEMORY *p, ulong i, ulong width)
{
    RAW_S few[W];
    for (int l = 0; l < W; l++) few[l] = l < width ? IN_S(p, i + l) : (RAW_S)0;
    RAW made;
    for (int l = 0; l < W; l++) ((private RAW_S *)&made)[l] = few[l];
    return made;
}
#define SIDE_LOAD(p, i) MAPPED((i) + W <= limit ? RAW_V(p, i) : few_(p, i, width))
#else
#define SIDE_LOAD(p, i) IN_V(p, i)
#endif
#endif
#define SIDE_LOAD_EACH(x, m, p, i) \
    for (int k_ = 0; k_ < (m); k_++) { \
        FETCH((p) + (i) + ((m) + k_) * run_step) \
        x[k_] = SIDE_LOAD(p, (i) + k_ * run_step); \
    }
// The last vector takes some again.
#if LANES_ARE == 1
#define AT(j) (width < W ? 0 : min(column + (j) * W, width - W))
#else
#define AT(j) min(column + (j) * W, width - W)
#endif

// Runs of `run` inner elements, `run_step` apart: where one begins is found once.
#define RUNS \
    ulong ahead, run_begin, run_place, run_end = first; \
    const ulong turning = span < width ? run * run_step - span : 0;
#define NEXT_RUN(i) \
    { \
        run_begin = i; \
        run_end = (i) - (i) % run + run; \
        LOOK_AHEAD \
        INNER(i) \
        run_place = base + along; \
    }
#define ROW(i) (run_place + ((i) - run_begin) * run_step)
#endif
