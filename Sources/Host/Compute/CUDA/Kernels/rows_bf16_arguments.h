/* rows_bf16_arguments.h - what the kernels of rows_bf16.cu take: the operations of rows.cu on bfloat16. */
#pragma once
#include "arguments.h"

/* y = x * rstd * w, rounded; rstd[t] = 1 / sqrt(mean(x^2) + epsilon); rstd may be 0; rows without gaps.
   rmsnorm_to_bf16: x float32; rmsnorm_bf16: x bfloat16 */
typedef struct nrc_rmsnorm_bf16_arguments {
  POINTER(const void) x;
  POINTER(const float) w;
  POINTER(uint16_t) y;
  POINTER(float) rstd;
  int64_t T;
  int32_t K;
  float epsilon;
} nrc_rmsnorm_bf16_arguments;

/* rmsnorm_dx_bf16: dx (accumulate ? += : =), which may lie over dy. rmsnorm_dw_bf16: dw +=, to be launched first. */
typedef struct nrc_rmsnorm_backward_bf16_arguments {
  POINTER(const uint16_t) dy;
  POINTER(const uint16_t) x;
  POINTER(const float) w;
  POINTER(const float) rstd;
  POINTER(uint16_t) dx;
  POINTER(float) dw;
  int64_t T;
  int32_t K, accumulate;
} nrc_rmsnorm_backward_bf16_arguments;

/* As nrc_rope_arguments. */
typedef struct nrc_rope_bf16_arguments {
  POINTER(uint16_t) x;
  POINTER(const int32_t) positions;
  POINTER(const float) cos;
  POINTER(const float) sin;
  int64_t ldx;
  int32_t T, heads, C, is_inverse;
} nrc_rope_bf16_arguments;

/* The same of queries [T, heads C] and keys [T, groups C] at once; where there is a cache (as in flash_arguments.h), keys and values also
   go to position places[t] of slot slots[t]. */
typedef struct nrc_rope_heads_arguments {
  POINTER(uint16_t) q;
  POINTER(uint16_t) k;
  POINTER(const uint16_t) v;
  POINTER(const int32_t) positions;
  POINTER(const float) cos;
  POINTER(const float) sin;
  POINTER(uint16_t) cache; /* or null; then so are the next two, and v is not read */
  POINTER(const int32_t) slots;
  POINTER(const int32_t) places;
  int64_t ldq, ldk, ldv, capacity;
  int32_t T, heads, groups, C, is_inverse, unused;
} nrc_rope_heads_arguments;

typedef struct nrc_swiglu_bf16_arguments {
  POINTER(const uint16_t) gate;
  POINTER(const uint16_t) up;
  POINTER(uint16_t) out;
  int64_t count;
} nrc_swiglu_bf16_arguments;

typedef struct nrc_swiglu_backward_bf16_arguments {
  POINTER(const uint16_t) gate;
  POINTER(const uint16_t) up;
  POINTER(const uint16_t) dout;
  POINTER(uint16_t) dgate;
  POINTER(uint16_t) dup;
  int64_t count;
} nrc_swiglu_backward_bf16_arguments;

/* out[i, :] = x[rows[i], :], or x[i, :] where rows is null. x and out each bfloat16 or float32; to bfloat16 is rounded to the nearest. */
typedef struct nrc_take_rows_bf16_arguments {
  POINTER(const void) x;
  POINTER(const int32_t) rows;
  POINTER(void) out;
  int64_t ldx, ldo;
  int32_t n, K, x_is_float, out_is_float;
} nrc_take_rows_bf16_arguments;
