/* avx512.c - the kernels for AVX-512: 32 registers of sixteen floats. */
#if defined(__x86_64__)
#define NRK_FMA 1
#define NRK_LOOKUP 16
#define NRK_PAIRS 1
#define NRK_DOT 0
#include "system.h"
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#include "vectors.h"

/* Rows by panels of a tile: 24 sums in registers, and enough independent ones for few rows to hide the latency. */
enum { NRK_ROWS = 12, NRK_PANELS = 8, NRK_DOT_ROWS = 12 };
#define NRK_TILES(TILE)                                                                                              \
  TILE(1, 1) TILE(1, 2) TILE(1, 4) TILE(1, 8) TILE(2, 1) TILE(2, 2) TILE(2, 4) TILE(2, 8) TILE(3, 1) TILE(3, 2)      \
  TILE(3, 4) TILE(3, 8) TILE(4, 1) TILE(4, 2) TILE(4, 4) TILE(5, 1) TILE(5, 2) TILE(5, 4) TILE(6, 1) TILE(6, 2)      \
  TILE(6, 4) TILE(7, 1) TILE(7, 2) TILE(8, 1) TILE(8, 2) TILE(9, 1) TILE(9, 2) TILE(10, 1) TILE(10, 2) TILE(11, 1)   \
  TILE(11, 2) TILE(12, 1) TILE(12, 2)
static const unsigned char tile_width[NRK_ROWS + 1] = {0, 8, 8, 8, 4, 4, 4, 2, 2, 2, 2, 2, 2};

#include "kernels.h"
#include "kernels_bf16.h"
#include "entries.h"
const nrk_table nrk_avx512 = {NRK_ENTRIES(NRK_FILL)};
const nrk_bf16_table nrk_avx512_bf16 = {NRK_BF16_ENTRIES(NRK_FILL)};
#pragma clang attribute pop
#endif
