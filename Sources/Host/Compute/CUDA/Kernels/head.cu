/* head.cu - the loss head on rows of logits, forward and backward: the CPU's softmax.h, operation by operation. */
#include "device.cuh"
#include "head_arguments.h"
#include "softmax.cuh"

/* grid (rows, 1, 1), shared 2048 + 128 ceil(V / 1024) */
KERNEL(512, 2) log_softmax(nrc_log_softmax_arguments a) {
  SHARED(shared);
  i64 row = blockIdx.x;
  const float *logits = a.logits + row * a.ld;
  float top = normalise(shared, logits, a.V, a.factor);
  if (threadIdx.x) return;
  softmax_row r = row_of(shared, top);
  if (a.targets) a.log_prob[row] = row_log_prob(r, logits[a.targets[row]], a.factor);
  if (a.entropy) a.entropy[row] = row_entropy(r);
  if (a.log_z) a.log_z[row] = row_log_z(r);
}

/* Logits become their own derivative. grid (rows, ceil(V / 2048), 1), shared 0 */
KERNEL(256, 4) log_softmax_backward(nrc_log_softmax_backward_arguments a) {
  i64 row = blockIdx.x, first = (i64)blockIdx.y * 2048 + threadIdx.x, end = smaller(a.V, ((i64)blockIdx.y + 1) * 2048);
  float *x = a.logits + row * a.ld;
  i64 target = a.targets ? a.targets[row] : -1;
  float from_log_prob = a.targets && a.d_log_prob ? a.d_log_prob[row] : 0, from_entropy = a.d_entropy ? a.d_entropy[row] : 0;
  float scale = -from_log_prob * a.factor, scale_entropy = -from_entropy * a.factor, log_z = a.log_z[row];
  if (from_entropy == 0) { /* the common case, and it needs no entropy */
    for (i64 v = first; v < end; v += 256) {
      float y = scale * exponential(x[v] * a.factor - log_z);
      x[v] = v == target ? y + from_log_prob * a.factor : y;
    }
  } else {
    float entropy = a.entropy[row];
    for (i64 v = first; v < end; v += 256) {
      float log_p = x[v] * a.factor - log_z, p = exponential(log_p);
      log_p = log_p < -1e30f ? -1e30f : log_p;
      float y = p * fmaf(scale_entropy, log_p + entropy, scale);
      x[v] = v == target ? y + from_log_prob * a.factor : y;
    }
  }
}
