// Lines of n elements, each walked and folded by a team of work items.
//
// TEAM: work items of a team. On a GPU they take neighbouring elements; on a CPU a team is one work
// item, that takes W elements at a time as a VECTOR. T: what is computed in. A walk says what is
// done with the element at k, or the W from there on: L is S or V, and IN_##L(p, i) loads one or W.
// EXP_S and EXP_V are exp of one and of several. AT(k): the element k of a line. IS_SIDE: T itself is a vector, of neighbouring lines.

#if TEAM > 1
#define MEMBER ((int)get_local_id(0))
#define TEAM_NUMBER get_group_id(0)
#define EACH_LINE(line, lines) \
    for (ulong line = get_group_id(0); line < (lines); line += get_num_groups(0))
#define TEAM_FOLD GROUP_FOLD
#else
#define MEMBER 0
#define TEAM_NUMBER get_global_id(0)
#define TEAM_FOLD(result, FOLD)
#if IS_CPU
#define EACH_LINE(line, lines) \
    const ulong share_##line = ((lines) - 1) / get_global_size(0) + 1; \
    const ulong last_##line = min((ulong)(lines), share_##line * (get_global_id(0) + 1)); \
    for (ulong line = share_##line * get_global_id(0); line < last_##line; line++)
#else
#define EACH_LINE(line, lines) \
    for (ulong line = get_global_id(0); line < (lines); line += get_global_size(0))
#endif
#endif

#define ZERO_S (T)0
#define ZERO_V (VECTOR)0

// A long sum is made of short ones, so that rounding does not add up.
#if W > 1
#define CHUNK 16384
#define FOLD_PART(result, n, START, FOLD, VALUE) \
    { \
        int k = 0; \
        while (k + W <= (n)) { \
            const int stop_ = min((int)(n), k + CHUNK); \
            VECTOR lanes_ = (VECTOR)(START); \
            for (; k + W <= stop_; k += W) lanes_ = FOLD(lanes_, VALUE(V)); \
            T lane_[W]; \
            STORE_LANES(lanes_, lane_); \
            for (int half_ = W / 2; half_; half_ /= 2) \
                for (int j_ = 0; j_ < half_; j_++) \
                    lane_[j_] = FOLD(lane_[j_], lane_[j_ + half_]); \
            result = FOLD(result, lane_[0]); \
        } \
        for (; k < (n); k++) result = FOLD(result, VALUE(S)); \
    }
#define WALK(n, DO) \
    { \
        int k = 0; \
        for (; k + W <= (n); k += W) { DO(V) } \
        for (; k < (n); k++) { DO(S) } \
    }
#else
#define CHUNK (32 * TEAM)
#define CHUNKS (32 * CHUNK)
#define FOLD_PART(result, n, START, FOLD, VALUE) \
    { \
        int k = MEMBER; \
        while (k < (n)) { \
            T several_ = (T)(START); \
            const int end_ = (n) - k > CHUNKS ? k + CHUNKS : (n); \
            while (k < end_) { \
                T part_ = (T)(START); \
                const int stop_ = end_ - k > CHUNK ? k + CHUNK : end_; \
                for (; k < stop_; k += TEAM) part_ = FOLD(part_, VALUE(S)); \
                several_ = FOLD(several_, part_); \
            } \
            result = FOLD(result, several_); \
        } \
    }
#define WALK(n, DO) \
    for (int k = MEMBER; k < (n); k += TEAM) { DO(S) }
#endif

#define FOLD_LINE(result, n, START, FOLD, VALUE) \
    T result = (T)(START); \
    FOLD_PART(result, n, START, FOLD, VALUE) \
    TEAM_FOLD(result, FOLD)
