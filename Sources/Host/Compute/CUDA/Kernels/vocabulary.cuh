/* vocabulary.cuh - a row of logits as the sums of its tiles: how they are joined, by the loss head and by the sampler alike, so that the
   sampler's log-probabilities are the head's, bit for bit.

   z = logit * inverse temperature. Of one row in one tile of 128 columns, in float32:
     top       the largest z, NaN not counted; never -0
     sum       of e(z) = exp(z - top); where top is -inf: of exp(z)
     weighted  of e(z) max(z - top, -105); below -105, e is 0
   The order of a sum: columns 32 g + 8 j + 2 t + {0, 1} are lane t (0 to 3) of group g (0 to 3); a lane adds its eight from 0, j ascending,
   the weighted ones by fused multiply-adds; a group is (lane 0 + lane 1) + (lane 2 + lane 3); the tile is group 0 + 1 + 2 + 3, ascending.
   Columns past V are e = 0. A NaN among the logits, or +inf, makes both sums NaN.

   Of a row: top is the largest of the tiles'. With d = m - top, m its own top, a tile counts sum exp(d) and
   (weighted + sum max(d, -1e30)) exp(d), the addition fused. Tiles 32 h to 32 h + 31 are a run, those past the end count 0: i and i + 16
   are added, then + 8, + 4, + 2, + 1. Runs are added from 0, ascending. */
#pragma once
#include "device.cuh"
#include "vocabulary_arguments.h"
#include "softmax.cuh"

enum { JOIN_RUN = 32, JOIN_SLOTS = 32 };

/* What a tile counts in its row's sum. */
DEVICE float share_of(nrc_tile_sums tile, float top) { return tile.sum * exponential(tile.top - top); }

DEVICE nrc_tile_sums tile_of(const nrc_tile_sums *sums, i64 i) {
  float4 v = *(const float4 *)(sums + i);
  return nrc_tile_sums{v.x, v.y, v.z, v.w};
}

/* The running sums after every run. */
DEVICE float *running_of(u8 *shared) { return (float *)shared + JOIN_SLOTS; }

/* All threads of the block (a multiple of 32, at most 1024) call this, and all get the row. Shared memory: 32 floats, the running sums
   after every run, which are left for the caller, and the runs' weighted sums: 128 + 8 ceil(tiles / 32) bytes. */
template <int THREADS> DEVICE softmax_row join(u8 *shared, const nrc_tile_sums *sums, int tiles) {
  float *slots = (float *)shared, *running = running_of(shared);
  int t = (int)threadIdx.x, warp = t >> 5, lane = t & 31, runs = (tiles + JOIN_RUN - 1) / JOIN_RUN;
  float *weighted = running + runs;

  float top = -INFINITY; /* tops are never NaN, so their order does not matter */
  for (int i = t; i < tiles; i += THREADS) top = larger(sums[i].top, top);
#pragma unroll
  for (int mask = 16; mask; mask >>= 1) top = larger(shuffle_xor(top, mask), top);
  if (lane == 0) slots[warp] = top;
  barrier();
  for (int i = 0; i < THREADS / 32; i++) top = larger(slots[i], top);

  for (int run = warp; run < runs; run += THREADS / 32) {
    int i = run * JOIN_RUN + lane;
    float sum = 0, sum_weighted = 0;
    if (i < tiles) {
      nrc_tile_sums tile = tile_of(sums, i);
      float d = tile.top - top;
      sum = share_of(tile, top);
      sum_weighted = fmaf(tile.sum, d < -1e30f ? -1e30f : d, tile.weighted) * exponential(d);
    }
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) sum += shuffle_xor(sum, mask), sum_weighted += shuffle_xor(sum_weighted, mask);
    if (lane == 0) running[run] = sum, weighted[run] = sum_weighted;
  }
  barrier();
  if (t == 0) {
    float sum = 0, sum_weighted = 0;
    for (int run = 0; run < runs; run++) sum += running[run], running[run] = sum, sum_weighted += weighted[run];
    weighted[0] = sum_weighted;
  }
  barrier();
  float sum = running[runs - 1];
  return softmax_row{top, sum, logf(sum), weighted[0]};
}
