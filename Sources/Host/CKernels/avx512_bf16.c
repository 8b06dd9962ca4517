/* avx512_bf16.c - what computes in bfloat16, for AVX-512 with the instruction for it: a pair of elements by a pair in one step. */
#if defined(__x86_64__)
#define NRK_FMA 1
#define NRK_LOOKUP 16
#define NRK_PAIRS 1
#define NRK_DOT 1
#include "system.h"
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma"))), apply_to = function)
#include "vectors.h"

/* Weights take no registers to widen, so there is room for more rows than in avx512.c. */
enum { NRK_ROWS = 14, NRK_PANELS = 8, NRK_DOT_ROWS = 14 };
#define NRK_TILES(TILE)                                                                                              \
  TILE(1, 1) TILE(1, 2) TILE(1, 4) TILE(1, 8) TILE(2, 1) TILE(2, 2) TILE(2, 4) TILE(2, 8) TILE(3, 1) TILE(3, 2)      \
  TILE(3, 4) TILE(3, 8) TILE(4, 1) TILE(4, 2) TILE(4, 4) TILE(5, 1) TILE(5, 2) TILE(5, 4) TILE(6, 1) TILE(6, 2)      \
  TILE(6, 4) TILE(7, 1) TILE(7, 2) TILE(7, 4) TILE(8, 1) TILE(8, 2) TILE(9, 1) TILE(9, 2) TILE(10, 1) TILE(10, 2)    \
  TILE(11, 1) TILE(11, 2) TILE(12, 1) TILE(12, 2) TILE(13, 1) TILE(13, 2) TILE(14, 1) TILE(14, 2)
static const unsigned char tile_width[NRK_ROWS + 1] = {0, 8, 8, 8, 4, 4, 4, 4, 2, 2, 2, 2, 2, 2, 2};

#include "expand.h"
#include "distribution.h"
#include "kernels_bf16.h"
#include "entries.h"
const nrk_bf16_table nrk_avx512_dot = {NRK_BF16_ENTRIES(NRK_FILL)};
#pragma clang attribute pop
#endif
