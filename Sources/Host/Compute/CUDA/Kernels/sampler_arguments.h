/* sampler_arguments.h - what a step of sampling reads and changes: the fields of a decode state, one entry a row. */
#pragma once
#include "arguments.h"

typedef struct nrc_sample_arguments {
  POINTER(const float) logits; /* V a row, rows `ld` apart; the number of rows is the grid's */
  POINTER(const int32_t) streams; /* four a row: seed and stream of the random numbers, two words each, the lower first */
  POINTER(const int32_t) stop_tokens;
  POINTER(int32_t) scratch; /* sample_truncated only: 2 V words a row */
  POINTER(int32_t) tokens; /* the newest of each row */
  POINTER(int32_t) drawn;  /* what was drawn: the n-th token of a row in line n modulo `window`, lines `width` apart; so its */
  POINTER(float) log_prob; /* log-probability and the */
  POINTER(float) entropy;  /* entropy of what it was drawn from */
  POINTER(int32_t) positions;
  POINTER(int32_t) own_positions;
  POINTER(int32_t) lengths; /* before the step also the number of the random number to draw with */
  POINTER(int32_t) remaining;
  POINTER(int32_t) outcomes; /* DecodeOutcome: 0 goes on, 1 stopped, 2 reached its limit, 3 not a number; only rows that go on change */
  int64_t V, ld;
  float temperature, top_p;
  int32_t top_k, stop_count, window, width;
} nrc_sample_arguments;
