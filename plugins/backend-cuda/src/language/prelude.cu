// What generated and hand-written kernels start from. NVRTC compiles them without headers, with multiplications and additions kept apart (--fmad=false): what
// should be fused says so with fmaf.
typedef unsigned char u8;
typedef signed char i8;
typedef unsigned short u16;
typedef short i16;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

#define DEVICE static __device__ __forceinline__

DEVICE float infinity() { return __int_as_float(0x7f800000); }
DEVICE float notANumber() { return __int_as_float(0x7fc00000); }
DEVICE bool isNan(float x) { return x != x; }
DEVICE bool isInfinite(float x) { return fabsf(x) == infinity(); }

// ---- 16-bit floats, stored as their bits ----
DEVICE float f32FromHalf(u16 bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
DEVICE u16 halfFromF32(float x) {
  u16 bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
DEVICE float f32FromBrain(u16 bits) { return __uint_as_float((u32)bits << 16); }
DEVICE u16 brainFromF32(float x) {
  const u32 bits = __float_as_uint(x);
  if (isNan(x)) return (u16)((bits >> 16) | 0x40);
  return (u16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// ---- elements of less than a byte: low bits first ----
DEVICE int nibble(const u8* bytes, u32 at) { return (bytes[at >> 1] >> ((at & 1) * 4)) & 15; }
DEVICE int signedNibble(const u8* bytes, u32 at) { return ((int)((u32)nibble(bytes, at) << 28)) >> 28; }

// An index, or the last one where it lies outside.
DEVICE u32 within(int at, int last) { return min((u32)at, (u32)last); }

// ---- integers wrap: C++ leaves the overflow of signed ones undefined ----
DEVICE int add(int a, int b) { return (int)((u32)a + (u32)b); }
DEVICE u32 add(u32 a, u32 b) { return a + b; }
DEVICE i64 add(i64 a, i64 b) { return (i64)((u64)a + (u64)b); }
DEVICE u64 add(u64 a, u64 b) { return a + b; }
DEVICE float add(float a, float b) { return a + b; }
DEVICE bool add(bool a, bool b) { return a || b; }
DEVICE int subtract(int a, int b) { return (int)((u32)a - (u32)b); }
DEVICE u32 subtract(u32 a, u32 b) { return a - b; }
DEVICE i64 subtract(i64 a, i64 b) { return (i64)((u64)a - (u64)b); }
DEVICE u64 subtract(u64 a, u64 b) { return a - b; }
DEVICE float subtract(float a, float b) { return a - b; }
DEVICE int multiply(int a, int b) { return (int)((u32)a * (u32)b); }
DEVICE u32 multiply(u32 a, u32 b) { return a * b; }
DEVICE i64 multiply(i64 a, i64 b) { return (i64)((u64)a * (u64)b); }
DEVICE u64 multiply(u64 a, u64 b) { return a * b; }
DEVICE float multiply(float a, float b) { return a * b; }
DEVICE bool multiply(bool a, bool b) { return a && b; }
DEVICE int negate(int x) { return subtract(0, x); }
DEVICE u32 negate(u32 x) { return 0u - x; }
DEVICE i64 negate(i64 x) { return subtract((i64)0, x); }
DEVICE u64 negate(u64 x) { return 0ull - x; }
DEVICE float negate(float x) { return -x; }

// Quotients truncate; by zero they are 0, and the least integer by -1 is itself.
DEVICE int divide(int a, int b) { return b == 0 ? 0 : b == -1 ? negate(a) : a / b; }
DEVICE u32 divide(u32 a, u32 b) { return b == 0 ? 0 : a / b; }
DEVICE i64 divide(i64 a, i64 b) { return b == 0 ? 0 : b == -1 ? negate(a) : a / b; }
DEVICE u64 divide(u64 a, u64 b) { return b == 0 ? 0 : a / b; }
DEVICE float divide(float a, float b) { return __fdiv_rn(a, b); }
DEVICE int modulo(int a, int b) { return b == 0 || b == -1 ? 0 : a % b; }
DEVICE u32 modulo(u32 a, u32 b) { return b == 0 ? 0 : a % b; }
DEVICE i64 modulo(i64 a, i64 b) { return b == 0 || b == -1 ? 0 : a % b; }
DEVICE u64 modulo(u64 a, u64 b) { return b == 0 ? 0 : a % b; }
DEVICE float modulo(float a, float b) { return fmodf(a, b); }

// NaN wins.
DEVICE float maximum(float a, float b) { return isNan(a) ? a : isNan(b) ? b : fmaxf(a, b); }
DEVICE float minimum(float a, float b) { return isNan(a) ? a : isNan(b) ? b : fminf(a, b); }
DEVICE bool maximum(bool a, bool b) { return a || b; }
DEVICE bool minimum(bool a, bool b) { return a && b; }
#define ORDERED(T) \
  DEVICE T maximum(T a, T b) { return a < b ? b : a; } \
  DEVICE T minimum(T a, T b) { return b < a ? b : a; }
ORDERED(int)
ORDERED(u32)
ORDERED(i64)
ORDERED(u64)

DEVICE float absolute(float x) { return fabsf(x); }
DEVICE int absolute(int x) { return x < 0 ? negate(x) : x; }
DEVICE i64 absolute(i64 x) { return x < 0 ? negate(x) : x; }
DEVICE u32 absolute(u32 x) { return x; }
DEVICE u64 absolute(u64 x) { return x; }
DEVICE float sign(float x) { return isNan(x) ? x : x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f; }
DEVICE int sign(int x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
DEVICE i64 sign(i64 x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
DEVICE u32 sign(u32 x) { return x > 0 ? 1 : 0; }
DEVICE u64 sign(u64 x) { return x > 0 ? 1 : 0; }

// By e^-|x|, which never overflows.
DEVICE float sigmoid(float x) {
  const float e = expf(-fabsf(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

// C's pow, but for small whole exponents by multiplication: exact where the result is.
DEVICE float power(float x, float y) {
  if (y == floorf(y) && fabsf(y) <= 64.0f) {
    float result = 1.0f;
    float factor = x;
    for (u32 n = (u32)fabsf(y); n > 0; n >>= 1) {
      if (n & 1) result *= factor;
      factor *= factor;
    }
    return y < 0.0f ? 1.0f / result : result;
  }
  return powf(x, y);
}
template <typename T> DEVICE T wholePower(T x, u32 n) {
  T result = 1;
  for (; n > 0; n >>= 1) {
    if (n & 1) result = multiply(result, x);
    x = multiply(x, x);
  }
  return result;
}
DEVICE u32 power(u32 x, u32 y) { return wholePower(x, y); }
DEVICE u64 power(u64 x, u64 y) { return wholePower(x, (u32)y); }
// Negative exponents leave something of 1 and -1 only.
DEVICE i64 power(i64 x, i64 y) { return y >= 0 ? wholePower(x, (u32)y) : x == 1 ? 1 : x == -1 ? ((y & 1) == 0 ? 1 : -1) : 0; }
DEVICE int power(int x, int y) { return y >= 0 ? wholePower(x, (u32)y) : x == 1 ? 1 : x == -1 ? ((y & 1) == 0 ? 1 : -1) : 0; }

template <typename T> DEVICE T shiftLeft(T x, T count) { return (T)((u64)x << ((u32)count & (sizeof(T) * 8 - 1))); }
template <typename T> DEVICE T shiftRight(T x, T count) { return x >> ((u32)count & (sizeof(T) * 8 - 1)); }

// Floats to integers truncate and saturate; NaN becomes 0.
DEVICE int i32FromF32(float x) { return isNan(x) ? 0 : __float2int_rz(x); }
DEVICE u32 u32FromF32(float x) { return isNan(x) ? 0u : __float2uint_rz(x); }
DEVICE i64 i64FromF32(float x) { return isNan(x) ? 0 : __float2ll_rz(x); }
DEVICE u64 u64FromF32(float x) { return isNan(x) ? 0 : __float2ull_rz(x); }
