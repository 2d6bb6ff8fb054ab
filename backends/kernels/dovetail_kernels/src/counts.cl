// How often something happens: Poisson and binomial numbers, by the steps and in the order of the core's
// formulas (dovetail/ops/reduction/counts.py, which names their papers).
//
// T: what is computed in. PER: elements of a block of four words, which a work item makes together; MADE:
// their uniform numbers of the words c. A draw has `blocks` blocks: the first draw is walked by, round r has
// the draws 1 + 2r and 2 + 2r. STEPS, ROUNDS, LARGE: the core's.

#define OR_LESS(x, most) ((x) < (most) ? (x) : (most))
#define OR_MORE(x, least) ((x) < (least) ? (least) : (x))

// What Stirling's series leaves of log k!.
static T tail(T k) {
    const T first[10] = {
        (T)0.08106146679532726, (T)0.04134069595540929, (T)0.02767792568499834,
        (T)0.02079067210376509, (T)0.01664469118982119, (T)0.01387612882307075,
        (T)0.01189670994589177, (T)0.01041126526197209, (T)0.00925546218271273,
        (T)0.00833056343336287};
    if (k < 10) return first[k > 0 ? (int)k : 0];
    const T inverse = 1 / (k + 1), square = inverse * inverse;
    return ((T)(1.0 / 12) - ((T)(1.0 / 360) - square / 1260) * square) * inverse;
}

#if IS_POISSON
#define INPUTS global const P_MEMORY *rates,
#define LAW_AT(i) law_of(P_LOAD(rates, begin.s1 + (i)))

typedef struct { T mean, a, b, height, sure; int is_large, is_wrong; } Law;

static Law law_of(T rate) {
    Law law;
    law.is_wrong = !(rate >= 0);
    law.is_large = rate >= LARGE;
    law.mean = rate;
    if (!law.is_large) return law;
    law.b = (T)0.931 + (T)2.53 * sqrt(law.mean);
    law.a = (T)-0.059 + (T)0.02483 * law.b;
    law.height = (T)1.1239 + (T)1.1328 / (law.b - (T)3.4);
    law.sure = (T)0.9277 - (T)3.6224 / (law.b - 2);
    return law;
}

#define FIRST(law) EXP_ONE(-(law).mean)
#define RATIO(law, k) ((law).mean / (T)((k) + 1))
#define FINISHED(law, k) (k)

static int attempt(const Law *law, T u, T v, T *made) {
    const T us = OR_MORE((T)0.5 - fabs(u), (T)1e-30), mean = law->mean;
    const T k = floor((2 * law->a / us + law->b) * u + mean + (T)0.43), n = OR_MORE(k, 0);
    *made = k;
    if (us >= (T)0.07 && v <= law->sure) return 1;
    if (k < 0 || (us < (T)0.013 && v > us)) return 0;
    const T density = (n + (T)0.5) * LOG1P_ONE((mean - n - 1) / (n + 1))
        - (T)0.5 * LOG_ONE((T)6.283185307179586 * mean) + (n + 1 - mean) - tail(n);
    return LOG_ONE(v * law->height / (law->a / (us * us) + law->b)) <= density;
}
#endif

#if IS_BINOMIAL
#define INPUTS global const P_MEMORY *counts, global const P_MEMORY *chances,
#define LAW_AT(i) law_of(P_LOAD(counts, begin.s1 + (i)), P_LOAD(chances, begin.s2 + (i)))

typedef struct {
    T count, chance, n, p, a, b, middle, sure, alpha, mode, at_mode;
    int is_large, is_wrong;
} Law;

// (k + 1/2) log(odds (n - k + 1) / (k + 1)), exact where the logarithm is near 0.
static T odds_term(const Law *law, T k) {
    return (k + (T)0.5) * LOG1P_ONE((law->p * (law->n + 2) - (k + 1)) / ((1 - law->p) * (k + 1)));
}

static Law law_of(T count, T chance) {
    Law law;
    count = floor(count);
    law.count = count < 0 ? 0 : count;
    law.chance = chance;
    law.is_wrong = 0;
    const int is_known = chance > 0 && chance < 1 && law.count > 0;
    law.n = is_known ? law.count : 1;
    law.p = is_known ? (chance > (T)0.5 ? 1 - chance : chance) : (T)0.25;
    law.is_large = law.n * law.p >= LARGE;
    if (!law.is_large) return law;
    const T spread = sqrt(law.n * law.p * (1 - law.p));
    law.b = (T)1.15 + (T)2.53 * spread;
    law.a = (T)-0.0873 + (T)0.0248 * law.b + (T)0.01 * law.p;
    law.middle = law.n * law.p + (T)0.5;
    law.sure = (T)0.92 - (T)4.2 / law.b;
    law.alpha = ((T)2.83 + (T)5.1 / law.b) * spread;
    law.mode = floor((law.n + 1) * law.p);
    law.at_mode = odds_term(&law, law.mode) - tail(law.mode) - tail(law.n - law.mode);
    return law;
}

