/* sampler.cu - one token from each row of logits, and the decode state moved on by it: the CPU's sampler.h and `advance` of its
   backend, operation by operation. One block of threads a row; the host is not asked for anything. */
#include "device.cuh"
#include "sampler_arguments.h"
#include "sampler.cuh"

/* Temperature 0 takes the first of the largest logits. Otherwise the first token, in index order, at which the running sum passes u
   times the total: first by the running sums after every block of 1024, then by sixteen, then one by one. Where rounding makes a
   finer sum fall short of a coarser one, the last token that has any probability. For top_k outside 1..<V and top_p >= 1, or
   temperature 0.
   grid (rows, 1, 1), shared 6400 + 128 ceil(V / 1024) */
KERNEL(512, 2) sample(nrc_sample_arguments a) {
  SHARED(shared);
  i64 row = blockIdx.x;
  if (a.outcomes[row]) return;
  int t = (int)threadIdx.x, blocks = (int)((a.V + SOFTMAX_BLOCK - 1) / SOFTMAX_BLOCK);
  const float *logits = a.logits + row * a.ld;
  float factor = factor_of(a.temperature), top = normalise(shared, logits, a.V, factor);
  const float *running_lanes = lanes_of_sums(shared);
  float *e = (float *)shared + ROW_THREADS + 32 * blocks, *of_sixteen = e + SOFTMAX_BLOCK; /* with `smallest`'s 544 words in e */
  softmax_row r = row_of(shared, top);
  if (!(r.sum > 0)) { /* a NaN, an infinite logit, or nothing possible */
    if (t == 0) finish(a, row, -1, NAN, NAN);
    return;
  }
  int token = 0;
  if (!(a.temperature > 0)) {
    u32 found = (u32)(a.V - 1);
    for (i64 i = t; i < a.V; i += ROW_THREADS)
      if (logits[i] == top) {
        found = (u32)i;
        break;
      }
    token = (int)smallest((u32 *)e, found);
  } else {
    double goal = random_number(a.streams + 4 * row, (u64)(i64)a.lengths[row]) * (double)r.sum;
    u32 found = (u32)(blocks - 1);
    for (int b = t; b < blocks - 1; b += ROW_THREADS)
      if (!((double)sum_of_lanes(running_lanes + 16 * b) <= goal)) {
        found = (u32)b;
        break;
      }
    int block = (int)smallest((u32 *)e, found);
    i64 first = (i64)block * SOFTMAX_BLOCK;
    barrier();
    for (int k = t; k < SOFTMAX_BLOCK; k += ROW_THREADS) e[k] = first + k < a.V ? exponential(logits[first + k] * factor - top) : 0;
    barrier();
    if (t < 64) of_sixteen[t] = sum_of_lanes(e + 16 * t);
    barrier();
    if (t == 0) {
      double running = block > 0 ? (double)sum_of_lanes(running_lanes + 16 * (block - 1)) : 0;
      int last = -1, lane = 16;
      for (int k = 0; k < 64; k++) {
        float sum = of_sixteen[k];
        if (sum == 0) continue;
        last = k;
        if (running + (double)sum <= goal) {
          running += (double)sum;
          continue;
        }
        for (lane = 0; lane < 16; lane++) {
          float p = e[16 * k + lane];
          running += (double)p;
          if (p > 0 && running > goal) break;
        }
        break;
      }
      if (lane == 16 && last >= 0)
        while (!(e[16 * last + --lane] > 0)) {}
      token = last < 0 ? 0 : (int)first + 16 * last + lane;
    }
  }
  if (t == 0) finish(a, row, token, row_log_prob(r, logits[token], factor), row_entropy(r));
}

/* Draws from the tokens kept (draw_kept). Scratch 8 V bytes a row.
   grid (rows, 1, 1), shared 49168 + max(32832, 2048 + 128 ceil(V / 1024)) */
KERNEL(512, 1) sample_truncated(nrc_sample_arguments a) {
  SHARED(shared);
  i64 row = blockIdx.x;
  if (a.outcomes[row]) return;
  int t = (int)threadIdx.x, V = (int)a.V;
  const float *logits = a.logits + row * a.ld;
  u32 *order = (u32 *)a.scratch + 2 * row * a.V, *spare = order + V;
  bins *all = (bins *)shared;
  u32 *work = (u32 *)(all + 1);
  float factor = factor_of(a.temperature), top = normalise((u8 *)work, logits, V, factor);
  if (!(sum_of_lanes((float *)work) > 0)) {
    if (t == 0) finish(a, row, -1, NAN, NAN);
    return;
  }
  barrier();
  fill_bins(all, work, order, spare, logits, V, factor, top);

  kept_tokens kept = draw_kept(a, row, all, work, order, spare, logits, factor, top);
  if (t) return;
  double log_sum = log(kept.sum);
  finish(a, row, kept.token, (float)((double)kept.d - log_sum), (float)(log_sum - kept.weighted / kept.sum));
}
