/* product_backward_arguments.h - gradients of products (product_arguments.h) on tensor cores: bfloat16 operands, float32 sums. */
#pragma once
#include "product_arguments.h"

/* One of up to three layers whose gradients meet in the same dx. */
typedef struct nrc_product_dx_part {
  POINTER(const void) dy;       /* [T, N] */
  POINTER(const uint16_t) w;    /* [N, K] without gaps */
  POINTER(const uint16_t) low;  /* [T, R] without gaps, or null: the gradient of the low-rank input, s dy B */
  POINTER(const uint16_t) down; /* A [R, K] without gaps */
  int64_t lddy;
  int32_t N, R;
  int32_t is_float; /* dy is float32 */
  int32_t unused;
} nrc_product_dx_part;

/* dx[t, k] = round((accumulate ? dx[t, k] : 0) + scale * sum), sum one accumulator from zero: over n of dy[t, n] w[n, k], part after part,
   n ascending; then over r of low[t, r] down[r, k], part after part. */
typedef struct nrc_product_dx_arguments {
  POINTER(void) dx; /* [T, K], bfloat16 or float32 */
  int64_t lddx;
  int32_t T, K, parts, accumulate;
  int32_t is_float; /* dx is float32 */
  float scale;
  nrc_product_dx_part part[NRC_PRODUCT_PARTS];
} nrc_product_dx_arguments;

/* The rows of a weight gradient are summed in runs of so many, each one chain from zero; runs are added in order, then to dw. */
enum { NRC_PRODUCT_RUN = 512 };

typedef struct nrc_product_dw_part {
  POINTER(const void) dy; /* [T, N] */
  POINTER(const void) x;  /* [T, K] */
  POINTER(float) dw;      /* [N, K] */
  POINTER(float) partial; /* [runs, N, K], or null: a block walks all runs */
  int64_t lddy, ldx, lddw;
  int32_t N, K;
  int32_t first;          /* tiles (blocks of grid.x) before this part's */
  int32_t dy_is_float, x_is_float, unused;
} nrc_product_dw_part;

/* dw[n, k] += sum over t of dy[t, n] x[t, k], of up to three layers at once */
typedef struct nrc_product_dw_arguments {
  int32_t T, parts;
  nrc_product_dw_part part[NRC_PRODUCT_PARTS];
} nrc_product_dw_arguments;
