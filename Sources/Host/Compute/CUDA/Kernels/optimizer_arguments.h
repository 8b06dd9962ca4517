/* optimizer_arguments.h - AdamW over flat arrays, and the gradient's norm. */
#pragma once
#include "arguments.h"

/* The host makes the factors in double and rounds each once. With c1 = 1 - pow(beta1, step) and c2 = 1 - pow(beta2, step):
   keep = 1 - lr * decay, rest1 = 1 - beta1, rest2 = 1 - beta2, root_c2 = sqrt(c2), rate = lr / c1. */
typedef struct nrc_adamw_arguments {
  POINTER(float) parameter;
  POINTER(float) m;
  POINTER(float) v;
  POINTER(const float) gradient;
  int64_t count;
  float keep, beta1, beta2, rest1, rest2, root_c2, epsilon, rate, factor;
  uint32_t unused;
} nrc_adamw_arguments;

/* The parts of a flat array, each cut into blocks of 8192 elements from its start (the last may be shorter, none is empty): for each
   block where it starts, how many elements it has, and the number of its part. Blocks stand in the order of the parts. */
typedef struct nrc_sum_squares_arguments {
  POINTER(const float) x;
  POINTER(const int64_t) starts;
  POINTER(const int32_t) counts;
  POINTER(const int32_t) parts;
  POINTER(double) sums; /* scratch: one a block */
  POINTER(double) result;
  int64_t blocks;
} nrc_sum_squares_arguments;
