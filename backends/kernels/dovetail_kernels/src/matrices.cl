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
#define COLUMNS 16
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
#define EACH(i, first, end) for (int i = (first) + MEMBER; i < (end); i += MEMBERS)

// to -= f * from, from number `first` on.
static void take_off(PLACE T *to, PLACE const T *from, T f, int first, int n)
{
#if IS_CPU
    const int begin = first / NUMBERS * NUMBERS;
    PLACE R *target = (PLACE R *)to;
    PLACE const R *source = (PLACE const R *)from;
    for (int k = begin; k < n; k += NUMBERS) {
        const V v = AT(source + k * PARTS), before = AT(target + k * PARTS);
#if IS_COMPLEX
        V after = fma((V)-f.x, v, before);
        after = fma((V)f.y * ALTERNATING, EXCHANGED(v), after);
#else
        V after = fma((V)-f, v, before);
#endif
        if (k < first) after = IOTA < (first - k) * PARTS ? before : after;
        PUT(after, target + k * PARTS);
    }
#else
    EACH_COLUMN(k, first, n) to[k] = LESS(to[k], times(f, from[k]));
#endif
}

static void load(PLACE T *a, int wide, global const T *from, ulong row, ulong column, int rows, int columns)
{
    EACH_ROW(i, 0, rows) EACH_COLUMN(k, 0, columns) a[i * wide + k] = from[i * row + k * column];
}

static void load_one(PLACE T *a, int wide, int first, int rows, int columns)
{
    EACH_ROW(i, 0, rows) EACH_COLUMN(k, 0, columns) a[i * wide + k] = first + k == i ? ONE : ZERO;
}

static void store(PLACE const T *a, int wide, global T *to, ulong row, ulong column, int rows, int columns)
{
    EACH_ROW(i, 0, rows) EACH_COLUMN(k, 0, columns) to[i * row + k * column] = a[i * wide + k];
}

// Zeros behind the rows' ends: vectors go beyond these.
static void clear(PLACE T *a, int wide, int rows, int first)
{
#if IS_CPU
    for (int i = 0; i < rows; i++)
        for (int k = first; k < wide; k++) a[i * wide + k] = ZERO;
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
