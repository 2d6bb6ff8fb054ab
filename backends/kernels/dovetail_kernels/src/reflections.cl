// Householder's reflections H = 1 - tau v v^H, as LAPACK's geqr2, larfg and org2r have them (see lanes.cl).

// x - tau v (v^H x), v beginning with 1, which is not stored.
static void reflected(global N *x, global const N *v, N tau, int n, int down)
{
    N sum = times(tau, plus(x[0], inner(v + down, x + down, n - 1, down)));
    x[0] = minus(x[0], sum);
    for (int i = 1; i < n; i++) x[i * down] = minus(x[i * down], times(sum, v[i * down]));
}

// R and below it the vectors of the reflections, in place of a (rows, columns).
static void triangular(global N *a, global N *tau, int rows, int columns, int lead)
{
    const int least = SMALLEST(rows, columns);
    int j = 0;
    do {
        global N *x = a + AT(j, j);
        const int n = least ? rows - j : 0;
        V most = (V)TINY, rest = (V)0;
        for (int i = 0; i < n; i++) most = fmax(most, largest(x[i * DOWN]));
        const V shrunk = (V)1 / most;
        for (int i = 1; i < n; i++) rest += square(scaled(x[i * DOWN], shrunk));
        const N first = scaled(x[0], shrunk);
        // Nothing is to be done where there are zeros below a real number; what is not finite stays so.
        const V done = rest + fabs(IM(first)), wrong = done - done;
        const V size = sqrt(rest + square(first)), beta = RE(first) < (V)0 ? size : -size;
        const N zero = of_real((V)0);
        const N factor = chosen(done, inverse(minus(first, of_real(beta))), zero);
        const N turn = plus(chosen(done, scaled(minus(of_real(beta), first), (V)1 / beta), zero), of_real(wrong));
        const N top = plus(chosen(done, of_real(beta * most), x[0]), of_real(wrong));
        SYNC
        for EACH(i, n)
            x[i * DOWN] = i ? times(factor, scaled(x[i * DOWN], shrunk)) : top;
        if (MEMBER == 0 && n) tau[j] = turn;
        SYNC
        for (int c = j + 1 + MEMBER; c < (n ? columns : 0); c += MEMBERS)
            reflected(a + AT(j, c), x, conjugate(turn), n, DOWN);
        SYNC
    } while (++j < least);
}

// The product of `count` reflections times a column of `rows` elements, or the product of their conjugates in
// the other order (is_inverse).
static void passed(global N *x, global const N *a, global const N *tau, int rows, int count, int lead,
        int is_inverse)
{
    for (int k = 0; k < count; k++) {
        const int j = is_inverse ? k : count - 1 - k;
        reflected(x + j * DOWN, a + AT(j, j), is_inverse ? conjugate(tau[j]) : tau[j], rows - j, DOWN);
    }
}

// The first columns of the reflections' product, in place of q (rows, columns).
static void unpacked(global N *q, global const N *a, global const N *tau, int rows, int count, int columns, int lead)
{
    for EACH(c, columns) {
        for (int i = 0; i < rows; i++) q[AT(i, c)] = of_real(i == c ? (V)1 : (V)0);
        // Those behind the column leave it as it is.
        passed(q + AT(0, c), a, tau, rows, SMALLEST(c + 1, count), lead, 0);
    }
}
