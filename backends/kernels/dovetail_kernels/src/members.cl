// Who works on one thing together: a work item of the host's cores alone, elsewhere a group, whose
// members wait for what the others have written.

#if IS_CPU
#define SYNC
#define MEMBER 0
#define MEMBERS 1
#else
#define SYNC barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
#define MEMBER (int)get_local_id(0)
#define MEMBERS (int)get_local_size(0)
#endif
