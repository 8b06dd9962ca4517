/* sampler.cu - one token from each row of logits, and the decode state moved on by it: the CPU's sampler.h and `advance` of its
   backend, operation by operation. One block of threads a row; the host is not asked for anything. */
#include "device.cuh"
#include "sampler_arguments.h"
#include "softmax.cuh"

/* The number in [0, 1) at a position of a stream: the 53 upper bits of two words of Philox 4x32-10. */
DEVICE double random_number(const int *stream, u64 position) {
  u32 key0 = (u32)stream[0], key1 = (u32)stream[1];
  u32 x = (u32)position, y = (u32)(position >> 32), z = (u32)stream[2], w = (u32)stream[3];
  for (int round = 0; round < 10; round++) {
    u64 first = 0xD2511F53ull * x, second = 0xCD9E8D57ull * z;
    x = (u32)(second >> 32) ^ y ^ key0, y = (u32)second;
    z = (u32)(first >> 32) ^ w ^ key1, w = (u32)first;
    key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
  }
  return (double)((x | (u64)y << 32) >> 11) * (1.0 / 9007199254740992.0);
}

/* The inverse temperature. Colder than 1e-20 the reciprocal, or a logit times it, overflows, and nothing is left to tell: all
   probability is the likeliest token's already. */
DEVICE float factor_of(float temperature) { return temperature > 0 ? 1.0f / (temperature < 1e-20f ? 1e-20f : temperature) : 1.0f; }

/* One thread: writes what was drawn and moves the row on. */
DEVICE void finish(const nrc_sample_arguments &a, i64 row, int token, float log_prob, float entropy) {
  a.tokens[row] = token, a.log_prob[row] = log_prob, a.entropy[row] = entropy;
  a.positions[row] += 1, a.own_positions[row] += 1, a.lengths[row] += 1;
  int remaining = a.remaining[row] - 1, outcome = remaining <= 0 ? 2 : 0;
  a.remaining[row] = remaining;
  for (int i = 0; i < a.stop_count; i++)
    if (a.stop_tokens[i] == token) outcome = 1;
  a.outcomes[row] = token < 0 ? 3 : outcome;
}

/* The smallest of the threads' values, for all of them. `work`: 544 words; the first 512 may be written again at once. */
DEVICE u32 smallest(u32 *work, u32 mine) {
  int t = (int)threadIdx.x;
  work[t] = mine;
  barrier();
  if (t < 32) {
    for (int i = 0; i < ROW_THREADS; i += 32) mine = work[i + t] < mine ? work[i + t] : mine;
    work[ROW_THREADS + t] = mine;
  }
  barrier();
  for (int i = 0; i < 32; i++) mine = work[ROW_THREADS + i] < mine ? work[ROW_THREADS + i] : mine;
  return mine;
}

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

/* ---- top-k and top-p: tokens most likely first --------------------------------------------------------- */

/* Tokens are told apart by bins of 1/32 below the maximum (the last bin takes the rest). The order inside a bin matters
   only where the kept set ends and where the drawn token lies, so only those bins are sorted. Tokens of the last bin whose
   probability is 0 add nothing but their count; they stand behind it as a bin of their own. */
enum { BINS = 2048, COLUMN = ROW_THREADS + 1 };
struct bins {
  double mass[BINS], weighted[BINS]; /* sums of exp(z - max), and of that times z - max, in index order */
  int start[BINS + 1], end[BINS + 1], wanted, unused;
};

DEVICE int bin_of(float d) { /* d = z - max */
  float below = -d * 32.0f;
  int bin = (int)(below < (float)(BINS - 1) ? below : (float)(BINS - 1));
  return bin == BINS - 1 && !(exponential(d) > 0) ? BINS : bin;
}
DEVICE int members_of(const bins *all, int bin) { return all->end[bin] - all->start[bin]; }
DEVICE i64 count_of(const bins *all, int bin) { return members_of(all, bin) + (bin == BINS - 1 ? members_of(all, BINS) : 0); }

/* A number that is the smaller the larger z is; both zeros have the same. */
DEVICE u32 rank_key(float z) {
  u32 bits = to_bits(z + 0.0f);
  return bits >> 31 ? bits : bits ^ 0x7fffffffu;
}

