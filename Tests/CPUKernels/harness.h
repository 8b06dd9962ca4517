/* harness.h - what the harnesses of this folder share: random bits, and the chains that products are. */
#ifndef HARNESS_H
#define HARNESS_H
#include "dot_model.h"

static uint64_t state = 88172645463325252ull;
static uint64_t random_bits(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static inline float wide_of(uint16_t half) { return float_of((uint32_t)half << 16); }

/* A chain over a(k), b(k) from `sum` on; a pair that is not whole ends with a product of zeros, so -0 becomes 0. */
static inline float chain(const uint16_t *a, int64_t as, const uint16_t *b, int64_t bs, int64_t depth, float sum) {
  for (int64_t i = 0; i < depth; i++) sum = dot_step(a[i * as], b[i * bs], bits_of(sum));
  return depth % 2 ? dot_step(0, 0, bits_of(sum)) : sum;
}

#endif
