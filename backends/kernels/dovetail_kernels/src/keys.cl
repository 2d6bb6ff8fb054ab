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

// Where each of n keys stands in order: of equal ones the first stays before the others.
static inline void stand(const KEY *few, uint *place, uint n)
{
    for (uint k = 0; k < n; k++) place[k] = 0;
    for (uint j = 0; j < n; j++) {
        const KEY one = few[j];
        for (uint k = 0; k < j; k++) place[k] += one < few[k];
        for (uint k = j + 1; k < n; k++) place[k] += one <= few[k];
    }
}
