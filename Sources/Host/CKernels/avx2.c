/* avx2.c - the kernels for AVX2 with fused multiply-add: 16 registers of eight floats. */
#if defined(__x86_64__)
#define NRK_FMA 1
#define NRK_LOOKUP 8
#define NRK_PAIRS 0
#define NRK_DOT 0
#include "system.h"
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "vectors.h"

enum { NRK_ROWS = 6, NRK_PANELS = 4, NRK_DOT_ROWS = 5 };
#define NRK_TILES(TILE)                                                                                              \
  TILE(1, 1) TILE(1, 2) TILE(1, 4) TILE(2, 1) TILE(2, 2) TILE(3, 1) TILE(3, 2) TILE(4, 1) TILE(5, 1) TILE(6, 1)
static const unsigned char tile_width[NRK_ROWS + 1] = {0, 4, 2, 2, 1, 1, 1};

#include "kernels.h"
#include "kernels_bf16.h"
#include "entries.h"
const nrk_table nrk_avx2 = {NRK_ENTRIES(NRK_FILL)};
const nrk_bf16_table nrk_avx2_bf16 = {NRK_BF16_ENTRIES(NRK_FILL)};
#pragma clang attribute pop
#endif
