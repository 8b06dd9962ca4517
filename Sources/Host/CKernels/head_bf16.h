/* head_bf16.h - the loss head from hidden states, forward and backward, and the sampler, in bfloat16.

   z[v] = hidden . W[v, :], the chain of nrk_products (gemm_bf16.h); x = z * inverse temperature. Logits exist for the rows of a task and
   512 words at a time. The vocabulary is cut into tiles of 128 words, groups of 512, and at most 16 parts, all of the same whole number of
   groups but the last; V alone says where. All of it without numbers below the normal ones.

   Of a tile: top, the largest x, NaN not counted; sum of e(x) = exp(x - top); weighted, the sum of e(x) max(x - top, -1e30), fused. Where
   top is -inf, of exp(x). Sums run over 16 lanes by index modulo 16, ascending, which sum_lanes joins. A NaN, or +inf, makes both sums NaN.
   Tiles are joined to a part, then parts to the row: top is the largest of theirs; with d = its own top - top (where top is -inf: - 0), one
   counts sum exp(d) and (weighted + sum max(d, -1e30)) exp(d), the addition fused, over 16 lanes as above. From the row's sums follow
   log_z, log_prob and entropy (distribution.h). A row of -inf has sum 0: log_z -inf, the others NaN.

   The mean: within a part, group by group, top is the largest x so far. Weights exp(x - top) are rounded to bfloat16; times W, as a chain
   over the words of the group, they are added to the part's accumulator, their sum (16 lanes) to its norm, once both have been multiplied
   by exp(old top - top) where top rose. Parts are joined in order, A = A exp(A's top - top) + part exp(part's top - top), the last
   addition fused, the norm alike; the mean is A / norm. The norm is the sum of the rounded weights: then the mean is one of rows of W with
   weights that sum to 1, and what rounding displaces counts by W[v] - mean, not by W[v].

   The gradient: dz[v] of x as nrk_log_softmax_backward has it, rounded to bfloat16. d_hidden: a part is the sum of its groups' chains dz W,
   in order; parts are added in order. dw: chains over runs of 512 rows, added in order. */
enum {
  HEAD_TILE = 128,
  HEAD_GROUP = 512,
  HEAD_PARTS = 16,
  HEAD_LD = HEAD_GROUP + 16, /* of a task's logits: rows a power of two apart would meet in few sets of a cache */
  HEAD_ROOM = 224 * 1024,    /* words of a task's rows that leave room for weights in a second-level cache of 1 MB */
  HEAD_FEWEST = 56,          /* rows for which it pays to turn weights */
};

/* ---- a row's sums ----------------------------------------------------------------------------------------- */

typedef struct head_sum { float top, sum, weighted; } head_sum;

/* What is subtracted from x: nothing is left to subtract where all x are -inf. */
NRK_INLINE float head_shift(float top) { return top == -INFINITY ? 0 : top; }

/* Sixteen x from z + i on; -inf past the last word. */
NRK_INLINE v16 scaled_words(const float *z, int64_t i, int64_t words, v16 factor, const int is_whole) {
  return is_whole ? load(z + i) * factor : load_scaled(z + i, words - i, factor);
}

/* The tiles of a group, into the rows of sums [3][ld]; the largest x. The maxima come first, so that the exponentials of all tiles run side
   by side. */
NRK_INLINE float sum_up_words(const float *z, const int64_t words, v16 factor, float *sums, int64_t ld, const int is_whole) {
  float group_top = -INFINITY;
  for (int64_t v = 0, t = 0; v < words; v += HEAD_TILE, t++) {
    int64_t end = is_whole ? v + HEAD_TILE : nrk_min(words, v + HEAD_TILE);
    v16 highest = splat(-INFINITY);
    for (int64_t i = v; i < end; i += 16) highest = max16(scaled_words(z, i, words, factor, is_whole), highest);
    sums[t] = max_lanes(highest);
    group_top = sums[t] > group_top ? sums[t] : group_top;
  }
  for (int64_t v = 0, t = 0; v < words; v += HEAD_TILE, t++) {
    int64_t end = is_whole ? v + HEAD_TILE : nrk_min(words, v + HEAD_TILE);
    v16 shift = splat(head_shift(sums[t])), sum = splat(0), weighted = splat(0);
#pragma clang loop unroll_count(4)
    for (int64_t i = v; i < end; i += 16) {
      v16 d = scaled_words(z, i, words, factor, is_whole) - shift, e = exp16(d);
      sum += e;
      weighted = fma16(e, d < splat(-1e30f) ? splat(-1e30f) : d, weighted); /* 0 * -inf counts nothing */
    }
    sums[ld + t] = sum_lanes(sum), sums[2 * ld + t] = sum_lanes(weighted);
  }
  return group_top;
}
static float sum_up_group(const float *z, int64_t words, v16 factor, float *sums, int64_t ld) {
  return words == HEAD_GROUP ? sum_up_words(z, HEAD_GROUP, factor, sums, ld, 1) : sum_up_words(z, words, factor, sums, ld, 0);
}

