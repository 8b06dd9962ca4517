/* optimizer.cu - AdamW and the gradient's norm over flat arrays: the CPU's optimiser.h, operation by operation. */
#include "device.cuh"
#include "optimizer_arguments.h"

/* grid (ceil(count / 1024), 1, 1), shared 0 */
KERNEL(256, 4) adamw(nrc_adamw_arguments a) {
  i64 first = (i64)blockIdx.x * 1024 + threadIdx.x, end = smaller(a.count, ((i64)blockIdx.x + 1) * 1024);
  for (i64 i = first; i < end; i += 256) {
    float g = a.gradient[i] * a.factor;
    float m = a.beta1 * a.m[i] + a.rest1 * g, v = a.beta2 * a.v[i] + a.rest2 * g * g;
    a.m[i] = m, a.v[i] = v;
    a.parameter[i] = a.parameter[i] * a.keep - a.rate * (m / (sqrtf(v) / a.root_c2 + a.epsilon));
  }
}

/* The sum of squares of every block in double: sixteen lanes by position modulo 16, added up in order. Sixteen threads a block of
   elements. grid (ceil(blocks / 16), 1, 1), shared 2048 */
KERNEL(256, 4) sum_squares_blocks(nrc_sum_squares_arguments a) {
  SHARED(shared);
  double *lanes = (double *)shared, sum = 0;
  int t = (int)threadIdx.x, lane = t % 16;
  i64 block = (i64)blockIdx.x * 16 + t / 16;
  if (block < a.blocks) {
    const float *x = a.x + a.starts[block];
    int count = a.counts[block];
    for (int i = lane; i < count; i += 16) {
      double y = x[i];
      sum += y * y;
    }
  }
  lanes[t] = sum;
  barrier();
  if (lane || block >= a.blocks) return;
  double total = 0;
  for (int i = 0; i < 16; i++) total += lanes[t + i];
  a.sums[block] = total;
}

/* Blocks are added in order to parts, and parts in order; no block gives 0. grid (1, 1, 1), shared 3072 */
KERNEL(256, 1) sum_squares_join(nrc_sum_squares_arguments a) {
  SHARED(shared);
  double *sums = (double *)shared, total = 0, of_part = 0;
  int *parts = (int *)(sums + 256), t = (int)threadIdx.x, part = 0;
  for (i64 base = 0; base < a.blocks; base += 256) {
    int count = (int)smaller(256, a.blocks - base);
    if (t < count) sums[t] = a.sums[base + t], parts[t] = a.parts[base + t];
    barrier();
    if (t == 0)
      for (int i = 0; i < count; i++) {
        if (parts[i] != part) total += of_part, of_part = 0, part = parts[i];
        of_part += sums[i];
      }
    barrier();
  }
  if (t == 0) *a.result = total + of_part;
}
