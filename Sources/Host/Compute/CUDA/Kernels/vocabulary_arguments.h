/* vocabulary_arguments.h - the vocabulary head on tensor cores: logits are made tile by tile, and of each tile's row only a maximum and
   two sums are kept. */
#pragma once
#include "arguments.h"

/* Columns of a tile of the vocabulary; tiles = ceil(V / NRC_VOCABULARY_TILE). */
enum { NRC_VOCABULARY_TILE = 128 };

/* Of a row's logits in one tile, at the inverse temperature: their maximum m, sum of exp(z - m), sum of exp(z - m) (z - m). */
typedef struct nrc_tile_sums {
  float top, sum, weighted, unused;
} nrc_tile_sums;

/* logits[i, v] = sum over d of hidden[i, d] w[v, d], as a product of product_arguments.h. */
typedef struct nrc_vocabulary_arguments {
  POINTER(const uint16_t) hidden; /* [n, D] */
  POINTER(const uint16_t) w;      /* [V, D] without gaps */
  POINTER(const int32_t) targets; /* [n], or null */
  POINTER(float) logits;          /* [n, V], or null: not wanted */
  POINTER(nrc_tile_sums) sums;    /* [n, tiles] */
  POINTER(float) target_logit;    /* [n], where there are targets: the target's logit, not scaled */
  int64_t ldh, ldl;
  int32_t n, V, D;
  float inverse_temperature;
} nrc_vocabulary_arguments;

/* The sums of all tiles of a row joined by one fixed tree. */
typedef struct nrc_vocabulary_join_arguments {
  POINTER(const nrc_tile_sums) sums; /* [n, tiles] */
  POINTER(const float) target_logit; /* [n] */
  POINTER(float) log_prob;           /* [n] each */
  POINTER(float) entropy;
  POINTER(float) log_z;
  int32_t n, tiles;
  float inverse_temperature;
  int32_t unused;
} nrc_vocabulary_join_arguments;

/* The logits once more, tile by tile, as their own derivative: d_logits[i, v] = factor ((v == target ? 1 : 0) - p) d_log_prob[i] + the
   derivative of the entropy, as log_softmax_backward of head.cu has it, rounded to bfloat16. Columns from V to ldd are not touched. */
typedef struct nrc_vocabulary_backward_arguments {
  POINTER(const uint16_t) hidden;
  POINTER(const uint16_t) w;
  POINTER(const int32_t) targets;
  POINTER(const float) log_z;
  POINTER(const float) entropy;
  POINTER(const float) d_log_prob;
  POINTER(const float) d_entropy; /* or null */
  POINTER(uint16_t) d_logits;     /* [n, V] */
  int64_t ldh, ldd;
  int32_t n, V, D;
  float inverse_temperature;
} nrc_vocabulary_backward_arguments;

/* A step of sampling, as nrc_sample_arguments, from logits and the sums of their tiles at 1 / temperature (temperature 0: at 1, and the
   largest logit is taken). draw: the log-probability and the entropy are those of the join, bit for bit; draw_truncated: those of the
   tokens that are kept. */
typedef struct nrc_draw_arguments {
  POINTER(const float) logits;
  POINTER(const nrc_tile_sums) sums; /* [rows, tiles] */
  POINTER(const int32_t) streams;
  POINTER(const int32_t) stop_tokens;
  POINTER(int32_t) scratch; /* draw_truncated only: 2 V words a row */
  POINTER(int32_t) tokens;
  POINTER(int32_t) drawn; /* and what follows, as in sampler_arguments.h */
  POINTER(float) log_prob;
  POINTER(float) entropy;
  POINTER(int32_t) positions;
  POINTER(int32_t) own_positions;
  POINTER(int32_t) lengths;
  POINTER(int32_t) remaining;
  POINTER(int32_t) outcomes;
  int64_t V, ld;
  float temperature, top_p;
  int32_t top_k, stop_count, window, width;
} nrc_draw_arguments;
