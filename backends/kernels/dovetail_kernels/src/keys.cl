// Numbers as unsigned keys in the same order, from the bits that they have in memory.
//
// WORD: those bits. KEY: at least as wide. KIND: 0 unsigned, 1 signed, 2 floating-point. SIGN: the
// highest bit, INFINITE: the bits of infinity. NaN is the largest, all NaN are equal, -0 is 0.
// DESCENDING: the other way round.

#define ALL_BITS ((KEY)((SIGN - 1) | SIGN))

static inline KEY key_of(WORD word)
{
    KEY key = word;
#if KIND == 2
    const KEY size = key & (SIGN - 1);
    key = key & SIGN ? ~key & ALL_BITS : key | SIGN;
    key = size == 0 ? SIGN : size > INFINITE ? ALL_BITS : key;
#elif KIND == 1
    key ^= SIGN;
#endif
#if DESCENDING
    key = ~key & ALL_BITS;
#endif
    return key;
}