/* The first n of sixteen lanes that can all be read; the others are `fill`. */
NRK_INLINE v16 load_lanes(const float *p, int64_t n, float fill) {
  const i16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return lane < (i16)((int32_t)n) ? load(p) : splat(fill);
}

/* Sums of `count` tiles or parts as one; room for a multiple of 16. */
static head_sum head_join(const float *tops, const float *sums, const float *weighted, int64_t count) {
  v16 highest = splat(-INFINITY), sum = splat(0), both = splat(0);
  for (int64_t i = 0; i < count; i += 16) highest = max16(load_lanes(tops + i, count - i, -INFINITY), highest);
  float top = max_lanes(highest);
  v16 shift = splat(head_shift(top));
  for (int64_t i = 0; i < count; i += 16) {
    v16 d = load_lanes(tops + i, count - i, -INFINITY) - shift, e = exp16(d), s = load_lanes(sums + i, count - i, 0);
    sum += s * e;
    both += fma16(s, d < splat(-1e30f) ? splat(-1e30f) : d, load_lanes(weighted + i, count - i, 0)) * e;
  }
  return (head_sum){top, sum_lanes(sum), sum_lanes(both)};
}

/* Of a row: its parts, the target's logit, and the top and norm of what is joined of the mean. */
typedef struct head_row {
  float top[HEAD_PARTS], sum[HEAD_PARTS], weighted[HEAD_PARTS], norm[HEAD_PARTS];
  float logit, mean_top, mean_norm;
} head_row;
enum { HEAD_ROW = sizeof(head_row) / sizeof(float) };

static softmax_row head_softmax(const head_row *row, int64_t parts) {
  head_sum r = head_join(row->top, row->sum, row->weighted, parts);
  return (softmax_row){r.top, r.sum, logf(r.sum), r.weighted};
}

/* ---- how the work is cut ---------------------------------------------------------------------------------- */

/* A task is some rows and all parts, or one part where rows are few (`is_cut`). */
typedef struct head_cut {
  int64_t rows, row_chunks, words, parts; /* words: of a part */
  int is_cut;
} head_cut;

NRK_INLINE int64_t head_part_words(int64_t V) { return nrk_ceil(nrk_ceil(V, HEAD_GROUP), HEAD_PARTS) * HEAD_GROUP; }

/* - has_sums: a row has an accumulator beside its logits. */
static head_cut cut_head(nrk_pool *pool, int64_t n, int64_t V, int64_t D, int has_sums) {
  int64_t threads = nrk_pool_threads(pool);
  int64_t row = nrk_ceil(D, 2) * DOT_WORDS + HEAD_LD + (has_sums ? D + HEAD_GROUP / 2 * DOT_WORDS : 0);
  int64_t most = nrk_max(HEAD_FEWEST, HEAD_ROOM / row) / NRK_DOT_ROWS * NRK_DOT_ROWS;
  head_cut cut = {.words = head_part_words(V), .parts = nrk_ceil(V, head_part_words(V)), .row_chunks = nrk_ceil(n, most)};
  if (threads > 1 && n >= HEAD_FEWEST * threads) cut.row_chunks = nrk_round(cut.row_chunks, threads);
  else if (threads > 1) {
    cut.is_cut = cut.parts > 1;
    cut.row_chunks = nrk_max(cut.row_chunks, nrk_min(nrk_ceil(n, NRK_DOT_ROWS), nrk_ceil(4 * threads, cut.parts)));
  }
  cut.rows = nrk_ceil(n, cut.row_chunks);
  cut.row_chunks = nrk_ceil(n, cut.rows);
  return cut;
}
NRK_INLINE int64_t head_tasks(const head_cut *cut) { return cut->row_chunks * (cut->is_cut ? cut->parts : 1); }
/* The cost of logits, in vector operations. */
NRK_INLINE int64_t head_cost(int64_t n, int64_t V, int64_t D) { return n * nrk_ceil(V, 16) * (D / (2 * DOT_WORDS) + 40); }

