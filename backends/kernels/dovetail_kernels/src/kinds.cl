// Of rows of `width` elements in an order, one of each run of equal ones, of which run each is, how long each is, and
// how many there are. One group does it all, which on the host's cores is one work item: a member counts what runs
// begin in its part, and then knows their numbers.
//
// HAS_ORDER: there is one; else rows are as they are.

#define ALL_SEE barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);

#if HAS_ORDER
#define ORDER global const long *order,
#define AT(i) ((ulong)order[i])
#else
#define ORDER
#define AT(i) (i)
#endif

static bool begins(global const X_MEMORY *rows, ulong row, ulong other, ulong width)
{
    for (ulong k = 0; k < width; k++)
        if (X_LOAD(rows, row * width + k) != X_LOAD(rows, other * width + k)) return true;
    return false;
}

kernel void kinds(global X_MEMORY *values, global long *inverse, global long *counts, global long *many,
        global const X_MEMORY *rows, ORDER ulong8 begin, ulong n, ulong width)
{
    local uint totals[GROUP];
    values += begin.s0, inverse += begin.s1, counts += begin.s2, many += begin.s3, rows += begin.s4;
#if HAS_ORDER
    order += begin.s5;
#endif
    const uint member = get_local_id(0);
    const ulong share = (n - 1) / GROUP + 1, first = share * member, last = min(n, first + share);
    uint total = 0;
    for (ulong i = first; i < last; i++) total += i == 0 || begins(rows, AT(i), AT(i - 1), width);
    totals[member] = total;
    ALL_SEE
    long kind = -1;
    total = 0;
    for (uint j = 0; j < GROUP; j++) {
        if (j == member) kind += total;
        total += totals[j];
    }
    for (ulong i = first; i < last; i++) {
        const ulong row = AT(i);
        if (i == 0 || begins(rows, row, AT(i - 1), width)) {
            kind++;
            counts[kind] = i;  // where it begins
            for (ulong k = 0; k < width; k++) X_STORE(values, kind * width + k, X_LOAD(rows, row * width + k));
        }
        inverse[row] = kind;
    }
    ALL_SEE
    for (ulong start = 0; start < total; start += GROUP) {
        const ulong k = start + member;
        const long length = k < total ? (k + 1 < total ? counts[k + 1] : (long)n) - counts[k] : 0;
        ALL_SEE
        if (k < total) counts[k] = length;
        ALL_SEE
    }
    for (ulong k = total + member; k < n; k += GROUP) {
        counts[k] = 0;
        for (ulong j = 0; j < width; j++) X_STORE(values, k * width + j, (X_VALUE)0);
    }
    if (member == 0) many[0] = total;
}
