/* sampler_tiles.cu - the sampler on logits whose tiles are summed up already (vocabulary.cuh): one token from each row, and the decode
   state moved on by it, as sampler.cu does it. The log-probability and the entropy are those of the whole distribution at the temperature,
   which vocabulary_join gives for that token, bit for bit (at temperature 0, those at temperature 1); where tokens are left out, those of
   what is kept. One block of threads a row. */
#include "device.cuh"
#include "vocabulary_arguments.h"
#include "vocabulary.cuh"
#include "sampler.cuh"

/* Temperature 0 takes the first of the largest logits. Otherwise, in index order, the first token at which the running sum passes u times
   the row's sum. The run of tiles: the first whose running sum, which the join made, passes. The tile: to the running sum before the run is
   added what each of its tiles counts, in double precision. The token: to the running sum before the tile is added exp(z - m) exp(m - top),
   in double precision, m the tile's top. Where rounding makes a finer sum fall short of a coarser one, the last tile that has any
   probability, and in it the last token that has. For top_k outside 1..<V and top_p >= 1, or temperature 0.
   grid (rows, 1, 1), shared 2304 + 8 ceil(ceil(V / 128) / 32) */
KERNEL(512, 2) draw(nrc_draw_arguments a) {
  SHARED(shared);
  i64 row = blockIdx.x;
  if (a.outcomes[row]) return;
  int t = (int)threadIdx.x, tiles = (int)((a.V + NRC_VOCABULARY_TILE - 1) / NRC_VOCABULARY_TILE);
  int runs = (tiles + JOIN_RUN - 1) / JOIN_RUN;
  const float *logits = a.logits + row * a.ld;
  const nrc_tile_sums *sums = a.sums + row * tiles;
  float factor = factor_of(a.temperature);
  softmax_row r = join<ROW_THREADS>(shared, sums, tiles);
  const float *running_sums = running_of(shared);
  u32 *work = (u32 *)(running_of(shared) + 2 * runs); /* 544 words */
  if (!(r.sum > 0)) { /* a NaN, an infinite logit, or nothing possible */
    if (t == 0) finish(a, row, -1, NAN, NAN);
    return;
  }
  int token = 0;
  if (!(a.temperature > 0)) {
    u32 found = (u32)(tiles - 1);
    for (int i = t; i < tiles; i += ROW_THREADS)
      if (sums[i].top == r.top) {
        found = (u32)i;
        break;
      }
    i64 first = (i64)smallest(work, found) * NRC_VOCABULARY_TILE;
    found = (u32)smaller(NRC_VOCABULARY_TILE, a.V - first) - 1;
    if ((u32)t < found && logits[first + t] == r.top) found = (u32)t;
    token = (int)(first + smallest(work, found));
  } else {
    double goal = random_number(a.streams + 4 * row, (u64)(i64)a.lengths[row]) * (double)r.sum, running = 0;
    u32 found = (u32)(runs - 1);
    for (int i = t; i < runs - 1; i += ROW_THREADS)
      if (!((double)running_sums[i] <= goal)) {
        found = (u32)i;
        break;
      }
    int run = (int)smallest(work, found), tile = run * JOIN_RUN;
    float *shares = (float *)work, *e = shares + JOIN_RUN;
    if (t < JOIN_RUN) shares[t] = tile + t < tiles ? share_of(tile_of(sums, tile + t), r.top) : 0;
    barrier();
    if (t == 0) {
      int last = 0;
      bool passes = false;
      running = run > 0 ? (double)running_sums[run - 1] : 0;
      for (int k = 0; k < JOIN_RUN && !passes; k++) {
        if (!(shares[k] > 0)) continue;
        last = k, passes = running + (double)shares[k] > goal;
        if (!passes) running += (double)shares[k];
      }
      if (!passes) goal = INFINITY;
      work[ROW_THREADS] = (u32)last;
    }
    barrier();
    tile += (int)work[ROW_THREADS];
    i64 first = (i64)tile * NRC_VOCABULARY_TILE;
    float top = sums[tile].top;
    if (t < NRC_VOCABULARY_TILE) e[t] = first + t < a.V ? exponential(logits[first + t] * factor - top) : 0;
    barrier();
    if (t == 0) {
      double scale = (double)exponential(top - r.top);
      int last = 0;
      for (int k = 0; k < NRC_VOCABULARY_TILE; k++) {
        if (!(e[k] > 0)) continue;
        last = k, running += (double)e[k] * scale;
        if (running > goal) break;
      }
      token = (int)first + last;
    }
  }
  if (t == 0) finish(a, row, token, row_log_prob(r, logits[token], factor), row_entropy(r));
}

/* Draws from the tokens kept (draw_kept). Scratch 8 V bytes a row. grid (rows, 1, 1), shared 82000 */
KERNEL(512, 1) draw_truncated(nrc_draw_arguments a) {
  SHARED(shared);
  i64 row = blockIdx.x;
  if (a.outcomes[row]) return;
  int t = (int)threadIdx.x, V = (int)a.V, tiles = (V + NRC_VOCABULARY_TILE - 1) / NRC_VOCABULARY_TILE;
  const float *logits = a.logits + row * a.ld;
  u32 *order = (u32 *)a.scratch + 2 * row * a.V, *spare = order + V;
  bins *all = (bins *)shared;
  u32 *work = (u32 *)(all + 1);
  float factor = factor_of(a.temperature);
  softmax_row r = join<ROW_THREADS>((u8 *)work, a.sums + row * tiles, tiles);
  if (!(r.sum > 0)) {
    if (t == 0) finish(a, row, -1, NAN, NAN);
    return;
  }
  barrier();
  fill_bins(all, work, order, spare, logits, V, factor, r.top);
  kept_tokens kept = draw_kept(a, row, all, work, order, spare, logits, factor, r.top);
  if (t) return;
  double log_sum = log(kept.sum);
  finish(a, row, kept.token, (float)((double)kept.d - log_sum), (float)(log_sum - kept.weighted / kept.sum));
}
