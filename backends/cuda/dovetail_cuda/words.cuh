// OpenCL C's words in CUDA C++, as far as the kernels use them.

#define kernel extern "C" __global__
#define local __shared__
#define constant __constant__
#define restrict __restrict__
#define long long long
#define MAXFLOAT 3.402823466e+38f
#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif
#ifndef NAN
#define NAN __int_as_float(0x7fffffff)
#endif
#define CLK_LOCAL_MEM_FENCE 1
#define CLK_GLOBAL_MEM_FENCE 2

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;  // by the macro above, of 64 bits everywhere

// Vectors: members x, y, z, w, and arithmetic by element.
template <class T> struct alignas(2 * sizeof(T)) Two {
    T x, y;
    Two() = default;
    Two(T a) : x(a), y(a) {}
    Two(T a, T b) : x(a), y(b) {}
};
template <class T> Two<T> operator+(Two<T> a, Two<T> b) { return Two<T>(a.x + b.x, a.y + b.y); }
template <class T> Two<T> operator-(Two<T> a, Two<T> b) { return Two<T>(a.x - b.x, a.y - b.y); }
template <class T> Two<T> operator*(Two<T> a, Two<T> b) { return Two<T>(a.x * b.x, a.y * b.y); }
template <class T> Two<T> &operator+=(Two<T> &a, Two<T> b) { return a = a + b; }
template <class T> struct alignas(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) Four {
    T x, y, z, w;
    Four() = default;
    Four(T a) : x(a), y(a), z(a), w(a) {}
    Four(T a, T b, T c, T d) : x(a), y(b), z(c), w(d) {}
    Four(Two<T> a, Two<T> b) : x(a.x), y(a.y), z(b.x), w(b.y) {}
    Two<T> even() const { return Two<T>(x, z); }
};
template <class T> Four<T> operator+(Four<T> a, Four<T> b) {
    return Four<T>(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}
template <class T> Four<T> operator*(Four<T> a, Four<T> b) {
    return Four<T>(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}
template <class T> Four<T> &operator+=(Four<T> &a, Four<T> b) { return a = a + b; }
template <class T> Four<T> fma(Four<T> a, Four<T> b, Four<T> c) {
    return Four<T>(fma(a.x, b.x, c.x), fma(a.y, b.y, c.y), fma(a.z, b.z, c.z), fma(a.w, b.w, c.w));
}
template <class T> Four<T> vload4(ulong at, const T *from) {
    from += 4 * at;
    return Four<T>(from[0], from[1], from[2], from[3]);
}
template <class T> void vstore4(Four<T> v, ulong at, T *to) {
    to += 4 * at;
    to[0] = v.x; to[1] = v.y; to[2] = v.z; to[3] = v.w;
}
template <class T> struct Eight { T s0, s1, s2, s3, s4, s5, s6, s7; };

#define float2 Two<float>
#define double2 Two<double>
#define uint2 Two<uint>
#define ulong2 Two<ulong>
#define char4 Four<char>
#define uchar4 Four<uchar>
#define short4 Four<short>
#define ushort4 Four<ushort>
#define int4 Four<int>
#define uint4 Four<uint>
#define long4 Four<long>
#define ulong4 Four<ulong>
#define float4 Four<float>
#define double4 Four<double>
#define float8 Eight<float>
#define double8 Eight<double>
#define ulong8 Eight<ulong>
#define int8 Eight<int>
#define long8 Eight<long>
#define half Half

float2 convert_float2(double2 z) { return float2((float)z.x, (float)z.y); }
double2 convert_double2(float2 z) { return double2((double)z.x, (double)z.y); }

template <class T> void vstore8(const Eight<T> &v, ulong at, T *to) {
    to += 8 * at;
    to[0] = v.s0; to[1] = v.s1; to[2] = v.s2; to[3] = v.s3;
    to[4] = v.s4; to[5] = v.s5; to[6] = v.s6; to[7] = v.s7;
}

// float16 is a type of memory only.
struct Half { ushort bits; };
float vload_half(ulong at, const Half *from) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(from[at].bits));
    return value;
}
void vstore_half_rte(float value, ulong at, Half *to) {
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to[at].bits) : "f"(value));
}

