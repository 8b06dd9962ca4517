/* head_arguments.h - the loss head's arguments. */
#pragma once
#include "arguments.h"

/* V logits a row, rows `ld` apart; the number of rows is the grid's. `factor` is the inverse temperature. */
typedef struct nrc_log_softmax_arguments {
  POINTER(const float) logits;
  POINTER(const int32_t) targets; /* may be null; log_prob is then not written */
  POINTER(float) log_prob;
  POINTER(float) entropy; /* may be null */
  POINTER(float) log_z; /* may be null */
  int64_t V, ld;
  float factor;
  uint32_t unused;
} nrc_log_softmax_arguments;

typedef struct nrc_log_softmax_backward_arguments {
  POINTER(float) logits;
  POINTER(const int32_t) targets; /* may be null */
  POINTER(const float) log_z;
  POINTER(const float) entropy; /* read only where d_entropy is not 0 */
  POINTER(const float) d_log_prob; /* may be null */
  POINTER(const float) d_entropy; /* may be null */
  int64_t V, ld;
  float factor;
  uint32_t unused;
} nrc_log_softmax_backward_arguments;
