/* linear_arguments.h - what the kernels of linear.cu take. Shapes as in nr_kernels.h: T tokens, N outputs, K inputs; a stride ("ld")
   counts elements from row to row. A weight lies in rows without gaps: [N, K]. */
#pragma once
#include "arguments.h"

/* y[t, n] = (accumulate ? y[t, n] : 0) + sum over k of x[t, k] w[n, k], then + bias[n] where there is one; w is float32 or bfloat16 */
typedef struct nrc_linear_arguments {
  POINTER(const float) x;
  POINTER(const void) w;
  POINTER(const float) bias;
  POINTER(float) y;
  int64_t ldx, ldy;
  int32_t T, N, K, accumulate;
} nrc_linear_arguments;

/* dx[t, k] = (accumulate ? dx[t, k] : 0) + sum over n of dy[t, n] w[n, k] */
typedef struct nrc_linear_dx_arguments {
  POINTER(const float) dy;
  POINTER(const void) w;
  POINTER(float) dx;
  int64_t lddy, lddx;
  int32_t T, N, K, accumulate;
} nrc_linear_dx_arguments;

/* dw[n, k] = (accumulate ? dw[n, k] : 0) + sum over t of dy[t, n] x[t, k]; the CPU's always accumulates */
typedef struct nrc_linear_dw_arguments {
  POINTER(const float) dy;
  POINTER(const float) x;
  POINTER(float) dw;
  int64_t lddy, ldx, lddw;
  int32_t T, N, K, accumulate;
} nrc_linear_dw_arguments;

/* db[n] += sum over t of dy[t, n] */
typedef struct nrc_linear_db_arguments {
  POINTER(const float) dy;
  POINTER(float) db;
  int64_t lddy;
  int32_t T, N;
} nrc_linear_db_arguments;

/* Weights of four bits, in the order of a file: codes [ceil(N K / 2)], two a byte, the first in the upper half; blocks of 64 weights,
   which run through the matrix row after row, B = ceil(N K / 64) of them. is_nested: absmax_codes [B], absmax [ceil(B / 256)], and map
   [257], 256 numbers and the offset; else absmax [B], and the other two are not read. rounds: values are rounded to bfloat16. */
typedef struct nrc_linear_nf4_arguments {
  POINTER(const float) x;
  POINTER(const unsigned char) codes;
  POINTER(const unsigned char) absmax_codes;
  POINTER(const float) absmax;
  POINTER(const float) map;
  POINTER(const float) bias;
  POINTER(float) y;
  int64_t ldx, ldy;
  int32_t T, N, K, accumulate, is_nested, rounds;
} nrc_linear_nf4_arguments;

typedef struct nrc_linear_dx_nf4_arguments {
  POINTER(const float) dy;
  POINTER(const unsigned char) codes;
  POINTER(const unsigned char) absmax_codes;
  POINTER(const float) absmax;
  POINTER(const float) map;
  POINTER(float) dx;
  int64_t lddy, lddx;
  int32_t T, N, K, accumulate, is_nested, rounds;
} nrc_linear_dx_nf4_arguments;

/* out[t, :] = the row ids[t] of the matrix */
typedef struct nrc_gather_nf4_arguments {
  POINTER(const unsigned char) codes;
  POINTER(const unsigned char) absmax_codes;
  POINTER(const float) absmax;
  POINTER(const float) map;
  POINTER(const int32_t) ids;
  POINTER(float) out;
  int64_t ldo;
  int32_t T, K, is_nested, rounds;
} nrc_gather_nf4_arguments;