uint as_uint(float value) { return __float_as_uint(value); }
uint as_uint(int value) { return (uint)value; }
int as_int(uint bits) { return (int)bits; }
float as_float(uint bits) { return __uint_as_float(bits); }
ulong as_ulong(double value) { return (ulong)__double_as_longlong(value); }
ulong as_ulong(long value) { return (ulong)value; }
long as_long(ulong bits) { return (long)bits; }
long as_long(double value) { return (long)__double_as_longlong(value); }
double as_double(ulong bits) { return __longlong_as_double((long)bits); }
uint mul_hi(uint a, uint b) { return __umulhi(a, b); }

uint atomic_cmpxchg(volatile uint *at, uint seen, uint value) {
    return atomicCAS((uint *)at, seen, value);
}
ulong atom_cmpxchg(volatile ulong *at, ulong seen, ulong value) {
    return atomicCAS((ulong *)at, seen, value);
}

// To 2 ulp and 1; where a result is no normal number, 0: weights of a softmax need no more.
float native_exp2(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}
double native_exp2(double x) { return exp2(x); }
float native_recip(float x) {
    float inverse;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(x));
    return inverse;
}
#define EXP2(x) native_exp2(x)

// What points to a group's memory: nothing that a pointer here says.
#define SHARED

// A group's memory seen as of another type.
#define LOCAL_AS(type, tile) ((type *)(tile))

// A kernel whose work groups have a size that is known.
#define SIZED(group) __launch_bounds__(group)

// A pack is stored at once; the compiler takes some apart by itself.
template <class P> void store_pack(P *to, const P &pack) {
    const uint *v = (const uint *)&pack;
    if (sizeof(P) == 16)
        asm volatile("st.v4.u32 [%0], {%1, %2, %3, %4};"
            :: "l"(to), "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3]) : "memory");
    else if (sizeof(P) == 8)
        asm volatile("st.v2.u32 [%0], {%1, %2};" :: "l"(to), "r"(v[0]), "r"(v[1]) : "memory");
    else
        *to = pack;
}
#define STORE_PACK(to, pack) store_pack(to, pack)

// What OpenCL C has no word for, and kernels ask for by these macros.
#define WARP 32
#define SHUFFLED(x, n) shuffled(x, n)
template <class T> T shuffled(T x, int n) { return __shfl_xor_sync(0xffffffffu, x, n); }
template <class T> Two<T> shuffled(Two<T> x, int n) {
    return Two<T>(shuffled(x.x, n), shuffled(x.y, n));
}
#define ADD_ATOMIC(at, value) add_atomically(at, value)
template <class T> void add_atomically(T *at, T value) { atomicAdd(at, value); }
void add_atomically(long *at, long value) { atomicAdd((ulong *)at, (ulong)value); }

void barrier(int) { __syncthreads(); }
void mem_fence(int) { __threadfence_system(); }  // the host's memory too
ulong get_group_id(int d) { return d == 0 ? blockIdx.x : d == 1 ? blockIdx.y : blockIdx.z; }
ulong get_local_id(int d) { return d == 0 ? threadIdx.x : d == 1 ? threadIdx.y : threadIdx.z; }
ulong get_local_size(int d) { return d == 0 ? blockDim.x : d == 1 ? blockDim.y : blockDim.z; }
ulong get_num_groups(int d) { return d == 0 ? gridDim.x : d == 1 ? gridDim.y : gridDim.z; }
ulong get_global_id(int d) { return get_group_id(d) * get_local_size(d) + get_local_id(d); }
ulong get_global_size(int d) { return get_num_groups(d) * get_local_size(d); }

// The length of (x, y) to an ulp, where the library's own is allowed two: one step of Newton's with
// the residue h * h - x * x - y * y in twice the digits (after C. Borges, 2019).
double near_hypot(double x, double y) {
    const double h = hypot(x, y);
    if (!(h > 1e-140 && h < 1e140)) return h;
    const double h2 = h * h, x2 = x * x, y2 = y * y;
    const double sum = x2 + y2, bigger = x2 > y2 ? x2 : y2, smaller = x2 > y2 ? y2 : x2;
    const double rest = smaller - (sum - bigger);
    const double residue = (h2 - sum) - rest + (fma(h, h, -h2) - fma(x, x, -x2) - fma(y, y, -y2));
    return h - residue / (2.0 * h);
}
