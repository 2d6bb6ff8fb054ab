// Matrices of real or complex numbers (IS_COMPLEX), W of them side by side (see lanes.py): a V has a real
// number of each matrix, an N a number. Whoever works on W matrices has `room` for them there; an element
// (i, j) is at AT(i, j), and the next one of a column DOWN further. T is what is computed in, E_MEMORY what
// lies in memory, real and imaginary parts as neighbours.

#if IS_CPU
#define AT(i, j) ((j) * lead + (i))
#define DOWN 1
#else
#define AT(i, j) ((i) * lead + (j))
#define DOWN lead
#endif

#define SMALLEST(a, b) ((a) < (b) ? (a) : (b))
#define LARGEST(a, b) ((a) > (b) ? (a) : (b))
#define EACH(i, n) (int i = MEMBER; i < (n); i += MEMBERS)

#if IS_COMPLEX
#define PARTS 2
typedef struct { V x, y; } N;
static N made_of(V x, V y) { N z; z.x = x; z.y = y; return z; }
static N of_real(V x) { return made_of(x, (V)0); }
static N plus(N a, N b) { return made_of(a.x + b.x, a.y + b.y); }
static N minus(N a, N b) { return made_of(a.x - b.x, a.y - b.y); }
static N times(N a, N b) { return made_of(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }
static N mirrored(N a, N b) { return made_of(a.x * b.x + a.y * b.y, a.x * b.y - a.y * b.x); }
static N scaled(N a, V r) { return made_of(a.x * r, a.y * r); }
static N conjugate(N a) { return made_of(a.x, -a.y); }
static N chosen(V c, N x, N y) { return made_of(c > (V)0 ? x.x : y.x, c > (V)0 ? x.y : y.y); }
static V square(N a) { return a.x * a.x + a.y * a.y; }
static V largest(N a) { return fmax(fabs(a.x), fabs(a.y)); }
static V length_of(N a)
{
    const V most = largest(a), unit = most > (V)TINY ? most : (V)TINY;
    const V length = sqrt(square(scaled(a, (V)1 / unit))) * unit;
    return most > (V)TINY ? length : most * (V)0;
}
static N phase_of(N a, V length)
{
    return made_of(length > (V)0 ? a.x / length : (V)1, length > (V)0 ? a.y / length : (V)0);
}
static N inverse(N a) { return scaled(conjugate(a), (V)1 / square(a)); }
#define RE(a) ((a).x)
#define IM(a) ((a).y)
#else
#define PARTS 1
typedef V N;
#define of_real(x) (x)
#define plus(a, b) ((a) + (b))
#define minus(a, b) ((a) - (b))
#define times(a, b) ((a) * (b))
#define mirrored(a, b) ((a) * (b))
#define scaled(a, r) ((a) * (r))
#define conjugate(a) (a)
#define chosen(c, x, y) ((c) > (V)0 ? (x) : (y))
#define square(a) ((a) * (a))
#define largest(a) fabs(a)
#define length_of(a) (a)
#define phase_of(a, length) ((V)1)
#define inverse(a) ((V)1 / (a))
#define RE(a) (a)
#define IM(a) ((V)0)
#endif
// mirrored(a, b): conj(a) b. chosen(c, x, y): x where c is positive. A length that is hardly a number any more
// is 0; that of a real number keeps the sign, which its phase has not then.
//
// Lanes are chosen by > and < alone, for Oclgrind takes others the wrong way; and loops in which members wait
// for each other are run once at least, and begin after a SYNC: PoCL compiles others for a minute, or wrongly.

// A power of two about as large as `size`.
static V power_of(V size)
{
    const V least = size > (V)TINY ? size : (V)TINY;
    return AS_V(AS_BITS(least) & EXPONENT);
}

// The sum of conj(x) y along two columns.
static N inner(global const N *x, global const N *y, int n, int down)
{
    N a = of_real((V)0), b = a;
    int i = 0;
    for (; i + 1 < n; i += 2) {
        a = plus(a, mirrored(x[i * down], y[i * down]));
        b = plus(b, mirrored(x[(i + 1) * down], y[(i + 1) * down]));
    }
    if (i < n) a = plus(a, mirrored(x[i * down], y[i * down]));
    return plus(a, b);
}

#define WHOLE 0
#define UPPER 1
#define LOWER 2

// Matrices number `first` and W - 1 more into the room; the last one again where there are no more.
// turned: conjugate and transposed. part: the triangle that is read, the other one its mirror image.
static void brought(global N *room, global const E_MEMORY *from, ulong first, ulong count, int rows, int columns,
        int lead, int turned, int part)
{
    global T *to = (global T *)room;
    for (int l = 0; l < W; l++) {
        const ulong matrix = first + l < count ? first + l : count - 1;
        global const E_MEMORY *in = from + matrix * (ulong)rows * columns * PARTS;
        for EACH(e, rows * columns) {
            const int i = e / columns, j = e % columns;
            const int is_mirror = part == LOWER ? j > i : part == UPPER ? j < i : 0;
            const int at = is_mirror ? j * columns + i : e;
            const int place = turned ? AT(j, i) : AT(i, j);
            to[place * PARTS * W + l] = (T)E_LOAD(in, at * PARTS);
#if IS_COMPLEX
            const T y = (T)E_LOAD(in, at * PARTS + 1);
            to[(place * PARTS + 1) * W + l] = part && i == j ? (T)0 : (turned != is_mirror) ? -y : y;
#endif
        }
    }
}

// The other way; part: what is not of it becomes 0. turned: what is written is conjugate and transposed.
// rank: to which row (turned) or column of what is written each column goes, where it is not 0.
static void put(global E_MEMORY *to, global const N *room, ulong first, ulong count, int rows, int columns,
        int lead, int turned, int part, global const V *rank)
{
    global const T *from = (global const T *)room;
    for (int l = 0; l < W && first + l < count; l++) {
        global E_MEMORY *out = to + (first + l) * (ulong)rows * columns * PARTS;
        for EACH(e, rows * columns) {
            const int i = e / columns, j = e % columns;
            const int is_other = part == LOWER ? j > i : part == UPPER ? j < i : 0;
            const int at = (turned ? AT(j, i) : AT(i, j)) * PARTS * W + l;
            int place = e;
            if (rank) {
                const int k = (int)((global const T *)rank)[(turned ? i : j) * W + l];
                place = turned ? k * columns + j : i * columns + k;
            }
            E_STORE(out, place * PARTS, is_other ? (T)0 : from[at]);
#if IS_COMPLEX
            const T y = from[at + W];
            E_STORE(out, place * PARTS + 1, is_other ? (T)0 : turned ? -y : y);
#endif
        }
    }
}

// n real numbers of each matrix, in the order of their ranks.
static void put_reals(global E_MEMORY *to, global const V *numbers, ulong first, ulong count, int n,
        global const V *rank)
{
    for (int l = 0; l < W && first + l < count; l++)
        for EACH(j, n) {
            const int k = (int)((global const T *)rank)[j * W + l];
            E_STORE(to, (first + l) * n + k, ((global const T *)numbers)[j * W + l]);
        }
}

// A power of two about as large as the largest element, by which all are divided. What is not finite makes
// `poison` NaN, which is 0 otherwise.
static V evened(global N *a, int rows, int columns, int lead, V *poison)
{
    V most = (V)0, all = (V)0;
    for (int j = 0; j < columns; j++)
        for (int i = 0; i < rows; i++) most = fmax(most, largest(a[AT(i, j)]));
    const V power = power_of(most), shrunk = (V)1 / power;
    SYNC
    for EACH(j, columns)
        for (int i = 0; i < rows; i++) a[AT(i, j)] = scaled(a[AT(i, j)], shrunk);
    SYNC
    for (int j = 0; j < columns; j++)
        for (int i = 0; i < rows; i++) all += (RE(a[AT(i, j)]) + IM(a[AT(i, j)])) * (V)0;
    *poison = all;
    SYNC
    return power;
}

static void identity(global N *a, int rows, int columns, int lead)
{
    for EACH(j, columns)
        for (int i = 0; i < rows; i++) a[AT(i, j)] = of_real(i == j ? (V)1 : (V)0);
}

// Places in ascending order of the numbers, by sign -1 in descending order; of equal ones the first is first.
static void ranked(global V *rank, global const V *numbers, int n, T sign)
{
    for EACH(j, n) {
        V before = (V)0;
        for (int i = 0; i < n; i++) {
            const V a = numbers[i] * sign, b = numbers[j] * sign;
            before += a < b ? (V)1 : b < a ? (V)0 : (V)(T)(i < j);
        }
        rank[j] = before;
    }
}

// Whether anybody goes on; slots: a number of each member.
static int is_anyone(global int *slots, int mine)
{
#if IS_CPU
    return mine;
#else
    int found = 0;
    slots[MEMBER] = mine;
    SYNC
    for (int i = 0; i < MEMBERS; i++) found |= slots[i];
    SYNC
    return found;
#endif
}