/* ---- products --------------------------------------------------------------------------------------------- */

/* Hidden states are staged chunk after chunk. */
NRK_INLINE int64_t hidden_floats(int64_t rows, int64_t D) { return nrk_ceil(D, DOT_CHUNK) * stage_floats(rows, nrk_min(D, DOT_CHUNK)); }
static void stage_hidden(float *stage, int64_t rows, const nrk_bf16 *hidden, int64_t ldh, int64_t D) {
  for (int64_t k = 0; k < D; k += DOT_CHUNK, stage += stage_floats(rows, DOT_CHUNK)) {
    dot_rows r = rows_of((uint32_t *)stage, rows, nrk_min(DOT_CHUNK, D - k));
    stage_rows_of(&r, hidden + k, 0, ldh);
  }
}

/* z [rows, HEAD_LD]: logits of words first ..< first + words; `first` is a multiple of 16. */
static void form_logits(float *z, const float *stage, int64_t rows, int64_t D, const uint32_t *panels, int64_t first, int64_t words) {
  int64_t panel = pair_panel_words(D), group = group_width(rows) * 16;
  for (int64_t k = 0; k < D; k += DOT_CHUNK, stage += stage_floats(rows, DOT_CHUNK)) {
    dot_rows r = rows_of((uint32_t *)stage, rows, nrk_min(DOT_CHUNK, D - k));
    for (int64_t v = 0; v < words; v += group) {
      const uint32_t *b = panels + (first + v) / 16 * panel + k / 2 * 16;
      dot_group(&r, DOT_PAIRS, b, NULL, panel, nrk_min(group, words - v), z + v, HEAD_LD, k > 0 ? DOT_ADD : DOT_SET, 1);
    }
  }
}

/* sums [rows, D], lds apart: set to, or added, weights [rows, words] W[first ..< first + words, :]. */
static void weigh_words(float *sums, int64_t lds, const nrk_bf16 *weights, int64_t ld, int64_t rows, int64_t D, const uint32_t *panels,
                        int64_t first, int64_t words, float *stage, float *room, dot_start start) {
  int64_t panel = pair_panel_words(D), group = group_width(rows) * 16, height = HEAD_GROUP / 2;
  dot_rows r = rows_of((uint32_t *)stage, rows, words);
  stage_rows_of(&r, weights, 0, ld);
  for (int64_t k = 0; k < D; k += group) {
    int64_t columns = nrk_min(group, D - k);
    turn_pairs((uint32_t *)room, height, panels + first / 16 * panel, panel, words, k, columns);
    dot_group(&r, DOT_PAIRS, (uint32_t *)room, NULL, height * 16, columns, sums + k, lds, start, 0);
  }
}

/* ---- tasks ------------------------------------------------------------------------------------------------ */

typedef struct head_job {
  nrk_pool *pool;
  int64_t n, V, D, ldh, ldm;
  const nrk_bf16 *hidden;
  const uint32_t *panels;
  float factor;
  const int32_t *targets;
  float *log_prob, *entropy, *log_z;
  float *mean; /* or d_hidden, with ldm */
  const float *log_zs, *entropies, *d_log_prob, *d_entropy, *means;
  int64_t ldmeans;
  float *dw;
  int64_t lddw, words; /* of a task of dw */
  int is_backward;
  head_cut cut;
  /* Where the work is cut along the words: what tasks leave. [n], and accumulators [n][parts][wide]. */
  head_row *rows;
  float *shares;
  int64_t wide;
} head_job;

/* A row's logits of a group become weights of the mean, in their place: returns what the accumulator is to be multiplied by.
   - highest, norm: of the part so far; a first group sets them. */
