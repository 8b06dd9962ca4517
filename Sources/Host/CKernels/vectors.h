/* vectors.h - sixteen floats as one value on every machine: the compiler splits them into what the registers hold (one
   of AVX-512, two of AVX2, four of SSE or NEON). So a lane means the same everywhere, and so does a sum over lanes.
   An instruction set's file defines
   NRK_FMA and NRK_LOOKUP (floats that one instruction looks up in a register: 16, 8, or 0 for none) before it includes this, and
   includes system.h before it raises the target. */
#include "system.h"

/* Values wider than a register are passed only to functions that are inlined always, so no calling convention changes. */
#pragma clang diagnostic ignored "-Wpsabi"

#define NRK_INLINE static inline __attribute__((always_inline, unused))

typedef float v16 __attribute__((ext_vector_type(16)));
typedef float v8 __attribute__((ext_vector_type(8)));
typedef float v4 __attribute__((ext_vector_type(4)));
typedef float v2 __attribute__((ext_vector_type(2)));
typedef int32_t i8 __attribute__((ext_vector_type(8)));
typedef int32_t i16 __attribute__((ext_vector_type(16)));
typedef uint32_t u16 __attribute__((ext_vector_type(16)));
typedef uint16_t h16 __attribute__((ext_vector_type(16)));
typedef double d16 __attribute__((ext_vector_type(16)));

NRK_INLINE v16 splat(float x) { return (v16)(x); }
NRK_INLINE v16 load(const float *p) { v16 v; __builtin_memcpy(&v, p, sizeof v); return v; }
NRK_INLINE void store(float *p, v16 v) { __builtin_memcpy(p, &v, sizeof v); }
NRK_INLINE v16 fma16(v16 a, v16 b, v16 c) {
#if NRK_FMA
  return __builtin_elementwise_fma(a, b, c);
#else
  return a * b + c;
#endif
}
NRK_INLINE v16 max16(v16 a, v16 b) { return a > b ? a : b; }

/* The first n lanes (n < 16 reads no further than it may); the others are `fill`. */
NRK_INLINE v16 load_part(const float *p, int64_t n, float fill) {
  if (n >= 16) return load(p);
  float lanes[16];
  for (int i = 0; i < 16; i++) lanes[i] = fill;
  for (int64_t i = 0; i < n; i++) lanes[i] = p[i];
  return load(lanes);
}
NRK_INLINE void store_part(float *p, v16 v, int64_t n) {
  if (n >= 16) { store(p, v); return; }
  float lanes[16];
  store(lanes, v);
  for (int64_t i = 0; i < n; i++) p[i] = lanes[i];
}
/* factor * p for the first n lanes, -inf for the others: what a maximum or a sum of exponentials passes over. */
NRK_INLINE v16 load_scaled(const float *p, int64_t n, v16 factor) {
  if (n >= 16) return load(p) * factor;
  const i16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return lane < (i16)((int32_t)n) ? load_part(p, n, 0) * factor : splat(-INFINITY);
}
NRK_INLINE v16 widen(const uint16_t *p) {
  h16 v;
  __builtin_memcpy(&v, p, sizeof v);
  return (v16)(__builtin_convertvector(v, u16) << 16);
}

/* The one tree in which sixteen lanes are joined: i with i + 8, then + 4, + 2, + 1. */
NRK_INLINE float sum_lanes(v16 v) {
  v8 a = v.lo + v.hi;
  v4 b = a.lo + a.hi;
  v2 c = b.lo + b.hi;
  return c.x + c.y;
}
NRK_INLINE float max_lanes(v16 v) {
  v8 a = v.lo > v.hi ? v.lo : v.hi;
  v4 b = a.lo > a.hi ? a.lo : a.hi;
  v2 c = b.lo > b.hi ? b.lo : b.hi;
  return c.x > c.y ? c.x : c.y;
}

/* e^x within 1 ulp or so: x = n ln 2 + r, |r| <= ln 2 / 2, a polynomial in r, and 2^n in two steps so that results too
   small for a normal number are rounded and not lost. exp(-inf) = 0, exp(large) = inf, NaN stays. */
NRK_INLINE v16 exp16(v16 x) {
  x = x < splat(-105.0f) ? splat(-105.0f) : x;
  x = x > splat(89.0f) ? splat(89.0f) : x;
  const v16 magic = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
  v16 t = fma16(x, splat(1.44269504f), magic);
  v16 n = t - magic;
  v16 r = fma16(n, splat(-0.693359375f), x);
  r = fma16(n, splat(2.12194440e-4f), r);
  v16 p = splat(1.9875691500e-4f);
  p = fma16(p, r, splat(1.3981999507e-3f));
  p = fma16(p, r, splat(8.3334519073e-3f));
  p = fma16(p, r, splat(4.1665795894e-2f));
  p = fma16(p, r, splat(1.6666665459e-1f));
  p = fma16(p, r, splat(5.0000001201e-1f));
  p = fma16(p, r * r, r) + splat(1.0f);
#if NRK_LOOKUP == 16 /* AVX-512 scales by a power of two, rounding once: the same numbers */
  return (v16)__builtin_ia32_scalefps512_mask(p, n, n, (unsigned short)-1, 4);
#endif
  i16 e = (i16)t - (i16)magic;
  i16 half = e >> 1;
  v16 first = (v16)((half + 127) << 23), second = (v16)((e - half + 127) << 23);
  return p * first * second;
}

#define NRK_SHUFFLE_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define NRK_SHUFFLE_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31

/* Sixteen rows become sixteen columns: four perfect shuffles. */
NRK_INLINE void transpose(v16 r[16]) {
#pragma clang loop unroll(full)
  for (int stage = 0; stage < 4; stage++) {
    v16 t[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i++) {
      t[2 * i] = __builtin_shufflevector(r[i], r[i + 8], NRK_SHUFFLE_LOW);
      t[2 * i + 1] = __builtin_shufflevector(r[i], r[i + 8], NRK_SHUFFLE_HIGH);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) r[i] = t[i];
  }
}