#define FIRST(law) EXP_ONE((law).n * LOG1P_ONE(-(law).p))
#define RATIO(law, k) OR_MORE(((law).n - (k)) / (T)((k) + 1) * ((law).p / (1 - (law).p)), 0)
#define FINISHED(law, k) finished(&(law), k)

static T finished(const Law *law, T k) {
    const T n = law->count, p = law->chance;
    if (isnan(n) || isnan(p)) return p + n;
    if (p >= 1) return n;
    if (!(p > 0 && n > 0)) return 0;
    return p > (T)0.5 ? law->n - k : k;
}

static int attempt(const Law *law, T u, T v, T *made) {
    const T us = OR_MORE((T)0.5 - fabs(u), (T)1e-30), n = law->n, mode = law->mode;
    const T k = floor((2 * law->a / us + law->b) * u + law->middle);
    *made = k;
    if (k < 0 || k > n) return 0;
    if (us >= (T)0.07 && v <= law->sure) return 1;
    const T density = odds_term(law, k) - law->at_mode
        + (n + 1) * LOG1P_ONE((k - mode) / (n - k + 1)) - tail(k) - tail(n - k);
    return LOG_ONE(v * law->alpha / (law->a / (us * us) + law->b)) <= density;
}
#endif

// How many of the cumulative chances each uniform number has reached; all elements of a block go on until
// none has reached the next.
static void walk(const Law *laws, const T *u, T *count) {
    T chance[PER], total[PER];
    for (int j = 0; j < PER; j++) {
        chance[j] = total[j] = FIRST(laws[j]);
        count[j] = u[j] >= total[j] ? 1 : 0;
    }
    for (int k = 0; k < STEPS; k++) {
        int is_any = 0;
        for (int j = 0; j < PER; j++) {
            chance[j] *= RATIO(laws[j], k);
            total[j] += chance[j];
            const int passed = (u[j] >= total[j]) & (chance[j] > 0);
            count[j] += passed ? 1 : 0;
            is_any |= passed;
        }
        if (!is_any) break;
    }
}

static void uniform(ulong8 stream, ulong block, T *numbers) {
    const uint4 c = words_of(stream, block);
    MADE
    for (int j = 0; j < PER; j++) numbers[j] = made[j];
}

kernel void counted(global OUT_MEMORY *out, INPUTS global uint *faults MOVED, ulong8 begin, ulong count,
        ulong blocks, uint fault_of STREAM)
{
    BEGIN_STREAM
    int is_wrong = 0;
    for (ulong block = get_global_id(0); block < blocks; block += get_global_size(0)) {
        const ulong at = block * PER;
        const int here = (int)OR_LESS(count - at, (ulong)PER);
        Law laws[PER];
        T found[PER], u[PER], v[PER];
        int is_open[PER], open = 0;
        for (int j = 0; j < PER; j++) {
            laws[j] = LAW_AT(at + (j < here ? j : 0));
            is_wrong |= laws[j].is_wrong;
            is_open[j] = laws[j].is_large;
            open += is_open[j];
        }
        if (open < PER) {
            uniform(stream, block, u);
            walk(laws, u, found);
        }
        for (int j = 0; j < PER; j++) if (is_open[j]) found[j] = 0;
        for (int round = 0; open && round < ROUNDS; round++) {
            uniform(stream, block + (2 * round + 1) * blocks, u);
            uniform(stream, block + (2 * round + 2) * blocks, v);
            for (int j = 0; j < PER; j++) {
                T k;
                if (is_open[j] && attempt(&laws[j], u[j] - (T)0.5, v[j], &k)) {
                    found[j] = k;
                    is_open[j] = 0;
                    open--;
                }
            }
        }
        for (int j = 0; j < here; j++) OUT_STORE(out, begin.s0 + at + j, FINISHED(laws[j], found[j]));
    }
    if (is_wrong) report(faults, fault_of, 0, 0);
}