static float mean_weights(float *z, int64_t words, v16 factor, float group_top, int is_first, float *highest, float *norm) {
  float old = *highest, top = is_first || group_top > old ? group_top : old;
  v16 shift = splat(head_shift(top)), sum = splat(0);
  for (int64_t i = 0; i < words; i += 16) {
    h16 halves = round_halves(exp16(load_scaled(z + i, words - i, factor) - shift));
    __builtin_memcpy((nrk_bf16 *)z + i, &halves, sizeof halves);
    sum += (v16)(__builtin_convertvector(halves, u16) << 16);
  }
  float scale = is_first || top == old ? 1 : exp_of(old - head_shift(top));
  *norm = is_first ? sum_lanes(sum) : *norm * scale + sum_lanes(sum);
  *highest = top;
  return scale;
}

/* dz, before it is rounded, of sixteen logits but for the target's own term. */
typedef struct head_slopes {
  float from_log_prob, from_entropy, log_z, entropy, factor;
} head_slopes;
NRK_INLINE v16 slopes_of(const head_slopes *s, v16 z) {
  v16 log_p = z * splat(s->factor) - splat(s->log_z), p = exp16(log_p), a = splat(-s->from_log_prob * s->factor);
  if (s->from_entropy == 0) return a * p;
  log_p = log_p < splat(-1e30f) ? splat(-1e30f) : log_p;
  return p * fma16(splat(-s->from_entropy * s->factor), log_p + splat(s->entropy), a);
}

/* A row's logits of some words become their derivatives. */
static void gradients_of(const head_job *j, float *z, int64_t row, int64_t first, int64_t words) {
  head_slopes s = {.log_z = j->log_zs[row], .factor = j->factor};
  if (j->targets && j->d_log_prob) s.from_log_prob = j->d_log_prob[row];
  if (j->d_entropy) s.from_entropy = j->d_entropy[row];
  if (s.from_entropy != 0) s.entropy = j->entropies[row];
  int64_t target = j->targets ? j->targets[row] - first : -1;
  int has_target = target >= 0 && target < words;
  float logit = has_target ? z[target] : 0;
  nrk_bf16 *halves = (nrk_bf16 *)z;
  for (int64_t i = 0; i < words; i += 16) store_halves(halves + i, slopes_of(&s, load_part(z + i, words - i, 0)), 16);
  if (has_target) store_halves(halves + target, slopes_of(&s, splat(logit)) + splat(s.from_log_prob * s.factor), 1);
}

/* Part p of the row's mean, or gradient, joined to those before it. */
static void join_head_part(const head_job *j, int64_t i, head_row *row, int64_t p, const float *share) {
  float *to = j->mean + i * j->ldm;
  if (j->is_backward) {
    for (int64_t k = 0; k < j->D; k += 16) {
      v16 part = load_part(share + k, j->D - k, 0);
      store_part(to + k, p > 0 ? load_part(to + k, j->D - k, 0) + part : part, j->D - k);
    }
    return;
  }
  float old = row->mean_top, top = p == 0 || row->top[p] > old ? row->top[p] : old;
  float kept = p == 0 ? 0 : exp_of(old - head_shift(top)), counts = exp_of(row->top[p] - head_shift(top));
  row->mean_norm = p == 0 ? row->norm[p] : fma16(splat(row->norm[p]), splat(counts), splat(row->mean_norm) * splat(kept))[0];
  row->mean_top = top;
  v16 norm = splat(row->mean_norm);
  for (int64_t k = 0; k < j->D; k += 16) {
    v16 sum = load_part(share + k, j->D - k, 0);
    if (p > 0) sum = fma16(sum, splat(counts), load_part(to + k, j->D - k, 0) * splat(kept));
    store_part(to + k, p == j->cut.parts - 1 ? sum / norm : sum, j->D - k);
  }
}

static void finish_head_row(const head_job *j, int64_t i, const head_row *row) {
  softmax_row r = head_softmax(row, j->cut.parts);
  if (j->targets) j->log_prob[i] = row_log_prob(r, row->logit, j->factor);
  if (j->entropy) j->entropy[i] = row_entropy(r);
  if (j->log_z) j->log_z[i] = row_log_z(r);
}

