// Jacobi's rotations of columns and rows by twos (see lanes.cl), in the order of a tournament: of n columns
// n - 1 rounds make every pair meet once, and those of one round have no column in common (R. Brent and
// F. Luk, 1985).

// The pair number k of a round; second is n where a column has nobody to meet.
#define PAIR_OF(k, round, n) \
    const int around = ((n) - 1) | 1; \
    const int first_of = k ? ((round) + k) % around : (round); \
    const int second_of = k ? ((round) + around - k) % around : around; \
    const int p = SMALLEST(first_of, second_of), q = LARGEST(first_of, second_of);
#define PAIRS(n) (((n) + 1) / 2)
#define ROUNDS(n) ((n) > 1 ? ((n) - 1) | 1 : 0)

// The tangent of the rotation, of at most 45 degrees, that makes ((a, g), (g, b)) diagonal.
static V tangent_of(V a, V b, V g)
{
    const V half_ = (b - a) / (g + g), size = fabs(half_);
    const V t = (V)1 / (size + sqrt((V)1 + half_ * half_));
    return fabs(g) > (V)0 ? half_ < (V)0 ? -t : t : (V)0;
}

// What a tangent gives: the sine, and 1 less the cosine, which it would be lost in.
static V sine_of(V t) { return t / sqrt((V)1 + t * t); }
static V rest_of(V t)
{
    const V r = sqrt((V)1 + t * t);
    return t * t / (r + r * r);
}

// Two columns (rows) x, y become x cos - y conj(sine) and x sine + y cos, `rest` being 1 - cos. Small changes
// are put together before they are added, so that errors of many rotations do not go the same way
// (H. Rutishauser, "The Jacobi method for real symmetric matrices", 1966).
static void rotated(global N *x, global N *y, int n, int step, N sine, V rest)
{
    for (int i = 0; i < n; i++) {
        const N a = x[i * step], b = y[i * step];
        x[i * step] = minus(a, plus(mirrored(sine, b), scaled(a, rest)));
        y[i * step] = plus(b, minus(times(sine, a), scaled(b, rest)));
    }
}

// The columns of x (rows, n) made orthogonal to each other, by rotations that v (high, n) goes through
// too: M. Hestenes, "Inversion of matrices by biorthogonalization" (1958).
static void made_orthogonal(global N *x, global N *v, int rows, int n, int high, int lead, global int *slots)
{
    int sweep = 0, is_done;
    do {
        V most = (V)0;
        SYNC
        int round = 0;
        do {
            for EACH(k, PAIRS(n)) {
                PAIR_OF(k, round, n)
                if (q >= n) continue;
                global N *a = x + AT(0, p), *b = x + AT(0, q);
                V of_a = (V)0, of_b = (V)0;
                N both = of_real((V)0);
                for (int i = 0; i < rows; i++) {
                    const N one = a[i * DOWN], two = b[i * DOWN];
                    of_a += square(one);
                    of_b += square(two);
                    both = plus(both, mirrored(one, two));
                }
                const V size = length_of(both), among = sqrt(of_a) * sqrt(of_b);
                // A column of nothing but what was rounded away belongs to no value.
                const V far = among > (V)NOTHING ? fabs(size) / among : (V)0;
                most = LARGEST(far, most);
                const V t = tangent_of(of_a, of_b, far > (V)0 ? size : (V)0);
                const N sine = scaled(phase_of(both, size), sine_of(t));
                const V rest = rest_of(t);
                rotated(a, b, rows, DOWN, sine, rest);
                rotated(v + AT(0, p), v + AT(0, q), high, DOWN, sine, rest);
            }
            SYNC
        } while (++round < ROUNDS(n));
        is_done = !is_anyone(slots, ANY(most > (V)CLOSE));
    } while (!is_done && ++sweep < SWEEPS);
}

// A Hermitian a (n, n) made diagonal by rotations that v (high, n) goes through too
// (G. Golub and C. Van Loan, "Matrix computations", 8.5). room: 2 n + 2 numbers.
static void made_diagonal(global N *a, global N *v, int n, int high, int lead, global N *room, global int *slots)
{
    V all = (V)0;
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) all += square(a[AT(i, j)]);
    const V least = sqrt(all) * (V)CLOSE;
    int sweep = 0, is_done;
    do {
        V most = (V)0;
        SYNC
        int round = 0;
        do {
            for EACH(k, PAIRS(n)) {
                PAIR_OF(k, round, n)
                if (q >= n) continue;
                const N off = a[AT(p, q)];
                const V g = length_of(off), one = RE(a[AT(p, p)]), two = RE(a[AT(q, q)]);
                const V t = tangent_of(one, two, g);
                most = LARGEST(fabs(g), most);
                global N *kept = room + 4 * k;
                kept[0] = scaled(phase_of(off, g), sine_of(t));
                kept[1] = of_real(rest_of(t));
                kept[2] = of_real(one - t * g);
                kept[3] = of_real(two + t * g);
            }
            SYNC
            for EACH(k, PAIRS(n)) {
                PAIR_OF(k, round, n)
                if (q >= n) continue;
                const N sine = room[4 * k];
                const V rest = RE(room[4 * k + 1]);
                rotated(a + AT(0, p), a + AT(0, q), n, DOWN, sine, rest);
                rotated(v + AT(0, p), v + AT(0, q), high, DOWN, sine, rest);
            }
            SYNC
            for EACH(j, n)
                for (int k = 0; k < PAIRS(n); k++) {
                    PAIR_OF(k, round, n)
                    if (q >= n) continue;
                    global const N *kept = room + 4 * k;
                    rotated(a + AT(p, j), a + AT(q, j), 1, 1, conjugate(kept[0]), RE(kept[1]));
                    if (j == p || j == q) a[AT(p, j)] = j == p ? kept[2] : of_real((V)0);
                    if (j == p || j == q) a[AT(q, j)] = j == q ? kept[3] : of_real((V)0);
                }
            SYNC
        } while (++round < ROUNDS(n));
        is_done = !is_anyone(slots, ANY(most > least));
    } while (!is_done && ++sweep < SWEEPS);
}
