// One result of those of all work items of a group: GROUP_FOLD(result, FOLD), with TEAM_MEMORY.
//
// T: the type. GROUP: work items. SHUFFLED(v, m): the value of the work item whose number differs by
// the bits of m, where 32 neighbours can tell each other without memory.

#if GROUP > 1 && defined(SHUFFLED) && GROUP % 32 == 0 && (GROUP & (GROUP - 1)) == 0
#define WARP_FOLD(result, FOLD, count) \
    for (int half_ = (count) / 2; half_; half_ /= 2) { \
        const T other_ = SHUFFLED(result, half_); \
        result = FOLD(result, other_); \
    }
#define TEAM_MEMORY local T team_[GROUP / 32];
#define GROUP_FOLD(result, FOLD) { \
    WARP_FOLD(result, FOLD, 32) \
    barrier(CLK_LOCAL_MEM_FENCE); \
    if (get_local_id(0) % 32 == 0) team_[get_local_id(0) / 32] = result; \
    barrier(CLK_LOCAL_MEM_FENCE); \
    result = team_[get_local_id(0) % (GROUP / 32)]; \
    WARP_FOLD(result, FOLD, GROUP / 32) \
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
