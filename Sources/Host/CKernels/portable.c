/* portable.c - the kernels for what every machine of the architecture has: NEON (which fuses multiply and add, so its
   results are those of AVX2 and AVX-512) or SSE2 (which does not). */
#if defined(__aarch64__)
#define NRK_FMA 1
#else
#define NRK_FMA 0
#endif
#define NRK_LOOKUP 0
#define NRK_PAIRS 0
#define NRK_DOT 0
#include "vectors.h"

#if defined(__aarch64__) /* 32 registers of four floats */
enum { NRK_ROWS = 6, NRK_PANELS = 2, NRK_DOT_ROWS = 6 };
#define NRK_TILES(TILE) TILE(1, 1) TILE(1, 2) TILE(2, 1) TILE(2, 2) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1)
static const unsigned char tile_width[NRK_ROWS + 1] = {0, 2, 2, 1, 1, 1, 1};
#else /* 16 */
enum { NRK_ROWS = 2, NRK_PANELS = 2, NRK_DOT_ROWS = 2 };
#define NRK_TILES(TILE) TILE(1, 1) TILE(1, 2) TILE(2, 1)
static const unsigned char tile_width[NRK_ROWS + 1] = {0, 2, 1};
#endif

#include "kernels.h"
#include "kernels_bf16.h"
#include "entries.h"
const nrk_table nrk_portable = {NRK_ENTRIES(NRK_FILL)};
const nrk_bf16_table nrk_portable_bf16 = {NRK_BF16_ENTRIES(NRK_FILL)};