/* One pass of a stable sort of `count` indices, from(0), from(1), ..., into `to` by a digit of four bits. A thread has a run of them:
   it counts its digits, the counts are summed up digit by digit and within a digit run by run, and it places its run.
   `counters`: 16 * 513 words. */
template <class From, class Digit> DEVICE void sort_pass(u32 *counters, u32 *to, int count, From from, Digit digit_of) {
  int t = (int)threadIdx.x, run = (count + ROW_THREADS - 1) / ROW_THREADS;
  if (run < 16) run = 16;
  int begin = t * run, end = minimum(count, begin + run), runs = (count + run - 1) / run;
  u32 *mine = counters + t;
  if (begin < end)
    for (int digit = 0; digit < 16; digit++) mine[digit * COLUMN] = 0;
  for (int i = begin; i < end; i += 4) { /* four at a time, so that their loads are under way together */
    u32 digit[4];
#pragma unroll
    for (int j = 0; j < 4; j++) digit[j] = digit_of(from(minimum(i + j, end - 1)));
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (i + j < end) mine[digit[j] * COLUMN]++;
  }
  barrier();
  if (t < 16) {
    u32 *row = counters + t * COLUMN, running = 0;
    for (int i = 0; i < runs; i++) {
      u32 n = row[i];
      row[i] = running, running += n;
    }
    row[ROW_THREADS] = running;
  }
  barrier();
  if (begin < end) {
    u32 before = 0;
    for (int digit = 0; digit < 16; digit++) mine[digit * COLUMN] += before, before += counters[digit * COLUMN + ROW_THREADS];
  }
  for (int i = begin; i < end; i += 4) {
    u32 index[4], digit[4];
#pragma unroll
    for (int j = 0; j < 4; j++) index[j] = from(minimum(i + j, end - 1));
#pragma unroll
    for (int j = 0; j < 4; j++) digit[j] = digit_of(index[j]);
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (i + j < end) to[mine[digit[j] * COLUMN]++] = index[j];
  }
  barrier();
}

/* All tokens by bin, index ascending within a bin: `order` their indices, `spare` their z - max; and where each bin lies and its sums.
   A bin's sum is one chain, which one thread adds up. */
DEVICE void fill_bins(bins *all, u32 *counters, u32 *order, u32 *spare, const float *logits, int V, float factor, float top) {
  int t = (int)threadIdx.x;
  for (int bin = t; bin <= BINS; bin += ROW_THREADS) all->start[bin] = all->end[bin] = 0;
  for (int pass = 0; pass < 3; pass++)
    sort_pass(counters, pass == 1 ? spare : order, V, [=](int i) { return pass == 0 ? (u32)i : pass == 1 ? order[i] : spare[i]; },
              [=](u32 index) { return (u32)bin_of(logits[index] * factor - top) >> 4 * pass & 15; });
  for (int i = t; i < V; i += ROW_THREADS) spare[i] = to_bits(logits[order[i]] * factor - top);
  barrier();
  for (int i = t; i < V; i += ROW_THREADS) {
    int bin = bin_of(from_bits(spare[i])), before = i ? bin_of(from_bits(spare[i - 1])) : bin;
    if (i == 0 || bin != before) all->start[bin] = i;
    if (bin != before) all->end[before] = i;
    if (i == V - 1) all->end[bin] = V;
  }
  barrier();
  for (int bin = t; bin < BINS; bin += ROW_THREADS) {
    double mass = 0, weighted = 0;
    for (int i = all->start[bin], end = all->end[bin]; i < end; i++) {
      float d = from_bits(spare[i]), e = exponential(d), w = e * d;
      mass += (double)e, weighted += (double)w;
    }
    all->mass[bin] = mass, all->weighted[bin] = weighted;
  }
  barrier();
}

/* Puts the tokens of one bin in order, likeliest first and then by index: few by counting who stands before whom, many by sorting.
   `spare` then has their z - max in that order. */
