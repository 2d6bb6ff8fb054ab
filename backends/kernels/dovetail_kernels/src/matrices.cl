// What factorizations share: numbers, and a matrix in memory of its own. A work item of the host's
// cores takes a matrix, its rows by vectors; elsewhere a group does, COLUMNS members along a row.
//
// T: a number, R: its real type. A row takes `wide` numbers, on the host's cores whole vectors.

#if IS_COMPLEX
#define ONE PAIR(1, 0)
#define ZERO PAIR(0, 0)
#define REAL(v) ((v).x)
#define OF_REAL(v) PAIR(v, 0)
#define TURNED(v) PAIR((v).x, -(v).y)
#define NEGATED(v) PAIR(-(v).x, -(v).y)
#define IS_ZERO(v) ((v).x == 0 && (v).y == 0)
#define SIZE(v) (fabs((v).x) + fabs((v).y))
#define LESS(v, w) PAIR((v).x - (w).x, (v).y - (w).y)

static T times(T a, T b)
{
    return PAIR(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

// R. Smith, "Algorithm 116: complex division" (1962).
static T over(T a, T b)
{
    if (fabs(b.x) >= fabs(b.y)) {
        const R ratio = b.y / b.x, scale = b.x + b.y * ratio;
        return PAIR((a.x + a.y * ratio) / scale, (a.y - a.x * ratio) / scale);
    }
    const R ratio = b.x / b.y, scale = b.y + b.x * ratio;
    return PAIR((a.x * ratio + a.y) / scale, (a.y * ratio - a.x) / scale);
}
#else
#define ONE ((T)1)
#define ZERO ((T)0)
#define REAL(v) (v)
#define OF_REAL(v) (v)
#define TURNED(v) (v)
#define NEGATED(v) (-(v))
#define IS_ZERO(v) ((v) == 0)
#define SIZE(v) fabs(v)
#define LESS(v, w) ((v) - (w))
#define times(a, b) ((a) * (b))
#define over(a, b) ((a) / (b))
#endif

#if IS_CPU
#define SHARED
#define PLACE global
#define ROW 0
#define ROWS 1
#define COLUMN 0
#define COLUMNS 1
#define OWN(a) global T *a = room + get_global_id(0) * (ulong)wide * height;
#define ROOM_BUFFER , global T *room
#define SEARCH R *best = 0; int *where = 0;
#else
#ifndef SHARED
#define SHARED local
#endif
#define PLACE SHARED
#define COLUMNS min(16, MEMBERS)
#define COLUMN (MEMBER % COLUMNS)
#define ROW (MEMBER / COLUMNS)
#define ROWS (MEMBERS / COLUMNS)
#define OWN(a) local T a[ROOM];
#define ROOM_BUFFER
#define SEARCHERS 32
#define SEARCH local R best[SEARCHERS]; local int where[SEARCHERS];
#endif

#define EACH_ROW(i, first, end) for (int i = (first) + ROW; i < (end); i += ROWS)
#define EACH_COLUMN(k, first, end) for (int k = (first) + COLUMN; k < (end); k += COLUMNS)
#if IS_CPU
// Of a matrix that lies turned, lines of memory are read once.
#define EACH_PLACE(i, k, rows, columns) \
    for (int k##_tile = 0; k##_tile < (columns); k##_tile += 16) \
        for (int i = 0; i < (rows); i++) \
            for (int k = k##_tile; k < min(k##_tile + 16, columns); k++)
#else
#define EACH_PLACE(i, k, rows, columns) EACH_ROW(i, 0, rows) EACH_COLUMN(k, 0, columns)
#endif
#define EACH(i, first, end) for (int i = (first) + MEMBER; i < (end); i += MEMBERS)

#if IS_CPU
// sum + f * v, of numbers side by side.
static V with(V sum, T f, V v)
{
#if IS_COMPLEX
    return fma((V)f.y * ALTERNATING, EXCHANGED(v), fma((V)f.x, v, sum));
#else
    return fma((V)f, v, sum);
#endif
}

#define ADD(sum) { \
    sum = with(sum, is_turned ? TURNED(*f) : *f, AT((PLACE const R *)row)); \
    row += wide; \
    f += step; \
}

// to -= the sum of `count` rows, each times its factor.
static void take_off_all(PLACE T *to, PLACE const T *rows, int wide, int count, PLACE const T *factors,
        ulong step, int is_turned, int n)
{
    for (int k = 0; k < n; k += NUMBERS) {
        PLACE const T *row = rows + k, *f = factors;
        V sum0 = (V)0, sum1 = (V)0, sum2 = (V)0, sum3 = (V)0;
        int i = 0;
        for (; i + 4 <= count; i += 4) {
            ADD(sum0)
            ADD(sum1)
            ADD(sum2)
            ADD(sum3)
        }
        for (; i < count; i++) ADD(sum0)
        PLACE R *target = (PLACE R *)(to + k);
        PUT(AT(target) - ((sum0 + sum1) + (sum2 + sum3)), target);
    }
}
#endif

// to -= f * from, from number `first` on.
static void take_off(PLACE T *to, PLACE const T *from, T f, int first, int n)
{
#if IS_CPU
    for (int k = first / NUMBERS * NUMBERS; k < n; k += NUMBERS) {
        PLACE R *target = (PLACE R *)(to + k);
        const V before = AT(target);
        V after = with(before, NEGATED(f), AT((PLACE const R *)(from + k)));
        if (k < first) after = IOTA < (first - k) * PARTS ? before : after;
        PUT(after, target);
    }
#else
    EACH_COLUMN(k, first, n) to[k] = LESS(to[k], times(f, from[k]));
#endif
}

static void load(PLACE T *a, int wide, global const T *from, ulong row, ulong column, int rows, int columns)
{
    EACH_PLACE(i, k, rows, columns) a[i * wide + k] = from[i * row + k * column];
}

// Columns of the identity, from `first` on.
static void load_one(PLACE T *a, int wide, int first, int rows, int columns)
{
    EACH_ROW(i, 0, rows) EACH_COLUMN(k, 0, columns) a[i * wide + k] = first + k == i ? ONE : ZERO;
}

static void store(PLACE const T *a, int wide, global T *to, ulong row, ulong column, int rows, int columns)
{
    EACH_PLACE(i, k, rows, columns) to[i * row + k * column] = a[i * wide + k];
}

// Zeros where rows end between two vectors.
static void clear(PLACE T *a, int wide, int rows, int end)
{
#if IS_CPU
    const int n = (NUMBERS - end % NUMBERS) % NUMBERS;
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < n; k++) a[i * wide + end + k] = ZERO;
#endif
}

static void exchange(PLACE T *a, PLACE T *b, int n)
{
    EACH(k, 0, n) {
        const T v = a[k];
        a[k] = b[k];
        b[k] = v;
    }
}
