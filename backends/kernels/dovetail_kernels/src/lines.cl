// Lines of n neighbours on a GPU, each walked by a team of work items that read packs of W.
//
// TEAM: work items of a team; GROUP: those of a work group, one team or, where they need no memory
// to fold, several. HELD: packs of a line that each member keeps, so that the line is read once; 0:
// lines are longer than that, and read anew for every walk. T: what is computed in.
//
// An array p of elements P is read by HOLD(P, p), once where HELD, and by READ(P, p) in a walk; then
// P_R(p, k) is its element at k. A walk does things for elements of packs, with R for L, and for
// single ones, with S: those before the first whole pack and after the last.

#ifndef SIZED
#define SIZED(group) __attribute__((reqd_work_group_size(group, 1, 1)))
#endif

#ifndef STORE_PACK
#define STORE_PACK(to, pack) *(to) = pack
#endif

#define MEMBER ((int)(get_local_id(0) % TEAM))
#define TEAM_NUMBER (get_global_id(0) / TEAM)
#define EACH_LINE(line, lines) \
    for (ulong line = TEAM_NUMBER; line < (lines); line += get_global_size(0) / TEAM)

#if GROUP == TEAM
#define TEAM_FOLD GROUP_FOLD
#else
#define TEAM_FOLD(result, FOLD) WARP_FOLD(result, FOLD, TEAM)
#endif

#define UNROLLED _Pragma("unroll")
#define EACH_OF_PACK UNROLLED for (int j_ = 0; j_ < W; j_++)

#if HELD
#define SLOT (r_ * W + j_)
#define EACH_PACK UNROLLED for (int r_ = 0; r_ < HELD; r_++)
#define HOLD(P, p) \
    T p##_held[HELD * W]; \
    EACH_PACK { \
        const int at_ = (r_ * TEAM + MEMBER) * W; \
        if (at_ < n) P##_PACK(p, at_, (p##_held + r_ * W)) \
    }
#define AGAIN(P, p)
#define WALK(PACK, SINGLE) \
    EACH_PACK { \
        const int at_ = (r_ * TEAM + MEMBER) * W; \
        if (at_ < n) { PACK } \
    }
#else
#define SLOT j_
#define HOLD(P, p)
#define AGAIN(P, p) T p##_held[W]; P##_PACK(p, at_, p##_held)
#define WALK(PACK, SINGLE) { \
        const int head_ = min(n, (int)((W - line * (ulong)n % W) % W)); \
        if (MEMBER < head_) { const int k = MEMBER; SINGLE } \
        for (int at_ = head_ + MEMBER * W; at_ + W <= n; at_ += TEAM * W) { PACK } \
        const int tail_ = head_ + (n - head_) / W * W; \
        if (tail_ + MEMBER < n) { const int k = tail_ + MEMBER; SINGLE } \
    }
#endif
#define READ(P, p) T p##_pack[W]; P##_PACK(p, at_, p##_pack)

// The fold of VALUE over a line, of START, the value of nothing. Where nothing is held, a long sum is
// made of short ones, so that rounding does not add up.
#define FOLD_PACK(result, FOLD, VALUE, READS) \
    READS EACH_OF_PACK { const int k = at_ + j_; (void)k; result = FOLD(result, VALUE(R)); }
#if HELD
#define FOLD_LINE(result, START, FOLD, VALUE, READS) \
    T result = (T)(START); \
    WALK(FOLD_PACK(result, FOLD, VALUE, READS), ) \
    TEAM_FOLD(result, FOLD)
#else
#define PACKS 32
#define FOLD_LINE(result, START, FOLD, VALUE, READS) \
    T result = (T)(START); \
    { \
        T part_ = (T)(START); \
        int packs_ = 0; \
        WALK(FOLD_PACK(part_, FOLD, VALUE, READS) \
            if (++packs_ % PACKS == 0) { result = FOLD(result, part_); part_ = (T)(START); }, \
            result = FOLD(result, VALUE(S));) \
        result = FOLD(result, part_); \
    } \
    TEAM_FOLD(result, FOLD)
#endif

// p[k] = VALUE for a whole line.
#define SET_LINE(P, p, VALUE, READS) \
    WALK(READS T set_[W]; \
        EACH_OF_PACK { const int k = at_ + j_; (void)k; set_[j_] = VALUE(R); } \
        P##_SET_PACK(p, at_, set_), \
        P##_SET_S(p, k, VALUE(S));)

// What is held of p becomes VALUE.
#define REPLACE_LINE(p, VALUE) \
    WALK(EACH_OF_PACK { const int k = at_ + j_; (void)k; p##_held[SLOT] = VALUE(R); }, )