static __attribute__((noinline)) void head_part(const head_job *j, int64_t index, int32_t worker) {
  const head_cut *cut = &j->cut;
  int64_t i = index % cut->row_chunks * cut->rows, rows = nrk_min(cut->rows, j->n - i), D = j->D;
  int64_t p = index / cut->row_chunks, end = cut->is_cut ? p + 1 : cut->parts, tiles = nrk_round(cut->words / HEAD_TILE, 16);
  int64_t hidden = hidden_floats(rows, D), has_sums = j->mean != NULL;
  int64_t staged = has_sums ? stage_floats(rows, HEAD_GROUP) : 0, room = has_sums ? group_width(rows) * HEAD_GROUP / 2 * 16 : 0;
  int64_t left = cut->is_cut ? 0 : j->wide + HEAD_ROW; /* of a row, what lies in the job where the work is cut along the words */
  float *scratch = nrk_scratch(j->pool, worker, hidden + staged + room + rows * (HEAD_LD + 3 * tiles + left));
  float *weights = scratch + hidden, *turned = weights + staged, *z = turned + room, *sums = z + rows * HEAD_LD;
  float *shares = cut->is_cut ? j->shares + (i * cut->parts + p) * j->wide : sums + rows * 3 * tiles;
  int64_t lds = cut->is_cut ? cut->parts * j->wide : j->wide;
  head_row *row = cut->is_cut ? j->rows + i : (head_row *)(shares + rows * lds);
  v16 factor = splat(j->factor);
  stage_hidden(scratch, rows, j->hidden + i * j->ldh, j->ldh, D);
  for (; p < end; p++) {
    int64_t start = p * cut->words, stop = nrk_min(j->V, start + cut->words);
    for (int64_t first = start; first < stop; first += HEAD_GROUP) {
      int64_t words = nrk_min(HEAD_GROUP, stop - first);
      form_logits(z, scratch, rows, D, j->panels, first, words);
      for (int64_t r = 0; r < rows; r++) {
        float *logits = z + r * HEAD_LD;
        if (j->is_backward) {
          gradients_of(j, logits, i + r, first, words);
          continue;
        }
        float group_top = sum_up_group(logits, words, factor, sums + r * 3 * tiles + (first - start) / HEAD_TILE, tiles);
        int64_t target = j->targets ? j->targets[i + r] - first : -1;
        if (target >= 0 && target < words) row[r].logit = logits[target];
        if (!has_sums) continue;
        float scale = mean_weights(logits, words, factor, group_top, first == start, &row[r].top[p], &row[r].norm[p]);
        if (scale == 1) continue;
        for (int64_t k = 0; k < D; k += 16) store(shares + r * lds + k, load(shares + r * lds + k) * splat(scale));
      }
      if (has_sums)
        weigh_words(shares, lds, (const nrk_bf16 *)z, 2 * HEAD_LD, rows, D, j->panels, first, words, weights, turned,
                    first > start ? DOT_ADD : DOT_SET);
    }
    for (int64_t r = 0; r < rows; r++) {
      const float *tops = sums + r * 3 * tiles;
      if (!j->is_backward) {
        head_sum part = head_join(tops, tops + tiles, tops + 2 * tiles, nrk_ceil(stop - start, HEAD_TILE));
        row[r].top[p] = part.top, row[r].sum[p] = part.sum, row[r].weighted[p] = part.weighted;
      }
      if (has_sums && !cut->is_cut) join_head_part(j, i + r, row + r, p, shares + r * lds);
    }
  }
  for (int64_t r = 0; r < rows && !j->is_backward && !cut->is_cut; r++) finish_head_row(j, i + r, row + r);
}
static void head_task(void *context, int64_t index, int32_t worker) {
  uint64_t old = dot_begin();
  head_part(context, index, worker);
  dot_end(old);
}

/* A row of which tasks have left the parts. */
static void head_join_task(void *context, int64_t i, int32_t worker) {
  const head_job *j = context;
  uint64_t old = dot_begin();
  (void)worker;
  for (int64_t p = 0; p < j->cut.parts && j->mean; p++) join_head_part(j, i, j->rows + i, p, j->shares + (i * j->cut.parts + p) * j->wide);
  if (!j->is_backward) finish_head_row(j, i, j->rows + i);
  dot_end(old);
}

