/* weights_arguments.h - what the kernels of weights.cu take. A weight lies in rows without gaps: [N, K], float32 or bfloat16. */
#pragma once
#include "arguments.h"

/* out[t, :] = w[ids[t], :] as float32 */
typedef struct nrc_gather_arguments {
  POINTER(const void) w;
  POINTER(const int32_t) ids;
  POINTER(float) out;
  int64_t ldo;
  int32_t T, K;
} nrc_gather_arguments;

/* w[:, :] = x[:, :], rounded */
typedef struct nrc_repack_arguments {
  POINTER(const float) x;
  POINTER(uint16_t) w;
  int64_t ldx;
  int32_t N, K;
} nrc_repack_arguments;

/* The same of many matrices without gaps, float32 or bfloat16: each its elements, from block `first` of 2048 on. */
typedef struct nrc_repack_item {
  POINTER(const float) x;
  POINTER(void) w;
  int64_t count, first;
} nrc_repack_item;

typedef struct nrc_repack_list_arguments {
  POINTER(const nrc_repack_item) items;
  int32_t count, is_float;
} nrc_repack_list_arguments;
