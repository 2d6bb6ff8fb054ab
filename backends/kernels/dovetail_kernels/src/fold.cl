// One result of those of all work items of a group: GROUP_FOLD(result, FOLD), with TEAM_MEMORY.
//
// T: the type. GROUP: work items. SHUFFLED(x, n), where a device has it: the x of the work item whose
// number among WARP neighbours differs in the bit n.

#if GROUP > 1 && defined(WARP)
#define WARPS ((GROUP + WARP - 1) / WARP)
#define TEAM_MEMORY local T team_[WARPS];
#define WARP_FOLD(result, FOLD, size) \
    for (int half_ = (size) / 2; half_; half_ /= 2) { \
        const T other_ = SHUFFLED(result, half_); \
        result = FOLD(result, other_); \
    }
#define GROUP_FOLD(result, FOLD) \
    WARP_FOLD(result, FOLD, min(GROUP, WARP)) \
    if (WARPS > 1) { \
        barrier(CLK_LOCAL_MEM_FENCE); \
        if (get_local_id(0) % WARP == 0) team_[get_local_id(0) / WARP] = result; \
        barrier(CLK_LOCAL_MEM_FENCE); \
        result = team_[get_local_id(0) % WARPS]; \
        WARP_FOLD(result, FOLD, WARPS) \
    }
#elif GROUP > 1
#define TEAM_MEMORY local T team_[GROUP];
#define GROUP_FOLD(result, FOLD) \
    barrier(CLK_LOCAL_MEM_FENCE); \
    team_[get_local_id(0)] = result; \
    barrier(CLK_LOCAL_MEM_FENCE); \
    for (int half_ = GROUP / 2; half_; half_ /= 2) { \
        if (get_local_id(0) < half_) \
            team_[get_local_id(0)] = FOLD(team_[get_local_id(0)], team_[get_local_id(0) + half_]); \
        barrier(CLK_LOCAL_MEM_FENCE); \
    } \
    result = team_[0];
#else
#define TEAM_MEMORY
#define GROUP_FOLD(result, FOLD)
#endif

#define ADDED(a, b) ((a) + (b))
#define LARGER(a, b) fmax(a, b)