static void run_head(head_job *job) {
  int has_sums = job->mean != NULL;
  job->cut = cut_head(job->pool, job->n, job->V, job->D, has_sums);
  job->wide = has_sums ? nrk_round(job->D, 16) + 16 : 0;
  float *left = NULL;
  if (job->cut.is_cut) {
    int64_t shares = job->n * job->cut.parts * job->wide;
    left = nrk_allocate(shares + job->n * HEAD_ROW);
    job->shares = left, job->rows = (head_row *)(left + shares);
  }
  nrk_share(job->pool, head_cost(job->n, job->V, job->D) * (has_sums ? 2 : 1), head_tasks(&job->cut), head_task, job);
  if (!left) return;
  nrk_share(job->pool, job->n * job->cut.parts * (job->wide / 8 + 8), job->n, head_join_task, job);
  free(left);
}

static void head_bf16(nrk_pool *pool, int64_t n, int64_t V, int64_t D, const nrk_bf16 *hidden, int64_t ldh, const void *panels,
                      float inverse_temperature, const int32_t *targets, float *log_prob, float *entropy, float *log_z, float *mean,
                      int64_t ldm) {
  head_job job = {.pool = pool, .n = n, .V = V, .D = D, .hidden = hidden, .ldh = ldh, .panels = panels, .factor = inverse_temperature,
                  .targets = targets, .log_prob = log_prob, .entropy = entropy, .log_z = log_z, .mean = mean, .ldm = ldm};
  if (n > 0 && V > 0) run_head(&job);
}

/* ---- the gradient ----------------------------------------------------------------------------------------- */

/* By log-probabilities alone: factor d_log_prob (W[target] - mean). */
static void mean_gradient_task(void *context, int64_t i, int32_t worker) {
  const head_job *j = context;
  uint64_t old = dot_begin();
  (void)worker;
  int64_t target = j->targets[i];
  const uint32_t *words = j->panels + target / 16 * pair_panel_words(j->D) + target % 16;
  v16 scale = splat(j->factor * j->d_log_prob[i]);
  for (int64_t k = 0; k < j->D; k += 16) {
    nrk_bf16 halves[16] = {0};
    for (int64_t c = 0; c < 16 && k + c < j->D; c += 2) {
      uint32_t pair = words[(k + c) / 2 * 16];
      halves[c] = (nrk_bf16)(pair >> 16), halves[c + 1] = (nrk_bf16)pair;
    }
    v16 mean = load_part(j->means + i * j->ldmeans + k, j->D - k, 0);
    store_part(j->mean + i * j->ldm + k, scale * (widen(halves) - mean), j->D - k);
  }
  dot_end(old);
}

/* dw of some words, over all rows run by run. */
static __attribute__((noinline)) void head_dw_part(const head_job *j, int64_t index, int32_t worker) {
  int64_t start = index * j->words, stop = nrk_min(j->V, start + j->words), D = j->D, run = nrk_min(DOT_RUN, j->n);
  int64_t block = nrk_min(run, nrk_round(HEAD_FEWEST, NRK_DOT_ROWS)), blocks = nrk_ceil(run, block), height = DOT_RUN / 2;
  int64_t hidden = hidden_floats(block, D), columns = nrk_ceil(D, 16), staged = stage_floats(HEAD_TILE, run);
  float *scratch = nrk_scratch(j->pool, worker, blocks * hidden + columns * height * 16 + staged + run * HEAD_LD);
  uint32_t *across = (uint32_t *)(scratch + blocks * hidden), *stage = across + columns * height * 16;
  float *z = (float *)(stage + staged);
  for (int64_t t = 0; t < j->n; t += DOT_RUN) {
    int64_t rows = nrk_min(DOT_RUN, j->n - t);
    const nrk_bf16 *from = j->hidden + t * j->ldh;
    for (int64_t i = 0; i < rows; i += block)
      stage_hidden(scratch + i / block * hidden, nrk_min(block, rows - i), from + i * j->ldh, j->ldh, D);
    pairs_of_rows(across, height, from, 0, j->ldh, D, rows);
    for (int64_t first = start; first < stop; first += HEAD_TILE) {
      int64_t words = nrk_min(HEAD_TILE, stop - first), group = group_width(words) * 16;
      for (int64_t i = 0; i < rows; i += block)
        form_logits(z + i * HEAD_LD, scratch + i / block * hidden, nrk_min(block, rows - i), D, j->panels, first, words);
      for (int64_t i = 0; i < rows; i++) gradients_of(j, z + i * HEAD_LD, t + i, first, words);
      dot_rows r = rows_of(stage, words, rows);
      stage_columns_of(&r, z, 0, 2 * HEAD_LD, words);
      for (int64_t k = 0; k < D; k += group)
        dot_group(&r, DOT_PAIRS, across + k / 16 * height * 16, NULL, height * 16, nrk_min(group, D - k), j->dw + first * j->lddw + k,
                  j->lddw, DOT_ADD, 0);
    }
  }
}
static void head_dw_task(void *context, int64_t index, int32_t worker) {
  uint64_t old = dot_begin();
  head_dw_part(context, index, worker);
  dot_end(old);
}

