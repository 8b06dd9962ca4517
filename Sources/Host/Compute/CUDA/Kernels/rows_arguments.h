/* rows_arguments.h - what the kernels of rows.cu take. Shapes as in nr_kernels.h; a stride ("ld") counts elements from row to row. */
#pragma once
#include "arguments.h"

/* x *= factor */
typedef struct nrc_scale_arguments {
  POINTER(float) x;
  int64_t count;
  float factor;
  int32_t unused;
} nrc_scale_arguments;

/* x += y */
typedef struct nrc_add_arguments {
  POINTER(float) x;
  POINTER(const float) y;
  int64_t count;
} nrc_add_arguments;

/* x[:, :] = value. What has no gaps may be given as one row. */
typedef struct nrc_fill_rows_arguments {
  POINTER(float) x;
  int64_t ldx, columns;
  int32_t rows;
  float value;
} nrc_fill_rows_arguments;

/* out[:, :] = x[:, :]. What has no gaps may be given as one row. */
typedef struct nrc_copy_rows_arguments {
  POINTER(const float) x;
  POINTER(float) out;
  int64_t ldx, ldo, rows, columns;
} nrc_copy_rows_arguments;

/* out[i, :] = x[rows[i], :] */
typedef struct nrc_take_rows_arguments {
  POINTER(const float) x;
  POINTER(const int32_t) rows;
  POINTER(float) out;
  int64_t ldx, ldo;
  int32_t n, K;
} nrc_take_rows_arguments;

/* x[rows[i], :] += y[i, :], i ascending; rows may repeat */
typedef struct nrc_add_rows_arguments {
  POINTER(const float) y;
  POINTER(const int32_t) rows;
  POINTER(float) x;
  int64_t ldy, ldx;
  int32_t n, K;
} nrc_add_rows_arguments;

/* y = x * rstd * w, rstd[t] = 1 / sqrt(mean(x^2) + epsilon); rstd may be 0; rows without gaps */
typedef struct nrc_rmsnorm_arguments {
  POINTER(const float) x;
  POINTER(const float) w;
  POINTER(float) y;
  POINTER(float) rstd;
  int64_t T;
  int32_t K;
  float epsilon;
} nrc_rmsnorm_arguments;

/* rmsnorm_dx: dx (accumulate ? += : =), which may lie over dy. rmsnorm_dw: dw +=, to be launched first. Neither takes what is
   the other's. */
typedef struct nrc_rmsnorm_backward_arguments {
  POINTER(const float) dy;
  POINTER(const float) x;
  POINTER(const float) w;
  POINTER(const float) rstd;
  POINTER(float) dx;
  POINTER(float) dw;
  int64_t T;
  int32_t K, accumulate;
} nrc_rmsnorm_backward_arguments;

/* x [T, heads * C] in place: for i < C / 2 of a head (a, b) = (x[i], x[i + C / 2]) -> (a cos - b sin, b cos + a sin), with the row
   positions[t] of cos and sin [., C / 2]; is_inverse turns back. */
typedef struct nrc_rope_arguments {
  POINTER(float) x;
  POINTER(const int32_t) positions;
  POINTER(const float) cos;
  POINTER(const float) sin;
  int64_t ldx;
  int32_t T, heads, C, is_inverse;
} nrc_rope_arguments;

/* out = silu(gate) * up */
typedef struct nrc_swiglu_arguments {
  POINTER(const float) gate;
  POINTER(const float) up;
  POINTER(float) out;
  int64_t count;
} nrc_swiglu_arguments;

typedef struct nrc_swiglu_backward_arguments {
  POINTER(const float) gate;
  POINTER(const float) up;
  POINTER(const float) dout;
  POINTER(float) dgate;
  POINTER(float) dup;
  int64_t count;
} nrc_swiglu_backward_arguments;
