/* product_arguments.h - products with weights on tensor cores: bfloat16 operands, float32 sums. T tokens, N outputs, K inputs, R the rank
   of a low-rank addition; a stride ("ld") counts elements from row to row. A weight lies in rows without gaps: [N, K].

   y[t, n] = round(((sum over k of x[t, k] w[n, k]) + (sum over r of low[t, r] up[n, r])) * scale + bias[n] + residual[t, n])

   The sum over k is cut at multiples of NRC_PRODUCT_CHUNK; a chunk is one chain of steps of sixteen from zero, k ascending; chunks are
   added in ascending order; the low-rank steps go on in the same accumulator. Neither tile, batch nor split enters, so a row is the same
   bits in decoding and in training. */
#pragma once
#include "arguments.h"

enum { NRC_PRODUCT_CHUNK = 2304, NRC_PRODUCT_PARTS = 3 };

/* One of up to three layers that read the same x. */
typedef struct nrc_product_part {
  POINTER(const void) w;         /* [N, K], bfloat16; of weights of four bits: their codes (below) */
  POINTER(const unsigned char) absmax_codes; /* of four bits only, as in linear_arguments.h; the values are always rounded to bfloat16 */
  POINTER(const float) absmax;
  POINTER(const float) map;
  POINTER(const float) bias;     /* [N], or null */
  POINTER(const uint16_t) low;   /* [T, R] without gaps, or null */
  POINTER(const uint16_t) up;    /* [N, R] without gaps */
  POINTER(const float) residual; /* [T, N], or null; may be y */
  POINTER(void) y;               /* [T, N], bfloat16 or float32 */
  int64_t ldr, ldy;
  int32_t N, R;
  int32_t first;      /* column tiles (blocks of grid.x) before this part's */
  int32_t is_float;   /* y is float32 */
  int32_t is_nested;
  float scale;
} nrc_product_part;

typedef struct nrc_product_arguments {
  POINTER(const void) x;   /* [T, K] */
  POINTER(float) partial;  /* split products: [chunks, T, sum of N] of chunk sums, part after part along N; else null */
  int64_t ldx;
  int32_t T, K, parts;
  int32_t is_float;        /* x is float32 */
  nrc_product_part part[NRC_PRODUCT_PARTS];
} nrc_product_arguments;

/* Weights of four bits. The codes of a matrix with N a multiple of 16 and K of 64 stand in the order of fragments: for every 16 rows and 64
   columns, [N / 16][K / 64][32 lanes] of 16 bytes; byte 4 s + 2 j + e of a lane: n = 8 j + lane / 4, k = 16 s + 8 e + 2 (lane % 4) + {0,
   1}, the first in the low half. Other matrices keep a file's order (linear_arguments.h) and are only expanded. */
typedef struct nrc_nf4_matrix_arguments {
  POINTER(const unsigned char) codes;
  POINTER(const unsigned char) absmax_codes;
  POINTER(const float) absmax;
  POINTER(const float) map;
  POINTER(void) out; /* nf4_expand: bfloat16 [N, K]; nf4_reorder: codes in the order of fragments, `codes` being in a file's */
  int32_t N, K, is_nested, is_reordered;
} nrc_nf4_matrix_arguments;