static void head_backward_bf16(nrk_pool *pool, int64_t n, int64_t V, int64_t D, const nrk_bf16 *hidden, int64_t ldh, const void *panels,
                               float inverse_temperature, const int32_t *targets, const float *log_z, const float *entropy,
                               const float *d_log_prob, const float *d_entropy, const float *mean, int64_t ldm, float *d_hidden,
                               int64_t ldd, float *dw, int64_t lddw) {
  head_job job = {.pool = pool, .n = n, .V = V, .D = D, .hidden = hidden, .ldh = ldh, .panels = panels, .factor = inverse_temperature,
                  .targets = targets, .log_zs = log_z, .entropies = entropy, .d_log_prob = d_log_prob, .d_entropy = d_entropy,
                  .means = mean, .ldmeans = ldm, .mean = d_hidden, .ldm = ldd, .dw = dw, .lddw = lddw, .is_backward = 1};
  if (n <= 0 || V <= 0) return;
  if (mean && !d_entropy && targets && d_log_prob) nrk_share(pool, n * D / 2, n, mean_gradient_task, &job);
  else run_head(&job);
  if (!dw) return;
  int64_t threads = nrk_pool_threads(pool), tiles = nrk_ceil(V, HEAD_TILE);
  job.words = nrk_ceil(tiles, nrk_min(tiles, threads == 1 ? 1 : 4 * threads)) * HEAD_TILE;
  nrk_share(pool, head_cost(n, V, D) * 2, nrk_ceil(V, job.words), head_dw_task, &job);
}

/* ---- the sampler ------------------------------------------------------------------------------------------ */

typedef struct draw_job {
  sample_job sample;
  float factor;
  int64_t words, parts, tiles; /* words, tiles: of a part, tiles in whole vectors */
  head_row *rows;              /* [n], and sums of tiles [n][parts][3][tiles] */
  float *sums;
} draw_job;

/* Part p of row i. */
static void sum_part_task(void *context, int64_t index, int32_t worker) {
  const draw_job *j = context;
  uint64_t old = dot_begin();
  (void)worker;
  int64_t i = index / j->parts, p = index % j->parts, start = p * j->words, stop = nrk_min(j->sample.V, start + j->words);
  const float *logits = j->sample.logits + i * j->sample.ld;
  float *tops = j->sums + index * 3 * j->tiles;
  for (int64_t v = start; v < stop; v += HEAD_GROUP)
    sum_up_group(logits + v, nrk_min(HEAD_GROUP, stop - v), splat(j->factor), tops + (v - start) / HEAD_TILE, j->tiles);
  head_sum part = head_join(tops, tops + j->tiles, tops + 2 * j->tiles, nrk_ceil(stop - start, HEAD_TILE));
  j->rows[i].top[p] = part.top, j->rows[i].sum[p] = part.sum, j->rows[i].weighted[p] = part.weighted;
  dot_end(old);
}

/* The first of `count` shares sum exp(top - row's) at which the running sum passes the goal, which the sum before it is left in; or the
   last that is not 0. */
static int64_t find_share(const float *tops, const float *sums, int64_t count, float top, double goal, double *running) {
  int64_t found = 0;
  double before = *running, sum = before;
  for (int64_t i = 0; i < count; i += 16) {
    v16 share = load_lanes(sums + i, count - i, 0) * exp16(load_lanes(tops + i, count - i, -INFINITY) - splat(top));
    for (int64_t lane = 0; lane < 16 && i + lane < count; lane++) {
      if (!(share[lane] > 0)) continue;
      found = i + lane, before = sum, sum += (double)share[lane];
      if (sum > goal) return *running = before, found;
    }
  }
  return *running = before, found;
}

