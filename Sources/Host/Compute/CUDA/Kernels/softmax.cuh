/* softmax.cuh - the normalisation of one row of logits by one block of threads, for the loss head and the sampler, so that the
   sampler's log-probabilities are the head's. Bit for bit what `normalise` of the CPU's softmax.h gives. */
#pragma once
#include "device.cuh"

enum { ROW_THREADS = 512, SOFTMAX_BLOCK = 1024 };

struct softmax_row { float top, sum, log_sum, weighted; };

DEVICE float larger(float a, float b) { return a > b ? a : b; } /* b where either is NaN */

/* Shared memory: 512 floats, then for every block of 1024 logits the sixteen lanes of its sum, then those of its weighted sum:
   2048 + 128 ceil(V / 1024) bytes. */
DEVICE float *lanes_of_sums(u8 *shared) { return (float *)shared + ROW_THREADS; }

/* z = logits * factor. All threads of the block call this; it returns the maximum of z to all of them and leaves in shared memory
   the sixteen lanes of sum exp(z - max) in slots 0 to 15, those of sum exp(z - max) (z - max) in slots 16 to 31, and at
   lanes_of_sums the running lanes of the former after every block of logits. */
DEVICE float normalise(u8 *shared, const float *logits, i64 V, float factor) {
  float *slots = (float *)shared, *sums = lanes_of_sums(shared);
  int t = (int)threadIdx.x, blocks = (int)((V + SOFTMAX_BLOCK - 1) / SOFTMAX_BLOCK);

  /* The maximum: 64 chains by index modulo 64, each cut into eight runs, and the rest of the row goes on with the first sixteen.
     Runs and chains are joined in the CPU's order, which tells where a maximum of 0 has the sign of which zero. */
  i64 steps = V / 64, run = (steps + 7) / 8, begin = t / 64 * run, end = smaller(steps, begin + run);
  float top = -INFINITY;
  for (i64 k = begin; k < end; k++) top = larger(logits[k * 64 + t % 64] * factor, top);
  if (t >= 448 && t < 464)
    for (i64 i = steps * 64 + t - 448; i < V; i += 16) top = larger(logits[i] * factor, top);
  slots[t] = top;
  barrier();
  if (t < 16) {
    float chain[4];
#pragma unroll
    for (int u = 0; u < 4; u++) {
      chain[u] = slots[16 * u + t];
      for (int s = 1; s < 8; s++) chain[u] = larger(slots[64 * s + 16 * u + t], chain[u]);
    }
    slots[t] = larger(larger(chain[0], chain[1]), larger(chain[2], chain[3]));
  }
  barrier();
  float half[8];
#pragma unroll
  for (int i = 0; i < 8; i++) half[i] = larger(slots[i], slots[i + 8]);
  top = larger(larger(larger(half[0], half[4]), larger(half[2], half[6])), larger(larger(half[1], half[5]), larger(half[3], half[7])));

  /* A thread sums one lane of one block of logits, index ascending. */
  float *weighted = sums + 16 * blocks;
  for (int part = t; part < 16 * blocks; part += ROW_THREADS) {
    i64 last = smaller(V, ((i64)part / 16 + 1) * SOFTMAX_BLOCK);
    float sum = 0, sum_weighted = 0;
    for (i64 i = (i64)(part / 16) * SOFTMAX_BLOCK + part % 16; i < last; i += 16) {
      float d = logits[i] * factor - top, e = exponential(d);
      sum += e;
      sum_weighted = fmaf(e, d < -1e30f ? -1e30f : d, sum_weighted); /* 0 * -inf counts nothing */
    }
    sums[part] = sum, weighted[part] = sum_weighted;
  }
  barrier();
  if (t < 32) { /* lanes are added block by block */
    float *lane = (t < 16 ? sums : weighted) + t % 16, running = 0;
    for (int b = 0; b < blocks; b++) running += lane[16 * b], lane[16 * b] = running;
    slots[t] = running;
  }
  barrier();
  return top;
}

DEVICE softmax_row row_of(const u8 *shared, float top) {
  const float *slots = (const float *)shared;
  float sum = sum_of_lanes(slots);
  return softmax_row{top, sum, logf(sum), sum_of_lanes(slots + 16)};
}
DEVICE float row_log_z(softmax_row r) { return r.top + r.log_sum; }
/* At a temperature near 0 the largest logit takes the sum's logarithm into its last digit; there it is subtracted by itself. */
DEVICE float row_log_prob(softmax_row r, float logit, float factor) {
  return fabsf(r.top) > 16777216.0f ? (logit * factor - r.top) - r.log_sum : logit * factor - row_log_z(r);
}
/* log z - sum p z = log sum - sum p (z - max): without the cancellation of two large numbers */
DEVICE float row_entropy(softmax_row r) { return r.log_sum - r.weighted / r.sum; }
