// Which of n elements stands at a place before or behind them: as in a mirror, the nearest, or from the first again.

static inline long mirrored(const long at, const long n)
{
    return at >= n ? 2 * (n - 1) - at : max(at, -at);
}

static inline long nearest(const long at, const long n)
{
    return at < 0 ? 0 : at < n ? at : n - 1;
}

static inline long again(const long at, const long n)
{
    const long left = at % n;
    return left < 0 ? left + n : left;
}