/* A token in index order: the part, the tile in it, the token in that, each by double sums of what they count. */
static int32_t draw_token(const draw_job *j, int64_t row, softmax_row r) {
  const head_row *of = j->rows + row;
  double goal = j->sample.uniforms[row] * (double)r.sum, running = 0;
  int64_t p = find_share(of->top, of->sum, j->parts, r.top, goal, &running), start = p * j->words;
  const float *tops = j->sums + (row * j->parts + p) * 3 * j->tiles;
  int64_t tile = find_share(tops, tops + j->tiles, nrk_ceil(nrk_min(j->sample.V - start, j->words), HEAD_TILE), r.top, goal, &running);
  int64_t first = start + tile * HEAD_TILE, words = nrk_min(HEAD_TILE, j->sample.V - first), token = 0;
  const float *logits = j->sample.logits + row * j->sample.ld + first;
  double scale = (double)exp_of(tops[tile] - r.top);
  for (int64_t i = 0; i < words; i += 16) {
    v16 e = exp16(load_scaled(logits + i, words - i, splat(j->factor)) - splat(tops[tile]));
    for (int64_t lane = 0; lane < 16 && i + lane < words; lane++) {
      if (!(e[lane] > 0)) continue;
      token = i + lane, running += (double)e[lane] * scale;
      if (running > goal) return (int32_t)(first + token);
    }
  }
  return (int32_t)(first + token);
}

static int32_t likeliest_token(const draw_job *j, int64_t row, float top) {
  int64_t p = first_equal(j->rows[row].top, j->parts, top), first = p * j->words;
  first += first_equal(j->sums + (row * j->parts + p) * 3 * j->tiles, nrk_ceil(nrk_min(j->sample.V - first, j->words), HEAD_TILE), top) *
           (int64_t)HEAD_TILE;
  return (int32_t)first + first_equal(j->sample.logits + row * j->sample.ld + first, nrk_min(HEAD_TILE, j->sample.V - first), top);
}

static __attribute__((noinline)) void draw_row(const draw_job *j, int64_t row, int32_t worker) {
  const sample_job *s = &j->sample;
  softmax_row r = head_softmax(j->rows + row, j->parts);
  if (!(r.sum > 0)) reject_row(s, row);
  else if (is_truncated(s)) draw_truncated(s, row, r, j->factor, nrk_scratch(s->pool, worker, truncated_floats(s->V)));
  else {
    int32_t token = is_greedy(s) ? likeliest_token(j, row, r.top) : draw_token(j, row, r);
    s->tokens[row] = token;
    s->log_prob[row] = row_log_prob(r, s->logits[row * s->ld + token], j->factor);
    if (s->entropy) s->entropy[row] = row_entropy(r);
  }
}
static void draw_row_task(void *context, int64_t row, int32_t worker) {
  uint64_t old = dot_begin();
  draw_row(context, row, worker);
  dot_end(old);
}

static void sample_bf16(nrk_pool *pool, int64_t n, int64_t V, const float *logits, int64_t ld, float temperature, int32_t top_k,
                        float top_p, const double *uniforms, int32_t *tokens, float *log_prob, float *entropy) {
  draw_job job = {.sample = {.pool = pool, .V = V, .ld = ld, .logits = logits, .temperature = temperature, .top_p = top_p, .top_k = top_k,
                             .uniforms = uniforms, .tokens = tokens, .log_prob = log_prob, .entropy = entropy}};
  if (n <= 0 || V <= 0) return;
  job.factor = sampling_factor(&job.sample);
  job.words = head_part_words(V), job.parts = nrk_ceil(V, job.words), job.tiles = nrk_round(job.words / HEAD_TILE, 16);
  int64_t sums = n * job.parts * 3 * job.tiles;
  job.sums = nrk_allocate(sums + n * HEAD_ROW);
  job.rows = (head_row *)(job.sums + sums);
  nrk_share(pool, n * V * 2, n * job.parts, sum_part_task, &job);
  nrk_share(pool, is_truncated(&job.sample) ? n * V * 3 : n * 600, n, draw_row_task, &job);
  free(job.sums);
}
