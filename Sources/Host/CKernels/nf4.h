/* nf4.h - weights of four bits as they lie in memory (Dettmers et al., arXiv 2305.14314; the numbers are bitsandbytes').

   A weight is one of sixteen numbers, by its code, times the largest magnitude of its block of 64 weights, which run through the matrix
   row after row. Codes stand in panels of 16 outputs, as all weights do: [ceil(N/16)][ceil(K/8)][16] words of eight codes, the first
   in the lowest bits. The magnitudes stand in the matrix's own order: as float32, or as one byte, which chooses one of 256 numbers; times
   the largest magnitude of 256 of those, plus one offset for the matrix. */
#ifndef NRK_NF4_H
#define NRK_NF4_H
#include "pool.h"

enum { NF4_BLOCK = 64, NF4_NESTED_BLOCK = 256 };

extern const float nrk_nf4_values[16];

/* What stands before the codes. */
typedef struct nf4_head {
  int32_t is_nested;
  float offset;
  float map[256];
  int32_t is_normal; /* no value but 0 is below the normal numbers, rounded or not */
  char fill[52];     /* to a multiple of 64 bytes */
} nf4_head;

typedef struct nf4_matrix {
  const nf4_head *head;
  const uint32_t *words;
  const uint8_t *codes;  /* of the magnitudes, where they are nested */
  const float *absmax;   /* of the blocks, or of the blocks of magnitudes */
  int64_t N, K;
} nf4_matrix;

static inline int64_t nf4_blocks(int64_t N, int64_t K) { return nrk_ceil(N * K, NF4_BLOCK); }
static inline int64_t nf4_panel_words(int64_t K) { return nrk_ceil(K, 8) * 16; }

static inline nf4_matrix nf4_view(const void *panels, int64_t N, int64_t K) {
  const char *at = panels;
  nf4_matrix m = {.head = panels, .N = N, .K = K};
  at += sizeof(nf4_head);
  m.words = (const uint32_t *)at;
  at += nrk_ceil(N, 16) * nf4_panel_words(K) * 4;
  m.codes = (const uint8_t *)at;
  if (m.head->is_nested) at += nrk_round(nf4_blocks(N, K), 64);
  m.absmax = (const float *)at;
  return m;
}

/* The magnitude of a block; a product and a sum, each rounded. */
static inline float nf4_scale(const nf4_matrix *m, int64_t block) {
  if (!m->head->is_nested) return m->absmax[block];
  float product = m->head->map[m->codes[block]] * m->absmax[block / NF4_NESTED_BLOCK];
  return product + m->head->offset;
}

/* Kinds of tiles beyond those of weights: NRK_NF4_BF16 where the processor rounds two columns to bfloat16 at once. It makes 0 of what is
   below the normal numbers, so it serves matrices that have none. */
enum { NF4_ROUNDED_IN_PAIRS = NRK_NF4_BF16 + 1, TILE_KINDS };

/* A number of float32, rounded to the nearest of bfloat16, ties to even. */
static inline float nf4_rounded(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}

#endif