DEVICE void sort_bin(u32 *work, u32 *order, u32 *spare, int count, const float *logits, float factor, float top) {
  int t = (int)threadIdx.x;
  if (count > ROW_THREADS) {
    u32 lowest = 0xffffffffu, highest = 0;
    for (int i = t; i < count; i += ROW_THREADS) {
      u32 key = rank_key(logits[order[i]] * factor);
      lowest = key < lowest ? key : lowest, highest = key > highest ? key : highest;
    }
    lowest = smallest(work, lowest);
    barrier();
    highest = ~smallest(work, ~highest);
    barrier();
    u32 *from = order, *to = spare;
    for (int shift = 0; shift < 32 && (highest - lowest) >> shift; shift += 4) {
      sort_pass(work, to, count, [=](int i) { return from[i]; },
                [=](u32 index) { return (rank_key(logits[index] * factor) - lowest) >> shift & 15; });
      u32 *swap = from;
      from = to, to = swap;
    }
    if (from == spare) {
      for (int i = t; i < count; i += ROW_THREADS) order[i] = spare[i];
      barrier();
    }
  } else if (count > 1) {
    u32 index = t < count ? order[t] : 0, key = t < count ? rank_key(logits[index] * factor) : 0;
    work[t] = key;
    barrier();
    if (t < count) {
      int rank = 0;
      for (int i = 0; i < count; i++) rank += work[i] < key || (work[i] == key && i < t);
      order[rank] = index;
    }
    barrier();
  }
  for (int i = t; i < count; i += ROW_THREADS) spare[i] = to_bits(logits[order[i]] * factor - top);
}

/* Draws from the tokens kept, most likely first: top_k first, then the smallest set whose probability reaches top_p. For temperature > 0
   and 0 < top_k < V or top_p < 1; V < 2^31. Scratch 8 V bytes a row.
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

  /* One thread decides, all sort the bin that it wants to see in order. The kept set: bins before `last` whole, then the first `part`
     tokens of that bin. */
  int last = 0, part = 0, bin = 0;
  double total = 0, weighted = 0, sum = 0, goal = 0, running = 0;
  bool by_count = a.top_k > 0 && a.top_k < V;
  for (int stage = 0; stage < 3; stage++) {
    if (t == 0) {
      int wanted = -1;
      if (stage == 0) { /* where top_k ends */
        if (by_count) {
          i64 members = 0;
          for (; members + count_of(all, last) < a.top_k; last++) members += count_of(all, last), total += all->mass[last];
          part = (int)smaller(a.top_k - members, members_of(all, last)), wanted = last;
        } else {
          for (last = BINS - 1; last > 0 && !count_of(all, last); last--) {}
          for (int b = 0; b <= last; b++) total += all->mass[b];
          part = members_of(all, last);
        }
      } else if (stage == 1) { /* in which bin top_p ends */
        const u32 *d = spare + all->start[last];
        for (int i = 0; i < part && by_count; i++) total += (double)exponential(from_bits(d[i]));
        int end = last;
        for (last = 0; last < end; last++) {
          if (a.top_p < 1 && sum + all->mass[last] >= (double)a.top_p * total) break;
          sum += all->mass[last], weighted += all->weighted[last];
        }
        if (last < end) part = members_of(all, last);
        if (last < end || !by_count) wanted = last;
      } else { /* and where in it; then the bin of the drawn token */
        const u32 *list = spare + all->start[last];
        for (int i = 0; i < part; i++) {
          float d = from_bits(list[i]);
          double e = (double)exponential(d);
          sum += e, weighted += e * (double)d;
          if (a.top_p < 1 && sum >= (double)a.top_p * total) part = i + 1;
        }
        goal = random_number(a.streams + 4 * row, (u64)(i64)a.lengths[row]) * sum;
        for (; bin < last && running + all->mass[bin] <= goal; bin++) running += all->mass[bin];
        if (bin < last) part = members_of(all, bin), wanted = bin;
      }
      all->wanted = wanted;
    }
    barrier();
    int wanted = all->wanted;
    if (wanted >= 0) {
      int start = all->start[wanted];
      sort_bin(work, order + start, spare + start, members_of(all, wanted), logits, factor, top);
    }
    barrier();
  }
  if (t) return;
  const u32 *list = spare + all->start[bin];
  int chosen = 0;
  for (int i = 0; i < part; i++) {
    chosen = i;
    running += (double)exponential(from_bits(list[i]));
    if (running > goal) break;
  }
  double log_sum = log(sum);
  finish(a, row, (int)order[all->start[bin] + chosen], (float)((double)from_bits(list[chosen]) - log_sum),
         (float)(log_sum - weighted / sum));
}
