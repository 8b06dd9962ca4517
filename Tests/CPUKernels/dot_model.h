/* dot_model.h - what vdpbf16ps computes for one lane, in plain C: the definition of products in bfloat16, and what tests compare with.

     t = fma(a1, b1, c), then fma(a0, b0, t): the odd elements first, each sum rounded once to the nearest, ties to even.

   Operands and results below the normal numbers become zeros with their sign: 0 is what is below 2^-126 once it is rounded to 24 bits, as
   x86 judges where MXCSR has FTZ and DAZ set; MXCSR itself is neither read nor written. A NaN is the first among a, b and c, made quiet;
   one that arises is 0xFFC00000. So it is the two fused multiply-adds of AVX under FTZ and DAZ, bit for bit. */
#ifndef DOT_MODEL_H
#define DOT_MODEL_H
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float float_of(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline uint32_t bits_of(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }

static inline uint32_t without_denormals(uint32_t bits) { return bits & 0x7F800000 ? bits : bits & 0x80000000; }
static inline int is_nan_bits(uint32_t bits) { return (bits & 0x7FFFFFFF) > 0x7F800000; }

/* fma(a, b, c) of two halves, as above. */
static inline float dot_step(uint32_t a, uint32_t b, uint32_t c) {
  a = without_denormals(a << 16), b = without_denormals(b << 16), c = without_denormals(c);
  if (is_nan_bits(a)) return float_of(a | 0x400000);
  if (is_nan_bits(b)) return float_of(b | 0x400000);
  if (is_nan_bits(c)) return float_of(c | 0x400000);
  float x = float_of(a), y = float_of(b), z = float_of(c), r = fmaf(x, y, z);
  if (r != r) return float_of(0xFFC00000);
  uint32_t bits = bits_of(r);
  if ((bits & 0x7FFFFFFF) == 0x00800000) {
    /* fmaf rounds to multiples of 2^-149 here; with 24 bits it would be 2^-150. Exact: a product has sixteen bits, and neither
       difference can lose one where the sum is this small. */
    double missing = ((double)r - z) - (double)x * y;
    if ((r > 0 ? missing : -missing) > 0x1p-151) return float_of(bits & 0x80000000);
  }
  return float_of(without_denormals(bits));
}

static inline float dot_pair(float c, uint16_t a0, uint16_t a1, uint16_t b0, uint16_t b1) {
  return dot_step(a0, b0, bits_of(dot_step(a1, b1, bits_of(c))));
}

/* To the nearest half, ties to even, as vcvtneps2bf16: what is below the normal numbers is 0. */
static inline uint16_t half_of_float(float x) {
  uint32_t bits = without_denormals(bits_of(x));
  if (is_nan_bits(bits)) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
#endif
